package pair

import "fmt"

// start is the first step: the gate is closed before anything else, unless
// this node's own kernel lease still runs, which nobody can have taken over.
func (m *Machine) start(in Start) {
	m.started = true
	m.since = m.now
	m.term = in.Term
	m.peer.heardAt = m.now
	m.fenc.token = in.Token
	m.fenc.barred = in.Barred
	m.own.fencedLast = in.FencedLast
	m.own.maintenance = in.Maintenance
	if in.Failed {
		m.own.unfit = true
		m.alarm(alarmUnfit, true, "marked unfit before the restart")
	}
	if in.LeaseHeld && !in.Maintenance && !in.FencedLast {
		m.adopt()
		return
	}
	m.own.gate = gateOpen // unknown: close it
	m.closeGate()
	m.own.services = servicesUp
	m.own.addresses = addressesUp
	m.dropAll()
	m.note("agent started", "gate closed", fmt.Sprintf("listen for the peer, %s at most", ms(m.cfg.Init)))
	if m.own.maintenance {
		m.to(Maintenance, "journal: maintenance", "stay out of service", "wait for resume")
	}
}

// adopt keeps a group whose kernel lease outlived the agent. A peer needs
// longer silence than the lease to take over, so it has not yet. Outside fence
// mode it may be about to, and this process has no session to hear its CLAIM:
// the lease is renewed only after two-way contact (see MayRenew).
func (m *Machine) adopt() {
	m.own.gate = gateOpen
	m.begin(Active, EvidenceAdopted, "agent started, kernel lease unexpired", "keep the group")
}
