package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/act"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A Fact is something that a lane or a watcher found out. The set is closed.
type Fact interface{ apply(*Loop, pair.Instant) }

// An opener is a fact after which a gate may open in the same turn, so that
// the turn mark must be put before it is looked at.
type opener interface{ opens() }

// groupFact carries a machine's input for one group.
type groupFact struct {
	group int
	in    pair.Input
}

func (f groupFact) apply(l *Loop, now pair.Instant) {
	g := l.groups[f.group]
	if up, ok := f.in.(pair.ServicesUp); ok && up.Err == "" {
		l.forgetServices(g) // they were watched anew, and all run
	}
	l.step(now, g, f.in)
}
func (f groupFact) opens() {}

// Facts of the watchers.
type (
	// ForeignMAC reports that somebody else speaks for an address.
	ForeignMAC struct {
		Group        int
		Address, MAC string
	}
	// AddressGone reports that something of a group's addresses and routes is
	// missing; What is a clause that says what happened.
	AddressGone struct {
		Group int
		What  string
	}
	// GateChanged reports that a stranger changed or deleted the gate; Restored
	// says that its rules are back (closed for everybody).
	GateChanged struct {
		What     string
		Restored error
	}
	// ServiceFault reports a service that a check found dead.
	ServiceFault struct {
		Group     int
		Name, Err string
		Final     bool // restarts in place are used up
		Over      bool // it runs again
	}
	// DeviceChanged reports that a device of a group came up or went down.
	DeviceChanged struct {
		Group  int
		Device string
		Up     bool
	}
	// Notice is a line for the journal that calls for no decision.
	Notice struct{ Event report.Event }
	// AlarmChanged raises or clears an alarm of a watcher.
	AlarmChanged struct {
		Name, Text string
		On         bool
	}
)

func (f ForeignMAC) apply(l *Loop, now pair.Instant) {
	l.step(now, l.groups[f.Group], pair.ForeignMAC{Address: f.Address, MAC: f.MAC})
}

func (f AddressGone) apply(l *Loop, now pair.Instant) {
	g := l.groups[f.Group]
	if !g.opened {
		return
	}
	if g.mending { // one line and one repair serve a thousand addresses
		g.mendMore = true
		return
	}
	l.event(now, report.Event{
		Kind: "address", Group: g.Name, Seen: f.What,
		Decided: "this node owns the group", Done: "put back and announced",
	})
	l.restore(g, "an address was put back")
}

// restore puts back what a group holds, without a change of role. What is asked
// for while it is under way is done once more after it, so that a stranger who
// deletes addresses all the time cannot fill the lane.
func (l *Loop) restore(g *group, why string) {
	if g.mending {
		g.mendMore = true
		return
	}
	g.mending = true
	hands, i := l.o.Hands, g.index
	l.lane(groupLane(i), g.Slow.Take, func(ctx context.Context) Fact {
		err := hands.TakeAddresses(ctx, i)
		if err == nil {
			hands.Announce(i, why)
		}
		return mendedFact{i, err}
	}, func(err error) Fact { return mendedFact{i, err} })
}

// mendedFact ends a restore.
type mendedFact struct {
	group int
	err   error
}

func (f mendedFact) apply(l *Loop, _ pair.Instant) {
	g := l.groups[f.group]
	more := g.mendMore
	g.mending, g.mendMore = false, false
	l.ownerAlarm(g, "/address", f.err, "put address back")
	if more && g.opened {
		l.restore(g, "more addresses were put back")
	}
}

// ownerAlarm raises an alarm that makes sense only while this node owns the
// group, or clears it; a lane may end after that.
func (l *Loop) ownerAlarm(g *group, name string, err error, what string) {
	l.alarm(g.Name+name, err != nil && g.opened, fmt.Sprintf("%s: %v", what, err))
}

func (f GateChanged) apply(l *Loop, now pair.Instant) {
	done := "the gate is back, closed; owners ask for it again"
	if f.Restored != nil {
		done = "restore failed: " + f.Restored.Error()
	}
	l.alarm("gate-rules", f.Restored != nil, f.What+": "+done)
	l.event(now, report.Event{Kind: "address", Seen: f.What, Done: done})
	for _, g := range l.groups {
		l.verify(now, g)
	}
}

func (f GateChanged) opens() {}

// verify compares what the loop believes of a lease with what the kernel says.
// A lease that is gone long before its time was taken by a stranger; one that
// nobody renewed ran out.
func (l *Loop) verify(now pair.Instant, g *group) {
	if !g.opened {
		return
	}
	held, _, err := l.o.Gate.Held(uint8(g.index))
	if held && err == nil {
		return
	}
	g.opened, g.unread = false, 0
	l.o.Hands.SetOwner(g.index, false)
	l.step(now, g, pair.LeaseLost{Stranger: now.Since(g.renewed) < l.o.Lease/2})
}

// unreadMost is how many checks in a row may fail to read the kernel while its
// renewals succeed: one that is short of memory is no reason to move a group.
const unreadMost = 3

// check is verify for the regular look: a failed read alone proves nothing yet.
func (l *Loop) check(now pair.Instant, g *group) {
	if !g.opened {
		return
	}
	_, _, err := l.o.Gate.Held(uint8(g.index))
	if err != nil && g.unread < unreadMost {
		g.unread++
		return
	}
	if err == nil {
		g.unread = 0
	}
	l.verify(now, g)
}

func (f ServiceFault) apply(l *Loop, now pair.Instant) {
	g := l.groups[f.Group]
	if f.Final {
		l.step(now, g, pair.ServiceFailed{Name: f.Name, Err: f.Err})
		return
	}
	if !g.m.View().State.Owns() {
		return // a check that ended late
	}
	l.alarm(g.Name+"/service-"+f.Name, !f.Over, f.Name+" "+f.Err)
	l.event(now, report.Event{Kind: "service", Group: g.Name, Seen: f.Name + " " + f.Err})
}

func (f DeviceChanged) apply(l *Loop, now pair.Instant) {
	g := l.groups[f.Group]
	state := "carries no frames"
	if f.Up {
		state = "carries frames"
	}
	l.alarm(g.Name+"/device-"+f.Device, !f.Up, f.Device+" "+state)
	if f.Up && g.opened {
		l.restore(g, f.Device+" came up") // the kernel forgot routes and IPv6 addresses with the link
	}
}

func (f Notice) apply(l *Loop, now pair.Instant)       { l.event(now, f.Event) }
func (f AlarmChanged) apply(l *Loop, now pair.Instant) { l.alarm(f.Name, f.On, f.Text) }

// lane runs fn apart from the loop and brings its fact back. Where fn cannot
// run or does not come back in time, failed makes the fact instead: what was
// asked for with a ticket is always answered.
func (l *Loop) lane(name string, deadline time.Duration, fn func(context.Context) Fact, failed func(error) Fact) {
	l.op++
	err := l.o.Lanes.Do(name, l.op, deadline, func(ctx context.Context) any { return fn(ctx) })
	l.alarm("lane/"+name, err != nil, fmt.Sprintf("%s is behind: %v", name, err))
	if err != nil {
		l.late = append(l.late, failed(err))
		return
	}
	l.pending[l.op] = failed
}

// finished returns the fact that a lane's end stands for, or nil.
func (l *Loop) finished(r act.Result) Fact {
	failed := l.pending[r.Ticket]
	delete(l.pending, r.Ticket)
	if f, ok := r.Value.(Fact); ok {
		return f
	}
	if failed == nil {
		return nil
	}
	return failed(r.Err)
}
