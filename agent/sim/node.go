package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// maxInbox is how many inputs wait for a process that stands still; the
// kernel drops what comes after.
const maxInbox = 256

// journal is what survives a reboot.
type journal struct {
	term        uint32
	token       bool
	maintenance bool
	unfit       bool
	fenced      bool // switched off by the peer
}

// gate is the kernel lease of one group.
type gate struct {
	until   pair.Instant // zero: never granted or closed
	flushed bool         // a stranger removed it
}

// node is a computer: power, kernel, disk, and at most one agent process.
type node struct {
	w       *World
	id      int
	powered bool
	boots   uint32
	disk    [2]journal
	gates   [2]gate
	token   pair.Instant // the turn token lives until
	proc    *process
	session uint32
	sick    bool // services fail to start
	probes  []*probing
}

// process is one run of the agent.
type process struct {
	n        *node
	session  uint32
	machines []*pair.Machine
	inbox    []any   // frame or result
	unread   []frame // in the kernel's buffers, of a process that stands still
	paused   bool
	parked   []func()
	busy     bool // a turn is under way
	wake     uint64
	lastTurn pair.Instant
	nextBeat pair.Instant

	peer        uint32 // its established session; zero: none
	pendingPeer uint32 // of the newest HELLO
	heard       uint32 // newest counter heard of it
	counter     uint32
	sentAt      []pair.Instant // by counter
	hello       bool           // send one in this turn
	frames      []frame        // to be sent in this turn
	gateWork    []gateWork
	lastHello   pair.Instant
	lastGood    pair.Instant // newest authentic frame
}

type gateWork struct {
	group  int
	open   bool
	ticket uint32
}

// result is an input for one machine, from outside or from the executor.
type result struct {
	group int
	in    pair.Input
}

func newNode(w *World, id int) *node {
	n := &node{w: w, id: id}
	for g := range n.disk {
		n.disk[g].token = true
	}
	return n
}

func (n *node) other() *node { return n.w.nodes[1-n.id] }

// owner reports whether the kernel would answer for the group.
func (n *node) owner(g int) bool { return n.powered && n.gates[g].until > n.w.now }

func (n *node) powerOn(fenced bool) {
	if n.powered {
		return
	}
	n.w.tracef("node %d: power on", n.id)
	n.powered = true
	n.boots++
	n.gates = [2]gate{}
	n.token = 0
	if fenced {
		for g := range n.disk {
			n.disk[g].fenced = true
		}
	}
	n.w.after(n.w.chance(50*time.Millisecond), n.startAgent)
}

func (n *node) powerOff(why string) {
	if !n.powered {
		return
	}
	n.w.tracef("node %d: power off (%s)", n.id, why)
	n.powered = false
	n.gates = [2]gate{}
	n.proc = nil
}

func (n *node) killAgent() {
	if n.proc != nil {
		n.w.tracef("node %d: agent killed", n.id)
		n.proc = nil
	}
}

// startAgent asks the kernel what it holds and the disk what was promised.
func (n *node) startAgent() {
	if !n.powered || n.proc != nil {
		return
	}
	w := n.w
	n.session++
	p := &process{n: n, session: uint32(n.id+1)<<24 | n.session, sentAt: []pair.Instant{0}, hello: true}
	p.lastTurn = w.now
	n.proc = p
	for g := range w.cfg.Groups {
		m := pair.New(w.config(n.id, g))
		p.machines = append(p.machines, m)
		d := &n.disk[g]
		s := pair.Start{
			Term: d.term, Token: d.token, Maintenance: d.maintenance, Failed: d.unfit,
			LeaseHeld: n.owner(g), FencedLast: d.fenced,
		}
		d.fenced = false
		w.tracef("node %d: agent start g%d %+v", n.id, g, s)
		p.inbox = append(p.inbox, result{g, s})
	}
	p.turn()
}

// then runs the next part of the process a moment later, or when it is resumed, if it still lives.
func (p *process) then(d time.Duration, run func()) {
	p.n.w.after(d, func() { p.run(run) })
}

func (p *process) run(f func()) {
	if p.n.proc != p {
		return // killed
	}
	if p.paused {
		p.parked = append(p.parked, f)
		return
	}
	f()
}

func (p *process) pause() {
	p.n.w.tracef("node %d: paused", p.n.id)
	p.paused = true
}

func (p *process) resume() {
	if p.n.proc != p || !p.paused {
		return
	}
	p.n.w.tracef("node %d: resumed", p.n.id)
	p.paused = false
	for _, f := range p.parked {
		p.then(p.n.w.chance(100*time.Microsecond), f)
	}
	p.parked = nil
	for _, f := range p.unread { // the readers run when the scheduler lets them, maybe after the loop
		p.then(p.n.w.chance(min(maxReaderLag, p.config().Beat)), func() { p.deliver(f) })
	}
	p.unread = nil
}

// maxReaderLag is how long after a resume the readers may still hand frames of
// the stall to the loop.
const maxReaderLag = 5 * time.Millisecond

// deliver queues an input; the kernel keeps it for a process that stands still.
func (p *process) deliver(in any) {
	if p.n.proc != p || len(p.inbox)+len(p.unread) >= maxInbox {
		return
	}
	if f, ok := in.(frame); ok && p.paused {
		p.unread = append(p.unread, f)
		return
	}
	p.inbox = append(p.inbox, in)
	p.wakeAt(p.n.w.now)
}

// wakeAt starts a turn at t unless one is under way.
func (p *process) wakeAt(t pair.Instant) {
	if p.busy {
		return
	}
	p.wake++
	my := p.wake
	p.n.w.at(t, func() {
		if p.wake == my && !p.busy {
			p.run(func() {
				if !p.busy {
					p.turn()
				}
			})
		}
	})
}

// turn is one turn of the loop: token, drain and step, gates, frames, renew.
// The process may be stopped between any two parts.
func (p *process) turn() {
	p.busy = true
	w := p.n.w
	p.n.token = w.now.Add(p.config().Window)
	gap := w.now.Since(p.lastTurn)
	p.lastTurn = w.now
	p.then(p.moment(), func() { p.think(gap) })
}

// moment is the time between two parts of a turn: nearly always microseconds.
func (p *process) moment() time.Duration {
	w := p.n.w
	n := 2000
	if len(p.gateWork) > 0 {
		n = 100 // a stop beside the gate's work is where the order of a turn matters
	}
	if !w.cfg.Quiet && !w.slow && w.odds(n) {
		return w.chance(p.config().Lease)
	}
	return w.chance(50 * time.Microsecond)
}

func (p *process) config() *pair.Config { return &p.n.w.timing }

func (p *process) think(gap time.Duration) {
	w := p.n.w
	// Start comes first of all, in the first turn.
	if len(p.sentAt) == 1 && p.counter == 0 {
		for g := range p.machines {
			p.step(g, p.inbox[g].(result).in)
		}
		p.inbox = p.inbox[len(p.machines):]
		p.counter = 1
		p.sentAt = append(p.sentAt, 0)
	}
	for g := range p.machines {
		if gap > p.config().Lease/2 && w.cfg.Mutant != RenewWithoutToken {
			p.step(g, pair.Stalled{Gap: gap})
		}
		p.lease(g, gap)
	}
	in := p.inbox
	p.inbox = nil
	for _, x := range in {
		switch x := x.(type) {
		case frame:
			p.receive(x)
		case result:
			p.step(x.group, x.in)
		}
	}
	for g := range p.machines {
		p.step(g, pair.Tick{})
	}
	if w.cfg.Mutant == GrantWhileOwning {
		p.then(p.moment(), func() { p.send(p.doGates) })
		return
	}
	p.then(p.moment(), p.doGates)
}

// lease tells the machine of a kernel lease that is gone.
func (p *process) lease(g int, gap time.Duration) {
	k := &p.n.gates[g]
	if p.machines[g].View().GateOpen && k.until <= p.n.w.now {
		p.step(g, pair.LeaseLost{Stranger: k.flushed && gap <= p.config().Lease/2})
	}
	k.flushed = false
}

// doGates opens and closes gates in the kernel, in order. A refused or granted
// lease goes back to the machine in the same turn.
func (p *process) doGates() {
	w, k := p.n.w, p.n
	for i := 0; i < len(p.gateWork); i++ { // steps may add more
		g := p.gateWork[i]
		if !g.open {
			k.gates[g.group] = gate{}
			w.tracef("node %d: g%d gate closed", k.id, g.group)
			continue
		}
		ok := k.token > w.now || w.cfg.Mutant == RenewWithoutToken
		if ok {
			k.gates[g.group] = gate{until: w.now.Add(w.lease())}
		}
		w.tracef("node %d: g%d gate opened %v", k.id, g.group, ok)
		p.step(g.group, pair.GateOpened{Ticket: g.ticket, OK: ok})
	}
	p.gateWork = p.gateWork[:0]
	if w.cfg.Mutant == GrantWhileOwning {
		p.then(p.moment(), p.renew)
		return
	}
	p.then(p.moment(), func() { p.send(p.renew) })
}

// lease is how long the kernel keeps a gate open.
func (w *World) lease() time.Duration {
	if w.cfg.Mutant == LeaseLongerThanTold {
		return 3 * w.timing.Lease
	}
	return w.timing.Lease
}

// renew refreshes the lease if token and lease are unexpired in the kernel.
func (p *process) renew() {
	w, k := p.n.w, p.n
	for g, m := range p.machines {
		switch {
		case !m.MayRenew(w.now):
		case w.cfg.Mutant == RenewWithoutToken:
			k.gates[g].until = w.now.Add(w.lease())
		case k.token > w.now && k.gates[g].until > w.now:
			k.gates[g].until = w.now.Add(w.lease())
		}
	}
	p.busy = false
	next := p.nextBeat
	for _, m := range p.machines {
		next = min(next, m.Next())
	}
	if len(p.inbox) > 0 {
		next = w.now
	}
	p.wakeAt(next.Add(w.chance(200 * time.Microsecond)))
	if p.allStopped() {
		p.n.killAgent()
	}
}

func (p *process) allStopped() bool {
	for _, m := range p.machines {
		if !m.View().Stopped {
			return false
		}
	}
	return true
}

// step feeds one machine and hands on what it asks for.
func (p *process) step(g int, in pair.Input) {
	w, m := p.n.w, p.machines[g]
	was := m.View().State
	acts := m.Step(w.now, in)
	w.cfg.Cover.visit(was, in)
	if w.cfg.Trace != nil {
		w.traceStep(p.n.id, g, was, in, acts)
	}
	for _, a := range acts {
		p.act(g, a)
	}
}

func (w *World) traceStep(id, g int, was pair.State, in pair.Input, acts []pair.Action) {
	switch in.(type) {
	case pair.Tick, pair.Heard:
		if len(acts) == 0 {
			return
		}
	}
	w.tracef("node %d: g%d %v <- %T%+v", id, g, was, in, in)
	for _, a := range acts {
		w.tracef("node %d: g%d    -> %T%+v", id, g, a, a)
	}
}

// act is the executor: what takes time answers later, with its ticket.
func (p *process) act(g int, a pair.Action) {
	w, n := p.n.w, p.n
	short, long := 2*time.Millisecond, 30*time.Millisecond
	switch a := a.(type) {
	case pair.Send:
		p.frames = append(p.frames, frame{kind: a.Kind, group: g})
	case pair.OpenGate:
		p.gateWork = append(p.gateWork, gateWork{g, true, a.Ticket})
	case pair.CloseGate:
		p.gateWork = append(p.gateWork, gateWork{g, false, 0})
	case pair.TakeAddresses:
		p.later(short, g, pair.AddressesUp{Ticket: a.Ticket, Err: w.trouble(200, n.sick)})
	case pair.DropAddresses:
		p.later(short, g, pair.AddressesDown{Ticket: a.Ticket})
	case pair.StartServices:
		p.later(long, g, pair.ServicesUp{Ticket: a.Ticket, Err: w.trouble(60, n.sick)})
	case pair.StopServices:
		p.later(long, g, pair.ServicesDown{Ticket: a.Ticket, Err: w.trouble(60, false)})
	case pair.Probe:
		p.probe(g, a)
	case pair.FencePeer:
		p.fence(g, a)
	case pair.CancelFence:
		w.device.cancel(n.id, g, a.Ticket)
	case pair.Persist:
		d := &n.disk[g]
		w.after(w.chance(10*time.Millisecond), func() {
			if n.powered && n.proc == p {
				d.term, d.maintenance, d.unfit = max(d.term, a.Term), a.Maintenance, a.Unfit
			}
		})
	case pair.Record:
		w.record(n.id, g, a)
	case pair.Alarm:
		if a.On {
			w.result.Alarms[a.Name]++
		}
	case pair.Answer:
		w.result.Answers[a.OK]++
	case pair.Announce:
	}
}

// later answers within d, rarely much later.
func (p *process) later(d time.Duration, g int, in pair.Input) {
	w := p.n.w
	if !w.cfg.Quiet && !w.slow && w.odds(50) {
		d *= 60
	}
	w.after(w.chance(d), func() { p.deliver(result{g, in}) })
}

// trouble is an error once in n, or always for a sick node.
func (w *World) trouble(n int, sick bool) string {
	if sick || !w.cfg.Quiet && !w.slow && w.odds(n) {
		return "exit status 1"
	}
	return ""
}
