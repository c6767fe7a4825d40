package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A world holds fake units and what was done to them, in order.
type world struct {
	mu    sync.Mutex
	calls []string
	units map[string]*fake
}

// A fake is a unit whose state and failures are set by the test.
type fake struct {
	w    *world
	name string

	mu        sync.Mutex
	state     State
	statusErr error
	takes     time.Duration // of every action
	statusFor time.Duration // of a status
	startErr  error
	stopErr   error
	stubborn  int // so many stops have no effect
	stillborn bool
	checking  int
	overlaps  bool
	checks    []time.Time
}

// do notes the call, takes its time, and then sets the state that the fake's
// settings call for.
func (f *fake) do(ctx context.Context, verb string) error {
	f.w.mu.Lock()
	f.w.calls = append(f.w.calls, verb+" "+f.name)
	f.w.mu.Unlock()
	f.mu.Lock()
	takes := f.takes
	f.mu.Unlock()
	if err := sleep(ctx, takes); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fail, then := f.startErr, Running
	switch {
	case verb == "stop" && f.stubborn > 0:
		f.stubborn--
		return f.stopErr
	case verb == "stop":
		fail, then = f.stopErr, Stopped
	case f.stillborn:
		then = Stopped
	}
	if fail == nil {
		f.state = then
	}
	return fail
}

func (f *fake) Start(ctx context.Context) error   { return f.do(ctx, "start") }
func (f *fake) Stop(ctx context.Context) error    { return f.do(ctx, "stop") }
func (f *fake) Restart(ctx context.Context) error { return f.do(ctx, "restart") }
func (f *fake) Reload(ctx context.Context) error  { return f.do(ctx, "reload") }

func (f *fake) Status(ctx context.Context) (State, error) {
	f.mu.Lock()
	f.checks = append(f.checks, time.Now())
	f.checking++
	f.overlaps = f.overlaps || f.checking > 1
	d := f.statusFor
	f.mu.Unlock()
	err := sleep(ctx, d)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checking--
	if err != nil {
		return Unknown, err
	}
	if f.statusErr != nil {
		return Unknown, f.statusErr
	}
	if f.state == Failed {
		return Failed, errors.New("crashed")
	}
	return f.state, nil
}

// edit changes settings while checks may be running.
func (f *fake) edit(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) set(s State) { f.edit(func(f *fake) { f.state = s }) }

// group makes a group of fakes named a, b, c ..., all stopped.
func group(t *testing.T, n int, edit func(i int, s *Spec)) (*Group, *world, []*fake) {
	t.Helper()
	w := &world{units: map[string]*fake{}}
	var specs []Spec
	var fakes []*fake
	for i := range n {
		s := Spec{Name: string(rune('a' + i)), Driver: "sysv", Unit: "x", Restarts: 2, CheckInterval: 5 * time.Second}
		if edit != nil {
			edit(i, &s)
		}
		f := &fake{w: w, name: s.Name, state: Stopped}
		w.units[s.Name] = f
		fakes = append(fakes, f)
		specs = append(specs, s)
	}
	g, err := NewGroup(specs, Options{Group: "g", Unit: func(s Spec) (Unit, error) { return w.units[s.Name], nil }})
	if err != nil {
		t.Fatal(err)
	}
	return g, w, fakes
}

func (w *world) did(t *testing.T, want string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.calls, ", "); got != want {
		t.Errorf("did %q, want %q", got, want)
	}
	w.calls = nil
}

func TestAGroupStartsInOrderAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, _ := group(t, 3, nil)
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.did(t, "start a, start b, start c")
		if err := g.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.did(t, "stop c, stop b, stop a")
	})
}

func TestTakingDoesWhatOnTakeSays(t *testing.T) {
	for _, c := range []struct {
		onTake  string
		state   State
		start   string
		stopped string
	}{
		{"start", Stopped, "start a", "stop a"},
		{"start", Running, "", "stop a"},
		{"start", Unknown, "start a", "stop a"},
		{"restart", Running, "restart a", "stop a"},
		{"restart", Stopped, "start a", "stop a"},
		{"reload", Running, "reload a", "stop a"},
		{"reload", Stopped, "start a", "stop a"},
		{"none", Stopped, "", ""},
		{"none", Running, "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, w, f := group(t, 1, func(_ int, s *Spec) { s.OnTake = c.onTake })
			f[0].set(c.state)
			if err := g.Start(t.Context()); err != nil {
				t.Errorf("%s, %v: %v", c.onTake, c.state, err)
			}
			w.did(t, c.start)
			if err := g.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			w.did(t, c.stopped)
		})
	}
}

func TestKeepOnStopLeavesAServiceRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, _ := group(t, 2, func(i int, s *Spec) { s.KeepOnStop = i == 0 })
		_ = g.Start(t.Context())
		_ = g.Stop(t.Context())
		w.did(t, "start a, start b, stop b")
	})
}

func TestAFailedStartStopsOnlyWhatItStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 4, nil)
		f[0].set(Running) // it ran before: not ours to stop
		f[2].startErr = errors.New("no such file")
		err := g.Start(t.Context())
		var step *StepError
		if !errors.As(err, &step) || step.Service != "c" || step.Step != "start" || err.Error() != "start c: no such file" {
			t.Errorf("error %v", err)
		}
		w.did(t, "start b, start c, stop c, stop b")
		if NeedsFence(err) {
			t.Error("a start failure asks for a fence")
		}
	})
}

func TestAFailedStartWithPolicyStayGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var faults []Fault
		g, w, f := group(t, 2, func(i int, s *Spec) { s.OnStartFailure = "stay" })
		g.opts.Fault = func(f Fault) { faults = append(faults, f) }
		f[0].startErr = errors.New("broken")
		if err := g.Start(t.Context()); err != nil {
			t.Error(err)
		}
		w.did(t, "start a, start b")
		if len(faults) != 1 || faults[0].Final || faults[0].Err != "start a: broken" {
			t.Errorf("faults %+v", faults)
		}
	})
}

func TestAServiceThatDiesAfterItsStartFailsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, f := group(t, 1, nil)
		f[0].stillborn = true
		began := time.Now()
		err := g.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "still stopped") || time.Since(began) > 2*StartSettle {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
	})
}

func TestAHangingStartEndsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, f := group(t, 2, func(_ int, s *Spec) { s.StartTimeout = 7 * time.Second })
		f[1].takes = time.Hour
		began := time.Now()
		err := g.Start(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "start b: ") {
			t.Errorf("error %v", err)
		}
		if d := time.Since(began); d > 7*time.Second+DefaultStopTimeout+DefaultStatusTimeout {
			t.Errorf("took %v", d)
		}
	})
}

func TestACancelledStartReturnsAtOnceAndStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 2, nil)
		f[1].takes = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if err := g.Start(ctx); !errors.Is(err, context.Canceled) || time.Since(began) > 2*time.Second {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
		w.did(t, "start a, start b")
	})
}

func TestAStopGoesOnAfterAFailureAndJoinsTheErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 3, func(i int, s *Spec) {
			if i == 0 {
				s.OnStopFailure = "proceed"
			}
		})
		_ = g.Start(t.Context())
		w.did(t, "start a, start b, start c")
		f[0].stubborn, f[2].stubborn = 100, 100
		err := g.Stop(t.Context())
		w.did(t, "stop c, stop c, stop c, stop b, stop a, stop a, stop a")
		if err == nil || err.Error() != "stop c: it still runs\nstop a: it still runs" {
			t.Errorf("error %q", err)
		}
		if !NeedsFence(err) || !NeedsFence(fmt.Errorf("wrapped: %w", err)) {
			t.Error("c asks for a fence, and it is not seen")
		}
		f[2].stubborn = 0
		if err := g.Stop(t.Context()); err == nil || NeedsFence(err) {
			t.Errorf("only a fails now, whose policy is to proceed: %v", err)
		}
	})
}

func TestAStopIsJudgedByTheStatusAndNotByItsCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, f := group(t, 1, nil)
		f[0].stopErr = errors.New("exit code 1") // and it is stopped all the same
		if err := g.Stop(t.Context()); err != nil {
			t.Errorf("a stopped service did not stop: %v", err)
		}
		f[0].stopErr, f[0].takes = nil, time.Hour // hangs
		if err := g.Stop(t.Context()); err != nil {
			t.Errorf("a stopped service did not stop: %v", err)
		}
		f[0].takes, f[0].stopErr, f[0].statusErr = 0, nil, errors.New("exit code 4")
		if err := g.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "unknown") {
			t.Errorf("nobody knows whether it is stopped, but: %v", err)
		}
		f[0].statusErr = ErrNoStatus
		if err := g.Stop(t.Context()); err != nil {
			t.Errorf("without a status the command's word counts: %v", err)
		}
		f[0].stopErr = errors.New("exit code 1")
		if err := g.Stop(t.Context()); !NeedsFence(err) {
			t.Errorf("without a status the command's word counts: %v", err)
		}
	})
}

// watch runs Watch and returns what it reports.
func watch(t *testing.T, g *Group) (*[]Fault, func()) {
	t.Helper()
	var mu sync.Mutex
	var faults []Fault
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Watch(ctx, func(f Fault) { mu.Lock(); faults = append(faults, f); mu.Unlock() })
	}()
	return &faults, func() { cancel(); <-done }
}

func TestAStoppedServiceIsRestartedInPlaceUntilItsFaultIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 1, nil)
		_ = g.Start(t.Context())
		faults, end := watch(t, g)
		defer end()
		time.Sleep(time.Second)
		f[0].set(Stopped)
		f[0].edit(func(f *fake) { f.stillborn = true })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.did(t, "start a, restart a, restart a")
		finals := 0
		for _, f := range *faults {
			if f.Final {
				finals++
			}
		}
		if finals != 1 || !(*faults)[len(*faults)-1].Final {
			t.Errorf("faults %+v", *faults)
		}
		if v := g.Status()[0]; !v.GaveUp || v.Restarts != 2 || v.State != Stopped {
			t.Errorf("status %+v", v)
		}
	})
}

func TestRestartsAreForgottenAfterTheirWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 1, func(_ int, s *Spec) { s.RestartWindow = time.Minute })
		_ = g.Start(t.Context())
		faults, end := watch(t, g)
		defer end()
		for range 5 { // one crash in 40 s: never more than two within the window
			time.Sleep(40 * time.Second)
			f[0].set(Stopped)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		w.did(t, "start a"+strings.Repeat(", restart a", 5))
		for _, f := range *faults {
			if f.Final {
				t.Errorf("fault %+v", f)
			}
		}
	})
}

func TestPolicyStayIsNeverFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, f := group(t, 1, func(_ int, s *Spec) { s.OnStartFailure, s.RestartWindow = "stay", time.Hour })
		_ = g.Start(t.Context())
		faults, end := watch(t, g)
		defer end()
		f[0].edit(func(f *fake) { f.stillborn = true })
		f[0].set(Stopped)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for _, f := range *faults {
			if f.Final {
				t.Errorf("fault %+v", f)
			}
		}
		if !g.Status()[0].GaveUp {
			t.Error("status does not say that it was given up")
		}
	})
}

func TestOneMissedAnswerIsNoFailureAndTwoAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 1, nil)
		_ = g.Start(t.Context())
		faults, end := watch(t, g)
		defer end()
		f[0].edit(func(f *fake) { f.statusFor = time.Hour })
		time.Sleep(11 * time.Second) // one check from 5 s to 10 s
		f[0].edit(func(f *fake) { f.statusFor = 0 })
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(*faults) > 1 {
			t.Errorf("faults %+v", *faults)
		}
		w.mu.Lock()
		w.calls = nil
		w.mu.Unlock()
		f[0].edit(func(f *fake) { f.statusErr = errors.New("exit code 4") })
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if len(w.calls) == 0 || w.calls[0] != "restart a" {
			t.Errorf("calls %v", w.calls)
		}
	})
}

func TestChecksKeepTheirScheduleAndNeverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, f := group(t, 1, func(_ int, s *Spec) { s.CheckInterval = 10 * time.Second })
		_ = g.Start(t.Context())
		f[0].edit(func(f *fake) { f.checks = nil; f.statusFor = 3 * time.Second })
		_, end := watch(t, g)
		began := time.Now()
		time.Sleep(101 * time.Second)
		f[0].edit(func(f *fake) { f.statusFor = 4 * time.Second })
		end()
		if len(f[0].checks) != 10 || f[0].overlaps {
			t.Errorf("%d checks in 101 s, overlaps %v", len(f[0].checks), f[0].overlaps)
		}
		for i, at := range f[0].checks {
			if want := time.Duration(i+1) * 10 * time.Second; at.Sub(began) != want {
				t.Errorf("check %d at %v, want %v", i, at.Sub(began), want)
			}
		}
	})
}

func TestAStopEndsTheWatchAndNothingIsRestartedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 2, nil)
		_ = g.Start(t.Context())
		_, end := watch(t, g)
		defer end()
		f[0].set(Stopped)
		f[0].edit(func(f *fake) { f.takes = time.Hour })
		time.Sleep(6 * time.Second)
		w.did(t, "start a, start b, restart a")
		f[0].edit(func(f *fake) { f.takes = 0 })
		began := time.Now()
		if err := g.Stop(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Errorf("stop: %v after %v", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		w.did(t, "stop b, stop a")
		// A Watch that comes late must not bring back what was stopped.
		late, endLate := watch(t, g)
		time.Sleep(time.Minute)
		endLate()
		w.did(t, "")
		if len(*late) != 0 {
			t.Errorf("it reports faults of stopped services: %+v", *late)
		}
	})
}

func TestAdoptLeavesWhatRunsAndStartsWhatIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 3, func(_ int, s *Spec) { s.OnTake = "restart" })
		f[0].set(Running)
		f[1].set(Unknown)
		if err := g.Adopt(t.Context()); err != nil {
			t.Error(err)
		}
		w.did(t, "start c")
		_, end := watch(t, g)
		f[0].set(Stopped)
		time.Sleep(8 * time.Second)
		end()
		w.did(t, "restart a")
	})
}

func TestServicesWithoutAStatusAreNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 1, nil)
		f[0].statusErr = fmt.Errorf("x: %w", ErrNoStatus)
		if err := g.Start(t.Context()); err != nil {
			t.Error(err)
		}
		faults, end := watch(t, g)
		time.Sleep(time.Hour)
		end()
		w.did(t, "start a")
		if len(*faults) != 0 || len(f[0].checks) > 3 {
			t.Errorf("faults %v, %d checks", *faults, len(f[0].checks))
		}
	})
}

func TestAGroupRefusesWhatItCannotHold(t *testing.T) {
	s := Spec{Name: "a", Driver: "sysv", Unit: "x"}
	if _, err := NewGroup([]Spec{s, s}, Options{}); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("%v", err)
	}
	if _, err := NewGroup(make([]Spec, MaxServices+1), Options{}); err == nil {
		t.Error("too many services were taken")
	}
	if _, err := NewGroup([]Spec{{Name: "a"}}, Options{}); err == nil {
		t.Error("a service without a driver was taken")
	}
}

func TestTheBeginningAndTheEndOfEachCheckAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, f := group(t, 1, func(_ int, s *Spec) { s.CheckInterval = 10 * time.Second })
		var mu sync.Mutex
		var all []bool
		g.opts.Check = func(_ string, begun bool) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, begun)
		}
		sofar := func() []bool {
			mu.Lock()
			defer mu.Unlock()
			return all
		}
		_ = g.Start(t.Context())
		_, end := watch(t, g)
		time.Sleep(11 * time.Second)
		if told := sofar(); len(told) != 2 || !told[0] || told[1] {
			t.Errorf("after one check: %v", told)
		}
		f[0].edit(func(f *fake) { f.statusFor = time.Second })
		time.Sleep(9500 * time.Millisecond)
		if told := sofar(); len(told) != 3 || !told[2] {
			t.Errorf("within one: %v", told)
		}
		end()
		if told := sofar(); len(told) != 4 || told[3] {
			t.Errorf("after one that was cancelled: %v", told)
		}
	})
}
