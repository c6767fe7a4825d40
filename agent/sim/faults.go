package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// Which faults may meet.
//
//	fence    any links, any pause, any power: only the device must not lie.
//	lease    any links, any pause, any power; clocks drift less than the reserve.
//	silence  any power and any pause. Links and LAN do not fail together: while
//	         any link is cut or loses frames in any way, the LAN works, so the
//	         VIP probe sees a live owner; while the LAN is down, and for a
//	         second before, the links are clean in both directions, so a live
//	         owner is heard and hears. (The second: beats lost in a short cut,
//	         then a pause of the owner within one lease, then a dead LAN are a
//	         triple fault that no silence can tell from a crash; seed 131.)
//
// Silence mode therefore survives a total cut of the heartbeat links here; the
// price is that a cut of links and LAN together may split, as theory says.

// drawFaults spreads the faults over the run. Every fault ends by itself or
// with the heal.
func (w *World) drawFaults() {
	span := w.cfg.Length - 4*time.Second
	for range w.cfg.Faults {
		at := 3*time.Second + w.chance(span)
		if w.odds(3) { // a second one close by: most bugs need two
			d := w.chance(600 * time.Millisecond)
			w.at(pair.Instant(at+d), w.fault)
		}
		w.at(pair.Instant(at), w.fault)
	}
}

// fault makes one thing go wrong.
func (w *World) fault() {
	if w.slow {
		return
	}
	n := w.nodes[w.rng.IntN(2)]
	switch w.rng.IntN(13) {
	case 0:
		w.cutPower(n)
	case 1, 2:
		w.stopProcess(n)
	case 3:
		n.killAgent()
		w.after(w.chance(w.pick(600*time.Millisecond, 3*time.Second)), n.startAgent)
	case 4, 5, 6:
		w.breakLinks()
	case 7:
		w.breakLAN()
	case 8:
		w.breakDevice(n)
	case 9:
		w.flush(n)
	case 10:
		w.operate(n)
	case 11:
		w.sicken(n)
	case 12:
		w.storm(n)
	}
}

// pick returns one of two, by chance.
func (w *World) pick(a, b time.Duration) time.Duration {
	if w.odds(2) {
		return a
	}
	return b
}

func (w *World) cutPower(n *node) {
	n.powerOff("mains")
	w.after(200*time.Millisecond+w.chance(w.pick(time.Second, 6*time.Second)), func() { n.powerOn(false) })
}

// stopProcess is SIGSTOP, a swap storm, a slow page: at any point of a turn.
func (w *World) stopProcess(n *node) {
	p := n.proc
	if p == nil || p.paused {
		return
	}
	p.pause()
	d := w.chance(w.pick(2*p.config().Lease, 3*time.Second))
	w.after(d, p.resume)
}

func (w *World) breakLinks() {
	if w.cfg.Mode == pair.ModeSilence && !w.lan {
		return
	}
	w.after(w.chance(w.pick(800*time.Millisecond, 6*time.Second)), w.mendLinks)
	dir := w.rng.IntN(3)
	switch w.rng.IntN(4) {
	case 0: // one link
		w.cut(w.links[w.rng.IntN(len(w.links))], dir)
	case 1, 2: // all links
		for _, l := range w.links {
			w.cut(l, dir)
		}
	case 3: // bad weather
		for _, l := range w.links {
			l.loss, l.dup, l.wild = w.rng.IntN(90), w.rng.IntN(50), w.chance(w.pick(100*time.Millisecond, 1500*time.Millisecond))
		}
	}
	w.tracef("links: %+v %+v", *w.links[0], *w.links[1])
}

// storm is several faults at once: one direction is cut, the other is bad, and
// a process stops or dies meanwhile.
func (w *World) storm(n *node) {
	if w.cfg.Mode == pair.ModeSilence && !w.lan {
		return
	}
	w.after(w.chance(3*time.Second), w.mendLinks)
	dir := w.rng.IntN(2)
	for _, l := range w.links {
		w.cut(l, dir)
		l.loss = 60 + w.rng.IntN(40)
	}
	w.tracef("storm: %+v", *w.links[0])
	w.after(w.chance(600*time.Millisecond), func() {
		if w.odds(2) {
			w.stopProcess(n)
			return
		}
		n.killAgent()
		w.after(w.chance(w.timing.Lease), n.startAgent)
	})
}

// cut breaks a link in direction 0, 1 or both.
func (w *World) cut(l *link, dir int) {
	l.cut[0] = l.cut[0] || dir != 1
	l.cut[1] = l.cut[1] || dir != 0
}

func (w *World) mendLinks() {
	for _, l := range w.links {
		l.cut, l.loss, l.dup, l.wild = [2]bool{}, 0, 0, 0
	}
	w.mended = w.now
	w.tracef("links: clean")
}

func (w *World) breakLAN() {
	if w.cfg.Mode == pair.ModeSilence {
		if w.now.Since(w.mended) < time.Second {
			return
		}
		for _, l := range w.links {
			if l.cut != [2]bool{} || l.loss > 0 || l.wild > 0 {
				return
			}
		}
	}
	w.lan = false
	w.tracef("lan: down")
	w.after(w.chance(3*time.Second), func() { w.lan = true })
}

func (w *World) breakDevice(n *node) {
	if w.odds(2) {
		w.device.flaky = true
		return
	}
	w.device.reach[n.id] = false
	w.after(w.chance(5*time.Second), func() { w.device.reach[n.id] = true })
}

// flush is a stranger who empties the tables.
func (w *World) flush(n *node) {
	for g := range n.gates {
		if n.gates[g].until > w.now {
			n.gates[g] = gate{flushed: true}
		}
	}
	w.tracef("node %d: tables flushed", n.id)
}

// operate is an operator's order, or a stop of the agent.
func (w *World) operate(n *node) {
	if n.proc == nil {
		return
	}
	g := w.rng.IntN(w.cfg.Groups)
	c := pair.Command{Reason: "drill", Force: w.odds(4)}
	switch w.rng.IntN(7) {
	case 0, 1:
		c.Op = pair.OpHandover
	case 2:
		c.Op = pair.OpTake
	case 3:
		c.Op = pair.OpMaintenance
	case 4:
		c.Op = pair.OpResume
	case 5:
		for _, m := range []*node{n, n} {
			for g := range w.cfg.Groups {
				m.proc.deliver(result{g, pair.Stop{}})
			}
		}
		w.after(time.Second+w.chance(4*time.Second), n.startAgent)
		return
	case 6:
		if n.other().powered {
			return // the operator looks before he confirms
		}
		c.Op = pair.OpConfirmDead
		// He also keeps it off until the order is carried out, which a stalled agent may delay.
		if n.proc.paused {
			return
		}
	}
	n.proc.deliver(result{g, c})
}

func (w *World) sicken(n *node) {
	n.sick = true
	w.after(w.chance(3*time.Second), func() { n.sick = false })
	if n.proc != nil {
		n.proc.deliver(result{w.rng.IntN(w.cfg.Groups), pair.ServiceFailed{Name: "dnsmasq", Err: "exited 4 times"}})
	}
}

// heal ends every fault; the operator resumes what policy left to him.
func (w *World) heal() {
	w.tracef("heal")
	w.slow = true
	w.healed = w.now
	w.mendLinks()
	w.lan = true
	w.device.reach, w.device.flaky = [2]bool{true, true}, false
	for _, n := range w.nodes {
		n.sick = false
		n.powerOn(false)
		n.startAgent()
		if n.proc != nil {
			n.proc.resume()
		}
	}
	w.after(100*time.Millisecond, w.resumeAll)
}

// resumeAll is the operator's round after the faults.
func (w *World) resumeAll() {
	for _, n := range w.nodes {
		if n.proc == nil {
			continue
		}
		for g := range w.cfg.Groups {
			n.proc.deliver(result{g, pair.Command{Op: pair.OpResume, Reason: "healed"}})
		}
	}
}
