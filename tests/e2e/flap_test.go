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

// flaps are those that nobody is to move for: of links that flap on the standby, or
// on both sides alike, nobody is better off by a move, nor by short gaps on the owner's.
var flaps = []flap{
	{"the standby's", []int{1}, 1500 * time.Millisecond, 3 * time.Second, false},
	{"both", []int{0, 1}, 1500 * time.Millisecond, 3 * time.Second, false},
	{"the owner's, for less than down_delay", []int{0}, 300 * time.Millisecond, time.Second, true},
}

// flapRound is how long one pair is played with: a machine that stands still moves
// groups, too, and then only so much is played again.
const flapRound = 60 * time.Second

// The monitor's and the judge's delays are the defaults.
func TestLinksThatFlapMoveNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, f := range flaps {
		for left := flapFor(t) / time.Duration(len(flaps)); left > 0; left -= flapRound {
			t.Run(f.name, func(t *testing.T) { flapRoundOf(t, f, min(left, flapRound), rnd) })
		}
	}
}

func flapRoundOf(t *testing.T, f flap, lasts time.Duration, rnd *rand.Rand) {
	for try := 1; ; try++ {
		r := watched(t, lab.Options{Extra: "[[monitor]]\nname = \"lan\"\ntype = \"interface\"\ninterface = \"eth0\"\n"}, "lan")
		since := r.mark()
		n := r.flap(f, lasts, rnd)
		stood := r.slow.Longest()
		if len(r.changes(since)) == 0 || stood < leaseStandsStill || try == busyTries {
			t.Logf("%d flaps in %v", n, lasts)
			r.unmoved(since)
			return
		}
		t.Logf("the whole machine stood still for %v, which ends leases: once more", stood)
	}
}

// leaseStandsStill is more than profile default has to spare for.
const leaseStandsStill = 100 * time.Millisecond

// flap plays with the links and returns how often.
func (r *rig) flap(f flap, lasts time.Duration, rnd *rand.Rand) (n int) {
	pause := func(most time.Duration) { time.Sleep(20*time.Millisecond + time.Duration(rnd.Int64N(int64(most)))) }
	for end := time.Now().Add(lasts); time.Now().Before(end); n++ {
		for _, i := range f.nodes {
			r.try(r.Nodes[i].CutLAN())
		}
		began := time.Now()
		pause(f.out)
		for _, i := range f.nodes {
			r.try(r.Nodes[i].HealLAN())
		}
		if f.short && time.Since(began) > 400*time.Millisecond { // this machine stood still: the gap counts
			r.await("fw1 is well", 2*soon, func() bool { return r.health(0) == 100 })
		}
		pause(f.in)
	}
	r.await("both are well after "+f.name, 2*soon, func() bool { return r.health(0) == 100 && r.health(1) == 100 })
	return n
}
