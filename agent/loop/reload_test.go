package loop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/act"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// tell gives the loop a fact and returns its answer.
func tell(t *testing.T, n *node, fact func(done chan<- error) Fact) error {
	t.Helper()
	done := make(chan error, 1)
	if !n.loop.Tell(fact(done)) {
		t.Fatal("the loop takes no facts")
	}
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("no answer")
		return nil
	}
}

func reloaded(digest uint32) func(done chan<- error) Fact {
	return func(done chan<- error) Fact {
		return Reloaded{
			Digest: digest, Groups: []Regroup{{Addresses: []string{"192.0.2.9/24"}, Services: []string{"web"}, Slow: Deadlines{time.Second, time.Second, time.Second, time.Second}}},
			Grace: time.Minute, Event: report.Event{Kind: "agent", Done: "reloaded"}, Done: done,
		}
	}
}

// While the digests differ nothing moves, whoever is reloaded first and however
// long it lasts; once they agree the standby is armed again.
func TestAReloadOfOneNodeMovesNothing(t *testing.T) {
	for _, first := range []int{0, 1} {
		bubble(t, setup{services: true}, func(r *rig, a, b *node) {
			was := a.gate.lit(0)
			if err := tell(t, r.nodes[first], reloaded(8)); err != nil {
				t.Fatal(err)
			}
			for range 600 { // half a minute
				time.Sleep(testBeat)
				if a.owns(0) != was || b.owns(0) == was {
					t.Fatalf("the group moved or was dropped (fw1 %v, fw2 %v)", a.owns(0), b.owns(0))
				}
			}
			if s := b.view().Groups[0].State; s != "STANDBY" || b.view().Peer.DigestOK {
				t.Errorf("the standby is %s, digest agrees: %v", s, b.view().Peer.DigestOK)
			}
			if _, err := order1(t, a, Order{Command: OrderHandover, By: "alice"}); err == nil {
				t.Error("a handover to a node whose configuration differs was not refused")
			}
			if err := tell(t, r.nodes[1-first], reloaded(8)); err != nil {
				t.Fatal(err)
			}
			r.await("the standby is armed", time.Second, func() bool { return b.view().Groups[0].State == "ARMED" })
			if g := a.view().Groups[0]; g.Addresses[0] != "192.0.2.9/24" || g.Services[0] != "web" || !a.owns(0) {
				t.Errorf("%+v", g)
			}
		})
	}
}

// The owner that dies in the window is not replaced by silence: whether its
// configuration meant the same nobody can say. It serves again with its agent.
func TestAnOwnerThatDiesWhileTheFilesDifferIsNotReplacedBySilence(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		if err := tell(t, b, reloaded(8)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.kill()
		time.Sleep(10 * time.Second)
		if b.owns(0) {
			t.Error("fw2 took a group that it may know differently")
		}
	})
}

// With a proof it may: a box without power owns nothing, whatever its file says.
func TestAnOwnerThatDiesWhileTheFilesDifferIsReplacedByProof(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		if err := tell(t, b, reloaded(8)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.kill()
		r.await("takeover", 30*time.Second, b.ownsAll)
	})
}

func TestAChoreWaitsForItsTurnInTheLane(t *testing.T) {
	bubble(t, setup{services: true}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.slow["stop"] = time.Second })
		go func() { _, _ = a.loop.Do(context.Background(), Order{Command: OrderHandover, By: "alice"}) }()
		time.Sleep(testBeat) // the services are being stopped
		began := time.Now()
		failed := errors.New("no such device")
		err := tell(t, a, func(done chan<- error) Fact {
			return Chore{Group: 0, For: time.Second, Done: done, Do: func(context.Context) error { return failed }}
		})
		if took := time.Since(began); !errors.Is(err, failed) || took < time.Second/2 {
			t.Errorf("got %v after %v, beside the stop", err, took)
		}
		err = tell(t, a, func(done chan<- error) Fact {
			return Chore{Group: 0, For: time.Second, Done: done, Do: func(ctx context.Context) error { <-ctx.Done(); time.Sleep(2 * act.OverrunGrace); return nil }}
		})
		if err == nil {
			t.Error("one that does not end was not told")
		}
		time.Sleep(2 * act.OverrunGrace)
	})
}

func TestAFenceAtWorkIsNotReplaced(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		swaps := 0
		refence := func(done chan<- error) Fact {
			return Refence{Fence: FenceTerms{Name: "other", Wiring: "w", Budget: 2, NeedVerified: true}, Swap: func() { swaps++ }, Done: done}
		}
		b.hands.set(func() { b.hands.slow["fence"] = 700 * time.Millisecond })
		a.kill()
		r.await("fence begins", 5*time.Second, func() bool { return b.hands.count("fence") == 1 })
		if err := tell(t, b, refence); !errors.Is(err, ErrFencing) || swaps != 0 {
			t.Errorf("while it is at work: %v, %d swaps", err, swaps)
		}
		r.await("takeover", 5*time.Second, b.ownsAll)
	})
	bubble(t, setup{mode: pair.ModeFence, fence: true}, func(r *rig, a, b *node) {
		err := tell(t, b, func(done chan<- error) Fact {
			return Refence{Fence: FenceTerms{Name: "other", Wiring: "w", NeedVerified: true}, Swap: func() {}, Done: done}
		})
		if err != nil {
			t.Fatal(err)
		}
		// Its wiring was never verified: this node may not fence with it.
		if f := b.view().Peer.Fence; f == nil || f.Device != "other" || f.Barred == "" {
			t.Errorf("%+v", f)
		}
		time.Sleep(time.Second)
		if s := b.view().Groups[0].State; s == "ARMED" {
			t.Error("armed with a wiring that nobody verified")
		}
	})
}
