package rounds

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

// Whoever hangs is counted on, and the new sources are asked at once.
func TestOtherSourcesAreAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well, stuck, fresh := &fake{name: "well"}, &fake{name: "stuck", hangs: make(chan struct{})}, &fake{name: "fresh"}
		r := New(sources(well, stuck), within)
		defer r.Close()
		r.Ask(context.Background(), time.Now())
		r.Change(sources(fresh, well), within)
		if got := states(r.Ask(context.Background(), time.Now())); got != "fresh/0 ok, well/0 ok, stuck blocked" {
			t.Errorf("%s", got)
		}
		if r.left != 1 || stuck.calls.Load() != 1 {
			t.Errorf("%d readers hang, it was asked %d times", r.left, stuck.calls.Load())
		}
		close(stuck.hangs)
		time.Sleep(FindEvery)
		r.Ask(context.Background(), time.Now()) // takes its reader back
		time.Sleep(FindEvery)
		if got := states(r.Ask(context.Background(), time.Now())); got != "fresh/0 ok, well/0 ok" || r.left != 0 {
			t.Errorf("%s, %d readers hang", got, r.left)
		}
	})
}

// A look by the old finder that comes back late does not bring its sources back.
func TestALookThatHungIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, fresh, gate := &fake{name: "old"}, &fake{name: "fresh"}, make(chan struct{})
		r := New(func() []sensors.Source { <-gate; return sources(old)() }, within)
		defer r.Close()
		r.Ask(context.Background(), time.Now())
		r.Change(sources(fresh), within)
		close(gate)
		synctest.Wait()
		for range 2 {
			if got := states(r.Ask(context.Background(), time.Now())); got != "" && got != "fresh/0 ok" {
				t.Errorf("%s", got)
			}
		}
		if got := states(r.Ask(context.Background(), time.Now())); got != "fresh/0 ok" || old.calls.Load() != 0 {
			t.Errorf("%s", got)
		}
	})
}
