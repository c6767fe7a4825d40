package loop

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

func (f probeFact) apply(*Loop, pair.Instant) { f() }

func TestStopHandsOverAndNotesThatItWasClean(t *testing.T) {
	bubble(t, setup{services: true}, func(r *rig, a, b *node) {
		a.end2()
		if a.owns(0) || !b.owns(0) {
			t.Error("the group was not handed over")
		}
		if !a.memory.last().Clean {
			t.Error("the journal was not told")
		}
		if a.hands.count("drop") < 2 || a.hands.count("stop") < 2 { // one of each at the start
			t.Errorf("left behind: %v", a.hands.calls)
		}
	})
}

// The last word on disk is that the end was in order, however slow the disk is
// with what was said before.
func TestCleanEndIsNotOverwrittenByAnOlderSave(t *testing.T) {
	bubble(t, setup{}, func(r *rig, a, b *node) {
		a.memory.set(func() { a.memory.slow = 2 * time.Second })
		if _, err := order1(t, a, Order{Command: OrderMaintenanceOn, Reason: "disk"}); err != nil {
			t.Fatal(err)
		}
		a.end2()
		time.Sleep(10 * time.Second)
		if s := a.memory.last(); !s.Clean || s.Maintenance == nil {
			t.Errorf("kept last: %+v", s)
		}
	})
}

func TestStopWithAServiceThatHangsEnds(t *testing.T) {
	bubble(t, setup{services: true}, func(r *rig, a, b *node) {
		a.hands.set(func() { a.hands.slow["stop"] = time.Hour })
		began := time.Now()
		a.end2()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("took %v", took)
		}
		if !b.owns(0) {
			t.Error("the other one does not own")
		}
	})
}

func TestStopWhileALaneRunsEndsDark(t *testing.T) {
	bubble(t, setup{services: true}, func(r *rig, a, b *node) {
		b.hands.set(func() { b.hands.slow["take"] = 800 * time.Millisecond })
		a.kill()
		r.await("take begins", 2*time.Second, func() bool { return b.hands.count("take") > 0 })
		b.end2()
		if b.owns(0) {
			t.Error("the gate is open after the end")
		}
		if last := b.hands.calls[len(b.hands.calls)-1]; last != "drop 0" {
			t.Errorf("last: %s of %v", last, b.hands.calls)
		}
	})
}

func TestStopOfALonelyNodeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{})
		a, b := r.nodes[0], r.nodes[1]
		b.kill()
		a.start()
		r.await("alone", 5*time.Second, func() bool { return a.owns(0) })
		a.end2()
		if a.owns(0) || !a.memory.last().Clean {
			t.Error("not clean")
		}
		a.checkOrder()
	})
}

func TestAdoptedLeaseIsNotRenewedBeforeContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, setup{change: func(i int, o *Options) {
			if i == 0 {
				o.Groups[0].Start.LeaseHeld = true
			}
		}})
		a, b := r.nodes[0], r.nodes[1]
		a.gate.lease[0] = time.Now().Add(200 * time.Millisecond)
		b.kill()
		a.start()
		time.Sleep(250 * time.Millisecond)
		if a.owns(0) || a.count("renew") > 0 {
			t.Error("renewed without contact")
		}
		r.await("taken again by silence", 5*time.Second, func() bool { return a.owns(0) })
		a.end2()
		a.checkOrder()
	})
}

func TestAdoptedLeaseIsRenewedAfterContact(t *testing.T) {
	for _, left := range []time.Duration{200 * time.Millisecond, testBeat / 2} { // contact itself is answered, not with the next beat
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, setup{change: func(i int, o *Options) {
				if i == 0 {
					o.Groups[0].Start.LeaseHeld = true
				}
			}})
			a, b := r.nodes[0], r.nodes[1]
			b.start()
			time.Sleep(100 * time.Millisecond)
			a.gate.lease[0] = time.Now().Add(left)
			a.start()
			for range 100 {
				time.Sleep(10 * time.Millisecond)
				if !a.owns(0) {
					t.Error("the lease lapsed", a.board.tail(20))
					break
				}
			}
			a.end2()
			b.end2()
		})
	}
}

func TestServicesThatWereStartedAnewAreNoAlarm(t *testing.T) {
	bubble(t, setup{services: true}, func(r *rig, a, b *node) {
		b.cutAll(true) // the group stays where it is
		time.Sleep(time.Second)
		a.loop.Tell(ServiceFault{Name: "dns", Err: "is stopped; restarting it"})
		r.await("the alarm", time.Second, func() bool { return a.alarmed("g0/service-dns") })
		a.loop.Tell(ServiceFault{Name: "dns", Err: "is stopped after 3 restarts", Final: true})
		r.await("the verdict", time.Second, func() bool { return a.alarmed("g0/unfit") })
		if _, err := order1(t, a, Order{Command: OrderResume, Reason: "mended"}); err != nil {
			t.Fatal(err)
		}
		r.await("the end of both", 2*time.Second, func() bool { return !a.alarmed("g0/unfit") && !a.alarmed("g0/service-dns") })
		b.cutAll(false)
		time.Sleep(time.Second)
	})
}
