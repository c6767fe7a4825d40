package main

// Files of the kernel lease.
var (
	layoutGo    = in("vip/gate/layout.go")
	deviceGo    = in("vip/gate/layout_device.go")
	gateGo      = in("vip/gate/gate.go")
	gateConfGo  = in("vip/gate/config.go")
	verifyGo    = in("vip/gate/verify.go")
	reconcileGo = in("vip/gate/reconcile.go")
	batchGo     = in("vip/gate/batch.go")
	selfTestGo  = in("vip/gate/selftest.go")
	leaseGo     = in("agent/lease.go")
	handsGo     = in("agent/hands.go")
)

// gateMutants are the rules of the kernel lease: who may renew what, and what a
// closed gate drops.
var gateMutants = []mutant{
	{
		name: "kernel-renews-a-lapsed-lease", rings: "lease", by: "TestALeaseEnds",
		rule:  "The kernel renews only a lease that is unexpired.",
		edits: edits{layoutGo("group,\n\t\t\tone(contains(setLease)), one(refresh(setLease, d)), drop())", "group,\n\t\t\tone(refresh(setLease, d)), drop())")},
	},
	{
		name: "kernel-renews-without-a-mark", rings: "lease", by: "TestNothingIsGranted",
		rule:  "The kernel renews only while the turn mark is unexpired.",
		edits: edits{layoutGo("operation(opRenew, i), turn, one(contains(setTurn)), group,", "operation(opRenew, i), group,")},
	},
	{
		name: "kernel-grants-without-a-mark", rings: "lease", by: "TestNothingIsGranted",
		rule:  "The kernel grants only while the turn mark is unexpired.",
		edits: edits{layoutGo("operation(opGrant, i), turn, one(contains(setTurn)), group,", "operation(opGrant, i), group,")},
	},
	{
		name: "mark-lives-too-long", rings: "lease", by: "TestNothingIsGranted",
		rule:  "The turn mark lives for the window.",
		edits: edits{layoutGo("one(refresh(setTurn, c.Window))", "one(refresh(setTurn, 50*c.Window))")},
	},
	{
		name: "grant-lives-too-long", rings: "lease", by: "TestALeaseEnds|TestAStopped",
		rule:  "A granted lease lives for its length.",
		edits: edits{layoutGo("operation(opGrant, i), turn, one(contains(setTurn)), group, one(refresh(setLease, d)), drop())", "operation(opGrant, i), turn, one(contains(setTurn)), group, one(refresh(setLease, 3*d)), drop())")},
	},
	{
		name: "renewal-lives-too-long", rings: "lease", by: "TestALeaseEnds|TestAStopped",
		rule:  "A renewed lease lives for its length.",
		edits: edits{layoutGo("one(contains(setLease)), one(refresh(setLease, d)), drop())\n\t}\n\tl.rule(chainOps, operation(opTurn", "one(contains(setLease)), one(refresh(setLease, 3*d)), drop())\n\t}\n\tl.rule(chainOps, operation(opTurn")},
	},
	{
		name: "any-process-may-grant", rings: "lease", by: "TestAWrongCookie",
		rule:  "Only frames with the cookie of this process are obeyed.",
		edits: edits{layoutGo("load(offCookie, cookieSize), equal(cookie[:]), then", "then")},
	},
	{
		name: "closed-group-is-open", rings: "lease", by: "TestEveryKindOfPacket",
		rule:  "What concerns an address of a group without a lease is dropped.",
		edits: edits{layoutGo("l.rule(groupChain(id), drop())", "l.rule(groupChain(id), accept())")},
	},
	{
		name: "lease-of-any-group-opens", rings: "lease", by: "TestGroupsAreIndependent",
		rule:  "Each group needs a lease of its own.",
		edits: edits{layoutGo("Data: []byte(key32(uint32(id)))}, contains(setLease))", "Data: []byte(key32(uint32(id & 0)))}, contains(setLease))")},
	},
	{
		name: "ipv6-is-not-gated", rings: "lease", by: "TestEveryKindOfPacket",
		rule:  "IPv6 addresses are gated like IPv4 ones.",
		edits: edits{layoutGo("\t\t\tset := setVIP6\n\t\t\tif a.Is4() {\n\t\t\t\tset = setVIP4\n\t\t\t}\n\t\t\tl.content[set] = append(l.content[set], element{string", "\t\t\tset := setVIP4\n\t\t\tif !a.Is4() {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\tl.content[set] = append(l.content[set], element{string")},
	},
	{
		name: "arp-is-answered", rings: "lease", by: "TestEveryKindOfPacket",
		rule:  "A closed gate drops ARP for its addresses.",
		edits: edits{deviceGo("\td.arp(base, arpTarget)\n", "")},
	},
	{
		name: "neighbour-discovery-is-answered", rings: "lease", by: "TestEveryKindOfPacket",
		rule:  "A closed gate drops neighbour solicitations for its addresses.",
		edits: edits{deviceGo("\t\t\td.neighbour(chain, neighbourSolicitation)\n", "")},
	},
	{
		name: "packets-are-delivered", rings: "lease", by: "TestEveryKindOfPacket",
		rule:  "A closed gate drops packets to its addresses.",
		edits: edits{deviceGo("\t\td.addressed(chain, f, f.target, next)\n", "")},
	},
	{
		name: "packets-are-forwarded", rings: "lease", by: "TestEveryKindOfPacket|TestSetOwn",
		rule:  "A closed gate with transit drops what would be forwarded.",
		edits: edits{deviceGo("\td.rule(chain, drop())\n\treturn then(expr.VerdictGoto, chain)", "\treturn then(expr.VerdictGoto, chain)")},
	},
	{
		name: "own-traffic-is-dropped", rings: "lease", by: "TestSetOwn|TestEveryKindOfPacket",
		rule:  "A closed gate lets packets to the node itself pass.",
		edits: edits{deviceGo("\td.rule(chain, load(f.target, f.size), one(contains(f.own)), accept())\n", "")},
	},
	{
		name: "announcements-leave-a-closed-gate", rings: "lease", by: "TestAnnouncementsLeave",
		rule:  "A closed gate lets no ARP leave in the name of its addresses.",
		edits: edits{deviceGo("\td.arp(base, arpSender)\n", "")},
	},
	{
		name: "advertisements-leave-a-closed-gate", rings: "lease", by: "TestAnnouncementsLeave",
		rule:  "A closed gate lets no neighbour advertisement leave for its addresses.",
		edits: edits{deviceGo("\t\t\td.neighbour(chain, neighbourAdvertisement)\n", "")},
	},
	{
		name: "packets-leave-a-closed-gate", rings: "lease", by: "TestAnnouncementsLeave",
		rule:  "A closed gate lets no packet leave from its addresses.",
		edits: edits{deviceGo("\t\td.addressed(chain, f, f.source, accept())\n", "")},
	},
	{
		name: "address-of-elsewhere-is-answered", rings: "lease", by: "TestAnotherNodesAddress",
		rule:  "A packet to a closed address that the node still has dies, whatever device it came by.",
		edits: edits{deviceGo("&expr.Cmp{Op: expr.CmpOpNeq, Register: regKey, Data: local}), next)", "&expr.Cmp{Op: expr.CmpOpNeq, Register: regKey, Data: append(local[:0:0], 9, 9, 9, 9)}), next)")},
	},
	{
		name: "other-tables-come-first", rings: "lease", by: "TestTheGateComesBefore",
		rule:  "The gate's chains come before all others of their hook.",
		edits: edits{batchGo("const priority = -1 << 31", "const priority = 0")},
	},
	{
		name: "refused-renewal-looks-done", rings: "lease", by: "TestALeaseEnds|TestNothingIsGranted",
		rule:  "A renewal that the kernel refused is an error.",
		edits: edits{gateGo("\tcase !taken:\n\t\treturn fmt.Errorf(\"%s group", "\tcase !taken && false:\n\t\treturn fmt.Errorf(\"%s group")},
	},
	{
		name: "missing-table-looks-well", rings: "lease", by: "TestAFlushedRuleset",
		rule:  "A turn says that the table is gone.",
		edits: edits{gateGo("\tcase !taken:\n\t\treturn fmt.Errorf(\"begin turn", "\tcase !taken && false:\n\t\treturn fmt.Errorf(\"begin turn")},
	},
	{
		name: "close-believes", rings: "lease", by: "TestCloseTakesEffect",
		rule:  "Closing ends the lease at once.",
		edits: edits{gateGo("\tif g.features.control && g.features.erase {\n\t\ttaken", "\tif g.features.control {\n\t\treturn nil\n\t}\n\tif g.features.control && g.features.erase {\n\t\ttaken")},
	},
	{
		name: "timeouts-are-not-rounded", rings: "lease", by: "TestEffectiveRounds",
		rule:  "How long a lease lasts is told in whole kernel ticks, rounded down.",
		edits: edits{gateConfGo("longest = d.Truncate(time.Millisecond).Truncate(tick)", "longest = d.Truncate(time.Millisecond)")},
	},
	{
		name: "window-of-one-tick", rings: "lease", by: "TestBadConfigurations",
		rule:  "A timeout of fewer than two kernel ticks is refused: zero would never end.",
		edits: edits{gateConfGo("const minTicks = 2", "const minTicks = 0")},
	},
	{
		name: "address-in-two-groups", rings: "lease", by: "TestBadConfigurations",
		rule:  "An address belongs to one group.",
		edits: edits{gateConfGo("if other, taken := owner[a]; taken {", "if other, taken := owner[a]; taken && false {")},
	},
	{
		name: "alterations-are-not-noticed", rings: "lease", by: "TestAlterations",
		rule:  "A table that a stranger altered is noticed.",
		edits: edits{verifyGo("case f.content != g.state.content:", "case false:")},
	},
	{
		name: "moved-address-keeps-its-lease", rings: "lease", by: "TestReopening",
		rule:  "An address that moves to another group closes all gates.",
		edits: edits{reconcileGo("\t\tb.clearSet(setLease)\n\t\tb.delElements(set, moved)\n", "\t\tb.delElements(set, moved)\n")},
	},
	{
		name: "self-test-passes-a-lease-without-end", rings: "lease", by: "TestSelfTestFinds",
		rule:  "The self-test finds a kernel whose leases do not end.",
		edits: edits{selfTestGo("if t.result.Excess > t.result.Tick {", "if false {"), selfTestGo("if asked.Sub(renewed) > 4*t.result.Lease {", "if asked.Sub(renewed) > 4*t.result.Lease {\n\t\t\tbreak\n\t\t}\n\t\tif false {")},
	},
	{
		name: "self-test-passes-a-grant-without-a-turn", rings: "lease", by: "TestSelfTestFindsAKernel",
		rule:  "The self-test finds a kernel that grants without a turn.",
		edits: edits{selfTestGo("func() error { return t.refused(t.gate.Grant(0)) }", "func() error { return nil }")},
	},
	{
		name: "self-test-passes-a-stale-renewal", rings: "lease", by: "TestSelfTestFindsAKernel",
		rule:  "The self-test finds a kernel that revives a lapsed lease.",
		edits: edits{selfTestGo("func() error { return t.refused(errors.Join(t.gate.Turn(), t.gate.Renew(0))) }", "func() error { return nil }")},
	},
	{
		name: "self-test-passes-a-late-renewal", rings: "lease", by: "TestSelfTestFindsAKernel",
		rule:  "The self-test finds a kernel that renews after the window of the turn.",
		edits: edits{selfTestGo("{\"renewal with an expired turn\", t.lateRenewal},", "")},
	},
	{
		name: "weak-lease-is-granted-late", rings: "lease", by: "Lifetime",
		rule:  "A lease by lifetimes is granted only within the window of its turn.",
		edits: edits{leaseGo("\tif time.Since(l.turn) > l.window {\n\t\treturn gate.ErrRefused\n\t}\n", "")},
	},
	{
		name: "weak-lease-is-renewed-late", rings: "lease", by: "Lifetime",
		rule:  "A lease by lifetimes is renewed only within the window of its turn.",
		edits: edits{leaseGo("case now.Sub(l.turn) > l.window, now.After(l.until[group]):", "case now.After(l.until[group]):")},
	},
	{
		name: "weak-lease-is-revived", rings: "lease", by: "Lifetime",
		rule:  "A lease by lifetimes that lapsed is not renewed.",
		edits: edits{leaseGo("case now.Sub(l.turn) > l.window, now.After(l.until[group]):", "case now.Sub(l.turn) > l.window:")},
	},
	{
		name: "weak-lease-forgets-that-slices-wait", rings: "lease", by: "Lifetime",
		rule:  "A lease by lifetimes ends with the address that was renewed first.",
		edits: edits{leaseGo("l.until[group] = now.Add(l.life - l.life/4)", "l.until[group] = now.Add(l.life)")},
	},
	{
		name: "weak-lease-leaves-the-addresses", rings: "lease", by: "Lifetime",
		rule:  "Closing a lease by lifetimes takes the addresses away.",
		edits: edits{leaseGo("\treturn l.kernel.Drop(ctx, l.sets[group])\n", "\treturn ctx.Err()\n")},
	},
	{
		name: "adopts-without-its-addresses", rings: "lease", by: "Adopted",
		rule:  "A group is adopted only if its addresses are there.",
		edits: edits{leaseGo("if !a.hands.moves(ctx, i, &a.cfg.Groups[i]) {\n\t\t\treturn false", "if false {\n\t\t\treturn false")},
	},
	{
		name: "adopts-without-a-lease", rings: "lease", by: "Adopted",
		rule:  "A group is adopted only if its lease is unexpired.",
		edits: edits{leaseGo("if err != nil || !held {\n\t\treturn false", "if err != nil || !held && false {\n\t\treturn false")},
	},
	{
		name: "adopts-after-a-lapse", rings: "lease", by: "Adopted",
		rule:  "A group whose lease lapses while its new addresses are asked for is not adopted.",
		edits: edits{leaseGo("return err == nil && held\n}\n\n// askSpacing", "return err == nil\n}\n\n// askSpacing")},
	},
	{
		name: "new-address-is-put-up-unasked", rings: "lease", by: "Unasked",
		rule:  "Each new address of a group that is held is asked for before it goes up.",
		edits: edits{leaseGo("case r.Foreign:", "case false:")},
	},
	{
		name: "unsent-question-is-an-answer", rings: "lease", by: "Adopted",
		rule:  "An address that could not be asked for is not put up.",
		edits: edits{leaseGo("case !r.Sent:", "case false:")},
	},
	{
		name: "takeover-takes-what-it-did-not-ask-for", rings: "lease", by: "Unasked",
		rule:  "A takeover asks for the addresses that a reload brought after its question.",
		edits: edits{handsGo("asked != nil && asked != c {", "asked != nil && asked != c && false {")},
	},
	{
		name: "vanished-table-is-not-put-back", rings: "lease", by: "TestGate",
		rule:  "A turn that finds the table gone puts it back, closed.",
		edits: edits{leaseGo("if !errors.Is(err, gate.ErrMissing) {", "if true {")},
	},
	{
		name: "grant-is-not-read-back", rings: "lease", by: "TestGate",
		rule:  "On a kernel that does not tell the outcome of a grant it is read back.",
		edits: edits{leaseGo("if err == nil && !held {\n\t\terr = gate.ErrRefused", "if err == nil && !held && false {\n\t\terr = gate.ErrRefused")},
	},
	{
		name: "lane-renews-a-weak-lease", rings: "lease", by: "Lifetime",
		rule:  "Where lifetimes are the lease only the loop renews them.",
		edits: edits{handsGo("if h.weak {", "if false {")},
	},
}
