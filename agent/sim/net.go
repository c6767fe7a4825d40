package sim

import (
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// link is one path between the nodes; index 0 of a pair is the direction from node 0.
type link struct {
	delay time.Duration
	cut   [2]bool
	loss  int // in percent
	dup   int
	wild  time.Duration // extra random delay: reorders
}

// frame is what travels; hello has no kind.
type frame struct {
	from    int
	session uint32
	to      uint32 // the receiver's session, as the sender knows it
	counter uint32
	echo    uint32
	kind    pair.Kind
	group   int
	state   pair.State
	term    uint32
	passive bool
	unfit   bool
	fenceMe bool
	lease   time.Duration
}

// send seals what the machines asked for and, when due, a beat of every group.
// The state in a frame is that of the moment of sending.
func (p *process) send(then func()) {
	w := p.n.w
	if w.now >= p.nextBeat {
		for g := range p.machines {
			p.frames = append(p.frames, frame{kind: pair.Beat, group: g})
		}
		p.nextBeat = w.now.Add(p.config().Beat)
	}
	p.counter++
	p.sentAt = append(p.sentAt, w.now)
	lost := p.peer == 0 || w.now.Since(p.lastGood) >= p.config().Dead // the peer may have lost the session
	if p.hello || lost && w.now.Since(p.lastHello) >= p.config().Beat {
		p.hello = false
		p.lastHello = w.now
		w.transmit(frame{from: p.n.id, session: p.session, to: p.pendingPeer, counter: p.counter})
	}
	for _, f := range p.frames {
		if p.peer == 0 {
			break
		}
		v := p.machines[f.group].View()
		f.from, f.session, f.to, f.counter, f.echo = p.n.id, p.session, p.peer, p.counter, p.heard
		f.state, f.term, f.passive, f.unfit, f.fenceMe = v.State, v.Term, v.Passive, v.Unfit, v.FenceMe
		f.lease = p.config().Lease + p.config().Window
		if w.cfg.Mutant == TakeoverTooEarly {
			f.lease = 1
		}
		w.transmit(f)
	}
	p.frames = p.frames[:0]
	p.then(p.moment(), then)
}

// transmit puts a frame on every link.
func (w *World) transmit(f frame) {
	for _, l := range w.links {
		copies := 1
		if l.dup > 0 && w.rng.IntN(100) < l.dup {
			copies = 2
		}
		for range copies {
			if l.cut[f.from] || l.loss > 0 && w.rng.IntN(100) < l.loss {
				continue
			}
			w.after(l.delay+w.chance(l.delay/4+l.wild), func() {
				to := w.nodes[1-f.from]
				if !l.cut[f.from] && to.powered && to.proc != nil {
					to.proc.deliver(f)
				}
			})
		}
	}
}

// receive opens a frame as the wire does: sessions first, then the machine.
func (p *process) receive(f frame) {
	if f.kind == 0 {
		p.receiveHello(f)
		return
	}
	if f.session != p.peer || f.to != p.session {
		return
	}
	p.heard = max(p.heard, f.counter)
	p.lastGood = p.n.w.now
	in := pair.Heard{
		Kind: f.kind, State: f.state, Term: f.term, Mode: p.n.w.cfg.Mode, Lease: f.lease,
		Passive: f.passive, Unfit: f.unfit, FenceMe: f.fenceMe, Accept: true, Session: f.session, Counter: f.counter,
	}
	if f.echo != 0 && int(f.echo) < len(p.sentAt) {
		in.EchoSentAt = p.sentAt[f.echo]
	}
	switch p.n.w.cfg.Mutant {
	case EchoByArrival:
		in.EchoSentAt = p.n.w.now
	case ClaimsUnheard:
		in.EchoSentAt = p.n.w.now
		if f.kind == pair.Claim {
			return
		}
	case NoFrameOrder:
		in.Counter = 0
	}
	p.step(f.group, in)
}

// receiveHello takes a session whose HELLO proves that it knows ours.
func (p *process) receiveHello(f frame) {
	if f.session == p.peer && f.to == p.session {
		return // known
	}
	if f.session < p.pendingPeer {
		return // an older agent's HELLO, late
	}
	p.pendingPeer = f.session
	if f.to == p.session {
		p.peer, p.heard = f.session, 0
	}
	p.hello = true
}

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
		p.deliver(result{g, pair.ProbeDone{Ticket: a.Ticket, Sent: !w.odds(40), Foreign: me.foreign, Who: "02:00:00:00:00:01"}})
	})
}

// ask is one probe frame on the LAN.
func (n *node) ask(me *probing) {
	w, other := n.w, n.other()
	if !w.lan || !n.powered || !other.powered || w.cfg.Mutant == ProbeBlind {
		return
	}
	me.foreign = me.foreign || other.owner(me.group)
	for _, x := range other.probes {
		if x.group == me.group && w.cfg.Mutant != ProbesUnheard {
			x.foreign = true
		}
	}
}

// device is the fence device: it obeys whoever reaches it.
type device struct {
	reach   [2]bool
	flaky   bool
	flights []flight
}

type flight struct {
	from, group int
	ticket      uint32
	cancelled   bool
	sent        bool
}

// cancel withdraws an order that has not left its sender yet.
func (d *device) cancel(from, group int, ticket uint32) {
	for i := range d.flights {
		f := &d.flights[i]
		if f.from == from && f.group == group && f.ticket == ticket && !f.sent {
			f.cancelled = true
		}
	}
}

// fence sends the order; once sent it is carried out though its sender dies.
func (p *process) fence(g int, a pair.FencePeer) {
	w, n := p.n.w, p.n
	w.result.Fences++
	if a.Token {
		spent := n.disk[g].token
		n.disk[g].token = false
		if !spent {
			w.violate("token", "a boot token was spent twice")
		}
	}
	i := len(w.device.flights)
	w.device.flights = append(w.device.flights, flight{from: n.id, group: g, ticket: a.Ticket})
	answer := func(ok bool, text string) {
		p.deliver(result{g, pair.FenceDone{Ticket: a.Ticket, Proven: ok, Detail: text}})
	}
	w.after(w.chance(50*time.Millisecond), func() {
		f := &w.device.flights[i]
		if f.cancelled || n.proc != p || !n.powered {
			return
		}
		f.sent = true
		if !w.device.reach[n.id] || w.device.flaky && w.odds(3) {
			w.after(w.chance(time.Second), func() { answer(false, "device unreachable") })
			return
		}
		w.after(w.chance(600*time.Millisecond), func() { p.off(answer) })
	})
}

// off is the moment the relay falls; the proof follows if the device still answers.
func (p *process) off(answer func(bool, string)) {
	w, n := p.n.w, p.n
	if w.cfg.Mutant != FenceLies {
		n.other().powerOff("fenced")
	}
	if !w.nodes[0].powered && !w.nodes[1].powered {
		w.result.BothOff = true
	}
	w.after(w.chance(500*time.Millisecond), func() {
		if w.device.reach[n.id] {
			answer(true, "outlet off, read twice")
		} else {
			answer(false, "no read back")
		}
	})
	fenced, dark := w.odds(2), 2*time.Second+w.chance(4*time.Second)
	if w.slow {
		dark = 500 * time.Millisecond // an order from before the heal: somebody switches it on again
	}
	w.after(dark, func() { n.other().powerOn(fenced) })
}
