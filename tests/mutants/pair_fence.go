package main

// pairFence are the rules of switching the peer off.
var pairFence = []mutant{
	{
		name: "fences-without-contact-or-token", rings: "transcripts",
		rule:  "A node fences only after contact, or with its one boot token.",
		edits: edits{fenceGo("return m.peer.contact || m.fenc.right || m.fenc.token", "return true")},
	},
	{
		name: "token-is-not-spent", rings: "transcripts loop",
		rule:  "A fence without contact spends the boot token first.",
		edits: edits{fenceGo("token := !m.peer.contact && !f.right", "token := false")},
	},
	{
		name: "token-of-the-journal-is-ignored", rings: "transcripts",
		rule:  "A spent boot token stays spent after a restart.",
		edits: edits{bootGo("m.fenc.token = in.Token", "m.fenc.token = true")},
	},
	{
		name: "passive-node-fences", rings: "transcripts",
		rule:  "A passive node fences nobody.",
		edits: edits{fenceGo("if !m.cfg.HasFence || m.rank() == 0 || m.fenc.running", "if !m.cfg.HasFence || m.fenc.running")},
	},
	{
		name: "lonely-node-fences-a-server", rings: "transcripts",
		rule:  "In mode lease a peer that serves behind cut links is not fenced.",
		edits: edits{fenceGo("if lonely && !m.probeSilent() {", "if false {")},
	},
	{
		name: "lonely-node-does-not-wait", rings: "transcripts",
		rule:  "In mode lease a lonely node waits for the boot time before it fences.",
		edits: edits{fenceGo("alone && silence > m.cfg.Init", "alone && silence > m.cfg.Dead")},
	},
	{
		name: "boot-does-not-wait-before-it-fences", rings: "transcripts",
		rule:  "A node that boots waits for the boot time before it fences.",
		edits: edits{fenceGo("turn := m.cfg.Init - m.cfg.Dead\n", "turn := time.Duration(0)\n")},
	},
	{
		name: "standby-races-the-owner", rings: "transcripts",
		rule:  "A standby gives the owner the race time before it fences.",
		edits: edits{fenceGo("return why, silence > m.cfg.Dead && m.inTurn(m.fenceTurn())", "return why, silence > m.cfg.Dead")},
	},
	{
		name: "fallen-lines-hurry", rings: "transcripts",
		rule:  "Modem lines that fell hurry no fence: one hand can pull every cable, and the owner fences at once.",
		edits: edits{fenceGo("why += \", its modem lines fell\"", "return why + \", its modem lines fell\", silence > m.cfg.Dead")},
	},
	{
		name: "fence-begins-late-in-a-turn", rings: "transcripts",
		rule:  "What is decided late in a turn waits for the next: its end would be in another's turn.",
		edits: edits{fenceGo("over > 0 && over%(fenceTurns*m.cfg.Race) <= m.cfg.FenceSpare/2", "over > 0")},
	},
	{
		name: "turns-begin-anew-with-each-silence", rings: "transcripts",
		rule:  "The turns count from when the nodes lost each other: a deaf peer that falls silent has counted on.",
		edits: edits{heardGo("if m.peer.lostFrom == 0 || !m.peer.contact {", "if m.silence() > m.cfg.Dead || !m.peer.contact {")},
	},
	{
		name: "turns-begin-anew-with-the-first-frame", rings: "transcripts",
		rule:  "A peer that speaks up without hearing has counted its turns since it fell silent.",
		edits: edits{heardGo("\t\t\tp.lostFrom = p.heardAt\n", "")},
	},
	{
		name: "owner-fences-who-was-just-found", rings: "transcripts",
		rule:  "An owner fences nobody within a race time of their finding each other: an order of before may be under way.",
		edits: edits{fenceGo("p.foundAt != 0 && m.now.Since(p.foundAt) <= m.cfg.Race", "p.foundAt != 0 && m.now < p.foundAt")},
	},
	{
		name: "turn-beside-a-booting-peer-is-the-usual-one", rings: "transcripts",
		rule:  "A peer that was last heard to boot may know of no contact: the turn meets neither of those it may have.",
		edits: edits{fenceGo("\t\tturn = m.bootTurn()\n", "")},
	},
	{
		name: "failed-fence-outlives-contact", rings: "transcripts",
		rule:  "Contact ends the wait after a fence that failed: the next silence has turns of its own.",
		edits: edits{fenceGo("\t\t\t\tm.fenc.next = 0\n", "")},
	},
	{
		name: "flicker-puts-turns-out-of-step", rings: "transcripts",
		rule:  "The nodes count on through a contact that did not last: the other one may not have noticed.",
		edits: edits{heardGo("case m.now.Since(p.foundFrom) > m.cfg.Dead+m.cfg.Beat:", "default:"), heardGo("\t\tp.foundFrom = m.now\n", "\t\tp.lostFrom = 0\n")},
	},
	{
		name: "two-flickers-make-a-contact", rings: "transcripts",
		rule:  "A silence ends a contact: one frame before it and one after it are not one that lasted.",
		edits: edits{heardGo("\t\tp.foundFrom = 0\n\t\tif p.lostFrom", "\t\tif p.lostFrom")},
	},
	{
		name: "each-hiccup-costs-the-owner-its-turn", rings: "transcripts",
		rule:  "Only a loss in which the peer may have had a turn keeps the owner from fencing at once.",
		edits: edits{heardGo("if p.foundFrom.Since(p.lostFrom) >= min(m.cfg.Race, m.cfg.Init)-m.cfg.Dead-m.cfg.Beat {", "if true {")},
	},
	{
		name: "peer-that-stood-still-is-fenced", rings: "transcripts",
		rule:  "One frame may be stale because its sender stood still: deafness must last before the owner fences.",
		edits: edits{fenceGo("m.deafFor() > m.cfg.Dead && m.inTurn(0)", "m.inTurn(0)")},
	},
	{
		name: "both-boot-and-fence", rings: "transcripts",
		rule:  "Of two nodes that boot behind cut links the higher id leaves the lower one the race time.",
		edits: edits{fenceGo("\tif !m.cfg.LowerID {\n\t\tturn += m.cfg.Race\n\t}\n\treturn turn", "\treturn turn")},
	},
	{
		name: "fence-retried-in-anothers-turn", rings: "transcripts",
		rule:  "A failed fence is tried again in this node's turn.",
		edits: edits{fenceGo("f.next = f.began.Add(", "_ = f.began.Add(")},
	},
	{
		name: "no-turns-without-an-owner", rings: "transcripts",
		rule:  "Two nodes of which neither owns nor is armed have turns by their ids.",
		edits: edits{fenceGo("turn := 2 * m.cfg.Race\n\tif !m.cfg.LowerID {\n\t\tturn += m.cfg.Race\n", "turn := 2 * m.cfg.Race\n\tif !m.cfg.LowerID {\n")},
	},
	{
		name: "second-group-fences-beside-the-first", rings: "transcripts",
		rule:  "The machine of a second group acts only if the first group's does not.",
		edits: edits{fenceGo("m.fenc.next = max(m.fenc.next, m.now.Add((fenceTurns+1)*m.cfg.Race))", "")},
	},
	{
		name: "barred-node-fences", rings: "transcripts",
		rule:  "A node that may not fence, since its wiring was never verified or its budget is used up, fences nobody.",
		edits: edits{fenceGo("if m.fenc.barred != \"\" {\n\t\tm.alarm(", "if false {\n\t\tm.alarm(")},
	},
	{
		name: "barred-node-is-armed", rings: "transcripts",
		rule:  "A node that may not fence is not armed in mode fence.",
		edits: edits{heardGo("|| m.passive() || m.cannotProve() ||", "|| m.passive() ||")},
	},
	{
		name: "armed-node-stays-so-when-barred", rings: "transcripts",
		rule:  "A node that loses its leave to fence is no longer armed.",
		edits: edits{fenceGo("if m.state == Armed && m.cannotProve() {", "if false {")},
	},
	{
		name: "bar-of-the-start-is-ignored", rings: "transcripts",
		rule:  "A node that may not fence knows it from its start.",
		edits: edits{bootGo("\tm.fenc.barred = in.Barred\n", "")},
	},
	{
		name: "budget-has-no-end", rings: "transcripts",
		rule:  "A node that switched its peer off too often does it no more.",
		edits: edits{budgetGo("return b.Most > 0 && len(b.Left) >= b.Most", "return false")},
	},
	{
		name: "owner-fences-a-passive-peer", rings: "transcripts",
		rule:  "An owner does not fence a peer that said it takes nothing.",
		edits: edits{fenceGo("if m.state == Solo || m.peerCannotOwn() || !m.peer.contact ||", "if m.state == Solo || !m.peer.contact ||")},
	},
	{
		name: "owner-fences-a-peer-it-never-met", rings: "transcripts",
		rule:  "An owner does not fence a peer that it was never in contact with.",
		edits: edits{fenceGo("|| !m.peer.contact || m.cfg.Index", "|| m.cfg.Index")},
	},
	{
		name: "both-first-group-owners-fence-at-once", rings: "transcripts",
		rule:  "With two groups only the owner of the first fences without delay.",
		edits: edits{fenceGo("!m.peer.contact || m.cfg.Index != 0 {", "!m.peer.contact {")},
	},
	{
		name: "standby-tells-the-owner-of-its-fence", rings: "transcripts loop",
		rule:  "A standby does not announce its fence: the owner may be right, and would close.",
		edits: edits{fenceGo("if owns && !f.warned {", "if !f.warned {")},
	},
	{
		name: "proof-of-an-older-fence-counts", rings: "transcripts",
		rule:  "Only the end of the fence under way counts.",
		edits: edits{fenceGo("if !f.running || in.Ticket != f.ticket {", "if !f.running {")},
	},
	{
		name: "proof-of-a-cancelled-fence-counts", rings: "transcripts",
		rule:  "The end of a fence that was withdrawn does not count.",
		edits: edits{fenceGo("if !f.running || in.Ticket != f.ticket {", "if in.Ticket != f.ticket {")},
	},
	{
		name: "unproven-fence-counts", rings: "transcripts",
		rule:  "A fence counts only with proof of power off.",
		edits: edits{fenceGo("if in.Proven && same {", "if same {")},
	},
	{
		name: "peer-that-rebooted-meanwhile-counts-as-off", rings: "transcripts",
		rule:  "A proof does not count if the peer began a new session meanwhile.",
		edits: edits{fenceGo("if in.Proven && same {", "if in.Proven || in.Proven && same {")},
	},
	{
		name: "unproven-fence-of-another-group-counts", rings: "transcripts",
		rule:  "What another group's fence found counts only with proof.",
		edits: edits{fenceGo("if !in.Proven || m.silence() <= m.cfg.Dead ||", "if m.silence() <= m.cfg.Dead ||")},
	},
	{
		name: "fence-of-another-group-kills-the-living", rings: "transcripts",
		rule:  "Another group's proof does not count while the peer is heard.",
		edits: edits{fenceGo("if !in.Proven || m.silence() <= m.cfg.Dead ||", "if !in.Proven ||")},
	},
	{
		name: "passive-node-enters-by-another-groups-fence", rings: "transcripts",
		rule:  "A passive node does not enter by another group's proof.",
		edits: edits{fenceGo("|| m.rank() == 0 || !m.mayFence() || m.state == Solo {", "|| !m.mayFence() || m.state == Solo {")},
	},
	{
		name: "dead-session-is-not-remembered", rings: "transcripts",
		rule:  "Frames of before the proven power-off, still in buffers, are ignored.",
		edits: edits{fenceGo("\tm.peer.deadID, m.peer.deadKnown = m.peer.session, m.peer.known\n", "")},
	},
	{
		name: "failed-fence-is-tried-without-a-pause", rings: "transcripts",
		rule: "A fence that failed is tried again after a pause that grows.",
		edits: edits{
			fenceGo("m.now < m.fenc.next && !contact || !m.mayFence()", "!m.mayFence()"),
			fenceGo("if m.now < m.fenc.next {", "if false {"),
		},
	},
	{
		name: "confirmed-though-heard", rings: "transcripts",
		rule:  "An operator's word that the peer is dead does not count while it is heard.",
		edits: edits{operatorGo("case m.silence() <= m.cfg.Dead:\n\t\tm.answer(false, \"the peer was heard", "case false:\n\t\tm.answer(false, \"the peer was heard")},
	},
	{
		name: "confirmed-though-vetoed", rings: "transcripts",
		rule:  "An operator's word does not count while somebody answers for an address, unless forced.",
		edits: edits{operatorGo("case m.alarmed(alarmVeto) && !in.Force:", "case false:")},
	},
	{
		name: "passive-node-enters-by-confirmation", rings: "transcripts",
		rule:  "A passive node does not enter by an operator's word.",
		edits: edits{operatorGo("case m.rank() == 0:\n\t\tm.answer(false, \"this node cannot take group %s: %s\", m.cfg.Group, m.whyNot())\n\tdefault:\n\t\tm.answer(true, \"taking", "case false:\n\tdefault:\n\t\tm.answer(true, \"taking")},
	},
}
