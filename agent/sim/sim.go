// Package sim runs two real machines of each group in a seeded world of virtual time; it judges nothing by itself but the rules that must never break.
//
// Start reading at [Run]. A run is a [Config] and a [Schedule], and is the same
// for ever: nothing here reads a clock or another source of chance. [Draw] makes
// both from a seed: which faults are on, how often, which profile, mode and
// policy (swarm testing: not every run has everything). The schedule is a list
// that a person can read and edit ([ParseSchedule]); a failing one is cut down to
// the faults that matter by [Minimise].
//
// Real here are the machines (agent/pair), the timing and its inequalities
// (agent/config), the journal's format and its choice between copies
// (agent/journal) and, for each fourth seed, every frame: sessions, tags,
// replay windows, key rotation, COBS and CRC (agent/wire). The other seeds carry
// the same content without a tag, four times as fast. The world owns the rest:
// clocks, power, kernels and their leases, processes, links, the LAN, the fence
// device and the operator (process.go follows agent/loop turn by turn).
//
// Checkers run after every event and are named after the invariants of the
// design (check.go). What each mode is safe under, and hence which faults may
// meet, is said in fault.go.
package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// Config is one run, apart from its faults.
type Config struct {
	Seed    uint64 // of all chance within the run
	Mode    pair.Mode
	Fence   bool   // a fence device exists; mode fence always has one
	Feeds   int    // 1..maxFeeds: power supplies of a node, each on an outlet
	Cuts    bool   // no fault but cuts, pauses, a leave that goes and comes, and what the device does: invariant 11 holds
	Groups  int    // 1..maxGroups; the second is preferred on the other node
	Profile string // default, fast or slow
	Scale   int    // of profile slow: every interval times this; 0 is 1
	Length  time.Duration
	Wire    bool   // frames are sealed and opened by agent/wire
	Drift   [2]int // of each node's clock, in ppm of true time
	Tick    [2]time.Duration
	Hiccup  int  // a turn is interrupted once in so many; 0: never
	Trouble int  // an action fails, or takes very long, once in so many; 0: never
	Slow    bool // addresses and services take long

	Failback         pair.Failback
	NoServices       bool
	StopFailureFence bool
	Lines            bool // a full null-modem cable

	Mutant Mutant
	Trace  io.Writer // nil: silent
	Watch  Watcher   // nil: nobody
}

// A Watcher is told of every step of every machine, before its actions are
// carried out.
type Watcher interface{ Watch(Step) }

// A Step is one input of one machine and what came of it.
type Step struct {
	Node, Group int
	Now         pair.Instant // by the node's clock
	In          pair.Input
	Out         []pair.Action // valid until the machine's next step
	Before      pair.State
	After       pair.View
	Renew       bool // MayRenew, after the step
	Config      pair.Config
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
	ReplayTaken                // frames of any session and any counter are taken
	ProbesUnheard              // a probe does not see the other one's probe
	NoFrameOrder               // frames are taken in the order of arrival: false splits
	TurnsForgotten             // an order to fence is sent however late it is
	mutants
)

// maxGroups bounds the groups of a run: two make the rules between groups, a
// third adds only time.
const maxGroups = 2

// A Violation is what a run did wrong.
type Violation struct {
	At   pair.Instant
	Rule string // the checker's name
	Text string
}

// A Result is what a run was.
type Result struct {
	Violation *Violation
	Life      time.Duration // of the pair
	Faults    int           // that were injected; the rest met a world in which they could not be
	Events    int
	Entries   int // to ACTIVE, all groups and nodes
	Fences    int
	BothOff   bool                     // the fence device had both nodes off at once
	Deceived  int                      // proofs that were false because the device lied in a way no reading finds out; the run ended there
	Dark      [maxGroups]time.Duration // longest time without an open gate, by group
	Evidence  [evidences]int           // entries by evidence
	History   []pair.Record            // the last records, at most maxHistory
	Healed    time.Duration            // longest time from a heal to exactly one owner of every group
	Alarms    map[string]int           // raised, by name
	Replayed  int                      // recorded frames that were sent again
	Digest    uint64                   // of everything the machines decided, and when
	Cover     Coverage
}

const (
	// maxHistory bounds the records a result keeps; older ones are forgotten.
	maxHistory = 64
	evidences  = int(pair.EvidenceOperator) + 1
	// maxEvents ends a run that is going round in circles.
	maxEvents = 20_000_000
)

// A World is one run under way.
type World struct {
	cfg    Config
	timing pair.Config // what both nodes agree on
	fenceT time.Duration
	rng    *rand.Rand
	now    pair.Instant // true time; each node's clock drifts from it
	queue  events
	seq    uint32
	calls  []func()
	unused []int32 // free places of calls
	pool   pool
	nodes  [2]*node
	links  []*link
	lan    bool
	alien  bool         // a third host answers for the addresses
	mended pair.Instant // when the links were last made clean
	device device
	// Frames of a kind may be late: late frames in odd states are what a
	// protocol forgets.
	holdKind pair.Kind
	holdFor  time.Duration
	result   Result
	darkAt   [maxGroups]pair.Instant // since when nobody serves the group; zero: served
	healed   pair.Instant            // the last heal; zero while faults are on
	okFrom   pair.Instant
	calm     bool // between a heal and the next fault
	unit     time.Duration
	settle   time.Duration
	// graceful is the longest darkness of a planned move once everything is well.
	graceful time.Duration
	keys     [2]keyStage
	// accepted are the real frames that each node took, by session, link and counter.
	accepted [2]map[uint64]struct{}
}

// An event is one thing that happens at a time.
type event struct {
	at   pair.Instant
	seq  uint32
	gen  uint32 // of the process it is for
	ref  int32  // into calls or the pool
	kind eventKind
	node uint8
}

type eventKind uint8

const (
	evCall   eventKind = iota
	evWake             // a turn is due
	evPart             // the rest of a turn
	evArrive           // a frame
)

type events []event

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// push and pop keep a binary heap; container/heap would allocate per event.
func (e *events) push(x event) {
	h := append(*e, x)
	i := len(h) - 1
	for i > 0 && x.before(&h[(i-1)/2]) {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = x
	*e = h
}

func (e *events) pop() event {
	h := *e
	top, n := h[0], len(h)-1
	x := h[n]
	h = h[:n]
	i := 0
	for {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && h[c+1].before(&h[c]) {
			c++
		}
		if !h[c].before(&x) {
			break
		}
		h[i] = h[c]
		i = c
	}
	if n > 0 {
		h[i] = x
	}
	*e = h
	return top
}

// Run plays one schedule and returns what happened. A panic of a machine
// counts as a violation.
func Run(cfg Config, s Schedule) Result { return run(cfg, s, nil) }

// run is Run with a script of a test, which may look into the world.
func run(cfg Config, s Schedule, script func(*World)) (res Result) {
	w := newWorld(cfg)
	defer func() {
		if p := recover(); p != nil {
			w.violate("panic", fmt.Sprint(p))
		}
		res = w.result
	}()
	w.nodes[0].powerOn()
	w.after(w.chance(300*time.Millisecond), w.nodes[1].powerOn)
	for _, f := range s {
		if f.Kind == FaultReplay {
			for _, l := range w.links {
				l.taps = true
			}
		}
		w.at(pair.Instant(f.At), func() { w.inject(f) })
	}
	if script != nil {
		script(w)
	}
	end := pair.Instant(cfg.Length)
	w.at(end.Add(-w.settle-w.graceful), w.heal)
	for len(w.queue) > 0 && w.result.Violation == nil && w.result.Deceived == 0 {
		e := w.queue.pop()
		if e.at > end {
			break
		}
		w.now = e.at
		w.dispatch(&e)
		if w.result.Events++; w.result.Events > maxEvents {
			w.violate("endless", fmt.Sprintf("%d events", maxEvents))
		}
		w.check()
	}
	w.result.Life = time.Duration(w.now)
	return w.result
}

func (w *World) dispatch(e *event) {
	switch e.kind {
	case evCall:
		f := w.calls[e.ref]
		w.calls[e.ref] = nil
		w.unused = append(w.unused, e.ref)
		f()
	case evArrive:
		w.arrive(e.ref)
	case evWake:
		if p := w.nodes[e.node].proc; p != nil && p.gen == e.gen {
			p.woken()
		}
	case evPart:
		if p := w.nodes[e.node].proc; p != nil && p.gen == e.gen {
			p.goOn()
		}
	}
}

func newWorld(cfg Config) *World {
	if cfg.Length == 0 {
		cfg.Length = 20 * time.Second
	}
	cfg.Groups = min(max(cfg.Groups, 1), maxGroups)
	cfg.Feeds = min(max(cfg.Feeds, 1), maxFeeds)
	for i := range cfg.Tick {
		if cfg.Tick[i] == 0 {
			cfg.Tick[i] = 4 * time.Millisecond
		}
	}
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x7477696e)), lan: true, calm: true, now: 1}
	w.result.Alarms = map[string]int{}
	w.result.Digest = digestSeed
	w.keys = [2]keyStage{{1, 1, 1}, {1, 1, 1}}
	w.device = device{w: w, reach: [2]bool{true, true}}
	w.profile()
	for i := range w.nodes {
		w.nodes[i] = newNode(w, i)
	}
	return w
}

func (w *World) push(t pair.Instant, e event) {
	w.seq++
	e.seq = w.seq
	e.at = max(t, w.now)
	w.queue.push(e)
}

// at runs f at a true time.
func (w *World) at(t pair.Instant, f func()) {
	ref := int32(len(w.calls))
	if n := len(w.unused); n > 0 {
		ref, w.unused = w.unused[n-1], w.unused[:n-1]
		w.calls[ref] = f
	} else {
		w.calls = append(w.calls, f)
	}
	w.push(t, event{kind: evCall, ref: ref})
}

func (w *World) after(d time.Duration, f func()) { w.at(w.now.Add(d), f) }

// chance returns a time below d.
func (w *World) chance(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(d)))
}

// odds is true once in n, and never for n = 0.
func (w *World) odds(n int) bool { return n > 0 && w.rng.IntN(n) == 0 }

func (w *World) tracef(format string, args ...any) {
	if w.cfg.Trace != nil {
		fmt.Fprintf(w.cfg.Trace, "%12.3f  %s\n", float64(w.now)/1e6, fmt.Sprintf(format, args...))
	}
}

func (w *World) trace() bool { return w.cfg.Trace != nil }
