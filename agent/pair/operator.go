package pair

import "fmt"

// command carries out an operator's order and answers it exactly once.
func (m *Machine) command(in Command) {
	switch in.Op {
	case OpHandover:
		m.handover(in)
	case OpTake:
		m.take(in)
	case OpMaintenance:
		m.maintenance(in)
	case OpResume:
		m.resume(in)
	case OpConfirmDead:
		m.confirmDead(in)
	default:
		panic(fmt.Sprintf("pair: unknown order %d", in.Op))
	}
}

func (m *Machine) answer(ok bool, format string, args ...any) {
	m.do(Answer{OK: ok, Text: fmt.Sprintf(format, args...)})
}

// why words the operator's reason for a record.
func (c Command) why() string {
	if c.Reason == "" {
		return "operator: " + c.Op.String()
	}
	return "operator: " + c.Op.String() + ": " + c.Reason
}

// peerCannotSay says why the peer could not take the group.
func (m *Machine) peerCannotSay() string {
	p := &m.peer
	switch {
	case !p.known || m.silence() > m.cfg.Dead:
		return "the peer is silent"
	case !m.twoWay():
		return "the peer does not hear this node"
	case !p.said.Accept:
		return "its configuration or protocol differs"
	case p.said.Unfit:
		return "the group's services failed there"
	case m.peerRank() == 0:
		return fmt.Sprintf("it is passive (%v)", p.said.State)
	}
	return fmt.Sprintf("it is %v", p.said.State)
}

func (m *Machine) handover(in Command) {
	forced := in.Force && m.twoWay() && m.peerRank() > 0 && !m.peer.said.State.Owns()
	switch {
	case m.state == Releasing:
		m.answer(true, "group %s is being handed over already", m.cfg.Group)
	case !m.state.Owns():
		m.answer(false, "this node does not own group %s (%v)", m.cfg.Group, m.state)
	case !m.peerCanTake() && !forced:
		m.answer(false, "the peer cannot take group %s: %s", m.cfg.Group, m.peerCannotSay())
	case m.health.Peer == PeerSicker && !in.Force:
		m.answer(false, "the peer is worse off for group %s: %s; force hands it over all the same", m.cfg.Group, m.health.Why)
	default:
		m.answer(true, "handing group %s over", m.cfg.Group)
		m.rel.force = forced
		m.startRelease(releaseMove, in.why(), "hand the group over")
	}
}

func (m *Machine) take(in Command) {
	switch {
	case m.state.Owns():
		m.answer(true, "this node owns group %s already", m.cfg.Group)
	case m.rank() == 0:
		m.answer(false, "this node cannot take group %s: %s", m.cfg.Group, m.whyNot())
	case m.own.unfit && !in.Force:
		m.answer(false, "this node is unfit for group %s: %s", m.cfg.Group, m.own.unfitWhy)
	case m.health.Peer == PeerHealthier && m.peer.said.State.Owns() && !in.Force:
		m.answer(false, "this node is worse off for group %s: %s; force takes it all the same, until health moves it back", m.cfg.Group, m.health.Why)
	case !m.twoWay():
		m.answer(false, "no two-way contact with the peer (%s); if it is off, say so with confirm-dead", m.peerCannotSay())
	case m.peer.said.State.Owns():
		m.answer(true, "asked the peer to release group %s", m.cfg.Group)
		m.note(in.why(), "ask the peer for the group", "RELEASE")
		m.rel.ask, m.rel.askNext = repeatBeats, m.now.Add(m.cfg.Beat)
		m.do(Send{Release})
	default:
		m.answer(true, "claiming group %s", m.cfg.Group)
		m.hold.win = m.now.Add(4 * m.takeAfter())
		m.negotiate()
	}
}

func (m *Machine) maintenance(in Command) {
	switch {
	case m.own.maintenance:
		m.answer(true, "in maintenance already")
	case m.state == Releasing:
		m.answer(true, "maintenance follows the handover of group %s", m.cfg.Group)
		if m.own.stopping { // the stop goes on; the next start is in maintenance
			m.own.maintenance = true
			m.persist()
			return
		}
		m.rel.after = releaseMaintenance
	case m.state.Owns() && !m.peerCanTake() && !in.Force:
		m.answer(false, "the peer cannot take group %s: %s; force leaves it without an owner", m.cfg.Group, m.peerCannotSay())
	case m.state.Owns():
		m.answer(true, "handing group %s over, then maintenance", m.cfg.Group)
		m.rel.force = in.Force
		m.startRelease(releaseMaintenance, in.why(), "hand the group over, then leave service")
	default:
		m.answer(true, "in maintenance")
		m.cancelFence()
		m.own.maintenance = true
		m.rel.ask = 0
		m.persist()
		m.to(Maintenance, in.why(), "leave service", "take nothing until resumed")
	}
}

// resume ends maintenance and FAILED, and calls the services fit again.
func (m *Machine) resume(in Command) {
	if m.state == Releasing && m.rel.after == releaseMaintenance {
		m.rel.after = releaseMove
		m.answer(true, "maintenance called off; group %s is still handed over", m.cfg.Group)
		return
	}
	left := m.alarmed(alarmStop) // services that would not stop may still run here
	if !m.own.maintenance && !m.own.unfit && m.state != Failed && !left {
		m.answer(true, "nothing to resume")
		return
	}
	m.own.maintenance, m.own.unfit, m.own.fenceMe, m.own.unfitWhy = false, false, false, ""
	m.own.ableFrom = m.now
	m.alarm(alarmUnfit, false, "")
	m.alarm(alarmStop, false, "")
	m.alarm(alarmNotice, false, "")
	m.persist()
	m.answer(true, "back in service")
	if left && !m.state.Owns() && m.own.stop == 0 {
		m.stopAgain()
	}
	switch m.state {
	case Maintenance, Failed:
		m.peer.heardAt = max(m.peer.heardAt, m.now) // judge the peer from now on
		m.to(Standby, in.why(), "back in service", "follow the peer")
	case Active, Solo:
		if m.own.services == servicesFailed {
			m.stopServices() // a clean start: what is left of them first
			if m.own.stop == 0 {
				m.startServices()
			}
		}
	}
}

// confirmDead takes an operator's word for the peer's power. A live answer on
// the network contradicts it.
func (m *Machine) confirmDead(in Command) {
	switch {
	case m.silence() <= m.cfg.Dead:
		m.answer(false, "the peer was heard %s ago: it is not dead", ms(m.silence()))
	case m.state == Solo || m.state == Releasing:
		m.answer(true, "this node holds group %s (%v)", m.cfg.Group, m.state)
	case m.alarmed(alarmVeto) && !in.Force:
		m.answer(false, "somebody still answers for an address of group %s", m.cfg.Group)
	case m.state == Active:
		m.answer(true, "group %s is held alone", m.cfg.Group)
		m.cancelFence()
		m.to(Solo, in.why(), "the operator saw the peer powered off", "keep the group alone")
	case m.rank() == 0:
		m.answer(false, "this node cannot take group %s: %s", m.cfg.Group, m.whyNot())
	default:
		m.answer(true, "taking group %s", m.cfg.Group)
		m.begin(Solo, EvidenceOperator, in.why(), fmt.Sprintf("the operator saw the peer powered off; silent for %s", ms(m.silence())))
	}
}
