//go:build !lite && !no_virtual

package agent

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/vip"
)

// virtuals are the virtual devices of all groups.
func (h *hands) virtuals() (out []vip.Virtual) {
	for i := range h.cfg.Groups {
		out = append(out, h.cfg.Groups[i].Virtual...)
	}
	return out
}

// ensureVirtual makes the virtual devices. What one stands on may come later: a
// takeover tries again.
func (h *hands) ensureVirtual() error {
	err := h.kernel.EnsureVirtual(h.cfg.Cluster, h.virtuals())
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// raiseVirtual sets a group's virtual devices up, for the addresses to come; one
// that a stranger deleted is made again. First the addresses go from the
// interfaces themselves, where an agent without virtual_mac may have left them:
// never do both devices answer. The gate still keeps them dark.
func (h *hands) raiseVirtual(ctx context.Context, g *config.Group) error {
	if len(g.Virtual) == 0 {
		return nil
	}
	there, err := h.kernel.Held(ctx, g.VIP)
	if err == nil && len(there) > 0 {
		err = h.kernel.Drop(ctx, g.VIP)
	}
	if err != nil {
		return fmt.Errorf("move addresses from the interfaces to the virtual devices: %w", err)
	}
	if err := h.ensureVirtual(); err != nil {
		return err
	}
	return h.kernel.SetVirtual(g.Virtual, true)
}

// moves takes a group that this node holds along to its new virtual devices, and
// says whether all its addresses were on the interfaces and are where they belong
// now. The lease in the kernel runs on; should it lapse meanwhile, nothing answers.
func (h *hands) moves(ctx context.Context, i int, g *config.Group) bool {
	if len(g.Virtual) == 0 {
		return false
	}
	there, err := h.kernel.Held(ctx, g.VIP)
	return err == nil && len(there) == len(g.VIP.Addresses) && h.TakeAddresses(ctx, i) == nil
}

// emptyVirtual takes out what an agent that was killed, or had no virtual_mac
// yet, left of a group that this node does not hold. Where none of the addresses
// is, routes and rules like the group's are somebody else's.
func (h *hands) emptyVirtual(ctx context.Context, i int) {
	g := h.groups[i].group()
	if len(g.Virtual) == 0 {
		return
	}
	there, err := h.kernel.Held(ctx, vip.Set{Addresses: everywhere(g)})
	if err == nil && len(there) == 0 {
		err = h.kernel.SetVirtual(g.Virtual, false)
	} else {
		err = errors.Join(h.kernel.Drop(ctx, g.VIP), h.DropAddresses(ctx, i))
	}
	if err != nil {
		h.log.Warn("the gate keeps it dark", "group", g.Name, "err", err)
	}
}

// onParents are addresses of the virtual devices where the LAN is asked for them.
func onParents(g *config.Group, list []vip.Address) []vip.Address {
	out := append([]vip.Address(nil), list...)
	for i := range out {
		for _, v := range g.Virtual {
			if v.Device == out[i].Device {
				out[i].Device = v.Parent
			}
		}
	}
	return out
}

// everywhere are a group's addresses wherever somebody may claim them. A frame
// from the shared hardware address comes in by the virtual device alone.
func everywhere(g *config.Group) []vip.Address {
	if len(g.Virtual) == 0 {
		return g.VIP.Addresses
	}
	return append(append([]vip.Address(nil), g.VIP.Addresses...), g.OnVirtual.Addresses...)
}
