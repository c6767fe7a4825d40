package pair

import (
	"fmt"
	"time"
)

// bid is a claim under way: either negotiated with a peer that speaks, or
// announced to one that is silent.
type bid struct {
	on         bool
	negotiated bool
	at         Instant // of the first CLAIM
	next       Instant // of the next one
	sent       int
	rest       Instant // no new negotiation before
}

// prober is the state of the VIP probe.
type prober struct {
	ticket  uint32 // outstanding; zero: none
	askedAt Instant
	lasts   time.Duration
	next    Instant
	silent  bool // the last one was sent and nobody answered
	foreign bool // the last one was answered
	unsent  int  // in a row
	armed   bool // it was asked for by an armed node
}

// unarmedProbe is how long a probe lasts before a takeover of a node that is
// not armed: the other one may be about to do the same. Two nodes that hear
// each other on no link meet only on the LAN: a probe must see the other one's
// gate, or the other one's probe (RFC 5227 section 2.1.1). Three probes are sent
// in 40 ms and heard for 60. Of two that overlap at least the first hears the
// other and yields, for one that hears a rival sends no more. A probe that
// begins after the other one's ended sends its last when two thirds of it are
// over: by then that gate is open, or must not open any more (see meeting). An
// owner that looks again needs no more than that. An armed node has a rival only
// in an owner whose gate was closed under it, and its probe lasts Config.Probe.
const unarmedProbe = 60 * time.Millisecond

// ProbeGrace is how old a finished probe may be when the gate opens; the grant
// may take another Window.
const ProbeGrace = 14 * time.Millisecond

// meeting is the least length of a probe that sends its last after the gate
// opened for which another node's probe ended when this one began.
func (m *Machine) meeting() time.Duration { return 3 * (ProbeGrace + m.cfg.Window) / 2 }

// probeLasts is the length of the probe that the takeover at hand needs.
func (m *Machine) probeLasts() time.Duration {
	switch {
	case m.state == Armed || m.prob.armed && m.state.Owns():
		return m.cfg.Probe
	case m.state.Owns():
		return max(m.cfg.Probe, m.meeting())
	default:
		return max(unarmedProbe, m.cfg.Probe, m.meeting())
	}
}

// takeAfter is the silence after which the peer's kernel lease has ended,
// whatever happened to it, and T_takeover has passed. In lease mode the peer
// may renew for Ack after the last frame that was acknowledged.
func (m *Machine) takeAfter() time.Duration {
	lease := m.cfg.Lease + m.cfg.Window
	if m.peer.known && m.peer.said.Lease > 0 {
		lease = m.peer.said.Lease
	}
	d := lease + m.cfg.Reserve
	if m.cfg.Mode == ModeLease {
		d += m.cfg.Ack
		d += d / 500 // rho, 1000 ppm on either clock
	}
	return max(m.cfg.Takeover, d)
}

// takeAt is when silence alone allows a takeover.
func (m *Machine) takeAt() (at Instant, ok bool) {
	p := &m.peer
	switch {
	case m.rank() == 0 || m.cfg.Mode == ModeFence || p.known && !p.said.Accept:
		return 0, false
	case m.state == Armed:
		at = m.heardOut(m.takeAfter())
	case m.cfg.Mode == ModeSilence:
		at = m.heardOut(max(m.initWait, m.takeAfter()))
		if !m.cfg.Preferred && m.state != Armed {
			at = at.Add(m.takeAfter()) // both may have booted apart: the other one's gate opens first and answers the probe
		}
	default:
		return 0, false
	}
	return max(at, m.hold.until), true
}

// heardOut is when the peer has been silent for d, and after a stall was
// listened to and then had the time that a CLAIM gives it.
func (m *Machine) heardOut(d time.Duration) Instant {
	return max(m.peer.heardAt.Add(d), m.peer.listen.Add(m.takeAfter()-m.cfg.Dead))
}

// tickSilence bids for the group of a silent peer, and takes it.
func (m *Machine) tickSilence() {
	if m.peerIsolated() {
		m.begin(Solo, EvidenceLease, m.peerLine(), "the peer gave up and is not armed: take the group")
		return
	}
	at, ok := m.takeAt()
	from := at.Add(-(m.takeAfter() - m.cfg.Dead))
	if !ok || m.silence() <= m.cfg.Dead || m.now < from {
		return
	}
	if !m.bid.on {
		m.note(fmt.Sprintf("peer silent for %s", ms(m.silence())), "claim the group", fmt.Sprintf("CLAIM, probe, take in %s", ms(at.Since(m.now))))
		m.startBid(false)
		m.prob.silent, m.prob.unsent = false, 0
	}
	m.repeatClaim()
	switch {
	case m.now < at.Add(-m.probeLasts()): // earlier, a stopped owner's kernel still answers
	case !m.probeSilent():
		m.askProbe()
	case m.now >= at:
		m.takeSilent()
	}
}

func (m *Machine) takeSilent() {
	s, ev := Active, EvidenceSilence
	if m.cfg.Mode == ModeLease {
		s, ev = Solo, EvidenceLease
	}
	seen := fmt.Sprintf("peer silent for %s, probe unanswered", ms(m.silence()))
	if m.prob.unsent > 0 {
		seen = fmt.Sprintf("peer silent for %s, no probe could be sent", ms(m.silence()))
	}
	m.begin(s, ev, seen, fmt.Sprintf("its lease ended after %s", ms(m.takeAfter())))
}

// peerIsolated reports, in lease mode, a peer that is heard to have given up
// although it does not hear this node: it leaves ISOLATED only by contact.
func (m *Machine) peerIsolated() bool {
	p := &m.peer
	return m.cfg.Mode == ModeLease && m.state == Armed && m.rank() > 0 && m.now >= m.hold.until &&
		p.said.State == Isolated && p.said.Accept && m.silence() <= m.cfg.Dead && m.now.Since(p.ackAt) > m.cfg.Dead+m.cfg.Ack
}

func (m *Machine) startBid(negotiated bool) {
	m.bid = bid{on: true, negotiated: negotiated, at: m.now, next: m.now}
}

// endBid forgets the claim and any probe made for it.
func (m *Machine) endBid() {
	m.bid = bid{rest: m.bid.rest}
	m.prob.ticket = 0
}

// repeatClaim sends CLAIM every beat at first, then slower.
func (m *Machine) repeatClaim() {
	if m.now < m.bid.next {
		return
	}
	m.bid.sent++
	pace := m.cfg.Beat
	if m.bid.sent > repeatBeats {
		pace = max(m.cfg.Dead, m.cfg.Beat)
	}
	m.bid.next = m.now.Add(pace)
	m.do(Send{Claim})
}

// probeSilent reports whether a probe asked for a moment ago found nobody.
func (m *Machine) probeSilent() bool {
	p := &m.prob
	return p.silent && p.ticket == 0 && m.now.Since(p.askedAt) <= p.lasts+ProbeGrace
}

func (m *Machine) askProbe() {
	if m.prob.ticket != 0 || m.now < m.prob.next {
		return
	}
	m.prob.armed = m.state == Armed || m.prob.armed && m.state.Owns() && m.cfg.Probe >= m.meeting()
	m.prob.ticket, m.prob.askedAt, m.prob.lasts = m.ticket(), m.now, m.probeLasts()
	m.do(Probe{Ticket: m.prob.ticket, Lasts: m.prob.lasts})
}

// probeDone takes the answer of the network to "does anybody own the VIP".
func (m *Machine) probeDone(in ProbeDone) {
	if in.Ticket != m.prob.ticket || m.prob.ticket == 0 {
		return // stale
	}
	m.prob.ticket = 0
	m.prob.foreign = in.Foreign
	switch {
	case in.Foreign:
		m.prob.silent, m.prob.unsent = false, 0
		m.prob.next = m.now.Add(m.cfg.Dead)
		if !m.cfg.Preferred && m.state != Armed { // both may have heard each other's probe: one goes first
			m.prob.next = m.prob.next.Add(m.takeAfter())
		}
	case !in.Sent:
		m.prob.unsent++
		m.prob.silent = m.prob.unsent >= unsentProbes // it never could: do not wait for ever
		m.prob.next = m.now.Add(m.cfg.Beat)
	default:
		m.prob.silent, m.prob.unsent = true, 0
		m.prob.next = m.now
	}
	m.alarm(alarmVeto, in.Foreign, in.Who+" answers for an address of the group")
	switch {
	case m.state == Isolated || m.state == Boot || m.state == Standby || m.state == Armed:
		m.tickSilence()
		m.tickFence()
	case m.state.Owns() && in.Foreign && m.own.gate != gateOpen:
		m.giveUp(Standby, in.Who+" answers for an address of the group", "somebody owns it already")
	case m.state.Owns():
		m.openGate()
	}
}
