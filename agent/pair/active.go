package pair

import (
	"fmt"
	"time"
)

// tickOwner runs while this node owns the group.
func (m *Machine) tickOwner() {
	if m.unacked() {
		m.giveUp(Isolated, fmt.Sprintf("unacknowledged for %s", ms(m.now.Since(m.peer.ackAt))), "the peer may take over")
		return
	}
	if m.own.doubtAt != 0 && m.now.Since(m.own.doubtAt) >= m.doubtFor() {
		m.giveUp(Standby, "CLAIM: "+m.peerLine(), "the peer does not hear this node and takes the group")
		return
	}
	if m.notHeard() {
		m.giveUp(Standby, m.peerLine(), "the peer does not hear this node and will take over")
		return
	}
	if m.own.retryAt != 0 && m.now >= m.own.retryAt && m.state != Releasing {
		m.own.retryAt = 0
		m.takeAddresses()
	}
	m.openGate()
	m.failback()
	m.leaveForHealth()
}

// unacked reports, in lease mode, that the peer may begin to count this node out.
func (m *Machine) unacked() bool {
	if m.cfg.Mode != ModeLease || m.state == Solo {
		return false
	}
	ack := m.peer.ackAt
	if m.evidence == EvidenceAdopted && !m.peer.contact {
		ack = m.enteredAt // not renewed before contact: the lease itself is the limit
	}
	return m.now.Since(ack) > m.cfg.Ack
}

// notHeard reports, in silence mode, an armed peer that speaks but has not
// heard this node for Config.Dead: it claims now. One that is not armed waits
// far longer, and its CLAIM comes first.
func (m *Machine) notHeard() bool {
	return m.cfg.Mode == ModeSilence && m.deafFor() >= 2*m.cfg.Beat && m.peerRank() > 0 && m.peer.said.State == Armed
}

// MayRenew reports whether the kernel lease may be renewed in this turn.
func (m *Machine) MayRenew(now Instant) bool {
	if m.own.gate != gateOpen || !m.state.Owns() || m.own.doubtAt != 0 {
		return false
	}
	if m.evidence == EvidenceAdopted && m.cfg.Mode != ModeFence && !m.peer.contact {
		return false // the peer may be claiming in a session this process does not have
	}
	if m.cfg.Mode == ModeLease && m.state != Solo {
		return now.Since(m.peer.ackAt) <= m.cfg.Ack
	}
	return true
}

// afterLoss is where a node goes whose lease lapsed: with a fence the peer
// cannot have the group without proof, else it may.
func (m *Machine) afterLoss() State {
	if m.cfg.Mode == ModeFence {
		return Standby
	}
	return Isolated
}

// stalled handles a process that did not run. What the peer sent meanwhile
// waits in our buffers: for one beat no silence is judged, and a claim under
// way begins anew. The silence before the stall still counts, or a node that
// stands still again and again would never take over.
func (m *Machine) stalled(in Stalled) {
	m.peer.listen = m.now.Add(m.cfg.Beat)
	m.endBid()
	m.prob.silent = false
	seen := fmt.Sprintf("this process stood still for %s", ms(in.Gap))
	long := in.Gap >= m.cfg.Lease-m.cfg.Reserve
	switch {
	case m.state.Owns() && long:
		m.giveUp(m.afterLoss(), seen, "the lease has lapsed")
		m.alarm(alarmLease, true, seen)
	case (m.state == Armed || m.state == Fencing) && long:
		m.cancelFence()
		m.to(Standby, seen, "what the peer said is too old", "wait for contact")
	default:
		m.note(seen, "shorter than the lease", "hear what waited, judge silence after a beat")
	}
}

// leaseLost handles a kernel lease that is gone. A stranger's doing is mended
// at once.
func (m *Machine) leaseLost(in LeaseLost) {
	if m.own.gate != gateOpen {
		return
	}
	m.alarm(alarmLease, true, "the kernel lease is gone")
	if in.Stranger && m.mayRegrant() {
		m.own.gate = gateClosed
		m.note("the kernel lease was removed by a stranger", "this process did not stand still, and the peer is not heard to own", "grant it again")
		m.openGate()
		return
	}
	if m.evidence == EvidenceAdopted && !m.peer.contact || in.Stranger && m.unsure() {
		m.initWait = 2 * m.takeAfter() // it owned moments ago: no need for the boot wait
	}
	m.giveUp(m.afterLoss(), "the kernel lease is gone", "the peer may take over")
}

// mayRegrant reports whether the group may be kept although its lease is gone:
// this node went on beating all the time, so nobody else may have taken it.
func (m *Machine) mayRegrant() bool {
	p := &m.peer
	if m.state == Releasing || m.own.doubtAt != 0 || p.said.State.Owns() && m.silence() <= m.cfg.Takeover {
		return false
	}
	if m.evidence == EvidenceAdopted && m.cfg.Mode != ModeFence && !p.contact {
		return false // it was never renewed, so it ran out by itself
	}
	if m.unsure() && m.cfg.Probe < m.meeting() {
		return false // an armed peer whose probe begins now would not see the gate that opens
	}
	return m.cfg.Mode != ModeLease || m.state == Solo || m.now.Since(p.ackAt) <= m.cfg.Ack
}

// A View is what status and the heartbeat tell of a machine.
type View struct {
	State     State
	Since     Instant // of the state
	PeerState State   // as last told; zero if never heard
	PeerTerm  uint32
	Term      uint32 // for the frames: an owner's own term, else the highest seen
	Evidence  Evidence

	TwoWay    bool
	AckAge    time.Duration // age of the newest of our frames the peer echoed; negative: none
	Silence   time.Duration
	Passive   bool // frame flag: will not take the group now
	Unfit     bool // frame flag: services or addresses failed here
	UnfitWhy  string
	FenceMe   bool // frame flag: a service would not stop
	GateOpen  bool
	AddressUp bool
	ServiceUp bool

	CanTakeOver bool   // this node could take the group now, or owns it
	WhyNot      string // why it could not
	FlapMoves   int
	FlapFrozen  bool

	ProbeVeto   bool
	FenceTicket uint32 // outstanding; zero: none
	Stopped     bool   // after Stop: nothing is left to do
}

// View returns the machine's state as of its last step.
func (m *Machine) View() View {
	p := &m.peer
	v := View{
		State: m.state, Since: m.since, PeerState: p.said.State, PeerTerm: p.said.Term, Term: m.term,
		Evidence: m.evidence, TwoWay: m.twoWay(), AckAge: -1, Silence: m.silence(), Passive: m.passive(),
		Unfit: m.own.unfit, UnfitWhy: m.own.unfitWhy, FenceMe: m.own.fenceMe, GateOpen: m.own.gate == gateOpen,
		AddressUp: m.own.addresses == addressesUp, ServiceUp: m.own.services == servicesUp && m.state.Owns(),
		FlapMoves: m.recentMoves(), FlapFrozen: m.frozen(), ProbeVeto: m.alarmed(alarmVeto), Stopped: m.own.stopped,
	}
	if m.state.Owns() {
		v.Term = m.ownTerm
	}
	if p.ackAt != 0 {
		v.AckAge = m.now.Since(p.ackAt)
	}
	if m.fenc.running {
		v.FenceTicket = m.fenc.ticket
	}
	v.WhyNot = m.whyNot()
	v.CanTakeOver = v.WhyNot == ""
	return v
}

// whyNot says in words why this node could not take the group now.
func (m *Machine) whyNot() string {
	switch {
	case m.own.stopping:
		return "the agent is stopping"
	case m.own.maintenance || m.state == Maintenance:
		return "in maintenance"
	case m.state == Failed:
		return "failed: waits for an operator or a fence"
	case m.own.fencedLast:
		return "was fenced: passive until contact with the peer"
	case m.own.unfit:
		return "unfit: " + m.own.unfitWhy
	case m.state.Owns():
		return ""
	case m.alarmed(alarmConfig):
		return "configuration differs from the peer's"
	case m.alarmed(alarmVeto):
		return "a foreign MAC answers for an address"
	case m.state == Boot:
		return "listening for the peer"
	case m.state == Isolated:
		return "isolated: waits for contact with the peer"
	case m.cannotProve():
		return "may not switch the peer off: " + m.fenc.barred
	case m.cfg.Mode == ModeFence && m.mayFence(), m.state == Armed:
		return ""
	case m.cfg.Mode == ModeFence:
		return "no contact with the peer since the start, and the boot token is spent"
	}
	return "not armed: the peer has not said that it owns the group"
}
