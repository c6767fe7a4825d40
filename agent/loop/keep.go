package loop

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// saveDeadline bounds one write of the journal; a disk that is slower has
// another problem, and the alarm says so.
const saveDeadline = 10 * time.Second

// keep notes what a machine wants to survive a reboot.
func (l *Loop) keep(g *group, p pair.Persist) {
	l.saved.Terms[g.index] = max(l.saved.Terms[g.index], p.Term)
	unfit := ""
	if p.Unfit {
		unfit = cmp.Or(g.m.View().UnfitWhy, "services failed here")
	}
	l.saved.Unfit[g.index] = unfit
	l.save()
}

// save writes the journal in its lane. While one write is under way, the next
// waits and takes the newest state, however many asked.
func (l *Loop) save() {
	if l.saving {
		l.saveAgain = true
		return
	}
	l.saving = true
	memory, state := l.o.Memory, l.saved.clone()
	l.lane("journal", saveDeadline,
		func(context.Context) Fact { return savedFact{l.saveProof(memory, state)} },
		func(err error) Fact { return savedFact{err} })
}

// clone copies what the journal's lane will read while the loop goes on.
func (s Saved) clone() Saved {
	s.Terms = append([]uint32(nil), s.Terms...)
	s.Unfit = append([]string(nil), s.Unfit...)
	if s.Maintenance != nil {
		m := *s.Maintenance
		s.Maintenance = &m
	}
	s.Fences = append([]time.Duration(nil), s.Fences...)
	return s
}

type savedFact struct{ err error }

func (f savedFact) apply(l *Loop, _ pair.Instant) {
	l.saving, l.unsaved = false, f.err != nil
	l.alarm("journal", f.err != nil, fmt.Sprintf("save journal: %v", f.err))
	if l.saveAgain {
		l.saveAgain = false
		l.save()
	}
}

// housekeep is what once a second is often enough for.
func (l *Loop) housekeep(now pair.Instant) {
	l.expire(now)
	if l.unsaved { // a disk that was full may have room again
		l.save()
	}
	for _, g := range l.groups {
		l.check(now, g)
		if g.litUntil != 0 && !g.m.View().State.Owns() {
			l.close(g) // it failed before
		}
		l.renewAddresses(g)
	}
	l.prove(now)
	l.askFence(now)
	l.judgeWiring(now)
	l.passBudget(now)
	l.judgeLeave(now)
	l.repower(now)
	l.judgeKeys(now)
	l.lookUpstream(now)
	l.tellGivenUp()
	if l.saved.FencedBy != "" && l.twoWay(now) && now.Since(l.noticedAt) > l.o.FenceTime {
		l.saved.FencedBy = "" // in contact, and no fence came of it any more
		l.save()
	}
	if l.peer.ackAt != 0 && now.Since(l.peer.ackAt) < l.o.Dead && !l.contact {
		l.contact = true
		l.fence.owed.Store(false) // who was in contact may fence without a token
		memory := l.o.Memory
		l.lane("journal", saveDeadline,
			func(context.Context) Fact { return contactFact{memory.RecordContact()} },
			func(err error) Fact { return contactFact{err} })
	}
}

// contactFact ends the note of a two-way contact, which gives a spent boot
// token anew.
type contactFact struct{ err error }

func (f contactFact) apply(l *Loop, _ pair.Instant) {
	l.contact = f.err == nil
	l.alarm("boot-token", f.err != nil, fmt.Sprintf("keep boot token: %v", f.err))
}

// renewAddresses extends the lifetime of the addresses, the second layer
// under the gate.
func (l *Loop) renewAddresses(g *group) {
	if !g.opened {
		return
	}
	hands, i := l.o.Hands, g.index
	l.lane(fmt.Sprintf("lifetime %d", i), time.Second, func(ctx context.Context) Fact {
		missing, err := hands.RenewAddresses(ctx, i)
		switch {
		case err != nil:
			return lifetimeFact{i, err}
		case len(missing) > 0:
			return AddressGone{Group: i, What: fmt.Sprintf("%s is missing (%d in all)", missing[0], len(missing))}
		}
		return lifetimeFact{i, nil}
	}, func(err error) Fact { return lifetimeFact{i, err} })
}

// lifetimeFact ends a renewal of lifetimes.
type lifetimeFact struct {
	group int
	err   error
}

func (f lifetimeFact) apply(l *Loop, _ pair.Instant) {
	l.ownerAlarm(l.groups[f.group], "/lifetime", f.err, "renew address lifetimes")
}

// expire ends a maintenance whose time is over. The time left is counted
// down on the monotonic clock: the wall clock may jump.
func (l *Loop) expire(now pair.Instant) {
	m := l.saved.Maintenance
	if m == nil || m.LeftSec == 0 {
		return
	}
	m.LeftSec--
	if m.LeftSec > 0 {
		if m.LeftSec%60 == 0 {
			l.save() // a reboot may lengthen the maintenance by at most a minute
		}
		return
	}
	l.endMaintenance(now, "its time is over", func(g *group) bool {
		return g.m.View().State != pair.Failed // a clock cannot say that it is mended
	})
}
