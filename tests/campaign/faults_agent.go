package main

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

// agentFaults are those of the program and of the box's power.
var agentFaults = []fault{
	{name: "kill-owner", touches: agents, ends: true, moves: mustMove, evidence: "*", strike: func(x *strike) error { return x.kill(x.owner) }},
	{name: "kill-standby", touches: agents, ends: true, strike: func(x *strike) error { return x.kill(x.peer) }},
	{name: "kill-both", touches: agents, ends: true, strike: func(x *strike) error {
		x.later(x.between(0, 300), func() error { return x.kill(x.peer) })
		return x.kill(x.owner)
	}},
	{name: "crash-owner", touches: agents, ends: true, moves: mustMove, evidence: "*", strike: func(x *strike) error {
		x.expectCrash = true
		x.node(x.owner).Signal(syscall.SIGSEGV)
		return nil
	}},
	{name: "freeze-short", touches: agents, strike: func(x *strike) error { return x.freeze(x.any(), x.between(10, 300)) }},
	{name: "freeze-long", touches: agents, moves: mustMove, evidence: "*", strike: func(x *strike) error { return x.freeze(x.owner, x.between(900, 1600)) }},
	{name: "freeze-standby", touches: agents, strike: func(x *strike) error { return x.freeze(x.peer, x.between(300, 1500)) }},
	{name: "freeze-both", touches: agents, strike: func(x *strike) error {
		x.later(x.between(0, 350), func() error { return x.freeze(x.peer, x.between(50, 900)) })
		return x.freeze(x.owner, x.between(50, 900))
	}},
	{name: "freeze-stutter", touches: agents, strike: stutter},
	{name: "stop-owner", touches: agents, ends: true, moves: mustMove, evidence: "released goodbye", strike: func(x *strike) error { return x.halt(x.owner) }},
	{name: "stop-standby", touches: agents, ends: true, strike: func(x *strike) error { return x.halt(x.peer) }},
	{name: "stop-both", touches: agents, ends: true, strike: func(x *strike) error {
		x.later(x.between(0, 100), func() error { return x.halt(x.peer) })
		return x.halt(x.owner)
	}},
	{name: "start-both", touches: agents, ends: true, strike: startBoth},
	{name: "restart-owner", touches: agents, ends: true, strike: func(x *strike) error {
		x.later(x.between(100, 800), func() error { return x.start(x.owner) })
		return x.halt(x.owner)
	}},
	{name: "rolling-restart", touches: agents, ends: true, strike: func(x *strike) error {
		for k, i := range []int{x.peer, x.owner} {
			x.later(time.Duration(k)*1500*time.Millisecond, func() error { return x.halt(i) })
			x.later(time.Duration(k)*1500*time.Millisecond+x.between(50, 300), func() error { return x.start(i) })
		}
		return nil
	}},
	{name: "restart-in-place", touches: agents, ends: true, strike: func(x *strike) error { // an upgrade that keeps the group
		x.node(x.owner).Kill()
		return x.start(x.owner)
	}},
	{name: "restart-storm", touches: agents, ends: true, strike: storm},
	{name: "restart-storm-cut-off", touches: agents | links, ends: true, strike: func(x *strike) error { // an init that restarts what crashes, with nobody to talk to
		x.undo(x.healLinks)
		x.CutSerial()
		if err := x.CutEthernetSilently(); err != nil {
			return err
		}
		for at := time.Duration(0); at < 1500*time.Millisecond; at += x.between(220, 330) {
			x.later(at, func() error { return x.kill(x.owner) })
			x.later(at+x.between(20, 200), func() error { return x.start(x.owner) })
		}
		return nil
	}},
	{name: "kill-during-boot", touches: agents, ends: true, strike: func(x *strike) error {
		i := x.any()
		x.node(i).Kill()
		x.later(x.between(100, 500), func() error { return x.start(i) })
		x.later(x.between(500, 1800), func() error { return x.kill(i) })
		return nil
	}},
	{name: "power-off-owner", touches: agents, ends: true, moves: mustMove, evidence: "*", strike: func(x *strike) error { return x.powerOff(x.owner) }},
	{name: "power-off-standby", touches: agents, ends: true, strike: func(x *strike) error { return x.powerOff(x.peer) }},
	{name: "power-off-both", touches: agents, ends: true, strike: func(x *strike) error {
		x.later(x.between(0, 200), func() error { return x.powerOff(x.peer) })
		return x.powerOff(x.owner)
	}},
	{name: "power-cycle", touches: agents, ends: true, strike: func(x *strike) error {
		i := x.any()
		x.later(x.between(20, 500), func() error { return x.powerOn(i) })
		return x.powerOff(i)
	}},
	{name: "restart-at-armed", touches: agents, ends: true, alone: true, strike: func(x *strike) error { return x.atStep("ARMED", 1) }},
	{name: "restart-at-standby", touches: agents, ends: true, alone: true, strike: func(x *strike) error { return x.atStep("STANDBY", 1) }},
	{name: "restart-at-active", touches: agents, ends: true, alone: true, strike: func(x *strike) error { return x.atStep("ACTIVE", 1) }},
	{name: "restart-at-releasing", touches: agents, ends: true, alone: true, strike: func(x *strike) error { return x.atStep("RELEASING", 1) }},
	{name: "restart-at-fencing", only: "fence", touches: agents, ends: true, alone: true, strike: func(x *strike) error { return x.atStep("FENCING", 1) }},
	{name: "restart-at-event", touches: agents, ends: true, alone: true, strike: func(x *strike) error { return x.atStep("", 1+x.rng.IntN(10)) }},
}

// freeze stops an agent for a while: it comes back late, and knows nothing.
func (x *strike) freeze(i int, d time.Duration) error {
	x.node(i).Freeze()
	x.later(d, func() error { x.node(i).Thaw(); return nil })
	return nil
}

// stutter stops and continues an agent around its lease.
func stutter(x *strike) error {
	i, at := x.any(), time.Duration(0)
	for range 3 + x.rng.IntN(4) {
		x.later(at, func() error { x.node(i).Freeze(); return nil })
		at += x.between(20, 330)
		x.later(at, func() error { x.node(i).Thaw(); return nil })
		at += x.between(1, 30)
	}
	return nil
}

func startBoth(x *strike) error {
	down := x.between(200, 700)
	for _, i := range []int{x.owner, x.peer} {
		x.later(down+x.between(0, 100), func() error { return x.start(i) })
		if err := x.halt(i); err != nil {
			return err
		}
	}
	return nil
}

func storm(x *strike) error {
	at := time.Duration(0)
	for range 4 + x.rng.IntN(4) {
		i, kill := x.any(), x.rng.IntN(3) > 0
		x.later(at, func() error {
			if kill {
				return x.kill(i)
			}
			return x.halt(i)
		})
		at += x.between(1, 250)
		x.later(at, func() error { return x.start(i) })
		at += x.between(1, 250)
	}
	return nil
}

// stepTime bounds how long a trap is set for a step.
const stepTime = 1500 * time.Millisecond

// atStep begins a move of the group, and ends the agent that takes the n-th
// such step of it, or the other one, in the moment in which the step is
// recorded. An empty state takes every event for a step.
func (x *strike) atStep(state string, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTime)
	var count atomic.Int64
	other := x.rng.IntN(3) == 0
	for _, i := range []int{x.owner, x.peer} {
		victim := x.node(i)
		if other {
			victim = x.node(1 - i)
		}
		trap := func(e report.Event) error {
			if state != "" && (e.Kind != "role" || e.To != state) || count.Add(1) != int64(n) {
				return nil
			}
			victim.Signal(syscall.SIGKILL)
			x.note("%s %s %s -> %s: killed %s", x.node(i).Name, e.Kind, e.From, e.To, victim.Name)
			cancel()
			return nil
		}
		after := x.lastSeq(i)
		x.busy.Go(func() { x.follow(ctx, i, after, trap) })
	}
	x.undo(func() error { cancel(); return nil })
	return x.begin()
}

// begin lets the group move, in one of several ways.
func (x *strike) begin() error {
	x.later(50*time.Millisecond, func() error {
		switch x.rng.IntN(3) {
		case 0:
			return x.order(x.owner, control.Order{Command: control.OrderHandover})
		case 1:
			return x.freeze(x.owner, x.between(500, 1200))
		}
		return x.halt(x.owner)
	})
	return nil
}

// follow reads an agent's events as they come, also of one that starts again.
func (x *strike) follow(ctx context.Context, i int, after uint64, fn func(report.Event) error) {
	for ctx.Err() == nil {
		if c, err := control.Dial(x.node(i).RunDir() + "/twinbeat.sock"); err == nil {
			_ = c.Events(ctx, after, true, func(e report.Event) error {
				after = max(after, e.Seq)
				return fn(e)
			})
			_ = c.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
