package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// takeTime bounds how long a takeover of all addresses may take before the
// run counts as failed.
const takeTime = 15 * time.Second

// A script plays one run on a pair that is whole and returns what it saw.
type script func(ctx context.Context, b *bench, s system, vips int) ([]shot, error)

// started is the common beginning: the pair is whole, the client is watched.
func started(ctx context.Context, s system, vips int) (v *view, old, next *lab.Node, err error) {
	owner, err := awaitWhole(s)
	if err != nil {
		return nil, nil, nil, err
	}
	l := s.pair()
	if v, err = watch(ctx, l, vips); err != nil {
		return nil, nil, nil, err
	}
	pause(ctx, upTo(150*time.Millisecond))
	return v, l.Nodes[owner], l.Nodes[1-owner], ctx.Err()
}

// fall is a fault after which the other node owns the addresses.
func fall(ctx context.Context, s system, vips int, name string, fault func(old *lab.Node) error) (shot, *lab.Node, error) {
	out := newShot(name)
	v, old, next, err := started(ctx, s, vips)
	if err != nil {
		return out, nil, err
	}
	defer v.stop()
	if err := v.mark(next); err != nil {
		return out, old, err
	}
	if err := fault(old); err != nil {
		return out, old, err
	}
	if !lab.Until(takeTime, func() bool { return v.moved(next) }) {
		v.take(&out, old, next)
		return out, old, fmt.Errorf("%s: %s does not serve all addresses after %s", name, next.Name, takeTime)
	}
	pause(ctx, after)
	v.take(&out, old, next)
	return out, old, ctx.Err()
}

// powerOff plays the loss of the owner. A twinbeat pair then also shows how
// it fails back, for which its configuration must say failback = "auto".
func powerOff(ctx context.Context, b *bench, s system, vips int) ([]shot, error) {
	out, old, err := fall(ctx, s, vips, "power-off", (*lab.Node).Darken)
	if err != nil {
		return []shot{out}, err
	}
	if err := errors.Join(old.PowerOff(), old.PowerOn()); err != nil {
		return nil, err
	}
	if _, ok := s.(*vrrp); ok {
		return []shot{out}, s.run(old.Index)
	}
	back := newShot("failback")
	v, err := watch(ctx, s.pair(), 1)
	if err != nil {
		return []shot{out}, err
	}
	defer v.stop()
	if err := errors.Join(v.mark(nil), s.run(old.Index)); err != nil {
		return []shot{out}, err
	}
	if !lab.Until(takeTime, func() bool { return v.moved(old) }) {
		return []shot{out}, fmt.Errorf("failback: %s does not take its addresses back within %s", old.Name, takeTime)
	}
	pause(ctx, after)
	v.take(&back, nil, nil)
	return []shot{out, back}, ctx.Err()
}

// kill plays the sudden death of the owner's agent: its kernel goes on.
func kill(ctx context.Context, b *bench, s system, vips int) ([]shot, error) {
	out, old, err := fall(ctx, s, vips, "SIGKILL", func(n *lab.Node) error { n.Kill(); return nil })
	if err != nil {
		return []shot{out}, err
	}
	return []shot{out}, s.run(old.Index)
}

// handover plays a planned move.
func handover(ctx context.Context, b *bench, s system, vips int) ([]shot, error) {
	out, old, err := fall(ctx, s, vips, "handover", func(n *lab.Node) error { return s.handover(n.Index) })
	if err != nil {
		return []shot{out}, err
	}
	return []shot{out}, s.handedOver(old.Index)
}

// frozen plays an agent that stops and, long after its peer took over, goes
// on as if no time had passed.
func frozen(hold time.Duration) script {
	return func(ctx context.Context, b *bench, s system, vips int) ([]shot, error) {
		if b.quick {
			hold = min(hold, 3*time.Second)
		}
		out := newShot(fmt.Sprintf("frozen %s", hold))
		v, old, next, err := started(ctx, s, vips)
		if err != nil {
			return nil, err
		}
		defer v.stop()
		if err := errors.Join(v.mark(next), freeze(old)); err != nil {
			return nil, err
		}
		pause(ctx, hold)
		if _, ok := s.(*twins); ok && !v.moved(next) {
			return nil, errors.Join(fmt.Errorf("frozen: %s does not serve all addresses after %s", next.Name, hold), thaw(old))
		}
		err = v.heal(ctx, &out, func() error { return thaw(old) })
		v.take(&out, old, next)
		// The old owner answers again if it takes the addresses back: that is
		// not how long it went on.
		if _, ok := s.(*vrrp); ok {
			out.Dark = -1
		}
		return []shot{out}, err
	}
}

// A cutter pulls something and plugs it in again.
type cutter struct {
	name string
	hold time.Duration
	cut  func(l *lab.Lab, owner *lab.Node) error
	mend func(l *lab.Lab, owner *lab.Node) error
}

var (
	cutSerial = cutter{
		"serial cut", 3 * time.Second,
		func(l *lab.Lab, _ *lab.Node) error { l.CutSerial(); return nil },
		func(l *lab.Lab, _ *lab.Node) error { l.HealSerial(); return nil },
	}
	cutEthernet = cutter{
		"Ethernet cut", 20 * time.Second,
		func(l *lab.Lab, _ *lab.Node) error { return l.CutEthernetSilently() },
		func(l *lab.Lab, _ *lab.Node) error { return l.HealEthernetSilently() },
	}
	cutCarrier = cutter{
		"Ethernet cut, carrier lost", 3 * time.Second,
		func(l *lab.Lab, _ *lab.Node) error { return l.CutEthernet() },
		func(l *lab.Lab, _ *lab.Node) error { return l.HealEthernet() },
	}
	cutBoth = cutter{
		"all links cut, LAN whole", 3 * time.Second,
		func(l *lab.Lab, _ *lab.Node) error { l.CutSerial(); return l.CutEthernetSilently() },
		func(l *lab.Lab, _ *lab.Node) error { l.HealSerial(); return l.HealEthernetSilently() },
	}
	cutLAN = cutter{
		"owner's LAN cut", 3 * time.Second,
		func(_ *lab.Lab, n *lab.Node) error { return n.CutLAN() },
		func(_ *lab.Lab, n *lab.Node) error { return n.HealLAN() },
	}
)

// cuts plays one cut after the other; each heals before the next.
func cuts(list ...cutter) script {
	return func(ctx context.Context, b *bench, s system, vips int) ([]shot, error) {
		var shots []shot
		for _, c := range list {
			out, err := cut(ctx, b, s, c)
			if err != nil {
				return shots, fmt.Errorf("%s: %w", c.name, err)
			}
			shots = append(shots, out)
		}
		return shots, nil
	}
}

func cut(ctx context.Context, b *bench, s system, c cutter) (shot, error) {
	out := newShot(c.name)
	out.Kept = true
	v, old, _, err := started(ctx, s, 1)
	if err != nil {
		return out, err
	}
	defer v.stop()
	before, err := s.takeovers()
	if err != nil {
		return out, err
	}
	l := s.pair()
	if err := errors.Join(v.mark(nil), c.cut(l, old)); err != nil {
		return out, err
	}
	hold := c.hold
	if b.quick {
		hold = min(hold, 3*time.Second)
	}
	pause(ctx, hold)
	if t, ok := s.(*twins); ok {
		if d, ok := t.alarmAfter(v.at); ok {
			out.Alarm = ms(d)
		}
	}
	if err := v.heal(ctx, &out, func() error { return c.mend(l, old) }); err != nil {
		return out, err
	}
	v.take(&out, nil, nil)
	now, err := s.takeovers()
	out.Moves = now - before
	return out, err
}
