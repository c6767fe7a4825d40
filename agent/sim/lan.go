package sim

import (
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// probing is a VIP probe under way.
type probing struct {
	group   int
	foreign bool
}

// probe asks the LAN three times who answers for the group, and listens for
// as long as the machine asked. The other node's probe for the same address
// counts, too.
func (p *process) probe(g int, a pair.Probe) {
	w, n := p.n.w, p.n
	me := &probing{group: g}
	n.probes = append(n.probes, me)
	for i := range 3 {
		w.after(time.Duration(i)*a.Lasts/3, func() { n.ask(me) })
	}
	w.after(a.Lasts, func() {
		n.probes = slices.DeleteFunc(n.probes, func(x *probing) bool { return x == me })
		p.tell(g, pair.ProbeDone{Ticket: a.Ticket, Sent: w.calm || !w.odds(2*w.cfg.Trouble), Foreign: me.foreign, Who: "02:00:00:00:00:01"})
	})
}

// ask is one probe frame on the LAN.
func (n *node) ask(me *probing) {
	w, other := n.w, n.other()
	if !w.lan || !n.powered || w.cfg.Mutant == ProbeBlind {
		return
	}
	me.foreign = me.foreign || w.alien
	if !other.powered {
		return
	}
	me.foreign = me.foreign || other.owner(me.group)
	for _, x := range other.probes {
		if x.group == me.group && w.cfg.Mutant != ProbesUnheard {
			x.foreign = true
		}
	}
}

// The ways of a fence device; what is read back is judged by package fence,
// which takes only an exact "off", twice. One that reads "off" while the
// outlet is on cannot be told from a good one: that is the mutant FenceLies.
const (
	deviceGood    = iota
	deviceSlow    // obeys and answers within the longest fence operation, or just not
	deviceDeaf    // answers and does nothing
	deviceGarbled // noSuchInstance, another outlet's value: nothing is proven
	deviceErrs    // says error and obeys
	deviceLags    // its reading lags behind the relay
	deviceReboots // switches on again by itself soon after
	deviceBehaviours
)

// device is the fence device: it obeys whoever reaches it.
type device struct {
	reach [2]bool
	how   int
}

// fencing is what a process wants of the one power switch: the machines of all
// groups share one operation, as in agent/loop.
type fencing struct {
	waiting [maxGroups]uint32 // tickets
	running bool
	dropped bool         // nobody wanted it any more
	owed    bool         // the boot token must be spent first
	number  int          // of the operation
	first   bool         // in contact this node was the one that fences first
	until   pair.Instant // end of its turn, by its clock
}

// fence starts a fence operation or joins the one under way.
func (p *process) fence(g int, a pair.FencePeer) {
	p.n.w.mayFence(p, g, a)
	p.op.waiting[g] = a.Ticket
	if a.Token {
		p.contact, p.op.owed = false, true
	}
	p.tryFence()
}

// tryFence starts the operation that is wanted, if it is this node's turn and
// the operation fits in.
func (p *process) tryFence() {
	if p.op.running || p.op.waiting == [maxGroups]uint32{} {
		return
	}
	w, t, now := p.n.w, &p.talk, p.now()
	left := w.fenceT
	if dead := w.timing.Dead; t.ackAt == 0 || now.Since(t.ackAt) > dead {
		since := t.heardAt
		if now.Since(since) <= dead { // it is deaf: it counts from the last that it heard
			since = max(t.ackAt, p.began0)
		}
		left = pair.FenceTurn(now.Since(since), dead, w.timing.Race, p.op.first)
	}
	if left >= w.fenceT {
		p.op.until = now.Add(left)
		p.startFence()
	}
}

// chooseFirst keeps, in contact, who fences first once there is none.
func (p *process) chooseFirst() {
	t := &p.talk
	if t.ackAt == 0 || p.now().Since(t.ackAt) > p.n.w.timing.Dead {
		return
	}
	p.op.first = p.n.id == 0
	for g := range p.m {
		mine, theirs := p.m[g].View().State.Owns(), t.said[g].Owns()
		if mine != theirs {
			p.op.first = mine
			return
		}
	}
}

// startFence sends the order; once sent it is carried out though its sender dies.
func (p *process) startFence() {
	w, n := p.n.w, p.n
	w.result.Fences++
	p.op.running, p.op.dropped = true, false
	p.op.number++
	w.after(w.chance(50*time.Millisecond), func() {
		switch {
		case n.proc != p || !n.powered:
		case p.op.dropped:
			p.fenceEnds(p.op.number, false, "withdrawn")
		case p.now() > p.op.until.Add(-w.fenceT/2):
			p.fenceEnds(p.op.number, false, "stood still until the turn was over")
		case p.op.owed && !p.saved.Token:
			p.fenceEnds(p.op.number, false, "no boot token is left")
		default:
			if p.op.owed {
				p.op.owed, p.saved.Token = false, false
				p.save()
			}
			p.order(p.op.number)
		}
	})
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
		p.tryFence()
		return
	}
	p.op.waiting = [maxGroups]uint32{}
	for g := range p.m {
		if waiting[g] != 0 || proven {
			p.tell(g, pair.FenceDone{Ticket: waiting[g], Proven: proven, Detail: text})
		}
	}
}

// order is what the device makes of an order.
func (p *process) order(number int) {
	w, n := p.n.w, p.n
	answer := func(d time.Duration, ok bool, text string) {
		w.after(d, func() { p.fenceEnds(number, ok, text) })
	}
	how := w.device.how
	relay, read := w.chance(w.fenceT*2/5), w.chance(w.fenceT*2/5)
	switch {
	case !w.device.reach[n.id]:
		answer(w.fenceT, false, "device unreachable")
		return
	case how == deviceDeaf || how == deviceGarbled:
		answer(relay, false, "read off 0 times")
		return
	case how == deviceSlow:
		relay, read = w.fenceT/2+w.chance(w.fenceT/2), w.chance(w.fenceT)
	case how == deviceLags:
		read = w.fenceT
	}
	w.after(relay, func() {
		p.fall()
		late := relay+read > w.fenceT
		answer(min(read, max(w.fenceT-relay, 0)), w.device.reach[n.id] && how != deviceErrs && !late, "outlet off, read twice")
	})
}

// fall is the moment the relay opens.
func (p *process) fall() {
	w, n := p.n.w, p.n
	if w.cfg.Mutant == FenceLies {
		return
	}
	dark := 5*w.unit + w.chance(10*w.unit)
	if w.calm || w.device.how == deviceReboots {
		dark = w.unit + w.chance(w.unit) // somebody switches it on again
	}
	if w.keepOff {
		dark = time.Hour
	}
	n.other().off(fenced, dark)
}
