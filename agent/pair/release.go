package pair

import "fmt"

// releaseAfter is what becomes of this node after the group left it.
type releaseAfter uint8

const (
	releaseNone        releaseAfter = iota
	releaseMove                     // the peer takes the group, this node stands by
	releaseMaintenance              // then this node leaves service
	releaseStop                     // then the agent ends
)

// release is a handover under way, and the repeats of its frames.
type release struct {
	after releaseAfter
	force bool    // go on even if the peer cannot take it
	left  int     // RELEASED still to be repeated
	next  Instant // of the repeat

	ask     int // RELEASE still to be repeated
	askNext Instant

	byes    int // GOODBYE still to be repeated
	byeNext Instant
}

// peerCanTake reports whether the peer is in contact, fit and agreeing.
func (m *Machine) peerCanTake() bool {
	p := &m.peer
	return m.twoWay() && m.peerRank() == 2 && p.said.Accept && (p.said.State == Standby || p.said.State == Armed)
}

// startRelease stops the services; the gate stays open until they are down.
func (m *Machine) startRelease(after releaseAfter, seen, decided string) {
	m.cancelFence()
	m.rel = release{after: after, force: m.rel.force}
	m.to(Releasing, seen, decided, "stop services, close the gate, RELEASED")
	m.own.take = 0
	m.stopServices()
	if m.own.stop == 0 {
		m.finishRelease()
	}
}

// finishRelease ends a handover: services are down. If the peer died
// meanwhile the node keeps the group, unless it was told to leave it anyway.
func (m *Machine) finishRelease() {
	stay := m.rel.after != releaseStop && !m.rel.force && !m.peerCanTake()
	if stay && m.own.gate == gateOpen {
		m.rel = release{}
		m.to(Active, m.peerLine(), "the peer cannot take the group any more", "keep it, start services")
		if m.own.addresses != addressesUp {
			m.takeAddresses() // what was asked before the release is answered no more; the services follow
			return
		}
		m.startServices()
		return
	}
	m.moved()
	m.giveUp(Standby, "services down", "hand the group over")
}

// giveUp leaves ownership at once: gate first, then the rest, and says so.
func (m *Machine) giveUp(s State, seen, decided string) {
	owned := m.state.Owns()
	m.vacate(s, seen, decided)
	if owned && !m.own.fenceMe {
		m.sayReleased()
	}
	if m.own.stopping {
		m.sayGoodbye()
	}
}

// vacate leaves ownership without offering the group to the peer.
func (m *Machine) vacate(s State, seen, decided string) {
	owned := m.state.Owns()
	m.closeGate()
	m.cancelFence()
	if owned && m.rel.after == releaseMaintenance && s != Failed {
		m.own.maintenance = true
		m.persist()
		s = Maintenance
	}
	m.rel = release{}
	m.own.doubtAt = 0
	m.to(s, seen, decided, "gate closed, services and addresses down")
	if owned {
		m.dropAll()
	}
}

// sayReleased tells the peer that the group is free, again and again until it
// is heard to own it, and promises not to take it meanwhile.
func (m *Machine) sayReleased() {
	m.promise()
	m.rel.left, m.rel.next = repeatBeats, m.now.Add(m.cfg.Beat)
	m.do(Send{Released})
}

// sayGoodbye ends this node's part. Losing every copy costs only time.
func (m *Machine) sayGoodbye() {
	m.rel.byes, m.rel.byeNext = repeatBeats/4, m.now.Add(m.cfg.Beat)
	m.do(Send{Goodbye})
}

// asked answers RELEASE: the peer wants the group. The echo must be of what
// this node sent as owner, or the request belongs to an older ownership.
func (m *Machine) asked(in Heard) {
	if (m.state != Active && m.state != Solo) || in.EchoSentAt < m.enteredAt || !m.peerCanTake() {
		return
	}
	m.startRelease(releaseMove, "RELEASE: "+m.peerLine(), "the peer asks for the group: hand over")
}

// tickRelease repeats what may have been lost.
func (m *Machine) tickRelease() {
	r := &m.rel
	if r.left > 0 && m.now >= r.next && !m.state.Owns() {
		r.left--
		r.next = m.now.Add(m.cfg.Beat)
		if m.now.Add(m.cfg.Dead+m.cfg.Beat) < m.hold.until { // it may be acted on for Dead, all of which the hold must cover
			m.do(Send{Released})
		}
	}
	if r.ask > 0 && m.now >= r.askNext {
		r.ask--
		r.askNext = m.now.Add(m.cfg.Beat)
		if m.state.Owns() || !m.peer.said.State.Owns() {
			r.ask = 0
			return
		}
		m.do(Send{Release})
	}
	if r.byes > 0 && m.now >= r.byeNext {
		r.byes--
		r.byeNext = m.now.Add(m.cfg.Beat)
		m.do(Send{Goodbye})
		m.finishStop()
	}
}

// stop leaves for good: hand over if the peer can, say GOODBYE in any case.
func (m *Machine) stop() {
	if m.own.stopping {
		return
	}
	m.own.stopping = true
	m.endBid()
	switch {
	case m.state == Releasing:
		m.rel.after = releaseStop
	case m.state.Owns():
		m.startRelease(releaseStop, "the agent is stopped", "leave the group")
	default:
		m.cancelFence()
		if m.state == Armed || m.state == Fencing {
			m.to(Standby, "the agent is stopped", "take nothing any more", "GOODBYE")
		}
		m.sayGoodbye()
	}
}

// finishStop notes that nothing is left to do after Stop.
func (m *Machine) finishStop() {
	if !m.own.stopping || m.own.stopped || m.state.Owns() || m.own.stop != 0 || m.own.drop != 0 {
		return
	}
	taken := m.peer.said.State.Owns() && m.silence() <= m.cfg.Dead
	m.own.stopped = m.rel.byes == 0 || taken
}

// failback gives the group home once the preferred node was fit for long enough.
func (m *Machine) failback() {
	if m.cfg.Preferred || m.cfg.Failback <= FailbackNever || m.health.Peer == PeerSicker || !m.mayMove() {
		m.stableFrom = 0
		return
	}
	if m.stableFrom == 0 {
		m.stableFrom = m.now
	}
	wait := m.cfg.Takeover
	if m.cfg.Failback == FailbackHold {
		wait = max(wait, m.cfg.FailbackHold)
	}
	if m.now.Since(m.stableFrom) < wait {
		return
	}
	if m.frozen() {
		m.alarm(alarmFlap, true, "a failback was refused")
		return
	}
	m.startRelease(releaseMove, fmt.Sprintf("preferred node fit for %s", ms(m.now.Since(m.stableFrom))), "failback")
}

// mayMove reports whether a planned move would harm nothing: both nodes are settled.
func (m *Machine) mayMove() bool {
	return m.state == Active && m.own.gate == gateOpen && m.own.services == servicesUp && m.peerCanTake() && m.peer.said.State == Armed
}

// healthChanged keeps how the nodes compare.
func (m *Machine) healthChanged(in HealthChanged) {
	m.health = in
	m.leaveForHealth()
}

// leaveForHealth gives the group to a healthier peer. If that fails because the
// peer goes away meanwhile, the next try waits: each stops the services.
func (m *Machine) leaveForHealth() {
	h := &m.health
	if h.Peer != PeerHealthier || m.state != Active || m.now < m.healthNext {
		return
	}
	switch {
	case h.Urgent && m.own.gate == gateOpen && m.peerCanTake(), m.mayMove() && !m.frozen():
		m.healthNext = m.now.Add(maxBackoff * m.cfg.Takeover)
		m.startRelease(releaseMove, h.Why, "the peer is healthier: hand over")
	case m.mayMove():
		m.alarm(alarmFlap, true, "a handover to the healthier peer was refused")
	}
}

// moved counts a planned move, on the node that gives and on the one that takes.
func (m *Machine) moved() {
	copy(m.moves[1:], m.moves[:maxMoves-1])
	m.moves[0] = max(m.now, 1)
}

// recentMoves counts the planned moves within the flap window.
func (m *Machine) recentMoves() int {
	n := 0
	for _, at := range m.moves { // the newest first
		if at == 0 || m.now.Since(at) > m.cfg.FlapWindow {
			break
		}
		n++
	}
	return n
}

// frozen reports whether planned moves are refused: too many lately.
func (m *Machine) frozen() bool {
	return m.cfg.FlapMax > 0 && m.recentMoves() >= min(m.cfg.FlapMax, maxMoves)
}
