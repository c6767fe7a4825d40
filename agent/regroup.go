//go:build !lite

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/gate"
)

// askAbroad asks for the addresses that this node is about to put up as an
// owner, before anything is changed. Each group's lane asks again: it may have
// been given to this node since, and minutes may have passed.
func (h *hands) askAbroad(ctx context.Context, was, is config.Config) error {
	for i, g := range h.groups {
		if !g.owner.Load() {
			continue // a takeover asks
		}
		if err := h.askEach(ctx, strange(was.Groups[i].VIP, is.Groups[i].VIP)); err != nil {
			return err
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
		if err := a.chore(i, was.Groups[i], p.cfg.Groups[i], p.services[i], false); err != nil {
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
		sets = append(sets, g.Placed())
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

// askTime is what the question for a group's new addresses adds to its chore:
// for as many as a group can have it takes 3 s.
const askTime = 10 * time.Second

// chore changes one group in its lane; back: to what it was.
func (a *agent) chore(i int, from, to config.Group, services *service.Group, back bool) error {
	if services == nil && sameSet(from.VIP, to.VIP) && from.Announce == to.Announce && from.GateTransit == to.GateTransit {
		return nil
	}
	old, next := deadlines(from), deadlines(to)
	return a.await(func(done chan<- error) loop.Fact {
		return loop.Chore{
			Group: i, For: askTime + next.Take + old.Stop + next.Start, Done: done,
			Do: func(ctx context.Context) error { return a.hands.regroup(ctx, i, from, to, services, back) },
		}
	})
}

// errNotBack says that a change failed, and that what was done of it could not
// be undone.
var errNotBack = errors.New("putting it back failed")

// putBack undoes what regroup did up to a group, in reverse. Where that fails the
// gate goes on guarding the old and the new addresses: any may be in the kernel.
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
		errs = append(errs, a.chore(i, p.cfg.Groups[i], was.Groups[i], services, true))
	}
	return undone(errs, func() error { return a.guard(ctx, was) })
}

// undone ends a way back: the gate guards the old addresses alone only if every
// step succeeded.
func undone(steps []error, guard func() error) error {
	err := errors.Join(steps...)
	if err == nil {
		err = guard()
	}
	if err != nil {
		return fmt.Errorf("and %w: %w", errNotBack, err)
	}
	return nil
}

// regroup changes one group from what it is, perhaps in part, to another; it
// runs in the group's lane. services are those of the other; nil: they stay. On
// the way back what fails does not keep the rest from being done.
func (h *hands) regroup(ctx context.Context, i int, from, to config.Group, services *service.Group, back bool) error {
	g := h.groups[i]
	var stopped error
	if services != nil {
		if stopped = h.stopGone(ctx, i, from, to); stopped != nil && !back {
			return stopped
		}
	}
	fresh, placed := h.readdress(ctx, g, from.VIP, to, back)
	if placed != nil && !back {
		return placed
	}
	if fresh && g.owner.Load() {
		h.Announce(i, "reload") // all: it ends a burst that may be under way
	}
	return errors.Join(stopped, placed, h.reserve(ctx, i, services, back))
}

// reserve puts other services in the place of a group's, and sees that they run
// if those were started; nil: nothing changes.
func (h *hands) reserve(ctx context.Context, i int, services *service.Group, back bool) error {
	if services == nil {
		return nil
	}
	g := h.groups[i]
	g.services = services
	if !g.serving {
		return nil
	}
	err := services.Adopt(ctx)
	switch {
	case err == nil:
		h.watchServices(i)
	case back: // nobody else would tell the machine, which thinks that they run
		h.insist(loop.ServiceFault{Group: i, Name: "services", Err: err.Error(), Final: true})
	}
	return err
}

// stopGone ends the service checks, and stops the services that will not be
// there, or not as they are, if any may run here: only the old definition knows
// how, and a stop that failed is tried again.
func (h *hands) stopGone(ctx context.Context, i int, from, to config.Group) error {
	g := h.groups[i]
	if !g.serving && !g.unstopped && !h.adopted[i] {
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
// What stays is not taken away at any moment. New ones are asked for here, where
// no takeover can come between; on the way back they were this node's before.
func (h *hands) readdress(ctx context.Context, g *handful, from vip.Set, to config.Group, back bool) (fresh bool, err error) {
	if !g.held || sameSet(from, to.VIP) {
		if !g.held && !empty(g.beyond) { // given up half way
			if err := h.dropAll(ctx, g); err != nil {
				return false, err
			}
		}
		g.conf.Store(&to)
		g.listenAnew()
		return false, nil
	}
	if !back {
		if err := h.askEach(ctx, strange(from, to.VIP)); err != nil {
			return false, err
		}
	}
	now := g.group().VIP // either of them
	g.beyond = plus(minus(from, now), minus(to.VIP, now))
	before, after := leaving(from, to.VIP)
	// What never came is not dropped: its IP may be where it shall be.
	if before.Addresses, err = h.kernel.Held(ctx, vip.Set{Addresses: before.Addresses}); err != nil {
		return false, err
	}
	// The kernel holds one of them at a place: the old one makes room.
	if err := h.kernel.Drop(ctx, before); err != nil {
		return false, err
	}
	if err := h.kernel.Take(ctx, to.VIP, h.cfg.Timing.Lifetime); err != nil {
		return false, err
	}
	g.beyond = after
	g.conf.Store(&to) // before they go: nobody shall miss them
	g.listenAnew()
	if err := h.kernel.Drop(ctx, after); err != nil {
		return false, err
	}
	g.beyond = vip.Set{}
	return len(missing(from.Addresses, to.VIP.Addresses)) > 0, nil
}

// minus is what a set has and another lacks.
func minus(set, other vip.Set) vip.Set {
	return vip.Set{
		Addresses: missing(other.Addresses, set.Addresses),
		Routes:    missing(other.Routes, set.Routes), Rules: missing(other.Rules, set.Rules),
	}
}

// listenAnew lets the watch over foreign answers begin anew.
func (g *handful) listenAnew() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.relisten != nil {
		g.relisten()
	}
}

// leaving is what a set has and another lacks: before are those whose place, or
// whose IP on another device, the other one needs; after the rest. A link-local
// IP of another link is another address.
func leaving(was, is vip.Set) (before, after vip.Set) {
	taken := places(is)
	for _, a := range is.Addresses {
		if ip := a.Prefix.Addr(); !ip.IsLinkLocalUnicast() || ip.Is4() {
			taken[place{ip: ip}] = true
		}
	}
	for _, a := range missing(is.Addresses, was.Addresses) {
		if taken[placeOf(a)] || taken[place{ip: a.Prefix.Addr()}] {
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
