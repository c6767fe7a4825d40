package loop

import (
	"context"
	"errors"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// Facts of a reload. Whoever tells one waits for Done, a channel of one place;
// the loop never does.
type (
	// A Chore is work on a group, done in its lane: in order with what the
	// group's machine asks for, and never beside it.
	Chore struct {
		Group int
		For   time.Duration
		Do    func(context.Context) error
		Done  chan<- error
	}
	// Refence puts another fence device in the place of the one in use. It is
	// refused while the device may be at work.
	Refence struct {
		Fence FenceTerms
		Swap  func() // in the loop, between two uses of the device
		Done  chan<- error
	}
	// Reloaded tells the loop what a reload has changed for it.
	Reloaded struct {
		Digest uint32
		Talk   Talk
		Groups []Regroup // in the order of the groups
		Grace  time.Duration
		Event  report.Event
		Done   chan<- error
	}
)

// A Regroup is what of a Group a reload may change.
type Regroup struct {
	Addresses []string
	Services  []string
	Slow      Deadlines
}

// FenceTerms are the Options of the fence that a reload may change.
type FenceTerms struct {
	Name, Wiring string
	Budget       int
	NeedVerified bool
	Repower      bool
}

func (c Chore) apply(l *Loop, _ pair.Instant) {
	l.lane(groupLane(c.Group), c.For,
		func(ctx context.Context) Fact { return choreFact{c.Done, c.Do(ctx)} },
		func(err error) Fact { return choreFact{c.Done, err} })
}

// choreFact ends a Chore.
type choreFact struct {
	done chan<- error
	err  error
}

func (f choreFact) apply(*Loop, pair.Instant) { reply(f.done, f.err) }

// reply never waits, whoever asked and gave up.
func reply(done chan<- error, err error) {
	select {
	case done <- err:
	default:
	}
}

// ErrFencing refuses a new fence device.
var ErrFencing = errors.New("change fence: the device is at work; ask again when it is done")

func (r Refence) apply(l *Loop, now pair.Instant) {
	f := &l.fence
	if f.running || f.asking || len(f.waiting) > 0 || f.verify != nil || f.offAt != 0 {
		reply(r.Done, ErrFencing)
		return
	}
	r.Swap()
	l.o.FenceName, l.o.FenceWiring, l.o.FenceBudget = r.Fence.Name, r.Fence.Wiring, r.Fence.Budget
	l.o.NeedVerified, l.o.Repower = r.Fence.NeedVerified, r.Fence.Repower
	f.budget.Most, f.verified = l.o.FenceBudget, nil
	if v := l.saved.Verified; v != nil && v.Wiring == l.o.FenceWiring {
		f.verified = v
	}
	f.identity, f.asked = "", 0 // who the new one is, the next question tells
	l.judgeLeave(now)
	reply(r.Done, nil)
}

func (r Reloaded) apply(l *Loop, now pair.Instant) {
	for i, n := range r.Groups {
		g := l.groups[i]
		l.forgetServices(g) // a service that fails is told anew
		g.lan.forget()
		g.Addresses, g.Services, g.Slow = n.Addresses, n.Services, n.Slow
	}
	l.o.Digest, l.grace, l.o.Talk = r.Digest, r.Grace, r.Talk
	l.differ = newDiffering(r.Talk)
	l.urgent = true // the peer learns of it at once
	l.event(now, r.Event)
	reply(r.Done, nil)
}
