package loop

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/vital"
)

const (
	dogTimeout  = 5 * time.Second
	dogEvery    = 610 * time.Millisecond // between two beats
	dogPatience = 3 * time.Second
)

// A fakeDog resets nothing, but knows when it would have.
type fakeDog struct {
	left  int
	guard *vital.Guard
	now   func() pair.Instant

	mu        sync.Mutex
	feeds     []pair.Instant
	feedErr   error
	feedSlow  time.Duration
	disarmErr error
	disarmed  int
	askErr    error
	diskErr   error
	kicks     []report.Kick
	dumps     []string
	idle      map[int]bool  // sources whose worker does nothing any more
	ask, disk chan struct{} // not nil: closed when the call may come back
	over      chan struct{}
}

func (d *fakeDog) set(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fn()
}

func (d *fakeDog) Feed() error {
	d.mu.Lock()
	wait := d.feedSlow
	d.mu.Unlock()
	time.Sleep(wait)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.feeds = append(d.feeds, d.now())
	return d.feedErr
}

func (d *fakeDog) Leave() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left++
	return nil
}

func (d *fakeDog) Disarm() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disarmed++
	return d.disarmErr
}

func (d *fakeDog) Devices() []report.WatchdogDev { return []report.WatchdogDev{{Path: "/dev/fake"}} }

func (d *fakeDog) hold(gate *chan struct{}, err *error) error {
	d.mu.Lock()
	wait := *gate
	d.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-d.over:
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return *err
}

func (d *fakeDog) fed() (n int, last pair.Instant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.feeds) == 0 {
		return 0, 0
	}
	return len(d.feeds), d.feeds[len(d.feeds)-1]
}

// work proves the tokens of the workers that are not the loop's own.
func (d *fakeDog) work() {
	for {
		select {
		case <-d.over:
			return
		case <-time.After(100 * time.Millisecond):
		}
		d.mu.Lock()
		for _, token := range []vital.Token{vital.SerialRead, vital.SerialWrite, vital.Multicast, vital.Health} {
			if !d.idle[int(token)] {
				d.guard.Done(int(token), time.Duration(d.now()))
			}
		}
		d.mu.Unlock()
	}
}

// watched gives a node's loop a watchdog and one source for every token, whose
// number is the token's.
func watched(o *Options) *fakeDog {
	d := &fakeDog{now: o.Now, idle: map[int]bool{}, over: make(chan struct{})}
	sources := make([]vital.Source, vital.Tokens)
	for i := range sources {
		sources[i] = vital.Source{Token: vital.Token(i), Every: time.Second, Takes: dogPatience}
	}
	sources[vital.Journal].Every = 10 * time.Second
	d.guard = vital.New(time.Duration(o.Now()), 30*time.Second, sources)
	o.Watch = &Watch{
		Dog: d, Guard: d.guard, Every: dogEvery,
		Machine: int(vital.Machine), Lease: int(vital.Lease), Netlink: int(vital.Netlink), Journal: int(vital.Journal),
		NetlinkEvery: time.Second, JournalEvery: 10 * time.Second, Patience: dogPatience,
		Ask: func() error { return d.hold(&d.ask, &d.askErr) },
		Record: func(k report.Kick) error {
			d.set(func() { d.kicks = append(d.kicks, k) })
			return d.hold(&d.disk, &d.diskErr)
		},
		Dump: func(why string) { d.set(func() { d.dumps = append(d.dumps, why) }) },
	}
	return d
}

// kennel plays a story of two nodes with a watchdog each.
func kennel(t *testing.T, s setup, fn func(r *rig, a, b *node, dogs [2]*fakeDog)) {
	t.Helper()
	var dogs [2]*fakeDog
	change := s.change
	s.change = func(i int, o *Options) {
		dogs[i] = watched(o)
		if change != nil {
			change(i, o)
		}
	}
	lone(t, s, func(r *rig, a, b *node) {
		for _, d := range dogs {
			go d.work()
			defer close(d.over)
		}
		r.await("the standby is armed", 3*time.Second, func() bool { return b.view().Groups[0].State == "ARMED" })
		time.Sleep(2 * time.Second)
		fn(r, a, b, dogs)
	})
}

// standstill is a fault of the loop: it turns, but beats no more.
type standstill struct{}

func (standstill) apply(l *Loop, now pair.Instant) { l.nextBeat, l.urgent = now.Add(time.Hour), false }

// kick wakes the loop as a busy link does.
func kick(a *node, d *fakeDog) {
	for {
		select {
		case <-d.over:
			return
		case <-time.After(20 * time.Millisecond):
			a.loop.Tell(AlarmChanged{Name: "nothing"})
		}
	}
}

// starvations starve one token each.
var starvations = []struct {
	token  vital.Token
	starve func(a *node, d *fakeDog)
	most   time.Duration // until the node gives up
}{
	{vital.Machine, func(a *node, d *fakeDog) {
		go kick(a, d)
		a.loop.Tell(standstill{})
	}, dogPatience + 2*time.Second},
	{vital.SerialRead, func(_ *node, d *fakeDog) { d.idle[int(vital.SerialRead)] = true }, dogPatience + 2*time.Second},
	{vital.SerialWrite, func(_ *node, d *fakeDog) { d.idle[int(vital.SerialWrite)] = true }, dogPatience + 2*time.Second},
	{vital.Multicast, func(_ *node, d *fakeDog) { d.idle[int(vital.Multicast)] = true }, dogPatience + 2*time.Second},
	{vital.Netlink, func(_ *node, d *fakeDog) { d.ask = make(chan struct{}) }, dogPatience + 3*time.Second},
	{vital.Lease, func(a *node, _ *fakeDog) { a.gate.set(func() { a.gate.turnErr = errRefused }) }, dogPatience + 2*time.Second},
	{vital.Journal, func(_ *node, d *fakeDog) { d.disk = make(chan struct{}) }, dogPatience + 11*time.Second},
	{vital.Health, func(_ *node, d *fakeDog) { d.idle[int(vital.Health)] = true }, dogPatience + 2*time.Second},
}

func TestEachStarvedTokenEndsTheNode(t *testing.T) {
	for _, c := range starvations {
		for _, who := range []string{"owner", "standby"} {
			t.Run(c.token.String()+" of the "+who, func(t *testing.T) {
				kennel(t, setup{groups: 2}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
					n, other, d := a, b, dogs[0]
					if who == "standby" {
						n, other, d = b, a, dogs[1]
					}
					if k, _ := d.fed(); k == 0 {
						t.Fatal("it was never fed")
					}
					d.set(func() { c.starve(n, d) })
					r.await("the node gives up", c.most, func() bool {
						d.mu.Lock()
						defer d.mu.Unlock()
						return len(d.dumps) > 0
					})
					d.set(func() {
						if !strings.Contains(d.dumps[0], c.token.String()) {
							t.Errorf("it gave up for %q", d.dumps[0])
						}
					})
					fed, last := d.fed()
					r.await("the peer owns", time.Second, other.ownsAll)
					if left := dogTimeout - r.now().Since(last); left <= 0 {
						t.Errorf("the peer owns %v after the reset", -left)
					}
					n.checkGivenUp(last, d)
					time.Sleep(20 * time.Second)
					if now, _ := d.fed(); now != fed {
						t.Errorf("fed %d times after it gave up", now-fed)
					}
					if n.owns(0) || n.owns(1) || n.view().Watchdog.State != "starved" || !n.alarmed("watchdog-starved") {
						t.Errorf("status: %+v", n.view().Watchdog)
					}
					if k, _ := dogs[1-n.i].fed(); k < 30 || dogs[1-n.i].guard.Judge(time.Duration(r.now())) != vital.Well {
						t.Error("the peer gave up, too")
					}
				})
			})
		}
	}
}

// checkGivenUp holds the order of the end: gates, GOODBYE, and no feed between.
func (n *node) checkGivenUp(last pair.Instant, d *fakeDog) {
	t := n.rig.t
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	bye := slices.IndexFunc(n.trace, func(s step) bool { return s.what == "tx goodbye" })
	if bye < 0 {
		t.Error("no GOODBYE was said")
		return
	}
	if at := n.trace[bye].at; at < time.Duration(last) {
		t.Errorf("fed %v after GOODBYE", time.Duration(last)-at)
	}
	for _, s := range n.trace[bye:] {
		if s.what == "grant" && s.ok || s.what == "renew" {
			t.Errorf("%s after GOODBYE", s.what)
		}
	}
	if len(d.dumps) != 1 {
		t.Errorf("dumps: %q", d.dumps)
	}
}

func TestStarvingIsRecorded(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		d := dogs[0]
		d.set(func() { d.idle[int(vital.Multicast)] = true })
		r.await("the record", 6*time.Second, func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			k := d.kicks[len(d.kicks)-1]
			return k.State == "starved" && len(k.Stale) == 1 && strings.HasPrefix(k.Stale[0], "multicast")
		})
	})
}

func TestItIsFedOnlyAfterHeartbeatsAndNotMoreOftenThanAsked(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		d := dogs[0]
		go kick(a, d) // turns without heartbeats
		time.Sleep(10 * time.Second)
		d.mu.Lock()
		feeds := slices.Clone(d.feeds)
		d.mu.Unlock()
		if len(feeds) < 15 || len(feeds) > 25 {
			t.Errorf("%d feeds", len(feeds))
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for i, at := range feeds {
			if i > 0 && at.Since(feeds[i-1]) < dogEvery {
				t.Errorf("two feeds within %v", at.Since(feeds[i-1]))
			}
			if !slices.ContainsFunc(a.trace, func(s step) bool { return s.at == time.Duration(at) && strings.HasPrefix(s.what, "tx ") }) {
				t.Errorf("fed at %v, in a turn without heartbeats", time.Duration(at))
			}
		}
	})
}

func TestDeadLinksStarveNothing(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		b.kill()
		time.Sleep(30 * time.Second)
		if dogs[0].guard.Judge(time.Duration(r.now())) != vital.Well || !a.ownsAll() {
			t.Errorf("a dead peer starves: %v", dogs[0].guard.Stale())
		}
	})
}

func TestALoopThatStoodStillIsNotLate(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		a.freeze(4 * time.Second) // longer than any token's patience
		time.Sleep(4 * time.Second)
		before, _ := dogs[0].fed()
		time.Sleep(6 * time.Second)
		if after, _ := dogs[0].fed(); after <= before {
			t.Errorf("not fed any more: %v", dogs[0].guard.Stale())
		}
	})
}

func TestALoopThatHangsFeedsNothing(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		a.freeze(20 * time.Second)
		time.Sleep(time.Second)
		before, _ := dogs[0].fed()
		time.Sleep(18 * time.Second)
		if after, _ := dogs[0].fed(); after != before {
			t.Errorf("%d feeds by somebody else", after-before)
		}
		if !b.ownsAll() {
			t.Error("the peer did not take over")
		}
		time.Sleep(3 * time.Second)
	})
}

func TestADiskThatIsFullIsNoStuckDisk(t *testing.T) {
	for _, c := range []struct {
		err  error
		well bool
	}{{syscall.ENOSPC, true}, {syscall.EDQUOT, true}, {syscall.EROFS, true}, {syscall.EIO, false}} {
		t.Run(c.err.Error(), func(t *testing.T) {
			kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
				dogs[0].set(func() { dogs[0].diskErr = c.err })
				r.await("alarm", 12*time.Second, func() bool { return a.alarmed("watchdog-record") })
				time.Sleep(20 * time.Second)
				if well := dogs[0].guard.Judge(time.Duration(r.now())) == vital.Well; well != c.well {
					t.Errorf("well %v: %v", well, dogs[0].guard.Stale())
				}
			})
		})
	}
}

func TestASaveThatHangsIsAStuckDisk(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		a.memory.set(func() { a.memory.slow = time.Minute })
		if _, err := order1(t, a, Order{Command: OrderMaintenanceOn, Reason: "to save something", Force: true}); err != nil {
			t.Fatal(err)
		}
		r.await("the node gives up", dogPatience+2*time.Second, func() bool { return a.alarmed("watchdog-starved") })
		a.memory.set(func() { a.memory.slow = 0 })
		time.Sleep(time.Minute)
	})
}

func TestWhatNeverWorkedIsLeftOutWithAnAlarm(t *testing.T) {
	broken := func(_ int, o *Options) { o.Watch.Ask = func() error { return errors.New("no such protocol") } }
	kennel(t, setup{change: broken}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		if n, _ := dogs[0].fed(); n > 0 {
			t.Error("fed before all had worked")
		}
		r.await("fed all the same", 31*time.Second, func() bool { n, _ := dogs[0].fed(); return n > 0 })
		r.await("alarm", time.Second, func() bool { return a.alarmed("watchdog-unproven") && a.alarmed("netlink") })
		if v := a.view().Watchdog; !slices.Contains(v.LeftOut, "netlink") || v.State != "fed" || len(v.Tokens) != int(vital.Tokens) {
			t.Errorf("status: %+v", v)
		}
	})
}

func TestAFeedThatFailsOrIsSlowIsAnAlarm(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		d := dogs[0]
		d.set(func() { d.feedErr = syscall.EIO })
		r.await("alarm", time.Second, func() bool { return a.alarmed("watchdog") })
		d.set(func() { d.feedErr = nil })
		r.await("clear", time.Second, func() bool { return !a.alarmed("watchdog") })
		d.set(func() { d.feedSlow = 100 * time.Millisecond })
		r.await("alarm", time.Second, func() bool { return a.alarmed("watchdog") })
		d.set(func() { d.feedSlow = 0 })
		time.Sleep(time.Second)
	})
}

func TestDisarm(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		d := dogs[0]
		d.set(func() { d.disarmErr = errors.New("nowayout") })
		if _, err := order1(t, a, Order{Command: OrderWatchdogDisarm}); err == nil {
			t.Error("a refusal was not told")
		}
		d.set(func() { d.disarmErr = nil })
		if _, err := order1(t, a, Order{Command: OrderWatchdogDisarm, By: "alice"}); err != nil {
			t.Fatal(err)
		}
		before, _ := d.fed()
		time.Sleep(3 * time.Second)
		if after, _ := d.fed(); after != before || !a.alarmed("watchdog-disarmed") || a.view().Watchdog.State != "disarmed" {
			t.Errorf("%d feeds, %+v", after-before, a.view().Watchdog)
		}
	})
	bubble(t, setup{}, func(r *rig, a, b *node) {
		if _, err := order1(t, a, Order{Command: OrderWatchdogDisarm}); err == nil {
			t.Error("there is none to disarm")
		}
	})
}

func TestACleanEndDoesNotDisarm(t *testing.T) {
	var dog *fakeDog
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		dog = dogs[0]
		a.end2()
		if a.loop.Starved() {
			t.Error("an orderly end starves")
		}
	})
	if dog.disarmed > 0 {
		t.Error("disarmed without an order")
	}
}

func TestARestartLeavesTheNextAgentTheTimeToStart(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		done := make(chan struct{})
		began := time.Now()
		a.loop.Tell(Yield{Done: done})
		<-done
		if took := time.Since(began); took > time.Millisecond {
			t.Errorf("it took %v of the lease", took)
		}
		var left, fed int
		dogs[0].set(func() { left, fed = dogs[0].left, len(dogs[0].feeds) })
		time.Sleep(5 * dogEvery)
		dogs[0].set(func() {
			if left != 1 || len(dogs[0].feeds) != fed || dogs[0].disarmed != 0 {
				t.Errorf("left %d times, fed %d times after it, disarmed %d times", left, len(dogs[0].feeds)-fed, dogs[0].disarmed)
			}
		})
	})
}

func TestARestartDoesNotSaveANodeThatGaveUp(t *testing.T) {
	kennel(t, setup{}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		dogs[0].set(func() { dogs[0].idle[int(vital.Multicast)] = true })
		r.await("it gives up", time.Minute, func() bool { return a.alarmed("watchdog-starved") })
		done := make(chan struct{})
		a.loop.Tell(Yield{Done: done})
		<-done
		dogs[0].set(func() {
			if dogs[0].left != 0 {
				t.Error("the watchdog of a node that gave up was given more time")
			}
		})
	})
}

func TestARestartWithoutAWatchdogWaitsForNothing(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		done := make(chan struct{})
		a.loop.Tell(Yield{Done: done})
		<-done
	})
}

// A node that gave up opens nothing even for a machine that asks for it.
func TestWhoGaveUpOpensNothing(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.gate.set(func() { b.gate.refuseGrant = true })
		a.kill()
		r.await("it asks for its gate", 3*time.Second, func() bool { return b.count("grant") > 0 })
		b.inLoop(func(l *Loop, _ pair.Instant) { l.watch.starved = true })
		b.gate.set(func() { b.gate.refuseGrant = false })
		asked := b.count("grant")
		time.Sleep(10 * time.Second)
		if b.owns(0) || b.count("grant") > asked {
			t.Error("a gate opened")
		}
	})
}

func TestASilentLineIsLookedAtAllTheSame(t *testing.T) {
	lazy := func(_ int, o *Options) {
		for i := range o.Links {
			o.Links[i].Lazy = true // so that every reader waits for its own line
		}
	}
	kennel(t, setup{change: lazy}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		b.paths[1].setCut(true)
		time.Sleep(time.Second)
		before := a.paths[1].drains.Load()
		time.Sleep(10 * time.Second)
		if n := a.paths[1].drains.Load() - before; n < 9 {
			t.Errorf("%d looks in 10 s", n)
		}
	})
}

func TestAGateDoesNotWaitForServicesThatStopSlowly(t *testing.T) {
	kennel(t, setup{services: true}, func(r *rig, a, b *node, dogs [2]*fakeDog) {
		a.hands.set(func() { a.hands.slow["stop"] = 2 * time.Second })
		dogs[0].set(func() { dogs[0].idle[int(vital.Multicast)] = true })
		r.await("the node gives up", dogPatience+2*time.Second, func() bool {
			dogs[0].mu.Lock()
			defer dogs[0].mu.Unlock()
			return len(dogs[0].dumps) > 0
		})
		if a.owns(0) {
			t.Error("the gate waits for the services")
		}
		r.await("the peer owns", time.Second, b.ownsAll)
	})
}
