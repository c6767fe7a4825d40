package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
	testRace   = time.Second
)

// A rig is two nodes on one bubble's clock.
type rig struct {
	t     *testing.T
	epoch time.Time
	nodes [2]*node
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
	keys, problems := wire.ParseKeys("keys", []byte("active 1\n"+wire.GenerateKey(testSecret(), 1)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i := range 2 {
		r.nodes[i] = r.node(i, s, keys)
	}
	return r
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
	nonce := byte(i + 1)
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
		FenceTime: 3 * time.Second,
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
		Name: name, Addresses: []string{"192.0.2.1/24"},
		Slow: Deadlines{Take: time.Second, Drop: time.Second, Start: 2 * time.Second, Stop: 2 * time.Second},
		Pair: pair.Config{
			Group: name, Index: g, Preferred: i == 0, LowerID: i == 0, Mode: s.mode, HasFence: s.fence,
			Beat: testBeat, Dead: testDead, Lease: testLease, Window: testWindow, Takeover: testTake, Ack: testDead,
			Init: testBoot, Race: testRace, Reserve: 15 * time.Millisecond, Probe: 60 * time.Millisecond,
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
	r.await("the preferred node owns", 3*time.Second, func() bool { return a.ownsAll() && b.view().Groups[0].State == "ARMED" })
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
		case "tx hello", "close":
		default:
			told[s.id], met = true, true
		}
	}
}

// A fakeGate does what the kernel's gate does, and holds the one rule.
type fakeGate struct {
	n     *node
	mu    sync.Mutex
	until time.Time // of the turn mark
	lease []time.Time

	before              func(what string) // runs in the loop's goroutine; may stand still
	turnErr, closeErr   error
	heldErr             error
	refuse, refuseGrant bool
}

var errRefused = errors.New("refused")

func (g *fakeGate) pause(what string) {
	g.mu.Lock()
	f := g.before
	g.mu.Unlock()
	if f != nil {
		f(what)
	}
}

func (g *fakeGate) lit(id int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Before(g.lease[id])
}

func (g *fakeGate) Turn() error {
	g.pause("turn")
	if g.n.isDead() {
		return errRefused
	}
	g.n.note("turn", 0, true)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.turnErr != nil {
		return g.turnErr
	}
	g.until = time.Now().Add(testWindow)
	return nil
}

func (g *fakeGate) extend(what string, group uint8, need bool) error {
	g.pause(what)
	if g.n.isDead() {
		return errRefused
	}
	g.mu.Lock()
	now := time.Now()
	ok := now.Before(g.until) && (!need || now.Before(g.lease[group])) && !g.refuse && (need || !g.refuseGrant)
	if ok {
		g.lease[group] = now.Add(testLease)
	}
	g.mu.Unlock()
	g.n.note(what, int(group), ok)
	if !ok {
		return errRefused
	}
	if other := g.n.peer(); other.gate.lit(int(group)) {
		g.n.rig.t.Errorf("fw%d: %s of group %d while the other one's gate is open", g.n.i+1, what, group)
	}
	if need && !g.n.loop.groups[group].m.View().State.Owns() {
		g.n.rig.t.Errorf("fw%d: renewed group %d in %v", g.n.i+1, group, g.n.loop.groups[group].m.View().State)
	}
	return nil
}

func (g *fakeGate) Grant(group uint8) error { return g.extend("grant", group, false) }
func (g *fakeGate) Renew(group uint8) error { return g.extend("renew", group, true) }

func (g *fakeGate) Close(group uint8) error {
	g.pause("close")
	if g.n.isDead() {
		return errRefused
	}
	g.n.note("close", int(group), true)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closeErr != nil {
		return g.closeErr
	}
	g.lease[group] = time.Time{}
	return nil
}

func (g *fakeGate) Held(group uint8) (bool, time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.heldErr != nil {
		return false, 0, g.heldErr
	}
	left := time.Until(g.lease[group])
	return left > 0, max(left, 0), nil
}

// flush is a stranger's `nft flush ruleset`.
func (g *fakeGate) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.lease)
	g.until = time.Time{}
}

func (g *fakeGate) set(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn()
}

// A fakePath carries real frames to the other node after a delay.
type fakePath struct {
	n      *node
	id     uint8
	opener *wire.Opener
	delay  time.Duration

	mu     sync.Mutex // as a link's one reader
	frame  Frame
	out    sync.Mutex
	cut    bool // what leaves here is lost
	closed string
}

func (p *fakePath) Send(payload []byte) error {
	n := p.n
	kind := wire.Kind(payload[0] & 0xf)
	if n.isDead() {
		return errors.New("dead")
	}
	if kind != wire.Hello {
		p.truth(kind)
	}
	n.note("tx "+kind.String(), int(p.id), true)
	p.out.Lock()
	cut, delay := p.cut, p.delay
	p.out.Unlock()
	if cut {
		return nil
	}
	data := slices.Clone(payload)
	to := n.peer().paths[p.id]
	time.AfterFunc(delay, func() { to.deliver(data) })
	return nil
}

// truth checks that no frame calls a group free while this node's gate for it is open.
func (p *fakePath) truth(kind wire.Kind) {
	m := &p.n.loop.message
	for i := range m.NGroups {
		free := (kind == wire.Released || kind == wire.Grant || kind == wire.Goodbye) && (m.GroupIndex == uint8(i) || m.GroupIndex == wire.AllGroups)
		if free && p.n.gate.lit(i) {
			p.n.rig.t.Errorf("fw%d: %v for group %d while its gate is open", p.n.i+1, kind, i)
		}
	}
}

func (p *fakePath) deliver(data []byte) {
	n := p.n
	n.mu.Lock()
	wait, dead := time.Until(n.thawed), n.dead
	n.mu.Unlock()
	if dead {
		return
	}
	if wait > 0 {
		time.AfterFunc(wait+time.Millisecond, func() { p.deliver(data) })
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opener.Open(data, &p.frame.Message) != 0 {
		return
	}
	p.frame.Link, p.frame.At = p.id, n.rig.now()
	n.loop.Offer(p.frame)
}

func (p *fakePath) setDelay(d time.Duration) {
	p.out.Lock()
	defer p.out.Unlock()
	p.delay = d
}

func (p *fakePath) setCut(cut bool) {
	p.out.Lock()
	defer p.out.Unlock()
	p.cut = cut
}

func (p *fakePath) Open() (bool, string) {
	p.out.Lock()
	defer p.out.Unlock()
	return p.closed == "", p.closed
}
func (p *fakePath) Lines() pair.LineState { return pair.LinesUnknown }
func (p *fakePath) View() PathView        { return PathView{} }

// cutAll cuts or heals everything that leaves the node.
func (n *node) cutAll(cut bool) {
	for _, p := range n.paths {
		p.setCut(cut)
	}
}

// freeze keeps the whole process from running: the loop stands still in its
// next call of the gate, the readers deliver nothing until then.
func (n *node) freeze(d time.Duration) {
	n.mu.Lock()
	n.thawed = time.Now().Add(d)
	n.mu.Unlock()
	n.gate.set(func() {
		n.gate.before = func(string) {
			n.mu.Lock()
			wait := time.Until(n.thawed)
			n.mu.Unlock()
			time.Sleep(wait)
		}
	})
}

// fakeHands take as long as they are told.
type fakeHands struct {
	mu       sync.Mutex
	calls    []string
	slow     map[string]time.Duration
	errs     map[string]error
	deaf     bool // ignores its context
	foreign  bool
	fences   int
	unproven bool
	cancels  int
	missing  []string
}

func (h *fakeHands) do(ctx context.Context, what string, i int) error {
	h.mu.Lock()
	h.calls = append(h.calls, fmt.Sprintf("%s %d", what, i))
	wait, err, deaf := h.slow[what], h.errs[what], h.deaf
	h.mu.Unlock()
	if deaf {
		time.Sleep(wait)
		return err
	}
	select {
	case <-time.After(wait):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *fakeHands) set(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slow == nil {
		h.slow, h.errs = map[string]time.Duration{}, map[string]error{}
	}
	fn()
}

func (h *fakeHands) count(what string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.calls {
		if strings.HasPrefix(c, what) {
			n++
		}
	}
	return n
}

func (h *fakeHands) TakeAddresses(ctx context.Context, i int) error { return h.do(ctx, "take", i) }
func (h *fakeHands) DropAddresses(ctx context.Context, i int) error { return h.do(ctx, "drop", i) }
func (h *fakeHands) StartServices(ctx context.Context, i int) error { return h.do(ctx, "start", i) }
func (h *fakeHands) StopServices(ctx context.Context, i int) error  { return h.do(ctx, "stop", i) }
func (h *fakeHands) Announce(int, string)                           {}
func (h *fakeHands) SetOwner(int, bool)                             {}

func (h *fakeHands) Probe(ctx context.Context, i int, lasts time.Duration) (bool, bool, string) {
	select {
	case <-time.After(lasts):
	case <-ctx.Done():
		return false, false, ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return true, h.foreign, "02:00:00:00:00:07"
}

func (h *fakeHands) RenewAddresses(ctx context.Context, i int) ([]string, error) {
	err := h.do(ctx, "lifetime", i)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.missing, err
}

func (h *fakeHands) Fence(ctx context.Context) (bool, string) {
	h.set(func() { h.fences++ })
	err := h.do(ctx, "fence", 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || h.unproven {
		return false, fmt.Sprintf("device said: %v", err)
	}
	return true, "outlet reads off"
}

func (h *fakeHands) FenceStatus(ctx context.Context) (string, error) {
	return "on", h.do(ctx, "status", 0)
}

// fakeMemory is a disk.
type fakeMemory struct {
	mu       sync.Mutex
	saves    []Saved
	saveErr  error
	spendErr error
	slow     time.Duration
	spent    int
}

func (m *fakeMemory) Save(s Saved) error {
	m.mu.Lock()
	wait := m.slow
	m.mu.Unlock()
	if s.Clean {
		wait = 0 // the worst for the order of two
	}
	time.Sleep(wait)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves = append(m.saves, s)
	return m.saveErr
}

func (m *fakeMemory) set(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn()
}

func (m *fakeMemory) last() Saved {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.saves) == 0 {
		return Saved{}
	}
	return m.saves[len(m.saves)-1]
}

func (m *fakeMemory) SpendToken() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.spendErr != nil {
		return m.spendErr
	}
	m.spent++
	return nil
}
func (m *fakeMemory) RecordContact() error { return nil }
func (m *fakeMemory) Append(report.Event)  {}

// fakeBoard keeps every event.
type fakeBoard struct {
	mu     sync.Mutex
	events []report.Event
}

func (b *fakeBoard) Add(e report.Event) report.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.Seq = uint64(len(b.events) + 1)
	b.events = append(b.events, e)
	return e
}

func (b *fakeBoard) count(kind, part string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == kind && strings.Contains(e.Seen+" "+e.Decided+" "+e.Done, part) {
			n++
		}
	}
	return n
}

func (b *fakeBoard) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s strings.Builder
	s.WriteString("\n")
	for _, e := range b.events[max(0, len(b.events)-n):] {
		fmt.Fprintf(&s, "%8.1f %s %s %s->%s: %s; %s; %s\n", e.MonoMS, e.Kind, e.Group, e.From, e.To, e.Seen, e.Decided, e.Done)
	}
	return s.String()
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
