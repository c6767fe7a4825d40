package loop

import (
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// A Frame is an authentic message and the moment it came.
type Frame struct {
	Message wire.Message
	Link    uint8
	At      pair.Instant
}

// peer is what the frames told of the other node.
type peer struct {
	heardAt pair.Instant // newest frame of the session, on any link
	ackAt   pair.Instant // when this node sent the newest counter the peer echoed
	session uint32
	counter uint32
	m       wire.Message // the newest, by counter
	known   bool
	acked   bool // two-way contact was seen in this session
}

// heard takes one authentic frame.
func (l *Loop) heard(now pair.Instant, f *Frame) {
	m := &f.Message
	f.At = min(f.At, now) // it may have come since this turn began
	if m.Kind == wire.Hello {
		l.hello(now, m)
		return
	}
	if m.Kind == wire.Data {
		l.heardData(now, m)
		return // no machine sees it, and it proves no contact
	}
	if m.Session != l.session {
		l.follow(now)
		if m.Session != l.session {
			return // still under way from the session before
		}
	}
	p := l.paths[f.Link]
	p.heard(f.At, m, &l.sent)
	if m.Session != l.peer.session || !l.peer.known {
		l.peerReturns(f.At)
		l.peer = peer{session: m.Session, known: true}
		l.fed = counterWindow{}
		l.urgent = true // it waits for the echo
	}
	if !l.fed.first(m.Counter) {
		return // the other link was faster
	}
	newest := m.Counter >= l.peer.counter
	if newest {
		l.peer.counter, l.peer.m = m.Counter, *m
	}
	l.peer.heardAt = max(l.peer.heardAt, f.At)
	if sent := l.sent.at(m.Echo); sent != 0 {
		l.peer.ackAt = max(l.peer.ackAt, sent)
		l.urgent = l.urgent || !l.peer.acked // an adopted lease may be renewed from now on, and may not have long
		l.peer.acked = true
	}
	if !newest && m.Kind == wire.Beat {
		return // an old heartbeat that only the slow link delivered says nothing new
	}
	if m.Kind == wire.FenceNotice {
		l.noticed(now)
	}
	for _, g := range l.groups {
		l.step(now, g, l.translate(m, g.index))
	}
}

// noticed keeps the peer's word that it switches this node off: if that happens,
// the next boot is passive until contact.
func (l *Loop) noticed(now pair.Instant) {
	l.noticedAt = now
	if l.saved.FencedBy == "" {
		l.saved.FencedBy = l.o.Peer.Name
		l.save()
	}
}

// hello lets the handshake move on and answers within its budget.
func (l *Loop) hello(now pair.Instant, m *wire.Message) {
	answer := l.o.Wire.Accept(m)
	l.follow(now)
	if answer && l.helloBudget.take(now) {
		l.sendHello(now)
	}
}

// follow takes note of a session that the handshake has put in place. The
// counters of both nodes start anew with it.
func (l *Loop) follow(now pair.Instant) {
	s, ok := l.o.Wire.Established()
	if !ok || s == l.session {
		return
	}
	l.session, l.worn, l.urgent = s, false, true
	l.sent = echoRing{}
	l.event(now, report.Event{
		Kind: "link", Seen: "handshake with " + l.o.Peer.Name,
		Decided: fmt.Sprintf("session %06x", s), Done: "frames of older sessions are refused",
	})
}

// translate makes the machine's view of a frame for one group.
func (l *Loop) translate(m *wire.Message, index int) pair.Heard {
	h := pair.Heard{
		Kind:       pair.Beat,
		EchoSentAt: l.sent.at(m.Echo),
		Mode:       pair.Mode(m.Mode),
		Lease:      m.Lease,
		Session:    m.Session,
		Counter:    m.Counter,
		Accept:     m.Digest == l.o.Digest && m.Version>>8 == l.o.Soft>>8 && pair.Mode(m.Mode) == l.o.Mode && m.NGroups == len(l.groups),
	}
	if index < m.NGroups {
		g := m.Groups[index]
		h.State, h.Term = pair.State(g.State), g.Term
		h.Passive = g.Flags&wire.Passive != 0
		h.Unfit = g.Flags&wire.Unfit != 0
		h.FenceMe = g.Flags&wire.FenceMe != 0
	}
	if m.GroupIndex == uint8(index) || m.GroupIndex == wire.AllGroups {
		h.Kind = kindFromWire(m.Kind)
	}
	return h
}

// kinds pairs what the machine says with its frame.
var kinds = [...]struct {
	machine pair.Kind
	frame   wire.Kind
}{
	{pair.Claim, wire.Claim},
	{pair.Grant, wire.Grant},
	{pair.Release, wire.Release},
	{pair.Released, wire.Released},
	{pair.Goodbye, wire.Goodbye},
	{pair.FenceNotice, wire.FenceNotice},
}

func kindFromWire(k wire.Kind) pair.Kind {
	for _, c := range kinds {
		if c.frame == k {
			return c.machine
		}
	}
	return pair.Beat
}

func kindToWire(k pair.Kind) wire.Kind {
	for _, c := range kinds {
		if c.machine == k {
			return c.frame
		}
	}
	return wire.Beat
}

// echoRing remembers when each recent counter was sent.
type echoRing struct {
	counter [echoes]uint32
	sentAt  [echoes]pair.Instant
	last    uint32
}

// echoes covers five seconds of the fastest profile (200 frames/s): an older
// echo proves nothing that a decision could use.
const echoes = 1024

func (r *echoRing) add(c uint32, at pair.Instant) {
	r.counter[c%echoes], r.sentAt[c%echoes], r.last = c, at, c
}

// at returns when counter c was sent, or zero if it is not known.
func (r *echoRing) at(c uint32) pair.Instant {
	if c == 0 || r.counter[c%echoes] != c {
		return 0
	}
	return r.sentAt[c%echoes]
}

// counterWindow passes each counter once, whatever link it came by.
type counterWindow struct {
	top  uint32
	bits uint64
}

func (w *counterWindow) first(c uint32) bool {
	switch {
	case c > w.top:
		if shift := c - w.top; shift < 64 {
			w.bits = w.bits<<shift | 1
		} else {
			w.bits = 1
		}
		w.top = c
		return true
	case w.top-c >= 64:
		return false // too old to tell; the newer ones said more
	}
	bit := uint64(1) << (w.top - c)
	seen := w.bits&bit != 0
	w.bits |= bit
	return !seen
}

// helloBudget answers at most five HELLOs a second, so that a flood of them
// costs nothing.
type helloBudget struct {
	second pair.Instant
	used   int
}

func (b *helloBudget) take(now pair.Instant) bool {
	if now.Since(b.second) >= time.Second || b.second == 0 {
		b.second, b.used = now, 0
	}
	b.used++
	return b.used <= 5
}
