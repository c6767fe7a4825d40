// Package sim runs two real machines of each group in a seeded world of virtual time; it judges nothing by itself but the rules that must never break.
//
// Start reading at [Run]. The world owns clocks, power, processes, kernels,
// links, the LAN, the fence device and the operator. One seed is one run, for
// ever: nothing here reads a clock or another source of chance. Checkers run
// after every event (see check.go); what each mode is safe under, and hence
// which faults may meet, is in faults.go.
package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// Config is one run.
type Config struct {
	Seed   uint64
	Mode   pair.Mode
	Fence  bool // a fence device exists
	Groups int  // 1 or 2; the second is preferred on the other node
	Fast   bool // profile fast
	Faults int  // how many faults are drawn
	Length time.Duration
	Mutant Mutant
	Trace  io.Writer // nil: silent
	Cover  *Coverage // nil: not counted

	// Script, if set, replaces the drawn faults.
	Script func(*World)
	// Quiet makes links, services and the fence device free of random trouble.
	Quiet bool
}

// A Mutant is one way to be wrong that the checkers must notice.
type Mutant uint8

// The mutants.
const (
	Sound               Mutant = iota
	RenewWithoutToken          // the kernel renews for a late process, and revives a lapsed lease
	TakeoverTooEarly           // silence counts one lease too soon
	EchoByArrival              // two-way contact is judged by arrival
	ProbeBlind                 // the VIP probe sees nobody
	FenceLies                  // the fence device says off and does nothing
	GrantWhileOwning           // frames leave before the gate closes
	LeaseLongerThanTold        // the kernel's lease is three times what the peers agreed on
	ClaimsUnheard              // an owner does not hear CLAIM and judges contact by arrival
	ProbesUnheard              // a probe does not see the other one's probe
	NoFrameOrder               // frames are taken in the order of arrival: false splits
	mutants
)

// A Violation is what a run did wrong; empty if nothing.
type Violation struct {
	At   pair.Instant
	Rule string
	Text string
}

// A Result is what a run was.
type Result struct {
	Violation *Violation
	Events    int
	Entries   int // to ACTIVE, all groups and nodes
	Fences    int
	BothOff   bool                  // the fence device had both nodes off at once
	Dark      [2]time.Duration      // per group: longest time without an open gate
	Evidence  map[pair.Evidence]int // entries by evidence
	History   []pair.Record         // the last records, at most maxHistory
	Healed    time.Duration         // from the heal to exactly one owner of every group
	Answers   map[bool]int          // operator answers
	Alarms    map[string]int        // raised
}

// maxHistory bounds the records a result keeps; older ones are forgotten.
const maxHistory = 64

// A World is one run under way.
type World struct {
	cfg    Config
	timing pair.Config // what both nodes agree on
	rng    *rand.Rand
	now    pair.Instant
	queue  events
	seq    uint64
	nodes  [2]*node
	links  []*link
	lan    bool
	mended pair.Instant // when the links were last made clean
	device device
	result Result
	darkAt [2]pair.Instant // since when nobody serves the group; zero: served
	healed pair.Instant
	okFrom pair.Instant
	slow   bool // faults are over
}

type event struct {
	at  pair.Instant
	seq uint64
	run func()
}

type events []event

func (e event) before(f event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// push and pop keep a binary heap; container/heap would allocate per event.
func (e *events) push(x event) {
	h := append(*e, x)
	i := len(h) - 1
	for i > 0 && h[i].before(h[(i-1)/2]) {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
	*e = h
}

func (e *events) pop() event {
	h := *e
	top, n := h[0], len(h)-1
	h[0], h[n] = h[n], event{}
	h = h[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && h[c+1].before(h[c]) {
			c++
		}
		if !h[c].before(h[i]) {
			break
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
	*e = h
	return top
}

// settle is how long a healed pair may take to have exactly one owner.
const settle = 5 * time.Second

// Run plays one seed and returns what happened. A panic of a machine counts as a violation.
func Run(cfg Config) (res Result) {
	w := newWorld(cfg)
	defer func() {
		if p := recover(); p != nil {
			w.violate("panic", fmt.Sprint(p))
		}
		res = w.result
	}()
	w.nodes[0].powerOn(false)
	w.after(w.chance(300*time.Millisecond), func() { w.nodes[1].powerOn(false) })
	if cfg.Script != nil {
		cfg.Script(w)
	} else {
		w.drawFaults()
	}
	heal := pair.Instant(cfg.Length)
	w.at(heal, w.heal)
	end := heal.Add(settle + 2*time.Second)
	for len(w.queue) > 0 && w.result.Violation == nil {
		e := w.queue.pop()
		if e.at > end {
			break
		}
		w.now = e.at
		e.run()
		w.result.Events++
		w.check()
	}
	return w.result
}

func newWorld(cfg Config) *World {
	if cfg.Length == 0 {
		cfg.Length = 20 * time.Second
	}
	cfg.Groups = max(cfg.Groups, 1)
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x7477696e)), lan: true, now: 1}
	w.result.Evidence = map[pair.Evidence]int{}
	w.result.Answers = map[bool]int{}
	w.result.Alarms = map[string]int{}
	w.links = []*link{{delay: 200 * time.Microsecond}, {delay: 5 * time.Millisecond}} // Ethernet, serial
	w.device = device{reach: [2]bool{true, true}}
	w.timing = w.config(0, 0)
	for i := range w.nodes {
		w.nodes[i] = newNode(w, i)
	}
	return w
}

func (w *World) at(t pair.Instant, run func()) {
	w.seq++
	w.queue.push(event{max(t, w.now), w.seq, run})
}

func (w *World) after(d time.Duration, run func()) { w.at(w.now.Add(d), run) }

// chance returns a time below d.
func (w *World) chance(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(d)))
}

// odds is true once in n.
func (w *World) odds(n int) bool { return w.rng.IntN(n) == 0 }

func (w *World) tracef(format string, args ...any) {
	if w.cfg.Trace != nil {
		fmt.Fprintf(w.cfg.Trace, "%10.3f  %s\n", float64(w.now)/1e6, fmt.Sprintf(format, args...))
	}
}

// Config returns the configuration a node's machine of a group gets.
func (w *World) config(id, group int) pair.Config {
	c := pair.Config{
		Group: fmt.Sprintf("g%d", group), Index: group, Preferred: id == group, LowerID: id == 0,
		Mode: w.cfg.Mode, HasFence: w.cfg.Fence || w.cfg.Mode == pair.ModeFence,
		Beat: 50 * time.Millisecond, Dead: 250 * time.Millisecond, Lease: 300 * time.Millisecond,
		Window: 25 * time.Millisecond, Takeover: 400 * time.Millisecond, Ack: 250 * time.Millisecond,
		Init: 2 * time.Second, Race: 1500 * time.Millisecond, Reserve: 15 * time.Millisecond,
		Probe:    45 * time.Millisecond,
		Failback: pair.FailbackNever, FenceRetry: 500 * time.Millisecond,
		FlapMax: 3, FlapWindow: 10 * time.Second, NoServices: w.cfg.Seed%3 == 0,
		StopFailureFence: w.cfg.Seed%5 == 0, FailbackHold: 2 * time.Second,
	}
	if w.cfg.Fast {
		c.Beat, c.Dead, c.Lease = 5*time.Millisecond, 35*time.Millisecond, 35*time.Millisecond
		c.Window, c.Takeover, c.Ack, c.Reserve = 8*time.Millisecond, 45*time.Millisecond, 35*time.Millisecond, 2*time.Millisecond
		c.Lease, c.Probe = 32*time.Millisecond, 1500*time.Microsecond // eight ticks of 4 ms: what a kernel makes of 35
	}
	if w.cfg.Seed%4 == 1 {
		c.Failback = pair.FailbackHold
	}
	if w.cfg.Mutant == TakeoverTooEarly {
		c.Takeover, c.Reserve = c.Dead, -c.Lease
	}
	return c
}
