package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

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
	refuseRenew         bool
	mute                bool // refuses without a word, as a kernel without an egress hook
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
	ok := now.Before(g.until) && (!need || now.Before(g.lease[group])) && !g.refuse && (need || !g.refuseGrant) && !(need && g.refuseRenew)
	if ok {
		g.lease[group] = now.Add(testLease)
	}
	g.mu.Unlock()
	g.n.note(what, int(group), ok)
	if !ok {
		if g.mute {
			return nil
		}
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
	carry  func(kind wire.Kind, bytes int) time.Duration // nil: delay; told of every frame

	mu     sync.Mutex // as a link's one reader
	frame  Frame
	out    sync.Mutex
	cut    bool // what leaves here is lost
	closed string
	lines  pair.LineState
	drains atomic.Int64
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
	if p.carry != nil {
		delay = p.carry(kind, len(payload))
	}
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
func (p *fakePath) Drain()      { p.drains.Add(1) }
func (p *fakePath) Attend(bool) {}
func (p *fakePath) Lines() pair.LineState {
	p.out.Lock()
	defer p.out.Unlock()
	return p.lines
}

func (p *fakePath) setLines(s pair.LineState) {
	p.out.Lock()
	defer p.out.Unlock()
	p.lines = s
}
func (p *fakePath) View() PathView { return PathView{} }

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
	cut      func() // what an off that is proven does
	power    func() // what an on does
	onFence  func() // when an off begins
	check    FenceCheck
	missing  []string
	owner    map[int]bool // groups for which announcements may go out
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
		h.slow, h.errs, h.owner = map[string]time.Duration{}, map[string]error{}, map[int]bool{}
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
func (h *fakeHands) Announce(i int, why string) {
	h.set(func() { h.calls = append(h.calls, fmt.Sprintf("announce %d: %s", i, why)) })
}

func (h *fakeHands) SetOwner(i int, owner bool) { h.set(func() { h.owner[i] = owner }) }

func (h *fakeHands) speaks(i int) (owner bool) {
	h.set(func() { owner = h.owner[i] })
	return owner
}

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

func (h *fakeHands) Fence(ctx context.Context) FenceDone {
	h.set(func() { h.fences++ })
	if h.onFence != nil {
		h.onFence()
	}
	began := time.Now()
	err := h.do(ctx, "fence", 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || h.unproven {
		return FenceDone{Evidence: fmt.Sprintf("device said: %v", err)}
	}
	if h.cut != nil {
		h.cut()
	}
	return FenceDone{Proven: true, Grade: "off, relay claim only", Evidence: "outlet reads off", Took: time.Since(began)}
}

func (h *fakeHands) FenceOn(ctx context.Context) error {
	err := h.do(ctx, "power-on", 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && h.power != nil {
		h.power()
	}
	return err
}

func (h *fakeHands) FenceCheck(ctx context.Context) FenceCheck {
	err := h.do(ctx, "status", 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.check
	c.Power, c.Err = "on", text(err)
	return c
}

// fakeMemory is a disk.
type fakeMemory struct {
	mu        sync.Mutex
	saves     []Saved
	saveErr   error
	spendErr  error
	spendSlow time.Duration
	slow      time.Duration
	spent     int
	fences    []report.Fence
	fenceErr  error
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
	wait := m.spendSlow
	m.mu.Unlock()
	time.Sleep(wait)
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

func (m *fakeMemory) Fenced(r report.Fence) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fences = append(m.fences, r)
	return m.fenceErr
}

func (m *fakeMemory) history() []report.Fence {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.fences)
}

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
