package e2e

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// flapFor is how long links flap in all: TWINBEAT_FLAPS, or a while.
func flapFor(t *testing.T) time.Duration {
	text := os.Getenv("TWINBEAT_FLAPS")
	if text == "" {
		return 9 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A flap is how a link behaves: which nodes', and for how long at most it is out
// and in.
type flap struct {
	name    string
	nodes   []int
	out, in time.Duration
	short   bool // each gap is to be shorter than down_delay
}

// Of links that flap on the standby, or on both sides alike, nobody is better off
// by a move, nor by short gaps on the owner's. The monitor's and the judge's delays are the
// defaults.
func TestLinksThatFlapMoveNothing(t *testing.T) {
	l, err := lab.New(lab.Options{Binary: binary, Extra: "[[monitor]]\nname = \"lan\"\ntype = \"interface\"\ninterface = \"eth0\"\n"})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, Lab: l, slow: lab.WatchStalls(nil)}
	t.Cleanup(r.end)
	r.try(l.Boot())
	r.await("fw1 owns the group, both have looked", 2*soon, func() bool {
		return r.states(0, "ACTIVE", "ARMED") && r.monitor(0, "lan") == "up" && r.monitor(1, "lan") == "up"
	})
	since := r.mark()
	rnd := rand.New(rand.NewPCG(1, 2))
	pause := func(most time.Duration) { time.Sleep(20*time.Millisecond + time.Duration(rnd.Int64N(int64(most)))) }
	flaps := 0
	for _, f := range []flap{
		{"the standby's", []int{1}, 1500 * time.Millisecond, 3 * time.Second, false},
		{"both", []int{0, 1}, 1500 * time.Millisecond, 3 * time.Second, false},
		{"the owner's, for less than down_delay", []int{0}, 300 * time.Millisecond, time.Second, true},
	} {
		for end := time.Now().Add(flapFor(t) / 3); time.Now().Before(end); flaps++ {
			for _, n := range f.nodes {
				r.try(r.Nodes[n].CutLAN())
			}
			began := time.Now()
			pause(f.out)
			for _, n := range f.nodes {
				r.try(r.Nodes[n].HealLAN())
			}
			if f.short && time.Since(began) > 400*time.Millisecond { // this machine stood still: the gap counts
				r.await("fw1 is well", 2*soon, func() bool { return r.health(0) == 100 })
			}
			pause(f.in)
		}
		r.await("both are well after "+f.name, 2*soon, func() bool { return r.health(0) == 100 && r.health(1) == 100 })
		r.unmoved(since)
	}
	t.Logf("%d flaps in %v", flaps, flapFor(t))
}
