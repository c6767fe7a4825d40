package loop

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A Yield is the fact that the process is about to end for an agent that keeps what
// it finds: groups that this node owns, and gates that are closed. Of groups that it
// does not own the machines say GOODBYE: a node that restarts is not to be missed, let
// alone switched off. Done is closed once that was said, the journal says so too, and
// the watchdog leaves the next agent the time to start.
type Yield struct{ Done chan<- struct{} }

// yieldMost bounds what an end for a restart waits for the disk; the leases are
// renewed all the time. A process whose thread waits for the disk ends only when that
// does, and its leases run out.
const yieldMost = 10 * time.Second

// yielding is an end for a restart under way.
type yielding struct {
	done  chan<- struct{} // nil: none
	from  pair.Instant    // until then GOODBYE is repeated
	until pair.Instant    // no longer for the disk
}

func (y Yield) apply(l *Loop, now pair.Instant) {
	l.yield = yielding{done: y.Done, from: now, until: now.Add(yieldMost)}
	for _, g := range l.groups {
		owns := g.opened || g.wantOpen != 0 || g.m.View().State.Owns()
		if !owns && !l.watch.starved { // which said it
			l.step(now, g, pair.Stop{})
			l.yield.from = now.Add(2 * l.o.Beat)
		}
	}
	l.event(now, report.Event{Kind: "agent", Decided: "end for a restart", Done: "the next agent keeps what this one owns"})
	l.saved.Clean = !l.watch.starved
	l.save()
}

// yields says whether nothing keeps the process from ending for a restart.
func (l *Loop) yields(now pair.Instant) bool {
	y := &l.yield
	return y.done != nil && now >= y.from && (!l.saving || now >= y.until)
}

func (l *Loop) yielded() {
	close(l.yield.done)
	l.yield.done = nil
}
