package main

// pairOwner are the rules of an owner: the lease, the gate, its services, the
// start and the invariants.
var pairOwner = []mutant{
	{
		name: "unacknowledged-owner-stays", rings: "transcripts",
		rule:  "In mode lease an owner that nobody acknowledges steps down.",
		edits: edits{activeGo("if m.unacked() {", "if false {")},
	},
	{
		name: "unacknowledged-owner-renews", rings: "transcripts",
		rule:  "In mode lease nothing is renewed for longer than the acknowledgement counts.",
		edits: edits{activeGo("return now.Since(m.peer.ackAt) <= m.cfg.Ack\n\t}\n\treturn true", "return true\n\t}\n\treturn true")},
	},
	{
		name: "owner-in-doubt-renews", rings: "transcripts",
		rule:  "From a CLAIM on nothing is renewed until the peer is known to hear.",
		edits: edits{activeGo("!m.state.Owns() || m.own.doubtAt != 0 {\n\t\treturn false\n\t}\n\tif m.evidence", "!m.state.Owns() {\n\t\treturn false\n\t}\n\tif m.evidence")},
	},
	{
		name: "owner-in-doubt-stays-open", rings: "transcripts",
		rule:  "A doubt that is not ended closes the gate before the claimant takes.",
		edits: edits{activeGo("if m.own.doubtAt != 0 && m.now.Since(m.own.doubtAt) >= m.doubtFor() {", "if false {")},
	},
	{
		name: "doubt-lasts-until-the-takeover", rings: "transcripts",
		rule:  "A doubt ends well before the claimant takes.",
		edits: edits{heardGo("return (m.takeAfter() - m.cfg.Dead) / 4", "return m.takeAfter() - m.cfg.Dead")},
	},
	{
		name: "claim-ends-its-own-doubt", rings: "transcripts",
		rule:  "Another CLAIM does not end the doubt.",
		edits: edits{heardGo("|| in.Kind == Claim || in.EchoSentAt < m.own.doubtAt", "|| in.EchoSentAt < m.own.doubtAt")},
	},
	{
		name: "old-echo-ends-the-doubt", rings: "transcripts",
		rule:  "Only the echo of what was sent after the CLAIM ends the doubt.",
		edits: edits{heardGo("|| in.EchoSentAt < m.own.doubtAt ||", "||")},
	},
	{
		name: "claim-in-a-handover-is-waited-out", rings: "transcripts",
		rule:  "A CLAIM in a handover, or before the gate is open, ends the ownership at once.",
		edits: edits{heardGo("case m.state == Releasing || m.own.gate != gateOpen:", "case false:")},
	},
	{
		name: "unheard-owner-stays", rings: "transcripts",
		rule:  "In mode silence an owner gives way to an armed peer that speaks but does not hear it.",
		edits: edits{activeGo("if m.notHeard() {", "if false {")},
	},
	{
		name: "adopted-lease-is-renewed-at-once", rings: "transcripts loop",
		rule:  "An adopted lease is not renewed before two-way contact: a CLAIM cannot be heard yet.",
		edits: edits{activeGo("if m.evidence == EvidenceAdopted && m.cfg.Mode != ModeFence && !m.peer.contact {", "if false {")},
	},
	{
		name: "sleeper-keeps-the-group", rings: "transcripts",
		rule:  "An owner whose process stood still for longer than its lease gives the group up.",
		edits: edits{activeGo("case m.state.Owns() && long:", "case false:")},
	},
	{
		name: "sleeper-stays-armed", rings: "transcripts",
		rule:  "A standby whose process stood still for long is not armed any more.",
		edits: edits{activeGo("case (m.state == Armed || m.state == Fencing) && long:", "case false:")},
	},
	{
		name: "sleeper-judges-silence", rings: "transcripts",
		rule:  "After a stall no silence is judged for a beat: frames may wait.",
		edits: edits{activeGo("\tm.peer.listen = m.now.Add(m.cfg.Beat)\n", "")},
	},
	{
		name: "sleeper-does-not-listen", rings: "transcripts",
		rule:  "While frames may wait from a stall the peer counts as heard.",
		edits: edits{heardGo("if m.now < m.peer.listen {", "if false {")},
	},
	{
		name: "sleeper-takes-without-a-claims-time", rings: "transcripts",
		rule:  "After a stall a CLAIM has its whole time before the takeover.",
		edits: edits{silenceGo("return max(m.peer.heardAt.Add(d), m.peer.listen.Add(m.takeAfter()-m.cfg.Dead))", "return m.peer.heardAt.Add(d)")},
	},
	{
		name: "probe-of-before-the-stall-counts", rings: "transcripts",
		rule:  "What a probe found before a stall is void.",
		edits: edits{activeGo("\tm.prob.silent = false\n\tseen", "\tseen")},
	},
	{
		name: "claim-of-before-the-stall-goes-on", rings: "transcripts",
		rule:  "A claim of before a stall is void, and so is its probe.",
		edits: edits{activeGo("\tm.endBid()\n\tm.prob.silent", "\tm.prob.silent")},
	},
	{
		name: "lapsed-lease-is-granted-again", rings: "transcripts",
		rule:  "A lease that ran out is not granted again: the peer may have the group.",
		edits: edits{activeGo("if in.Stranger && m.mayRegrant() {", "if m.mayRegrant() {")},
	},
	{
		name: "lost-lease-changes-nothing", rings: "transcripts",
		rule:  "An owner whose lease is gone gives the group up.",
		edits: edits{activeGo("\tm.giveUp(m.afterLoss(), \"the kernel lease is gone\", \"the peer may take over\")\n", "")},
	},
	{
		name: "regrants-in-a-handover", rings: "transcripts",
		rule:  "A lease that a stranger took in a handover is not granted again.",
		edits: edits{activeGo("if m.state == Releasing || m.own.doubtAt != 0 ||", "if m.own.doubtAt != 0 ||")},
	},
	{
		name: "regrants-in-doubt", rings: "transcripts",
		rule:  "A lease that a stranger took is not granted again in doubt.",
		edits: edits{activeGo("if m.state == Releasing || m.own.doubtAt != 0 ||", "if m.state == Releasing ||")},
	},
	{
		name: "regrants-though-the-peer-owns", rings: "transcripts",
		rule:  "A lease that a stranger took is not granted again if the peer was heard to own.",
		edits: edits{activeGo("|| m.own.doubtAt != 0 || p.said.State.Owns() && m.silence() <= m.cfg.Takeover {", "|| m.own.doubtAt != 0 {")},
	},
	{
		name: "regrants-what-it-adopted", rings: "transcripts",
		rule:  "An adopted lease that is gone before contact ran out by itself, and is not granted again.",
		edits: edits{activeGo("if m.evidence == EvidenceAdopted && m.cfg.Mode != ModeFence && !p.contact {", "if false {")},
	},
	{
		name: "regrants-unacknowledged", rings: "transcripts",
		rule:  "In mode lease a lease that a stranger took is granted again only while acknowledged.",
		edits: edits{activeGo("return m.cfg.Mode != ModeLease || m.state == Solo || m.now.Since(p.ackAt) <= m.cfg.Ack", "return true")},
	},
	{
		name: "loser-of-a-lease-stands-by", rings: "transcripts",
		rule:  "Outside mode fence a node whose lease lapsed is ISOLATED until contact.",
		edits: edits{activeGo("if m.cfg.Mode == ModeFence {\n\t\treturn Standby", "if true {\n\t\treturn Standby")},
	},
	{
		name: "gate-opens-before-the-addresses", rings: "transcripts",
		rule:  "The gate opens when routes and addresses are there.",
		edits: edits{ownGo("if m.own.addresses != addressesUp || m.own.gate", "if m.own.gate")},
	},
	{
		name: "gate-opens-in-a-handover", rings: "transcripts",
		rule:  "A node that hands the group over opens no gate.",
		edits: edits{ownGo("|| (m.state != Active && m.state != Solo) {\n\t\treturn\n\t}\n\tif m.needsProbe", "|| !m.state.Owns() {\n\t\treturn\n\t}\n\tif m.needsProbe")},
	},
	{
		name: "refused-grant-counts", rings: "transcripts loop",
		rule:  "A gate is open only if the kernel granted the lease.",
		edits: edits{ownGo("\tif in.OK {", "\tif true {")},
	},
	{
		name: "answer-to-an-older-grant-counts", rings: "transcripts",
		rule:  "Only the answer to the grant under way counts.",
		edits: edits{ownGo("if in.Ticket != m.own.grant || m.own.grant == 0 {", "if false {")},
	},
	{
		name: "addresses-of-an-older-entry-count", rings: "transcripts",
		rule:  "Only the addresses of this entry open the gate.",
		edits: edits{ownGo("if in.Ticket != m.own.take || m.own.take == 0 {", "if false {")},
	},
	{
		name: "takes-while-it-still-drops", rings: "transcripts",
		rule:  "Addresses that are being removed are gone before they are taken again.",
		edits: edits{ownGo("if m.own.drop != 0 {", "if false {")},
	},
	{
		name: "starts-while-it-still-stops", rings: "transcripts",
		rule:  "Services that are being stopped are down before they are started again.",
		edits: edits{ownGo("if m.own.stop != 0 {\n\t\treturn // ServicesDown comes first", "if false {\n\t\treturn // ServicesDown comes first")},
	},
	{
		name: "terms-stand-still", rings: "transcripts",
		rule:  "Each entry has a higher term than any seen before.",
		edits: edits{ownGo("\tm.term++\n", "")},
	},
	{
		name: "term-is-not-kept", rings: "transcripts",
		rule:  "The term of an entry is written to the journal.",
		edits: edits{ownGo("\tm.alarm(alarmLease, false, \"\")\n\tm.persist()\n", "\tm.alarm(alarmLease, false, \"\")\n")},
	},
	{
		name: "higher-term-of-the-peer-is-not-kept", rings: "transcripts",
		rule:  "A higher term of the peer is taken over.",
		edits: edits{heardGo("if in.Term > m.term {", "if false {")},
	},
	{
		name: "term-of-the-journal-is-forgotten", rings: "transcripts",
		rule:  "Terms go on after a restart.",
		edits: edits{bootGo("\tm.term = in.Term\n", "")},
	},
	{
		name: "gate-stays-open-at-boot", rings: "transcripts",
		rule:  "The first thing an agent does is to close the gate.",
		edits: edits{bootGo("m.own.gate = gateOpen // unknown: close it", "m.own.gate = gateClosed")},
	},
	{
		name: "leftovers-stay-at-boot", rings: "transcripts",
		rule:  "Services and addresses of an earlier agent are taken down at boot.",
		edits: edits{bootGo("\tm.dropAll()\n", "")},
	},
	{
		name: "silence-counts-from-before-the-boot", rings: "transcripts",
		rule:  "Silence is measured from the start at the earliest.",
		edits: edits{bootGo("\tm.peer.heardAt = m.now\n", "")},
	},
	{
		name: "fenced-node-comes-back-able", rings: "transcripts",
		rule:  "A node that was fenced is passive until two-way contact.",
		edits: edits{bootGo("m.own.fencedLast = in.FencedLast", "m.own.fencedLast = false")},
	},
	{
		name: "maintenance-ends-with-a-reboot", rings: "transcripts",
		rule:  "Maintenance survives a reboot.",
		edits: edits{bootGo("m.own.maintenance = in.Maintenance", "m.own.maintenance = false")},
	},
	{
		name: "fenced-node-adopts", rings: "transcripts",
		rule:  "A node that was fenced adopts nothing.",
		edits: edits{bootGo("&& !in.FencedLast {", "{")},
	},
	{
		name: "node-in-maintenance-adopts", rings: "transcripts",
		rule:  "A node in maintenance adopts nothing.",
		edits: edits{bootGo("in.LeaseHeld && !in.Maintenance &&", "in.LeaseHeld &&")},
	},
	{
		name: "unfit-is-forgotten-at-boot", rings: "transcripts",
		rule:  "Services that failed for good make the node unfit after a restart, too.",
		edits: edits{bootGo("\t\tm.own.unfit = true\n", "")},
	},
	{
		name: "gate-closes-after-the-frames", rings: "transcripts",
		rule:  "Closing the gate comes before all else that a step asks for.",
		edits: edits{ownGo("m.doFirst(CloseGate{})", "m.do(CloseGate{})")},
	},
	{
		name: "gate-stays-open-when-the-group-leaves", rings: "transcripts",
		rule:  "Who leaves ownership closes the gate.",
		edits: edits{releaseGo("\tm.closeGate()\n\tm.cancelFence()", "\tm.cancelFence()")},
	},
	{
		name: "invariant-gate-is-not-checked", rings: "transcripts",
		rule:  "An open gate of a node that does not own ends the process.",
		edits: edits{machineGo("case m.own.gate != gateClosed && !owns:", "case false:")},
	},
	{
		name: "invariant-evidence-is-not-checked", rings: "transcripts",
		rule:  "An owner without evidence ends the process.",
		edits: edits{machineGo("case owns && m.evidence == 0:", "case false:")},
	},
	{
		name: "invariant-armed-is-not-checked", rings: "transcripts",
		rule:  "A node that is armed without contact, or while passive, ends the process.",
		edits: edits{machineGo("case m.state == Armed && (!m.peer.contact || m.passive()):", "case false:")},
	},
	{
		name: "invariant-passive-is-not-checked", rings: "transcripts",
		rule:  "A passive owner ends the process.",
		edits: edits{machineGo("case owns && m.state != Releasing && m.passive():", "case false:")},
	},
	{
		name: "invariant-fence-is-not-checked", rings: "transcripts",
		rule:  "A fence without contact or token ends the process.",
		edits: edits{machineGo("case m.fenc.running && !m.mayFence():", "case false:")},
	},
	{
		name: "invariant-term-is-not-checked", rings: "transcripts",
		rule:  "An own term above the highest seen ends the process.",
		edits: edits{machineGo("case owns && m.ownTerm > m.term:", "case false:")},
	},
	{
		name: "time-may-go-back", rings: "transcripts",
		rule:  "A clock that goes back ends the process.",
		edits: edits{machineGo("if now < m.lastStep {", "if false {")},
	},
	{
		name: "second-entry-is-not-noticed", rings: "transcripts",
		rule:  "An entry of an owner or of a passive node ends the process.",
		edits: edits{ownGo("if m.state.Owns() || m.passive() {", "if false {")},
	},
}
