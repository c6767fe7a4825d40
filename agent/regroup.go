//go:build !lite

package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/gate"
)

// askAbroad asks for the addresses that this node is about to put up as an
// owner, whether anybody else answers for them.
func (h *hands) askAbroad(ctx context.Context, was, is config.Config, note func(string)) error {
	for i, g := range h.groups {
		if !g.owner.Load() {
			continue // a takeover asks for all of them
		}
		known := places(was.Groups[i].VIP)
		var strange []vip.Address
		for _, a := range is.Groups[i].VIP.Addresses {
			if !known[placeOf(a)] {
				strange = append(strange, a)
			}
		}
		if len(strange) == 0 {
			continue
		}
		r, err := h.air.Probe(ctx, strange, config.Probes, h.cfg.Timing.Probe)
		switch {
		case err != nil:
			return fmt.Errorf("ask whether anybody has the new addresses: %w", err)
		case r.Foreign:
			return fmt.Errorf("add address %s: %s answers for it already", r.Address, r.MAC)
		case !r.Sent:
			note(fmt.Sprintf("nobody could be asked whether %s is in use", strange[0]))
		}
	}
	return nil
}

// regroup makes the gate and the groups what the plan says. The gate guards the
// old and the new addresses while they change, so that none is ever in this
// kernel without it.
func (a *agent) regroup(ctx context.Context, p *plan, was config.Config) error {
	moved := !sameSets(was, p.cfg)
	if moved {
		if err := a.guard(ctx, union(was, p.cfg)); err != nil {
			return errors.Join(err, a.guard(ctx, was))
		}
	}
	for i := range p.cfg.Groups {
		if err := a.chore(i, was.Groups[i], p.cfg.Groups[i], p.services[i]); err != nil {
			return errors.Join(err, a.putBack(ctx, p, was, i))
		}
	}
	if moved {
		if err := a.guard(ctx, p.cfg); err != nil {
			p.note("the gate still guards the addresses that went: " + err.Error())
		}
	}
	return nil
}

// guard tells gate and kernel which addresses are the groups'.
func (a *agent) guard(ctx context.Context, c config.Config) error {
	var sets []vip.Set
	for _, g := range c.Groups {
		sets = append(sets, g.VIP)
	}
	if lease, ok := a.lease.(*provenLease); ok {
		if err := lease.kernelGate.(regate).Update(gateGroups(c)); err != nil {
			return err
		}
	}
	return a.hands.kernel.Know(ctx, sets...)
}

// A regate is a kernelGate that can be changed. It is not part of that interface,
// because a build without reload shall not carry it.
type regate interface{ Update([]gate.Group) error }

// chore changes one group in its lane.
func (a *agent) chore(i int, from, to config.Group, services *service.Group) error {
	if services == nil && sameSet(from.VIP, to.VIP) && from.Announce == to.Announce && from.GateTransit == to.GateTransit {
		return nil
	}
	old, next := deadlines(from), deadlines(to)
	return a.await(func(done chan<- error) loop.Fact {
		return loop.Chore{
			Group: i, For: next.Take + old.Stop + next.Start, Done: done,
			Do: func(ctx context.Context) error { return a.hands.regroup(ctx, i, from, to, services) },
		}
	})
}

// putBack undoes what regroup did up to a group, in reverse.
func (a *agent) putBack(ctx context.Context, p *plan, was config.Config, upTo int) error {
	var errs []error
	for i := upTo; i >= 0; i-- {
		var services *service.Group
		if p.services[i] != nil {
			var err error
			if services, err = a.hands.serviceGroup(was.Groups[i], a.hands.checkAfter(i, was.Groups[i])); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, a.chore(i, p.cfg.Groups[i], was.Groups[i], services))
	}
	if err := errors.Join(append(errs, a.guard(ctx, was))...); err != nil {
		return fmt.Errorf("and putting it back failed: %w", err)
	}
	return nil
}

// regroup changes one group from what it is, perhaps in part, to another; it
// runs in the group's lane. services are those of the other; nil: they stay.
func (h *hands) regroup(ctx context.Context, i int, from, to config.Group, services *service.Group) error {
	g := h.groups[i]
	if services != nil {
		if err := h.stopGone(ctx, g, from, to); err != nil {
			return err
		}
	}
	fresh, err := h.readdress(ctx, g, from.VIP, to)
	if err != nil {
		return err
	}
	if fresh && g.owner.Load() {
		h.Announce(i, "reload") // all: it ends a burst that may be under way
	}
	if services == nil {
		return nil
	}
	g.services = services
	if !g.serving {
		return nil
	}
	if err := services.Adopt(ctx); err != nil {
		return err
	}
	h.watchServices(i)
	return nil
}

// stopGone ends the service checks, and stops the services that will not be
// there, or not as they are, if they were started here.
func (h *hands) stopGone(ctx context.Context, g *handful, from, to config.Group) error {
	if !g.serving {
		return nil
	}
	select {
	case <-g.endChecks(nil):
	case <-ctx.Done():
		return fmt.Errorf("end the service checks: %w", ctx.Err())
	}
	gone := config.Group{Name: from.Name}
	for _, s := range from.Services {
		if !slices.ContainsFunc(to.Services, s.Alike) {
			gone.Services = append(gone.Services, s)
		}
	}
	old, err := h.serviceGroup(gone, nil)
	if err != nil {
		return err
	}
	return old.Stop(ctx)
}

// readdress puts the addresses, routes and rules of a group where those of
// another set are, if this node holds them, and says whether addresses were new.
// What stays is not taken away at any moment.
func (h *hands) readdress(ctx context.Context, g *handful, from vip.Set, to config.Group) (fresh bool, err error) {
	if !g.held || sameSet(from, to.VIP) {
		g.conf.Store(&to)
		g.listenAnew()
		return false, nil
	}
	before, after := leaving(from, to.VIP)
	// The kernel holds one of them at a place: the old one makes room.
	if err := h.kernel.Drop(ctx, before); err != nil {
		return false, err
	}
	if err := h.kernel.Take(ctx, to.VIP, h.cfg.Timing.Lifetime); err != nil {
		return false, err
	}
	g.conf.Store(&to) // before they go: nobody shall miss them
	g.listenAnew()
	if err := h.kernel.Drop(ctx, after); err != nil {
		return false, err
	}
	return len(missing(from.Addresses, to.VIP.Addresses)) > 0, nil
}

// listenAnew lets the watch over foreign answers begin anew.
func (g *handful) listenAnew() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.relisten != nil {
		g.relisten()
	}
}

// leaving is what a set has and another lacks: before are those whose place the
// other one needs for something else, after the rest.
func leaving(was, is vip.Set) (before, after vip.Set) {
	taken := places(is)
	for _, a := range missing(is.Addresses, was.Addresses) {
		if taken[placeOf(a)] {
			before.Addresses = append(before.Addresses, a)
		} else {
			after.Addresses = append(after.Addresses, a)
		}
	}
	for _, r := range missing(is.Routes, was.Routes) {
		same := func(o vip.Route) bool { return r.Dst == o.Dst && r.Table == o.Table && r.Metric == o.Metric }
		if slices.ContainsFunc(is.Routes, same) {
			before.Routes = append(before.Routes, r)
		} else {
			after.Routes = append(after.Routes, r)
		}
	}
	after.Rules = missing(is.Rules, was.Rules)
	return before, after
}

// missing returns what one list has and another lacks: there may be thousands.
func missing[T comparable](there, wanted []T) (out []T) {
	set := make(map[T]bool, len(there))
	for _, e := range there {
		set[e] = true
	}
	for _, e := range wanted {
		if !set[e] {
			out = append(out, e)
		}
	}
	return out
}

// A place is an address on a device: the kernel holds one there.
type place struct {
	ip     netip.Addr
	device string
}

func placeOf(a vip.Address) place { return place{a.Prefix.Addr(), a.Device} }

func places(s vip.Set) map[place]bool {
	out := make(map[place]bool, len(s.Addresses))
	for _, a := range s.Addresses {
		out[placeOf(a)] = true
	}
	return out
}

// union has the addresses of both, and gates transit where either does.
func union(a, b config.Config) config.Config {
	out := a
	out.Groups = slices.Clone(a.Groups)
	for i := range out.Groups {
		g := &out.Groups[i]
		g.VIP.Addresses = slices.Concat(g.VIP.Addresses, missing(g.VIP.Addresses, b.Groups[i].VIP.Addresses))
		g.GateTransit = g.GateTransit || b.Groups[i].GateTransit
	}
	return out
}

// sameSets says whether the gate has nothing to change.
func sameSets(a, b config.Config) bool {
	for i := range a.Groups {
		if !sameSet(a.Groups[i].VIP, b.Groups[i].VIP) || a.Groups[i].GateTransit != b.Groups[i].GateTransit {
			return false
		}
	}
	return true
}

func sameSet(a, b vip.Set) bool {
	a, b = a.Canonical(), b.Canonical()
	return slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Routes, b.Routes) && slices.Equal(a.Rules, b.Rules)
}

// checkAfter is what the service checks of a changed group are told to. The
// watchdog counts the checks it was started with, while they take no longer.
func (h *hands) checkAfter(i int, g config.Group) func(string, bool) {
	check := h.groups[i].check
	if check == nil {
		return nil
	}
	counted := map[string]bool{}
	for _, s := range g.Services {
		for _, o := range h.cfg.Groups[i].Services {
			counted[s.Name] = counted[s.Name] || s.Name == o.Name &&
				s.StartTimeout <= o.StartTimeout && s.StopTimeout <= o.StopTimeout && s.StatusTimeout <= o.StatusTimeout
		}
	}
	return func(name string, begun bool) {
		if counted[name] {
			check(name, begun)
		}
	}
}
