package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/gate"
	"github.com/twinbeat/twinbeat/vip/kernel"
)

// A leaseholder is what the agent needs of a kernel lease: nftables where the
// kernel proves that it works, the lifetimes of the addresses elsewhere.
type leaseholder interface {
	loop.Gate
	SetOwn([]netip.Prefix) error
	// Watch restores what a stranger changed and tells, until ctx ends.
	Watch(ctx context.Context, changed func(what string, restored error))
	Remove() error
}

// lifetimeGrain is what the kernel may be late by when it removes an address
// whose lifetime is over: its check runs once a second or so (measured up to
// 0.4 s late on Linux 6.1 and 6.18).
const lifetimeGrain = time.Second

// openLease opens the gate and proves it on this kernel; where that fails the
// addresses' own lifetimes are the lease. It returns how the lease is held and
// how long it lasts at most.
func (a *agent) openLease(ctx context.Context) (how string, lease time.Duration, err error) {
	own, err := a.hands.kernel.OwnAddresses(nil)
	if err != nil {
		return "", 0, err
	}
	// The kernel counts in ticks: a window of less than two of them could be
	// over at birth, and a lease never lasts longer than whole ticks.
	a.cfg.Timing.Window = max(a.cfg.Timing.Window, 2*gate.Tick())
	g, excess, err := provenGate(ctx, a.cfg, own)
	if err == nil {
		a.lease = g
		_, longest := gate.Effective(a.cfg.Timing.Lease)
		return "kernel gate (nftables)", longest + excess, nil
	}
	if errors.Is(err, gate.ErrOwned) {
		return "", 0, err
	}
	if len(a.hands.virtuals()) > 0 { // whoever has no gate must not share a hardware address
		return "", 0, fmt.Errorf("virtual_mac: %w", errors.Join(err, a.hands.kernel.EnsureVirtual(a.cfg.Cluster, nil)))
	}
	a.log.Warn("no kernel gate; the lifetimes of the addresses are the lease", "err", err)
	a.cfg.Timing.Lifetime = min(a.cfg.Timing.Lifetime, lifetimeShort)
	a.hands.cfg, a.hands.weak = a.cfg, true
	a.lease = newLifetimeLease(a.cfg, a.hands.kernel)
	return "address lifetime (no nftables: " + err.Error() + ")", a.cfg.Timing.Lifetime + lifetimeGrain, nil
}

// lifetimeShort is the lifetime of addresses that are their own lease: the
// shortest that survives one lost renewal at the kernel's grain of a second.
const lifetimeShort = 2 * time.Second

// provenGate opens the gate if its self-test passes. It returns by how much a
// lease may outlive its length on this kernel, beyond the configured reserve.
func provenGate(ctx context.Context, c config.Config, own []netip.Prefix) (*provenLease, time.Duration, error) {
	gc := gate.Config{Table: "twinbeat-" + c.Cluster, Window: c.Timing.Window, Own: own, Groups: gateGroups(c)}
	g, err := gate.Open(gc)
	if err != nil {
		return nil, 0, fmt.Errorf("open gate: %w", err)
	}
	lease := &provenLease{kernelGate: g, readBack: g.Info().Control != "egress"}
	if holdsAny(g, c) { // proven by the agent that was granted it, and there is no time
		return lease, 0, nil
	}
	var r gate.Result
	for range proofs {
		if r, err = gate.SelfTest(ctx); err == nil {
			break
		}
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("prove gate: %w", err), g.Remove())
	}
	return lease, max(0, r.Excess-c.Timing.Reserve), nil
}

// gateGroups is what the gate guards.
func gateGroups(c config.Config) (out []gate.Group) {
	for i, g := range c.Groups {
		one := gate.Group{ID: uint8(i), Devices: g.VIP.Devices(), Lease: c.Timing.Lease, Transit: g.GateTransit, Virtual: g.Virtual}
		for _, v := range g.VIP.Addresses {
			one.VIPs = append(one.VIPs, v.Prefix.Addr())
		}
		out = append(out, one)
	}
	return out
}

// proofs is how often the self-test may be tried: on a busy machine it can
// find itself too late to see what it wanted to see.
const proofs = 5

func holdsAny(g *gate.Gate, c config.Config) bool {
	for i := range c.Groups {
		if held, _, err := g.Held(uint8(i)); err == nil && held {
			return true
		}
	}
	return false
}

// provenLease is the gate. On kernels whose hook does not tell the outcome of
// a grant, the outcome is read back.
type provenLease struct {
	kernelGate
	readBack bool
}

// A kernelGate is a [gate.Gate], or what a test makes fail.
type kernelGate interface {
	loop.Gate
	SetOwn([]netip.Prefix) error
	Restore() error
	Watch(context.Context, func(gate.Change)) error
	Remove() error
}

// Turn begins a turn. Where the table is gone nothing is gated, so it is put
// back here and now, closed; who owns asks again.
func (p *provenLease) Turn() error {
	err := p.kernelGate.Turn()
	if !errors.Is(err, gate.ErrMissing) {
		return err
	}
	if err := p.Restore(); err != nil {
		return err
	}
	return p.kernelGate.Turn()
}

// Grant opens the group's gate.
func (p *provenLease) Grant(group uint8) error {
	if err := p.kernelGate.Grant(group); err != nil || !p.readBack {
		return err
	}
	held, _, err := p.Held(group)
	if err == nil && !held {
		err = gate.ErrRefused
	}
	return err
}

// Watch restores the table when a stranger changed it. Where watching fails it
// begins anew, after a look at what was missed.
func (p *provenLease) Watch(ctx context.Context, changed func(string, error)) {
	for ctx.Err() == nil {
		err := p.kernelGate.Watch(ctx, func(c gate.Change) { changed(describe(c), p.Restore()) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchPause):
			changed(fmt.Sprintf("watching the gate's table ended: %v", err), p.Restore())
		}
	}
}

func describe(c gate.Change) string {
	what := "the gate's table: " + c.Kind.String()
	if c.Device != "" {
		what += " " + c.Device
	}
	if c.By != "" {
		what += " by " + c.By
	}
	return what
}

// lifetimeLease holds the lease by the addresses' own lifetimes. A process
// that is stopped between its heartbeat and the renewal is not caught by the
// kernel here, and routed frames are not gated; status says which lease holds.
type lifetimeLease struct {
	kernel *kernel.Kernel
	sets   []vip.Set
	life   time.Duration
	window time.Duration
	turn   time.Time
	until  []time.Time // zero: not granted
	due    []vip.Renewals
}

func newLifetimeLease(c config.Config, k *kernel.Kernel) *lifetimeLease {
	n := len(c.Groups)
	l := &lifetimeLease{
		kernel: k, life: c.Timing.Lifetime, window: c.Timing.Window,
		until: make([]time.Time, n), due: make([]vip.Renewals, n),
	}
	for _, g := range c.Groups {
		l.sets = append(l.sets, g.VIP)
	}
	return l
}

// lifetimeCall bounds one round trip to the kernel from the loop.
const lifetimeCall = 500 * time.Millisecond

// Turn notes when the turn began.
func (l *lifetimeLease) Turn() error {
	l.turn = time.Now()
	return nil
}

// Grant starts the lease; the addresses were set a moment ago.
func (l *lifetimeLease) Grant(group uint8) error {
	if time.Since(l.turn) > l.window {
		return gate.ErrRefused
	}
	l.until[group] = l.turn.Add(l.life)
	return nil
}

// Renew extends the lifetimes of a slice of the addresses, so that each is
// renewed four times within its life and no turn waits for a thousand.
func (l *lifetimeLease) Renew(group uint8) error {
	now := time.Now()
	switch {
	case now.Sub(l.turn) > l.window, now.After(l.until[group]):
		return gate.ErrRefused
	}
	all := l.sets[group].Addresses
	from, to := l.due[group].Due(time.Duration(monotonic()), l.life/4, len(all))
	if from == to {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lifetimeCall)
	defer cancel()
	if err := l.kernel.Renew(ctx, all[from:to], l.life); err != nil {
		return err
	}
	l.until[group] = now.Add(l.life - l.life/4)
	return nil
}

// Close takes the addresses away: there is no gate to close.
func (l *lifetimeLease) Close(group uint8) error {
	l.until[group] = time.Time{}
	ctx, cancel := context.WithTimeout(context.Background(), lifetimeCall)
	defer cancel()
	return l.kernel.Drop(ctx, l.sets[group])
}

// Held says whether the lease runs and the addresses are there.
func (l *lifetimeLease) Held(group uint8) (bool, time.Duration, error) {
	left := time.Until(l.until[group])
	if left <= 0 {
		return false, 0, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lifetimeCall)
	defer cancel()
	held, err := l.kernel.Held(ctx, l.sets[group])
	return len(held) == len(l.sets[group].Addresses), left, err
}

// SetOwn has no rules to tell.
func (l *lifetimeLease) SetOwn([]netip.Prefix) error { return nil }

// Watch has nothing to watch: the loop asks Held once a second.
func (l *lifetimeLease) Watch(ctx context.Context, _ func(string, error)) { <-ctx.Done() }

// Remove has nothing to remove.
func (l *lifetimeLease) Remove() error { return nil }

// adopts says whether this node still holds a group: its lease in the kernel
// is unexpired and its addresses are there. The file may have got others since,
// by a reload that was killed, say: they are put up with the rest if each was asked
// for and nobody else answered. One that came from another group has closed every gate.
func (a *agent) adopts(i int) bool {
	held, _, err := a.lease.Held(uint8(i))
	if err != nil || !held {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), lifetimeCall)
	defer cancel()
	set := a.cfg.Groups[i].Placed()
	there, err := a.hands.kernel.Held(ctx, set)
	switch {
	case err != nil:
		return false
	case len(there) == 0:
		if !a.hands.moves(ctx, i, &a.cfg.Groups[i]) {
			return false
		}
	case len(there) == len(set.Addresses):
		return true
	case a.hands.askEach(ctx, onParents(&a.cfg.Groups[i], strange(vip.Set{Addresses: there}, set))) != nil:
		return false
	}
	held, _, err = a.lease.Held(uint8(i)) // that took time
	return err == nil && held
}

// askSpacing is how long one question for an address is listened to at least,
// where no takeover is urgent.
const askSpacing = 15 * time.Millisecond

// askEach asks for each of the addresses whether anybody else has it. In a group
// that this node holds already an address stands alone: no other one speaks for
// it. One that could not be asked for is refused, too.
func (h *hands) askEach(ctx context.Context, fresh []vip.Address) error {
	if len(fresh) == 0 {
		return nil
	}
	r, err := h.air.ProbeEach(ctx, fresh, config.Probes, max(h.cfg.Timing.Probe, askSpacing))
	switch {
	case err != nil:
		return fmt.Errorf("ask whether anybody has the new addresses: %w", err)
	case r.Foreign:
		return fmt.Errorf("add address %s: %s answers for it already", r.Address, r.MAC)
	case !r.Sent:
		return fmt.Errorf("ask whether anybody has the new addresses: %s", r.Reason)
	}
	return nil
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

// strange is what of a set is not where another one knows it.
func strange(known, set vip.Set) (out []vip.Address) {
	at := places(known)
	for _, a := range set.Addresses {
		if !at[placeOf(a)] {
			out = append(out, a)
		}
	}
	return out
}
