package pair

import "time"

// An Instant is a reading of the monotonic clock, as time since an arbitrary
// zero. The zero Instant means "never".
type Instant time.Duration

// Add returns the instant d later.
func (t Instant) Add(d time.Duration) Instant { return t + Instant(d) }

// Since returns how long t lies after u.
func (t Instant) Since(u Instant) time.Duration { return time.Duration(t - u) }

// A State is what a node is doing for one group. It starts at 1 so that a
// zero is a bug.
type State uint8

// The states of a machine, in the order of the wire code.
const (
	_           State = iota
	Boot              // gate closed, listening
	Standby           // in contact or waiting for it; may not take over by silence
	Armed             // last two-way contact said: peer ACTIVE and not SOLO
	Fencing           // peer silent, proof of its death being fetched
	Active            // owns the group; lease refreshed
	Solo              // owns the group; the peer provably cannot own
	Releasing         // handing the group over
	Isolated          // disarmed: gave up or was stale
	Maintenance       // an operator took this node out of service
	Failed            // gate closed, waiting for an operator or a fence
)

// A Mode names the evidence a takeover needs.
type Mode uint8

// The modes; see ARCHITECTURE.md for what each is safe under.
const (
	_ Mode = iota
	ModeFence
	ModeSilence
	ModeLease
)

// A Failback says whether a group goes home to its preferred node.
type Failback uint8

// The failback policies.
const (
	_ Failback = iota
	FailbackNever
	FailbackAuto
	FailbackHold // after Config.FailbackHold of stable two-way contact
)

// An Evidence is the class of proof an entry to ACTIVE rests on.
type Evidence uint8

// The evidence classes, strongest first.
const (
	_                Evidence = iota
	EvidenceFence             // the fence device proved the peer off
	EvidenceReleased          // the peer's signed RELEASED
	EvidenceGrant             // the peer's signed GRANT to our CLAIM
	EvidenceGoodbye           // the peer said GOODBYE and boots passive
	EvidenceAdopted           // our own lease, still unexpired after a restart of the agent
	EvidenceLease             // silence beyond T_takeover while armed, lease mode
	EvidenceSilence           // silence beyond T_takeover on all links, VIP probe unanswered
	EvidenceOperator          // an operator confirmed the peer dead
)

// A Config is what one machine needs to know; the zero durations are errors.
type Config struct {
	Group     string
	Index     int  // position in the configuration; 0 is the first listed group
	Preferred bool // this node is the group's preferred node
	LowerID   bool // this node's id is smaller than the peer's
	Mode      Mode
	HasFence  bool // a fence device is configured

	Beat     time.Duration // interval of heartbeats
	Dead     time.Duration // silence on every link after which the peer is suspect
	Lease    time.Duration // this node's kernel lease, as the gate enforces it
	Window   time.Duration // longest time the kernel allows between turn start and lease refresh
	Takeover time.Duration // silence after which an armed standby may take over
	Ack      time.Duration // lease mode: longest time an active goes unacknowledged
	Init     time.Duration // boot: longest wait for the peer
	Race     time.Duration // fence mode: head start of the active node, and length of a turn
	// FenceSpare is what a turn is longer than the longest fence operation and
	// what the nodes may differ in when they lost each other, Dead and a beat. One
	// begins in the first half of it, if it was decided, and in the second, if
	// the device was still busy; see FencePeer.
	FenceSpare time.Duration
	Reserve    time.Duration // J: jiffy plus scheduling reserve
	Probe      time.Duration // length of a VIP probe before a takeover while armed

	Failback     Failback
	FailbackHold time.Duration
	FlapMax      int // planned moves allowed within FlapWindow; 0 means no limit
	FlapWindow   time.Duration
	FenceRetry   time.Duration // pause before a failed fence is tried again, doubled up to 16 times this

	// NoServices says that the group has no services: nothing is started or
	// stopped, and a handover closes the gate in the step that asked for it.
	NoServices bool
	// StopFailureFence asks, in fence mode, to be fenced when a service
	// would not stop; otherwise the handover proceeds with an alarm.
	StopFailureFence bool
}

// A Kind is what a frame from the peer says beyond its state.
type Kind uint8

// The kinds of frames the machine sees and sends.
const (
	_ Kind = iota
	Beat
	Claim       // I intend to take the group
	Grant       // to a CLAIM: I do not own it and will not take it now
	Release     // please release the group to me
	Released    // I no longer own the group
	Goodbye     // I am leaving; I own nothing and will boot passive
	FenceNotice // I am switching you off
)

// An Input is one fact. The set is closed.
type Input interface{ input() }

// An Action is one thing to be done. The set is closed.
type Action interface{ action() }

// Inputs.
type (
	// Start is the first input: what the journal promised and the kernel holds.
	Start struct {
		Term        uint32 // highest term seen
		Token       bool   // the boot token is unspent: one fence without contact is allowed
		Maintenance bool
		Failed      bool   // the unit was marked unfit before the restart and the operator did not clear it
		LeaseHeld   bool   // the kernel lease of this group is still unexpired and was ours
		FencedLast  bool   // this boot follows a fence by the peer: stay passive until contact
		Barred      string // as in FenceLeave
	}
	// Tick says that time has passed and every queued input was drained.
	Tick struct{}
	// Heard is an authentic frame of the current session, as it concerns this group.
	Heard struct {
		Kind  Kind
		State State  // the peer's state for this group
		Term  uint32 // the peer's term for this group
		// EchoSentAt is when this node sent the newest counter that the
		// frame echoes; zero if the frame echoes none of this session.
		EchoSentAt Instant
		// SentAgo is how long ago, at least, the frame was sent (its age in our queues), if known.
		SentAgo time.Duration
		Mode    Mode
		Lease   time.Duration // the peer's effective kernel lease plus window
		Passive bool          // the peer will not take this group now (maintenance, failed services, fenced)
		Unfit   bool          // the peer's services of this group failed there
		Accept  bool          // configuration digest and protocol agree
		FenceMe bool          // the peer asks to be fenced: it could not stop a service
		Session uint32        // peer's session id; changes when its agent restarts
		// Counter is the sender's frame counter: it orders the peer's frames
		// whatever link they took. A frame older than the newest one heard
		// says nothing about the peer's state any more. Zero means unknown
		// and is taken as the newest.
		Counter uint32
	}
	// Lines reports the modem lines of a full null-modem cable.
	Lines struct{ State LineState }
	// Stalled reports that this process did not run for Gap, over half of T_lease.
	Stalled struct{ Gap time.Duration }
	// LeaseLost says that the kernel lease is gone while the machine thinks it holds it.
	// Stranger is set when somebody else flushed the tables and the loop never stalled.
	LeaseLost struct{ Stranger bool }
	// ProbeDone is the end of a VIP probe: three probes 20 ms apart, heard
	// for 60 ms. Sent is false if no probe could be sent. Foreign is also set
	// if somebody else's probe for the same address was heard meanwhile
	// (RFC 5227 section 2.1.1): the peer may be about to take it, too.
	ProbeDone struct {
		Ticket  uint32
		Sent    bool
		Foreign bool   // somebody else's MAC answered
		Who     string // that MAC
	}
	// FenceDone is the end of a fence operation. Proven is true only with
	// proof of power off. Ticket 0 is the proof that the machine of another
	// group fetched; it counts while the peer is silent beyond Config.Dead.
	FenceDone struct {
		Ticket uint32
		Proven bool
		Detail string
	}
	// FenceLeave says whether this node may switch the peer off at all. Barred
	// is why it may not: the wiring was never verified, another device answers,
	// the peer was switched off too often. Empty: it may. A fence under way is
	// not affected; no other one begins, and in mode fence the node is not armed.
	FenceLeave struct{ Barred string }
	// AddressesUp is the end of TakeAddresses: routes and addresses are in the kernel.
	AddressesUp struct {
		Ticket uint32
		Err    string // empty on success
	}
	// GateOpened answers OpenGate in the same turn; OK false means the kernel refused the grant.
	GateOpened struct {
		Ticket uint32
		OK     bool
	}
	// ServicesUp is the end of StartServices.
	ServicesUp struct {
		Ticket uint32
		Err    string
	}
	// ServicesDown is the end of StopServices; Err says which would not stop.
	ServicesDown struct {
		Ticket uint32
		Err    string
	}
	// AddressesDown is the end of DropAddresses.
	AddressesDown struct {
		Ticket uint32
		Err    string
	}
	// ServiceFailed says that a running service failed for good on this node.
	ServiceFailed struct{ Name, Err string }
	// HealthChanged compares the nodes, as agent/health judges them. A peer
	// that is healthier is given the group, Urgent without regard to the flap
	// limit or to services that are not up; one that is sicker is given
	// nothing but by force. Why is one sentence.
	HealthChanged struct {
		Peer   Health
		Urgent bool
		Why    string
	}
	// ForeignMAC says that somebody answers for a VIP while this node owns it.
	ForeignMAC struct{ Address, MAC string }
	// Command is an operator's order.
	Command struct {
		Op     Op
		Reason string
		Force  bool
	}
	// Stop says that the agent is being shut down.
	Stop struct{}
)

// A LineState is what the modem lines say of the peer.
type LineState uint8

// Line states. Only a full null-modem cable gives anything but LinesUnknown.
const (
	LinesUnknown LineState = iota
	LinesUp                // the peer's port is open and powered: alive or hung
	LinesDown              // power loss, reset, agent exit, or a pulled cable
)

// A Health is how the peer is, compared with this node.
type Health uint8

// The comparisons.
const (
	HealthEven Health = iota
	PeerHealthier
	PeerSicker
)

// An Op is an operator's order to one machine.
type Op uint8

// The orders.
const (
	_             Op = iota
	OpHandover       // give the group to the peer
	OpTake           // ask the peer to release the group to us
	OpMaintenance    // leave service until OpResume
	OpResume         // end maintenance, and clear FAILED and unfit
	OpConfirmDead    // the operator saw the peer powered off
)

// Every input, so that the set is closed.
func (Start) input()         {}
func (Tick) input()          {}
func (Heard) input()         {}
func (Lines) input()         {}
func (Stalled) input()       {}
func (LeaseLost) input()     {}
func (ProbeDone) input()     {}
func (FenceDone) input()     {}
func (FenceLeave) input()    {}
func (AddressesUp) input()   {}
func (GateOpened) input()    {}
func (ServicesUp) input()    {}
func (ServicesDown) input()  {}
func (AddressesDown) input() {}
func (ServiceFailed) input() {}
func (HealthChanged) input() {}
func (ForeignMAC) input()    {}
func (Command) input()       {}
func (Stop) input()          {}

// Actions. Those with a ticket answer with an input that carries it.
type (
	// Send asks for a frame on every link at once, for this group.
	Send struct{ Kind Kind }
	// TakeAddresses asks for routes and addresses, gate still closed.
	TakeAddresses struct{ Ticket, Term uint32 }
	// OpenGate asks the loop to grant the kernel lease, in this turn.
	OpenGate struct{ Ticket uint32 }
	// CloseGate asks the loop to end the kernel lease, in this turn, before any frame is sent.
	CloseGate struct{}
	// StartServices asks for the group's services in order.
	StartServices struct{ Ticket uint32 }
	// StopServices asks for the group's services to stop in reverse order.
	StopServices struct{ Ticket uint32 }
	// DropAddresses asks for the addresses and routes to be removed.
	DropAddresses struct{ Ticket uint32 }
	// Probe asks whether a foreign MAC answers for the group's addresses, or
	// probes for them itself. The answer takes Lasts.
	Probe struct {
		Ticket uint32
		Lasts  time.Duration
	}
	// FencePeer asks for the peer to be switched off and proven off. Without
	// Token the journal keeps its boot token; with it the token is spent first.
	FencePeer struct {
		Ticket uint32
		Token  bool
		Why    string
	}
	// CancelFence withdraws a FencePeer that has not yet been sent.
	CancelFence struct{ Ticket uint32 }
	// Announce asks for gratuitous ARP and neighbour advertisements.
	Announce struct{ Why string }
	// Persist asks the journal to keep what must survive a reboot.
	Persist struct {
		Term        uint32
		Maintenance bool
		Unfit       bool
	}
	// Record is one line of the event journal.
	Record struct {
		Seen, Decided, Doing string
		From, To             State
		Evidence             Evidence // set on each entry to ACTIVE
		Term                 uint32
	}
	// Alarm raises or clears a named condition.
	Alarm struct {
		Name string
		On   bool
		Text string
	}
	// Answer is the reply to a Command; each Command gets exactly one.
	Answer struct {
		OK   bool
		Text string
	}
)

// Every action, so that the set is closed.
func (Send) action()          {}
func (TakeAddresses) action() {}
func (OpenGate) action()      {}
func (CloseGate) action()     {}
func (StartServices) action() {}
func (StopServices) action()  {}
func (DropAddresses) action() {}
func (Probe) action()         {}
func (FencePeer) action()     {}
func (CancelFence) action()   {}
func (Announce) action()      {}
func (Persist) action()       {}
func (Record) action()        {}
func (Alarm) action()         {}
func (Answer) action()        {}
