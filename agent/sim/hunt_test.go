package sim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

var hunt = flag.Int("hunt", 0, "in how many runs to look for pairs that no schedule in testdata visits")

// common is how many drawn runs say which pairs are not rare.
const common = 600

// hunted are the faults among which rare pairs are found: late frames and
// orders while slow actions are under way.
var hunted = []FaultKind{
	FaultHold, FaultHold, FaultHold, FaultCutAll, FaultOrder, FaultOrder, FaultOrder, FaultStop, FaultRestart, FaultKill, FaultSick, FaultIll, FaultReach, FaultFlush, FaultAlien,
}

// TestRarePairs writes to testdata, cut down, a schedule for each pair that
// nothing there visits. It is a tool for after a change of the machine or of the
// world; without -hunt it only sees that the files it wrote do what they say.
func TestRarePairs(t *testing.T) {
	var cover Coverage
	if *hunt == 0 {
		visitRare(t, &cover)
		return
	}
	saved(t, func(f, purpose string, c Config, s Schedule) {
		if name, rare := strings.CutPrefix(purpose, "visits "); rare {
			c = renoise(t, f, name, c, s)
		}
		r := Run(c, s)
		cover.Add(&r.Cover)
	})
	for seed := range uint64(common) {
		c, s := Draw(seed+1, 0)
		r := Run(c, s)
		cover.Add(&r.Cover)
	}
	for seed := *first; seed < *first+uint64(*hunt); seed++ {
		c, s := wild(seed)
		r := Run(c, s)
		report(t, c, s, r)
		for st := range r.Cover {
			for i := range r.Cover[st] {
				if r.Cover[st][i] > 0 && cover[st][i] == 0 {
					writePair(t, c, s, pair.State(st), i)
				}
			}
		}
		cover.Add(&r.Cover)
	}
	_, _, missing, _ := cover.Pairs()
	t.Logf("left: %v", missing)
}

// renoise looks for another noise with which a schedule visits its pair, if it
// does not any more.
func renoise(t *testing.T, f, name string, c Config, s Schedule) Config {
	old := c.Seed
	for i := range *hunt {
		r := Run(c, s)
		if r.Violation == nil && r.Cover.visited(name) {
			if i > 0 {
				t.Logf("%s: noise %d instead of %d", name, c.Seed, old)
				text := Format(c, s, "visits "+name, fmt.Sprintf("Cut down with noise %d.", old))
				if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			return c
		}
		c.Seed++
	}
	return c
}

// wild is a run of slow actions and close faults.
func wild(seed uint64) (Config, Schedule) {
	c, _ := Draw(seed, 0)
	c.Slow, c.NoServices, c.Trouble, c.Hiccup, c.Wire = true, false, 20, 100, false
	c.Profile, c.Scale, c.Length = "slow", 1+c.Scale%3, 5*time.Minute
	d := drawer{Rand: newRand(seed), c: c, w: newWorld(c)}
	var s Schedule
	for at := 10 * time.Second; at < 4*time.Minute; at += d.below(2 * d.w.unit) {
		s = append(s, d.fault(hunted[d.IntN(len(hunted))], at.Truncate(time.Millisecond)))
	}
	return c, s
}

func writePair(t *testing.T, c Config, s Schedule, st pair.State, input int) {
	t.Helper()
	small, rest, tries := minimise(c, s, pair.Instant(c.Length), func(r *Result) bool { return r.Violation == nil && r.Cover[st][input] > 0 })
	key := st.String() + " " + inputNames[input]
	text := Format(small, rest, "visits "+key, fmt.Sprintf("Cut down from %d faults in %d runs.", len(s), tries))
	t.Logf("%s: %d faults", key, len(rest))
	name := "testdata/pair_" + strings.ToLower(strings.ReplaceAll(key, " ", "_")) + ".sched"
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
