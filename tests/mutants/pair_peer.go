package main

// pairPeer are the rules of what the peer's frames prove, of arming, conflicts,
// promises and entries by the peer's word.
var pairPeer = []mutant{
	{
		name: "frame-of-a-dead-session-counts", rings: "transcripts",
		rule:  "A frame of the session that was proven off proves nothing.",
		edits: edits{heardGo("if p.deadKnown && in.Session == p.deadID {", "if false {")},
	},
	{
		name: "older-copy-counts", rings: "transcripts",
		rule:  "A frame that a newer one overtook says nothing of the peer's state.",
		edits: edits{heardGo("old := in.Counter != 0 && in.Counter < p.counter", "old := false")},
	},
	{
		name: "late-claim-is-not-heard", rings: "transcripts",
		rule:  "A CLAIM of a deaf peer counts although a newer frame overtook it.",
		edits: edits{heardGo("if in.Kind == Claim && m.state.Owns() && in.EchoSentAt == 0 {", "if false {")},
	},
	{
		name: "queued-frame-counts-as-new", rings: "transcripts",
		rule:  "A frame counts from when it was sent, not from when it was read.",
		edits: edits{heardGo("m.now.Add(-in.SentAgo)", "m.now")},
	},
	{
		name: "arrival-proves-contact", rings: "transcripts",
		rule:  "Contact is proven by the echo of what this node sent a moment ago, never by arrival.",
		edits: edits{heardGo("p.ackAt = max(p.ackAt, in.EchoSentAt)", "p.ackAt = m.now")},
	},
	{
		name: "old-echo-proves-contact", rings: "transcripts",
		rule:  "An echo older than the acknowledgement time is no two-way contact.",
		edits: edits{heardGo("fresh := in.EchoSentAt != 0 && m.now.Since(in.EchoSentAt) <= m.cfg.Ack", "fresh := in.EchoSentAt != 0")},
	},
	{
		name: "one-way-is-contact", rings: "transcripts",
		rule:  "A frame that echoes nothing is no two-way contact.",
		edits: edits{heardGo("fresh := in.EchoSentAt != 0 && m.now.Since(in.EchoSentAt) <= m.cfg.Ack", "fresh := in.EchoSentAt == 0 || m.now.Since(in.EchoSentAt) <= m.cfg.Ack")},
	},
	{
		name: "deafness-is-not-noticed", rings: "transcripts",
		rule:  "A peer that speaks and does not hear is told from one that hears.",
		edits: edits{heardGo("if m.now.Since(max(p.ackAt, p.sessionAt, m.enteredAt)) <= m.cfg.Dead {", "if true {")},
	},
	{
		name: "isolated-leaves-by-an-old-echo", rings: "transcripts",
		rule:  "ISOLATED ends by contact of after it began.",
		edits: edits{heardGo("if m.state == Isolated && p.said.EchoSentAt >= m.since {", "if m.state == Isolated {")},
	},
	{
		name: "fence-goes-on-although-the-peer-speaks", rings: "transcripts",
		rule:  "A standby that hears the peer again abandons the fence.",
		edits: edits{heardGo("if m.state == Fencing && !m.peer.said.FenceMe {", "if false {")},
	},
	{
		name: "owner-fences-a-peer-in-contact", rings: "transcripts",
		rule:  "An owner abandons the fence when the peer hears it again.",
		edits: edits{heardGo("if m.fenc.running && m.state.Owns() {", "if false {")},
	},
	{
		name: "notice-of-a-fence-is-ignored", rings: "transcripts",
		rule:  "Who is told that it will be switched off closes its gate at once.",
		edits: edits{heardGo("if in.Kind == FenceNotice {", "if false {")},
	},
	{
		name: "claim-is-not-heard", rings: "transcripts",
		rule:  "A CLAIM is answered.",
		edits: edits{heardGo("\tif in.Kind == Claim {", "\tif false {")},
	},
	{
		name: "conflict-is-not-noticed", rings: "transcripts",
		rule:  "An owner that hears an owner closes its gate.",
		edits: edits{heardGo("\tif m.state.Owns() {\n\t\tm.conflict(in)\n\t\treturn\n\t}\n", "")},
	},
	{
		name: "winner-of-a-conflict-stays-open", rings: "transcripts",
		rule:  "Both owners of a conflict close; the newer one claims again.",
		edits: edits{heardGo("m.vacate(Standby, seen, \"both own: close, then claim again\")", "_ = seen")},
	},
	{
		name: "both-win-a-tie", rings: "transcripts",
		rule:  "Of two owners of the same term the lower id wins.",
		edits: edits{heardGo("m.ownTerm == in.Term && m.cfg.LowerID", "m.ownTerm == in.Term")},
	},
	{
		name: "the-older-term-wins", rings: "transcripts",
		rule:  "Of two owners the one of the higher term wins.",
		edits: edits{heardGo("won := m.ownTerm > in.Term ||", "won := m.ownTerm < in.Term ||")},
	},
	{
		name: "solo-does-not-disarm", rings: "transcripts",
		rule:  "A standby whose owner is SOLO is not armed: that owner does not count on it.",
		edits: edits{heardGo("if fresh && (in.State == Solo || !in.Accept) {", "if fresh && !in.Accept {")},
	},
	{
		name: "difference-does-not-disarm", rings: "transcripts",
		rule:  "A standby whose owner has another configuration is not armed.",
		edits: edits{heardGo("if fresh && (in.State == Solo || !in.Accept) {", "if fresh && in.State == Solo {")},
	},
	{
		name: "idle-peer-does-not-disarm", rings: "transcripts",
		rule:  "A standby whose peer does not own any more is not armed.",
		edits: edits{heardGo("\tif m.state == Armed {\n\t\tm.to(Standby, m.peerLine(), \"the peer does not own the group\", \"agree who takes it\")\n\t}\n", "")},
	},
	{
		name: "arms-one-way", rings: "transcripts",
		rule:  "A standby arms only in two-way contact.",
		edits: edits{heardGo("if !fresh || in.State == Solo", "if in.State == Solo")},
	},
	{
		name: "arms-against-a-lonely-owner", rings: "transcripts",
		rule:  "A standby does not arm while the owner is SOLO.",
		edits: edits{heardGo("if !fresh || in.State == Solo || !in.Accept", "if !fresh || !in.Accept")},
	},
	{
		name: "arms-with-another-configuration", rings: "transcripts",
		rule:  "A standby does not arm while the configurations differ.",
		edits: edits{heardGo("in.State == Solo || !in.Accept || m.passive()", "in.State == Solo || m.passive()")},
	},
	{
		name: "arms-while-passive", rings: "transcripts",
		rule:  "A passive node does not arm.",
		edits: edits{heardGo("|| m.passive() || m.cannotProve() || in.EchoSentAt < able {", "|| in.EchoSentAt < able {")},
	},
	{
		name: "arms-before-the-owner-knows", rings: "transcripts",
		rule:  "A node that became able arms only once the owner knows of it.",
		edits: edits{heardGo("|| m.passive() || m.cannotProve() || in.EchoSentAt < able {", "|| m.passive() || able < 0 {")},
	},
	{
		name: "arms-by-an-echo-of-before-it-stood-by", rings: "transcripts",
		rule:  "A node arms by an echo of what it sent since it stands by.",
		edits: edits{heardGo("able := max(m.since, m.own.ableFrom)", "able := m.own.ableFrom")},
	},
	{
		name: "solo-lasts-in-contact", rings: "transcripts",
		rule:  "SOLO ends with two-way contact to a peer that could own.",
		edits: edits{heardGo("if m.state == Solo && in.EchoSentAt > m.since && !m.peerCannotOwn() {", "if false {")},
	},
	{
		name: "solo-beside-a-fit-peer", rings: "transcripts",
		rule:  "An owner is SOLO only if the peer cannot own.",
		edits: edits{heardGo("if m.state == Active && m.peerCannotOwn() {", "if m.state == Active {")},
	},
	{
		name: "owner-grants", rings: "transcripts",
		rule:  "An owner grants nothing.",
		edits: edits{heardGo("\tcase m.state.Owns():\n\t\tm.doubt()\n", "")},
	},
	{
		name: "owner-doubts-in-fence-mode", rings: "transcripts",
		rule:  "In mode fence an owner does not give way to a CLAIM: the peer needs proof anyway.",
		edits: edits{heardGo("case m.state.Owns() && m.cfg.Mode == ModeFence:", "case false:")},
	},
	{
		name: "grants-though-a-service-runs", rings: "transcripts",
		rule:  "A node that asks to be fenced grants nothing.",
		edits: edits{heardGo("case m.own.fenceMe:", "case false:")},
	},
	{
		name: "both-grant-crossed-claims", rings: "transcripts",
		rule:  "Of two CLAIMs that cross the lower id's wins.",
		edits: edits{heardGo("case m.bid.on && m.bid.negotiated && m.cfg.LowerID:", "case false:")},
	},
	{
		name: "neither-grants-crossed-claims", rings: "transcripts",
		rule:  "Of two CLAIMs that cross the higher id grants.",
		edits: edits{heardGo("case m.bid.on && m.bid.negotiated && m.cfg.LowerID:", "case m.bid.on && m.bid.negotiated:")},
	},
	{
		name: "grants-without-a-promise", rings: "transcripts",
		rule:  "Who grants takes nothing itself for a while.",
		edits: edits{heardGo("\tm.promise()\n\tm.do(Send{Grant})", "\tm.do(Send{Grant})")},
	},
	{
		name: "grants-and-stays-armed", rings: "transcripts",
		rule:  "Who grants is not armed any more.",
		edits: edits{heardGo("\tif m.state == Armed {\n\t\tm.to(Standby, \"CLAIM: \"", "\tif false {\n\t\tm.to(Standby, \"CLAIM: \"")},
	},
	{
		name: "promise-is-too-short", rings: "transcripts",
		rule:  "A promise outlasts every use of the GRANT or RELEASED that it stands behind.",
		edits: edits{heardGo("m.hold.until = m.now.Add(2 * m.takeAfter())", "m.hold.until = m.now.Add(m.cfg.Beat)")},
	},
	{
		name: "answers-of-before-the-promise-count", rings: "transcripts",
		rule:  "Answers to what was sent before this node gave the group away are void.",
		edits: edits{heardGo("\tm.hold.gave = m.now\n", "")},
	},
	{
		name: "promise-ends-by-an-old-frame", rings: "transcripts",
		rule:  "A promise ends only when the peer, having heard of it, owns the group.",
		edits: edits{heardGo("if in.EchoSentAt != 0 && in.EchoSentAt >= m.hold.gave {", "if true {")},
	},
	{
		name: "grant-to-an-older-claim-counts", rings: "transcripts",
		rule:  "A GRANT counts for the CLAIM of this round only.",
		edits: edits{heardGo("in.EchoSentAt >= max(after, m.hold.gave) &&", "in.EchoSentAt >= m.hold.gave &&")},
	},
	{
		name: "old-grant-counts", rings: "transcripts",
		rule:  "GRANT and RELEASED count for a moment only.",
		edits: edits{heardGo("&& in.EchoSentAt >= max(after, m.hold.gave) && m.now.Since(in.EchoSentAt) <= m.cfg.Dead", "&& in.EchoSentAt >= max(after, m.hold.gave)")},
	},
	{
		name: "grant-without-a-claim-counts", rings: "transcripts",
		rule:  "A GRANT that nobody asked for is ignored.",
		edits: edits{heardGo("if !m.bid.on || !m.mayEnter()", "if !m.mayEnter()")},
	},
	{
		name: "enters-by-release-against-its-promise", rings: "transcripts",
		rule:  "Who promised the group away does not enter by RELEASED.",
		edits: edits{heardGo("} else if m.now < m.hold.until {", "} else if false {")},
	},
	{
		name: "old-release-counts", rings: "transcripts",
		rule:  "RELEASED and GOODBYE count only if they echo what was sent a moment ago.",
		edits: edits{heardGo("if !fresh || !in.Accept || !m.mayEnter() || in.State.Owns() || in.Term < m.term || !m.current(in, 0) {", "if !in.Accept || !m.mayEnter() || in.State.Owns() || in.Term < m.term {")},
	},
	{
		name: "release-of-an-older-ownership-counts", rings: "transcripts",
		rule:  "RELEASED of a term below the highest seen is of an older ownership.",
		edits: edits{heardGo("|| in.Term < m.term || !m.current", "|| !m.current")},
	},
	{
		name: "release-of-an-owner-counts", rings: "transcripts",
		rule:  "RELEASED of a peer that says it owns is a contradiction and ignored.",
		edits: edits{heardGo("!m.mayEnter() || in.State.Owns() || in.Term", "!m.mayEnter() || in.Term")},
	},
	{
		name: "enters-with-another-configuration", rings: "transcripts",
		rule:  "RELEASED of a peer with another configuration is ignored.",
		edits: edits{heardGo("if !fresh || !in.Accept || !m.mayEnter()", "if !fresh || !m.mayEnter()")},
	},
	{
		name: "passive-node-enters", rings: "transcripts",
		rule:  "A passive node enters by nobody's word.",
		edits: edits{heardGo("return (m.state == Standby || m.state == Armed) && m.rank() > 0", "return m.state == Standby || m.state == Armed")},
	},
	{
		name: "maintenance-is-not-passive", rings: "transcripts",
		rule:  "A node in maintenance is passive.",
		edits: edits{ownGo("return m.own.maintenance || m.own.fencedLast || m.own.stopping || m.state == Failed || m.state == Maintenance", "return m.own.fencedLast || m.own.stopping || m.state == Failed")},
	},
	{
		name: "stopping-is-not-passive", rings: "transcripts",
		rule:  "A node whose agent is stopping is passive.",
		edits: edits{ownGo("|| m.own.stopping || m.state == Failed", "|| m.state == Failed")},
	},
	{
		name: "failed-is-not-passive", rings: "transcripts",
		rule:  "A FAILED node is passive.",
		edits: edits{ownGo("|| m.own.stopping || m.state == Failed || m.state", "|| m.own.stopping || m.state")},
	},
	{
		name: "failed-node-forgives-itself", rings: "transcripts",
		rule:  "A node that was told of a fence waits until it evidently did not happen.",
		edits: edits{heardGo("|| m.now.Since(m.since) <= max(m.cfg.Race, m.cfg.Init) {", "{")},
	},
	{
		name: "node-that-asks-to-be-fenced-forgives-itself", rings: "transcripts",
		rule:  "A node that asked to be fenced stays FAILED.",
		edits: edits{heardGo("if !m.alarmed(alarmNotice) || m.own.fenceMe ||", "if !m.alarmed(alarmNotice) ||")},
	},
	{
		name: "failed-node-comes-back-without-contact", rings: "transcripts",
		rule:  "FAILED ends by itself only in two-way contact.",
		edits: edits{heardGo("if m.twoWay() && m.peer.ackAt > m.since {\n\t\tm.alarm(alarmNotice", "if true {\n\t\tm.alarm(alarmNotice")},
	},
}
