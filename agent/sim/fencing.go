package sim

import (
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// fencing is what a process wants of the one power switch: the machines of all
// groups share one operation, as in agent/loop.
type fencing struct {
	waiting [maxGroups]uint32 // tickets
	running bool
	dropped bool         // nobody wanted it any more
	owed    bool         // the boot token must be spent first
	stands  bool         // the process was stopped before it sent the order
	number  int          // of the operation
	wished  pair.Instant // the newest wish came
	asked   pair.Instant // the wish that this operation serves came
}

// fence starts a fence operation or joins the one under way.
func (p *process) fence(g int, a pair.FencePeer) {
	p.n.w.mayFence(p, g, a)
	p.op.waiting[g], p.op.wished = a.Ticket, p.now()
	if a.Token {
		p.contact, p.op.owed = false, true
	}
	if !p.op.running {
		p.startFence()
	}
}

// startFence goes to the lane of the device, where a glance at its status or a
// slow disk may be in the way.
func (p *process) startFence() {
	w := p.n.w
	w.result.Fences++
	p.op.running, p.op.dropped = true, false
	p.op.number++
	p.op.asked = p.op.wished
	wait := w.chance(50 * time.Millisecond)
	if !w.calm && w.odds(8) {
		wait = w.chance(w.timing.FenceSpare)
	}
	w.after(wait, p.lane(p.op.number))
}

// lane sends the order, unless the turn in which it was wished is over; once
// sent it is carried out though its sender dies. A process that is stopped goes
// on when it is let.
func (p *process) lane(number int) func() {
	return func() {
		w, n, op := p.n.w, p.n, &p.op
		spare := w.timing.FenceSpare / 2
		switch {
		case n.proc != p || !n.powered || !op.running || number != op.number:
		case p.paused:
			op.stands = true
		case op.dropped:
			p.fenceEnds(number, false, "withdrawn")
		case op.owed && !p.saved.Token:
			p.fenceEnds(number, false, "no boot token is left")
		default:
			if op.owed {
				op.owed, p.saved.Token = false, false
				p.save()
			}
			if spare > 0 && p.now().Since(op.asked) > spare && w.cfg.Mutant != TurnsForgotten {
				p.fenceEnds(number, false, "this process stood still until its turn to fence was over")
				return
			}
			p.order(number)
		}
	}
}

// cancelFence withdraws a machine's wish; what was sent goes on.
func (p *process) cancelFence(g int, ticket uint32) {
	if p.op.waiting[g] != ticket {
		return
	}
	p.op.waiting[g] = 0
	if p.op.running && p.op.waiting == [maxGroups]uint32{} {
		p.op.dropped = true
		number := p.op.number
		p.n.w.after(p.n.w.chance(5*time.Millisecond), func() { p.fenceEnds(number, false, "withdrawn") })
	}
}

// fenceEnds tells the machines; one proof serves every group.
func (p *process) fenceEnds(number int, proven bool, text string) {
	if p.n.proc != p || !p.op.running || number != p.op.number {
		return
	}
	p.op.running = false
	waiting := p.op.waiting
	if p.op.dropped && !proven && waiting != [maxGroups]uint32{} {
		p.startFence()
		return
	}
	p.op.waiting = [maxGroups]uint32{}
	for g := range p.m {
		if proven || !p.op.dropped {
			p.tell(g, pair.FenceDone{Ticket: waiting[g], Proven: proven, Detail: text})
		}
	}
}

// A proving is one fence operation, as package fence does it: every outlet is
// told "off", and then only what is read counts. All outlets must read off
// twice, provingGap apart and with nothing else between, with no command pending
// and no load where there is a meter; and once more after the hold-up.
type proving struct {
	p        *process
	number   int
	began    pair.Instant // by true time, as all of the device
	until    pair.Instant
	offSince pair.Instant // end of the first reading of off; zero: none counts
	dry      pair.Instant // when the hold-up is over; zero: off was not read twice
	acked    bool         // the device took a command
	seenOn   bool         // the outlets read on when or after it was sent
	last     reading
}

// As in package fence.
const (
	provingGap  = 300 * time.Millisecond
	provingPoll = 250 * time.Millisecond
	holdup      = 100 * time.Millisecond // as profile.go configures it
)

// order sends the command to every outlet of the peer, and reads.
func (p *process) order(number int) {
	w := p.n.w
	o := &proving{p: p, number: number, began: w.now, until: w.now.Add(w.fenceT)}
	o.seenOn = w.device.read(p.n) == readOn
	o.acked = w.device.obey(p.n, o.until)
	w.after(w.chance(20*time.Millisecond), o.look)
}

// look is one reading of all outlets; the answer may take its time.
func (o *proving) look() {
	p, w := o.p, o.p.n.w
	if p.n.proc != p || !p.n.powered || !p.op.running || p.op.number != o.number || p.op.dropped {
		return // what was sent goes on without its sender
	}
	if p.paused {
		w.after(provingPoll, o.look)
		return
	}
	if w.now > o.until {
		p.fenceEnds(o.number, false, fmt.Sprintf("unproven: last reading %d", o.last))
		return
	}
	asked := w.now
	took := w.chance(10 * time.Millisecond)
	if w.device.how == deviceSlow {
		took = w.fenceT/8 + w.chance(w.fenceT/4)
	}
	w.after(took, func() { o.judge(asked) })
}

// judge takes the answer to a reading.
func (o *proving) judge(asked pair.Instant) {
	p, w := o.p, o.p.n.w
	r := w.device.read(p.n)
	o.last = r
	o.seenOn = o.seenOn || r == readOn
	pause := provingPoll
	switch {
	case w.now > o.until:
	case r == readOn && o.dry != 0:
		p.fenceEnds(o.number, false, "read on after it was off twice")
		return
	case r != readOff:
		o.offSince, o.dry = 0, 0
	case !o.acked && !o.seenOn: // off since before, for all that is known: a status may lag behind a switching-on
		o.acked = w.device.obey(p.n, o.until)
	case o.offSince == 0:
		o.offSince, pause = w.now, provingGap
	case o.dry == 0 && asked.Since(o.offSince) >= provingGap:
		o.dry, pause = w.now.Add(holdup), holdup
	case o.dry != 0 && asked >= o.dry:
		o.proven()
		return
	}
	w.after(pause, o.look)
}

// proven is the end of a good proof; the checker knows the truth.
func (o *proving) proven() {
	p, w := o.p, o.p.n.w
	if peer := p.n.other(); peer.powered && peer.upAt <= o.began {
		if w.device.liar() {
			w.deceived(fmt.Sprintf("node %d", p.n.id))
		} else {
			w.violate(rule12, fmt.Sprintf("node %d: proven, and the peer never lost power; the device is %s", p.n.id, deviceNames[w.device.how]))
		}
	}
	p.fenceEnds(o.number, true, "outlets off, read twice and again after the hold-up")
}
