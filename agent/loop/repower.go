package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// Bounds of giving a fenced peer its power back.
const (
	// repowerHold is how long the peer stays off at least: its power supply
	// must have run dry, or it does not start (fence.MinHold).
	repowerHold  = 10 * time.Second
	repowerEvery = 30 * time.Second // pause after a failed try
	repowerTries = 5                // then it is left to an operator
	// repowerHeard is how long a box may take to boot before its silence is an alarm.
	repowerHeard = 5 * time.Minute
)

// repower switches the peer on again, where the configuration wants it. Once it
// has power it is no longer proven off, so nothing may rest on that proof any
// more: every group must be served here, or not be this node's to serve. And
// the node must be able to fence it once more.
func (l *Loop) repower(now pair.Instant) {
	f := &l.fence
	if f.onAt != 0 && now.Since(f.onAt) > repowerHeard {
		l.alarm("fence-repower", true, fmt.Sprintf("%s was switched on again, but has not been heard since", l.o.Peer.Name))
	}
	if !l.o.Repower || f.offAt == 0 || now < f.nextOn || f.onTries >= repowerTries || f.running || len(f.waiting) > 0 || l.stopping {
		return
	}
	if f.barred != "" || f.budget.Spent() || !l.settled() {
		return
	}
	f.running, f.began = true, now
	f.onTries++
	f.nextOn = now.Add(repowerEvery)
	l.event(now, report.Event{
		Kind: "fence", Seen: fmt.Sprintf("%s is off for %s, and all it owned is served here", l.o.Peer.Name, text0(now.Since(f.offAt))),
		Decided: "give it its power back", Done: "asking " + l.o.FenceName,
	})
	l.switchOn(now, func(err error) Fact { return repoweredFact{err} })
}

// settled says whether no entry to ACTIVE rests on the peer's being off any more.
func (l *Loop) settled() bool {
	for _, g := range l.groups {
		v := g.m.View()
		served := (v.State == pair.Active || v.State == pair.Solo) && g.opened && v.ServiceUp
		if !served && !v.Passive {
			return false
		}
	}
	return true
}

// switchOn gives the peer its power back, in the lane of the fence: it never
// overlaps with an order to switch it off.
func (l *Loop) switchOn(_ pair.Instant, end func(error) Fact) {
	hands := l.o.Hands
	l.lane("fence", l.o.FenceTime, func(ctx context.Context) Fact { return end(hands.FenceOn(ctx)) }, end)
}

type repoweredFact struct{ err error }

func (r repoweredFact) apply(l *Loop, now pair.Instant) {
	f := &l.fence
	f.running = false
	rec := report.Fence{
		By: "agent of " + l.o.Self.Name, Why: "repower after a fence", Action: "on", Proven: r.err == nil,
		Evidence: "reads on", TookMS: now.Since(f.began).Milliseconds(),
	}
	f.power = "unknown" // it may be on, whatever the answer
	if r.err != nil {
		rec.Evidence = r.err.Error()
	} else {
		f.power, f.offAt, f.onAt = "on", 0, now
	}
	l.history(rec)
	l.alarm("fence-repower", r.err != nil, fmt.Sprintf("give %s its power back: %v", l.o.Peer.Name, r.err))
	l.event(now, report.Event{Kind: "fence", Seen: rec.Evidence, Decided: "switch " + l.o.Peer.Name + " on", Done: l.o.FenceName})
	l.tryFence(now)
}
