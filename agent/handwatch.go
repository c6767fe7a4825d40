package agent

import (
	"context"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/vip/announce"
	"github.com/twinbeat/twinbeat/vip/kernel"
)

// watchPause is the wait before a watcher that failed is started again.
const watchPause = time.Second

// again runs a watcher until ctx ends, whatever it dies of. Its alarm is over
// when it has run for a while, so that one that dies at once does not flap.
func (h *hands) again(ctx context.Context, name string, watch func(context.Context) error) {
	for ctx.Err() == nil {
		well := time.AfterFunc(2*watchPause, func() { h.insist(loop.AlarmChanged{Name: name}) })
		err := watch(ctx)
		well.Stop()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			h.insist(loop.AlarmChanged{Name: name, On: true, Text: name + ": " + err.Error()})
		}
		pause(ctx, watchPause)
	}
}

// watchKernel follows what others do to the addresses and devices.
func (h *hands) watchKernel(ctx context.Context, lease leaseholder) {
	h.again(ctx, "watch-kernel", func(ctx context.Context) error {
		return h.kernel.Watch(ctx, func(e kernel.Event) { h.kernelEvent(e, lease) })
	})
}

func (h *hands) kernelEvent(e kernel.Event, lease leaseholder) {
	switch e.Kind {
	case kernel.AddressGone:
		h.each(func(i int, g *handful) {
			if slices.Contains(g.group().Placed().Addresses, e.Address) {
				h.insist(loop.AddressGone{Group: i, What: e.Address.String() + gone(e)})
			}
		})
	case kernel.RouteGone:
		h.each(func(i int, g *handful) {
			if slices.Contains(g.group().Placed().Routes, e.Route) {
				h.insist(loop.AddressGone{Group: i, What: "route " + e.Route.String() + gone(e)})
			}
		})
	case kernel.DeviceChanged:
		h.each(func(i int, g *handful) {
			if slices.Contains(g.group().Placed().Devices(), e.Device) {
				h.insist(loop.AddressGone{Group: i, What: e.Device + " " + e.Text})
			}
		})
	case kernel.LinkUp, kernel.LinkDown:
		h.carrier(e.Device, e.Kind == kernel.LinkUp)
		h.each(func(i int, g *handful) {
			if slices.Contains(g.group().VIP.Devices(), e.Device) {
				h.insist(loop.DeviceChanged{Group: i, Device: e.Device, Up: e.Kind == kernel.LinkUp})
			}
		})
	case kernel.OwnAddressesChanged, kernel.Resynced:
		own, err := h.kernel.OwnAddresses(nil)
		if err == nil {
			err = lease.SetOwn(own)
		}
		text := ""
		if err != nil {
			text = "tell the gate this node's own addresses: " + err.Error()
		}
		h.insist(loop.AlarmChanged{Name: "own-addresses", On: err != nil, Text: text})
	case kernel.AddressSeen:
		h.note(report.Event{
			Kind: "address", Seen: e.Address.String() + " is in this kernel, but this node does not own it",
			Decided: "leave it: the gate keeps it dark",
		})
	}
}

// gone says how an address or a route went.
func gone(e kernel.Event) string {
	if e.Expired {
		return " has expired"
	}
	return " was deleted by somebody else"
}

func (h *hands) each(fn func(i int, g *handful)) {
	for i, g := range h.groups {
		fn(i, g)
	}
}

// watchForeign listens for others who speak for our addresses.
func (h *hands) watchForeign(ctx context.Context) {
	for i, g := range h.groups[1:] {
		go h.foreign(ctx, i+1, g)
	}
	h.foreign(ctx, 0, h.groups[0])
}

func (h *hands) foreign(ctx context.Context, i int, g *handful) {
	h.again(ctx, "watch-foreign/"+g.group().Name, func(ctx context.Context) error {
		var err error
		for changed := true; changed; { // as often as they are changed
			changed, err = h.listen(ctx, i, g)
		}
		return err
	})
}

// listen watches the group's addresses until ctx ends, watching fails, or a
// reload changes them.
func (h *hands) listen(ctx context.Context, i int, g *handful) (changed bool, err error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	g.relisten = cancel
	addresses := everywhere(g.group())
	g.mu.Unlock()
	err = h.air.Watch(inner, addresses, func(f announce.Foreign) {
		if g.owner.Load() {
			h.tell(loop.ForeignMAC{Group: i, Address: f.Address, MAC: f.MAC})
		}
	})
	return inner.Err() != nil && ctx.Err() == nil, err
}
