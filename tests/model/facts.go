package model

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// facts is what the checker knows of one machine: gathered from its inputs and
// actions alone, never from its insides.
type facts struct {
	cfg pair.Config
	now pair.Instant

	state    pair.State
	since    pair.Instant
	entered  pair.Instant
	evidence pair.Evidence
	adopted  bool

	start       pair.Start
	begun       bool
	fencedLast  bool
	stopping    bool
	maintenance bool
	unfit       bool
	term        uint32 // highest seen
	leaveAfter  bool   // maintenance follows the release
	ableFrom    pair.Instant

	// Contact.
	known     bool
	said, rx  pair.Heard // newest frame; the frame of this step
	old, lost bool       // the frame of this step was overtaken; is of a session that is over, or an answer nobody waits for
	session   uint32
	sessionAt pair.Instant
	counter   uint32
	heardAt   pair.Instant
	listen    pair.Instant
	ackAt     pair.Instant
	deafFrom  pair.Instant
	lostFrom  pair.Instant // since when they suspect each other
	foundFrom pair.Instant // since when they hear each other again
	contact   bool
	gone      bool
	deadID    uint32
	deadKnown bool

	// Promises.
	gave, holdUntil, bidAt, doubtAt pair.Instant

	// The probe.
	probe      uint32
	probeAt    pair.Instant
	probeFor   time.Duration
	probeArmed bool
	silent     bool
	foreign    bool // the probe that ended in this step was answered
	unsent     int

	// The fence device.
	token, right bool
	fence        uint32
	fenceSession uint32
	fenceKnown   bool
	proven       bool
	barred       bool

	gate     bool
	grant    uint32
	gap      time.Duration
	stranger bool
	op       pair.Op
}

// is evaluates an atom by name.
func (f *facts) is(name string) bool { return atomsByName[name].Go(f) }

// Constants of agent/pair that are part of the protocol.
const (
	unarmedProbe = 60 * time.Millisecond // longer than three probes and a window
	probeGrace   = pair.ProbeGrace
	unsentProbes = 3
)

// longProbe is that of a node that is not armed, ownProbe that of an owner that
// looks again, and meeting the least that sees a gate that opens when it begins.
func (f *facts) longProbe() time.Duration { return max(unarmedProbe, f.ownProbe()) }
func (f *facts) ownProbe() time.Duration  { return max(f.cfg.Probe, f.meeting()) }
func (f *facts) meeting() time.Duration   { return 3 * (probeGrace + f.cfg.Window) / 2 }
func (f *facts) meets() bool              { return f.cfg.Probe >= f.meeting() }

// sure is whether nobody but this node can be about to own, whatever the LAN says:
// the peer's word counts while it is heard, an operator's for a takeover.
func (f *facts) sure() bool {
	return f.cfg.Mode != pair.ModeSilence || f.is("twoway") || f.is("p_cannot") && f.silence() <= f.cfg.Dead ||
		f.evidence == pair.EvidenceOperator && f.now.Since(f.entered) <= f.cfg.Takeover
}

func (f *facts) probeSilent(lasts time.Duration) bool {
	return f.silent && f.probe == 0 && f.probeFor >= lasts && f.now.Since(f.probeAt) <= f.probeFor+probeGrace
}

// silence is how long the peer has been silent; for a beat after a stall it is
// not judged.
func (f *facts) silence() time.Duration {
	s := f.now.Since(f.heardAt)
	if f.now < f.listen {
		return min(s, f.cfg.Dead)
	}
	return s
}

// heardOut is when the peer was silent for d and, after a stall, listened to.
func (f *facts) heardOut(d time.Duration) pair.Instant {
	return max(f.heardAt.Add(d), f.listen.Add(f.takeAfter()-f.cfg.Dead))
}

// bootOut is when a node that is not armed may take: after the boot wait or,
// if it lost an adopted lease, after two takeovers. The other node waits longer.
func (f *facts) bootOut() pair.Instant {
	at := f.heardOut(min(f.cfg.Init, 2*f.takeAfter()))
	if !f.cfg.Preferred {
		at = at.Add(f.takeAfter())
	}
	return at
}

// takeAfter is the silence after which the peer's kernel lease has ended.
func (f *facts) takeAfter() time.Duration {
	lease := f.cfg.Lease + f.cfg.Window
	if f.known && f.said.Lease > 0 {
		lease = f.said.Lease
	}
	d := lease + f.cfg.Reserve
	if f.cfg.Mode == pair.ModeLease {
		d += f.cfg.Ack
		d += d / 500 // 1000 ppm on either clock
	}
	return max(f.cfg.Takeover, d)
}

// ownerLimit is the silence after which an owner fences.
func (f *facts) ownerLimit() time.Duration {
	if f.cfg.Index != 0 {
		return f.cfg.Dead + f.cfg.Race
	}
	return f.cfg.Dead
}

func (f *facts) deafFor() time.Duration {
	if f.deafFrom == 0 || f.silence() > f.cfg.Dead {
		return 0
	}
	return f.now.Since(f.deafFrom)
}

// found ends the suspicion once the contact lasts.
func (f *facts) found() {
	switch {
	case f.lostFrom == 0:
	case f.foundFrom == 0:
		f.foundFrom = f.now
	case f.now.Since(f.foundFrom) > f.cfg.Dead+f.cfg.Beat:
		f.lostFrom, f.foundFrom = 0, 0
	}
}

// lostFor is for how long the nodes have suspected each other.
func (f *facts) lostFor() time.Duration {
	if f.lostFrom == 0 || !f.contact {
		return f.silence()
	}
	return f.now.Since(f.lostFrom)
}

// bootRace is the first turn beside a peer that was last heard to boot.
func (f *facts) bootRace() time.Duration {
	if f.said.State == pair.Boot {
		return f.cfg.Init // at the earliest
	}
	return f.cfg.Dead + f.cfg.Race
}

// input takes what an input tells, before any rule is tried.
func (f *facts) input(in pair.Input) {
	f.rx, f.old, f.lost, f.gap, f.stranger, f.proven, f.foreign, f.op = pair.Heard{}, false, false, 0, false, false, false, 0
	switch in := in.(type) {
	case pair.Start:
		f.begin(in)
	case pair.Heard:
		f.heard(in)
	case pair.Stalled:
		f.gap = in.Gap
		f.listen = f.now.Add(f.cfg.Beat)
		f.probe, f.silent, f.bidAt = 0, false, 0
	case pair.LeaseLost:
		f.stranger = in.Stranger
		f.gate = f.gate && !in.Stranger
	case pair.GateOpened:
		if in.Ticket == f.grant && f.grant != 0 {
			f.gate, f.grant = in.OK, 0
		}
	case pair.FenceLeave:
		f.barred = in.Barred != ""
	case pair.ProbeDone:
		f.probed(in)
	case pair.FenceDone:
		f.fenced(in)
	case pair.Command:
		f.op = in.Op
		f.ordered(in)
	case pair.Stop:
		f.stopping, f.bidAt = true, 0
	}
}

func (f *facts) begin(in pair.Start) {
	f.begun, f.start = true, in
	f.state, f.since, f.heardAt = pair.Boot, f.now, f.now
	f.barred = in.Barred != ""
	f.token, f.fencedLast, f.maintenance, f.unfit = in.Token, in.FencedLast, in.Maintenance, in.Failed
	f.term = in.Term
}

// heard takes a frame: what proves contact is the echo, what orders is the counter.
func (f *facts) heard(in pair.Heard) {
	if f.deadKnown && in.Session == f.deadID {
		f.lost = true
		return
	}
	if !f.known || in.Session != f.session {
		f.known, f.session, f.sessionAt, f.counter, f.gone = true, in.Session, f.now, 0, false
	}
	f.rx = in
	if in.Counter != 0 && in.Counter < f.counter {
		f.old = true
		return
	}
	f.counter = max(f.counter, in.Counter)
	if f.now.Since(f.heardAt) > f.cfg.Dead {
		f.foundFrom = 0
		if f.lostFrom == 0 {
			f.lostFrom = f.heardAt
		}
	}
	f.heardAt = max(f.heardAt, f.now.Add(-in.SentAgo))
	f.ackAt = max(f.ackAt, in.EchoSentAt)
	f.said = in
	f.gone = f.gone || in.Kind == pair.Goodbye
	f.noteEcho()
	if f.is("fresh") {
		f.contact = true
		if f.fencedLast {
			f.fencedLast, f.ableFrom = false, f.now
		}
	}
	if in.State.Owns() && !f.state.Owns() && in.EchoSentAt != 0 && in.EchoSentAt >= f.gave && in.Kind != pair.Claim && in.Kind != pair.FenceNotice {
		f.holdUntil = 0 // the promise was kept: it has taken the group
	}
}

// abandon ends a claim that was not answered in time.
func (f *facts) abandon(in pair.Input) {
	switch in.(type) {
	case pair.Heard:
		if f.old || f.lost {
			return
		}
	case pair.Tick:
	default:
		return
	}
	if !f.is("twoway") || f.now.Since(f.bidAt) > f.takeAfter() {
		f.bidAt = 0
	}
}

// noteEcho keeps since when the peer speaks without having heard this node.
func (f *facts) noteEcho() {
	switch {
	case f.now.Since(max(f.ackAt, f.sessionAt, f.entered)) <= f.cfg.Dead:
		f.deafFrom = 0
		f.found()
		return
	case f.deafFrom == 0:
		f.deafFrom = f.now
	}
	f.foundFrom = 0
	if f.lostFrom == 0 {
		f.lostFrom = f.now
	}
}

func (f *facts) probed(in pair.ProbeDone) {
	if in.Ticket != f.probe || f.probe == 0 {
		f.lost = true
		return
	}
	f.probe, f.foreign = 0, in.Foreign
	switch {
	case in.Foreign:
		f.silent, f.unsent = false, 0
	case !in.Sent:
		f.unsent++
		f.silent = f.unsent >= unsentProbes
	default:
		f.silent, f.unsent = true, 0
	}
}

func (f *facts) fenced(in pair.FenceDone) {
	same := f.fenceKnown == f.known && f.fenceSession == f.session
	switch {
	case in.Ticket == 0:
		f.proven = in.Proven && f.silence() > f.cfg.Dead && f.is("may_fence") && f.state != pair.Solo
	case in.Ticket == f.fence && f.fence != 0:
		f.fence = 0
		f.proven = in.Proven && same
	}
	if f.proven {
		f.right, f.deadID, f.deadKnown = true, f.session, f.known
	}
}

func (f *facts) ordered(in pair.Command) {
	switch in.Op {
	case pair.OpResume:
		f.leaveAfter = false
		if f.maintenance || f.unfit || f.state == pair.Failed {
			f.ableFrom = f.now
		}
		f.maintenance = false
		if f.state == pair.Failed || f.state == pair.Maintenance {
			f.heardAt = max(f.heardAt, f.now)
		}
	case pair.OpMaintenance:
		f.leaveAfter = f.state == pair.Releasing
	}
}
