package pair

import "fmt"

// negotiate claims the group by CLAIM and GRANT when two-way contact says
// that nobody owns it. One node is designated: the fitter one, else the one
// that won a conflict, else the preferred one. If it does not act, the other may.
func (m *Machine) negotiate() {
	if m.bid.on && m.bid.negotiated {
		m.goOnClaiming()
		return
	}
	p := &m.peer
	if m.state != Standby || p.idleFrom == 0 || !m.twoWay() || p.said.State.Owns() {
		return
	}
	if !p.said.Accept || p.said.FenceMe || m.rank() == 0 || m.fenc.running {
		return
	}
	if m.now < max(m.hold.until, m.bid.rest) || !m.designated() {
		return
	}
	m.note(m.peerLine(), "nobody owns the group and this node is to take it", "CLAIM")
	m.startBid(true)
	m.repeatClaim()
}

func (m *Machine) designated() bool {
	mine, theirs := m.rank(), m.peerRank()
	switch {
	case m.now.Since(m.peer.idleFrom) > 4*m.takeAfter():
		return true
	case m.now < m.hold.win:
		return true
	case mine != theirs:
		return mine > theirs
	}
	return m.cfg.Preferred
}

// goOnClaiming repeats the CLAIM until an answer, for T_takeover at most.
func (m *Machine) goOnClaiming() {
	if !m.twoWay() || m.now.Since(m.bid.at) > m.takeAfter() {
		m.note(fmt.Sprintf("no GRANT for %s", ms(m.now.Since(m.bid.at))), "claim abandoned", "")
		m.endBid()
		m.bid.rest = m.now.Add(m.takeAfter())
		return
	}
	m.repeatClaim()
}
