package pair

import (
	"fmt"
	"time"
)

// heard takes one authentic frame: first what it proves of the peer, then what it says.
func (m *Machine) heard(in Heard) {
	p := &m.peer
	if p.deadKnown && in.Session == p.deadID {
		return // a frame from before the power-off that was proven
	}
	if !p.known || in.Session != p.session {
		m.newSession(in)
	}
	old := in.Counter != 0 && in.Counter < p.counter
	if old {
		m.oldFrame(in)
		return
	}
	if in.Counter != 0 {
		p.counter = in.Counter
	}
	if m.now.Since(p.heardAt) > m.cfg.Dead {
		p.foundFrom = 0
		if p.lostFrom == 0 {
			p.lostFrom = p.heardAt
		}
	}
	p.heardAt = max(p.heardAt, m.now.Add(-in.SentAgo))
	p.ackAt = max(p.ackAt, in.EchoSentAt)
	p.said = in
	m.noteEcho()
	if in.Kind == Goodbye {
		p.gone = true
	}
	m.wakened()
	m.believed(in)
	fresh := in.EchoSentAt != 0 && m.now.Since(in.EchoSentAt) <= m.cfg.Ack
	if fresh {
		m.touched()
	}
	m.says(in, fresh)
	if in.Term > m.term {
		m.term = in.Term
		m.persist()
	}
	m.alarm(alarmConfig, !in.Accept, "configuration or protocol differ from the peer's")
	if m.state == Standby {
		m.negotiate()
	}
	m.tickFence()
}

// newSession forgets the order of the old session. The acknowledgements stay:
// they prove what the peer heard, whichever of its agents heard it.
func (m *Machine) newSession(in Heard) {
	p := &m.peer
	if p.known {
		m.note(fmt.Sprintf("peer session %08x after %08x", in.Session, p.session), "the peer's agent restarted", "")
	}
	p.known, p.session, p.sessionAt = true, in.Session, m.now
	p.counter, p.gone = 0, false
}

// oldFrame handles a frame that a newer one overtook. Only a CLAIM matters:
// in silence mode it may be the one copy that came through.
func (m *Machine) oldFrame(in Heard) {
	if in.Kind == Claim && m.state.Owns() && in.EchoSentAt == 0 {
		m.claimed(in)
	}
}

// wakened ends what rested on the peer's silence.
func (m *Machine) wakened() {
	m.alarm(alarmSilent, false, "")
	if m.bid.on && !m.bid.negotiated {
		m.note("the peer speaks", "claim abandoned", "tell it at once that it is heard")
		m.endBid()
		m.prob.foreign = false
		m.alarm(alarmVeto, false, "")
		m.do(Send{Beat})
	}
	if m.state == Fencing && !m.peer.said.FenceMe {
		m.cancelFence()
		m.to(Standby, "the peer speaks", "fencing abandoned", "wait for contact")
	}
}

// touched handles two-way contact: the peer heard this node within Config.Ack.
func (m *Machine) touched() {
	p := &m.peer
	if !p.contact {
		p.contact = true
		m.initWait = m.cfg.Init
	}
	if m.own.fencedLast {
		m.own.fencedLast = false
		m.own.ableFrom = m.now
	}
	m.alarm(alarmOneWay, false, "")
	if m.fenc.running && m.state.Owns() {
		m.cancelFence()
	}
	if m.state == Boot {
		m.to(Standby, m.peerLine(), "two-way contact", "follow the peer")
	}
	if m.state == Isolated && p.said.EchoSentAt >= m.since {
		m.to(Standby, m.peerLine(), "two-way contact again", "follow the peer")
	}
}

// says reacts to what the frame says, by what this node is.
func (m *Machine) says(in Heard, fresh bool) {
	if in.Kind == FenceNotice {
		m.noticed()
		return
	}
	if in.Kind == Claim {
		m.claimed(in)
		return
	}
	if in.State.Owns() {
		m.peerOwns(in, fresh)
	} else if fresh {
		m.peerIdle(in)
	}
	switch in.Kind {
	case Grant:
		m.granted(in)
	case Release:
		m.asked(in)
	case Released, Goodbye:
		m.released(in, fresh)
	}
}

// peerOwns follows an owner, or ends a conflict.
func (m *Machine) peerOwns(in Heard, fresh bool) {
	m.peer.idleFrom = 0
	if m.state.Owns() {
		m.conflict(in)
		return
	}
	if in.EchoSentAt != 0 && in.EchoSentAt >= m.hold.gave {
		m.hold.until = 0 // the promise was kept: it has taken the group
		m.rel.left = 0
	}
	switch m.state {
	case Standby:
		m.arm(in, fresh)
	case Armed:
		if fresh && (in.State == Solo || !in.Accept) {
			m.to(Standby, m.peerLine(), "the peer may not be taken over by silence", "stand by")
		}
	}
	m.finishStop()
}

// arm makes this node one that may take over by silence. The echo must be of
// what was sent since this node became able: only then does the owner know of
// it, and will not count it out.
func (m *Machine) arm(in Heard, fresh bool) {
	able := max(m.since, m.own.ableFrom)
	if !fresh || in.State == Solo || !in.Accept || m.passive() || m.cannotProve() || in.EchoSentAt < able {
		return
	}
	m.alarm(alarmSplit, false, "")
	m.alarm(alarmLease, false, "")
	m.to(Armed, m.peerLine(), "the peer owns the group and hears this node", "take over if it falls silent")
}

// peerIdle handles two-way contact with a peer that does not own the group.
func (m *Machine) peerIdle(in Heard) {
	if m.peer.idleFrom == 0 {
		m.peer.idleFrom = m.now
	}
	if m.state == Armed {
		m.to(Standby, m.peerLine(), "the peer does not own the group", "agree who takes it")
	}
	if m.state == Solo && in.EchoSentAt > m.since && !m.peerCannotOwn() {
		m.to(Active, m.peerLine(), "the peer is back", "keep the group")
	}
	if m.state == Active && m.peerCannotOwn() {
		m.to(Solo, m.peerLine(), "the peer will not take the group", "keep the group alone")
	}
}

// peerCannotOwn reports whether the peer itself said that it takes nothing
// now: a passive node is never armed, and becomes able only in contact.
func (m *Machine) peerCannotOwn() bool {
	return m.peer.known && m.peerRank() == 0
}

// conflict ends double ownership: this gate closes before anything else. The
// node with the higher term claims again first, the other one waits.
func (m *Machine) conflict(in Heard) {
	won := m.ownTerm > in.Term || m.ownTerm == in.Term && m.cfg.LowerID
	seen := fmt.Sprintf("peer %v term %d, this node %v term %d by %v", in.State, in.Term, m.state, m.ownTerm, m.evidence)
	if !won {
		m.giveUp(Standby, seen, "both own: the peer's claim is newer")
		m.alarm(alarmSplit, true, seen)
		return
	}
	m.vacate(Standby, seen, "both own: close, then claim again")
	m.alarm(alarmSplit, true, seen)
	m.hold.win = m.now.Add(4 * m.cfg.Takeover)
}

// claimed answers a CLAIM.
func (m *Machine) claimed(in Heard) {
	switch {
	case m.own.fenceMe:
		return // what runs here forbids another owner: only a fence helps
	case m.state.Owns() && m.cfg.Mode == ModeFence:
		return // one that hears this node gives way, one that does not is fenced (see tickFence)
	case m.state.Owns():
		m.doubt()
	case m.bid.on && m.bid.negotiated && m.cfg.LowerID:
		return // both claim: the lower id wins
	default:
		m.grant()
	}
}

// doubt is the owner's answer to a CLAIM. Either the peer missed what this node
// sent (this process stood still, frames were lost): then it will hear the
// heartbeat that goes out now, and says so at once. Or it cannot hear: then
// the gate closes in time. Until that is known the lease is not renewed, so
// the kernel closes the gate if this process does not live to do it.
func (m *Machine) doubt() {
	switch {
	case m.state == Releasing || m.own.gate != gateOpen:
		m.giveUp(Standby, "CLAIM: "+m.peerLine(), "the peer takes the group")
	case m.own.doubtAt == 0:
		m.own.doubtAt = m.now
		m.note("CLAIM: "+m.peerLine(), "the peer may not hear this node", fmt.Sprintf("beat now, renew nothing, close in %s", ms(m.doubtFor())))
		m.do(Send{Beat})
	}
}

// doubtFor is how long the peer may take to say that it hears this node: a
// quarter of the time between its CLAIM and its takeover.
func (m *Machine) doubtFor() time.Duration { return (m.takeAfter() - m.cfg.Dead) / 4 }

// believed ends the doubt: the peer heard what was sent after its CLAIM, and
// claims no more.
func (m *Machine) believed(in Heard) {
	if m.own.doubtAt == 0 || in.Kind == Claim || in.EchoSentAt < m.own.doubtAt || in.State.Owns() {
		return
	}
	m.own.doubtAt = 0
	m.note(m.peerLine(), "the peer hears this node", "keep the group")
}

// grant promises not to own the group while the claimant takes it.
func (m *Machine) grant() {
	m.endBid()
	if m.state == Armed {
		m.to(Standby, "CLAIM: "+m.peerLine(), "this node does not own the group", "grant it to the peer")
	}
	m.promise()
	m.do(Send{Grant})
}

// promise starts the hold: longer than a GRANT or RELEASED may be used.
func (m *Machine) promise() {
	m.hold.gave = m.now
	m.hold.until = m.now.Add(2 * m.takeAfter())
	m.hold.win = 0
}

// current reports whether an answer of the peer was sent after this node last
// gave the group away, and is recent.
func (m *Machine) current(in Heard, after Instant) bool {
	return in.EchoSentAt != 0 && in.EchoSentAt >= max(after, m.hold.gave) && m.now.Since(in.EchoSentAt) <= m.cfg.Dead
}

// granted enters on a GRANT to a CLAIM of this round.
func (m *Machine) granted(in Heard) {
	if !m.bid.on || !m.mayEnter() || !m.current(in, m.bid.at) || m.now < m.hold.until || !in.Accept {
		return
	}
	m.begin(Active, EvidenceGrant, "GRANT: "+m.peerLine(), fmt.Sprintf("%s after the claim", ms(m.now.Since(m.bid.at))))
}

// released enters on RELEASED or GOODBYE.
func (m *Machine) released(in Heard, fresh bool) {
	ev := EvidenceReleased
	if in.Kind == Goodbye {
		ev = EvidenceGoodbye
		if m.state == Active {
			m.to(Solo, "GOODBYE", "the peer left and boots passive", "keep the group alone")
		}
	} else if m.now < m.hold.until {
		return // this node promised the same: neither may act on it
	}
	if !fresh || !in.Accept || !m.mayEnter() || in.State.Owns() || in.Term < m.term || !m.current(in, 0) {
		return
	}
	if ev == EvidenceReleased {
		m.moved()
	}
	s := Active
	if ev == EvidenceGoodbye {
		s = Solo
	}
	m.begin(s, ev, in.Kind.String()+": "+m.peerLine(), "take the group now")
}

// mayEnter reports whether this node could own the group at all.
func (m *Machine) mayEnter() bool {
	return (m.state == Standby || m.state == Armed) && m.rank() > 0
}

// noticed obeys a FENCE_NOTICE: the peer is about to switch this node off.
func (m *Machine) noticed() {
	m.giveUp(Failed, "FENCE_NOTICE from the peer", "close and wait for the end")
	m.alarm(alarmNotice, true, "the peer said it switches this node off")
}

// tickFailed leaves FAILED if a fence was announced and evidently did not
// happen: the longest fence has passed, and both nodes hear each other.
func (m *Machine) tickFailed() {
	if !m.alarmed(alarmNotice) || m.own.fenceMe || m.now.Since(m.since) <= max(m.cfg.Race, m.cfg.Init) {
		return
	}
	if m.twoWay() && m.peer.ackAt > m.since {
		m.alarm(alarmNotice, false, "")
		m.own.ableFrom = m.now
		m.to(Standby, m.peerLine(), "the announced fence did not happen", "follow the peer")
	}
}

// twoWay reports fresh two-way contact, measured from this node's own frame.
func (m *Machine) twoWay() bool {
	return m.peer.ackAt != 0 && m.now.Since(m.peer.ackAt) <= m.cfg.Ack
}

// silence is how long the peer has been silent, at least. While frames may
// still wait from a stall it is no longer than Config.Dead.
func (m *Machine) silence() time.Duration {
	s := m.now.Since(m.peer.heardAt)
	if m.now < m.peer.listen {
		return min(s, m.cfg.Dead)
	}
	return s
}

// peerLine is what a record says of the peer.
func (m *Machine) peerLine() string {
	p := &m.peer
	if !p.known {
		return "peer never heard"
	}
	echo := "hears nothing of this node"
	if p.said.EchoSentAt != 0 {
		echo = fmt.Sprintf("heard this node %s ago", ms(m.now.Since(p.said.EchoSentAt)))
	}
	return fmt.Sprintf("peer %v term %d, %s", p.said.State, p.said.Term, echo)
}

// judgeContact raises what follows from time passing without frames.
func (m *Machine) judgeContact() {
	p := &m.peer
	silent := m.silence() > m.cfg.Dead
	if silent = silent && (p.known || m.silence() > m.cfg.Init); silent != m.alarmed(alarmSilent) { // no text for nothing, at each beat
		m.alarm(alarmSilent, silent, "nothing heard for "+ms(m.silence()))
	}
	m.alarm(alarmOneWay, m.deafFor() > m.cfg.Dead, "the peer is heard but does not hear this node")
	if !m.twoWay() {
		p.idleFrom = 0
	}
	if !m.frozen() {
		m.alarm(alarmFlap, false, "")
	}
}

// noteEcho keeps since when the peer speaks without having heard this node.
// One frame may be stale because its sender stood still before it sent it.
func (m *Machine) noteEcho() {
	p := &m.peer
	if m.now.Since(max(p.ackAt, p.sessionAt, m.enteredAt)) <= m.cfg.Dead {
		p.deafFrom = 0
		m.found()
		return
	}
	p.foundFrom = 0
	if p.deafFrom == 0 {
		p.deafFrom = m.now
	}
	if p.lostFrom == 0 {
		p.lostFrom = m.now
	}
}

// found ends what began when the nodes lost each other, once it lasts: the other
// one may not have noticed, and a flicker is not to put their turns out of step.
func (m *Machine) found() {
	p := &m.peer
	switch {
	case p.lostFrom == 0:
	case p.foundFrom == 0:
		p.foundFrom = m.now
	case m.now.Since(p.foundFrom) > m.cfg.Dead+m.cfg.Beat:
		if p.foundFrom.Since(p.lostFrom) >= min(m.cfg.Race, m.cfg.Init)-m.cfg.Dead-m.cfg.Beat { // its first turn may have come
			p.foundAt = p.foundFrom
		}
		p.lostFrom, p.foundFrom = 0, 0
	}
}

// lostFor is for how long the nodes have suspected each other: a peer that was deaf
// and fell silent, or spoke up again without hearing, has counted on.
func (m *Machine) lostFor() time.Duration {
	if m.peer.lostFrom == 0 || !m.peer.contact {
		return m.silence()
	}
	return m.now.Since(m.peer.lostFrom)
}

// deafFor is how long the peer has been heard not to hear this node; zero if it may.
func (m *Machine) deafFor() time.Duration {
	if m.peer.deafFrom == 0 || m.silence() > m.cfg.Dead {
		return 0
	}
	return m.now.Since(m.peer.deafFrom)
}
