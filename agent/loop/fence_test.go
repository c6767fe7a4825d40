package loop

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

func TestOneFenceServesEveryGroup(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true, groups: 3}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.slow["fence"] = 700 * time.Millisecond })
		a.kill()
		r.await("takeover", 5*time.Second, b.ownsAll)
		if n := b.hands.count("fence"); n != 1 {
			t.Errorf("%d fence operations", n)
		}
		for _, g := range b.view().Groups {
			if g.State != "SOLO" {
				t.Errorf("%s is %s", g.Name, g.State)
			}
		}
	})
}

func TestFenceOfSomeGroupsAndProofForAll(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true, groups: 2}, func(r *rig, a, b *node) {
		if _, err := order1(t, a, Order{Command: OrderHandover, Group: "g1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.kill()
		took := r.await("takeover", 5*time.Second, b.ownsAll)
		if n := b.hands.count("fence"); n != 1 {
			t.Errorf("%d fence operations", n)
		}
		t.Logf("took %v", took)
	})
}

func TestStandbyThatFencesDoesNotTellTheOwner(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.unproven = true })
		b.hands.set(func() { b.hands.unproven = true })
		// The standby is deaf, the owner hears it; no device answers.
		a.cutAll(true)
		time.Sleep(5 * time.Second)
		if n := b.count("tx fence-notice"); n > 0 {
			t.Errorf("the standby sent %d notices", n)
		}
		if !a.owns(0) {
			t.Error("the owner closed, and nobody serves")
		}
		a.cutAll(false)
		time.Sleep(time.Second)
	})
}

func TestFenceAskedForWhileACancelledOneEndsIsDone(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.hands.set(func() {
			b.hands.slow["fence"], b.hands.deaf, b.hands.unproven = 3500*time.Millisecond, true, true
		})
		a.hands.set(func() { a.hands.unproven = true }) // else it would be SOLO, and its peer not armed
		a.cutAll(true)
		r.await("fence begins", 3*time.Second, func() bool { return b.hands.count("fence") == 1 })
		a.cutAll(false)
		time.Sleep(4 * testBeat) // heard: cancelled, but the device is busy
		a.kill()
		b.hands.set(func() { b.hands.slow["fence"], b.hands.deaf = 10*time.Millisecond, false })
		r.await("the first one ends", 4*time.Second, func() bool { return b.board.count("fence", "proven") > 0 })
		b.hands.set(func() { b.hands.unproven = false })
		// By now it may be the other node's turn: this one fences in its next.
		r.await("takeover", 5*testRace, func() bool { return b.owns(0) })
	})
}

// The end of an operation that was withdrawn is not the answer to a wish that
// came meanwhile: that one is asked for at once.
func TestTheEndOfAWithdrawnFenceAnswersNoNewWish(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		b.hands.set(func() {
			b.hands.slow["fence"], b.hands.deaf, b.hands.unproven = 3500*time.Millisecond, true, true
		})
		a.hands.set(func() { a.hands.unproven = true })
		a.cutAll(true)
		r.await("fence begins", 3*time.Second, func() bool { return b.hands.count("fence") == 1 })
		a.cutAll(false)
		time.Sleep(4 * testBeat) // heard: cancelled, but the device is busy
		b.inLoop(func(l *Loop, _ pair.Instant) { l.fence.waiting = map[int]uint32{0: 4711} })
		r.await("the first one ends", 6*time.Second, func() bool { return b.board.count("fence", "proven") > 0 })
		if n := b.board.count("fence", "asking"); n != 2 {
			t.Errorf("%d operations were begun, want 2", n)
		}
	})
}

// A token that the disk would not spend is not used, now or at the next try.
func TestFenceWaitsForTheTokenToBeSpentOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{mode: pair.ModeFence, fence: true})
		a, b := r.nodes[0], r.nodes[1]
		b.kill()
		a.memory.set(func() { a.memory.spendErr = errTest })
		a.start()
		time.Sleep(testBoot + 8*time.Second)
		if n := a.hands.count("fence"); n > 0 {
			t.Errorf("fenced %d times with a token that is unspent on disk", n)
		}
		a.memory.set(func() { a.memory.spendErr = nil })
		r.await("takeover", 40*time.Second, func() bool { return a.owns(0) })
		if a.memory.spent != 1 {
			t.Errorf("spent %d times", a.memory.spent)
		}
		a.end2()
	})
}

func TestADeviceThatFailedIsAskedAgainSoon(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.errs["status"] = errors.New("no answer") })
		r.await("the alarm", fenceAsk+time.Second, func() bool { return a.alarmed("fence-device") })
		a.hands.set(func() { delete(a.hands.errs, "status") })
		r.await("its end", fenceAskAgain+time.Second, func() bool { return !a.alarmed("fence-device") })
		before := a.hands.count("status")
		time.Sleep(fenceAsk / 2)
		if n := a.hands.count("status") - before; n > 1 {
			t.Errorf("a device that is well was asked %d times in %v", n, fenceAsk/2)
		}
	})
}

func repowering(_ int, o *Options) { o.Repower, o.FenceBudget = true, 3 }

func TestAFencedPeerGetsItsPowerBackOnceItsGroupsAreServed(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true, groups: 2, services: true, change: repowering}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.slow["start"] = 1900 * time.Millisecond; b.hands.errs["power-on"] = errTest })
		a.kill()
		r.await("takeover", 5*time.Second, b.ownsAll)
		time.Sleep(repowerHold - time.Second)
		if n := b.hands.count("power-on"); n > 0 {
			t.Fatalf("switched on %d times within the hold", n)
		}
		r.await("a try", 5*time.Second, func() bool { return b.hands.count("power-on") == 1 })
		r.await("the alarm", time.Second, func() bool { return b.alarmed("fence-repower") })
		b.hands.set(func() { delete(b.hands.errs, "power-on") })
		r.await("the next", repowerEvery+2*time.Second, func() bool { return b.hands.count("power-on") == 2 })
		r.await("the end of the alarm", time.Second, func() bool { return !b.alarmed("fence-repower") })
		if p := b.view().Peer.Fence.Power; p != "on" {
			t.Errorf("the peer's power is told to be %s", p)
		}
		r.await("an alarm, since it is not heard", repowerHeard+2*time.Second, func() bool { return b.alarmed("fence-repower") })
		if n := b.hands.count("power-on"); n != 2 {
			t.Errorf("switched on %d times", n)
		}
		h := b.memory.history()
		if last := h[len(h)-1]; last.Action != "on" || !last.Proven {
			t.Errorf("history ends with %+v", last)
		}
	})
}

func TestAPeerIsNotSwitchedOnWhileItsGroupsAreNotServed(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true, groups: 2, services: true, change: repowering}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.errs["take"] = errTest })
		a.kill()
		r.await("a proof", 5*time.Second, func() bool { return b.hands.count("fence") == 1 })
		time.Sleep(5 * repowerHold)
		if n := b.hands.count("power-on"); n > 0 {
			t.Errorf("switched on %d times, though nobody serves", n)
		}
		b.hands.set(func() { delete(b.hands.errs, "take") })
		r.await("it gets its power back", time.Minute, func() bool { return b.hands.count("power-on") == 1 })
	})
}

func TestAPeerIsNotSwitchedOnByItselfUnlessConfigured(t *testing.T) {
	for name, change := range map[string]func(int, *Options){
		"never": budgetOf(3), "the last of the budget": func(_ int, o *Options) { o.Repower, o.FenceBudget = true, 1 },
	} {
		bubble(t, setup{mode: pair.ModeFence, fence: true, change: change}, func(r *rig, a, b *node) {
			a.kill()
			r.await("takeover", 5*time.Second, b.ownsAll)
			time.Sleep(time.Minute)
			if n := b.hands.count("power-on"); n > 0 {
				t.Errorf("%s: switched on %d times", name, n)
			}
		})
	}
}

// The device is away for both, and obeys again at some moment: whoever is at it
// then is alone.
func TestTwoNodesWithoutLinksFenceInTurns(t *testing.T) {
	for k := range 24 {
		bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
			at, mu := [2][]time.Time{}, sync.Mutex{}
			for i, n := range r.nodes {
				n.hands.set(func() { n.hands.slow["fence"], n.hands.unproven = time.Duration(100+33*k)*time.Millisecond, true })
				n.hands.onFence = func() {
					mu.Lock()
					defer mu.Unlock()
					at[i] = append(at[i], time.Now())
				}
			}
			if k%2 == 1 { // the owner stands still at the worst moment
				time.AfterFunc(testDead+time.Duration(k)*20*time.Millisecond, func() { a.freeze(900 * time.Millisecond) })
			}
			a.cutAll(true)
			b.cutAll(true)
			time.Sleep(20 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if len(at[0]) == 0 || len(at[1]) == 0 {
				t.Errorf("%d and %d tries", len(at[0]), len(at[1]))
			}
			for _, x := range at[0] {
				for _, y := range at[1] {
					if d := x.Sub(y).Abs(); d < 400*time.Millisecond {
						t.Errorf("delay %d: both are at the device within %v", k, d)
					}
				}
			}
			a.kill()
		})
	}
}

// A process that stands still between the decision and the deed may wake up in
// the other one's turn, before any of its timers.
func TestADeedThatComesAfterTheTurnIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{mode: pair.ModeFence, fence: true})
		a, b := r.nodes[0], r.nodes[1]
		b.kill()
		a.memory.set(func() { a.memory.spendSlow = testRace })
		a.start()
		r.await("the try fails", 20*time.Second, func() bool { return a.board.count("fence", "stood still") > 0 })
		if n := a.hands.count("fence"); n > 0 {
			t.Errorf("the device was asked %d times after the turn", n)
		}
		a.end2()
	})
}

func TestTheOwnerIsTheFirstToFenceWhateverItsId(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		if _, err := order1(t, a, Order{Command: OrderHandover}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var first string
		for _, n := range r.nodes {
			n.hands.set(func() { n.hands.unproven = true })
			n.hands.onFence = func() {
				if first == "" {
					first = n.loop.o.Self.Name
				}
			}
		}
		a.cutAll(true)
		b.cutAll(true)
		took := r.await("somebody fences", 3*time.Second, func() bool { return a.hands.count("fence")+b.hands.count("fence") > 0 })
		if first != "fw2" || took > testDead+2*testBeat {
			t.Errorf("%s was first, after %v", first, took)
		}
		a.kill()
	})
}
