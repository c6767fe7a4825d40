// Package agent composes a running agent from a configuration: it opens the
// journal, the kernel lease, the links and the control socket, asks the kernel
// what this node still holds, and hands everything to the loop. It decides
// nothing itself. Start reading at [Run].
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/act"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// Options say what to run.
type Options struct {
	ConfigPath string
	Node       string // empty: the host name
	Log        *slog.Logger
	Version    string

	Hangup <-chan os.Signal               // asks for a reload; nil: none comes
	Settle <-chan chan<- struct{}         // that may come soon; what comes is closed once the disk has nothing to write
	Yield  <-chan chan<- struct{}         // the process is about to end for another; what comes is closed once it may
	Became time.Duration                  // when the process was another agent until, see [Program]; zero: never
	Redact func(key, value string) string // a value without its secrets; nil: nothing of it is shown
}

// stopGrace is what the orderly end may take beyond the stop timeouts of the
// services of the slowest group.
const stopGrace = 30 * time.Second

// softVersion is what heartbeats say of the software: major and minor of the
// protocol's meaning, not of the release. Nodes whose major differs do not
// take over from each other.
const softVersion = 1 << 8

// resultQueue is how many ends of slow actions may wait for the loop; it is
// more than the lanes can have under way.
const resultQueue = 128

// An agent is everything between Run and its return.
type agent struct {
	opts    Options
	cfg     config.Config
	keys    *wire.Keyring
	keyInfo os.FileInfo // of the key file, before it was read
	journal *journal.Journal
	state   journal.State
	server  *control.Server
	board   *control.Board
	wire    *wire.Endpoint
	lease   leaseholder
	memory  *memory
	hands   *hands
	paths   []*path
	loop    *loop.Loop
	timer   *timer
	dogs    dogs
	noDog   error // why a device of the configuration is not open
	running running
	roster  roster
	kick    report.Kick
	log     *slog.Logger

	inherited []int // packet sockets of the agent that the process was before
	group     sync.WaitGroup

	notifier *notifier       // nil: no service manager listens
	inner    context.Context // of what a reload starts: outlives the one of Run

	parts   sync.Mutex // of what a reload may replace, as follows
	watched []*watched
	alerts  alerts
	senses  senses // nil: no sensors are read
}

// Run runs the agent until ctx ends, then gives up its groups in order and
// returns.
func Run(ctx context.Context, o Options) error {
	hurry() // at once: after a restart a lease is running out
	a := &agent{opts: o, log: o.Log}
	a.inherit()
	if err := a.load(); err != nil {
		return err
	}
	beFrugal()
	oneProcessor()
	var err error
	if a.notifier, err = newNotifier(); err != nil {
		a.log.Warn("the service manager will not hear from this agent", "err", err)
	}
	// Before anything is touched: a second agent must find out here.
	if a.server, err = control.Listen(control.Config{Path: a.cfg.ControlSocket, Group: a.cfg.ControlGroup}); err != nil {
		return err
	}
	defer a.server.Close()
	awaitRandom(a.log)
	if err := a.openWatchdog(); err != nil {
		return err
	}
	// What the agent starts outlives ctx: giving up the groups in order takes
	// the links, the lanes and the kernel.
	inner, cancel := context.WithCancel(context.Background())
	defer a.group.Wait()
	defer cancel()
	if err := a.open(inner); err != nil {
		return err
	}
	return a.serve(ctx, inner)
}

// serve names every goroutine of the process: one reader a link, the watchers,
// the monitors, the lanes (in act), the control socket, who tells of alarms, those
// who read sensors, who clears up after an agent that was here before; the loop is
// this one.
func (a *agent) serve(ctx, inner context.Context) error {
	a.inner = inner
	for i, p := range a.paths {
		a.group.Go(func() { p.run(inner, uint8(i), a.loop.Offer) })
	}
	a.group.Go(func() { a.timer.run(inner) })
	a.watch(inner)
	a.watchMonitors(inner)
	a.group.Go(func() {
		if err := a.server.Serve(inner, handler{a}); err != nil {
			a.log.Error("control socket", "err", err)
		}
	})
	a.notify(ctx, inner)
	a.alerts.run(inner, &a.group)
	if len(a.dogs) == 0 {
		a.group.Go(func() { a.keepKick(a.kick) })
	}
	a.group.Go(func() { a.makeRoom(inner) })
	if a.cfg.Realtime {
		a.realtime()
	} else {
		a.group.Go(func() { shedding(inner) })
	}
	if a.opts.Became != 0 {
		a.group.Go(func() { a.closeInherited(inner) })
	}
	a.awaitPath()
	grace := endsWithin(a.cfg)
	err := a.loop.Run(ctx, grace)
	a.hands.endBounces()
	if err == nil && !a.loop.Starved() {
		a.leaveWatchdog()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop: groups were not released within %s; their leases run out by themselves", grace)
	}
	if left := a.left(); left != "" {
		// The gate stays: it keeps dark what could not be removed.
		a.log.Error("addresses are left in the kernel, the gate stays closed over them", "address", left)
		return err
	}
	return errors.Join(err, a.hands.kernel.EnsureVirtual(a.cfg.Cluster, nil), a.lease.Remove())
}

// endsWithin is what the orderly end may take.
func endsWithin(c config.Config) time.Duration {
	grace := stopGrace
	for _, g := range c.Groups {
		d := deadlines(g)
		grace = max(grace, stopGrace+d.Stop+d.Drop)
	}
	return grace
}

// firstPath is how long the loop waits for a path to be open, at most.
const firstPath = 20 * time.Millisecond

// awaitPath lets the first HELLO find an open path. The next one comes 100 ms
// later: a third of the lease that an agent after a restart has to be heard.
func (a *agent) awaitPath() {
	const step = time.Millisecond
	for range firstPath / step {
		for _, p := range a.paths {
			if up, _ := p.Open(); up {
				return
			}
		}
		time.Sleep(step)
	}
}

// left names an address of a group that is still in this kernel, or why that
// cannot be known; empty if there is none.
func (a *agent) left() string {
	ctx, cancel := context.WithTimeout(context.Background(), slowMargin)
	defer cancel()
	for _, g := range a.hands.groups {
		held, err := a.hands.kernel.Held(ctx, g.group().Placed())
		if err != nil {
			return err.Error()
		}
		if len(held) > 0 {
			return held[0].String()
		}
	}
	return ""
}

// load reads and checks everything that may be refused before the first effect.
func (a *agent) load() error {
	data, err := os.ReadFile(a.opts.ConfigPath)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	node, err := a.nodeName()
	if err != nil {
		return err
	}
	cfg, problems := config.Parse(a.opts.ConfigPath, data, node)
	if !config.Refused(problems) {
		for _, p := range ExamineBuild(cfg) {
			p.File = a.opts.ConfigPath
			problems = append(problems, p)
		}
	}
	for _, p := range problems {
		if p.Warning {
			a.log.Warn("configuration", "line", p.Line, "key", p.Key, "text", p.Text, "hint", p.Hint)
			continue
		}
		err = errors.Join(err, p)
	}
	if err != nil {
		return err
	}
	a.cfg = cfg
	a.running.cfg, a.running.text = cfg, data
	a.keyInfo, _ = os.Stat(cfg.KeyFile) // LoadKeys says what is wrong with it
	a.keys, err = LoadKeys(cfg.KeyFile)
	return err
}

func (a *agent) nodeName() (string, error) {
	if a.opts.Node != "" {
		return a.opts.Node, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find own name: %w", err)
	}
	return name, nil
}

// running is the configuration that the agent runs with, as of the newest reload.
type running struct {
	one  sync.Mutex // held by the reload under way
	cfg  config.Config
	text []byte // of the file
	torn bool   // by a reload that failed and could not be put back; see tornText
}

// open prepares the journal, the kernel lease, the links and the loop.
func (a *agent) open(ctx context.Context) error {
	var troubles []error
	late := a.opts.Became != 0 // the disk is left alone until the leases are renewed
	a.journal, a.state, troubles = journal.OpenWith(a.cfg.StateDir, journal.Options{Late: late})
	if err := errors.Join(troubles...); errors.Is(err, journal.ErrLocked) {
		return err
	}
	earlier, err := a.journal.Events()
	if err != nil {
		troubles = append(troubles, err)
	}
	a.board, a.memory = control.NewBoard(earlier), newMemory(a)
	if a.hands, err = newHands(a.cfg, a.log, a.checkHook); err != nil {
		return err
	}
	how, lease, err := a.openLease(ctx)
	if err != nil {
		return err
	}
	self, peer := a.cfg.Nodes[a.cfg.Self], a.cfg.Nodes[1-a.cfg.Self]
	a.wire = wire.NewEndpoint(wire.Config{
		Cluster: a.cfg.Cluster, Node: self.ID, Peer: peer.ID, Nonce: nonce(),
		BootID: a.state.Boot, Keys: a.keys, Links: len(a.cfg.Links),
	})
	for i, l := range a.cfg.Links {
		read, write := a.linkHooks(l)
		p, err := newPath(l, a.cfg.Timing, read, write)
		if err != nil {
			return err
		}
		p.opener = a.wire.Opener(uint8(i))
		a.paths = append(a.paths, p)
	}
	if err := a.newMonitors(); err != nil {
		return err
	}
	if a.timer, err = newTimer(); err != nil {
		return err
	}
	a.loop = a.compose(ctx, how, lease)
	a.hands.tell, a.hands.vote = a.loop.Tell, a.loop.Vote
	a.hands.insist = func(f loop.Fact) { a.insist(f) }
	a.hands.raiseBounced()
	if _, weak := a.lease.(*lifetimeLease); weak {
		a.loop.Tell(loop.AlarmChanged{
			Name: "lease", On: true,
			Text: fmt.Sprintf("the lease is held by %s: takeovers wait %s instead of %s", how, lease, a.cfg.Timing.Takeover),
		})
	}
	a.tellWatchdog()
	a.openAlerts()
	if err := a.openSensors(); err != nil {
		return err
	}
	for _, t := range troubles {
		a.loop.Tell(loop.AlarmChanged{Name: "journal", On: true, Text: t.Error()})
	}
	return nil
}

// compose builds the loop.
func (a *agent) compose(ctx context.Context, how string, lease time.Duration) *loop.Loop {
	c, t := a.cfg, a.cfg.Timing
	self, peer := c.Nodes[c.Self], c.Nodes[1-c.Self]
	results := make(chan act.Result, resultQueue)
	t.Lease = lease
	t.Takeover = max(t.Takeover, lease+t.Window+config.Probes*t.Probe+t.Reserve)
	o := loop.Options{
		Cluster: c.Cluster, Version: a.opts.Version, Soft: softVersion, Digest: c.Digest,
		Self: loop.Node(self), Peer: loop.Node(peer), Mode: mode(c.Mode),
		Guarantee: guarantee(c, lease, how),
		Beat:      t.Beat, Dead: t.Dead, Window: t.Window, Lease: lease, Stall: lease / 2,
		Wire: a.wire, Gate: a.lease, Hands: a.hands,
		Lanes: act.New(ctx, results), Results: results,
		Board: a.board, Memory: a.memory, Saved: a.saved(), Unsaved: a.opts.Became != 0, Boot: a.state.Boot,
		Timer: a.timer, Now: monotonic, Suspended: suspended, Wall: time.Now, Nonce: nonce, Log: a.log,
	}
	o.Health = health.Config(c.Health)
	t.BootWait = a.bootWait(t)
	fenceOptions(c, &o, a.hands.fenceName())
	a.composeWatch(&o)
	a.composeBounce(&o)
	o.Talk = a.talk(a.running.text)
	for i := range c.Groups {
		o.Groups = append(o.Groups, a.composeGroup(ctx, i, t))
	}
	for i, l := range c.Links {
		o.Links = append(o.Links, loop.Link{
			Name: l.Name, Type: l.Type, Dead: l.Dead, Path: a.paths[i], Lazy: a.paths[i].attend != nil, Baud: l.Baud,
		})
	}
	return loop.New(o)
}

// composeGroup builds one group with its first input: what the journal
// promised and the kernel holds.
func (a *agent) composeGroup(ctx context.Context, i int, t config.Timing) loop.Group {
	c, g := a.cfg, a.cfg.Groups[i]
	held := a.adopts(i)
	a.hands.adopted[i] = held
	a.hands.holdPorts(i, held)
	if !held {
		a.hands.emptyVirtual(ctx, i)
	}
	var retry time.Duration
	if c.Fence != nil {
		retry = c.Fence.Retry
	}
	out := loop.Group{
		Name: g.Name, Preferred: c.Nodes[g.Preferred].Name, Failback: g.Failback,
		Slow: deadlines(g),
		Pair: pair.Config{
			Group: g.Name, Index: i, Preferred: g.Preferred == c.Self, LowerID: c.Self == 0,
			Mode: mode(c.Mode), HasFence: c.Fence != nil,
			Beat: t.Beat, Dead: t.Dead, Lease: t.Lease, Window: t.Window, Takeover: t.Takeover,
			Ack: t.Ack, Init: t.BootWait, Race: t.Race, FenceSpare: t.FenceSpare(), Reserve: t.Reserve,
			Probe:    config.Probes * t.Probe,
			Failback: failback(g.Failback), FailbackHold: g.FailbackHold,
			FlapMax: g.FlapMax, FlapWindow: g.FlapWindow, FenceRetry: retry,
			NoServices: len(g.Services) == 0, StopFailureFence: g.FencesOnStop(),
		},
		Start: pair.Start{
			Term: a.state.Terms[g.Name], Token: a.state.Token,
			Maintenance: a.state.Maintenance != nil,
			Failed:      a.state.Unfit[g.Name] != "", LeaseHeld: held,
			FencedLast: a.state.FencedBy != "",
		},
	}
	out.Addresses, out.Services = contents(g)
	return out
}

// contents names what a group moves.
func contents(g config.Group) (addresses, services []string) {
	for _, v := range g.VIP.Addresses {
		addresses = append(addresses, v.String())
	}
	for _, s := range g.Services {
		services = append(services, s.Name)
	}
	return addresses, services
}

// slowMargin is what a lane gets beyond the sum of its steps' timeouts.
const slowMargin = 5 * time.Second

// deadlines adds up the steps of a group.
func deadlines(g config.Group) loop.Deadlines {
	d := loop.Deadlines{Take: 10 * time.Second, Drop: 10 * time.Second, Start: slowMargin, Stop: slowMargin}
	for _, s := range g.Services {
		if s.Driver == "ocf" { // what is open, its agent says later, up to this
			s.StartTimeout, s.StopTimeout = cmp.Or(s.StartTimeout, service.MaxAdvised), cmp.Or(s.StopTimeout, service.MaxAdvised)
			s.StatusTimeout = cmp.Or(s.StatusTimeout, service.MaxAdvised)
		}
		// A failed start stops what it started.
		d.Start += s.StartTimeout + s.StopTimeout + 2*s.StatusTimeout
		d.Stop += s.StopTimeout + 2*s.StatusTimeout
	}
	return d
}
