package main

// Files that have to do with the watchdog.
var (
	vitalGo = in("agent/vital/vital.go")
	lwdGo   = in("agent/loop/watchdog.go")
	yieldGo = in("agent/loop/yield.go")
	wdGo    = in("agent/watchdog/watchdog.go")
	wdConfG = in("agent/config/watchdog.go")
	resetGo = in("agent/report/watchdog.go")
)

// watchdogMutants are the rules of when a box is kept alive.
var watchdogMutants = []mutant{
	{
		name: "fed-though-a-token-is-stale", rings: "loop",
		rule:  "A watchdog is fed only while every token is fresh.",
		edits: edits{lwdGo("\tcase judged == vital.Failed:\n\t\tl.starve(now)\n", ""), lwdGo("\tcase judged == vital.Well:\n", "\tcase judged != vital.Starting:\n")},
	},
	{
		name: "fed-again-after-giving-up", rings: "loop",
		rule:  "Once the node gave up the watchdog is never fed again.",
		edits: edits{lwdGo("if w == nil || g.starved || yields", "if w == nil || yields"), vitalGo("\tif g.stage == Failed {\n\t\treturn Failed\n\t}\n", "\tg.stage, g.stale = Well, nil\n"), lwdGo("\tl.watch.starved = true\n", "\tif l.watch.starved {\n\t\treturn\n\t}\n\tl.watch.starved = true\n")},
	},
	{
		name: "fed-without-heartbeats", rings: "loop",
		rule:  "It is fed only at the end of a turn that sent its heartbeats.",
		edits: edits{lwdGo("if beaten && now >= g.next && !g.disarmed {", "if now >= g.next && !g.disarmed || beaten && false {")},
	},
	{
		name: "gives-up-with-open-gates", rings: "loop",
		rule:  "A node that gives up closes its gates before all else.",
		edits: edits{lwdGo("\t\tif g.opened || g.wantOpen != 0 {\n\t\t\tl.close(g)\n\t\t}\n", "\t\t_ = g\n"), lwdGo("\t\tl.step(now, g, pair.LeaseLost{}) // RELEASED, if it owned\n", "")},
	},
	{
		name: "gives-up-without-a-word", rings: "loop",
		rule:  "A node that gives up says GOODBYE.",
		edits: edits{lwdGo("\t\tl.step(now, g, pair.Stop{})      // GOODBYE\n", "")},
	},
	{
		name: "gives-up-without-a-dump", rings: "loop",
		rule:  "A node that gives up leaves the stacks of its goroutines.",
		edits: edits{lwdGo("\tw.Dump(\"vital work does not get done: \" + stale)\n", "")},
	},
	{
		name: "loop-proves-what-it-did-not-do", rings: "loop",
		rule:  "The machine's token is of a turn that sent its heartbeats.",
		edits: edits{lwdGo("\tbeaten := g.beaten\n", "\tbeaten := g.beaten\n\tif w != nil {\n\t\tw.Guard.Done(w.Machine, l.stamp())\n\t}\n")},
	},
	{
		name: "refused-lease-proves-the-lease", rings: "loop",
		rule:  "The lease's token needs the kernel's word for the mark.",
		edits: edits{in("agent/loop/send.go")("refused := !l.marked\n", "refused := false\n")},
	},
	{
		name: "failed-write-proves-the-disk", rings: "loop",
		rule:  "A disk that only gives errors is stuck; one that is full is not.",
		edits: edits{lwdGo("\tif err == nil || full(err) {\n", "\tif true {\n")},
	},
	{
		name: "full-disk-resets-the-box", rings: "loop",
		rule:  "A full or read-only disk is no reason for a reset.",
		edits: edits{lwdGo("\tif err == nil || full(err) {\n", "\tif err == nil {\n")},
	},
	{
		name: "hanging-save-is-not-seen", rings: "loop",
		rule:  "A save that does not come back is a stuck disk.",
		edits: edits{lwdGo("\tw.Guard.Begin(w.Journal, l.stamp())\n\treturn l.proof(", "\treturn l.proof(")},
	},
	{
		name: "pause-of-the-process-is-everybodys-fault", rings: "loop",
		rule:  "What nobody could do while the process stood still is not late.",
		edits: edits{loopGo("\t\tw.Guard.Paused(l.stamp(), gap)\n", "\t\t_ = w\n")},
	},
	{
		name: "grants-after-giving-up", rings: "loop",
		rule:  "A node that gave up opens no gate, whatever its machine asks for.",
		edits: edits{loopGo("late = late || l.watch.starved // whoever gave up opens nothing\n", "")},
	},
	{
		name: "stale-at-twice-the-limit", rings: "vital",
		rule:  "A token is stale as soon as its limit is over.",
		edits: edits{vitalGo("now-done > s.Every+s.Takes", "now-done > 2*(s.Every+s.Takes)")},
	},
	{
		name: "hang-waits-for-its-schedule", rings: "vital",
		rule:  "What hangs is stale when its own time is over.",
		edits: edits{vitalGo("case busy != 0 && now-busy > s.Takes:", "case busy != 0 && now-busy > s.Every+s.Takes && s.Every != 0:")},
	},
	{
		name: "unproven-box-reboots-for-ever", rings: "vital",
		rule:  "What never worked in this run is not judged.",
		edits: edits{vitalGo("case s.Every != 0 && done != 0 && now-done", "case s.Every != 0 && now-done")},
	},
	{
		name: "pauses-without-end-excuse-all", rings: "vital",
		rule:  "A source is allowed a bounded number of pauses between two pieces of work.",
		edits: edits{vitalGo("const maxPauses = 8", "const maxPauses = 1 << 30")},
	},
	{
		name: "line-that-is-cut-resets-the-box", rings: "loop",
		rule:  "A line whose reader waits for it is looked at all the same.",
		edits: edits{lwdGo("\t\tif p.Lazy {\n\t\t\tp.Path.Drain()\n", "\t\tif p.Lazy && false {\n\t\t\tp.Path.Drain()\n")},
	},
	{
		name: "timeout-is-believed", rings: "watchdog",
		rule:  "The timeout in force is what the driver says, not what was asked for.",
		edits: edits{wdGo("\t\treturn time.Duration(got) * time.Second, refused\n", "\t\treturn want, nil\n")},
	},
	{
		name: "stop-disarms", rings: "watchdog",
		rule:  "A clean end leaves the device armed.",
		edits: edits{wdGo("\tif got := d.lengthen(); got < d.cfg.Handover {", "\t_ = d.h.Disarm()\n\tif got := d.lengthen(); got < d.cfg.Handover {")},
	},
	{
		name: "start-has-only-the-working-timeout", rings: "watchdog",
		rule:  "Until the first feed the hand-over timeout is in force.",
		edits: edits{wdGo("\td.info.Handover = d.lengthen()\n", "\td.info.Handover = d.cfg.Handover\n")},
	},
	{
		name: "working-timeout-never-comes", rings: "watchdog",
		rule:  "The first feed puts the working timeout in force.",
		edits: edits{wdGo("\t\t_, _ = d.setTimeout(d.cfg.Timeout)\n\t\td.working = true\n", "\t\td.working = true\n")},
	},
	{
		name: "another-drivers-class-is-believed", rings: "watchdog",
		rule:  "A class of another driver says nothing of this device.",
		edits: edits{wdGo("if class.identity() != identity {", "if false {")},
	},
	{
		name: "slow-reset-is-not-reckoned-with", rings: "watchdog",
		rule:  "A driver that resets later than it says is reckoned with.",
		edits: edits{wdGo("\t\treturn 2 * told\n", "\t\treturn told\n")},
	},
	{
		name: "boot-does-not-outwait-the-watchdog", rings: "config",
		rule:  "A node that boots outwaits a hung peer's watchdog.",
		edits: edits{wdConfG("return drifted(timeout, t.Takeover)", "return t.Takeover")},
	},
	{
		name: "fewer-than-three-feeds", rings: "config",
		rule:  "Three feeds fit into a timeout.",
		edits: edits{wdConfG("const kicks = 3", "const kicks = 1")},
	},
	{
		name: "old-dump-is-a-panic", rings: "report",
		rule:  "A kernel dump that was there before is no cause.",
		edits: edits{resetGo("t.Dump != t.Kick.Dump && t.DumpAt.After(t.Kick.At)", "true")},
	},
	{
		name: "power-loss-is-guessed", rings: "report",
		rule:  "Without a trace the cause is unknown.",
		edits: edits{resetGo("return CauseUnknown, \"power loss, a reset", "return CausePower, \"power loss, a reset")},
	},
	{
		name: "peer-overrules-the-watchdog", rings: "report",
		rule:  "The peer names a cause only where the box has no trace that does.",
		edits: edits{in("agent/report/ending.go")("if cause == \"\" || !open {", "if cause == \"\" || !open && false {")},
	},
	{
		name: "end-of-an-agent-is-that-of-the-box", rings: "loop",
		rule:  "What the peer heard of this very kernel was no end of the box.",
		edits: edits{in("agent/loop/ending.go")("uptime == 0 || e.AgoMS <= uptime", "uptime == 0")},
	},
}
