package loop

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A FenceDone is the end of a fence operation, as the device's driver tells it.
type FenceDone struct {
	Proven   bool
	Grade    string // what the proof rests on, in words
	Level    int
	Evidence string // what it rests on, or why it does not hold
	Detail   string // device, readings and errors
	Took     time.Duration
}

// fenceState merges what several machines want of the one power switch.
type fenceState struct {
	waiting map[int]uint32 // group index to ticket
	why     string         // of the newest wish
	group   string
	wished  pair.Instant // when the newest wish came
	running bool
	dropped bool        // nobody wanted it any more, and its lane was told
	owed    atomic.Bool // the boot token must be spent on disk before the device is asked
	began   pair.Instant
	paid    bool // the budget has counted a fence since the peer was last alive
	barred  string
	budget  pair.Budget
	passed  pair.Instant // until when the budget's time was counted

	asked    pair.Instant
	asking   bool // an answer is awaited
	power    string
	err      string
	identity string // what is wrong with who it is; empty: nothing
	wrong    bool   // it reads off although the peer beats
	odd      string // it reads what cannot be
	last     string

	fellAt   pair.Instant // when the peer's modem lines fell; zero: they are up, or say nothing
	stay     string       // the modem lines contradict a proof
	offAt    pair.Instant // since when the peer is off by this node's doing; zero: it is not
	nextOn   pair.Instant // no earlier try to switch it on again
	onTries  int
	onAt     pair.Instant // when it was switched on; zero: not, or heard since
	verify   *verification
	verified *report.Verified
}

// fencePeer notes that a machine wants the peer off.
func (l *Loop) fencePeer(now pair.Instant, g *group, a pair.FencePeer) {
	f := &l.fence
	if f.waiting == nil {
		f.waiting = map[int]uint32{}
	}
	f.waiting[g.index], f.wished = a.Ticket, now
	if a.Token {
		l.contact = false
		f.owed.Store(true)
	}
	if f.running {
		return
	}
	f.why, f.group = a.Why, g.Name
	l.tryFence(now)
}

// tryFence starts the operation that is wanted. Whose turn it is to fence has
// been decided by the machine (see pair).
func (l *Loop) tryFence(now pair.Instant) {
	if f := &l.fence; !f.running && len(f.waiting) > 0 {
		l.startFence(now)
	}
}

// startFence asks the device, in its lane. A machine counts its token as spent
// once it asked; the disk may have refused, and then no later try may go on
// without it.
func (l *Loop) startFence(now pair.Instant) {
	f := &l.fence
	f.running, f.dropped, f.began = true, false, now
	l.event(now, report.Event{Kind: "fence", Group: f.group, Seen: f.why, Decided: "switch " + l.o.Peer.Name + " off", Done: "asking " + l.o.FenceName})
	l.pay()
	l.o.Lanes.Cancel("fence status") // many devices serve one at a time
	hands, memory, owed := l.o.Hands, l.o.Memory, &f.owed
	wished, spare := f.wished, l.groups[0].Pair.FenceSpare/2
	failed := func(err error) Fact {
		return fencedFact{FenceDone: FenceDone{Evidence: err.Error()}}
	}
	l.lane("fence", l.o.FenceTime, func(ctx context.Context) Fact {
		if owed.Load() {
			if err := memory.SpendToken(); err != nil {
				return failed(err)
			}
			owed.Store(false)
		}
		if spare > 0 && l.o.Now().Since(wished) > spare {
			return failed(errTurnOver)
		}
		done := hands.Fence(ctx)
		return fencedFact{done, done.Proven && l.linesStay(ctx)}
	}, failed)
}

// errTurnOver says that this process stood still between its decision to fence
// and the deed: by now the peer may be at it.
var errTurnOver = errors.New("this process stood still until its turn to fence was over")

type fencedFact struct {
	FenceDone
	stay bool // the modem lines stay up
}

func (r fencedFact) opens() {}

func (r fencedFact) apply(l *Loop, now pair.Instant) {
	f := &l.fence
	r.FenceDone = l.witness(r)
	f.running, f.last = false, r.text()
	l.provenOff(r.FenceDone)
	if r.Proven {
		f.power, f.offAt, f.nextOn, f.onTries = "off", now, now.Add(repowerHold), 0
	}
	l.history(report.Fence{
		By: "agent of " + l.o.Self.Name, Why: f.why, Action: "off", Proven: r.Proven,
		Grade: r.Grade, Level: r.Level, Evidence: r.Evidence, Detail: r.Detail, TookMS: r.Took.Milliseconds(),
	})
	l.event(now, report.Event{
		Kind: "fence", Seen: f.last, Decided: map[bool]string{true: "proven off", false: "not proven"}[r.Proven],
		Done: l.o.FenceName, Evidence: r.Grade,
	})
	if f.dropped && !r.Proven && len(f.waiting) > 0 {
		l.tryFence(now) // wanted again while the one before was being ended
		return
	}
	waiting := f.waiting
	f.waiting = nil
	for _, g := range l.groups {
		ticket, asked := waiting[g.index]
		if asked || r.Proven || !f.dropped { // one proof serves every group, and who failed acts for all
			l.step(now, g, pair.FenceDone{Ticket: ticket, Proven: r.Proven, Detail: f.last})
		}
	}
}

// text is the outcome in one line.
func (d FenceDone) text() string {
	s := d.Evidence
	if d.Detail != "" {
		s += "; " + d.Detail
	}
	if d.Proven {
		s += fmt.Sprintf("; took %d ms", d.Took.Milliseconds())
	}
	return s
}

// cancelFence withdraws a machine's wish; with nobody left who wants it the
// operation is ended.
func (l *Loop) cancelFence(g *group, ticket uint32) {
	f := &l.fence
	if f.waiting[g.index] != ticket {
		return
	}
	delete(f.waiting, g.index)
	if len(f.waiting) == 0 && f.running && f.verify == nil {
		f.dropped = true
		l.o.Lanes.Cancel("fence")
	}
}

// history keeps what was done with the peer's power, across reboots.
func (l *Loop) history(r report.Fence) {
	r.At, r.Target, r.Node = l.o.Wall(), l.o.FenceName, l.o.Peer.Name
	l.saved.LastFence = &r
	l.save()
	memory := l.o.Memory
	l.lane("fence history", saveDeadline,
		func(context.Context) Fact { return historyFact{memory.Fenced(r)} },
		func(err error) Fact { return historyFact{err} })
}

type historyFact struct{ err error }

func (h historyFact) apply(l *Loop, _ pair.Instant) {
	l.alarm("fence-history", h.err != nil, fmt.Sprintf("keep fence history: %v", h.err))
}
