package model

import "github.com/twinbeat/twinbeat/agent/pair"

// An Atom is one thing a guard may ask: as the model says it of node n, group
// k (its peer: o, q), and as the checker judges it of a real machine.
type Atom struct {
	Name string
	Pml  string
	Go   func(*facts) bool
}

// Atoms is everything that guards are made of.
var Atoms = []Atom{
	{"mode_fence", "(MODE==FENCE)", func(f *facts) bool { return f.cfg.Mode == pair.ModeFence }},
	{"mode_silence", "(MODE==SILENCE)", func(f *facts) bool { return f.cfg.Mode == pair.ModeSilence }},
	{"mode_lease", "(MODE==LEASED)", func(f *facts) bool { return f.cfg.Mode == pair.ModeLease }},
	{"has_fence", "HASFENCE", func(f *facts) bool { return f.cfg.HasFence }},

	// This node.
	{"passive", "(nd[n].fl || nd[n].leaving || gr[k].st==MAINTENANCE || gr[k].st==FAILED)", func(f *facts) bool {
		return f.fencedLast || f.stopping || f.maintenance || f.state == pair.Maintenance || f.state == pair.Failed
	}},
	{"stopping", "nd[n].leaving", func(f *facts) bool { return f.stopping }},
	{"lease_held", "(gr[k].lease>0)", func(f *facts) bool { return f.start.LeaseHeld }},
	{"maintained", "0", func(f *facts) bool { return f.start.Maintenance }},
	{"long", "(nd[n].hang>=LEASE)", func(f *facts) bool { return f.gap >= f.cfg.Lease-f.cfg.Reserve }},
	{"stranger", "0", func(f *facts) bool { return f.stranger }},
	{"undisputed", "0", func(f *facts) bool {
		if f.said.State.Owns() && f.silence() <= f.cfg.Takeover {
			return false
		}
		return f.cfg.Mode != pair.ModeLease || f.state == pair.Solo || f.now.Since(f.ackAt) <= f.cfg.Ack
	}},
	{"met", "0", func(f *facts) bool { return f.sure() || f.meets() }},
	{"holding", "(gr[k].hold>0)", func(f *facts) bool { return f.now < f.holdUntil }},
	{"doubting", "(gr[k].doubt>0)", func(f *facts) bool { return f.doubtAt != 0 }},
	{"doubted", "(gr[k].doubt>1)", func(f *facts) bool { return f.now.Since(f.doubtAt) >= (f.takeAfter()-f.cfg.Dead)/4 }},
	{"gate_open", "(gr[k].gate==OPEN)", func(f *facts) bool { return f.gate }},
	{"gate_wanted", "(gr[k].gate==WANTED)", func(f *facts) bool { return !f.gate && f.grant == 0 }},

	// What the frame says, and what its echo proves.
	{"rx_claim", "(rx_kind==CLAIM)", func(f *facts) bool { return f.rx.Kind == pair.Claim }},
	{"rx_notice", "(rx_kind==NOTICE)", func(f *facts) bool { return f.rx.Kind == pair.FenceNotice }},
	{"rx_grant", "(rx_kind==GRANT)", func(f *facts) bool { return f.rx.Kind == pair.Grant }},
	{"rx_released", "(rx_kind==RELEASED)", func(f *facts) bool { return f.rx.Kind == pair.Released }},
	{"rx_goodbye", "(rx_kind==GOODBYE)", func(f *facts) bool { return f.rx.Kind == pair.Goodbye }},
	{"p_owns", "owns(rx_st)", func(f *facts) bool { return f.rx.State.Owns() }},
	{"p_active", "(rx_st==ACTIVE || rx_st==RELEASING)", func(f *facts) bool { return f.rx.State.Owns() && f.rx.State != pair.Solo }},
	{"p_solo", "(rx_st==SOLO)", func(f *facts) bool { return f.rx.State == pair.Solo }},
	{"p_term", "1", func(f *facts) bool { return f.rx.Term >= f.term }},
	{"accept", "1", func(f *facts) bool { return f.rx.Accept }},
	{"fresh", "(rx_echo<=ACK)", func(f *facts) bool { return f.rx.EchoSentAt != 0 && f.now.Since(f.rx.EchoSentAt) <= f.cfg.Ack }},
	{"echo_since", "(rx_echo<=gr[k].since)", func(f *facts) bool { return f.rx.EchoSentAt >= f.since }},
	{"echo_after", "(rx_echo<=gr[k].since)", func(f *facts) bool { return f.rx.EchoSentAt > f.since }},
	{"echo_able", "(rx_echo<=gr[k].since)", func(f *facts) bool { return f.rx.EchoSentAt >= max(f.since, f.ableFrom) }},
	{"echo_doubt", "(rx_echo<gr[k].doubt)", func(f *facts) bool { return f.rx.EchoSentAt >= f.doubtAt }},
	{"claimed", "(gr[k].bid>0 && rx_echo<gr[k].bid)", func(f *facts) bool { return f.bidAt != 0 && f.rx.EchoSentAt >= f.bidAt }},
	{"current", "(rx_echo<=DEAD && (gr[k].hold==0 || rx_echo<=HOLD-gr[k].hold))", func(f *facts) bool {
		return f.rx.EchoSentAt != 0 && f.rx.EchoSentAt >= f.gave && f.now.Since(f.rx.EchoSentAt) <= f.cfg.Dead
	}},
	{"wins_claim", "(gr[k].bid>0 && n==0)", func(f *facts) bool { return f.bidAt != 0 && f.cfg.LowerID }},

	// What was last heard of the peer.
	{"s_idle", "(gr[k].said>0 && !owns(gr[k].said))", func(f *facts) bool { return f.known && !f.said.State.Owns() }},
	{"s_accept", "1", func(f *facts) bool { return !f.known || f.said.Accept }},
	{"s_isolated", "(gr[k].said==ISOLATED)", func(f *facts) bool { return f.said.State == pair.Isolated }},
	{"p_armed", "(gr[k].said==ARMED)", func(f *facts) bool { return f.said.State == pair.Armed }},
	{"p_cannot", "(gr[k].said>0 && (nd[n].spas || nd[n].gone || gr[k].said==MAINTENANCE || gr[k].said==FAILED))", func(f *facts) bool {
		s := f.said.State
		return f.known && (f.said.Passive || f.gone || s == pair.Maintenance || s == pair.Failed)
	}},
	{"p_begs", "0", func(f *facts) bool { return f.known && f.said.FenceMe }},
	{"twoway", "(nd[n].ack<=ACK)", func(f *facts) bool { return f.ackAt != 0 && f.now.Since(f.ackAt) <= f.cfg.Ack }},
	{"echo_ack", "(nd[n].ack<=gr[k].since && gr[k].since>ACK)", func(f *facts) bool { return f.ackAt > f.since }},
	{"p_hears", "(nd[n].ack<=DEAD+ACK)", func(f *facts) bool { return f.now.Since(f.ackAt) <= f.cfg.Dead+f.cfg.Ack }},
	{"unacked", "(gr[k].adopted && !nd[n].contact -> gr[k].since>ACK : nd[n].ack>ACK)", func(f *facts) bool {
		at := f.ackAt
		if f.adopted && !f.contact {
			at = f.entered
		}
		return f.now.Since(at) > f.cfg.Ack
	}},
	{"sure_adopted", "(!gr[k].adopted || MODE==FENCE || nd[n].contact)", func(f *facts) bool {
		return !f.adopted || f.cfg.Mode == pair.ModeFence || f.contact
	}},
	{"in_contact", "nd[n].contact", func(f *facts) bool { return f.contact }},
	{"deaf", "(nd[n].sil<=DEAD && nd[n].ack>ACK)", func(f *facts) bool { return f.deafFor() >= 2*f.cfg.Beat }},
	{"deaf_long", "(nd[n].sil<=DEAD && nd[n].ack>2*DEAD+1)", func(f *facts) bool { return f.deafFor() > f.ownerLimit() }},

	// Silence, and the LAN.
	{"silent_dead", "(nd[n].sil>DEAD && nd[n].lis<LISTEN)", func(f *facts) bool { return f.silence() > f.cfg.Dead }},
	{"silent_owner", "(nd[n].sil>DEAD+(k%G)*RACE && nd[n].lis<LISTEN)", func(f *facts) bool { return f.silence() > f.ownerLimit() }},
	// Turns that count from before the silence are the simulator's to try: in the
	// model only silence leads to one.
	{"silent_race", "(nd[n].sil>DEAD+RACE && nd[n].lis<LISTEN)", func(f *facts) bool {
		return f.silence() > f.cfg.Dead && f.lostFor() > min(f.cfg.Dead+f.cfg.Race, f.bootRace())
	}},
	{"silent_boot", "(nd[n].sil>INIT && nd[n].lis<LISTEN)", func(f *facts) bool { return f.silence() > f.cfg.Init }},
	{"silent_soon", "(nd[n].lis<LISTEN && nd[n].sil>DEAD && (gr[k].st==ARMED -> nd[n].sil+1>=TAKE : MODE==SILENCE && nd[n].sil+LONGPROBE>INIT+(n!=k%G -> TAKE : 0)))", func(f *facts) bool {
		if f.state == pair.Armed {
			return f.silence() > f.cfg.Dead && f.now >= f.heardOut(f.takeAfter()).Add(-f.cfg.Probe)
		}
		return f.cfg.Mode == pair.ModeSilence && f.silence() > f.cfg.Dead && f.now >= f.bootOut().Add(-f.longProbe())
	}},
	{"silent_take", "(nd[n].sil>=TAKE && nd[n].lis==0)", func(f *facts) bool { return f.now >= f.heardOut(f.takeAfter()) }},
	{"silent_init", "(nd[n].sil>=INIT+(n!=k%G -> TAKE : 0) && nd[n].lis==0)", func(f *facts) bool {
		return f.now >= f.bootOut()
	}},
	{"probed", "(gr[k].pr==2 && !gr[k].pf)", func(f *facts) bool { return f.probeSilent(f.cfg.Probe) }},
	{"probed_long", "(gr[k].pr==LONGPROBE && !gr[k].pf)", func(f *facts) bool { return f.probeSilent(f.longProbe()) }},
	{"probing", "(gr[k].pr>0)", func(f *facts) bool { return f.probe != 0 }},
	{"rivalled", "(gr[k].gate==WANTED && gr[k].pf)", func(f *facts) bool { return f.foreign }},
	{"still_true", "(MODE!=SILENCE || nd[n].ack<=ACK || gr[k].sure || (p_cannot && nd[n].sil<=DEAD) || (gr[k].pr==(gr[k].parm -> 2 : LONGPROBE) && !gr[k].pf))", func(f *facts) bool {
		lasts := f.ownProbe()
		if f.probeArmed {
			lasts = f.cfg.Probe
		}
		return f.sure() || f.probeSilent(lasts)
	}},

	// The fence device.
	{"may_fence", "(nd[n].contact || nd[n].right || nd[n].token)", func(f *facts) bool { return f.contact || f.right || f.token }},
	{"fencing", "(gr[k].fw || nd[n].fly>TF)", func(f *facts) bool { return f.fence != 0 }},
	{"proven", "(gr[k].fw || (nd[n].sil>DEAD && gr[k].st!=SOLO && (nd[n].contact || nd[n].right || nd[n].token)))", func(f *facts) bool { return f.proven }},
	{"barred", "0", func(f *facts) bool { return f.barred }},
	{"cannot_prove", "0", func(f *facts) bool { return f.barred && f.cfg.Mode == pair.ModeFence }},

	// Orders.
	{"told_release", "(w.ord==1)", func(*facts) bool { return true }}, // an order, a RELEASE, failed services, failback, a stop
	{"told_leave", "(w.ord==2)", func(f *facts) bool { return f.op == pair.OpMaintenance }},
	{"told_maintain", "(w.ord==3)", func(f *facts) bool { return f.op == pair.OpMaintenance }},
	{"told_resume", "(w.ord==4 || healed)", func(f *facts) bool { return f.op == pair.OpResume }},
	{"told_dead", "(w.ord==5)", func(f *facts) bool { return f.op == pair.OpConfirmDead }},
}
