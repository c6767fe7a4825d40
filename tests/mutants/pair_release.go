package main

// pairRelease are the rules of handing a group over, and of leaving.
var pairRelease = []mutant{
	{
		name: "kept-group-waits-for-addresses-for-ever", rings: "transcripts",
		rule:  "A group that is kept after a release began asks again for addresses that were not up.",
		edits: edits{releaseGo("if m.own.addresses != addressesUp {\n\t\t\tm.takeAddresses()", "if false {\n\t\t\tm.takeAddresses()")},
	},
	{
		name: "released-before-the-services-stopped", rings: "transcripts",
		rule:  "RELEASED is said only when the services are down.",
		edits: edits{releaseGo("\tif m.own.stop == 0 {\n\t\tm.finishRelease()", "\tif true {\n\t\tm.finishRelease()")},
	},
	{
		name: "released-by-an-older-stop", rings: "transcripts",
		rule:  "Only the stop under way ends a handover.",
		edits: edits{ownGo("if in.Ticket != m.own.stop || m.own.stop == 0 {", "if false {")},
	},
	{
		name: "services-run-on-after-a-handover", rings: "transcripts",
		rule:  "Who leaves ownership stops the services.",
		edits: edits{ownGo("\tm.stopServices()\n\tm.own.take, m.own.addresses", "\tm.own.take, m.own.addresses")},
	},
	{
		name: "addresses-stay-after-a-handover", rings: "transcripts",
		rule:  "Who leaves ownership removes the addresses.",
		edits: edits{releaseGo("\tif owned {\n\t\tm.dropAll()\n\t}\n", "")},
	},
	{
		name: "released-though-a-service-runs", rings: "transcripts",
		rule:  "A node that could not stop a service, and asks to be fenced, offers the group to nobody.",
		edits: edits{releaseGo("if owned && !m.own.fenceMe {", "if owned {")},
	},
	{
		name: "released-without-having-owned", rings: "transcripts",
		rule:  "Only who owned says RELEASED.",
		edits: edits{releaseGo("if owned && !m.own.fenceMe {", "if (owned || m.state != Boot) && !m.own.fenceMe {")},
	},
	{
		name: "released-without-a-promise", rings: "transcripts",
		rule:  "Who says RELEASED takes nothing itself for a while.",
		edits: edits{releaseGo("\tm.promise()\n", "")},
	},
	{
		name: "released-is-repeated-after-the-promise", rings: "transcripts",
		rule:  "RELEASED is not repeated when the promise behind it is over.",
		edits: edits{releaseGo("if m.now.Add(m.cfg.Dead+m.cfg.Beat) < m.hold.until {", "if true {")},
	},
	{
		name: "hands-over-to-a-peer-that-does-not-hear", rings: "transcripts",
		rule:  "A group is handed over only in two-way contact.",
		edits: edits{releaseGo("return m.twoWay() && m.peerRank() == 2", "return m.peerRank() == 2")},
	},
	{
		name: "hands-over-to-an-unfit-peer", rings: "transcripts",
		rule:  "A group is handed over only to a fit peer.",
		edits: edits{releaseGo("m.peerRank() == 2 &&", "m.peerRank() >= 0 &&")},
	},
	{
		name: "hands-over-to-another-configuration", rings: "transcripts",
		rule:  "A group is handed over only to a peer of the same configuration.",
		edits: edits{releaseGo("&& p.said.Accept && (p.said.State == Standby", "&& (p.said.State == Standby")},
	},
	{
		name: "gives-the-group-to-nobody", rings: "transcripts",
		rule:  "If the peer died in a handover the group stays.",
		edits: edits{releaseGo("if stay && m.own.gate == gateOpen {", "if stay && false {")},
	},
	{
		name: "request-of-an-older-ownership-is-obeyed", rings: "transcripts",
		rule:  "RELEASE is obeyed only if it echoes what this owner sent.",
		edits: edits{releaseGo("|| in.EchoSentAt < m.enteredAt || !m.peerCanTake() {", "|| !m.peerCanTake() {")},
	},
	{
		name: "request-of-an-unfit-peer-is-obeyed", rings: "transcripts",
		rule:  "RELEASE of a peer that cannot take is not obeyed.",
		edits: edits{releaseGo("|| in.EchoSentAt < m.enteredAt || !m.peerCanTake() {", "|| in.EchoSentAt < m.enteredAt {")},
	},
	{
		name: "failback-does-not-freeze", rings: "transcripts",
		rule:  "Too many planned moves freeze the failback.",
		edits: edits{releaseGo("\tif m.frozen() {\n\t\tm.alarm(alarmFlap, true, \"a failback was refused\")\n\t\treturn\n\t}\n", "")},
	},
	{
		name: "failing-services-do-not-freeze", rings: "transcripts",
		rule:  "Too many planned moves freeze the moves for failed services.",
		edits: edits{ownGo("case m.frozen():", "case false:")},
	},
	{
		name: "moves-are-not-counted", rings: "transcripts",
		rule:  "Planned moves are counted on the node that gives and on the one that takes.",
		edits: edits{releaseGo("\tm.moves[0] = max(m.now, 1)\n", "")},
	},
	{
		name: "freeze-has-no-end", rings: "transcripts",
		rule:  "A freeze ends with the flap window.",
		edits: edits{releaseGo("if at == 0 || m.now.Since(at) > m.cfg.FlapWindow {", "if at == 0 {")},
	},
	{
		name: "failback-does-not-wait", rings: "transcripts",
		rule:  "A failback waits until the preferred node was fit for long enough.",
		edits: edits{releaseGo("if m.now.Since(m.stableFrom) < wait {", "if false {")},
	},
	{
		name: "failback-to-one-that-is-not-armed", rings: "transcripts",
		rule:  "A failback needs an armed peer.",
		edits: edits{releaseGo("&& m.peerCanTake() && m.peer.said.State == Armed", "&& m.peerCanTake()")},
	},
	{
		name: "failback-to-one-that-is-sicker", rings: "transcripts",
		rule:  "A group does not go home to a node that is less healthy.",
		edits: edits{releaseGo(" || m.health.Peer == PeerSicker || !m.mayMove() {", " || !m.mayMove() {")},
	},
	{
		name: "health-moves-nothing", rings: "transcripts",
		rule:  "A healthier peer gets the group.",
		edits: edits{releaseGo("if h.Peer != PeerHealthier || m.state != Active", "if true || m.state != Active")},
	},
	{
		name: "health-moves-to-the-sicker", rings: "transcripts",
		rule:  "Nothing is handed to a peer that is not healthier.",
		edits: edits{releaseGo("if h.Peer != PeerHealthier || m.state != Active", "if h.Peer == HealthEven || m.state != Active")},
	},
	{
		name: "urgent-health-waits", rings: "transcripts",
		rule:  "A node about to fail hands over without regard to the flap limit.",
		edits: edits{releaseGo("case h.Urgent && m.own.gate == gateOpen && m.peerCanTake(), m.mayMove()", "case m.mayMove()")},
	},
	{
		name: "urgent-health-moves-to-a-peer-that-cannot", rings: "transcripts",
		rule:  "Even a node about to fail hands over only to a peer that can take the group.",
		edits: edits{releaseGo("case h.Urgent && m.own.gate == gateOpen && m.peerCanTake(), m.mayMove()", "case h.Urgent && m.own.gate == gateOpen, m.mayMove()")},
	},
	{
		name: "urgent-health-overtakes-the-gate", rings: "transcripts",
		rule:  "A node about to fail hands over what it has: the gate that it asked for comes first.",
		edits: edits{releaseGo("case h.Urgent && m.own.gate == gateOpen && m.peerCanTake(), m.mayMove()", "case h.Urgent && m.peerCanTake(), m.mayMove()")},
	},
	{
		name: "gate-opens-behind-its-closing", rings: "transcripts",
		rule:  "Whoever closes the gate withdraws the wish for it in the same step.",
		edits: edits{ownGo("\tm.out = slices.DeleteFunc(m.out, opens) // or it would be opened again behind this\n", "\tm.out = slices.DeleteFunc(m.out, func(Action) bool { return false })\n")},
	},
	{
		name: "health-does-not-freeze", rings: "transcripts",
		rule:  "Too many planned moves freeze the moves for health.",
		edits: edits{releaseGo("m.mayMove() && !m.frozen():", "m.mayMove():")},
	},
	{
		name: "health-tries-again-at-once", rings: "transcripts",
		rule:  "A move for health that failed is tried again after a pause.",
		edits: edits{releaseGo(" || m.now < m.healthNext {", " {")},
	},
	{
		name: "operator-hands-to-the-sicker", rings: "transcripts",
		rule:  "An operator's handover to a sicker peer needs force.",
		edits: edits{operatorGo("case m.health.Peer == PeerSicker && !in.Force:", "case false:")},
	},
	{
		name: "operator-takes-to-the-sicker", rings: "transcripts",
		rule:  "An operator's take on the sicker node needs force.",
		edits: edits{operatorGo("case m.health.Peer == PeerHealthier && m.peer.said.State.Owns() && !in.Force:", "case false:")},
	},
	{
		name: "stop-that-failed-is-no-reason-to-be-fenced", rings: "transcripts loop",
		rule:  "In mode fence a node that cannot stop a service asks to be fenced.",
		edits: edits{ownGo("\tm.own.fenceMe = true\n", "")},
	},
	{
		name: "handover-to-a-peer-that-cannot", rings: "transcripts",
		rule:  "An operator's handover is refused if the peer cannot take the group.",
		edits: edits{operatorGo("case !m.peerCanTake() && !forced:", "case false:")},
	},
	{
		name: "takes-although-unfit", rings: "transcripts",
		rule:  "An operator's take is refused on an unfit node unless forced.",
		edits: edits{operatorGo("case m.own.unfit && !in.Force:", "case false:")},
	},
	{
		name: "maintenance-leaves-nobody", rings: "transcripts",
		rule:  "An owner goes into maintenance only if the peer can take the group, unless forced.",
		edits: edits{operatorGo("case m.state.Owns() && !m.peerCanTake() && !in.Force:", "case false:")},
	},
	{
		name: "maintenance-is-not-kept", rings: "transcripts",
		rule:  "Maintenance is written to the journal.",
		edits: edits{operatorGo("\t\tm.rel.ask = 0\n\t\tm.persist()\n", "\t\tm.rel.ask = 0\n")},
	},
	{
		name: "resumed-node-judges-old-silence", rings: "transcripts",
		rule:  "A node that comes back into service measures silence anew.",
		edits: edits{operatorGo("\t\tm.peer.heardAt = max(m.peer.heardAt, m.now) // judge the peer from now on\n", "")},
	},
}
