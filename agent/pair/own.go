package pair

import (
	"fmt"
	"slices"
	"time"
)

type gateState uint8

const (
	gateClosed gateState = iota
	gateAsked
	gateOpen
)

type addressState uint8

const (
	addressesDown addressState = iota
	addressesAsked
	addressesUp
)

type serviceState uint8

const (
	servicesDown serviceState = iota
	servicesAsked
	servicesUp
	servicesFailed
)

// own is what this node's kernel and services do for the group.
type own struct {
	gate      gateState
	addresses addressState
	services  serviceState

	take, grant, start, stop, drop uint32 // outstanding tickets; zero: none

	grants  int     // refused in a row
	takes   int     // failed in a row
	retryAt Instant // next try of the addresses
	// nextStop is the next try of services that would not stop.
	nextStop Instant

	maintenance bool
	unfit       bool
	unfitWhy    string
	fencedLast  bool // passive until the first two-way contact
	stopping    bool // the agent is leaving
	stopped     bool
	fenceMe     bool
	foreignAt   Instant // when a foreign MAC last spoke for an address of this owner
	doubtAt     Instant // a CLAIM was heard and the peer has not yet said that it hears this node; zero: none
	ableFrom    Instant // since when this node is not passive
}

// passive reports whether this node will not take the group now.
func (m *Machine) passive() bool {
	return m.own.maintenance || m.own.fencedLast || m.own.stopping || m.state == Failed || m.state == Maintenance
}

// rank says how fit this node is: 2 fit, 1 as a last resort, 0 not at all.
func (m *Machine) rank() int { return rank(m.passive(), m.own.unfit) }

// peerRank is rank as the peer last told it.
func (m *Machine) peerRank() int {
	p := &m.peer.said
	out := p.Passive || p.State == Maintenance || p.State == Failed || m.peer.gone
	return rank(out, p.Unfit)
}

func rank(passive, unfit bool) int {
	switch {
	case passive:
		return 0
	case unfit:
		return 1
	}
	return 2
}

// setUnfit marks the group's services as failed here, until an operator resumes.
func (m *Machine) setUnfit(why string) {
	m.own.unfitWhy = why
	if !m.own.unfit {
		m.own.unfit = true
		m.persist()
	}
	m.alarm(alarmUnfit, true, why)
}

// begin enters ACTIVE or SOLO: the only way in, with exactly one evidence.
func (m *Machine) begin(s State, ev Evidence, seen, decided string) {
	if m.state.Owns() || m.passive() {
		panic(fmt.Sprintf("pair: entry to %v from %v, passive %v", s, m.state, m.passive()))
	}
	m.cancelFence()
	m.endBid()
	m.term++
	m.ownTerm = m.term
	m.evidence = ev
	m.enteredAt = m.now
	m.rel = release{}
	m.hold.win = 0
	m.own.takes, m.own.grants, m.own.retryAt, m.own.doubtAt = 0, 0, 0, 0
	m.stableFrom = 0
	m.to(s, seen, decided, "routes and addresses, gate, announce, services")
	m.alarm(alarmVeto, false, "")
	m.alarm(alarmSplit, false, "")
	m.alarm(alarmLease, false, "")
	m.persist()
	m.takeAddresses()
}

func (m *Machine) takeAddresses() {
	if m.own.drop != 0 {
		return // AddressesDown comes first and asks again
	}
	m.own.addresses = addressesAsked
	m.own.take = m.ticket()
	m.do(TakeAddresses{Ticket: m.own.take, Term: m.ownTerm})
}

func (m *Machine) addressesUp(in AddressesUp) {
	if in.Ticket != m.own.take || m.own.take == 0 {
		return // stale
	}
	m.own.take = 0
	if !m.state.Owns() {
		return
	}
	if in.Err != "" {
		m.addressesFailed(in.Err)
		return
	}
	m.own.addresses = addressesUp
	m.own.takes = 0
	if m.own.gate == gateOpen { // adopted
		m.serve("adopted")
		return
	}
	m.openGate()
}

// addressesFailed gives the group to a fit peer, else tries again and again.
func (m *Machine) addressesFailed(cause string) {
	m.own.addresses = addressesDown
	m.setUnfit(cause)
	if m.peerCanTake() {
		m.moved()
		m.giveUp(Standby, cause, "the peer is fit: give it the group")
		return
	}
	factor := min(1<<min(m.own.takes, 4), maxBackoff)
	m.own.takes++
	m.own.retryAt = m.now.Add(m.cfg.Dead * time.Duration(factor))
}

// openGate asks for the kernel lease if the evidence still holds: whatever
// time the addresses took, an owner that is not in contact looks again.
func (m *Machine) openGate() {
	if m.own.addresses != addressesUp || m.own.gate != gateClosed || (m.state != Active && m.state != Solo) {
		return
	}
	if m.needsProbe() {
		m.askProbe()
		return
	}
	m.own.gate = gateAsked
	m.own.grant = m.ticket()
	m.do(OpenGate{Ticket: m.own.grant})
}

// needsProbe reports whether the entry grew stale before the gate opened:
// the peer was not in two-way contact lately, and no probe was silent just now.
func (m *Machine) needsProbe() bool { return m.unsure() && !m.probeSilent() }

// unsure reports whether the peer may be about to take what this node owns, and
// only the LAN would tell. What the peer said of itself counts while it is heard: an
// agent that starts anew knows nothing of its GOODBYE, and takes after Init. What an
// operator saw counts for a takeover: a box can be switched on again.
func (m *Machine) unsure() bool {
	told := m.peerCannotOwn() && m.silence() <= m.cfg.Dead
	seen := m.evidence == EvidenceOperator && m.now.Since(m.enteredAt) <= m.cfg.Takeover
	return m.cfg.Mode == ModeSilence && !m.twoWay() && !told && !seen
}

func (m *Machine) gateOpened(in GateOpened) {
	if in.Ticket != m.own.grant || m.own.grant == 0 {
		return // stale
	}
	m.own.grant = 0
	if m.own.gate != gateAsked {
		return
	}
	if in.OK {
		m.own.gate, m.own.grants = gateOpen, 0
		m.alarm(alarmLease, false, "")
		m.serve("gate opened")
		return
	}
	m.own.gate = gateClosed // the turn was late: the next tick asks again, with fresh inputs
	m.own.grants++
	if m.own.grants >= gateTries {
		m.own.grants = 0
		m.addressesFailed(fmt.Sprintf("the kernel refused the lease %d times", gateTries))
	}
}

// serve announces and starts services; the gate is open.
func (m *Machine) serve(why string) {
	m.do(Announce{Why: why})
	if m.own.services != servicesUp {
		m.startServices()
	}
}

func (m *Machine) startServices() {
	if m.cfg.NoServices {
		m.own.services = servicesUp
		return
	}
	if m.own.stop != 0 {
		return // ServicesDown comes first and asks again
	}
	m.own.services = servicesAsked
	m.own.start = m.ticket()
	m.do(StartServices{Ticket: m.own.start})
}

func (m *Machine) servicesUp(in ServicesUp) {
	if in.Ticket != m.own.start || m.own.start == 0 {
		return // stale
	}
	m.own.start = 0
	if m.state != Active && m.state != Solo {
		return
	}
	if in.Err == "" {
		m.own.services = servicesUp
		m.alarm(alarmStop, false, "") // what would not stop is where it belongs
		return
	}
	m.servicesBroke(in.Err)
}

func (m *Machine) serviceFailed(in ServiceFailed) {
	if m.state != Active && m.state != Solo {
		return
	}
	m.servicesBroke(in.Name + ": " + in.Err)
}

// servicesBroke moves the group to a fit peer; without one, or when frozen, it stays.
func (m *Machine) servicesBroke(cause string) {
	m.own.services = servicesFailed
	m.setUnfit(cause)
	switch {
	case !m.peerCanTake():
		m.note(cause, "the peer cannot take the group", "keep the addresses")
	case m.frozen():
		m.alarm(alarmFlap, true, "a move for failed services was refused")
	default:
		m.startRelease(releaseMove, cause, "the peer is fit: hand over")
	}
}

// closeGate ends the kernel lease before anything else in this step.
func (m *Machine) closeGate() {
	if m.own.gate == gateClosed {
		return
	}
	m.own.gate, m.own.grant = gateClosed, 0
	m.out = slices.DeleteFunc(m.out, opens) // or it would be opened again behind this
	m.doFirst(CloseGate{})
}

func opens(a Action) bool {
	_, open := a.(OpenGate)
	return open
}

// Asks reports whether the machine still waits for the gate that an OpenGate
// asked for.
func (m *Machine) Asks(ticket uint32) bool {
	return m.own.gate == gateAsked && m.own.grant == ticket
}

// dropAll stops what runs and removes the addresses, after the gate was closed.
func (m *Machine) dropAll() {
	m.stopServices()
	m.own.take, m.own.addresses = 0, addressesDown
	m.own.drop = m.ticket()
	m.do(DropAddresses{Ticket: m.own.drop})
}

func (m *Machine) stopServices() {
	if m.own.services == servicesDown || m.cfg.NoServices {
		m.own.services = servicesDown
		return
	}
	m.own.services, m.own.start = servicesDown, 0
	m.own.stop = m.ticket()
	m.do(StopServices{Ticket: m.own.stop})
}

func (m *Machine) addressesDown(in AddressesDown) {
	if in.Ticket != m.own.drop || m.own.drop == 0 {
		return // stale
	}
	m.own.drop = 0
	if (m.state == Active || m.state == Solo) && m.own.addresses == addressesDown && m.own.retryAt == 0 {
		m.takeAddresses()
	}
	m.finishStop()
}

func (m *Machine) servicesDown(in ServicesDown) {
	if in.Ticket != m.own.stop || m.own.stop == 0 {
		return // stale
	}
	m.own.stop = 0
	if in.Err != "" {
		m.stopFailed(in.Err)
	} else {
		m.alarm(alarmStop, false, "")
	}
	switch {
	case m.state == Releasing:
		m.finishRelease()
	case (m.state == Active || m.state == Solo) && m.own.gate == gateOpen && m.own.services == servicesDown:
		m.startServices()
	}
	m.finishStop()
}

// tickStop stops once more what would not stop: a machine that stood still, or
// a disk that was slow, is no reason to leave it to an operator.
func (m *Machine) tickStop() {
	if !m.alarmed(alarmStop) || m.own.fenceMe || m.own.stopping || m.own.stop != 0 || m.state.Owns() || m.now < m.own.nextStop {
		return
	}
	m.stopAgain()
}

// stopAgain stops services of which some may still run.
func (m *Machine) stopAgain() {
	m.own.services = servicesFailed
	m.stopServices()
}

// stopFailed asks to be fenced where the policy says so: what still runs here
// must not run twice.
func (m *Machine) stopFailed(cause string) {
	m.alarm(alarmStop, true, cause)
	m.own.nextStop = m.now.Add(stopEvery)
	if m.cfg.Mode != ModeFence || !m.cfg.StopFailureFence || m.state == Boot || m.state == Active || m.state == Solo {
		return
	}
	m.own.fenceMe = true
	m.giveUp(Failed, "stop services: "+cause, "gate closed, ask the peer to fence this node")
}
