package model

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/sim"
)

var (
	seeds = flag.Uint64("seeds", 2000, "how many simulated runs are held against the rules")
	first = flag.Uint64("first", 1, "the first of them")
)

// held is the length of a simulated run here.
const held = time.Minute

// drawn is the run that a seed stands for, cut short: the simulator's faults.
func drawn(seed uint64) (sim.Config, sim.Schedule) {
	c, s := sim.Draw(seed, 0)
	if seed%10 == 0 { // profile default has ten times the turns of most
		c.Profile, c.Wire = "default", false
	}
	c.Length = held
	for i := range s { // all of them, ten times as dense
		s[i].At /= 10
		s[i].For = min(s[i].For, held/10)
	}
	return c, s
}

// A watcher holds one run: a checker for each machine.
type watcher struct {
	judge    func(*Checker, Step) error
	checkers [2][2]*Checker
	fired    map[string]int
	steps    int
	err      error
}

// Watch judges a step of the simulator.
func (w *watcher) Watch(s sim.Step) {
	if w.err != nil {
		return
	}
	c := &w.checkers[s.Node][s.Group]
	if *c == nil {
		*c = &Checker{Fired: w.fired}
	}
	w.steps++
	if err := w.judge(*c, Step{s.Now, s.In, s.Out, s.Before, s.After, s.Renew, s.Config}); err != nil {
		w.err = fmt.Errorf("at %v by %T, node %d, group %d: %w", time.Duration(s.Now), s.In, s.Node, s.Group, err)
	}
}

// follow runs a seed and gives every step of every machine to judge.
func follow(seed uint64, fired map[string]int, judge func(*Checker, Step) error) (steps int, err error) {
	c, s := drawn(seed)
	w := &watcher{judge: judge, fired: fired}
	c.Watch = w
	v := sim.Run(c, s).Violation
	switch {
	case w.err != nil:
		err = fmt.Errorf("seed %d, mode %v: %w", seed, c.Mode, w.err)
	case v != nil && v.Rule != "liveness": // so many faults leave no time to settle
		err = fmt.Errorf("seed %d, mode %v, at %v: %s: %s", seed, c.Mode, time.Duration(v.At), v.Rule, v.Text)
	}
	return w.steps, err
}

// maxReported ends a run of seeds.
const maxReported = 10

// TestSimulatedRunsKeepToTheRules holds thousands of runs of the real machine
// against the table that the model is made of.
func TestSimulatedRunsKeepToTheRules(t *testing.T) {
	const shards = 2
	var fired [shards]map[string]int
	var steps [shards]int
	start := time.Now()
	t.Run("shards", func(t *testing.T) {
		for i := range shards {
			fired[i] = map[string]int{}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				bad := 0
				for seed := *first + uint64(i); seed < *first+*seeds && bad < maxReported; seed += shards {
					n, err := follow(seed, fired[i], (*Checker).Step)
					steps[i] += n
					if err != nil {
						t.Error(err)
						bad++
					}
				}
			})
		}
	})
	t.Logf("%d seeds, %d steps, %v", *seeds, steps[0]+steps[1], time.Since(start).Round(time.Millisecond))
	for _, r := range Rules {
		t.Logf("%-16s %8d", r.Name, fired[0][r.Name]+fired[1][r.Name])
	}
}
