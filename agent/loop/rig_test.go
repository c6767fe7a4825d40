package loop

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/act"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// Times of the default profile.
const (
	testBeat   = 50 * time.Millisecond
	testDead   = 250 * time.Millisecond
	testLease  = 300 * time.Millisecond
	testWindow = 25 * time.Millisecond
	testTake   = 400 * time.Millisecond
	testBoot   = 2 * time.Second
	testRace   = 1300 * time.Millisecond
	testFence  = 900 * time.Millisecond
)

// A rig is two nodes on one bubble's clock.
type rig struct {
	t     *testing.T
	epoch time.Time
	nodes [2]*node
	lives byte // makes the nonces of a node that starts again new
}

// A node is a loop with everything it touches faked.
type node struct {
	rig    *rig
	i      int
	loop   *Loop
	end    *wire.Endpoint
	gate   *fakeGate
	hands  *fakeHands
	memory *fakeMemory
	board  *fakeBoard
	paths  []*fakePath
	stop   context.CancelFunc
	done   chan error

	mu      sync.Mutex
	thawed  time.Time // its readers deliver nothing before
	dead    bool
	started bool
	trace   []step
}

// A step is one call from the loop's goroutine.
type step struct {
	turn uint64
	at   time.Duration
	what string // turn, grant, renew, close, or the kind of a frame
	id   int    // group or link
	ok   bool
}

type setup struct {
	mode     pair.Mode
	groups   int
	links    int
	services bool
	fence    bool
	change   func(i int, o *Options) // nil: nothing
}

// newRig makes two nodes that are not yet started. Call it inside a bubble.
func newRig(t *testing.T, s setup) *rig {
	t.Helper()
	r := &rig{t: t, epoch: time.Now().Add(-time.Hour)}
	s.groups, s.links = max(s.groups, 1), max(s.links, 2)
	if s.mode == 0 {
		s.mode = pair.ModeSilence
	}
	for i := range 2 {
		r.nodes[i] = r.node(i, s, testKeys(t))
	}
	return r
}

func testKeys(t *testing.T) *wire.Keyring {
	t.Helper()
	keys, problems := wire.ParseKeys("keys", []byte("active 1\n"+wire.GenerateKey(testSecret(), 1)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return keys
}

func testSecret() (s [32]byte) {
	for i := range s {
		s[i] = byte(3 + 7*i)
	}
	return s
}

func (r *rig) now() pair.Instant { return pair.Instant(time.Since(r.epoch)) }

func (r *rig) node(i int, s setup, keys *wire.Keyring) *node {
	n := &node{rig: r, i: i, done: make(chan error, 1), board: &fakeBoard{}, hands: &fakeHands{}}
	n.gate = &fakeGate{n: n, lease: make([]time.Time, s.groups)}
	n.memory = &fakeMemory{}
	nonce := byte(i+1) + r.lives
	n.end = wire.NewEndpoint(wire.Config{
		Cluster: "test", Node: uint8(i + 1), Peer: uint8(2 - i), Nonce: [16]byte{nonce}, BootID: 1, Keys: keys, Links: s.links,
	})
	results := make(chan act.Result, 128)
	inner, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	o := Options{
		Cluster: "test", Version: "test", Soft: 1 << 8, Digest: 7,
		Self: Node{uint8(i + 1), fmt.Sprintf("fw%d", i+1)}, Peer: Node{uint8(2 - i), fmt.Sprintf("fw%d", 2-i)},
		Mode: s.mode, Beat: testBeat, Dead: testDead, Window: testWindow, Lease: testLease, Stall: testLease / 2,
		FenceTime: testFence,
		Wire:      n.end, Gate: n.gate, Hands: n.hands, Lanes: act.New(inner, results), Results: results,
		Board: n.board, Memory: n.memory,
		Now: r.now, Suspended: func() time.Duration { return 0 }, Wall: time.Now,
		Nonce: func() [16]byte { nonce += 2; return [16]byte{nonce} }, Log: slog.New(slog.DiscardHandler),
	}
	if s.fence {
		o.FenceName = "pdu"
	}
	for g := range s.groups {
		o.Groups = append(o.Groups, r.group(i, g, s))
		o.Saved.Terms, o.Saved.Unfit = append(o.Saved.Terms, 0), append(o.Saved.Unfit, "")
	}
	for l := range s.links {
		p := &fakePath{n: n, id: uint8(l), opener: n.end.Opener(uint8(l)), delay: time.Duration(l+1) * time.Millisecond}
		n.paths = append(n.paths, p)
		o.Links = append(o.Links, Link{Name: fmt.Sprintf("link%d", l), Type: "test", Dead: testDead, Path: p})
	}
	if s.change != nil {
		s.change(i, &o)
	}
	n.loop = New(o)
	return n
}

func (r *rig) group(i, g int, s setup) Group {
	name := fmt.Sprintf("g%d", g)
	return Group{
		Name: name, Addresses: []string{"192.0.2.1/24"}, Services: []string{"dns"},
		Slow: Deadlines{Take: time.Second, Drop: time.Second, Start: 2 * time.Second, Stop: 2 * time.Second},
		Pair: pair.Config{
			Group: name, Index: g, Preferred: i == 0, LowerID: i == 0, Mode: s.mode, HasFence: s.fence,
			Beat: testBeat, Dead: testDead, Lease: testLease, Window: testWindow, Takeover: testTake, Ack: testDead,
			Init: testBoot, Race: testRace, FenceSpare: testRace - testFence - testDead - testBeat, Reserve: 15 * time.Millisecond, Probe: 60 * time.Millisecond,
			Failback: pair.FailbackNever, FlapMax: 3, FlapWindow: time.Minute, FenceRetry: time.Second,
			NoServices: !s.services, StopFailureFence: s.fence,
		},
		Start: pair.Start{Token: true},
	}
}

// start runs the node's loop.
func (n *node) start() {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.started = true
	go func() { n.done <- n.loop.Run(ctx, 20*time.Second) }()
}

// run starts both nodes, waits until the first one owns every group and lets
// fn act on them; then both are stopped in order.
func (r *rig) run(fn func(a, b *node)) {
	r.t.Helper()
	a, b := r.nodes[0], r.nodes[1]
	a.start()
	b.start()
	r.await("the preferred node owns", 3*time.Second, func() bool {
		return a.ownsAll() && !slices.ContainsFunc(b.view().Groups, func(g report.Group) bool { return g.State != "ARMED" })
	})
	fn(a, b)
	for _, n := range r.nodes {
		n.end2()
	}
	for _, n := range r.nodes {
		n.checkOrder()
	}
}

// end2 ends the loop's goroutine, in order unless it was killed.
func (n *node) end2() {
	if !n.started {
		return
	}
	n.started = false
	n.stop()
	<-n.done
}

// kill ends the node as SIGKILL does: nothing leaves it any more, and its
// kernel goes on.
func (n *node) kill() {
	n.mu.Lock()
	n.dead = true
	n.mu.Unlock()
}

func (n *node) isDead() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dead
}

func (n *node) peer() *node { return n.rig.nodes[1-n.i] }

func (n *node) ownsAll() bool {
	n.gate.mu.Lock()
	defer n.gate.mu.Unlock()
	for _, until := range n.gate.lease {
		if !time.Now().Before(until) {
			return false
		}
	}
	return true
}

func (n *node) owns(g int) bool { return n.gate.lit(g) }

func (n *node) view() report.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	s, err := n.loop.Snapshot(ctx)
	if err != nil {
		n.rig.t.Errorf("fw%d: %v", n.i+1, err)
	}
	if len(s.Groups) == 0 {
		s.Groups = make([]report.Group, 8)
	}
	return s
}

func (n *node) alarmed(name string) bool {
	return slices.ContainsFunc(n.view().Alarms, func(a report.Alarm) bool { return a.Name == name })
}

// await steps the bubble's clock until ok, or fails.
func (r *rig) await(what string, most time.Duration, ok func() bool) time.Duration {
	r.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > most {
			for _, n := range r.nodes {
				r.t.Log(n.board.tail(25))
			}
			r.t.Fatalf("not within %v: %s", most, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// note writes down a call of the loop's goroutine.
func (n *node) note(what string, id int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trace = append(n.trace, step{n.loop.counters.Turns, time.Since(n.rig.epoch), what, id, ok})
}

func (n *node) count(what string) (c int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.trace {
		if s.what == what {
			c++
		}
	}
	return c
}

// checkOrder holds the order inside every turn: mark, heartbeat on every link,
// then grants and renewals.
func (n *node) checkOrder() {
	n.rig.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	var turn uint64
	marked, told, met := false, map[int]bool{}, false
	for i, s := range n.trace {
		if s.turn != turn {
			turn, marked, told = s.turn, false, map[int]bool{}
		}
		switch s.what {
		case "turn":
			marked, told = true, map[int]bool{}
		case "grant", "renew":
			if !marked {
				n.rig.t.Errorf("fw%d: step %d of turn %d: %s without a mark", n.i+1, i, turn, s.what)
			}
			if met && len(told) < len(n.paths) {
				n.rig.t.Errorf("fw%d: step %d of turn %d: %s before a heartbeat went out on every link after the mark", n.i+1, i, turn, s.what)
			}
		case "tx hello", "tx data", "close":
		default:
			told[s.id], met = true, true
		}
	}
}

// bubble runs a story of two nodes on a clock of its own.
func bubble(t *testing.T, s setup, fn func(r *rig, a, b *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, s)
		r.run(func(a, b *node) {
			t.Helper()
			fn(r, a, b)
		})
	})
}
