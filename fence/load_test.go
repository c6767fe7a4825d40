package fence_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

// A bank's meter shows many; only an off tells what one outlet draws of it.
func TestWhatAnOutletDrawsOfABanksMeterIsLearntFromAnEarlierOff(t *testing.T) {
	for _, supplies := range []int{1, 2} {
		within(t, time.Minute, func(t *testing.T, ctx context.Context) {
			u := fencetest.NewUnit("pdu", 3)
			var c fence.Chain
			for n := range supplies {
				b := behaviour{Meter: "bank", Draw: 0.4, Other: 3, Slow: 10 * time.Millisecond}
				u.Fake(n + 1).Behave(b)
				d, err := fence.NewFeed(fence.Feed{Switch: u.Fake(n + 1), Unit: "pdu"}, fence.Timing{})
				if err != nil {
					t.Fatal(err)
				}
				c.Devices = append(c.Devices, d)
			}
			for round, want := range []fence.Grade{fence.GradeClaim, fence.GradeLoad, fence.GradeLoad} {
				proof, err := c.Off(ctx)
				if err != nil || proof.Grade != want || proof.Took > time.Second {
					t.Errorf("%d supplies, round %d: proof %+v, err %v, want %v", supplies, round, proof, err, want)
				}
				if err := c.On(ctx); err != nil {
					t.Fatal(err)
				}
			}
			u.Fake(1).Behave(behaviour{Meter: "bank", Draw: 0.4, Other: 3, Lie: true, Slow: 10 * time.Millisecond})
			for round := range 2 {
				proof, err := c.Off(ctx)
				if err != nil || proof.Grade != fence.GradeClaim || supplies == 1 && !strings.Contains(proof.Evidence, "although 0.4 A (bank) should be gone") {
					t.Errorf("%d supplies, one welded, round %d: proof %+v, err %v", supplies, round, proof, err)
				}
				if err := c.On(ctx); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAnOutletThatWasOffAlreadyHasNoFallToShow(t *testing.T) {
	within(t, time.Minute, func(t *testing.T, ctx context.Context) {
		f := fencetest.New("plug")
		f.Behave(behaviour{Meter: "outlet", Draw: 0.4})
		d := f.Device(0)
		for _, want := range []fence.Grade{fence.GradeLoad, fence.GradeClaim} {
			if proof, err := d.Off(ctx); err != nil || proof.Grade != want {
				t.Errorf("proof %+v, err %v, want %v", proof, err, want)
			}
		}
	})
}
