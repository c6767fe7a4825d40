package fence_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

// trouble draws a behaviour with a few things wrong at once. What no reading
// can show is left out.
func trouble(r *rand.Rand, k kind) fencetest.Behaviour {
	b := k.base
	some := func(p float64) bool { return r.Float64() < p }
	span := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	b.CommandFail = some(0.2)
	b.Queue = some(0.3)
	b.Dead = some(0.05)
	b.Lie = k.metered() && some(0.1)
	b.Unreachable = some(0.03)
	b.Unsure = b.Tells && some(0.03)
	if some(0.3) {
		b.Lag = span(12 * time.Second)
	}
	if some(0.2) {
		b.Slow = span(2 * time.Second)
	}
	if some(0.2) {
		b.FlipBack = span(20 * time.Second)
	}
	if some(0.1) {
		b.Delayed = 1 + span(20*time.Second)
	}
	if some(0.15) {
		b.Restart, b.WakesOn = 1+span(8*time.Second), some(0.5)
	}
	if some(0.2) {
		b.Lost = 2 + r.IntN(6)
	}
	if some(0.1) {
		b.Garbled = r.IntN(5)
	}
	if some(0.1) {
		b.Drop = r.IntN(3)
	}
	if some(0.2) {
		b.MeterLag = span(5 * time.Second)
	}
	return b
}

// TestNoMixOfTroublesMakesAFalseProof changes the troubles while an Off runs,
// with an On now and then before it.
func TestNoMixOfTroublesMakesAFalseProof(t *testing.T) {
	runs := 3000
	if testing.Short() {
		runs = 300
	}
	proven := 0
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			k := kinds[r.IntN(len(kinds))]
			w := &world{t: t, kind: k, unit: fencetest.NewUnit("unit", 3), pins: r.IntN(2) == 0}
			w.far = w.unit
			if r.IntN(2) == 0 {
				w.far = fencetest.NewUnit("far", 3)
			}
			supplies := 1 + r.IntN(2)
			for n := 1; n <= supplies; n++ {
				w.behave(n, func(*behaviour) {})
				w.node.Devices = append(w.node.Devices, w.feed(n, []string{"1", "2"}[n-1]))
			}
			_, _ = w.node.Check(t.Context())
			for range r.IntN(4) {
				n, b := 1+r.IntN(supplies), trouble(r, k)
				time.AfterFunc(time.Duration(r.Int64N(int64(15*time.Second))), func() { w.fake(n).Behave(b) })
			}
			for n := 1; n <= supplies; n++ {
				w.fake(n).Behave(trouble(r, k))
			}
			if r.IntN(4) == 0 {
				_ = w.unit.Fake(1).SwitchOff(t.Context())
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_ = w.node.On(ctx)
				cancel()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			proof, err := w.node.Off(ctx)
			live := false
			for n := 1; n <= supplies; n++ {
				// The newest reading may be as old as two slow answers.
				live = w.fake(n).PoweredFor() > 4*time.Second || live
			}
			if proof.Proven {
				proven++
			}
			if proof.Proven != (err == nil) || proof.Proven && (live || proof.Grade < fence.GradeClaim) {
				t.Errorf("seed %d, %s: live %v, proof %+v, err %v", seed, k.name, live, proof, err)
			}
			time.Sleep(time.Minute) // for what was to come
		})
	}
	t.Logf("%d of %d were proven", proven, runs)
	if proven < runs/4 {
		t.Errorf("only %d of %d were proven: the troubles are too many to tell anything", proven, runs)
	}
}
