package loop

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

var errTest = errors.New("test says no")

func order1(t *testing.T, n *node, o Order) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	o.By = "root"
	return n.loop.Do(ctx, o)
}

func TestHandoverMovesTheGroupWithoutAGap(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		text, err := order1(t, a, Order{Command: OrderHandover, Reason: "test"})
		if err != nil || !strings.Contains(text, "fw2 owns it") {
			t.Fatalf("%q, %v", text, err)
		}
		if a.owns(0) || !b.owns(0) {
			t.Error("the group is not where the answer says")
		}
		if n := a.count("tx released"); n == 0 {
			t.Error("RELEASED was not sent")
		}
	})
}

func TestTakeAsksThePeerForTheGroup(t *testing.T) {
	bubble(t, setup{services: true}, func(r *rig, a, b *node) {
		if text, err := order1(t, b, Order{Command: OrderTake}); err != nil || !b.owns(0) {
			t.Fatalf("%q, %v", text, err)
		}
	})
}

func TestKilledOwnerIsTakenOverAfterItsLease(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.kill()
		took := r.await("takeover", 2*time.Second, func() bool { return b.owns(0) })
		if took > 2*testTake {
			t.Errorf("took %v", took)
		}
	})
}

func TestOneWayLossIsAClaimAndAnAnswer(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.cutAll(true)
		r.await("takeover by the one that is deaf", 3*time.Second, func() bool { return b.owns(0) })
		time.Sleep(time.Second)
		a.cutAll(false)
		time.Sleep(time.Second)
		if a.owns(0) == b.owns(0) {
			t.Error("after healing not exactly one owns")
		}
	})
}

func TestShortStallKeepsTheGroup(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.freeze(180 * time.Millisecond)
		time.Sleep(2 * time.Second)
		if !a.owns(0) {
			t.Error("a stall shorter than the lease cost the group")
		}
	})
}

func TestLongStallIsTakenOverAndTheSleeperStandsBy(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.freeze(10 * time.Second)
		time.Sleep(12 * time.Second)
		if a.owns(0) || !b.owns(0) {
			t.Error("the sleeper still owns")
		}
		if s := a.view().Groups[0].State; s != "ARMED" {
			t.Errorf("the sleeper is %s", s)
		}
	})
}

func TestStallsOfEveryLengthNeverMakeTwoOwners(t *testing.T) {
	for ms := 20; ms <= 700; ms += 34 {
		bubble(t, setup{}, func(r *rig, a, b *node) {
			a.freeze(time.Duration(ms) * time.Millisecond)
			time.Sleep(3 * time.Second)
			if a.owns(0) == b.owns(0) {
				t.Errorf("after a stall of %d ms: %v and %v", ms, a.owns(0), b.owns(0))
			}
		})
	}
}

func TestRenewalsRefusedForGoodAreATakeover(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.gate.set(func() { a.gate.refuse = true })
		r.await("takeover", 3*time.Second, func() bool { return b.owns(0) })
		a.gate.set(func() { a.gate.refuse = false })
	})
}

func TestOneRefusedRenewalIsNoLoss(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.gate.set(func() { a.gate.refuse = true })
		time.Sleep(testBeat + testBeat/2)
		a.gate.set(func() { a.gate.refuse = false })
		time.Sleep(time.Second)
		if !a.owns(0) || a.board.count("role", "lease") > 0 {
			t.Error("one refused renewal cost the group", a.board.tail(9))
		}
	})
}

func TestLeaseThatAStrangerFlushedIsGrantedAgain(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.gate.flush()
		a.loop.Tell(GateChanged{What: "flushed"})
		dark := r.await("granted again", time.Second, func() bool { return a.owns(0) })
		if dark > testBeat {
			t.Errorf("dark for %v", dark)
		}
		a.gate.flush() // and nobody says so
		if dark := r.await("granted again", time.Second, func() bool { return a.owns(0) }); dark > 2*testBeat {
			t.Errorf("dark for %v", dark)
		}
		time.Sleep(time.Second)
		if b.owns(0) {
			t.Error("the group moved")
		}
	})
}

// A gate must not open on a decision that is older than the window: while the
// process stood still between them the peer may have taken the group.
func TestGateDoesNotOpenOnAnOldDecision(t *testing.T) {
	for _, where := range []string{"turn", "turn again", "grant"} {
		t.Run("stopped before "+where, func(t *testing.T) {
			bubble(t, setup{}, func(r *rig, a, b *node) {
				b.gate.set(func() {
					b.gate.refuseGrant = where == "turn again" // so that a tick asks, in a turn without a mark
					b.gate.before = func(what string) {
						wants := b.loop.groups[0].wantOpen != 0
						if !strings.HasPrefix(where, what) || b.hands.count("take") == 0 || where == "turn again" && !wants {
							return
						}
						b.gate.set(func() { b.gate.before, b.gate.refuseGrant = nil, false })
						b.mu.Lock()
						b.thawed = time.Now().Add(5 * time.Second)
						b.mu.Unlock()
						time.Sleep(5 * time.Second)
					}
				})
				go func() { _, _ = order1(t, a, Order{Command: OrderHandover}) }()
				time.Sleep(8 * time.Second)
				if a.owns(0) == b.owns(0) {
					t.Errorf("fw1 %v, fw2 %v", a.owns(0), b.owns(0))
				}
			})
		})
	}
}

// A gate that would not close is still open: the peer must not be told otherwise.
func TestGroupIsNotCalledFreeWhileItsGateWouldNotClose(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.gate.set(func() { a.gate.closeErr = errTest })
		go func() { _, _ = order1(t, a, Order{Command: OrderHandover}) }()
		r.await("the other one owns", 3*time.Second, func() bool { return b.owns(0) })
		if a.owns(0) {
			t.Error("both own")
		}
		a.gate.set(func() { a.gate.closeErr = nil })
		time.Sleep(3 * time.Second)
		if a.alarmed("g0/gate-close") || a.alarmed("gate") {
			t.Error("the alarm stays although the lease has run out")
		}
	})
}

func TestAlarmOfAFailedMarkIsOverWithTheNextGoodOne(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.gate.set(func() { b.gate.turnErr = errTest })
		time.Sleep(2 * testBeat)
		if !b.alarmed("gate") {
			t.Error("no alarm")
		}
		b.gate.set(func() { b.gate.turnErr = nil })
		time.Sleep(2 * testBeat)
		if b.alarmed("gate") {
			t.Error("the alarm stays")
		}
	})
}

func TestRefusedGrantIsAskedForAgain(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.gate.set(func() { b.gate.refuseGrant = true })
		a.kill()
		time.Sleep(time.Second)
		if b.owns(0) || !b.alarmed("g0/gate") {
			t.Error("a refused grant opened the gate, or raised no alarm")
		}
		b.gate.set(func() { b.gate.refuseGrant = false })
		r.await("granted", time.Second, func() bool { return b.owns(0) })
		time.Sleep(2 * testBeat)
		if b.alarmed("g0/gate") {
			t.Error("the alarm stays")
		}
	})
}

func TestUnreadableKernelIsNoReasonToGiveTheGroupUp(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.gate.set(func() { a.gate.heldErr = errTest })
		time.Sleep(1200 * time.Millisecond)
		a.gate.set(func() { a.gate.heldErr = nil })
		time.Sleep(time.Second)
		if !a.owns(0) || a.board.count("role", "lease") > 0 {
			t.Error("one failed read of the kernel moved the group", a.board.tail(9))
		}
	})
}

func TestSlowAddressesDelayTheGateAndNothingElse(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.slow["take"] = 700 * time.Millisecond })
		a.kill()
		took := r.await("takeover", 3*time.Second, func() bool { return b.owns(0) })
		if took < 700*time.Millisecond {
			t.Errorf("gate opened after %v, before the addresses were there", took)
		}
	})
}

func TestLaneThatOverrunsIsAnswered(t *testing.T) {
	bubble(t, setup{services: true}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.slow["stop"], a.hands.deaf = 15*time.Second, true })
		_, err := order1(t, a, Order{Command: OrderHandover})
		if err != nil || !b.owns(0) {
			t.Errorf("%v; fw2 owns: %v", err, b.owns(0))
		}
		a.hands.set(func() { a.hands.slow["stop"], a.hands.deaf = 0, false })
		time.Sleep(20 * time.Second)
	})
}

func TestFailingJournalIsAnAlarmAndNoMore(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		b.memory.set(func() { b.memory.saveErr = errTest })
		if _, err := order1(t, a, Order{Command: OrderHandover}); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		if !b.alarmed("journal") {
			t.Error("no alarm")
		}
		b.memory.set(func() { b.memory.saveErr = nil })
		// The disk has room again: what could not be written is written, unasked.
		r.await("the alarm is over", 2*time.Second, func() bool { return !b.alarmed("journal") })
		if got, want := b.memory.last().Terms[0], b.view().Groups[0].Term; got != want {
			t.Errorf("term %d is kept, want %d", got, want)
		}
	})
}

func TestMaintenanceEndsWhenItsTimeIsOver(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		if _, err := order1(t, a, Order{Command: OrderMaintenanceOn, Reason: "disk", For: 100 * time.Second}); err != nil {
			t.Fatal(err)
		}
		r.await("handed over", time.Second, func() bool { return b.owns(0) })
		if m := a.memory.last().Maintenance; m == nil || m.Reason != "disk" {
			t.Errorf("kept %+v", m)
		}
		time.Sleep(97 * time.Second)
		s := a.view()
		if s.Self.Maintenance == nil || s.Groups[0].State != "MAINTENANCE" {
			t.Fatalf("%s, %+v", s.Groups[0].State, s.Self.Maintenance)
		}
		time.Sleep(4 * time.Second)
		if s := a.view(); s.Self.Maintenance != nil || s.Groups[0].State != "ARMED" {
			t.Errorf("%s, %+v", s.Groups[0].State, s.Self.Maintenance)
		}
		if m := a.memory.last().Maintenance; m != nil {
			t.Errorf("kept %+v", m)
		}
	})
}

func TestSnapshotIsNotChangedAfterwards(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		if _, err := order1(t, a, Order{Command: OrderMaintenanceOn, Reason: "disk", For: 100 * time.Second}); err != nil {
			t.Fatal(err)
		}
		s := a.view()
		before := s.Self.Maintenance.LeftSec
		time.Sleep(5 * time.Second)
		if s.Self.Maintenance.LeftSec != before {
			t.Error("the loop writes into a snapshot that it gave away")
		}
	})
}

// A clock ends a maintenance, not a failure: that takes an operator or a fence.
func TestEndOfMaintenanceDoesNotCallAFailedGroupFit(t *testing.T) {
	bubble(t, setup{mode: pair.ModeFence, fence: true, services: true}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.errs["stop"] = errTest })
		b.hands.set(func() { b.hands.unproven = true })
		if _, err := order1(t, a, Order{Command: OrderMaintenanceOn, Reason: "disk", For: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if s := a.view().Groups[0].State; s != "FAILED" {
			t.Fatalf("%s", s)
		}
		time.Sleep(5 * time.Second)
		if s := a.view().Groups[0].State; s != "FAILED" {
			t.Errorf("%s after the maintenance", s)
		}
		a.hands.set(func() { clear(a.hands.errs) })
	})
}
