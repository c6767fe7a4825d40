package loop

import (
	"fmt"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// bars says why this node may not switch the peer off; empty: it may.
func (l *Loop) bars() string {
	f := &l.fence
	switch {
	case l.o.FenceName == "":
		return ""
	case l.o.NeedVerified && f.verified == nil:
		return "its wiring is not verified as it is configured; put " + l.o.Peer.Name + " into maintenance and run `twinbeat fence verify` here"
	case f.identity != "":
		return "the device is another one: " + f.identity
	case f.budget.Spent() && !f.paid:
		return fmt.Sprintf("it was switched off %d times within an hour; `twinbeat resume` allows it again", len(f.budget.Left))
	}
	return ""
}

// judgeLeave tells the machines when the leave to fence comes or goes.
func (l *Loop) judgeLeave(now pair.Instant) {
	f := &l.fence
	if l.o.FenceName == "" {
		return
	}
	l.alarm("fence-unverified", l.o.NeedVerified && f.verified == nil, l.bars())
	l.alarm("fence-budget", f.budget.Spent(), fmt.Sprintf("%s was switched off %d times within an hour; no more until one is forgotten, or `twinbeat resume`", l.o.Peer.Name, len(f.budget.Left)))
	was := f.barred
	f.barred = l.bars()
	if f.barred == was {
		return
	}
	e := report.Event{Kind: "fence", Seen: f.barred, Decided: "this node may not switch " + l.o.Peer.Name + " off"}
	if f.barred == "" {
		e = report.Event{Kind: "fence", Seen: "condition over: " + was, Decided: "this node may switch " + l.o.Peer.Name + " off"}
	}
	l.event(now, e)
	for _, g := range l.groups {
		l.step(now, g, pair.FenceLeave{Barred: f.barred})
	}
}

// recall takes what the journal kept of the fence.
func (l *Loop) recall(now pair.Instant) {
	f := &l.fence
	f.budget = pair.Budget{Most: l.o.FenceBudget, Left: append(l.saved.Fences[:0:0], l.saved.Fences...)}
	f.passed = now
	if v := l.saved.Verified; v != nil && v.Wiring == l.o.FenceWiring {
		f.verified = v
	}
	f.barred = l.bars()
	for _, g := range l.groups {
		g.Start.Barred = f.barred
	}
}

// pay counts a fence. What is tried again while the peer stays silent is the
// same one; a device that is away must not use the budget up. The count is
// saved in the background: it is to stop a loop of hours, and a disk that
// fails must not keep this node from serving.
func (l *Loop) pay() {
	f := &l.fence
	if f.paid {
		return
	}
	f.paid = true
	f.budget.Take()
	l.keepBudget()
}

func (l *Loop) keepBudget() {
	l.saved.Fences = append(l.saved.Fences[:0:0], l.fence.budget.Left...)
	l.save()
}

// passBudget forgets fences that lie back far enough.
func (l *Loop) passBudget(now pair.Instant) {
	f := &l.fence
	if f.budget.Pass(now.Since(f.passed)) {
		l.keepBudget()
	}
	f.passed = now
}

// forgive gives the whole budget back: an operator has looked at it.
func (l *Loop) forgive(now pair.Instant) {
	if len(l.fence.budget.Left) == 0 {
		return
	}
	l.fence.budget.Left = nil
	l.keepBudget()
	l.judgeLeave(now)
}
