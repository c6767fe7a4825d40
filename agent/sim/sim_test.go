package sim

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

var (
	oneSeed = flag.Uint64("seed", 0, "replay one seed of TestSeeds")
	traced  = flag.Bool("trace", false, "print what happens, with -seed")
	count   = flag.Uint64("seeds", 2400, "how many seeds TestSeeds runs")
	first   = flag.Uint64("first", 1, "the first seed of TestSeeds")
)

// drawn is the run that a seed stands for.
func drawn(seed uint64) Config {
	c := Config{Seed: seed, Faults: 4 + int(seed/7%10), Length: 12 * time.Second}
	switch seed % 8 {
	case 0, 1:
		c.Mode = pair.ModeFence
	case 2, 3, 4:
		c.Mode = pair.ModeSilence
	case 5, 6:
		c.Mode = pair.ModeLease
	case 7:
		c.Mode, c.Fence = pair.ModeLease, true
	}
	c.Groups = 1 + int(seed/8%3/2)
	return c
}

func TestNoSeedHasTwoOwnersOrNoneForLong(t *testing.T) {
	if *oneSeed != 0 {
		c := drawn(*oneSeed)
		if *traced {
			c.Trace = os.Stdout
		}
		report(t, *oneSeed, Run(c))
		return
	}
	n := *count
	if testing.Short() {
		n = min(n, 400)
	}
	evidence := map[pair.Evidence]int{}
	events, entries, fences := 0, 0, 0
	var healed time.Duration
	start := time.Now()
	for seed := *first; seed < *first+n; seed++ {
		r := Run(drawn(seed))
		report(t, seed, r)
		if t.Failed() {
			t.FailNow()
		}
		events, entries, fences = events+r.Events, entries+r.Entries, fences+r.Fences
		healed = max(healed, r.Healed)
		for e, k := range r.Evidence {
			evidence[e] += k
		}
	}
	t.Logf("%d seeds, %d events, %d entries %v, %d fences, slowest heal %v, %v",
		n, events, entries, evidence, fences, healed, time.Since(start).Round(time.Millisecond))
}

func report(t *testing.T, seed uint64, r Result) {
	t.Helper()
	if v := r.Violation; v != nil {
		t.Errorf("seed %d at %v: %s: %s", seed, time.Duration(v.At), v.Rule, v.Text)
		for _, h := range r.History[max(0, len(r.History)-12):] {
			t.Logf("%v -> %v term %d %v: %s | %s", h.From, h.To, h.Term, h.Evidence, h.Seen, h.Decided)
		}
		t.Logf("replay: go test ./agent/sim -run NoSeed -args -seed %d -trace", seed)
	}
}

// drills hands the group over every 700 ms in a world without faults.
func drills(w *World) {
	for i := range 8 {
		w.after(2*time.Second+time.Duration(i)*700*time.Millisecond, func() {
			for _, n := range w.nodes {
				n.proc.deliver(result{0, pair.Command{Op: pair.OpHandover, Reason: "drill"}})
			}
		})
	}
}

// A beat of the old owner that a slow line delivers after the handover says
// nothing; without the order of the counters it would look like two owners.
func TestLateCopiesOnASlowLineDoNotLookLikeASplit(t *testing.T) {
	for _, mode := range []pair.Mode{pair.ModeFence, pair.ModeSilence, pair.ModeLease} {
		c := Config{Seed: 3, Mode: mode, Quiet: true, Length: 9 * time.Second, Script: drills}
		r := Run(c)
		report(t, 3, r)
		if r.Alarms["split"] != 0 || r.Evidence[pair.EvidenceReleased] != 8 {
			t.Errorf("%v: %d splits, %v, want none and 8 handovers", mode, r.Alarms["split"], r.Evidence)
		}
		c.Mutant = NoFrameOrder
		if Run(c).Alarms["split"] == 0 {
			t.Errorf("%v: the mutant was not noticed", mode)
		}
	}
}

// TestMutantsAreCaught proves that the checkers can fail: each mutant breaks a
// rule that the design needs, and some seed must show it.
func TestMutantsAreCaught(t *testing.T) {
	modes := map[Mutant][]uint64{ // residues of the seed: the modes that need the rule
		RenewWithoutToken: {2, 3, 4}, TakeoverTooEarly: {5, 6}, EchoByArrival: {5, 6, 2}, ProbeBlind: {2, 3},
		FenceLies: {0, 1}, GrantWhileOwning: {2, 5}, ForgetHold: {2, 3, 4, 5, 6}, LeaseLongerThanTold: {5, 6}, ClaimsUnheard: {5, 6},
	}
	const limit = 1500
	for m := Sound + 1; m < NoFrameOrder; m++ {
		t.Run(fmt.Sprint(m), func(t *testing.T) {
			tried := 0
			for seed := uint64(1); tried < limit; seed++ {
				if !contains(modes[m], seed%8) {
					continue
				}
				tried++
				c := drawn(seed)
				c.Mutant = m
				if v := Run(c).Violation; v != nil {
					t.Logf("seed %d, run %d: %s", seed, tried, v.Rule)
					return
				}
			}
			t.Errorf("mutant %d survived %d runs", m, limit)
		})
	}
}

func contains(list []uint64, x uint64) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}
