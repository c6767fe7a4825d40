package model

import "github.com/twinbeat/twinbeat/agent/pair"

// An Event is the part of a turn at which a rule may fire, in the order in
// which a turn comes to them.
type Event string

// The events of a turn.
const (
	OnStart Event = "start" // the process begins
	OnStall Event = "stall" // the process finds that it stood still
	OnLost  Event = "lost"  // the kernel lease is gone although the gate was thought open
	OnWake  Event = "wake"  // a frame: what its coming proves
	OnSays  Event = "says"  // a frame: what it says
	OnOffer Event = "offer" // a frame: what it offers
	OnProof Event = "proof" // the fence device proved the peer off
	OnOrder Event = "order" // an operator, a service, the end of the agent
	OnClaim Event = "claim" // time passed: what is said again and again
	OnProbe Event = "probe" // time passed: what is asked of the LAN
	OnTick  Event = "tick"  // time passed: what ends by it
	OnFence Event = "fence" // time passed: is the peer to be switched off
	OnGate  Event = "gate"  // the gate is asked for
	OnRenew Event = "renew" // the lease is renewed
)

// events is their order.
var events = []Event{OnStart, OnStall, OnLost, OnWake, OnSays, OnOffer, OnProof, OnOrder, OnClaim, OnProbe, OnTick, OnFence, OnGate, OnRenew}

// A Rule is one thing a node may do. If it is enabled and not May, the node
// does something; which of several is free.
type Rule struct {
	Name string
	On   Event
	From []pair.State
	If   string     // atoms that must all be true; ! negates one
	To   pair.State // zero: the state stays
	By   pair.Evidence
	Do   string // effects, in order
	May  bool   // the node may also leave it
	// Only says that the rule exists for the checker alone: the model has no
	// such cause, or has it as part of another rule.
	Only bool
}

// Groups of states.
var (
	owning  = []pair.State{pair.Active, pair.Solo, pair.Releasing}
	serving = []pair.State{pair.Active, pair.Solo}
	idle    = []pair.State{pair.Boot, pair.Standby, pair.Armed, pair.Fencing, pair.Isolated, pair.Maintenance, pair.Failed}
	able    = []pair.State{pair.Standby, pair.Armed}
	unarmed = []pair.State{pair.Boot, pair.Standby, pair.Isolated}
	fencers = []pair.State{pair.Standby, pair.Armed, pair.Fencing}
	takers  = []pair.State{pair.Boot, pair.Standby, pair.Armed, pair.Fencing, pair.Isolated}
)

func only(s pair.State) []pair.State { return []pair.State{s} }

// Rules is the protocol of one node and one group.
var Rules = []Rule{
	// The process begins: the gate is closed, unless its own lease still runs.
	{Name: "adopt", On: OnStart, From: only(pair.Boot), If: "lease_held !passive", To: pair.Active, By: pair.EvidenceAdopted, Do: "adopt"},
	{Name: "boot_out", On: OnStart, From: only(pair.Boot), If: "maintained", To: pair.Maintenance, Do: "close", Only: true},

	// What a stall makes void.
	{Name: "stall_fence", On: OnStall, From: owning, If: "mode_fence long", To: pair.Standby, Do: "close say_RELEASED"},
	{Name: "stall_other", On: OnStall, From: owning, If: "!mode_fence long", To: pair.Isolated, Do: "close say_RELEASED"},
	{Name: "stall_idle", On: OnStall, From: []pair.State{pair.Armed, pair.Fencing}, If: "long", To: pair.Standby},
	{Name: "lost_fence", On: OnLost, From: owning, If: "mode_fence", To: pair.Standby, Do: "close say_RELEASED"},
	{Name: "lost_other", On: OnLost, From: owning, If: "!mode_fence", To: pair.Isolated, Do: "close say_RELEASED"},
	{Name: "regrant", On: OnLost, From: serving, If: "stranger !doubting undisputed sure_adopted met", Do: "reopen", Only: true},

	// What the coming of a frame proves.
	{Name: "contact", On: OnWake, From: only(pair.Boot), If: "fresh", To: pair.Standby},
	{Name: "rejoin", On: OnWake, From: only(pair.Isolated), If: "fresh echo_since", To: pair.Standby},
	{Name: "spoke", On: OnWake, From: only(pair.Fencing), If: "!p_begs", To: pair.Standby},
	{Name: "believed", On: OnWake, From: owning, If: "doubting !rx_claim echo_doubt !p_owns", Do: "undoubt"},

	// What a frame says.
	{Name: "noticed", On: OnSays, From: append(takers, owning...), If: "rx_notice", To: pair.Failed, Do: "close say_RELEASED"},
	{Name: "noticed_out", On: OnSays, From: only(pair.Maintenance), If: "rx_notice", To: pair.Failed},
	{Name: "grant", On: OnSays, From: []pair.State{pair.Boot, pair.Standby, pair.Isolated, pair.Maintenance, pair.Failed}, If: "rx_claim !wins_claim", Do: "say_GRANT"},
	{Name: "grant_armed", On: OnSays, From: only(pair.Armed), If: "rx_claim", To: pair.Standby, Do: "say_GRANT"},
	{Name: "doubt", On: OnSays, From: serving, If: "rx_claim !mode_fence gate_open !doubting", Do: "doubt say_BEAT"},
	{Name: "yield", On: OnSays, From: serving, If: "rx_claim !mode_fence !gate_open", To: pair.Standby, Do: "close say_RELEASED"},
	{Name: "yield_releasing", On: OnSays, From: only(pair.Releasing), If: "rx_claim !mode_fence", To: pair.Standby, Do: "close say_RELEASED"},
	{Name: "conflict_lose", On: OnSays, From: owning, If: "!rx_claim !rx_notice p_owns", To: pair.Standby, Do: "close say_RELEASED"},
	{Name: "conflict_win", On: OnSays, From: owning, If: "!rx_claim !rx_notice p_owns", To: pair.Standby, Do: "close"},
	{Name: "arm", On: OnSays, From: only(pair.Standby), If: "!rx_claim !rx_notice fresh p_active echo_able !passive !cannot_prove accept", To: pair.Armed},
	{Name: "disarm_solo", On: OnSays, From: only(pair.Armed), If: "!rx_claim !rx_notice fresh p_solo", To: pair.Standby},
	{Name: "disarm_idle", On: OnSays, From: only(pair.Armed), If: "!rx_claim !rx_notice fresh !p_owns", To: pair.Standby},
	{Name: "disarm_mismatch", On: OnSays, From: only(pair.Armed), If: "fresh !accept", To: pair.Standby, Only: true},
	{Name: "unsolo", On: OnSays, From: only(pair.Solo), If: "!rx_claim !rx_notice fresh !p_owns echo_after !p_cannot", To: pair.Active},
	{Name: "solo_passive", On: OnSays, From: only(pair.Active), If: "!rx_claim !rx_notice fresh !p_owns p_cannot", To: pair.Solo},
	{Name: "solo_goodbye", On: OnOffer, From: only(pair.Active), If: "rx_goodbye !p_owns", To: pair.Solo},

	// What a frame offers.
	{Name: "take_grant", On: OnOffer, From: able, If: "rx_grant claimed current !holding !passive accept", To: pair.Active, By: pair.EvidenceGrant, Do: "own"},
	{Name: "take_released", On: OnOffer, From: able, If: "rx_released fresh current p_term !holding !p_owns !passive accept", To: pair.Active, By: pair.EvidenceReleased, Do: "own"},
	{Name: "take_goodbye", On: OnOffer, From: able, If: "rx_goodbye fresh current p_term !p_owns !passive accept", To: pair.Solo, By: pair.EvidenceGoodbye, Do: "own"},

	// The proof of the fence device.
	{Name: "take_fence", On: OnProof, From: takers, If: "proven !passive", To: pair.Solo, By: pair.EvidenceFence, Do: "own"},
	{Name: "solo_fence", On: OnProof, From: only(pair.Active), If: "proven", To: pair.Solo},

	// Orders, services, and the end of the agent.
	{Name: "release", On: OnOrder, From: serving, If: "told_release", To: pair.Releasing},
	{Name: "release_out", On: OnOrder, From: serving, If: "told_leave", To: pair.Releasing, Do: "out"},
	{Name: "released", On: OnOrder, From: only(pair.Releasing), To: pair.Standby, Do: "close say_RELEASED", May: true},
	{Name: "keep", On: OnOrder, From: only(pair.Releasing), If: "gate_open", To: pair.Active, Do: "stay", May: true},
	{Name: "give_up", On: OnOrder, From: owning, If: "", To: pair.Standby, Do: "close say_RELEASED", Only: true},
	{Name: "maintain", On: OnOrder, From: idle, If: "told_maintain", To: pair.Maintenance},
	{Name: "resume", On: OnOrder, From: []pair.State{pair.Maintenance, pair.Failed}, If: "told_resume", To: pair.Standby, Do: "resume"},
	{Name: "confirm_take", On: OnOrder, From: takers, If: "told_dead silent_dead !passive", To: pair.Solo, By: pair.EvidenceOperator, Do: "own sure"},
	{Name: "confirm_solo", On: OnOrder, From: only(pair.Active), If: "told_dead silent_dead", To: pair.Solo},
	{Name: "leave", On: OnOrder, From: []pair.State{pair.Armed, pair.Fencing}, If: "stopping", To: pair.Standby, Only: true},
	{Name: "stop_failed", On: OnOrder, From: idle, If: "mode_fence", To: pair.Failed, Only: true},
	{Name: "stop_failed_late", On: OnOrder, From: only(pair.Releasing), If: "mode_fence", To: pair.Failed, Do: "close", Only: true},
	{Name: "ask", On: OnOrder, From: idle, Do: "say_RELEASE", Only: true},
	{Name: "goodbye", On: OnOrder, From: idle, If: "stopping", Do: "say_GOODBYE"},

	// Time passes for an owner.
	{Name: "unacked", On: OnTick, From: []pair.State{pair.Active, pair.Releasing}, If: "mode_lease unacked", To: pair.Isolated, Do: "close say_RELEASED"},
	{Name: "undecided", On: OnTick, From: owning, If: "doubting doubted", To: pair.Standby, Do: "close say_RELEASED"},
	{Name: "unheard", On: OnTick, From: owning, If: "mode_silence deaf p_armed", To: pair.Standby, Do: "close say_RELEASED", May: true},

	// Time passes for the others.
	{Name: "failed_over", On: OnTick, From: only(pair.Failed), If: "twoway echo_ack", To: pair.Standby, Do: "resume", May: true},
	{Name: "claim_idle", On: OnClaim, From: only(pair.Standby), If: "twoway s_idle !holding !passive", Do: "say_CLAIM", May: true},
	{Name: "claim_silent", On: OnClaim, From: []pair.State{pair.Boot, pair.Standby, pair.Armed, pair.Isolated}, If: "!mode_fence silent_dead !passive", Do: "warn_CLAIM"},
	{Name: "take_silence", On: OnTick, From: only(pair.Armed), If: "mode_silence silent_take probed !holding !passive s_accept", To: pair.Active, By: pair.EvidenceSilence, Do: "own"},
	{Name: "take_boot", On: OnTick, From: unarmed, If: "mode_silence silent_init probed_long !holding !passive s_accept", To: pair.Active, By: pair.EvidenceSilence, Do: "own"},
	{Name: "take_lease", On: OnTick, From: only(pair.Armed), If: "mode_lease silent_take probed !holding !passive s_accept", To: pair.Solo, By: pair.EvidenceLease, Do: "own"},
	{Name: "take_isolated", On: OnTick, From: only(pair.Armed), If: "mode_lease s_isolated !silent_dead !p_hears !holding !passive s_accept", To: pair.Solo, By: pair.EvidenceLease, Do: "own"},
	{Name: "probe", On: OnProbe, From: []pair.State{pair.Boot, pair.Standby, pair.Armed, pair.Isolated, pair.Fencing}, If: "!mode_fence silent_soon !probing !passive", Do: "probe"},
	{Name: "probe_lonely", On: OnProbe, From: []pair.State{pair.Boot, pair.Isolated, pair.Fencing}, If: "mode_lease has_fence silent_boot !probing !passive", Do: "probe"},
	{Name: "probe_again", On: OnProbe, From: serving, If: "mode_silence gate_wanted !twoway !probing", Do: "probe"},
	{Name: "rival", On: OnTick, From: serving, If: "!gate_open rivalled", To: pair.Standby, Do: "close say_RELEASED"},
	{Name: "repeat", On: OnClaim, From: idle, If: "holding", Do: "repeat_RELEASED"},

	// Is the peer to be switched off?
	{Name: "fence_owner", On: OnFence, From: only(pair.Active), If: "mode_fence silent_owner in_contact !p_cannot !fencing !barred", Do: "fence say_NOTICE"},
	{Name: "fence_deaf", On: OnFence, From: only(pair.Active), If: "mode_fence deaf_long in_contact !p_cannot !fencing !barred", Do: "fence say_NOTICE"},
	{Name: "fence_standby", On: OnFence, From: fencers, If: "mode_fence silent_race may_fence !passive !fencing !barred", To: pair.Fencing, Do: "fence"},
	{Name: "unarm_barred", On: OnFence, From: only(pair.Armed), If: "mode_fence barred", To: pair.Standby, Only: true},
	{Name: "fence_asked", On: OnFence, From: fencers, If: "mode_fence p_begs may_fence !passive !fencing !barred", To: pair.Fencing, Do: "fence", Only: true},
	{Name: "fence_boot", On: OnFence, From: only(pair.Boot), If: "mode_fence silent_boot may_fence !passive !fencing !barred", To: pair.Fencing, Do: "fence"},
	{Name: "fence_untouched", On: OnFence, From: only(pair.Standby), If: "mode_fence silent_boot !in_contact may_fence !passive !fencing !barred", To: pair.Fencing, Do: "fence"},
	{Name: "fence_lonely", On: OnFence, From: []pair.State{pair.Boot, pair.Isolated, pair.Fencing}, If: "mode_lease has_fence silent_boot probed_long may_fence !passive !fencing !barred", To: pair.Fencing, Do: "fence"},

	// The gate and the lease.
	{Name: "open", On: OnGate, From: serving, If: "gate_wanted still_true", Do: "ask_gate"},
	{Name: "renew_sure", On: OnRenew, From: owning, If: "gate_open !doubting sure_adopted !mode_lease", Do: "renew"},
	{Name: "renew_acked", On: OnRenew, From: []pair.State{pair.Active, pair.Releasing}, If: "gate_open !doubting sure_adopted mode_lease !unacked", Do: "renew"},
	{Name: "renew_solo", On: OnRenew, From: only(pair.Solo), If: "gate_open !doubting sure_adopted mode_lease", Do: "renew"},
}
