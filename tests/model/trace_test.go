package model

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/sim"
)

var (
	seeds = flag.Uint64("seeds", 2000, "how many simulated runs are held against the rules")
	first = flag.Uint64("first", 1, "the first of them")
)

// follow runs a seed and holds every step of every machine against the rules.
func follow(c sim.Config, fired map[string]int) (steps int, err error) {
	var checkers [2][2]*Checker
	c.Observe = func(s sim.Step) {
		if err != nil {
			return
		}
		k := &checkers[s.Node][s.Group]
		if *k == nil {
			*k = &Checker{Fired: fired}
		}
		steps++
		if e := (*k).Step(Step{s.Now, s.In, s.Out, s.Before, s.After, s.Renew, s.Config}); e != nil {
			err = fmt.Errorf("at %v, node %d, group %d: %w", time.Duration(s.Now), s.Node, s.Group, e)
		}
	}
	if v := sim.Run(c).Violation; v != nil && err == nil && c.Mutant == sim.Sound {
		err = fmt.Errorf("at %v: %s: %s", time.Duration(v.At), v.Rule, v.Text)
	}
	return steps, err
}

// drawn is the run that a seed stands for: each mode, with and without a
// device, one and two groups, both profiles.
func drawn(seed uint64) sim.Config {
	c := sim.Config{
		Seed: seed, Faults: 4 + int(seed/7%10), Length: 12 * time.Second, Mode: pair.ModeFence + pair.Mode(seed%3),
		Groups: 1 + int(seed/8%3/2), Fence: seed/3%2 == 0,
	}
	if seed%23 == 3 {
		c.Fast, c.Length = true, 7*time.Second
	}
	return c
}

// TestSimulatedRunsKeepToTheRules holds thousands of runs of the real machine
// against the table that the model is made of.
func TestSimulatedRunsKeepToTheRules(t *testing.T) {
	fired := map[string]int{}
	steps, bad := 0, 0
	start := time.Now()
	for seed := *first; seed < *first+*seeds; seed++ {
		n, err := follow(drawn(seed), fired)
		steps += n
		if err != nil {
			t.Errorf("seed %d %v: %v", seed, drawn(seed).Mode, err)
			if bad++; bad >= 10 {
				t.FailNow()
			}
		}
	}
	t.Logf("%d seeds, %d steps, %v", *seeds, steps, time.Since(start).Round(time.Millisecond))
	for _, r := range Rules {
		t.Logf("%-16s %8d", r.Name, fired[r.Name])
	}
}
