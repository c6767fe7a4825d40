package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/pair"
)

const (
	// idleWake is the shortest pause between two turns that only time calls for.
	idleWake = 200 * time.Microsecond
	// unstopped is no part of a turn.
	unstopped = -1
	// healthMargin and healthMoves are a judge's patience.
	healthMargin = 20
	healthMoves  = 12
)

// process is one run of the agent. Its turns follow agent/loop.
type process struct {
	n      *node
	gen    uint32
	m      []*pair.Machine
	last   [maxGroups]pair.State
	inbox  []input
	spare  []input
	inlets [linkCount]inlet

	paused  bool
	stopAt  int           // part of a turn before which a SIGSTOP comes
	drag    time.Duration // each turn takes so much longer
	busy    bool          // a turn is under way
	part    int
	parting bool // an event will go on with it
	breakAt int  // part before which this turn is interrupted
	pending bool // an evWake is queued
	wakeAt  pair.Instant
	nextAt  pair.Instant

	began    pair.Instant // of the turn, by the node's clock
	lastTurn pair.Instant
	nextBeat pair.Instant
	nextSlow pair.Instant
	marked   bool // this turn put the mark
	urgent   bool
	beaten   pair.Instant // this turn sent its heartbeat; zero: it did not
	round    int
	started  bool

	sends  []send
	closes []int // of the mutant that closes late
	own    [maxGroups]held
	talk   talk
	op     fencing
	leave  string            // as it was last told
	barred [maxGroups]string // as the machine took it
	lines  pair.LineState
	judge  *health.Judge

	saved             journal.State
	saving, saveAgain bool
	contact           bool
	stopping          bool // a machine was told to stop
	noticedAt         pair.Instant
	asked             [maxGroups]bool // the peer asks to be fenced, as the machine heard it last
	topTerm           [maxGroups]uint32
}

// held is what the loop knows of a group's gate.
type held struct {
	opened   bool
	wantOpen uint32
	renewed  pair.Instant
}

// input is one thing that waits for the loop: a frame, or a fact for a machine.
type input struct {
	in     pair.Input
	frame  int32 // in the pool; used if in is nil
	group  int8
	verify bool // somebody touched the kernel's tables
}

// send is a frame that a machine asked for.
type send struct {
	kind  pair.Kind
	group int8
}

func newProcess(n *node) *process {
	w := n.w
	now := n.clock(w.now)
	p := &process{n: n, gen: n.gens, stopAt: unstopped, breakAt: unstopped, lastTurn: now, nextBeat: now, nextSlow: now}
	p.judge = health.NewJudge(health.Config{Margin: healthMargin, Hold: w.timing.Takeover, PerDay: healthMoves})
	for g := range w.cfg.Groups {
		p.m = append(p.m, pair.New(w.config(n, g)))
		p.last[g] = pair.Boot
	}
	p.talk.open(p)
	return p
}

// The parts of a turn. A process may be stopped before each.
const (
	partMark = iota
	partThink
	partSend
	partClose // only of a mutant
	partAsk   // before a grant: mark and beat
	partGrant
	partBeat
	partRenew
	parts
)

// turn is one turn of the loop.
func (p *process) turn() {
	p.busy, p.part, p.round = true, 0, 0
	w := p.n.w
	p.breakAt = unstopped
	if h := w.cfg.Hiccup; h > 0 && !w.calm && w.odds(h) {
		p.breakAt = w.rng.IntN(parts)
	}
	p.goOn2()
}

// goOn continues a turn after an interruption.
func (p *process) goOn() {
	p.parting = false
	if !p.paused {
		p.goOn2()
	}
}

func (p *process) goOn2() {
	for p.part < parts {
		switch p.part {
		case p.stopAt:
			p.stopAt = unstopped
			p.pause()
			return
		case p.breakAt:
			p.breakAt = unstopped
			p.later(p.n.w.hiccup())
			return
		}
		part := p.part
		p.part++
		p.do(part)
		if p.n.proc != p || p.parting {
			return
		}
	}
	p.busy = false
	p.sleep()
}

// hiccup is how long a turn is interrupted: mostly within the window, seldom
// for longer than the lease.
func (w *World) hiccup() time.Duration {
	if w.odds(4) {
		return w.chance(w.timing.Lease * 5 / 4)
	}
	return w.chance(w.timing.Window * 3 / 2)
}

// later goes on with the turn after d.
func (p *process) later(d time.Duration) {
	p.parting = true
	p.n.w.push(p.n.w.now.Add(d), event{kind: evPart, node: uint8(p.n.id), gen: p.gen})
}

func (p *process) do(part int) {
	switch part {
	case partMark:
		p.begin()
	case partThink:
		p.think()
	case partSend:
		p.flush()
	case partClose:
		for _, g := range p.closes {
			p.close(g)
		}
		p.closes = p.closes[:0]
	case partAsk:
		p.ask()
	case partGrant:
		p.grant()
	case partBeat:
		p.beat()
	case partRenew:
		p.renew()
	}
}

// now is the node's clock.
func (p *process) now() pair.Instant { return p.n.clock(p.n.w.now) }

func (p *process) begin() {
	p.marked = p.now() >= p.nextBeat || p.urgent || !p.started
	for i := range p.inbox {
		p.marked = p.marked || p.inbox[i].in != nil
	}
	if p.marked {
		p.n.mark = p.n.expiry(p.n.w.timing.Window)
	}
	p.began = p.now()
	if p.drag > 0 {
		p.later(p.n.w.chance(p.drag))
	}
}

func (p *process) think() {
	w, now := p.n.w, p.now()
	gap := now.Since(p.lastTurn)
	p.lastTurn = now
	if gap > w.timing.Lease/2 && p.started && w.cfg.Mutant != RenewWithoutToken {
		for g := range p.m {
			p.step(g, pair.Stalled{Gap: gap})
		}
	}
	p.collect()
	p.drain()
	p.started = true
	for g := range p.m {
		p.step(g, pair.Tick{})
	}
}

func (p *process) drain() {
	in := p.inbox
	p.inbox, p.spare = p.spare[:0], in
	for i := range in {
		x := &in[i]
		switch {
		case x.verify:
			p.verify(int(x.group))
		case x.in != nil:
			p.step(int(x.group), x.in)
		default:
			p.hear(x.frame)
		}
		if p.n.proc != p {
			return
		}
	}
}

// flush sends what the machines asked for.
func (p *process) flush() {
	for _, s := range p.sends {
		p.send(s.kind, s.group)
	}
	p.sends = p.sends[:0]
}

func (p *process) wantsOpen() bool {
	for g := range p.m {
		if p.own[g].wantOpen != 0 {
			return true
		}
	}
	return false
}

// ask puts the mark and a heartbeat before a grant.
func (p *process) ask() {
	if !p.wantsOpen() {
		return
	}
	if !p.marked {
		p.n.mark = p.n.expiry(p.n.w.timing.Window)
		p.drain()
		p.flush()
	}
	if p.wantsOpen() {
		p.send(pair.Beat, allGroups)
	}
}

// grant opens the gates in the kernel, which refuses what is late.
func (p *process) grant() {
	w, n := p.n.w, p.n
	for g := range p.m {
		ticket := p.own[g].wantOpen
		if ticket == 0 {
			continue
		}
		p.own[g].wantOpen = 0
		if !p.m[g].Asks(ticket) {
			continue
		}
		ok := n.mark > w.now && (p.marked || p.now().Since(p.began) <= w.timing.Window/2) || w.cfg.Mutant == RenewWithoutToken
		if ok {
			n.gates[g] = gate{until: n.expiry(w.lease()), granted: w.now}
			p.own[g].opened, p.own[g].renewed = true, p.now()
		}
		if w.trace() {
			w.tracef("node %d: g%d gate opened %v", n.id, g, ok)
		}
		p.step(g, pair.GateOpened{Ticket: ticket, OK: ok})
	}
	p.flush()
	if p.wantsOpen() && p.round == 0 {
		p.round, p.part = 1, partAsk
	}
}

// lease is how long the kernel keeps a gate open.
func (w *World) lease() time.Duration {
	if w.cfg.Mutant == LeaseLongerThanTold {
		return 3 * w.timing.Lease
	}
	return w.timing.Lease
}

func (p *process) close(g int) {
	p.n.gates[g] = gate{}
	if p.n.w.trace() {
		p.n.w.tracef("node %d: g%d gate closed", p.n.id, g)
	}
}

// beat sends a heartbeat when one is due.
func (p *process) beat() {
	p.beaten = 0
	if p.began < p.nextBeat && !p.urgent || !p.marked {
		return
	}
	w, now := p.n.w, p.now()
	if now >= p.nextBeat {
		if p.nextBeat = p.nextBeat.Add(w.timing.Beat); p.nextBeat <= now {
			p.nextBeat = now.Add(w.timing.Beat)
		}
	}
	p.urgent = false
	p.beaten = now
	p.talk.hellos(p, now)
	p.send(pair.Beat, allGroups)
	p.watchLines()
	p.attend(now)
	p.compare(now)
}

// compare tells the machines when one node became the better place.
func (p *process) compare(now pair.Instant) {
	t := &p.talk
	peer, told := health.Score(t.health)
	both := t.known && t.ackAt != 0 && now.Since(t.ackAt) <= p.n.w.timing.Dead
	d, changed := p.judge.Step(time.Duration(now), p.n.votes.State(), peer, told && both)
	if !changed {
		return
	}
	for g := range p.m {
		p.step(g, pair.HealthChanged{Peer: pair.Health(d.Verdict), Urgent: d.Urgent, Why: d.Why})
	}
	p.flush()
}

// renew refreshes the lease if mark and lease are unexpired in the kernel.
func (p *process) renew() {
	w, k := p.n.w, p.n
	if p.beaten == 0 {
		return
	}
	for g, m := range p.m {
		if !p.own[g].opened || !m.MayRenew(p.beaten) {
			continue
		}
		late := k.mark <= w.now || k.gates[g].until <= w.now
		if late && w.cfg.Mutant != RenewWithoutToken {
			p.verify(g)
			continue
		}
		w.refreshed(k, g, m, late)
		k.gates[g].until = k.expiry(w.lease())
		p.own[g].renewed = p.beaten
	}
	if now := p.now(); now >= p.nextSlow {
		p.nextSlow = now.Add(time.Second)
		p.housekeep(now)
	}
}

// verify tells the machine of a lease that is gone.
func (p *process) verify(g int) {
	o := &p.own[g]
	if !o.opened || p.n.gates[g].until > p.n.w.now {
		return
	}
	o.opened = false
	p.step(g, pair.LeaseLost{Stranger: p.now().Since(o.renewed) < p.n.w.timing.Lease/2})
	p.flush()
}

// housekeep is what once a second is often enough for.
func (p *process) housekeep(now pair.Instant) {
	for g := range p.m {
		p.verify(g)
	}
	t := &p.talk
	both := t.ackAt != 0 && now.Since(t.ackAt) < p.n.w.timing.Dead
	if both && !p.contact {
		p.contact = true
		p.saved.Token = true
		p.save()
	}
	if both && p.saved.FencedBy != "" && now.Since(p.noticedAt) > p.n.w.fenceT {
		p.saved.FencedBy = ""
		p.save()
	}
	if p.allStopped() {
		p.n.ended()
	}
}

// sleep says when the next turn is due.
func (p *process) sleep() {
	if p.allStopped() {
		p.n.ended()
		return
	}
	next := p.nextBeat
	for _, m := range p.m {
		next = min(next, m.Next())
	}
	now := p.now()
	next = max(next, now.Add(idleWake))
	if p.urgent || p.wantsOpen() || len(p.inbox) > 0 {
		next = now
	}
	p.nextAt = p.n.true(next)
	p.wake(p.nextAt)
}

// wake makes sure that an event comes at t or before.
func (p *process) wake(t pair.Instant) {
	if p.pending && p.wakeAt <= t {
		return
	}
	p.pending, p.wakeAt = true, t
	p.n.w.push(t, event{kind: evWake, node: uint8(p.n.id), gen: p.gen})
}

// woken is the timer; one that came early waits again.
func (p *process) woken() {
	if p.n.w.now < p.wakeAt {
		return // another one comes
	}
	p.pending = false
	if p.busy || p.paused {
		return
	}
	if p.n.w.now < p.nextAt && len(p.inbox) == 0 {
		p.wake(p.nextAt)
		return
	}
	p.turn()
}

func (p *process) allStopped() bool {
	if !p.stopping {
		return false
	}
	for _, m := range p.m {
		if !m.View().Stopped {
			return false
		}
	}
	return len(p.m) > 0 && !p.saving
}

// deliver queues an input and, if the loop sleeps, wakes it.
func (p *process) deliver(x input) bool {
	if p.n.proc != p {
		return false
	}
	p.inbox = append(p.inbox, x)
	switch {
	case p.busy || p.paused:
	case !p.n.w.calm && p.n.w.odds(64): // a scheduler that takes its time
		p.wake(p.n.w.now.Add(p.n.w.chance(p.n.w.timing.Window / 2)))
	default:
		p.turn()
	}
	return true
}

// tell queues a fact for a machine.
func (p *process) tell(g int, in pair.Input) { p.deliver(input{group: int8(g), in: in}) }

func (p *process) pause() {
	p.n.w.tracef("node %d: stopped", p.n.id)
	p.paused = true
}

func (p *process) resume() {
	p.stopAt = unstopped
	if p.n.proc != p || !p.paused {
		return
	}
	w := p.n.w
	w.tracef("node %d: resumed", p.n.id)
	p.paused = false
	if p.op.stands {
		p.op.stands = false
		w.after(w.chance(100*time.Microsecond), p.lane(p.op.number)) // before the loop, or after it
	}
	for i := range p.inlets { // the readers run when the scheduler lets them, maybe after the loop
		if in := &p.inlets[i]; in.late || len(in.unread) > 0 {
			p.readLater(i, min(maxReaderLag, w.timing.Beat), !in.rests && (in.locked || w.odds(8)))
		}
	}
	if p.busy {
		if !p.parting {
			p.later(w.chance(100 * time.Microsecond))
		}
		return
	}
	p.pending = false
	p.nextAt = w.now
	p.wake(w.now.Add(w.chance(100 * time.Microsecond)))
}

// step feeds one machine and does what it asks for.
func (p *process) step(g int, in pair.Input) {
	w, m := p.n.w, p.m[g]
	was := p.last[g]
	switch in := in.(type) {
	case pair.Stop:
		p.stopping = true
	case pair.Start:
		p.barred[g] = in.Barred
	case pair.FenceLeave:
		p.barred[g] = in.Barred
	}
	acts := m.Step(p.now(), in)
	w.result.Cover.visit(was, in)
	if w.cfg.Watch != nil {
		w.cfg.Watch.Watch(Step{p.n.id, g, p.now(), in, acts, was, m.View(), m.MayRenew(p.now()), w.config(p.n, g)})
	}
	if len(acts) == 0 {
		return
	}
	if w.trace() {
		w.traceStep(p.n.id, g, was, in, acts)
	}
	p.last[g] = m.View().State
	if was.Owns() && !p.last[g].Owns() {
		p.judge.Moved(time.Duration(p.now()))
	}
	for _, a := range acts { // none of them steps this machine
		p.act(g, a)
	}
}

// traceStep tells what a machine was fed and asked for, but for the many
// heartbeats and ticks that ask for nothing.
func (w *World) traceStep(id, g int, was pair.State, in pair.Input, acts []pair.Action) {
	w.tracef("node %d: g%d %v <- %T%+v", id, g, was, in, in)
	for _, a := range acts {
		w.tracef("node %d: g%d    -> %T%+v", id, g, a, a)
	}
}
