package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

var (
	oneSeed = flag.Uint64("seed", 0, "replay one seed of the seed test")
	traced  = flag.Bool("trace", false, "print what happens, with -seed")
	count   = flag.Uint64("seeds", 2000, "how many seeds the seed test runs")
	first   = flag.Uint64("first", 1, "the first seed of the seed test")
)

func TestNoSeedHasTwoOwnersOrNoneForLong(t *testing.T) {
	if *oneSeed != 0 {
		c, s := Draw(*oneSeed, 0)
		if *traced {
			c.Trace = os.Stdout
		}
		r := Run(c, s)
		report(t, c, s, r)
		return
	}
	n := *count
	if testing.Short() {
		n = min(n, 150)
	}
	var sums [shards]Tally
	start := time.Now()
	t.Run("shards", func(t *testing.T) {
		for i := range uint64(shards) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				runSeeds(t, &sums[i], *first+i, *first+n)
			})
		}
	})
	for i := 1; i < shards; i++ {
		sums[0].Merge(&sums[i])
	}
	t.Logf("%v\n%vin %v", &sums[0], sums[0].Cover.Table(), time.Since(start).Round(time.Millisecond))
}

// shards is how many runs go on at once.
const shards = 2

func runSeeds(t *testing.T, sum *Tally, from, to uint64) {
	for seed := from; seed < to; seed += shards {
		c, s := Draw(seed, 0)
		r := Run(c, s)
		sum.Add(seed, &r)
		report(t, c, s, r)
		if t.Failed() {
			return
		}
	}
}

func report(t *testing.T, c Config, s Schedule, r Result) {
	t.Helper()
	v := r.Violation
	if v == nil {
		return
	}
	t.Errorf("seed %d at %v: %s: %s", c.Seed, time.Duration(v.At), v.Rule, v.Text)
	for _, h := range r.History[max(0, len(r.History)-12):] {
		t.Logf("%v -> %v term %d %v: %s | %s", h.From, h.To, h.Term, h.Evidence, h.Seen, h.Decided)
	}
	small, faults, tries := Minimise(c, s)
	t.Logf("minimised in %d runs:\n%s", tries, Format(small, faults, v.Rule))
}

func TestProf(t *testing.T) {
	f, _ := os.Create("/tmp/sim.prof")
	pprof.StartCPUProfile(f)
	defer pprof.StopCPUProfile()
	by := map[string]time.Duration{}
	nn := map[string]int{}
	for seed := uint64(1); seed < *count; seed++ {
		c, s := Draw(seed, 0)
		st := time.Now()
		r := Run(c, s)
		k := fmt.Sprintf("%s x%d wire %v", c.Profile, c.Scale, c.Wire)
		by[k] += time.Since(st)
		nn[k]++
		_ = r
	}
	for k, d := range by {
		t.Logf("%s: %d runs %v each", k, nn[k], d/time.Duration(nn[k]))
	}
}

var _ = pair.Beat
