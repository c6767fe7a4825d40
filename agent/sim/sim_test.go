package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	cover := &sums[0].Cover
	t.Logf("%vin %v", &sums[0], time.Since(start).Round(time.Millisecond))
	visitRare(t, cover)
	visited, all, missing, wrong := cover.Pairs()
	t.Logf("with the schedules of testdata %d of %d pairs\n%v", visited, all, cover.Table())
	if len(wrong) > 0 {
		t.Errorf("pairs that no machine should meet: %v", wrong)
	}
	if len(missing) > 0 && n >= allPairs {
		t.Errorf("pairs not met: %v", missing)
	}
}

// allPairs is from how many seeds on every (state, input) pair must be met.
const allPairs = 2000

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

// kills is how often each mutant must die, for a mean that says something.
const kills = 3

// TestMutantsAreCaught proves that the checkers can fail: each mutant breaks a
// rule that the design needs, and some drawn run must show it.
func TestMutantsAreCaught(t *testing.T) {
	modes := map[Mutant][]pair.Mode{ // that need the rule
		RenewWithoutToken: {pair.ModeSilence, pair.ModeLease}, TakeoverTooEarly: {pair.ModeLease},
		EchoByArrival: {pair.ModeLease, pair.ModeSilence}, ProbeBlind: {pair.ModeSilence}, FenceLies: {pair.ModeFence},
		GrantWhileOwning: {pair.ModeLease, pair.ModeSilence}, LeaseLongerThanTold: {pair.ModeLease, pair.ModeSilence},
		ClaimsUnheard: {pair.ModeLease, pair.ModeSilence}, ReplayTaken: {pair.ModeSilence, pair.ModeLease, pair.ModeFence},
	}
	const limit = 600
	for m := Sound + 1; m < ProbesUnheard; m++ {
		t.Run(fmt.Sprint(m), func(t *testing.T) {
			t.Parallel()
			dead := 0
			for i := range limit {
				c, s := Draw(uint64(i+1), modes[m][i%len(modes[m])])
				c.Mutant, c.Wire = m, false
				r := Run(c, s)
				if r.Violation == nil {
					continue
				}
				if dead++; dead == 1 {
					t.Logf("first in run %d: %s", i+1, r.Violation.Rule)
				}
				if dead == kills || testing.Short() {
					t.Logf("killed %d times, one in %.1f runs", dead, float64(i+1)/float64(dead))
					return
				}
			}
			if dead == 0 {
				t.Errorf("mutant %d survived %d runs", m, limit)
			}
		})
	}
}

var record = flag.Uint64("record", 0, "write the minimised schedule of this mutant to testdata")

// saved reads the schedules of testdata; what each is for is its first line.
func saved(t *testing.T, each func(file, purpose string, c Config, s Schedule)) {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.sched")
	if len(files) < 20 {
		t.Errorf("%d schedules found", len(files))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c, s, err := ParseSchedule(string(b))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		purpose, _, _ := strings.Cut(strings.TrimPrefix(string(b), "# "), "\n")
		each(f, purpose, c, s)
	}
}

// TestOldFailuresFailAgain replays testdata: what a mutant broke it must break
// again, by the same rule, and the machine as it is must pass every schedule.
func TestOldFailuresFailAgain(t *testing.T) {
	saved(t, func(f, purpose string, c Config, s Schedule) {
		if c.Mutant != Sound {
			if v := Run(c, s).Violation; v == nil || v.Rule != purpose {
				t.Errorf("%s: %+v, want %s", f, v, purpose)
			}
			c.Mutant = Sound
		}
		if v := Run(c, s).Violation; v != nil {
			t.Errorf("%s: %+v", f, v)
		}
	})
}

// nearby is how many noises a rare pair is looked for with: the schedule makes
// it likely, not certain.
const nearby = 200

// visitRare plays the schedules that were made for one pair each.
func visitRare(t *testing.T, cover *Coverage) {
	t.Helper()
	saved(t, func(f, purpose string, c Config, s Schedule) {
		pair, rare := strings.CutPrefix(purpose, "visits ")
		for range nearby {
			if !rare || cover.visited(pair) {
				return
			}
			r := Run(c, s)
			report(t, c, s, r)
			cover.Add(&r.Cover)
			c.Seed++
		}
		if !cover.visited(pair) {
			t.Errorf("%s does not visit its pair any more: look for it anew with -run Rare -args -hunt 4000", f)
		}
	})
}

// TestMinimise cuts a run that a mutant fails down to a few faults.
func TestMinimise(t *testing.T) {
	m := GrantWhileOwning
	if *record != 0 {
		m = Mutant(*record)
	}
	mode := map[Mutant]pair.Mode{
		FenceLies: pair.ModeFence, TakeoverTooEarly: pair.ModeLease, LeaseLongerThanTold: pair.ModeLease,
		EchoByArrival: pair.ModeLease, ClaimsUnheard: pair.ModeLease,
	}[m]
	if mode == 0 {
		mode = pair.ModeSilence
	}
	failed, short := 0, 0
	for seed := uint64(1); seed < 600 && failed < 3; seed++ {
		c, s := Draw(seed, mode)
		c.Mutant, c.Wire = m, false
		r := Run(c, s)
		if r.Violation == nil {
			continue
		}
		failed++
		small, faults, tries := Minimise(c, s)
		if v := Run(small, faults).Violation; v == nil || v.Rule != r.Violation.Rule {
			t.Errorf("seed %d: %d of %d faults left: %+v, want %s", seed, len(faults), len(s), v, r.Violation.Rule)
		}
		if len(faults) > len(s)/3 {
			continue // each fault left out changes all that follows: some runs hold together
		}
		short++
		text := Format(small, faults, r.Violation.Rule, fmt.Sprintf("Mutant %d, seed %d, cut down from %d faults to %d in %d runs.", m, seed, len(s), len(faults), tries))
		t.Log(text)
		if *record != 0 {
			if err := os.WriteFile(fmt.Sprintf("testdata/mutant%d.sched", m), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	if short < 2 {
		t.Errorf("of %d runs that fail %d were cut down to a third of their faults, want 2 of 3", failed, short)
	}
}
