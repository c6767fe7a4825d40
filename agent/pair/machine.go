package pair

import (
	"fmt"
	"slices"
	"time"
)

// Bounds of what the machine repeats and remembers.
const (
	// maxActions is the room made for the actions of one step; more only costs an allocation.
	maxActions = 16
	// maxMoves bounds the memory of the flap limit; the oldest move is forgotten.
	maxMoves = 32
	// repeatBeats is how many beats CLAIM, RELEASE and RELEASED are repeated.
	repeatBeats = 20
	// maxBackoff is the largest factor by which a retry is delayed.
	maxBackoff = 16
	// unsentProbes is how many probes in a row may fail to leave this node
	// before the takeover goes on without one.
	unsentProbes = 3
	// stopEvery is how long after a failed stop of services the next one comes.
	stopEvery = 2 * time.Second

	// foreignLasts is how long the alarm of a foreign MAC stays without another.
	foreignLasts = time.Minute
	// gateTries is how often in a row the kernel may refuse the grant (a turn
	// that took too long) before the addresses count as failed.
	gateTries = 40
)

// A Machine decides for one group. It is not safe for concurrent use.
type Machine struct {
	cfg Config
	now Instant // of the step under way
	out []Action

	state     State
	since     Instant
	term      uint32 // highest seen
	ownTerm   uint32 // of the last entry to ACTIVE
	evidence  Evidence
	enteredAt Instant // last entry to ACTIVE
	started   bool
	lastStep  Instant

	peer peer
	own  own
	hold hold
	bid  bid
	prob prober
	fenc fencer
	rel  release

	lines      LineState
	health     HealthChanged // the newest
	healthNext Instant       // no handover for health before
	initWait   time.Duration // silence before an unarmed node may act
	stableFrom Instant       // since when the peer could take the group back; zero if it cannot
	moves      [maxMoves]Instant
	alarms     uint32 // set of alarmID
	tickets    uint32
}

// peer is what the other node last said, in the order of its counter.
type peer struct {
	known     bool
	said      Heard
	session   uint32
	sessionAt Instant // first frame of the session
	counter   uint32  // newest
	heardAt   Instant // latest moment at which its last frame can have been sent
	listen    Instant // until then frames that waited during a stall may still come: no silence is judged
	ackAt     Instant // when this node sent what the peer newly echoed; zero: never
	deafFrom  Instant // first of the frames since which it has not heard this node; zero: it hears
	lostFrom  Instant // since when it may not hear this node: silent first, or deaf; zero: it hears
	foundFrom Instant // since when it hears this node again, while that may be a flicker; zero: it does not
	foundAt   Instant // when it heard this node again after it may have ordered a fence; zero: never
	contact   bool    // two-way contact since the start
	gone      bool    // it said GOODBYE in this session
	deadID    uint32  // session that was proven off
	deadKnown bool
	idleFrom  Instant // since when two-way contact says it does not own; zero if it does
}

// hold is what this node promised not to do.
type hold struct {
	until Instant // claim nothing and take nothing by silence before
	gave  Instant // when it last gave the group away: answers to what was sent before are void
	win   Instant // until then this node claims first, whoever is preferred
}

// New returns a machine in BOOT. It panics if a duration of the configuration
// is missing: the loader has checked it.
func New(cfg Config) *Machine {
	for _, d := range []time.Duration{cfg.Beat, cfg.Dead, cfg.Lease, cfg.Window, cfg.Takeover, cfg.Ack, cfg.Init, cfg.Probe} {
		if d <= 0 {
			panic("pair: a duration of the configuration is zero")
		}
	}
	if cfg.Mode < ModeFence || cfg.Mode > ModeLease {
		panic("pair: the mode is missing")
	}
	if cfg.Mode == ModeFence && (cfg.Race <= 0 || cfg.FenceRetry <= 0 || cfg.FenceSpare <= 0) {
		panic("pair: fence mode without a race or retry time")
	}
	if cfg.HasFence && cfg.FenceRetry <= 0 {
		cfg.FenceRetry = cfg.Init
	}
	return &Machine{cfg: cfg, state: Boot, initWait: cfg.Init, out: make([]Action, 0, maxActions)}
}

// Step feeds one input to the machine and returns the actions it calls for,
// in order. The slice is used again by the next Step. Time never goes back.
func (m *Machine) Step(now Instant, in Input) []Action {
	if now < m.lastStep {
		panic(fmt.Sprintf("pair: time went back by %v", m.lastStep.Since(now)))
	}
	m.now, m.lastStep, m.out = now, now, m.out[:0]
	_, first := in.(Start)
	if first == m.started {
		panic(fmt.Sprintf("pair: %T, but started is %v", in, m.started))
	}
	m.dispatch(in)
	m.check()
	return m.out
}

func (m *Machine) dispatch(in Input) {
	switch in := in.(type) {
	case Start:
		m.start(in)
	case Tick:
		m.tick()
	case Heard:
		m.heard(in)
	case Lines:
		m.lines = in.State
		m.tickFence()
	case Stalled:
		m.stalled(in)
	case LeaseLost:
		m.leaseLost(in)
	case ProbeDone:
		m.probeDone(in)
	case FenceDone:
		m.fenceDone(in)
	case FenceLeave:
		m.fenceLeave(in)
	case Command:
		m.command(in)
	case Stop:
		m.stop()
	default:
		m.dispatchOwn(in)
	}
}

// dispatchOwn takes what comes from this node's own kernel and services.
func (m *Machine) dispatchOwn(in Input) {
	switch in := in.(type) {
	case AddressesUp:
		m.addressesUp(in)
	case AddressesDown:
		m.addressesDown(in)
	case GateOpened:
		m.gateOpened(in)
	case ServicesUp:
		m.servicesUp(in)
	case ServicesDown:
		m.servicesDown(in)
	case ServiceFailed:
		m.serviceFailed(in)
	case HealthChanged:
		m.healthChanged(in)
	case ForeignMAC:
		signed := m.evidence == EvidenceReleased || m.evidence == EvidenceGrant || m.evidence == EvidenceGoodbye
		if signed && m.now.Since(m.enteredAt) < m.cfg.Beat {
			return // the last that the owner before announced was still on its way, or waited here
		}
		m.own.foreignAt = m.now
		m.alarm(alarmForeign, m.state.Owns(), fmt.Sprintf("%s answers for %s", in.MAC, in.Address))
	default:
		panic(fmt.Sprintf("pair: unknown input %T", in))
	}
}

// tick ends waits. It runs after every queued input of the turn was stepped.
func (m *Machine) tick() {
	m.judgeContact()
	m.tickRelease()
	if !m.state.Owns() || m.now.Since(m.own.foreignAt) > foreignLasts {
		m.alarm(alarmForeign, false, "")
	}
	switch m.state {
	case Active, Solo, Releasing:
		m.tickOwner()
	case Boot, Standby, Armed, Isolated:
		m.negotiate()
		m.tickSilence()
	case Failed:
		m.tickFailed()
	}
	m.tickFence()
	m.tickStop()
}

// to changes the state and records why.
func (m *Machine) to(s State, seen, decided, doing string) {
	if s == m.state {
		return
	}
	r := Record{Seen: seen, Decided: decided, Doing: doing, From: m.state, To: s, Term: m.term}
	if (s == Active || s == Solo) && !m.state.Owns() {
		r.Evidence, r.Term = m.evidence, m.ownTerm
	}
	m.endBid()
	m.state, m.since = s, m.now
	m.do(r)
	m.alarm(alarmIsolated, s == Isolated, "this node waits for contact before it takes anything")
	m.alarm(alarmFailed, s == Failed, seen)
	if !slices.Contains(m.out, Action(Send{Beat})) {
		m.do(Send{Beat}) // the peer acts on the state: tell it now, not with the next beat
	}
}

// note records a decision that changes no state.
func (m *Machine) note(seen, decided, doing string) {
	m.do(Record{Seen: seen, Decided: decided, Doing: doing, From: m.state, To: m.state, Term: m.term})
}

func (m *Machine) do(a Action) { m.out = append(m.out, a) }

// doFirst puts an action before all others of the step.
func (m *Machine) doFirst(a Action) {
	m.out = append(m.out, nil)
	copy(m.out[1:], m.out)
	m.out[0] = a
}

func (m *Machine) ticket() uint32 {
	m.tickets++
	if m.tickets == 0 {
		m.tickets = 1 // zero means none
	}
	return m.tickets
}

func (m *Machine) persist() {
	m.do(Persist{Term: m.term, Maintenance: m.own.maintenance, Unfit: m.own.unfit})
}

// check holds the invariants that one machine can see, in production too.
func (m *Machine) check() {
	owns := m.state.Owns()
	switch {
	case m.own.gate != gateClosed && !owns:
		panic(fmt.Sprintf("pair: the gate is open in %v", m.state)) // invariant 2
	case m.own.gate != gateAsked && slices.ContainsFunc(m.out, opens):
		panic(fmt.Sprintf("pair: a gate is asked for in %v that is not wanted", m.state)) // invariant 2
	case owns && m.evidence == 0:
		panic(fmt.Sprintf("pair: %v without evidence", m.state)) // invariant 3
	case m.state == Armed && (!m.peer.contact || m.passive()):
		panic("pair: armed without contact or while passive") // invariant 4
	case owns && m.state != Releasing && m.passive():
		panic(fmt.Sprintf("pair: %v while passive", m.state))
	case m.fenc.running && !m.mayFence():
		panic("pair: fencing without contact or token") // invariant 7
	case m.state == Fencing && m.cfg.Mode != ModeFence && !m.cfg.HasFence:
		panic("pair: fencing without a device")
	case owns && m.ownTerm > m.term:
		panic("pair: the own term exceeds the highest seen") // invariant 8
	}
}

// ms prints a duration as milliseconds for a record.
func ms(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}
