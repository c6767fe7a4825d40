package main

// Files of agent/loop.
var (
	loopGo   = in("agent/loop/loop.go")
	applyGo  = in("agent/loop/apply.go")
	sendGo   = in("agent/loop/send.go")
	hearGo   = in("agent/loop/heard.go")
	healthGo = in("agent/loop/health.go")
	judgeGo  = in("agent/health/health.go")
	keepGo   = in("agent/loop/keep.go")
	lfenGo   = in("agent/loop/fence.go")
	factGo   = in("agent/loop/fact.go")
	tellGo   = in("agent/loop/data.go")
	upGo     = in("agent/loop/upstream.go")
)

// loopMutants are the rules of the order inside a turn, and of what frames say.
var loopMutants = []mutant{
	{
		name: "mark-after-the-inputs", rings: "loop",
		rule: "The turn mark is put before the inputs are looked at.",
		edits: edits{
			loopGo("\tif l.needMark(now, fact) {\n\t\tl.mark()\n\t\tnow = l.o.Now() // the kernel may have been slow: that is a stall, too\n\t}\n", "\tneed := l.needMark(now, fact)\n"),
			loopGo("\tl.settle(now)\n\tif l.beat(now) {\n", "\tif need {\n\t\tl.mark()\n\t}\n\tl.settle(now)\n\tif l.beat(now) {\n"),
		},
	},
	{
		name: "tick-before-the-inputs", rings: "loop",
		rule: "All that waits is heard before time passes.",
		edits: edits{
			loopGo("\tl.drain(now, frame, fact)\n\tfor _, g := range l.groups {\n\t\tl.step(now, g, pair.Tick{})\n\t}\n", "\tfor _, g := range l.groups {\n\t\tl.step(now, g, pair.Tick{})\n\t}\n\tl.drain(now, frame, fact)\n"),
		},
	},
	{
		name: "silence-is-judged-before-the-links-are-drained", rings: "loop",
		rule:  "When the peer is late what waits in the links is taken before time passes.",
		edits: edits{loopGo("\tif frame == nil {\n\t\tl.collect(now)\n\t}\n", "")},
	},
	{
		name: "contact-is-answered-with-the-next-beat", rings: "loop",
		rule:  "First contact in a session is answered at once, so that an adopted lease is renewed before it ends.",
		edits: edits{hearGo("\t\tl.urgent = l.urgent || !l.peer.acked // an adopted lease may be renewed from now on, and may not have long\n", "")},
	},
	{
		name: "first-frame-is-answered-with-the-next-beat", rings: "loop",
		rule:  "The first frame of a session is answered at once: the peer waits for its echo.",
		edits: edits{hearGo("\t\tl.urgent = true // it waits for the echo\n", "")},
	},
	{
		name: "restart-of-who-gave-up-lives-on", rings: "loop",
		rule:  "A node that gave itself up is given no time by a restart.",
		edits: edits{lwdGo("\t\tif yields {\n", "\t\tif yields {\n\t\t\tif w != nil {\n\t\t\t\t_ = w.Dog.Leave()\n\t\t\t}\n")},
	},
	{
		name: "restart-feeds-on", rings: "loop",
		rule:  "After a restart was asked for no feed puts the short timeout in force again.",
		edits: edits{lwdGo("l.watch.disarmed = true // a feed would put the working timeout in force again", "")},
	},
	{
		name: "restart-of-the-standby-is-missed", rings: "loop",
		rule:  "A standby that restarts says GOODBYE: its owner does not wait for its echoes, and fences nobody.",
		edits: edits{yieldGo("\t\t\tl.step(now, g, pair.Stop{})\n", "")},
	},
	{
		name: "restart-of-the-owner-gives-up", rings: "loop",
		rule:  "An owner that restarts says nothing of the kind.",
		edits: edits{yieldGo("if !owns && !l.watch.starved {", "if owns != l.watch.starved || !owns {")},
	},
	{
		name: "withdrawn-gate-is-granted", rings: "loop",
		rule:  "A gate is granted only while the machine waits for it.",
		edits: edits{applyGo("\tif !g.m.Asks(ticket) {\n\t\treturn // the machine thought better of it\n\t}\n", "")},
	},
	{
		name: "health-is-not-compared", rings: "loop",
		rule:  "Both nodes' health is compared after each heartbeat.",
		edits: edits{loopGo("\t\tl.compare(now)\n", "")},
	},
	{
		name: "health-of-a-silent-peer-counts", rings: "loop",
		rule:  "Only a peer in two-way contact that tells its health is compared.",
		edits: edits{healthGo("known := told && l.peer.known && l.twoWay(now)", "known := told || true")},
	},
	{
		name: "moves-for-health-are-not-counted", rings: "loop",
		rule:  "The moves for health of a day are counted.",
		edits: edits{applyGo("\t\t\tl.health.judge.Moved(time.Duration(now))\n", "")},
	},
	{
		name: "shared-fault-moves-to-and-fro", rings: "loop",
		rule:  "A node that has been about to fail for long waits for the hold, like any other.",
		edits: edits{judgeGo(" && (j.last.Urgent || now-j.illFrom <= urgentFor || !held)", "")},
	},
	{
		name: "each-group-is-a-move", rings: "loop",
		rule:  "However many groups follow a verdict, it is one move of the day.",
		edits: edits{judgeGo(" || j.left {", " {")},
	},
	{
		name: "health-travels-not", rings: "loop",
		rule:  "A heartbeat carries the node's health.",
		edits: edits{sendGo("m.Health, m.TimeToCritical = health.Byte(s.Score), timeToCritical(s)", "m.Health, m.TimeToCritical = health.Byte(health.Full), timeToCritical(s)")},
	},
	{
		name: "frame-comes-from-the-future", rings: "loop",
		rule:  "A frame that came during the turn counts as of its beginning.",
		edits: edits{hearGo("\tf.At = min(f.At, now) // it may have come since this turn began\n", "")},
	},
	{
		name: "slow-mark-is-no-stall", rings: "loop",
		rule:  "A process that stood still in the call that puts the mark has stood still.",
		edits: edits{loopGo("\t\tnow = l.o.Now() // the kernel may have been slow: that is a stall, too\n", "")},
	},
	{
		name: "grant-without-a-mark", rings: "loop",
		rule:  "A grant needs the mark of its turn.",
		edits: edits{loopGo("\t\t\tl.mark()\n\t\t\tlate =", "\t\t\tlate =")},
	},
	{
		name: "late-grant", rings: "loop",
		rule:  "A turn that put its mark after the decision grants nothing if it was late.",
		edits: edits{loopGo("late = l.o.Now().Since(began) > l.o.Window/2", "late = false")},
	},
	{
		name: "grant-without-a-heartbeat", rings: "loop",
		rule:  "A heartbeat goes out between the mark and the grant.",
		edits: edits{loopGo("\t\tif l.wantsOpen() && !late {\n\t\t\tl.send(now, wire.Beat, wire.AllGroups)\n\t\t}\n", "\t\t_ = now\n")},
	},
	{
		name: "grant-on-inputs-of-before-the-mark", rings: "loop",
		rule:  "After a late mark the inputs are looked at once more before the grant.",
		edits: edits{loopGo("\t\t\tl.drain(l.o.Now(), nil, nil)\n", "")},
	},
	{
		name: "renewal-before-the-heartbeat", rings: "loop",
		rule:  "A lease is renewed after the heartbeat of its turn.",
		edits: edits{sendGo("\tl.send(now, wire.Beat, wire.AllGroups)\n\tl.renew(now)\n", "\tl.renew(now)\n\tl.send(now, wire.Beat, wire.AllGroups)\n")},
	},
	{
		name: "renewal-without-a-mark", rings: "loop",
		rule:  "A renewal needs the mark of its turn.",
		edits: edits{sendGo("if l.tokenAt == 0 {", "if false {")},
	},
	{
		name: "renewal-without-leave", rings: "loop",
		rule:  "A lease is renewed only while the machine allows it.",
		edits: edits{sendGo("if !g.opened || !g.m.MayRenew(now) {", "if !g.opened {")},
	},
	{
		name: "stall-is-not-told", rings: "loop",
		rule:  "The machines are told when the process stood still.",
		edits: edits{loopGo("\tif gap <= l.o.Stall {\n", "\tif true {\n")},
	},
	{
		name: "suspend-is-not-told", rings: "loop",
		rule:  "Time for which the whole box slept counts as a stall.",
		edits: edits{loopGo("\t\t\tgap += s - l.suspended\n", "")},
	},
	{
		name: "gate-is-not-closed", rings: "loop",
		rule:  "A gate that the machine closes is closed in the same step.",
		edits: edits{applyGo("\terr := l.o.Gate.Close(uint8(g.index))\n", "\tvar err error\n")},
	},
	{
		name: "group-is-called-free-while-lit", rings: "loop",
		rule:  "A group whose gate would not close is not called free until its lease has run out.",
		edits: edits{applyGo("if freeing(a.Kind) && g.litUntil != 0 && l.o.Now() < g.litUntil {", "if false {")},
	},
	{
		name: "lit-too-short", rings: "loop",
		rule:  "A gate that would not close counts as open for a whole lease.",
		edits: edits{applyGo("g.litUntil = l.o.Now().Add(l.o.Lease)", "g.litUntil = l.o.Now().Add(l.o.Window)")},
	},
	{
		name: "grant-frees-while-lit", rings: "loop",
		rule:  "GRANT and GOODBYE free a group like RELEASED does.",
		edits: edits{applyGo("return k == pair.Released || k == pair.Grant || k == pair.Goodbye", "return k == pair.Released")},
	},
	{
		name: "announces-after-the-gate-closed", rings: "loop",
		rule:  "No announcement goes out for a group whose gate was closed.",
		edits: edits{applyGo("\tl.o.Hands.SetOwner(g.index, false)\n\terr := l.o.Gate.Close", "\terr := l.o.Gate.Close")},
	},
	{
		name: "announces-after-the-lease-was-lost", rings: "loop",
		rule:  "No announcement goes out for a group whose lease is gone.",
		edits: edits{factGo("\tl.o.Hands.SetOwner(g.index, false)\n", "")},
	},
	{
		name: "announces-though-refused", rings: "loop",
		rule:  "Announcements begin when the kernel has granted the lease.",
		edits: edits{applyGo("\tif held {\n\t\tg.opened", "\tl.o.Hands.SetOwner(g.index, true)\n\tif held {\n\t\tg.opened")},
	},
	{
		name: "refused-grant-is-told-as-held", rings: "loop",
		rule:  "The machine is told what the kernel answered to the grant.",
		edits: edits{applyGo("held := err == nil", "held := true")},
	},
	{
		name: "every-lost-lease-was-a-strangers-doing", rings: "loop",
		rule:  "A lease that ran out is not one that a stranger took.",
		edits: edits{factGo("Stranger: now.Since(g.renewed) < l.o.Lease/2", "Stranger: true")},
	},
	{
		name: "adopted-lease-counts-from-the-start", rings: "loop",
		rule:  "An adopted lease lasts for what the kernel says is left of it.",
		edits: edits{loopGo("g.renewed = now.Add(min(left, l.o.Lease) - l.o.Lease)", "_ = left")},
	},
	{
		name: "lapsed-lease-is-not-looked-for", rings: "loop",
		rule:  "A lease that nobody renewed for its length is looked for in the kernel.",
		edits: edits{sendGo("if now.Since(g.renewed) >= l.o.Lease {", "if false {")},
	},
	{
		name: "refused-renewal-is-passed-over", rings: "loop",
		rule:  "After a refused renewal the kernel is asked whether the lease is still held.",
		edits: edits{sendGo("\t\t\tl.verify(now, g)\n", "")},
	},
	{
		name: "frame-of-an-older-session-is-heard", rings: "loop",
		rule:  "Frames of another session than today's are not heard.",
		edits: edits{hearGo("\t\tif m.Session != l.session {\n\t\t\treturn", "\t\tif false {\n\t\t\treturn")},
	},
	{
		name: "arrival-counts-as-echo", rings: "loop",
		rule:  "Contact is when this node sent what the peer echoes, not when the frame came.",
		edits: edits{hearGo("EchoSentAt: l.sent.at(m.Echo),", "EchoSentAt: l.o.Now(),")},
	},
	{
		name: "forgotten-counter-echoes", rings: "loop",
		rule:  "An echo of a counter that is not remembered proves nothing.",
		edits: edits{hearGo("if c == 0 || r.counter[c%echoes] != c {", "if c == 0 {")},
	},
	{
		name: "echo-of-an-older-session-counts", rings: "loop",
		rule:  "Counters that were sent in another session prove nothing.",
		edits: edits{hearGo("\tl.sent = echoRing{}\n", "")},
	},
	{
		name: "echoes-what-another-session-said", rings: "loop",
		rule:  "Only counters of this session are echoed.",
		edits: edits{sendGo("if l.peer.known && l.peer.session == l.session {", "if l.peer.known {")},
	},
	{
		name: "another-configuration-is-accepted", rings: "loop",
		rule:  "A peer of another configuration is not accepted.",
		edits: edits{hearGo("m.Digest == l.o.Digest && ", "")},
	},
	{
		name: "another-protocol-is-accepted", rings: "loop",
		rule:  "A peer of another protocol is not accepted.",
		edits: edits{hearGo("m.Version>>8 == l.o.Soft>>8 && ", "")},
	},
	{
		name: "another-mode-is-accepted", rings: "loop",
		rule:  "A peer in another mode is not accepted.",
		edits: edits{hearGo("pair.Mode(m.Mode) == l.o.Mode && ", "")},
	},
	{
		name: "other-groups-are-accepted", rings: "loop",
		rule:  "A peer with another number of groups is not accepted.",
		edits: edits{hearGo(" && m.NGroups == len(l.groups)", "")},
	},
	{
		name: "word-for-one-group-counts-for-all", rings: "loop",
		rule:  "CLAIM, GRANT and RELEASED are of the group that they name.",
		edits: edits{hearGo("if m.GroupIndex == uint8(index) || m.GroupIndex == wire.AllGroups {", "if true {")},
	},
	{
		name: "passive-is-not-heard", rings: "loop",
		rule:  "What the peer says of itself reaches the machine: passive, unfit, to be fenced.",
		edits: edits{hearGo("\t\th.Passive = g.Flags&wire.Passive != 0\n", "")},
	},
	{
		name: "plea-to-be-fenced-is-not-sent", rings: "loop",
		rule:  "A node that could not stop a service says so in every frame.",
		edits: edits{sendGo("\t\tf |= wire.FenceMe\n", "")},
	},
	{
		name: "lease-is-told-without-the-window", rings: "loop",
		rule:  "The lease that is told to the peer includes the window.",
		edits: edits{sendGo("m.Lease = l.o.Lease + l.o.Window", "m.Lease = l.o.Lease")},
	},
	{
		name: "lease-of-the-peer-is-not-heard", rings: "loop",
		rule:  "The lease that the peer told reaches the machine.",
		edits: edits{hearGo("\t\tLease:      m.Lease,\n", "")},
	},
	{
		name: "counter-of-the-peer-is-not-heard", rings: "loop",
		rule:  "The order of the peer's frames reaches the machine.",
		edits: edits{hearGo("\t\tCounter:    m.Counter,\n", "")},
	},
	{
		name: "fence-notice-is-not-kept", rings: "loop",
		rule:  "A notice of being switched off is kept for the next boot.",
		edits: edits{hearGo("\tif m.Kind == wire.FenceNotice {\n\t\tl.noticed(now)\n\t}\n", "")},
	},
	{
		name: "fence-notice-is-forgotten-at-once", rings: "loop",
		rule:  "A notice is forgotten only when the longest fence has passed in contact.",
		edits: edits{keepGo(" && now.Since(l.noticedAt) > l.o.FenceTime {", " {")},
	},
	{
		name: "fences-before-the-token-is-spent-on-disk", rings: "loop",
		rule:  "The boot token is spent on disk before the device is asked.",
		edits: edits{lfenGo("\t\tif owed.Load() {\n", "\t\tif false {\n")},
	},
	{
		name: "fences-though-the-disk-refused-the-token", rings: "loop",
		rule:  "Without a token spent on disk the device is not asked, now or at the next try.",
		edits: edits{lfenGo("\t\t\t\treturn failed(err)\n", "")},
	},
	{
		name: "proof-of-a-withdrawn-fence-is-told", rings: "loop transcripts",
		rule: "The end of a fence that was withdrawn is not taken for that of the next.",
		edits: edits{
			lfenGo("if f.dropped && !r.Proven && len(f.waiting) > 0 {", "if false {"),
		},
	},
	{
		name: "renews-lifetimes-of-a-closed-group", rings: "loop",
		rule:  "The lifetimes of the addresses are renewed only while the gate is open.",
		edits: edits{keepGo("\tif !g.opened {\n\t\treturn\n\t}\n\thands, i", "\thands, i")},
	},
	{
		name: "puts-back-addresses-of-a-closed-group", rings: "loop",
		rule:  "Addresses that a stranger removed are put back only while the gate is open.",
		edits: edits{factGo("\tif !g.opened {\n\t\treturn\n\t}\n\tif g.mending {", "\tif g.mending {")},
	},
	{
		name: "terms-go-back-on-disk", rings: "loop",
		rule:  "The kept term never goes back.",
		edits: edits{keepGo("l.saved.Terms[g.index] = max(l.saved.Terms[g.index], p.Term)", "l.saved.Terms[g.index] = p.Term")},
	},
	{
		name: "a-machine-sees-data", rings: "loop",
		rule:  "DATA frames decide nothing and prove no contact.",
		edits: edits{hearGo("\t\tl.heardData(now, m)\n\t\treturn // no machine", "\t\tl.heardData(now, m) // no machine")},
	},
	{
		name: "data-in-the-way-of-a-heartbeat", rings: "loop",
		rule:  "DATA takes of a serial line what heartbeats leave, and what is left until the next one.",
		edits: edits{tellGo("min(left, beat) - beat*beatShare/100", "beat - beat*beatShare/200")},
	},
	{
		name: "data-in-the-way-of-a-claim", rings: "loop",
		rule:  "A node that is not heard puts no DATA on a serial line.",
		edits: edits{tellGo(" || !l.calm(now)", "")},
	},
	{
		name: "data-on-a-line-that-is-full", rings: "loop",
		rule:  "DATA waits until a serial line has made up for a burst of orders.",
		edits: edits{tellGo(" || l.data.quiet < quietBeats", "")},
	},
	{
		name: "alarm-before-the-announcement", rings: "loop",
		rule:  "What the network believes is announced again before it is an alarm.",
		edits: edits{upGo("badMost = 2", "badMost = 1")},
	},
	{
		name: "standby-believes-a-finding", rings: "loop",
		rule:  "Only the owner announces again.",
		edits: edits{upGo("if !g.opened || u.heardAt", "if u.heardAt")},
	},
}
