package main

// Files around the machine: journal, timing, fence, announcements, links.
var (
	journalGo  = in("agent/journal/journal.go")
	stateGo    = in("agent/journal/state.go")
	timingGo   = in("agent/config/timing.go")
	feedsGo    = in("agent/config/feeds.go")
	proverGo   = in("fence/prover.go")
	fenceOpGo  = in("fence/fence.go")
	chainGo    = in("fence/chain.go")
	levelsGo   = in("fence/levels.go")
	loadGo     = in("fence/load.go")
	pinGo      = in("fence/pin.go")
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
		rule:  "race >= fence_time + dead + 5 x beat + 2 x reserve.",
		edits: edits{timingGo("term{\"fence_time\", t.FenceTime}, term{\"dead\"", "term{\"dead\"")},
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
		edits: edits{feedsGo("term{\"timeout of \" + d.Name, d.Timeout})", "term{\"timeout of \" + d.Name, 0})")},
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
		edits: edits{proverGo("\t\tcase PowerOn:\n\t\t\treturn fmt.Errorf(\"read %v after it was off twice\", power)\n", "\t\tcase PowerOn:\n\t\t\treturn nil\n")},
	},
	{
		name: "lost-answer-after-the-hold-up-is-off", rings: "fence",
		rule:  "An answer that is lost after the hold-up begins the proof anew.",
		edits: edits{proverGo("\t\tcase PowerOff:\n\t\t\treturn nil\n\t\tcase PowerOn:", "\t\tcase PowerOff, PowerUnknown:\n\t\t\treturn nil\n\t\tcase PowerOn:")},
	},
	{
		name: "hold-up-is-not-waited-for", rings: "fence",
		rule:  "The proof comes when the power supply has run dry.",
		edits: edits{proverGo("sleep(ctx, p.timing.Holdup-time.Since(began))", "sleep(ctx, -time.Since(began))")},
	},
	{
		name: "gap-may-be-configured-away", rings: "fence",
		rule:  "No configuration makes the gap between the readings shorter.",
		edits: edits{proverGo("\tt.Gap = max(t.Gap, Gap)\n", "")},
	},
	{
		name: "unreadable-counts-as-read", rings: "fence",
		rule:  "A reading that failed is unknown.",
		edits: edits{proverGo("\tif err != nil {\n\t\treturn Reading{Raw: said.Raw}, err\n\t}\n", "\terr = nil\n"), proverGo("err == nil && said.Power > PowerOff", "said.Power > PowerOff")},
	},
	{
		name: "number-out-of-range-counts-as-read", rings: "fence",
		rule:  "A power that is none of the known is unknown.",
		edits: edits{proverGo("\tif err == nil && said.Power > PowerOff {\n\t\terr = fmt.Errorf(\"power %d is none\", said.Power)\n\t}\n", "\tsaid.Power = min(said.Power, PowerOff)\n")},
	},
	{
		name: "pending-command-is-ignored", rings: "fence",
		rule:  "Off counts only while no command is pending in the outlet.",
		edits: edits{proverGo("case said.Pending == PendingYes:\n\t\terr = errors.New(\"it reads off", "case false:\n\t\terr = errors.New(\"it reads off"), proverGo("case said.Pending != PendingNone && p.past.tells:", "case said.Pending == PendingUntold && p.past.tells:")},
	},
	{
		name: "pending-untold-after-told", rings: "fence",
		rule:  "A device that tells of pending commands must tell that there is none.",
		edits: edits{proverGo("case said.Pending != PendingNone && p.past.tells:", "case false:")},
	},
	{
		name: "own-on-in-flight-is-forgotten", rings: "fence",
		rule:  "Off counts only when no on of ours, never read back, can still be carried out.",
		edits: edits{proverGo("case time.Now().Before(p.past.flying):", "case false:")},
	},
	{
		name: "load-on-the-outlet-is-ignored", rings: "fence",
		rule:  "An outlet that reads off and draws is not off: its relay is welded.",
		edits: edits{proverGo("case said.Load.present():", "case false:")},
	},
	{
		name: "wrong-box-is-switched", rings: "fence",
		rule:  "Nothing is commanded to a device that is not the pinned one.",
		edits: edits{proverGo("\tif err := p.rightBox(ctx, r); err != nil {", "\tif err := p.rightBox(ctx, r); err != nil && false {")},
	},
	{
		name: "nobody-knows-which-box", rings: "fence",
		rule:  "A device that does not say who it is is commanded only on a good check not older than 90 s.",
		edits: edits{proverGo("\tcase age < PinFresh:\n", "\tdefault:\n"), proverGo("\treturn fmt.Errorf(\"nothing was switched, as nobody knows whether it is the right device: %w\", err)\n", "")},
	},
	{
		name: "pin-without-a-serial", rings: "fence",
		rule:  "A pinned serial must be the device's.",
		edits: edits{pinGo("\tcompare(\"serial\", p.Serial, is.Serial)\n", "")},
	},
	{
		name: "pin-without-the-outlets-name", rings: "fence",
		rule:  "A pinned name must be the outlet's.",
		edits: edits{pinGo("\tcompare(\"outlet name\", p.Name, is.Name)\n", "")},
	},
	{
		name: "pin-that-is-not-told", rings: "fence",
		rule:  "A pinned field that the device does not tell differs.",
		edits: edits{pinGo("if want != \"\" && want != got {", "if want != \"\" && got != \"\" && want != got {")},
	},
	{
		name: "box-changes-after-the-command", rings: "fence",
		rule:  "A pinned device is asked again after the command who it is.",
		edits: edits{proverGo("if errors.Is(err, ErrPin) || errors.Is(err, ErrNoOutlet) {", "if false {")},
	},
	{
		name: "order-is-a-proof", rings: "fence",
		rule:  "An order that nobody can read back is no proof.",
		edits: edits{proverGo("if p.best() <= GradeWeak {", "if false {"), fenceOpGo("if err == nil && (!proof.Proven || proof.Grade < GradeClaim) {", "if err == nil && !proof.Proven {"), levelsGo("if err == nil && proof.Proven && proof.Grade >= GradeClaim {", "if err == nil && proof.Proven {")},
	},
	{
		name: "lost-command-is-not-repeated", rings: "fence",
		rule:  "A command that failed or was lost in a restart is given again if the outlet reads on.",
		edits: edits{proverGo("r.power == PowerOn && (r.command != nil || r.silent)", "false")},
	},
	{
		name: "command-is-repeated-to-a-slow-relay", rings: "fence",
		rule:  "A command that was taken is not given again while the relay lags.",
		edits: edits{proverGo("(r.command != nil || r.silent)", "(r.command != nil || true)")},
	},
	{
		name: "off-of-before-an-on-counts", rings: "fence",
		rule:  "Off counts only if an order was acknowledged, or the outlet was read on since it was sent.",
		edits: edits{proverGo("return r.ordered || r.wasOn || r.count[PowerOn] > 0 || r.final", "return true || errStale == nil")},
	},
	{
		name: "unheard-command-is-not-repeated", rings: "fence",
		rule:  "A command that was not acknowledged is given again although the outlet reads off.",
		edits: edits{proverGo("!r.counts() && !r.mute || ", "")},
	},
	{
		name: "hopeless-level-keeps-the-time", rings: "fence",
		rule:  "A level whose outlet does not exist, or cannot be switched, leaves its time to the next.",
		edits: edits{proverGo("case hopeless && short.Err() == nil:", "case hopeless && false:")},
	},
	{
		name: "one-supply-is-enough", rings: "fence",
		rule: "A node with two supplies is off only if both are proven.",
		edits: edits{
			chainGo("\tall.Wait()\n\treturn errors.Join(errs...)\n", "\tall.Wait()\n\tfor _, err := range errs {\n\t\tif err == nil {\n\t\t\treturn nil\n\t\t}\n\t}\n\treturn errors.Join(errs...)\n"),
			chainGo("case err == nil && len(c.Devices) > 1:", "case false:"),
			chainGo("proof.Grade = min(proof.Grade, p.Grade)", "proof.Grade = GradeClaim"),
		},
	},
	{
		name: "supplies-are-not-read-together", rings: "fence",
		rule:  "When all supplies are proven, all are read once more.",
		edits: edits{chainGo("\t\terr = c.together(ctx)\n", "")},
	},
	{
		name: "lost-answer-together-is-off", rings: "fence",
		rule:  "A supply whose answer is lost in the round of all must read off twice more.",
		edits: edits{chainGo("if again := d.reprove(ctx); again != nil {", "if again := d.reprove(ctx); again != nil && false {")},
	},
	{
		name: "device-without-proof-is-believed", rings: "fence",
		rule:  "A device that returns no error and no proof has proven nothing.",
		edits: edits{chainGo("if err == nil && !proofs[i].Proven {", "if false {"), chainGo("proof.Grade = min(proof.Grade, p.Grade)", "proof.Grade = GradeClaim")},
	},
	{
		name: "chain-is-off-with-one-unknown", rings: "fence",
		rule:  "The status of several supplies is off only if all read off.",
		edits: edits{chainGo("case off > 0 && off == len(parts):", "case off > 0:")},
	},
	{
		name: "fall-of-one-counts-for-all", rings: "fence",
		rule:  "A meter that several supplies share must fall by what all of them drew.",
		edits: edits{chainGo("\t\tif err == nil {\n\t\t\tsharing(", "\t\tif false {\n\t\t\tsharing(")},
	},
	{
		name: "half-a-fall-is-a-fall", rings: "fence",
		rule:  "A coarse meter must fall by at least half of what the outlet is known to draw.",
		edits: edits{loadGo("fell >= sum-least/2", "fell > 0")},
	},
	{
		name: "meter-that-never-showed-a-load", rings: "fence",
		rule:  "A meter that shows nothing while the outlet is on is no evidence when it is off.",
		edits: edits{loadGo("d.Value > d.zero() &&", "")},
	},
	{
		name: "next-level-over-a-pending-command", rings: "fence",
		rule:  "No level begins while a command of an earlier one could still give power.",
		edits: edits{levelsGo("for what, left := c.inFlight(); left > 0;", "for what, left := c.inFlight(); left < 0;")},
	},
	{
		name: "first-level-takes-all-the-time", rings: "fence",
		rule:  "Each level leaves half of its time to the next.",
		edits: edits{levelsGo("bound /= levelShare", "bound -= Gap")},
	},
	{
		name: "first-level-is-not-tried-again", rings: "fence",
		rule:  "After the last level the first is tried again.",
		edits: edits{levelsGo("\t\ttries++ // the first again\n", "\t\ttries += 0\n")},
	},
	{
		name: "on-without-a-proof", rings: "fence",
		rule:  "A reboot switches nothing on before all is proven off.",
		edits: edits{fenceOpGo("\tif err != nil {\n\t\treturn proof, fmt.Errorf(\"%w; nothing was switched on\", err)\n\t}\n", ""), fenceOpGo("if proof, err = sealed(proof, d.Name(), nil); err != nil {", "if proof, err = sealed(proof, d.Name(), nil); false {")},
	},
	{
		name: "reboot-without-a-hold", rings: "fence",
		rule:  "A reboot keeps the node off for at least 10 s.",
		edits: edits{fenceOpGo("\thold = max(hold, MinHold)\n", "")},
	},
	{
		name: "on-during-an-off", rings: "fence",
		rule:  "On and off of one device wait for each other.",
		edits: edits{proverGo("busy: make(chan struct{}, 1)", "busy: make(chan struct{}, 9)")},
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
