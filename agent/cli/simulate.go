//go:build !lite

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/sim"
)

var simulateCommand = command{
	name: "simulate", args: "[--seeds N] [--seed S] [--mode M] [--only cuts] [--trace] [--json] [--results FILE [--record FILE]] [--replay FILE [--minimise]]", summary: "play random faults against two simulated boxes",
	text: `Run the decisions of two boxes in a simulated world for ten minutes a seed, with
random faults in power, processes, clocks, links, disks and the fence device,
and hold every step against the rules: never two owners, one owner again soon
after the faults end, and more. Nothing of this machine is touched. The same
seeds give the same digest with the same version, on every machine.

If a rule is broken the exit code is 1, and the schedule, cut down to the faults
that matter, is written to twinbeat-SEED.sched. --replay plays such a file.

--results is for long runs: each 10,000 seeds add a line to the file, and a
later call with the same seeds and sources plays only what is not there yet.
Once all are, --record writes a table. Digests add up: one call without slices
comes to the same.`,
	examples: []string{"make simulate N=10000", "dist/simulate simulate --seeds 1 --seed 42 --trace | less", "dist/simulate simulate --replay twinbeat-42.sched --trace"},
	flags:    []string{"seeds", "seed", "mode", "only", "trace", "json", "results", "record", "replay", "minimise"},
	run:      (*shell).simulate,
}

// gcPercent trades memory for speed: a run makes much garbage and holds little.
const gcPercent = 800

// A simulated is the answer of simulate, for programs.
type simulated struct {
	First       uint64   `json:"first"`
	Seeds       uint64   `json:"seeds"`
	Mode        string   `json:"mode,omitempty"` // of all, if there was one
	Only        string   `json:"only,omitempty"`
	Schedules   int      `json:"schedules"`
	Hours       float64  `json:"hours"`
	Faults      int      `json:"faults"`
	LeastFaults int      `json:"least_faults"`
	Entries     int      `json:"entries"`
	Fences      int      `json:"fences"`
	BothOff     int      `json:"both_off"` // schedules in which the fence device had both nodes off at once
	Deceived    int      `json:"deceived"` // schedules that ended with a lie that no reading of the fence device finds out
	Pairs       int      `json:"pairs"`
	PairsOfAll  int      `json:"pairs_of_all"`
	NotMet      []string `json:"not_met"`
	Replayed    int      `json:"replayed"`
	Events      int      `json:"events"`
	Digest      string   `json:"digest"`
	Violations  int      `json:"violations"`
	Impossible  []string `json:"impossible,omitempty"` // pairs that no machine should meet
	Violation   string   `json:"violation,omitempty"`
	Schedule    string   `json:"schedule,omitempty"`
	Seconds     float64  `json:"seconds"`
}

// sum fills in what a tally knows.
func (a *simulated) sum(t *sim.Tally) {
	a.Schedules, a.Hours, a.Faults, a.LeastFaults = t.Runs, t.Life.Hours(), t.Faults, t.Least
	a.Entries, a.Fences, a.Replayed, a.Events = t.Entries, t.Fences, t.Replayed, t.Events
	a.BothOff, a.Deceived = t.BothOff, t.Deceived
	a.Pairs, a.PairsOfAll, a.NotMet, a.Impossible = t.Cover.Pairs()
	a.Digest = fmt.Sprintf("%016x", t.Digest)
}

func (sh *shell) simulate(o *options, _ []string) error {
	debug.SetGCPercent(gcPercent)
	if err := simFlags(o); err != nil {
		return err
	}
	if o.replay != "" {
		return sh.replay(o)
	}
	mode, err := simMode(o.mode)
	if err != nil {
		return err
	}
	c := campaign{first: o.seed, last: o.seed + o.seeds, mode: mode, cuts: o.only == onlyCuts}
	if o.results != "" {
		return sh.simulateSlices(o, &c)
	}
	if o.trace {
		c.trace = sh.stdout
	}
	start := time.Now()
	c.run()
	return sh.tell(o, &c, time.Since(start))
}

// onlyCuts are runs in which all links are cut at once.
const onlyCuts = "cuts"

// simFlags refuses flags that would mean nothing together.
func simFlags(o *options) error {
	switch {
	case o.minimise && o.replay == "":
		return &usageError{text: "simulate: --minimise goes with --replay", hint: "seeds that fail are cut down without being asked"}
	case o.results != "" && (o.replay != "" || o.trace):
		return &usageError{text: "simulate: --results goes with neither --replay nor --trace"}
	case o.only != "" && o.only != onlyCuts:
		return &usageError{text: fmt.Sprintf("simulate: --only %q is unknown", o.only), hint: "--only " + onlyCuts}
	case o.only == onlyCuts && o.mode != "fence":
		return &usageError{text: "simulate: --only cuts goes with --mode fence"}
	case o.record != "" && o.results == "":
		return &usageError{text: "simulate: --record goes with --results", hint: "the record is made of the results of one or more calls"}
	}
	return nil
}

func simMode(name string) (pair.Mode, error) {
	if name == "" {
		return 0, nil
	}
	if m, ok := pair.ModeNamed(name); ok {
		return m, nil
	}
	return 0, &usageError{text: fmt.Sprintf("simulate: unknown mode %q", name), hint: "one of fence, silence, lease"}
}

// A campaign plays many seeds, one goroutine a core.
type campaign struct {
	first, last uint64 // the last one is not played
	mode        pair.Mode
	cuts        bool
	trace       io.Writer

	next   atomic.Uint64
	mu     sync.Mutex
	sum    sim.Tally
	broken []uint64 // seeds that broke a rule, the lowest first once run ends
	words  string   // of the lowest
}

// draw returns the run of a seed.
func (c *campaign) draw(seed uint64) (sim.Config, sim.Schedule) {
	if c.cuts {
		return sim.DrawCut(seed)
	}
	return sim.Draw(seed, c.mode)
}

// maxBroken ends a campaign that fails everywhere.
const maxBroken = 20

func (c *campaign) run() {
	cores := runtime.NumCPU()
	if c.trace != nil {
		cores = 1
	}
	c.next.Store(c.first)
	var wait sync.WaitGroup
	for range cores {
		wait.Go(c.shard)
	}
	wait.Wait()
}

func (c *campaign) shard() {
	var sum sim.Tally
	for seed := c.next.Add(1) - 1; seed < c.last; seed = c.next.Add(1) - 1 {
		conf, schedule := c.draw(seed)
		conf.Trace = c.trace
		if c.trace != nil {
			fmt.Fprint(c.trace, sim.Format(conf, schedule))
		}
		r := sim.Run(conf, schedule)
		sum.Add(seed, &r)
		if r.Violation != nil && c.fail(seed, r.Violation) >= maxBroken {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum.Merge(&sum)
}

// fail notes a broken rule and says how many there are.
func (c *campaign) fail(seed uint64, v *sim.Violation) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = append(c.broken, seed)
	if low := len(c.broken) - 1; low == 0 || seed < c.broken[0] {
		c.broken[0], c.broken[low] = seed, c.broken[0]
		c.words = fmt.Sprintf("seed %d at %v: %s: %s", seed, time.Duration(v.At).Round(time.Millisecond), v.Rule, v.Text)
	}
	return len(c.broken)
}

// tell prints what a campaign found.
func (sh *shell) tell(o *options, c *campaign, took time.Duration) error {
	a, err := c.answer(o, took)
	if err != nil {
		return err
	}
	if o.json {
		err = sh.printJSON(a)
	} else {
		err = sh.print(fmt.Sprintf("%vviolations %d\ntime       %.1f s\n", &c.sum, a.Violations, a.Seconds))
	}
	return errors.Join(err, a.broken())
}

// answer sums up a campaign, and cuts the lowest of its failures down.
func (c *campaign) answer(o *options, took time.Duration) (simulated, error) {
	a := simulated{First: c.first, Seeds: c.last - c.first, Mode: o.mode, Only: o.only, Violations: len(c.broken), Violation: c.words, Seconds: took.Seconds()}
	a.sum(&c.sum)
	if len(c.broken) == 0 {
		return a, nil
	}
	conf, schedule := c.draw(c.broken[0])
	var err error
	a.Schedule, err = writeMinimised(conf, schedule, c.broken[0])
	return a, err
}

// broken is the rule that a campaign saw broken.
func (a *simulated) broken() error {
	switch {
	case a.Violations > 0:
		return &control.Error{Text: a.Violation, Advice: "dist/simulate simulate --replay " + a.Schedule + " --trace"}
	case uint64(a.Schedules) < a.Seeds:
		return fmt.Errorf("play seeds from %d on: %d of %d", a.First, a.Schedules, a.Seeds)
	case len(a.Impossible) > 0:
		return fmt.Errorf("visit pairs that no machine should meet: %v", a.Impossible)
	}
	return nil
}

// writeMinimised cuts a failing run down and writes it beside the user.
func writeMinimised(c sim.Config, s sim.Schedule, seed uint64) (string, error) {
	small, rest, tries := sim.Minimise(c, s)
	rule, words := "passes", "nothing was broken"
	if v := sim.Run(small, rest).Violation; v != nil {
		rule, words = v.Rule, fmt.Sprintf("at %v: %s", time.Duration(v.At), v.Text)
	}
	text := fmt.Sprintf("%s\n%s\nseed %d, cut down from %d faults to %d in %d runs; %s", rule, words, seed, len(s), len(rest), tries, programVersion())
	name := fmt.Sprintf("twinbeat-%d.sched", seed)
	if err := os.WriteFile(name, []byte(sim.Format(small, rest, text)), 0o644); err != nil {
		return "", fmt.Errorf("write schedule: %w", err)
	}
	return name, nil
}

// replay plays one schedule from a file.
func (sh *shell) replay(o *options) error {
	b, err := os.ReadFile(o.replay)
	if err != nil {
		return fmt.Errorf("read schedule: %w", err)
	}
	c, s, err := sim.ParseSchedule(string(b))
	if err != nil {
		return err
	}
	if o.trace {
		c.Trace = sh.stdout
	}
	start := time.Now()
	r := sim.Run(c, s)
	var sum sim.Tally
	sum.Add(c.Seed, &r)
	a := simulated{First: c.Seed, Seeds: 1, Mode: c.Mode.String(), Seconds: time.Since(start).Seconds()}
	a.sum(&sum)
	var broken error
	if v := r.Violation; v != nil {
		e := &control.Error{Text: fmt.Sprintf("at %v: %s: %s", time.Duration(v.At), v.Rule, v.Text)}
		a.Violations, a.Violation, broken = 1, e.Text, e
		if o.minimise {
			if a.Schedule, err = writeMinimised(c, s, c.Seed); err != nil {
				return err
			}
			e.Advice = "cut down in " + a.Schedule
		}
	}
	if o.json {
		err = sh.printJSON(a)
	} else {
		err = sh.print(sum.String())
	}
	return errors.Join(err, broken)
}
