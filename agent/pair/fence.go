package pair

import "fmt"

// fencer is the state of switching the peer off.
type fencer struct {
	ticket  uint32
	running bool
	tries   int     // failed in a row
	next    Instant // not before
	token   bool    // unspent
	right   bool    // a token was spent, or the peer proven off, since the start
	session uint32  // the peer's, when it began
	known   bool
	warned  bool   // FENCE_NOTICE was sent
	barred  string // why this node may not fence at all; empty: it may
}

// mayFence is invariant 7: contact since the start, or the boot token.
func (m *Machine) mayFence() bool { return m.peer.contact || m.fenc.right || m.fenc.token }

// tickFence starts a fence when it is due.
func (m *Machine) tickFence() {
	if !m.cfg.HasFence || m.rank() == 0 || m.fenc.running || m.now < m.fenc.next || !m.mayFence() {
		return
	}
	why, due := m.fenceDue()
	if !due {
		if m.silence() <= m.cfg.Dead && m.deafFor() == 0 {
			m.fenc.tries, m.fenc.warned = 0, false
			m.alarm(alarmFence, false, "")
		}
		return
	}
	if m.fenc.barred != "" {
		m.alarm(alarmFence, true, why+", but it may not be switched off: "+m.fenc.barred)
		return
	}
	m.startFence(why)
}

// fenceLeave takes note of whether this node may fence. Without leave a takeover
// in mode fence cannot be: the node says so by not being armed.
func (m *Machine) fenceLeave(in FenceLeave) {
	m.fenc.barred = in.Barred
	m.alarm(alarmFence, false, "")
	if m.state == Armed && m.cannotProve() {
		m.to(Standby, in.Barred, "the peer may not be switched off", "stand by, take nothing without its word")
	}
	m.tickFence()
}

// cannotProve reports whether a takeover lacks the leave to fence.
func (m *Machine) cannotProve() bool { return m.cfg.Mode == ModeFence && m.fenc.barred != "" }

// fenceDue says whether the peer must be switched off now, and why.
func (m *Machine) fenceDue() (why string, due bool) {
	silence := m.silence()
	if silence <= m.cfg.Dead && m.deafFor() == 0 && !(m.peer.said.FenceMe && m.peer.known) {
		return "", false // in contact; each rule below asks for more
	}
	why = "peer silent for " + ms(silence)
	if m.cfg.Mode != ModeFence {
		alone := m.state == Boot || m.state == Isolated || m.state == Fencing
		lonely := m.cfg.Mode == ModeLease && alone && silence > m.cfg.Init
		if lonely && !m.probeSilent() {
			m.askProbe() // a peer that serves behind cut links is left alone
			return "", false
		}
		return why, lonely
	}
	switch m.state {
	case Active, Solo:
		return m.ownerFenceDue(why)
	case Boot:
		return why, silence > m.cfg.Init
	case Standby, Armed, Fencing:
		if m.peer.said.FenceMe && m.peer.known {
			return "the peer asks for it: a service would not stop there", true
		}
		// Fallen modem lines do not hurry it: one hand may have pulled every
		// cable, and then the owner fences at this moment.
		if m.lines == LinesDown {
			why += ", its modem lines fell"
		}
		return why, silence > m.cfg.Dead+m.cfg.Race
	}
	return "", false
}

// ownerFenceDue gives the owner of the first group no delay, other owners the race time.
func (m *Machine) ownerFenceDue(why string) (string, bool) {
	if m.state == Solo || m.peerCannotOwn() || !m.peer.contact {
		return "", false
	}
	limit := m.cfg.Dead
	if m.cfg.Index != 0 {
		limit += m.cfg.Race
	}
	if m.deafFor() > 0 { // it cannot hear us and will fence: the owner is first
		return "the peer has not heard this node for " + ms(m.now.Since(m.peer.ackAt)), m.deafFor() > limit
	}
	return why, m.silence() > limit
}

// startFence asks for the peer to be switched off and proven off.
func (m *Machine) startFence(why string) {
	f := &m.fenc
	token := !m.peer.contact && !f.right
	f.running, f.ticket = true, m.ticket()
	f.session, f.known = m.peer.session, m.peer.known
	if token {
		f.token, f.right = false, true
	}
	owns := m.state.Owns()
	if owns {
		m.note(why, "the peer must be proven off", "fence it, keep serving")
	} else {
		m.to(Fencing, why, "the peer must be proven off", "fence it")
	}
	if owns && !f.warned { // a standby does not announce: the owner may be right
		f.warned = true
		m.do(Send{FenceNotice})
	}
	m.do(FencePeer{Ticket: f.ticket, Token: token, Why: why})
}

// cancelFence withdraws a fence; its answer will be stale.
func (m *Machine) cancelFence() {
	f := &m.fenc
	if f.running {
		m.do(CancelFence{Ticket: f.ticket})
	}
	f.running = false
}

// fenceDone takes the proof, or tries again later.
func (m *Machine) fenceDone(in FenceDone) {
	f := &m.fenc
	if in.Ticket == 0 {
		m.fencedByOther(in)
		return
	}
	if !f.running || in.Ticket != f.ticket {
		return // stale
	}
	f.running = false
	same := f.known == m.peer.known && f.session == m.peer.session // else it was switched on again
	if in.Proven && same {
		m.provenOff(in.Detail)
		return
	}
	factor := 1 << min(f.tries, 4)
	f.tries++
	f.next = m.now + Instant(factor)*Instant(m.cfg.FenceRetry)
	m.alarm(alarmFence, true, in.Detail)
	m.note("fence failed: "+in.Detail, fmt.Sprintf("attempt %d", f.tries), "try again in "+ms(f.next.Since(m.now)))
}

// fencedByOther takes the proof that another group's machine fetched.
func (m *Machine) fencedByOther(in FenceDone) {
	if !in.Proven || m.silence() <= m.cfg.Dead || m.rank() == 0 || !m.mayFence() || m.state == Solo {
		return
	}
	m.cancelFence()
	m.provenOff(in.Detail)
}

func (m *Machine) provenOff(detail string) {
	f := &m.fenc
	f.tries, f.next, f.warned, f.right = 0, 0, false, true
	m.peer.deadID, m.peer.deadKnown = m.peer.session, m.peer.known
	m.alarm(alarmFence, false, "")
	seen := fmt.Sprintf("peer proven off: %s", detail)
	switch m.state {
	case Active:
		m.to(Solo, seen, "the peer cannot own", "keep the group alone")
	case Boot, Standby, Armed, Fencing, Isolated:
		m.begin(Solo, EvidenceFence, seen, "take the group")
	}
}
