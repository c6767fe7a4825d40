package main

// Files around the machine: journal, timing, fence, announcements, links.
var (
	journalGo  = in("agent/journal/journal.go")
	stateGo    = in("agent/journal/state.go")
	timingGo   = in("agent/config/timing.go")
	proverGo   = in("fence/fence.go")
	execGo     = in("fence/exec/exec.go")
	announceGo = in("vip/announce/announce.go")
	probeGo    = in("vip/announce/probe.go")
	mcastGo    = in("agent/link/mcast/socket.go")
)

// aroundMutants are the rules of what the machine relies on.
var aroundMutants = []mutant{
	{
		name: "file-is-not-synced", rings: "journal",
		rule:  "A state file is on disk before it takes its name.",
		edits: edits{journalGo("\t\terr = j.sync(f)\n", "")},
	},
	{
		name: "folder-is-not-synced", rings: "journal",
		rule:  "The new name is on disk before a save is done.",
		edits: edits{journalGo("if err := j.sync(j.lock); err != nil {", "if err := error(nil); err != nil {")},
	},
	{
		name: "state-is-written-in-place", rings: "journal",
		rule:  "A state file is replaced as a whole, never written in place.",
		edits: edits{journalGo("temp := path + \".new\"", "temp := path")},
	},
	{
		name: "one-copy-only", rings: "journal",
		rule:  "The state is in two copies.",
		edits: edits{journalGo("for _, name := range []string{copyA, copyB} {\n\t\tif err := j.replace", "for _, name := range []string{copyA} {\n\t\tif err := j.replace")},
	},
	{
		name: "torn-copy-counts", rings: "journal",
		rule:  "A file whose checksum is wrong is not used.",
		edits: edits{stateGo("if crc32.ChecksumIEEE(body) != sum {", "if false && crc32.ChecksumIEEE(body) != sum {")},
	},
	{
		name: "file-of-another-version-counts", rings: "journal",
		rule:  "A file of another version is not used.",
		edits: edits{stateGo("v != version {", "v != version && false {")},
	},
	{
		name: "the-older-copy-counts", rings: "journal",
		rule:  "Of two whole copies the newer one counts.",
		edits: edits{journalGo("case good == 0 || r.Seq > best.Seq:", "case good == 0 || r.Seq < best.Seq:")},
	},
	{
		name: "lost-journal-has-a-token", rings: "journal",
		rule:  "If no whole copy is left the boot token counts as spent.",
		edits: edits{journalGo("record{State: State{Token: absent == copies}}", "record{State: State{Token: true}}")},
	},
	{
		name: "token-is-spent-twice", rings: "journal",
		rule:  "A spent token cannot be spent.",
		edits: edits{journalGo("\tif !j.last.Token {\n\t\treturn fmt.Errorf(\"spend boot token: %w\", ErrNoToken)\n\t}\n", "")},
	},
	{
		name: "token-is-spent-in-memory-alone", rings: "journal",
		rule:  "A token is spent when the disk says so.",
		edits: edits{journalGo("\tif err := j.write(); err != nil {\n\t\tj.last.Token = true // the caller does not fence", "\tif err := error(nil); err != nil {\n\t\tj.last.Token = true // the caller does not fence")},
	},
	{
		name: "save-brings-the-token-back", rings: "journal",
		rule:  "A save does not bring a spent token back.",
		edits: edits{journalGo("j.last.Boot, j.last.Token = boot, token", "j.last.Boot, j.last.Token = boot, token || s.Token")},
	},
	{
		name: "token-that-the-disk-does-not-hold", rings: "journal",
		rule:  "Contact gives the token anew only if the disk holds it.",
		edits: edits{journalGo("\t\tj.last.Token = false // a token that the disk does not hold would be spent twice\n", "")},
	},
	{
		name: "two-agents-on-one-journal", rings: "journal",
		rule:  "A second agent on the same state is refused.",
		edits: edits{journalGo("unix.LOCK_EX|unix.LOCK_NB)", "unix.LOCK_SH|unix.LOCK_NB)")},
	},
	{
		name: "timing-is-not-checked", rings: "config",
		rule:  "A timing that breaks an inequality is refused.",
		edits: edits{timingGo("return q.have >= q.need", "return true")},
	},
	{
		name: "timing-takeover-without-the-window", rings: "config",
		rule:  "takeover >= lease + window + reserve.",
		edits: edits{timingGo("must be over\", []term{reserve}, lease, window),", "must be over\", []term{reserve}, lease),")},
	},
	{
		name: "timing-takeover-without-the-reserve", rings: "config",
		rule:  "takeover leaves a reserve after the lease.",
		edits: edits{timingGo("must be over\", []term{reserve}, lease, window),", "must be over\", nil, lease, window),")},
	},
	{
		name: "timing-probes-in-the-lease", rings: "config",
		rule:  "The probes fit between the end of the lease and the takeover.",
		edits: edits{timingGo("[]term{probes, reserve}, lease, window))", "[]term{reserve}, lease, window))")},
	},
	{
		name: "timing-claim-without-an-answer", rings: "config",
		rule:  "takeover leaves time for a CLAIM and its answer after dead.",
		edits: edits{timingGo("claim := []term{{\"dead\", t.Dead}}", "claim := []term{{\"dead\", 0}}")},
	},
	{
		name: "timing-lease-mode-without-ack", rings: "config",
		rule:  "In mode lease takeover >= ack + lease + window + reserve.",
		edits: edits{timingGo("[]term{reserve}, term{\"ack\", t.Ack}, lease, window))", "[]term{reserve}, lease, window))")},
	},
	{
		name: "timing-without-drift", rings: "config",
		rule:  "The takeover allows for clocks 1000 ppm apart.",
		edits: edits{timingGo("\ts := measured + measured/drift + 1 + fixed\n\treturn s + s/(drift-1) + 1", "\treturn measured + fixed")},
	},
	{
		name: "timing-lease-of-two-beats", rings: "config",
		rule:  "lease >= 3 x beat.",
		edits: edits{timingGo("term{\"3 x beat\", 3 * t.Beat})", "term{\"3 x beat\", t.Beat})")},
	},
	{
		name: "timing-window-as-long-as-the-lease", rings: "config",
		rule:  "lease >= 2 x window.",
		edits: edits{timingGo("term{\"2 x window\", 2 * t.Window})", "term{\"2 x window\", 0})")},
	},
	{
		name: "timing-boot-within-a-takeover", rings: "config",
		rule:  "boot_wait >= takeover.",
		edits: edits{timingGo("\t\tterm{\"takeover\", t.Takeover})\n", "\t\tterm{\"takeover\", 0})\n")},
	},
	{
		name: "timing-race-within-a-fence", rings: "config",
		rule:  "race >= fence_time + reserve.",
		edits: edits{timingGo("term{\"fence_time\", t.FenceTime}, reserve)", "reserve)")},
	},
	{
		name: "timing-lifetime-within-the-lease", rings: "config",
		rule:  "lifetime >= lease + the kernel's grain.",
		edits: edits{timingGo("term{\"lease\", t.Lease}, term{\"grain\", time.Second})", "term{\"grain\", 0})")},
	},
	{
		name: "timing-dead-within-a-frame", rings: "config",
		rule:  "dead of a link >= 4 x beat + frame + reserve.",
		edits: edits{timingGo("terms := []term{{\"4 x beat\", 4 * t.Beat}}", "terms := []term{{\"4 x beat\", t.Beat}}")},
	},
	{
		name: "timing-ack-of-one-beat", rings: "config",
		rule:  "In mode lease ack >= 4 x beat + frame and answer + reserve.",
		edits: edits{timingGo("right, need = sum(term{\"4 x beat\", 4 * t.Beat}", "right, need = sum(term{\"4 x beat\", 0}")},
	},
	{
		name: "timing-fence-cut-off", rings: "config",
		rule:  "fence_time >= timeout of every device.",
		edits: edits{timingGo("term{\"timeout of \" + d.Name, d.Timeout})", "term{\"timeout of \" + d.Name, 0})")},
	},
	{
		name: "timing-full-line", rings: "config",
		rule:  "A serial line has room for a CLAIM and its answer between heartbeats.",
		edits: edits{timingGo("least := frame * 100 / utilisation", "least := frame")},
	},
	{
		name: "one-reading-is-proof", rings: "fence",
		rule:  "Off is proven by two readings.",
		edits: edits{proverGo("case first.IsZero():\n\t\t\tfirst = time.Now()", "case first.IsZero():\n\t\t\treturn nil\n\t\tcase false:\n\t\t\tfirst = time.Now()")},
	},
	{
		name: "readings-are-not-apart", rings: "fence",
		rule:  "The two readings lie 300 ms apart.",
		edits: edits{proverGo("case before.Sub(first) >= p.timing.Gap:", "default:"), proverGo("pause = p.timing.Gap", "pause = p.timing.Poll / 100")},
	},
	{
		name: "on-between-two-offs", rings: "fence",
		rule:  "Anything but off between the readings begins anew.",
		edits: edits{proverGo("\t\tcase power != PowerOff:\n\t\t\tfirst = time.Time{}\n", "\t\tcase power != PowerOff:\n")},
	},
	{
		name: "no-reading-after-the-hold-up", rings: "fence",
		rule:  "The outlet is read once more after the hold-up: a reboot comes back.",
		edits: edits{proverGo("if power := p.read(ctx, &r); power != PowerOff {", "if power := p.read(ctx, &r); power > PowerOff {")},
	},
	{
		name: "hold-up-is-not-waited-for", rings: "fence",
		rule:  "The proof comes when the power supply has run dry.",
		edits: edits{proverGo("if err := sleep(ctx, p.timing.Holdup); err != nil {", "if err := ctx.Err(); err != nil {")},
	},
	{
		name: "gap-may-be-configured-away", rings: "fence",
		rule:  "No configuration makes the gap between the readings shorter.",
		edits: edits{proverGo("\tt.Gap = max(t.Gap, Gap)\n", "")},
	},
	{
		name: "unreadable-counts-as-read", rings: "fence",
		rule:  "A reading that failed is unknown.",
		edits: edits{proverGo("\tif err != nil {\n\t\tpower = PowerUnknown\n\t}\n", "")},
	},
	{
		name: "one-supply-is-enough", rings: "fence",
		rule: "A node with two supplies is off only if both are proven.",
		edits: edits{
			proverGo("\terr := errors.Join(errs...)\n\tif err == nil && len(c.Devices) > 1 {", "\terr := errs[0]\n\tif false {"),
			proverGo("\t\tif !p.Proven {\n\t\t\tproof.Proven = false\n\t\t}\n", ""),
		},
	},
	{
		name: "supplies-are-not-read-together", rings: "fence",
		rule:  "When all supplies are proven, all are read once more.",
		edits: edits{proverGo("if err == nil && len(c.Devices) > 1 {", "if false {")},
	},
	{
		name: "device-without-proof-is-believed", rings: "fence",
		rule:  "A device that returns no error and no proof has proven nothing.",
		edits: edits{proverGo("\t\tif !p.Proven {\n\t\t\tproof.Proven = false\n\t\t}\n", "")},
	},
	{
		name: "chain-is-off-with-one-unknown", rings: "fence",
		rule:  "The status of several supplies is off only if all read off.",
		edits: edits{proverGo("case off > 0 && off == len(c.Devices):", "case off > 0:")},
	},
	{
		name: "on-during-an-off", rings: "fence",
		rule:  "On and off of one device wait for each other.",
		edits: edits{proverGo("make(chan struct{}, 1)", "make(chan struct{}, 9)")},
	},
	{
		name: "exit-code-is-ignored", rings: "fence",
		rule:  "A status command that fails has read nothing.",
		edits: edits{execGo("case res.Code != 0:\n\t\treturn fence.PowerUnknown", "case false:\n\t\treturn fence.PowerUnknown")},
	},
	{
		name: "some-off-in-the-text-is-enough", rings: "fence",
		rule:  "The status must print exactly the configured text.",
		edits: edits{execGo("text == d.OffText:", "strings.Contains(text, d.OffText):")},
	},
	{
		name: "cut-text-counts", rings: "fence",
		rule:  "A status whose output was cut off is unknown.",
		edits: edits{execGo("case res.Whole && text == d.OffText:", "case text == d.OffText:")},
	},
	{
		name: "on-and-off-read-the-same", rings: "fence",
		rule:  "A device whose texts for on and off are the same is refused.",
		edits: edits{execGo("case c.OffText == c.OnText:", "case false:")},
	},
	{
		name: "device-without-a-status", rings: "fence",
		rule:  "A device without a status command is refused.",
		edits: edits{execGo("case len(c.Status) == 0:", "case false:")},
	},
	{
		name: "answer-to-a-probe-is-not-heard", rings: "announce", by: "TestAProbeIsAnswered",
		rule:  "A foreign hardware address that answers a probe is reported.",
		edits: edits{probeGo("return !p.own[mac]", "return p.own[mac] && false")},
	},
	{
		name: "own-answer-is-foreign", rings: "announce", by: "TestAnAnswerFromOurselves",
		rule:  "An answer of this node itself is none.",
		edits: edits{probeGo("return !p.own[mac]", "return true")},
	},
	{
		name: "rivals-probe-is-not-heard", rings: "announce", by: "TestOfTwoThatProbe",
		rule:  "Another node's probe for the same address counts as an answer.",
		edits: edits{probeGo("return c, ok && p.group[c.ip]", "return c, ok && false")},
	},
	{
		name: "unsent-probe-says-sent", rings: "announce", by: "TestAProbeThatCouldNot",
		rule:  "A probe that could not leave says so.",
		edits: edits{probeGo("\t\t\tp.result.Sent = true\n\t\t}\n", "\t\t}\n\t\tp.result.Sent = true\n"), probeGo("\t\tp.result.Reason = reasonOf(p.errs)\n\t\treturn p.result, nil\n", "\t\tp.result.Reason, p.result.Sent = reasonOf(p.errs), true\n\t\treturn p.result, nil\n")},
	},
	{
		name: "closed-gate-makes-the-probe-deaf", rings: "announce", by: "TestAProbeHearsThrough",
		rule:  "A probe hears what the node's own closed gate drops.",
		edits: edits{probeGo("listener(port, unix.ETH_P_ALL, rivals)", "listener(port, unix.ETH_P_ARP, rivals)")},
	},
	{
		name: "probe-is-not-heard-out", rings: "announce", by: "TestAProbe|TestOfTwo",
		rule:  "A probe listens as long as it was asked to.",
		edits: edits{probeGo("next = later(next.Add(spacing), time.Now().Add(spacing/2))", "next = later(next, time.Now().Add(spacing/8))")},
	},
	{
		name: "late-announcement", rings: "announce", by: "TestNoFrameLeaves",
		rule:  "The owner is asked right before each batch of announcements.",
		edits: edits{announceGo("\tif !owner() {\n\t\treturn ErrNotOwner\n\t}\n\tvar buffer", "\tvar buffer")},
	},
	{
		name: "routed-datagram-counts", rings: "links", by: "TestDatagramsThatCrossed",
		rule:  "A datagram that crossed a router is dropped.",
		edits: edits{mcastGo("if ttl < s.minTTL || (", "if ttl < -1 || (")},
	},
}
