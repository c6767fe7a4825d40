package sim

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

const (
	allGroups = int8(-1)
	// echoes is how many of its newest frames a node remembers the time of
	// sending of: a power of two, as in agent/loop.
	echoes = 1024
	// helloEvery and helloSilent are the pauses between two HELLOs while
	// there is no session, and while there is one but the peer is silent.
	helloEvery  = 100 * time.Millisecond
	helloSilent = 500 * time.Millisecond
	// helloMost is how many HELLOs are answered in a second.
	helloMost = 5
)

// said is what a frame says of a group.
type said struct {
	state pair.State
	flags uint8
	term  uint32
}

// frame is what one end seals and the other opens; without a kind it is a HELLO.
type frame struct {
	from, link uint8
	kind       pair.Kind
	group      int8
	session    uint32 // of the pair; in a HELLO of a plain run the sender's own
	to         uint32 // only in a HELLO of a plain run: the receiver's, as heard
	counter    uint32
	echo       uint32
	lease      time.Duration
	health     uint8
	g          [maxGroups]said
	at         pair.Instant // when it was read, by the reader's clock
	raw        []byte       // as it travels, if frames are real
}

// talk is a node's end of the pair: its session and what was heard in it.
type talk struct {
	e       *wire.Endpoint // nil in a plain run
	openers [linkCount]*wire.Opener
	frames  wire.Deframer
	message wire.Message
	buf     []byte

	mine, theirs uint32 // plain: own session, and the peer's as proven
	offered      uint32 // plain: the newest the peer offered

	session   uint32 // that both use; zero: none
	counter   uint32
	last      uint32 // counter that was sent last
	sentC     [echoes]uint32
	sentAt    [echoes]pair.Instant
	known     bool
	health    uint8  // as the peer's newest frame says it
	heard     uint32 // newest counter
	heardAt   pair.Instant
	ackAt     pair.Instant
	acked     bool   // two-way contact was seen in this session
	top       uint32 // window of counters that were fed
	seen      uint64
	nextHello pair.Instant
	second    pair.Instant // of the budget of answers
	answers   int
	sayHello  bool
}

func (t *talk) open(p *process) {
	w, n := p.n.w, p.n
	t.mine = uint32(n.id+1)<<24 | n.gens
	t.heardAt = p.now()
	if !w.cfg.Wire {
		return
	}
	var nonce [16]byte
	for i := range nonce {
		nonce[i] = byte(w.rng.Uint32())
	}
	t.e = wire.NewEndpoint(wire.Config{
		Cluster: "sim", Node: uint8(n.id + 1), Peer: uint8(2 - n.id), Nonce: nonce, BootID: n.gens,
		Keys: keyring(w.keys[n.id]), Links: linkCount,
	})
	for i := range t.openers {
		t.openers[i] = t.e.Opener(uint8(i))
	}
}

// keyStage is how far a node's rotation of keys is: which are listed, which is active.
type keyStage struct{ from, to, active uint8 }

// keyring returns the ring of a stage.
func keyring(s keyStage) *wire.Keyring {
	text := fmt.Sprintf("active %d\n", s.active)
	for id := s.from; id <= s.to; id++ {
		var b [32]byte
		for i := range b {
			b[i] = id*31 + byte(i)*7
		}
		text += fmt.Sprintf("key %d %s\n", id, base64.StdEncoding.EncodeToString(b[:]))
	}
	ring, problems := wire.ParseKeys("sim", []byte(text))
	if len(problems) > 0 {
		panic(fmt.Sprintf("sim: %v", problems[0]))
	}
	return ring
}

// follow takes note of a session that the handshake has put in place.
func (t *talk) follow(p *process) {
	s := uint32(0)
	if t.e != nil {
		s, _ = t.e.Established()
	} else if t.theirs != 0 {
		a, b := min(t.mine, t.theirs), max(t.mine, t.theirs)
		s = 1<<30 | a&0xfff<<12 | b&0xfff // of both agents' starts
	}
	if s == 0 || s == t.session {
		return
	}
	t.session = s
	t.sentC = [echoes]uint32{}
	t.known, t.heard, t.top, t.seen, t.last, t.acked = false, 0, 0, 0, 0, false
	for i := range p.inlets {
		p.inlets[i].heardAt = 0
	}
	p.urgent = true
}

// hellos sends a HELLO when the handshake calls for one.
func (t *talk) hellos(p *process, now pair.Instant) {
	silent := now.Since(t.heardAt) > p.n.w.timing.Dead
	wants := t.theirs == 0
	if t.e != nil {
		wants = t.e.WantsHello()
	}
	if !t.sayHello && (now < t.nextHello || !wants && !silent) {
		return
	}
	t.sayHello = false
	t.nextHello = now.Add(max(helloEvery, p.n.w.timing.Beat))
	if !wants {
		t.nextHello = now.Add(helloSilent)
	}
	p.send(0, allGroups)
}

// send puts one message on every link, under one counter.
func (p *process) send(kind pair.Kind, group int8) {
	t, w, now := &p.talk, p.n.w, p.now()
	f := frame{from: uint8(p.n.id), kind: kind, group: group}
	if kind == 0 {
		f.session, f.to = t.mine, t.offered
	} else {
		if t.follow(p); t.session == 0 {
			return
		}
		p.fill(&f)
		t.last = f.counter
		t.sentC[f.counter%echoes], t.sentAt[f.counter%echoes] = f.counter, now
	}
	for i := range w.links {
		f.link = uint8(i)
		if t.e != nil && !p.seal(&f) {
			continue
		}
		w.transmit(&f)
	}
}

// fill writes what every frame of a session says of this node.
func (p *process) fill(f *frame) {
	t, w := &p.talk, p.n.w
	f.session = t.session
	if t.e != nil {
		f.counter = t.e.NextCounter()
	} else {
		t.counter++
		f.counter = t.counter
	}
	if t.known {
		f.echo = t.heard
	}
	f.lease = w.timing.Lease + w.timing.Window
	if w.cfg.Mutant == TakeoverTooEarly {
		f.lease = time.Millisecond
	}
	f.health = health.Byte(p.n.votes.State().Score)
	for g, m := range p.m {
		v := m.View()
		s := said{state: v.State, term: v.Term}
		if v.Passive {
			s.flags |= wire.Passive
		}
		if v.Unfit {
			s.flags |= wire.Unfit
		}
		if v.FenceMe {
			s.flags |= wire.FenceMe
		}
		f.g[g] = s
	}
}

// kinds are the frames of the wire by what the machine says.
var kinds = [...]wire.Kind{
	0: wire.Hello, pair.Beat: wire.Beat, pair.Claim: wire.Claim, pair.Grant: wire.Grant, pair.Release: wire.Release,
	pair.Released: wire.Released, pair.Goodbye: wire.Goodbye, pair.FenceNotice: wire.FenceNotice,
}

// seal makes the bytes of a frame.
func (p *process) seal(f *frame) bool {
	t := &p.talk
	m := &t.message
	*m = wire.Message{
		Kind: kinds[f.kind], Counter: f.counter, Echo: f.echo, LinkEcho: f.echo, GroupIndex: uint8(f.group),
		TimeToCritical: wire.NoTimeToCritical, Mode: uint8(p.n.w.cfg.Mode), Lease: f.lease, Health: f.health,
	}
	if f.kind != 0 {
		m.NGroups = len(p.m)
		for g := range p.m {
			m.Groups[g] = wire.Group{State: uint8(f.g[g].state), Flags: f.g[g].flags, Term: f.g[g].term}
		}
	}
	b, err := t.e.Seal(t.buf[:0], f.link, m)
	if err != nil {
		return false
	}
	t.buf = b
	f.raw = b
	return true
}

// take opens what came by a link and queues it for the loop.
func (w *World) take(p *process, ref int32) {
	f := &w.pool.frames[ref]
	t := &p.talk
	f.at = p.now()
	if t.e == nil || f.raw == nil {
		p.queue(ref)
		return
	}
	raw, link := f.raw, f.link
	if w.links[link].serial {
		t.frames.Write(raw, func(b []byte) { w.openFrame(p, link, b) })
	} else {
		w.openFrame(p, link, raw)
	}
	w.pool.free(ref)
}

// openFrame is the reader's work on one payload.
func (w *World) openFrame(p *process, link uint8, b []byte) {
	t := &p.talk
	m := &t.message
	if t.openers[link].Open(b, m) != wire.Accepted {
		return
	}
	ref, f := w.pool.get()
	f.from, f.link, f.counter, f.echo, f.lease = uint8(1-p.n.id), link, m.Counter, m.Echo, m.Lease
	f.session, f.group, f.kind, f.at, f.health = m.Session, int8(m.GroupIndex), 0, p.now(), m.Health
	for k, x := range kinds {
		if x == m.Kind {
			f.kind = pair.Kind(k)
		}
	}
	for g := range p.m {
		f.g[g] = said{pair.State(m.Groups[g].State), m.Groups[g].Flags, m.Groups[g].Term}
	}
	if f.kind == 0 { // the handshake needs the whole message
		w.pool.free(ref)
		if t.e.Accept(m) && t.mayAnswer(p.now()) {
			t.sayHello = true
			p.urgent = true
		}
		t.follow(p)
		p.deliver(input{in: nil, frame: -1})
		return
	}
	w.acceptedOnce(t, f, b)
	p.queue(ref)
}

// queue hands a frame to the loop, which holds so many.
func (p *process) queue(ref int32) {
	if len(p.inbox) >= maxFrames || !p.deliver(input{frame: ref}) {
		p.n.w.pool.free(ref)
	}
}

// mayAnswer keeps the budget of HELLOs.
func (t *talk) mayAnswer(now pair.Instant) bool {
	if now.Since(t.second) >= time.Second {
		t.second, t.answers = now, 0
	}
	t.answers++
	return t.answers <= helloMost
}

// hear takes one frame in the loop.
func (p *process) hear(ref int32) {
	if ref < 0 {
		return // a HELLO that the reader took
	}
	w := p.n.w
	f := w.pool.frames[ref]
	w.pool.free(ref)
	if f.kind == 0 {
		p.hearHello(&f)
		return
	}
	t, now := &p.talk, p.now()
	replay := w.cfg.Mutant == ReplayTaken
	if t.follow(p); f.session != t.session && !replay {
		return
	}
	p.urgent = p.urgent || !t.known
	t.known = true
	in := &p.inlets[f.link]
	in.heardAt = max(in.heardAt, f.at)
	if w.cfg.Mutant != NoFrameOrder && !replay && !t.first(f.counter) {
		return // the other link was faster
	}
	newest := f.counter >= t.heard
	if newest {
		t.health = f.health
	}
	t.heard = max(t.heard, f.counter)
	t.heardAt = max(t.heardAt, f.at)
	sent := t.when(f.echo)
	if sent != 0 {
		t.ackAt = max(t.ackAt, sent)
		p.urgent = p.urgent || !t.acked
		t.acked = true
	}
	if !newest && f.kind == pair.Beat && w.cfg.Mutant != NoFrameOrder && !replay {
		return
	}
	if f.kind == pair.FenceNotice {
		p.noticedAt = now
		if p.saved.FencedBy == "" {
			p.saved.FencedBy = "peer"
			p.save()
		}
	}
	for g := range p.m {
		p.asked[g] = f.g[g].flags&wire.FenceMe != 0
		p.step(g, p.translate(&f, g, sent))
	}
}

// translate makes the machine's view of a frame for one group.
func (p *process) translate(f *frame, g int, sent pair.Instant) pair.Heard {
	s := f.g[g]
	h := pair.Heard{
		Kind: pair.Beat, State: s.state, Term: s.term, EchoSentAt: sent, Mode: p.n.w.cfg.Mode, Lease: f.lease,
		Passive: s.flags&wire.Passive != 0, Unfit: s.flags&wire.Unfit != 0, FenceMe: s.flags&wire.FenceMe != 0,
		Accept: true, Session: f.session, Counter: f.counter,
	}
	if f.group == int8(g) || f.group == allGroups {
		h.Kind = f.kind
	}
	switch p.n.w.cfg.Mutant {
	case EchoByArrival:
		h.EchoSentAt = p.now()
	case ClaimsUnheard:
		h.EchoSentAt = p.now()
		if h.Kind == pair.Claim && p.last[g].Owns() {
			h.Kind = pair.Beat
		}
	case NoFrameOrder, ReplayTaken:
		h.Counter = 0
	}
	return h
}

// hearHello takes a session whose HELLO proves that it knows ours (plain runs).
func (p *process) hearHello(f *frame) {
	t := &p.talk
	if f.session == t.theirs && f.to == t.mine || f.session < t.offered {
		return // known, or of an older agent and late
	}
	fresh := f.session != t.offered || f.to != t.mine
	t.offered = f.session
	if f.to == t.mine {
		t.theirs = f.session
		t.follow(p)
	}
	if (fresh || f.to != t.mine) && t.mayAnswer(p.now()) || f.to == t.mine {
		t.sayHello = true
		p.urgent = true
	}
}

// when is when this node sent a counter; zero if that is not known.
func (t *talk) when(c uint32) pair.Instant {
	if c == 0 || t.sentC[c%echoes] != c {
		return 0
	}
	return t.sentAt[c%echoes]
}

// first passes each counter once, whatever link it came by.
func (t *talk) first(c uint32) bool {
	if c > t.top {
		t.seen = t.seen<<(c-t.top) | 1
		t.top = c
		return true
	}
	if t.top-c >= 64 {
		return false
	}
	bit := uint64(1) << (t.top - c)
	seen := t.seen&bit != 0
	t.seen |= bit
	return !seen
}
