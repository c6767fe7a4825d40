package sim

import (
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/pair"
)

// gate is the kernel lease of one group.
type gate struct {
	until   pair.Instant // true time; zero: never granted, or closed
	granted pair.Instant
}

// node is a computer: power, clock, kernel, disk, and at most one agent process.
type node struct {
	w       *World
	id      int
	powered bool
	readAt  pair.Instant // the clock was last read at, and read
	reads   pair.Instant
	upAt    pair.Instant // of the newest power-on
	shot    bool         // it is off by the fence device
	shots   int          // how often it was
	starved int          // power supplies whose outlet is off
	wall    time.Duration
	disk    disk
	gates   [maxGroups]gate
	mark    pair.Instant // the turn mark lives until
	proc    *process
	gens    uint32
	sick    bool // services fail to start
	votes   health.Board
	probes  []*probing
	again   time.Duration // after which the supervisor starts an agent that ended in order
	cuffed  int           // power-offs under way that nobody switches on before
	bars    int           // reasons not to fence
}

// clock is the node's monotonic clock: true time and its drift. The nodes'
// clocks have nothing to do with each other.
func (n *node) clock(t pair.Instant) pair.Instant {
	if t != n.readAt { // the same moment is asked for many times
		n.readAt, n.reads = t, t+n.drift(t)+pair.Instant(n.id)*pair.Instant(time.Hour)
	}
	return n.reads
}

// drift is how much the clock is fast at t: in steps that never go back.
func (n *node) drift(t pair.Instant) pair.Instant {
	return t / 1000 * pair.Instant(n.w.cfg.Drift[n.id]) / 1000
}

// true is when the node's clock will read l.
func (n *node) true(l pair.Instant) pair.Instant {
	l -= pair.Instant(n.id) * pair.Instant(time.Hour)
	t := l - n.drift(l)
	return l - n.drift(t)
}

// expiry is when the kernel forgets an element that lives for d: whole ticks,
// of which it may lose the one it is born in (vip/gate says why).
func (n *node) expiry(d time.Duration) pair.Instant {
	tick := n.w.cfg.Tick[n.id]
	d = d.Truncate(time.Millisecond).Truncate(tick)
	end := n.clock(n.w.now).Add(d)
	return n.true(end - end%pair.Instant(tick))
}

func newNode(w *World, id int) *node { return &node{w: w, id: id} }

func (n *node) other() *node { return n.w.nodes[1-n.id] }

// owner reports whether the kernel would answer for the group.
func (n *node) owner(g int) bool { return n.powered && n.gates[g].until > n.w.now }

func (n *node) powerOn() {
	if n.powered || n.cuffed > 0 || n.starved >= n.w.cfg.Feeds {
		return
	}
	n.w.tracef("node %d: power on", n.id)
	n.powered, n.shot, n.upAt = true, false, n.w.now
	n.gates = [maxGroups]gate{}
	n.mark = 0
	n.w.after(n.w.chance(50*time.Millisecond), n.startAgent)
}

func (n *node) powerOff(why string) {
	if !n.powered {
		return
	}
	n.w.tracef("node %d: power off (%s)", n.id, why)
	n.powered = false
	n.gates = [maxGroups]gate{}
	n.proc = nil
	if n.shot = why == fenced; !n.shot {
		return
	}
	n.shots++
	if n.other().shot {
		n.w.bothShot()
	}
}

// off is a loss of power for d.
func (n *node) off(why string, d time.Duration) {
	n.powerOff(why)
	n.cuffed++
	n.w.after(d, func() {
		n.cuffed--
		n.powerOn()
	})
}

// fenced is the reason of a power-off by the other node.
const fenced = "fenced"

func (n *node) killAgent() {
	if n.proc != nil {
		n.w.tracef("node %d: agent ends", n.id)
		n.proc = nil
	}
}

// ended is an agent that stopped in order; its supervisor starts it again.
func (n *node) ended() {
	n.killAgent()
	n.w.after(n.again, n.startAgent)
}

// startAgent asks the kernel what it holds and the disk what was promised.
func (n *node) startAgent() {
	if !n.powered || n.proc != nil {
		return
	}
	w := n.w
	n.gens++
	p := newProcess(n)
	n.proc = p
	p.saved = n.disk.open()
	for g := range p.m {
		s := pair.Start{
			Term: p.saved.Terms[groupNames[g]], Token: p.saved.Token, Maintenance: p.saved.Maintenance != nil,
			Failed: p.saved.Unfit[groupNames[g]] != "", LeaseHeld: n.owner(g), FencedLast: p.saved.FencedBy != "", Barred: n.barred(),
		}
		if w.trace() {
			w.tracef("node %d: agent start g%d %+v", n.id, g, s)
		}
		p.own[g] = held{opened: s.LeaseHeld, renewed: p.lastTurn}
		p.inbox = append(p.inbox, input{group: int8(g), in: s})
	}
	p.leave = n.barred()
	p.turn()
}

// barred is why the node may not fence, in the loop's words; empty: it may.
func (n *node) barred() string {
	if n.bars > 0 {
		return "not verified"
	}
	return ""
}

// judgeLeave tells the machines when the leave to fence comes or goes.
func (n *node) judgeLeave() {
	p := n.proc
	if p == nil || p.leave == n.barred() {
		return
	}
	p.leave = n.barred()
	for g := range p.m {
		p.tell(g, pair.FenceLeave{Barred: p.leave})
	}
}

// groupNames are the names of the groups.
var groupNames = [maxGroups]string{"g0", "g1"}

// disk holds the real journal's bytes.
type disk struct {
	image journal.Image
	older journal.Image // a backup that somebody may restore
	opens int
	seq   uint64
}

func (d *disk) open() journal.State {
	s, seq, whole := d.image.Load()
	d.seq = seq
	d.opens++
	if whole && d.opens%3 == 1 {
		d.older = d.image
	}
	return s
}

// save writes the state of a process, one copy after the other; a power cut
// in between leaves the second one as it was.
func (p *process) save() {
	if p.saving {
		p.saveAgain = true
		return
	}
	p.saving = true
	n, w := p.n, p.n.w
	n.disk.seq++
	b, err := journal.Encode(p.saved, n.disk.seq)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	write := func(i int) bool {
		if n.proc != p || !n.powered {
			return false
		}
		n.disk.image[i] = b
		return true
	}
	d := w.chance(10 * time.Millisecond)
	if w.odds(w.cfg.Trouble) {
		d += w.chance(3 * w.unit) // a slow disk
	}
	w.after(d/2, func() { write(0) })
	w.after(d, func() {
		if !write(1) {
			return
		}
		p.saving = false
		if p.saveAgain {
			p.saveAgain = false
			p.save()
		}
	})
}

// lose damages the disk: nothing left, one copy torn, both torn, or a backup.
func (d *disk) lose(how int) {
	tear := func(b []byte) []byte { return b[:len(b)*2/3] }
	switch how {
	case 0:
		d.image = journal.Image{}
	case 1:
		d.image[0] = tear(d.image[0])
	case 2:
		d.image[0], d.image[1] = tear(d.image[0]), tear(d.image[1])
	case 3:
		d.image = d.older
	}
}
