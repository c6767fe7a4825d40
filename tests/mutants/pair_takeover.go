package main

// Files of agent/pair.
var (
	silenceGo  = in("agent/pair/silence.go")
	claimGo    = in("agent/pair/claim.go")
	fenceGo    = in("agent/pair/fence.go")
	budgetGo   = in("agent/pair/budget.go")
	releaseGo  = in("agent/pair/release.go")
	bootGo     = in("agent/pair/boot.go")
	activeGo   = in("agent/pair/active.go")
	ownGo      = in("agent/pair/own.go")
	heardGo    = in("agent/pair/heard.go")
	operatorGo = in("agent/pair/operator.go")
	machineGo  = in("agent/pair/machine.go")
)

// pairTakeover are the rules of a takeover by silence, of the probe and of CLAIM.
var pairTakeover = []mutant{
	{
		name: "takeover-forgets-the-window", rings: "transcripts",
		rule:  "A takeover outwaits the peer's lease and the window in which it may still be renewed.",
		edits: edits{silenceGo("lease := m.cfg.Lease + m.cfg.Window", "lease := m.cfg.Lease")},
	},
	{
		name: "takeover-ignores-what-the-peer-says-of-its-lease", rings: "transcripts",
		rule:  "A takeover outwaits the lease that the peer's kernel really gives, as the peer told it.",
		edits: edits{silenceGo("if m.peer.known && m.peer.said.Lease > 0 {", "if false {")},
	},
	{
		name: "takeover-forgets-the-reserve", rings: "transcripts",
		rule:  "A takeover leaves a reserve for a late tick of the kernel.",
		edits: edits{silenceGo("d := lease + m.cfg.Reserve", "d := lease")},
	},
	{
		name: "takeover-forgets-the-acknowledgement", rings: "transcripts",
		rule:  "In mode lease a takeover also outwaits the time for which the peer renews without acknowledgement.",
		edits: edits{silenceGo("\t\td += m.cfg.Ack\n", "")},
	},
	{
		name: "takeover-forgets-the-drift", rings: "transcripts",
		rule:  "In mode lease a takeover allows for clocks that run apart.",
		edits: edits{silenceGo("\t\td += d / 500 // rho, 1000 ppm on either clock\n", "")},
	},
	{
		name: "takeover-ignores-its-configuration", rings: "transcripts",
		rule:  "A takeover never comes before the configured silence.",
		edits: edits{silenceGo("return max(m.cfg.Takeover, d)", "return d")},
	},
	{
		name: "unarmed-takes-like-an-armed-one", rings: "transcripts",
		rule:  "A node that never heard an owner waits for the boot time before it takes by silence.",
		edits: edits{silenceGo("at = m.heardOut(max(m.initWait, m.takeAfter()))", "at = m.heardOut(m.takeAfter())")},
	},
	{
		name: "unarmed-nodes-take-at-the-same-time", rings: "transcripts",
		rule:  "Of two nodes that are not armed the preferred one takes first, so that the other one's probe finds it.",
		edits: edits{silenceGo("if !m.cfg.Preferred && m.state != Armed {\n\t\t\tat =", "if false {\n\t\t\tat =")},
	},
	{
		name: "fence-mode-takes-by-silence", rings: "transcripts",
		rule:  "In mode fence silence alone allows nothing.",
		edits: edits{silenceGo("case m.rank() == 0 || m.cfg.Mode == ModeFence || p.known && !p.said.Accept:", "case m.rank() == 0 || p.known && !p.said.Accept:")},
	},
	{
		name: "passive-node-takes-by-silence", rings: "transcripts",
		rule:  "A node in maintenance, stopping, failed or fenced takes nothing by silence.",
		edits: edits{silenceGo("case m.rank() == 0 || m.cfg.Mode == ModeFence ||", "case m.cfg.Mode == ModeFence ||")},
	},
	{
		name: "takes-from-a-peer-of-another-configuration", rings: "transcripts",
		rule:  "A node takes nothing by silence from a peer whose configuration or protocol differs.",
		edits: edits{silenceGo(" || p.known && !p.said.Accept:", " || p.known && false:")},
	},
	{
		name: "lease-mode-takes-unarmed", rings: "transcripts",
		rule:  "In mode lease only an armed node takes by silence.",
		edits: edits{silenceGo("case m.cfg.Mode == ModeSilence:\n\t\tat", "case true:\n\t\tat")},
	},
	{
		name: "promise-does-not-bind-a-takeover", rings: "transcripts",
		rule:  "Who said GRANT or RELEASED takes nothing by silence until the promise is over.",
		edits: edits{silenceGo("return max(at, m.hold.until), true", "return at, true")},
	},
	{
		name: "takes-without-a-probe", rings: "transcripts",
		rule:  "No takeover by silence without a probe that nobody answered.",
		edits: edits{silenceGo("\tcase !m.probeSilent():\n\t\tm.askProbe()\n\tcase m.now >= at:", "\tcase m.now >= at:")},
	},
	{
		name: "takes-before-its-time", rings: "transcripts",
		rule:  "A silent probe does not shorten the wait for the end of the peer's lease.",
		edits: edits{silenceGo("case m.now >= at:", "default:")},
	},
	{
		name: "probes-while-the-lease-runs", rings: "transcripts",
		rule:  "The probe comes when the peer's lease has ended: earlier a stopped owner's kernel still answers.",
		edits: edits{silenceGo("case m.now < at.Add(-m.probeLasts()):", "case false:")},
	},
	{
		name: "old-probe-counts", rings: "transcripts",
		rule:  "A probe that found nobody counts for a moment only.",
		edits: edits{silenceGo("&& m.now.Since(p.askedAt) <= p.lasts+ProbeGrace", "")},
	},
	{
		name: "probe-ends-before-a-gate-opens", rings: "transcripts",
		rule:  "The last probe of a node that is not armed sees the gate for which a probe ended when its own began.",
		edits: edits{silenceGo("return max(unarmedProbe, m.cfg.Probe, m.meeting())", "return max(unarmedProbe, m.cfg.Probe)")},
	},
	{
		name: "regrants-beside-an-armed-peer", rings: "transcripts",
		rule:  "A lease that a stranger removed is granted again without contact only if an armed peer's probe would see the gate.",
		edits: edits{activeGo("if m.unsure() && m.cfg.Probe < m.meeting() {", "if false {")},
	},
	{
		name: "late-takeover-probes-too-short", rings: "transcripts",
		rule:  "A takeover whose addresses took long probes again until another node's gate must be open.",
		edits: edits{silenceGo("m.prob.armed && m.state.Owns() && m.cfg.Probe >= m.meeting()", "m.prob.armed && m.state.Owns()")},
	},
	{
		name: "owner-looks-again-too-short", rings: "transcripts",
		rule:  "An owner that looks again does so until another node's gate must be open.",
		edits: edits{silenceGo("return max(m.cfg.Probe, m.meeting())", "return m.cfg.Probe")},
	},
	{
		name: "goodbye-of-long-ago-counts", rings: "transcripts",
		rule:  "What the peer said of itself spares the probe only while the peer is heard.",
		edits: edits{ownGo("m.peerCannotOwn() && m.silence() <= m.cfg.Dead", "m.peerCannotOwn()")},
	},
	{
		name: "operators-word-of-long-ago-counts", rings: "transcripts",
		rule:  "What an operator saw spares the probe only for a takeover.",
		edits: edits{ownGo(" && m.now.Since(m.enteredAt) <= m.cfg.Takeover", "")},
	},
	{
		name: "unarmed-probes-too-short", rings: "transcripts",
		rule:  "A node that is not armed listens long enough to hear a rival's probe.",
		edits: edits{silenceGo("return max(unarmedProbe, m.cfg.Probe, m.meeting())", "return m.cfg.Probe")},
	},
	{
		name: "answer-of-an-older-probe-counts", rings: "transcripts",
		rule:  "Only the answer to the probe under way counts.",
		edits: edits{silenceGo("if in.Ticket != m.prob.ticket || m.prob.ticket == 0 {", "if false {")},
	},
	{
		name: "veto-of-the-probe-is-ignored", rings: "transcripts",
		rule:  "A foreign hardware address that answers for an address vetoes the takeover.",
		edits: edits{silenceGo("case in.Foreign:\n", "case false:\n")},
	},
	{
		name: "unsent-probe-counts-as-silent", rings: "transcripts",
		rule:  "A probe that could not leave proves nothing; only several in a row are passed over.",
		edits: edits{silenceGo("m.prob.silent = m.prob.unsent >= unsentProbes", "m.prob.silent = true")},
	},
	{
		name: "second-look-is-not-obeyed", rings: "transcripts",
		rule:  "An entry whose gate is still closed is given up if somebody answers the probe.",
		edits: edits{silenceGo("case m.state.Owns() && in.Foreign && m.own.gate != gateOpen:", "case false:")},
	},
	{
		name: "gate-opens-without-a-second-look", rings: "transcripts",
		rule:  "If the addresses took long, the network is asked again before the gate opens.",
		edits: edits{ownGo("if m.needsProbe() {", "if false {")},
	},
	{
		name: "takes-from-any-idle-peer-that-is-deaf", rings: "transcripts",
		rule:  "In mode lease a deaf peer is taken from at once only if it says that it is ISOLATED.",
		edits: edits{silenceGo("p.said.State == Isolated && p.said.Accept", "!p.said.State.Owns() && p.said.Accept")},
	},
	{
		name: "takes-from-an-isolated-peer-that-hears", rings: "transcripts",
		rule:  "An ISOLATED peer is taken from only when it has been deaf for longer than it needs to leave that state.",
		edits: edits{silenceGo(" && m.now.Since(p.ackAt) > m.cfg.Dead+m.cfg.Ack", "")},
	},
	{
		name: "takes-from-an-isolated-peer-of-long-ago", rings: "transcripts",
		rule:  "That a peer is ISOLATED counts only while it is heard.",
		edits: edits{silenceGo(" && m.silence() <= m.cfg.Dead && m.now.Since(p.ackAt)", " && m.now.Since(p.ackAt)")},
	},
	{
		name: "claims-against-another-configuration", rings: "transcripts",
		rule:  "No CLAIM to a peer whose configuration differs.",
		edits: edits{claimGo("if !p.said.Accept || p.said.FenceMe ||", "if p.said.FenceMe ||")},
	},
	{
		name: "claims-from-a-peer-that-asks-to-be-fenced", rings: "transcripts",
		rule:  "A peer that could not stop a service is fenced, not claimed from.",
		edits: edits{claimGo("|| p.said.FenceMe ||", "||")},
	},
	{
		name: "passive-node-claims", rings: "transcripts",
		rule:  "A passive node claims nothing.",
		edits: edits{claimGo("|| m.rank() == 0 ||", "||")},
	},
	{
		name: "claims-against-its-promise", rings: "transcripts",
		rule:  "Who said GRANT or RELEASED claims nothing until the promise is over.",
		edits: edits{claimGo("if m.now < max(m.hold.until, m.bid.rest) ||", "if m.now < m.bid.rest ||")},
	},
	{
		name: "both-claim-at-once", rings: "transcripts",
		rule:  "Of two fit nodes only the preferred one claims.",
		edits: edits{claimGo("return m.cfg.Preferred", "return true")},
	},
	{
		name: "the-less-fit-claims", rings: "transcripts",
		rule:  "The fitter node claims.",
		edits: edits{claimGo("return mine > theirs", "return mine < theirs")},
	},
	{
		name: "claim-without-end", rings: "transcripts",
		rule:  "A CLAIM that is not answered is abandoned.",
		edits: edits{claimGo("|| m.now.Since(m.bid.at) > m.takeAfter() {", "{")},
	},
	{
		name: "claim-goes-on-although-the-peer-speaks", rings: "transcripts",
		rule:  "A claim that rests on silence ends with the first frame of the peer.",
		edits: edits{heardGo("if m.bid.on && !m.bid.negotiated {", "if false {")},
	},
}
