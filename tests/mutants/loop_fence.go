package main

// Files of agent/loop that have to do with the fence.
var (
	barGo     = in("agent/loop/bar.go")
	askGo     = in("agent/loop/askfence.go")
	repowerGo = in("agent/loop/repower.go")
	lverGo    = in("agent/loop/verify.go")
)

// loopFence are the rules of when the device is used, and of what its word is worth.
var loopFence = []mutant{
	{
		name: "shot-after-the-turn", rings: "loop",
		rule:  "A process that stood still until its turn was over does not use the device.",
		edits: edits{lfenGo("if spare > 0 && l.o.Now().Since(wished) > spare {", "if spare < 0 && l.o.Now().Since(wished) > spare {")},
	},
	{
		name: "every-try-is-paid", rings: "loop",
		rule:  "Tries of one fence are one of the budget: a device that is away does not use it up.",
		edits: edits{barGo("\tif f.paid {\n", "\tif false {\n")},
	},
	{
		name: "fences-are-free", rings: "loop",
		rule:  "Each fence is one of the budget.",
		edits: edits{barGo("\tf.budget.Take()\n", "")},
	},
	{
		name: "budget-is-new-at-each-start", rings: "loop",
		rule:  "The budget is kept over a restart.",
		edits: edits{barGo(", Left: append(l.saved.Fences[:0:0], l.saved.Fences...)}", "}")},
	},
	{
		name: "budget-is-not-kept", rings: "loop",
		rule:  "A fence is counted on disk.",
		edits: edits{barGo("\tl.saved.Fences = append(l.saved.Fences[:0:0], l.fence.budget.Left...)\n", "")},
	},
	{
		name: "unverified-wiring-is-used", rings: "loop",
		rule:  "Wiring that was never verified is not used.",
		edits: edits{barGo("case l.o.NeedVerified && f.verified == nil:", "case false:")},
	},
	{
		name: "verification-of-other-wiring-counts", rings: "loop",
		rule:  "A verification is of one wiring.",
		edits: edits{barGo("v != nil && v.Wiring == l.o.FenceWiring", "v != nil")},
	},
	{
		name: "another-device-is-used", rings: "loop",
		rule:  "A device that is another one than before is not used.",
		edits: edits{barGo("case f.identity != \"\":", "case false:")},
	},
	{
		name: "lines-that-stay-up-say-nothing", rings: "loop",
		rule:  "Modem lines that a verification saw fall with the power, and that stay up, contradict a proof.",
		edits: edits{askGo("d.Proven, d.Grade = false, \"none\"", "d.Grade = \"none\"")},
	},
	{
		name: "lines-that-nobody-verified-forbid-a-takeover", rings: "loop",
		rule:  "Modem lines of which nobody knows that they fall only lower the grade.",
		edits: edits{askGo("case r.stay && v != nil && v.LinesMS != nil:", "case r.stay && (v == nil || v.LinesMS != nil):")},
	},
	{
		name: "peer-in-service-is-switched-off-for-a-verification", rings: "loop",
		rule:  "A verification needs the peer in maintenance.",
		edits: edits{lverGo("pair.State(l.peer.m.Groups[i].State) != pair.Maintenance {", "false {")},
	},
	{
		name: "silent-peer-is-verified", rings: "loop",
		rule:  "A verification needs a peer that is heard before.",
		edits: edits{lverGo("case !l.twoWay(now):", "case false:")},
	},
	{
		name: "verified-though-it-beats", rings: "loop",
		rule:  "A peer that still beats was not switched off.",
		edits: edits{lverGo("case l.peer.heardAt > v.endAt:", "case false:")},
	},
	{
		name: "verified-without-proof", rings: "loop",
		rule:  "A verification needs the device's proof.",
		edits: edits{lverGo("case !d.Proven:", "case false:")},
	},
	{
		name: "power-is-given-back-before-all-is-served", rings: "loop",
		rule:  "The peer gets its power back only when no entry to ACTIVE rests on its being off any more.",
		edits: edits{repowerGo("|| !l.settled() {", "{")},
	},
	{
		name: "power-is-given-back-at-once", rings: "loop",
		rule:  "A fenced peer stays off for a while.",
		edits: edits{lfenGo("now.Add(repowerHold)", "now")},
	},
	{
		name: "power-is-given-back-with-the-last-fence", rings: "loop",
		rule:  "The peer gets its power back only if it could be fenced once more.",
		edits: edits{repowerGo("f.barred != \"\" || f.budget.Spent() ||", "f.barred != \"\" ||")},
	},
}
