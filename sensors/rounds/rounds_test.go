package rounds

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

const within = time.Second

// A fake source hangs while gate is closed to it.
type fake struct {
	name  string
	hangs chan struct{} // nil: answers at once
	calls atomic.Int64
	value float64
	many  int
}

func (f *fake) Name() string { return f.name }

func (f *fake) Where() string { return f.name + "_input" }

func (f *fake) Read(to []sensors.Reading, at time.Time, _ time.Duration) []sensors.Reading {
	f.calls.Add(1)
	if f.hangs != nil {
		<-f.hangs
	}
	for i := range max(f.many, 1) {
		to = append(to, sensors.New(fmt.Sprintf("%s/%d", f.name, i), f.name, sensors.Temperature, f.value, at))
	}
	return to
}

func sources(fakes ...*fake) Finder {
	return func() (out []sensors.Source) {
		for _, f := range fakes {
			out = append(out, f)
		}
		return out
	}
}

func states(all []sensors.Reading) string {
	var words []string
	for _, r := range all {
		words = append(words, r.ID+" "+r.State.String())
	}
	return strings.Join(words, ", ")
}

func TestEverySourceIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{name: "a", value: 1}, &fake{name: "b", value: 2, many: 2}
		r := New(sources(a, b), within)
		defer r.Close()
		for range 3 {
			if got := states(r.Ask(t.Context(), time.Now())); got != "a/0 ok, b/0 ok, b/1 ok" {
				t.Fatal(got)
			}
			time.Sleep(within)
		}
		if a.calls.Load() != 3 || b.calls.Load() != 3 {
			t.Errorf("%d and %d calls", a.calls.Load(), b.calls.Load())
		}
	})
}

func TestASourceThatHangsIsLeftBehindAndNamedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{name: "a"}, &fake{name: "b"}
		r := New(sources(a, b), within)
		defer r.Close()
		r.Ask(t.Context(), time.Now())
		gate := make(chan struct{})
		a.hangs = gate
		for i := range 5 {
			began := time.Now()
			got := r.Ask(t.Context(), began)
			if states(got) != "a/0 blocked, b/0 ok" {
				t.Fatal(states(got))
			}
			if took := time.Since(began); i > 0 && took != 0 || i == 0 && took != within {
				t.Errorf("round %d took %v", i, took)
			}
			if i == 4 && got[0].Why != "a_input has not answered for 5s" {
				t.Errorf("why: %s", got[0].Why)
			}
			time.Sleep(within)
		}
		if a.calls.Load() != 2 || b.calls.Load() != 6 {
			t.Errorf("the one that hangs was asked %d times, the other %d", a.calls.Load(), b.calls.Load())
		}
		close(gate)
		synctest.Wait()
		if got := states(r.Ask(t.Context(), time.Now())); got != "a/0 ok, b/0 ok" || r.left != 0 {
			t.Errorf("%s, %d left", got, r.left)
		}
	})
}

func TestASourceThatHangsFromItsFirstReadingIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fake{name: "a chip", hangs: make(chan struct{})}
		r := New(sources(a), within)
		defer r.Close()
		got := r.Ask(t.Context(), time.Now())
		if len(got) != 1 || got[0].ID != "a_chip" || got[0].State != sensors.Blocked {
			t.Errorf("%+v", got)
		}
		close(a.hangs)
	})
}

func TestAnEndCallsOffTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var all []*fake
		for i := range 4 {
			all = append(all, &fake{name: fmt.Sprint("s", i), hangs: gate})
		}
		r := New(sources(all...), within)
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), within/2)
		defer cancel()
		began := time.Now()
		r.Ask(ctx, began)
		if took := time.Since(began); took != within/2 {
			t.Errorf("it ended after %v", took)
		}
		if all[1].calls.Load() != 0 {
			t.Error("another source was asked after the end")
		}
		close(gate)
		synctest.Wait()
		if got := states(r.Ask(t.Context(), time.Now())); strings.Contains(got, "blocked") || r.left != 0 {
			t.Errorf("asked again: %s, %d left", got, r.left)
		}
	})
}

func TestAnEndCallsOffALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		r := New(func() []sensors.Source { <-gate; return nil }, within)
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), within/2)
		defer cancel()
		began := time.Now()
		r.Ask(ctx, began)
		if took := time.Since(began); took != within/2 {
			t.Errorf("it ended after %v", took)
		}
		close(gate)
	})
}

func TestNoMoreThanTheBoundAreLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var all []*fake
		for i := range MaxLeft + 4 {
			all = append(all, &fake{name: fmt.Sprint("s", i), hangs: gate})
		}
		r := New(sources(all...), within)
		defer r.Close()
		began := time.Now()
		got := r.Ask(t.Context(), began)
		if took := time.Since(began); took != MaxLeft*within {
			t.Errorf("took %v", took)
		}
		calls := 0
		for _, f := range all {
			calls += int(f.calls.Load())
		}
		if len(got) != len(all) || calls != MaxLeft {
			t.Errorf("%d readings, %d calls", len(got), calls)
		}
		if why := got[len(got)-1].Why; why != "not read: 8 readers hang already" {
			t.Error(why)
		}
		close(gate)
		synctest.Wait()
		if got := r.Ask(t.Context(), time.Now().Add(time.Second)); strings.Contains(states(got), "blocked") {
			t.Error(states(got))
		}
	})
}

func TestSourcesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{name: "a"}, &fake{name: "b"}
		now := []*fake{a}
		r := New(func() []sensors.Source { return sources(now...)() }, within)
		defer r.Close()
		r.Ask(t.Context(), time.Now())
		now = []*fake{b}
		if got := states(r.Ask(t.Context(), time.Now())); got != "a/0 ok" {
			t.Error(got)
		}
		time.Sleep(FindEvery)
		if got := states(r.Ask(t.Context(), time.Now())); got != "b/0 ok" {
			t.Error(got)
		}
		if got := states(r.Ask(t.Context(), time.Now().Add(-time.Hour))); got != "b/0 ok" { // a clock that was set back
			t.Error(got)
		}
	})
}

func TestALookThatHangsLeavesWhatWasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fake{name: "a"}
		gate, hang := make(chan struct{}), false
		r := New(func() []sensors.Source {
			if hang {
				<-gate
			}
			return sources(a)()
		}, within)
		defer r.Close()
		r.Ask(t.Context(), time.Now())
		hang = true
		for range 3 {
			time.Sleep(FindEvery)
			if got := states(r.Ask(t.Context(), time.Now())); got != "a/0 ok" || r.left != 1 {
				t.Errorf("%s, %d left", got, r.left)
			}
		}
		close(gate)
		time.Sleep(FindEvery)
		if got := states(r.Ask(t.Context(), time.Now())); got != "a/0 ok" || r.left != 0 {
			t.Errorf("%s, %d left", got, r.left)
		}
	})
}

func TestWhatASourceSaysIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(sources(&fake{name: "a", many: 10000}), within)
		defer r.Close()
		if n := len(r.Ask(t.Context(), time.Now())); n != MaxReadings {
			t.Error(n)
		}
	})
}
