package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/pair"
)

// Which faults may meet.
//
//	fence    any links, any pause, any power: only the device must not lie in a
//	         way that no reading finds out; device.go says which lies are which.
//	lease    any links, any pause, any power; clocks drift less than the reserve.
//	silence  any power and any pause. Links and LAN do not fail together: while
//	         any link is cut or loses frames in any way, the LAN works, so the
//	         VIP probe sees a live owner; while the LAN is down, and for a
//	         while before, the links are clean in both directions, so a live
//	         owner is heard and hears. (The while: beats lost in a short cut,
//	         then a pause of the owner within one lease, then a dead LAN are a
//	         triple fault that no silence can tell from a crash.)
//
// Silence mode therefore survives a total cut of the heartbeat links here; the
// price is that a cut of links and LAN together may split, as theory says. A
// fault that may not meet what is the case is left out when its time comes.

// inject makes one thing go wrong, and ends it in time.
func (w *World) inject(f Fault) {
	if f.Kind == FaultHeal {
		w.heal()
		return
	}
	if !w.allowed(f) {
		return
	}
	if w.trace() {
		w.tracef("fault: %v", f)
	}
	w.result.Faults++
	if f.Kind != FaultWall {
		w.calm, w.healed, w.okFrom = false, 0, 0
	}
	n := w.nodes[f.Node]
	switch f.Kind {
	case FaultPower:
		n.off("mains", f.For)
	case FaultHang:
		w.stop(n, unstopped, 0)
		w.after(f.For, func() { w.watchdog(n) })
	case FaultStop:
		w.stop(n, f.N%parts, f.For)
	case FaultKill, FaultJournal:
		n.killAgent()
		if f.Kind == FaultJournal {
			n.disk.lose(f.N % 4)
		}
		w.after(f.For, n.startAgent)
	case FaultRestart:
		n.again = f.For
		w.stopAgent(n)
	case FaultSlow:
		w.drag(n, f)
	default:
		w.injectOutside(f)
	}
}

// injectOutside is inject for what is not a node's own.
func (w *World) injectOutside(f Fault) {
	n := w.nodes[f.Node]
	switch f.Kind {
	case FaultLAN:
		w.lan = false
		w.after(f.For, func() { w.lan = true })
	case FaultAlien:
		w.alien = true
		w.after(f.For, func() { w.alien = false })
		if p := n.proc; p != nil {
			p.tell(f.N%w.cfg.Groups, pair.ForeignMAC{Address: "192.0.2.1", MAC: "02:00:00:00:00:07"})
		}
	case FaultDevice:
		w.device.become(f.N % deviceBehaviours)
		w.after(f.For, func() { w.device.become(deviceGood) })
	case FaultReach:
		w.device.reach[n.id] = false
		w.after(f.For, func() { w.device.reach[n.id] = true })
	case FaultBar:
		w.bar(n, f)
	case FaultFlush:
		w.flush(n)
	case FaultOrder:
		w.order(n, f)
	case FaultSick:
		n.sick = true
		w.after(f.For, func() { n.sick = false })
		if p := n.proc; p != nil {
			p.tell(f.N%w.cfg.Groups, pair.ServiceFailed{Name: "dnsmasq", Err: "exited 4 times"})
		}
	case FaultIll:
		source := []string{"fan", "disk"}[f.N%2] // two that may be at once
		n.votes.Set(health.Vote{Source: source, Loss: f.M, Reason: source + " fails", Critical: f.N%7 == 0})
		w.after(f.For, func() { n.votes.Set(health.Vote{Source: source}) })
	case FaultKeys:
		w.rotate(n)
	case FaultWall:
		n.wall += f.For
	default:
		w.injectLink(f)
	}
}

func (w *World) injectLink(f Fault) {
	l := w.links[f.N%linkCount]
	dir := f.M % 3
	switch f.Kind {
	case FaultCut:
		l.sever(dir)
	case FaultCutAll:
		for _, l := range w.links {
			l.sever(dir)
		}
	case FaultLoss:
		for _, l := range w.links {
			l.loss = f.N
		}
	case FaultBurst:
		for _, l := range w.links {
			l.burst, l.burstFor = f.N, f.M
		}
	case FaultBits:
		l.ber = max(f.M, 3)
	case FaultReorder:
		l.wild = time.Duration(f.M) * time.Microsecond
	case FaultDuplicate:
		l.dup = f.M
	case FaultHold:
		w.holdKind, w.holdFor = pair.Kind(f.N), time.Duration(f.M)*time.Millisecond
	case FaultClog:
		l.clog[f.M%2] = w.now.Add(f.For)
	case FaultReplay:
		w.replay(f.N, f.M)
	case FaultGarbage:
		w.garbage(f.N, f.M)
	}
	if f.For > 0 {
		w.after(f.For, w.mendLinks)
	}
}

// allowed says whether a fault may meet the world as it is.
func (w *World) allowed(f Fault) bool {
	n := w.nodes[f.Node]
	switch f.Kind {
	case FaultCut, FaultCutAll, FaultLoss, FaultBurst, FaultBits, FaultReorder, FaultHold, FaultClog, FaultGarbage:
		return w.cfg.Mode != pair.ModeSilence || w.lan
	case FaultLAN:
		return w.cfg.Mode != pair.ModeSilence || w.linksClean() && w.now.Since(w.mended) >= max(time.Second, 5*w.unit/2)
	case FaultStop, FaultHang:
		return n.proc != nil && !n.proc.paused
	case FaultReplay:
		return w.links[f.N%linkCount].taps
	case FaultKeys:
		return w.cfg.Wire
	case FaultOrder, FaultSlow, FaultRestart:
		return n.proc != nil
	case FaultBar:
		return w.cfg.Fence
	}
	return true
}

func (w *World) linksClean() bool {
	for _, l := range w.links {
		if !l.clean() {
			return false
		}
	}
	return w.holdKind == 0
}

// sever breaks a link in direction 0, 1 or both.
func (l *link) sever(dir int) {
	l.cut[0] = l.cut[0] || dir != 1
	l.cut[1] = l.cut[1] || dir != 0
}

func (w *World) mendLinks() {
	for _, l := range w.links {
		l.mend()
	}
	w.holdKind = 0
	w.mended = w.now
	w.tracef("links: clean")
}

// stop is SIGSTOP, a swap storm, a slow page: before a part of a turn, or
// between two turns.
func (w *World) stop(n *node, part int, d time.Duration) {
	p := n.proc
	if p == nil || p.paused {
		return
	}
	if part <= 0 {
		p.pause()
	} else {
		p.stopAt = part
	}
	if d > 0 {
		w.after(d, p.resume)
	}
}

// watchdog resets a box whose agent hangs.
func (w *World) watchdog(n *node) {
	if p := n.proc; p != nil && p.paused {
		n.off("watchdog", w.unit)
	}
}

// stopAgent ends the agent in order.
func (w *World) stopAgent(n *node) {
	for g := range n.proc.m {
		if n.proc != nil {
			n.proc.tell(g, pair.Stop{})
		}
	}
}

func (w *World) drag(n *node, f Fault) {
	p := n.proc
	p.drag = time.Duration(f.N) * time.Microsecond
	w.after(f.For, func() { p.drag = 0 })
}

// flush is a stranger who empties the tables; the watcher tells the loop.
func (w *World) flush(n *node) {
	p := n.proc
	for g := range w.cfg.Groups {
		if n.gates[g].until <= w.now {
			continue
		}
		n.gates[g] = gate{}
		if p != nil {
			w.after(w.chance(20*time.Millisecond), func() {
				p.deliver(input{group: int8(g), verify: true, in: pair.Tick{}})
			})
		}
	}
}

// bar takes the leave to fence, and gives it back.
func (w *World) bar(n *node, f Fault) {
	for _, n := range []*node{n, n.other()}[:1+f.N%2] {
		n.bars++
		n.judgeLeave()
		w.after(f.For, func() {
			n.bars = max(n.bars-1, 0)
			n.judgeLeave()
		})
	}
}

// order is an operator's.
func (w *World) order(n *node, f Fault) {
	c := pair.Command{Op: pair.Op(1 + f.N%int(pair.OpConfirmDead)), Reason: "drill", Force: f.For > 0}
	if c.Op == pair.OpConfirmDead {
		// He looks before he confirms, and keeps the peer off until the order
		// is carried out, which a stalled agent may delay.
		if n.other().powered || n.proc.paused || n.proc.busy {
			return
		}
	}
	n.proc.tell(f.M%w.cfg.Groups, c)
}

// rotate takes one node a step further: a new key is listed, then active, then
// the old one goes. The other node follows before the next step.
func (w *World) rotate(n *node) {
	for range 2 { // this node, then the other
		k := &w.keys[n.id]
		switch {
		case k.to == k.from:
			k.to++
		case k.active == k.from:
			k.active = k.to
		default:
			k.from = k.to
		}
		if k.to > 200 {
			*k = keyStage{1, 1, 1}
		}
		if n.proc != nil {
			n.proc.talk.e.SetKeys(keyring(*k))
		}
		n = n.other()
	}
}

// heal ends every fault; the operator resumes what policy left to him.
func (w *World) heal() {
	w.tracef("heal")
	w.calm = true
	w.healed, w.okFrom = w.now, 0
	w.mendLinks()
	w.lan, w.alien = true, false
	w.device.mend()
	for _, n := range w.nodes {
		n.sick, n.again, n.votes = false, 0, health.Board{}
		n.cuffed, n.bars = 0, 0
		n.powerOn()
		n.startAgent()
		if n.proc != nil {
			n.proc.drag = 0
			n.proc.resume()
			n.judgeLeave()
		}
	}
	w.after(100*time.Millisecond, w.resumeAll)
}

// resumeAll is the operator's round after the faults.
func (w *World) resumeAll() {
	for _, n := range w.nodes {
		if n.proc == nil {
			n.startAgent()
		}
		for g := range w.cfg.Groups {
			if n.proc != nil {
				n.proc.tell(g, pair.Command{Op: pair.OpResume, Reason: "healed"})
			}
		}
	}
}
