package loop

import (
	"errors"
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
			b.hands.slow["fence"], b.hands.deaf, b.hands.unproven = 2500*time.Millisecond, true, true
		})
		a.hands.set(func() { a.hands.unproven = true }) // else it would be SOLO, and its peer not armed
		a.cutAll(true)
		r.await("fence begins", 3*time.Second, func() bool { return b.hands.count("fence") == 1 })
		a.cutAll(false)
		time.Sleep(4 * testBeat) // heard: cancelled, but the device is busy
		a.kill()
		b.hands.set(func() { b.hands.slow["fence"], b.hands.deaf = 10*time.Millisecond, false })
		r.await("the first one ends", 3*time.Second, func() bool { return b.board.count("fence", "proven") > 0 })
		b.hands.set(func() { b.hands.unproven = false })
		// Without the pause of a failed try, which FenceRetry sets to a second.
		if took := r.await("takeover", 5*time.Second, func() bool { return b.owns(0) }); took > 500*time.Millisecond {
			t.Errorf("took %v more", took)
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
