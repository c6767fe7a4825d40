package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a test with an executor whose results have n places.
func bubble(t *testing.T, n int, f func(t *testing.T, x *Executor, results chan Result)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan Result, n)
		x := New(ctx, results)
		defer x.Wait()
		defer cancel()
		f(t, x, results)
	})
}

func lasting(d time.Duration, value any) func(context.Context) any {
	return func(ctx context.Context) any {
		select {
		case <-time.After(d):
			return value
		case <-ctx.Done():
			return "cut"
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestALaneRunsItsActionsInOrderAndOneAtATime(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		running := 0
		for i := range uint32(5) {
			must(t, x.Do("services", i, time.Minute, func(context.Context) any {
				if running++; running != 1 {
					t.Errorf("%d actions run at once", running)
				}
				time.Sleep(time.Second)
				running--
				return fmt.Sprint("value ", i)
			}))
		}
		for i := range uint32(5) {
			r := <-results
			want := Result{Lane: "services", Ticket: i, Value: fmt.Sprint("value ", i), Ran: true, Waited: time.Duration(i) * time.Second, Took: time.Second}
			if r != want {
				t.Errorf("result %+v, want %+v", r, want)
			}
		}
		synctest.Wait()
		if x.Busy("services") {
			t.Error("the lane is busy with nothing")
		}
	})
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		must(t, x.Do("slow", 1, time.Hour, lasting(time.Minute, nil)))
		must(t, x.Do("quick", 2, time.Hour, lasting(time.Second, nil)))
		if r := <-results; r.Ticket != 2 {
			t.Errorf("ticket %d came first", r.Ticket)
		}
	})
}

func TestAnActionIsCutOffAtItsDeadlineAndReports(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		must(t, x.Do("fence", 7, 10*time.Second, lasting(time.Hour, nil)))
		r := <-results
		if !errors.Is(r.Err, context.DeadlineExceeded) || r.Value != "cut" || r.Took != 10*time.Second || r.Ticket != 7 {
			t.Errorf("result %+v", r)
		}
	})
}

func TestTheDeadlineCountsFromTheStartOfTheAction(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		must(t, x.Do("a", 1, time.Minute, lasting(50*time.Second, nil)))
		must(t, x.Do("a", 2, time.Minute, lasting(50*time.Second, nil)))
		for range 2 {
			if r := <-results; r.Err != nil {
				t.Errorf("result %+v", r)
			}
		}
	})
}

func TestACancelledLaneReportsEveryActionOnce(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		for i := range uint32(3) {
			must(t, x.Do("probe", i, time.Minute, lasting(time.Hour, nil)))
		}
		synctest.Wait()
		x.Cancel("probe")
		x.Cancel("no such lane")
		must(t, x.Do("probe", 3, time.Minute, lasting(time.Second, "fresh")))
		for i := range uint32(3) {
			r := <-results
			if r.Ticket != i || !errors.Is(r.Err, ErrCancelled) || r.Ran != (i == 0) {
				t.Errorf("result %+v", r)
			}
		}
		if r := <-results; r.Ticket != 3 || r.Err != nil || r.Value != "fresh" {
			t.Errorf("an action asked for after the cancel: %+v", r)
		}
	})
}

func TestReplaceSupersedesWhatRunsAndWhatWaits(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		must(t, x.Do("services", 1, time.Hour, lasting(time.Hour, nil)))
		must(t, x.Do("services", 2, time.Hour, lasting(time.Hour, nil)))
		synctest.Wait()
		must(t, x.Replace("services", 3, time.Hour, lasting(time.Second, "stopped")))
		var got []uint32
		for range 3 {
			r := <-results
			got = append(got, r.Ticket)
			if want := r.Ticket != 3; want != errors.Is(r.Err, ErrSuperseded) {
				t.Errorf("result %+v", r)
			}
		}
		if !slices.Equal(got, []uint32{1, 2, 3}) {
			t.Errorf("order %v", got)
		}
	})
}

func TestReplaceWaitsForTheRunningActionToReturn(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		running := false
		must(t, x.Do("services", 1, time.Hour, func(ctx context.Context) any {
			running = true
			<-ctx.Done()
			time.Sleep(time.Second) // it takes its time
			running = false
			return nil
		}))
		synctest.Wait()
		must(t, x.Replace("services", 2, time.Hour, func(context.Context) any { return running }))
		<-results
		if r := <-results; r.Value != false {
			t.Error("two actions of one lane overlapped")
		}
	})
}

func TestTryRefusesABusyLane(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		must(t, x.Try("announce", 1, time.Minute, lasting(time.Second, nil)))
		if err := x.Try("announce", 2, time.Minute, lasting(time.Second, nil)); !errors.Is(err, ErrBusy) {
			t.Errorf("error %v", err)
		}
		<-results
		synctest.Wait()
		must(t, x.Try("announce", 3, time.Minute, lasting(time.Second, nil)))
		<-results
	})
}

func TestQueuesAndLanesAreBounded(t *testing.T) {
	bubble(t, 0, func(t *testing.T, x *Executor, _ chan Result) {
		accepted := 0
		for i := range uint32(100) {
			switch err := x.Do("a", i, time.Minute, lasting(time.Hour, nil)); {
			case err == nil:
				accepted++
			case !errors.Is(err, ErrBusy):
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if accepted != MaxQueue+1 {
			t.Errorf("%d actions accepted, want %d", accepted, MaxQueue+1)
		}
		lanes := 1
		for i := range 2 * MaxLanes {
			if x.Do(fmt.Sprint("lane ", i), 0, time.Minute, lasting(time.Hour, nil)) == nil {
				lanes++
			}
		}
		if lanes != MaxLanes {
			t.Errorf("%d lanes open, want %d", lanes, MaxLanes)
		}
		replaced := 0
		for x.Replace("a", 0, time.Minute, lasting(time.Hour, nil)) == nil {
			if replaced++; replaced > 1000 {
				t.Fatal("Replace is not bounded")
			}
		}
	})
}

func TestDeadlinesThatNeverEndAreRefused(t *testing.T) {
	bubble(t, 0, func(t *testing.T, x *Executor, _ chan Result) {
		for _, d := range []time.Duration{0, -1, MaxDeadline + 1} {
			if x.Do("a", 1, d, lasting(0, nil)) == nil {
				t.Errorf("deadline %v was accepted", d)
			}
		}
	})
}

func TestTheLoopNeverWaitsForAnUnreceivedResult(t *testing.T) {
	bubble(t, 0, func(t *testing.T, x *Executor, results chan Result) {
		// Nobody receives; each call must still return, and every accepted
		// action must report once the loop comes back.
		accepted := map[uint32]bool{}
		for i := range uint32(60) {
			lane := fmt.Sprint("lane ", i%5)
			var err error
			switch i % 4 {
			case 0, 1:
				err = x.Do(lane, i, time.Minute, lasting(time.Second, nil))
			case 2:
				err = x.Replace(lane, i, time.Minute, lasting(time.Second, nil))
			case 3:
				x.Cancel(lane)
				continue
			}
			if err == nil {
				accepted[i] = true
			}
			synctest.Wait()
		}
		for len(accepted) > 0 {
			r := <-results
			if !accepted[r.Ticket] {
				t.Fatalf("ticket %d reported twice, or never asked for", r.Ticket)
			}
			delete(accepted, r.Ticket)
		}
		time.Sleep(time.Hour)
		select {
		case r := <-results:
			t.Errorf("one result too many: %+v", r)
		default:
		}
	})
}

func TestAnActionThatIgnoresItsContextReportsAndKeepsItsLane(t *testing.T) {
	bubble(t, 10, func(t *testing.T, x *Executor, results chan Result) {
		hang := make(chan struct{})
		must(t, x.Do("journal", 1, time.Second, func(context.Context) any { <-hang; return "late" }))
		must(t, x.Do("journal", 2, time.Second, lasting(0, "next")))
		r := <-results
		if !errors.Is(r.Err, ErrOverrun) || !errors.Is(r.Err, context.DeadlineExceeded) || r.Took != time.Second+OverrunGrace || r.Value != nil {
			t.Errorf("result %+v", r)
		}
		time.Sleep(time.Minute)
		if len(results) != 0 {
			t.Error("the lane went on beside an action that still runs")
		}
		close(hang)
		if r := <-results; r.Ticket != 2 || r.Value != "next" {
			t.Errorf("result %+v", r)
		}
	})
}

func TestTheEndOfTheContextEndsEveryLaneEvenUnreceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		x := New(ctx, make(chan Result))
		for i := range uint32(4) {
			must(t, x.Do("a", i, time.Hour, lasting(time.Hour, nil)))
			must(t, x.Do("b", i, time.Hour, lasting(0, nil)))
		}
		synctest.Wait()
		began := time.Now()
		cancel()
		x.Wait()
		if d := time.Since(began); d > OverrunGrace {
			t.Errorf("the lanes took %v to end", d)
		}
		if err := x.Do("a", 9, time.Second, lasting(0, nil)); !errors.Is(err, ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func BenchmarkDo(b *testing.B) {
	results := make(chan Result, 1)
	x := New(b.Context(), results)
	for b.Loop() {
		if err := x.Do("a", 1, time.Second, func(context.Context) any { return nil }); err != nil {
			b.Fatal(err)
		}
		<-results
	}
}
