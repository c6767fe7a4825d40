package loop

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

func TestFullQueuesRefuseAndTheLoopGoesOn(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		release := make(chan struct{})
		a.gate.set(func() { a.gate.before = func(string) { <-release } })
		time.Sleep(2 * testBeat) // the loop now stands in a call
		facts, frames := 0, 0
		for range 2 * FactQueue {
			if a.loop.Tell(Notice{Event: report.Event{Kind: "test"}}) {
				facts++
			}
			if a.loop.Offer(Frame{Message: wire.Message{Kind: wire.Beat}}) {
				frames++
			}
		}
		if facts != FactQueue || frames > FrameQueue {
			t.Errorf("%d facts and %d frames were taken", facts, frames)
		}
		a.gate.set(func() { a.gate.before = nil })
		close(release)
		time.Sleep(2 * time.Second)
		if n := a.board.count("test", ""); n != FactQueue {
			t.Errorf("%d facts came through", n)
		}
		if a.owns(0) == b.owns(0) {
			t.Error("not exactly one owner afterwards")
		}
	})
}

// A stranger who deletes a thousand addresses must not fill the lane in which
// the group is given up, nor the journal.
func TestManyLostAddressesArePutBackInOneGo(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.slow["take"] = 50 * time.Millisecond })
		before := a.hands.count("take")
		for i := range 200 {
			a.loop.Tell(AddressGone{Group: 0, What: fmt.Sprintf("10.0.0.%d was deleted", i)})
		}
		time.Sleep(time.Second)
		if n := a.hands.count("take") - before; n < 1 || n > 2 {
			t.Errorf("the addresses were put back %d times", n)
		}
		if n := a.board.count("address", "deleted"); n > 2 {
			t.Errorf("%d lines in the journal", n)
		}
		if a.alarmed("lane/group 0") || a.alarmed("g0/address") || !a.owns(0) {
			t.Error("the lane was filled", a.board.tail(9))
		}
	})
}

func TestAlarmOfAnAddressEndsWithTheOwnership(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.errs["lifetime"] = errTest })
		time.Sleep(1500 * time.Millisecond)
		if !a.alarmed("g0/lifetime") {
			t.Error("no alarm")
		}
		if _, err := order1(t, a, Order{Command: OrderHandover}); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		if a.alarmed("g0/lifetime") {
			t.Error("the alarm stays on a node that owns nothing")
		}
	})
}

func TestOrdersAreAnsweredWhenTheLoopHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{})
		a := r.nodes[0]
		a.start()
		time.Sleep(time.Second)
		a.end2()
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := a.loop.Do(ctx, Order{Command: OrderResume}); err == nil {
			t.Error("an order to a loop that has ended was carried out")
		}
		if _, err := a.loop.Snapshot(ctx); err == nil {
			t.Error("a loop that has ended told its status")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the answer took %v", took)
		}
	})
}

func TestWaitingOperatorsAreBounded(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.cutAll(true) // RELEASE never arrives
		refused := 0
		replies := make(chan error, 200)
		for range 200 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_, err := b.loop.Do(ctx, Order{Command: OrderTake, By: "root"})
				replies <- err
			}()
		}
		for range 200 {
			if <-replies != nil {
				refused++
			}
		}
		b.cutAll(false)
		time.Sleep(2 * time.Second)
		if n := b.loop.waiting(); n > maxMoves {
			t.Errorf("%d operators are remembered", n)
		}
	})
}

// waiting asks the loop's goroutine how many operators wait.
func (l *Loop) waiting() int {
	got := make(chan int, 1)
	l.Tell(probeFact(func() { got <- len(l.moves) }))
	return <-got
}

// A probeFact looks at the loop from its own goroutine.
type probeFact func()
