package loop

import (
	"context"
	"log/slog"
	"time"

	"github.com/twinbeat/twinbeat/agent/act"
	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// Bounds of the loop's queues. A full queue drops the newest and counts it:
// a lost frame is like one lost on the wire, and facts are repeated by their
// watchers.
const (
	FrameQueue = 64
	FactQueue  = 256
	OrderQueue = 16
	// drainMost bounds what one turn takes from each queue, so that a flood
	// cannot keep the loop from its heartbeat.
	drainMost = 256
	// idleWake is the shortest pause between two turns that only time calls
	// for; a machine that asks for the past must not spin the loop.
	idleWake = 200 * time.Microsecond
)

// A Gate is the kernel lease; see vip/gate. Grant and Renew return nil only if
// the kernel did it.
type Gate interface {
	Turn() error
	Grant(group uint8) error
	Renew(group uint8) error
	Close(group uint8) error
	Held(group uint8) (bool, time.Duration, error)
}

// A Path carries frames to the peer without ever blocking.
type Path interface {
	Send(payload []byte) error
	// Drain offers what has arrived to the loop, in the caller's goroutine.
	Drain()
	// Attend says whether the path is to be read as soon as something comes;
	// else it may wait for Drain. Only a Lazy link is told.
	Attend(closely bool)
	Open() (open bool, why string)
	Lines() pair.LineState // the peer's modem lines; unknown but for a full cable
	View() PathView
}

// Hands do what takes time. Each call runs in a lane, under its context.
type Hands interface {
	TakeAddresses(ctx context.Context, group int) error
	DropAddresses(ctx context.Context, group int) error
	StartServices(ctx context.Context, group int) error
	StopServices(ctx context.Context, group int) error
	Probe(ctx context.Context, group int, lasts time.Duration) (sent, foreign bool, who string)
	Announce(group int, why string)
	RenewAddresses(ctx context.Context, group int) (missing []string, err error)
	Fence(ctx context.Context) FenceDone
	FenceOn(ctx context.Context) error // nil only if the peer's outlets then read on
	FenceCheck(ctx context.Context) FenceCheck
	SetOwner(group int, owner bool)
}

// A Memory survives a reboot; see agent/journal.
type Memory interface {
	Save(Saved) error          // may wait for the disk
	SpendToken() error         // may wait for the disk
	RecordContact() error      // may wait for the disk
	Append(report.Event)       // does not wait
	Fenced(report.Fence) error // a line of the history of fences; may wait for the disk
}

// A Timer wakes the loop.
type Timer interface {
	// Reset makes Expired deliver once after d, instead of what was set
	// before; a delivery of before may still come.
	Reset(d time.Duration)
	Expired() <-chan time.Time
}

// plainTimer is Go's own.
type plainTimer struct{ t *time.Timer }

func (p plainTimer) Reset(d time.Duration)     { p.t.Reset(d) }
func (p plainTimer) Expired() <-chan time.Time { return p.t.C }

// A Board shows events to whoever asks; see agent/control.
type Board interface {
	// Add numbers an event and keeps it.
	Add(report.Event) report.Event
}

// Saved is what the loop wants kept.
type Saved struct {
	Terms       []uint32
	Unfit       []string
	Maintenance *report.Maintenance
	FencedBy    string // the peer's notice that it switches us off
	LastFence   *report.Fence
	Verified    *report.Verified
	Fences      []time.Duration // as pair.Budget has them
	Clean       bool            // the agent ended in order: every group was released, or left to the next one
}

// A Node names one of the two boxes.
type Node struct {
	ID   uint8
	Name string
}

// A Group is one machine and what it moves.
type Group struct {
	Name      string
	Pair      pair.Config
	Preferred string
	Failback  string
	Addresses []string
	Services  []string
	Start     pair.Start
	Slow      Deadlines
}

// Deadlines bound a group's slow actions.
type Deadlines struct{ Take, Drop, Start, Stop time.Duration }

// A Link is a path with its name and patience.
type Link struct {
	Name, Type string
	Dead       time.Duration
	Path       Path
	Lazy       bool // it can be left to Drain
	Baud       int  // of a serial line; 0: it is none
}

// Options compose a Loop.
type Options struct {
	Cluster, Version string
	Soft             uint16 // software version as the heartbeat carries it
	Digest           uint32
	Self, Peer       Node
	Mode             pair.Mode
	Guarantee        report.Guarantee
	Beat, Dead       time.Duration
	Window, Lease    time.Duration
	Stall            time.Duration // a longer gap between turns is reported to the machines
	FenceTime        time.Duration
	FenceName        string
	FenceWiring      string // fingerprint of devices and outlets; a verification is of one
	FenceBudget      int    // fences within an hour; 0: no bound
	NeedVerified     bool   // no fence without a verification of this wiring
	Repower          bool   // a fenced peer gets its power back
	Groups           []Group
	Links            []Link

	Wire    *wire.Endpoint
	Gate    Gate
	Hands   Hands
	Lanes   *act.Executor
	Results <-chan act.Result
	Board   Board
	Memory  Memory
	Saved   Saved
	Unsaved bool // Memory does not hold Saved yet
	Boot    uint32

	Health health.Config // when one node is better off
	Talk   Talk          // what is told beside heartbeats

	// GivenUp hears, in the loop, of a group that this node had and the peer owns
	// now. It must not wait. Nil: nobody asks; never called in lite.
	GivenUp func(group int)

	Watch     *Watch           // nil: there is no watchdog to feed
	NoDog     *report.Watchdog // what status shows then
	LastReset *report.Reset
	Uptime    func() time.Duration // of the kernel; nil: the peer's word on the last end is not taken
	// KeepReset has the journal say why this boot began, where there is no Watch to
	// record it. It does not wait. Nil: nobody keeps it.
	KeepReset func(why string)

	Timer     Timer               // nil: Go's own
	Now       func() pair.Instant // monotonic, never zero
	Suspended func() time.Duration
	Wall      func() time.Time
	Nonce     func() [16]byte
	Log       *slog.Logger
}

// A Loop drives the machines of one node.
type Loop struct {
	o         Options
	groups    []*group
	paths     []*path
	sent      echoRing
	fed       counterWindow
	peer      peer
	noticedAt pair.Instant // when the peer last said that it switches this node off
	aliveFrom pair.Instant // since when the peer is alive; zero if it is not
	session   uint32
	worn      bool // a new handshake was asked for, since the counter nears its end

	frames chan Frame
	facts  chan Fact
	orders chan order
	ended  chan struct{} // closed when Run returns

	clock     pair.Instant // newest instant that a machine has seen
	began     pair.Instant
	lastTurn  pair.Instant
	nextBeat  pair.Instant
	nextHello pair.Instant
	hellos    int // handshake attempts of this process
	nextSlow  pair.Instant
	tokenAt   pair.Instant // when the turn mark was last put; zero if not in this turn
	marked    bool         // and the kernel took it
	suspended time.Duration
	urgent    bool // a session began: beat now
	stopping  bool
	grace     time.Duration // for the orderly end

	helloBudget helloBudget
	fence       fenceState
	saved       Saved
	op          uint32                      // number of the newest slow action
	pending     map[uint32]func(error) Fact // what to make of one that does not come back
	late        []Fact                      // of actions that no lane would take
	contact     bool                        // the journal knows of two-way contact since the token was last spent
	saving      bool
	saveAgain   bool
	unsaved     bool // the last write failed
	alarms      map[string]report.Alarm
	moves       []move
	answered    *pair.Answer
	watch       guarding
	yield       yielding
	health      comparing
	counters    Counters
	sends       uint64 // messages put on the paths
	data        data
	differ      differing
	ending      ending
	buf         [wire.MaxFrame]byte
	message     wire.Message
}

// Counters count what the loop had to refuse or repeat.
type Counters struct {
	FramesDropped, FactsDropped, Turns, Stalls, SendErrors, GateErrors uint64
}

type group struct {
	Group
	index    int
	m        *pair.Machine
	last     pair.State
	opened   bool // the gate was granted and not closed since
	wantOpen uint32
	renewed  pair.Instant
	since    pair.Instant
	taken    *report.Event
	litUntil pair.Instant // a gate that would not close may be open until then
	unread   int          // times in a row that the kernel could not be asked
	mending  bool         // what is missing is being put back
	mendMore bool         // and more went missing meanwhile
	lan      lan
	had      bool // the gate was granted, and the peer not seen to own it since; see tellGivenUp
}

// New returns a loop that has not yet started.
func New(o Options) *Loop {
	l := &Loop{
		o: o, saved: o.Saved, unsaved: o.Unsaved,
		frames: make(chan Frame, FrameQueue),
		facts:  make(chan Fact, FactQueue),
		orders: make(chan order, OrderQueue),
		ended:  make(chan struct{}),
		alarms: map[string]report.Alarm{}, pending: map[uint32]func(error) Fact{},
	}
	l.health.judge, l.health.own = health.NewJudge(o.Health), l.health.board.State()
	l.differ = newDiffering(o.Talk)
	for i, g := range o.Groups {
		l.groups = append(l.groups, &group{Group: g, index: i, m: pair.New(g.Pair), last: pair.Boot})
	}
	for i, k := range o.Links {
		l.paths = append(l.paths, &path{Link: k, id: uint8(i)})
	}
	return l
}

// Run turns until ctx ends and every group is released, or until grace has
// passed after that.
func (l *Loop) Run(ctx context.Context, grace time.Duration) error {
	defer close(l.ended)
	l.grace = grace
	l.start()
	timer := l.o.Timer
	if timer == nil {
		timer = plainTimer{time.NewTimer(0)}
	}
	timer.Reset(0)
	done := ctx.Done()
	var giveUp <-chan time.Time
	for {
		var frame *Frame
		var fact Fact
		select {
		case f := <-l.frames:
			frame = &f
		case fact = <-l.facts:
		case r := <-l.o.Results:
			fact = l.finished(r)
		case o := <-l.orders:
			fact = o
		case <-timer.Expired():
		case <-done:
			done = nil
			giveUp = time.After(l.grace)
			fact = stopFact{}
		case <-giveUp:
			return context.DeadlineExceeded
		}
		l.turn(frame, fact)
		if l.stopping && l.stopped() && !l.saving {
			l.finish()
			return nil
		}
		timer.Reset(l.wait())
	}
}

func (l *Loop) start() {
	now := l.o.Now()
	l.began, l.lastTurn, l.nextBeat, l.nextHello = now, now, now, now
	l.suspended = l.o.Suspended()
	l.event(now, report.Event{Kind: "agent", Done: "started " + l.o.Version})
	l.mark()
	l.tellReset(now)
	l.recall(now)
	for _, g := range l.groups {
		g.since = now
		if g.Start.LeaseHeld { // the kernel held it for us while no agent ran
			g.opened, g.had, g.renewed = true, true, now
			if held, left, err := l.o.Gate.Held(uint8(g.index)); held && err == nil {
				g.renewed = now.Add(min(left, l.o.Lease) - l.o.Lease)
			}
			l.own(g)
		}
		l.step(now, g, g.Start)
	}
}

// tellReset tells why the box, or the agent, was started.
func (l *Loop) tellReset(now pair.Instant) {
	if r := l.o.LastReset; r != nil {
		l.event(now, report.Event{Kind: "agent", Seen: r.String(), Decided: "last end: " + r.Cause})
	}
}

// turn is one round of the loop; see the package comment for its order.
func (l *Loop) turn(frame *Frame, fact Fact) {
	now := l.o.Now()
	l.counters.Turns++
	l.tokenAt = 0
	if l.needMark(now, fact) {
		l.mark()
		now = l.o.Now() // the kernel may have been slow: that is a stall, too
	}
	l.noticeStall(now)
	if frame == nil {
		l.collect(now)
	}
	l.drain(now, frame, fact)
	for _, g := range l.groups {
		l.step(now, g, pair.Tick{})
	}
	l.judgeVerify(now)
	l.settle(now)
	if l.beat(now) {
		l.compare(now)
	}
	if len(l.moves) > 0 {
		l.finishMoves(now)
	}
	if now >= l.nextSlow {
		if l.nextSlow = l.nextSlow.Add(time.Second); l.nextSlow <= now {
			l.nextSlow = now.Add(time.Second)
		}
		l.housekeep(now)
	}
	l.guard()
}

// needMark says whether this turn may open a gate or renew a lease, and so
// needs the kernel's turn mark before it looks at its inputs.
func (l *Loop) needMark(now pair.Instant, fact Fact) bool {
	if now >= l.nextBeat || l.urgent {
		return true
	}
	_, opens := fact.(opener)
	return opens
}

func (l *Loop) mark() {
	l.tokenAt = l.o.Now()
	err := l.o.Gate.Turn()
	l.marked = err == nil
	why := ""
	if err != nil {
		l.counters.GateErrors++
		why = "mark turn in the kernel: " + err.Error()
	}
	l.alarm("gate", err != nil, why)
}

// noticeStall tells the machines when this process did not run for long.
func (l *Loop) noticeStall(now pair.Instant) {
	gap := now.Since(l.lastTurn)
	l.lastTurn = now
	if now >= l.nextBeat { // asked once a beat: the call costs a trap
		s := l.o.Suspended()
		if s-l.suspended > suspendGap {
			gap += s - l.suspended
		}
		l.suspended = s
	}
	if gap <= l.o.Stall {
		return
	}
	l.counters.Stalls++
	if w := l.o.Watch; w != nil {
		w.Guard.Paused(l.stamp(), gap)
	}
	for _, g := range l.groups {
		l.step(now, g, pair.Stalled{Gap: gap})
	}
}

// suspendGap is how far CLOCK_BOOTTIME may run ahead of CLOCK_MONOTONIC before
// the difference counts as a pause: the two are read a moment apart.
const suspendGap = 50 * time.Millisecond

// collect takes what has arrived and no reader has read: from a path that is
// left to it, and from all when the peer is late, since a machine may be about
// to judge its silence.
func (l *Loop) collect(now pair.Instant) {
	late := now.Since(l.peer.heardAt) > l.o.Beat+l.o.Beat/2
	for _, p := range l.paths {
		if late || p.Lazy && !p.closely {
			p.Path.Drain()
		}
	}
}

func (l *Loop) drain(now pair.Instant, frame *Frame, fact Fact) {
	if frame != nil {
		l.heard(now, frame)
	}
	if fact != nil {
		fact.apply(l, now)
	}
	late := l.late
	l.late = nil
	for _, f := range late {
		f.apply(l, now)
	}
	for range drainMost {
		select {
		case f := <-l.frames:
			l.heard(now, &f)
		case f := <-l.facts:
			f.apply(l, now)
		case r := <-l.o.Results:
			if f := l.finished(r); f != nil {
				f.apply(l, now)
			}
		case o := <-l.orders:
			o.apply(l, now)
		default:
			return
		}
	}
}

// settle opens the gates that the machines asked for. The mark came before the
// decision, so the kernel refuses a grant that is late. In a turn without a mark
// it is put now: then only the clock, read after it, can tell whether this
// process stood still since it decided. A heartbeat goes out between the mark
// and the grant, since the peer counts the lease from the last one.
func (l *Loop) settle(began pair.Instant) {
	for range 2 {
		if !l.wantsOpen() {
			return
		}
		late := false
		if l.tokenAt == 0 {
			l.mark()
			late = l.o.Now().Since(began) > l.o.Window/2
			l.drain(l.o.Now(), nil, nil)
		}
		now := l.o.Now()
		late = late || l.watch.starved // whoever gave up opens nothing
		if l.wantsOpen() && !late {
			l.send(now, wire.Beat, wire.AllGroups)
		}
		for _, g := range l.groups {
			if g.wantOpen != 0 {
				l.open(now, g, late)
			}
		}
	}
}

func (l *Loop) wantsOpen() bool {
	for _, g := range l.groups {
		if g.wantOpen != 0 {
			return true
		}
	}
	return false
}

// wait says how long the loop may sleep when nothing happens.
func (l *Loop) wait() time.Duration {
	now := l.o.Now()
	if l.urgent || l.wantsOpen() || len(l.late) > 0 {
		return 0
	}
	next := l.nextBeat
	for _, g := range l.groups {
		if at := g.m.Next(); at != 0 && at < next {
			next = at
		}
	}
	return max(next.Since(now), idleWake)
}

func (l *Loop) stopped() bool {
	for _, g := range l.groups {
		if !g.m.View().Stopped {
			return false
		}
	}
	return true
}

// Offer queues a frame from a link's reader; false means the queue was full.
func (l *Loop) Offer(f Frame) bool {
	select {
	case l.frames <- f:
		return true
	default:
		return false
	}
}

// Tell queues a fact from a watcher; false means the queue was full and the
// watcher should tell again.
func (l *Loop) Tell(f Fact) bool {
	select {
	case l.facts <- f:
		return true
	default:
		return false
	}
}
