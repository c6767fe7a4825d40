package loop

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// fenceAsk is how often the device is asked for the outlet's state while all
// is well: an unreachable device must be an alarm long before it is needed.
const fenceAsk = 30 * time.Second

// fenceAskAgain is how often while the device fails or reads off although the
// peer beats: an alarm must end soon after its cause.
const fenceAskAgain = 2 * time.Second

// fenceState merges what several machines want of the one power switch.
type fenceState struct {
	waiting map[int]uint32 // group index to ticket
	running bool
	dropped bool        // nobody wanted it any more, and its lane was told
	owed    atomic.Bool // the boot token must be spent on disk before the device is asked
	began   pair.Instant
	asked   pair.Instant
	asking  bool // an answer is awaited
	power   string
	err     string
	wrong   bool // it reads off although the peer beats
	last    string
}

// fencePeer starts a fence operation or joins the one under way.
func (l *Loop) fencePeer(now pair.Instant, g *group, a pair.FencePeer) {
	f := &l.fence
	if f.waiting == nil {
		f.waiting = map[int]uint32{}
	}
	f.waiting[g.index] = a.Ticket
	if a.Token {
		l.contact = false
		f.owed.Store(true)
	}
	if f.running {
		return
	}
	l.event(now, report.Event{Kind: "fence", Group: g.Name, Seen: a.Why, Decided: "switch " + l.o.Peer.Name + " off", Done: "asking " + l.o.FenceName})
	l.startFence(now)
}

// startFence asks the device, in its lane. A machine counts its token as spent
// once it asked; the disk may have refused, and then no later try may go on
// without it.
func (l *Loop) startFence(now pair.Instant) {
	f := &l.fence
	f.running, f.dropped, f.began = true, false, now
	l.o.Lanes.Cancel("fence status") // many devices serve one at a time
	hands, memory, owed := l.o.Hands, l.o.Memory, &f.owed
	l.lane("fence", l.o.FenceTime, func(ctx context.Context) Fact {
		if owed.Load() {
			if err := memory.SpendToken(); err != nil {
				return fencedFact{detail: err.Error()}
			}
			owed.Store(false)
		}
		proven, detail := hands.Fence(ctx)
		return fencedFact{proven, detail}
	}, func(err error) Fact { return fencedFact{detail: err.Error()} })
}

type fencedFact struct {
	proven bool
	detail string
}

func (r fencedFact) opens() {}

func (r fencedFact) apply(l *Loop, now pair.Instant) {
	f := &l.fence
	f.running, f.last = false, r.detail
	if r.proven {
		f.power = "off"
	}
	l.event(now, report.Event{
		Kind: "fence", Seen: r.detail, Decided: map[bool]string{true: "proven off", false: "not proven"}[r.proven],
		Done: l.o.FenceName,
	})
	if f.dropped && !r.proven && len(f.waiting) > 0 {
		l.startFence(now) // wanted again while the one before was being ended
		return
	}
	waiting := f.waiting
	f.waiting = nil
	for _, g := range l.groups {
		ticket, asked := waiting[g.index]
		if asked || r.proven || !f.dropped { // one proof serves every group, and who failed acts for all
			l.step(now, g, pair.FenceDone{Ticket: ticket, Proven: r.proven, Detail: r.detail})
		}
	}
}

// cancelFence withdraws a machine's wish; with nobody left who wants it the
// operation is ended.
func (l *Loop) cancelFence(g *group, ticket uint32) {
	if l.fence.waiting[g.index] != ticket {
		return
	}
	delete(l.fence.waiting, g.index)
	if len(l.fence.waiting) == 0 && l.fence.running {
		l.fence.dropped = true
		l.o.Lanes.Cancel("fence")
	}
}

// askFence asks for the outlet's state while all is well.
func (l *Loop) askFence(now pair.Instant) {
	f := &l.fence
	every := fenceAsk
	if f.err != "" || f.wrong {
		every = fenceAskAgain
	}
	if l.o.FenceName == "" || f.running || f.asking || (f.asked != 0 && now.Since(f.asked) < every) {
		return
	}
	f.asked, f.asking = now, true
	hands := l.o.Hands
	l.lane("fence status", l.o.FenceTime, func(ctx context.Context) Fact {
		power, err := hands.FenceStatus(ctx)
		return powerFact{power, text(err)}
	}, func(err error) Fact { return powerFact{"unknown", err.Error()} })
}

type powerFact struct{ power, err string }

func (p powerFact) apply(l *Loop, now pair.Instant) {
	l.fence.asking = false
	l.fence.power, l.fence.err = p.power, p.err
	l.alarm("fence-device", p.err != "", l.o.FenceName+": "+p.err)
	l.judgeWiring(now)
}

// judgeWiring compares what the device says of the peer with what is heard of it.
func (l *Loop) judgeWiring(now pair.Instant) {
	f := &l.fence
	off := f.err == "" && f.power == "off" && l.alive(now)
	if off && f.asked < l.aliveFrom {
		f.asked = 0 // it was off before it came back: ask again
	}
	f.wrong = off && f.asked >= l.aliveFrom
	l.alarm("fence-wiring", f.wrong, l.o.FenceName+" says that "+l.o.Peer.Name+" is off, but it beats: wrong outlet?")
}
