package pair

import (
	"fmt"
	"time"
)

// fencer is the state of switching the peer off.
type fencer struct {
	ticket  uint32
	running bool
	tries   int     // failed in a row
	as      State   // what this node was when it began to fence
	began   Instant // the newest
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
	contact := m.silence() <= m.cfg.Dead && m.deafFor() == 0
	if !m.cfg.HasFence || m.rank() == 0 || m.fenc.running || m.now < m.fenc.next && !contact || !m.mayFence() {
		return
	}
	why, due := m.fenceDue()
	if !due {
		if contact {
			m.fenc.tries, m.fenc.warned = 0, false
			m.alarm(alarmFence, false, "")
			if m.twoWay() { // the next silence has turns of its own
				m.fenc.next = 0
			}
		}
		return
	}
	if m.now < m.fenc.next { // of a peer that is heard, and asks for it
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
	case Boot: // no contact: the peer asks for nothing
	case Standby, Armed, Fencing:
		if m.peer.said.FenceMe && m.peer.known {
			return "the peer asks for it: a service would not stop there", true
		}
		if m.lines == LinesDown { // one hand can pull every cable: this hurries nothing
			why += ", its modem lines fell"
		}
	default:
		return "", false
	}
	return why, silence > m.cfg.Dead && m.inTurn(m.fenceTurn())
}

// fenceTurns is how many turns of the race time there are.
const fenceTurns = 4

// fenceTurn is how long after its suspicion a node that does not own the group
// may fence. Both nodes may want to, and neither may have an order in flight when
// the other one's takes effect: so each has its turn by what it is, first the
// owner, then who is armed, then the lower and the higher id of two that are
// neither. The machine of the first group acts for its node; one of another group
// acts only if that one does not, for whatever reason.
func (m *Machine) fenceTurn() time.Duration {
	as := m.state
	if as == Fencing {
		as = m.fenc.as
	}
	switch {
	case !m.peer.contact: // both may boot at once behind cut links
		return m.bootTurn()
	case as == Armed && m.cfg.Index == 0:
		return m.cfg.Race
	}
	turn := 2 * m.cfg.Race
	if !m.cfg.LowerID {
		turn += m.cfg.Race
	}
	// A peer last heard in BOOT may know of no contact, or have found it since: one
	// of this node's two turns meets neither of the peer's two.
	if m.peer.said.State == Boot && m.cfg.LowerID == ((m.cfg.Init-m.cfg.Dead)%(fenceTurns*m.cfg.Race) < 2*m.cfg.Race) {
		turn = m.bootTurn()
	}
	if m.cfg.Index != 0 { // a round later, in the turn of its node, which is no turn of the peer's
		turn += fenceTurns * m.cfg.Race
	}
	return turn
}

// bootTurn is that of a node that had no contact since its start.
func (m *Machine) bootTurn() time.Duration {
	turn := m.cfg.Init - m.cfg.Dead
	if !m.cfg.LowerID {
		turn += m.cfg.Race
	}
	return turn
}

// nextTurn is when the next turn of this node begins.
func (m *Machine) nextTurn() Instant {
	turn := time.Duration(0)
	if !m.state.Owns() {
		turn = m.fenceTurn()
	}
	at := m.now.Add(m.cfg.Dead + turn + 1 - m.lostFor())
	if round := Instant(fenceTurns * m.cfg.Race); at <= m.now && round > 0 {
		at += (m.now-at)/round*round + round
	}
	return at
}

// inTurn reports whether a turn of this node has just begun, counted from when
// the nodes lost each other; see [Machine.lostFor]. What begins later, after a
// stall or a leave that came late, would end in somebody else's turn, and waits
// for the next one.
func (m *Machine) inTurn(turn time.Duration) bool {
	over := m.lostFor() - m.cfg.Dead - turn
	return over > 0 && over%(fenceTurns*m.cfg.Race) <= m.cfg.FenceSpare/2
}

// ownerFenceDue gives the owner of the first group no delay. The owner of another
// group leaves it to the first group's machine here: it can go on serving without.
func (m *Machine) ownerFenceDue(why string) (string, bool) {
	if m.state == Solo || m.peerCannotOwn() || !m.peer.contact || m.cfg.Index != 0 {
		return "", false
	}
	if p := &m.peer; p.foundAt != 0 && m.now.Since(p.foundAt) <= m.cfg.Race {
		return "", false // what it ordered before they found each other again may be under way
	}
	if m.deafFor() > 0 { // it cannot hear us and will fence: the owner is first
		return "the peer has not heard this node for " + ms(m.now.Since(m.peer.ackAt)), m.deafFor() > m.cfg.Dead && m.inTurn(0)
	}
	return why, m.inTurn(0)
}

// startFence asks for the peer to be switched off and proven off.
func (m *Machine) startFence(why string) {
	f := &m.fenc
	token := !m.peer.contact && !f.right
	f.running, f.ticket, f.began = true, m.ticket(), m.now
	f.session, f.known = m.peer.session, m.peer.known
	if token {
		f.token, f.right = false, true
	}
	owns := m.state.Owns()
	if owns {
		m.note(why, "the peer must be proven off", "fence it, keep serving")
	} else {
		if m.state != Fencing {
			f.as = m.state
		}
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
	if m.cfg.Mode == ModeFence { // the turns between may be the other one's
		round := fenceTurns * m.cfg.Race
		f.next = f.began.Add(round * ((f.next.Since(f.began) + round - 1) / round))
	}
	m.alarm(alarmFence, true, in.Detail)
	m.note("fence failed: "+in.Detail, fmt.Sprintf("attempt %d", f.tries), "try again in "+ms(f.next.Since(m.now)))
}

// fencedByOther takes the proof that another group's machine fetched.
func (m *Machine) fencedByOther(in FenceDone) {
	if !in.Proven && m.cfg.Mode == ModeFence && m.cfg.Index != 0 { // somebody acts for this node
		m.fenc.next = max(m.fenc.next, m.now.Add((fenceTurns+1)*m.cfg.Race))
	}
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
