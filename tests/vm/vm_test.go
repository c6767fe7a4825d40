package vm

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(initrdEnv) != "" {
		inner, code, err := lab.Enclose("")
		switch {
		case inner:
			return m.Run()
		case err == nil:
			return code
		}
		os.Setenv(skipEnv, err.Error())
		return m.Run()
	}
	flag.Parse()
	prepare := Prepare
	if *full {
		prepare = PrepareAll
	}
	code, err := lab.Launch("vm", prepare)
	if errors.Is(err, errUnable) || err != nil && os.Geteuid() != 0 {
		os.Setenv(skipEnv, err.Error())
		return m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		return 1
	}
	return code
}

// machines skips a test where there can be no machines.
func machines(t *testing.T) {
	t.Helper()
	if why := os.Getenv(skipEnv); why != "" {
		t.Skip(why)
	}
}

var (
	full    = flag.Bool("full", false, "play every scenario, not only the quick ones")
	runs    = flag.Int("runs", 1, "with -full: how often each scenario is in the results in the end")
	results = flag.String("results", "", "file of what came of each run; those that it holds are not played again")
	record  = flag.String("record", "", "write there what the results say")
)

// timing is measured once: a machine that boots slowly is slow in all else.
var timing = sync.OnceValues(func() (Timing, error) {
	p, err := New(Options{Boot: "none"}, Timing{1})
	if err != nil {
		return Timing{}, err
	}
	began := time.Now()
	err = p.PowerOn()
	took := time.Since(began)
	return Timing{min(max(1, took.Seconds()/usualBoot.Seconds()), scaleMost)}, errors.Join(err, p.Close())
})

// emulated skips a test where there can be no machines, and measures one; it
// returns what was played before, too.
func emulated(t *testing.T) (Timing, []row) {
	t.Helper()
	machines(t)
	scale, err := timing()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("intervals are %.1f times those of a good host", scale.Scale)
	rows, err := readRows(*results)
	if err != nil {
		t.Fatal(err)
	}
	return scale, rows
}

func TestScenarios(t *testing.T) {
	scale, rows := emulated(t)
	for _, s := range everything() {
		have := count(rows, func(r row) bool { return r.Scenario != nil && r.Scenario.Name == s.name })
		for range max(1, *runs-have) {
			t.Run(s.name, func(t *testing.T) {
				switch {
				case !s.quick && !*full:
					t.Skip("only with -full, as make test-vm")
				case have > 0 && have >= *runs:
					t.Skip("it is in the results")
				}
				if *full {
					t.Parallel() // they mostly wait; -parallel says how many pairs at once
				}
				playScenario(t, s, scale)
			})
		}
	}
}

func playScenario(t *testing.T, s scenario, scale Timing) {
	began := time.Now()
	x := pairOf(t, s.pair, scale)
	r, err := s.run(x)
	if err != nil {
		t.Error(err)
		x.logs()
		r.Wrong = err.Error()
	}
	t.Logf("outage %d ms, both active %d ms; took %.0f s", r.OutageMS, r.BothMS, time.Since(began).Seconds())
	if err := appendRow(*results, row{Scenario: &r}); err != nil {
		t.Error(err)
	}
}

// pairOf makes a pair that ends with the test.
func pairOf(t *testing.T, o Options, scale Timing) *play {
	t.Helper()
	p, err := New(o, scale)
	if errors.Is(err, errUnable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &play{Pair: p, say: t.Logf}
}

// begin boots a pair and waits until it is well.
func begin(t *testing.T, o Options, scale Timing) *play {
	t.Helper()
	x := pairOf(t, o, scale)
	err := must(x.PowerOn, func() error { return x.await("fw1 owns the group", func() bool { return x.well(0) }) })
	if err != nil {
		x.logs()
		t.Fatal(err)
	}
	return x
}

// Of make campaign-vm.
var (
	iterations = flag.Int("iterations", 0, "of a campaign")
	seed       = flag.Uint64("seed", 1, "what everything that is left to chance follows from")
	only       = flag.Int("iter", -1, "play this iteration alone")
)

func TestCampaign(t *testing.T) {
	if *iterations == 0 && *only < 0 {
		t.Skip("make campaign-vm plays random faults")
	}
	scale, rows := emulated(t)
	done := played(rows, *seed)
	from, to := 0, *iterations
	if *only >= 0 {
		from, to = *only, *only+1
	}
	for ; from < to; from += blockSize - from%blockSize {
		first, last := from, min(to, from+blockSize-from%blockSize)
		t.Run(fmt.Sprintf("%d-%d", first, last-1), func(t *testing.T) {
			t.Parallel()
			block(t, first, last, done, scale)
		})
	}
}

// block plays iterations on one pair; after a violation the rest waits for
// another call.
func block(t *testing.T, from, to int, done map[int]bool, scale Timing) {
	var x *play
	for n := from; n < to; n++ {
		if done[n] {
			continue
		}
		p := newPlan(*seed, n)
		if x == nil {
			x = begin(t, Options{Mode: p.Mode, PDU: p.Mode == "fence"}, scale)
		}
		r := x.iterate(p, *seed)
		t.Logf("%s: outage %d ms, both active %d ms, well after %d ms", p, r.OutageMS, r.BothMS, r.HealMS)
		if err := appendRow(*results, row{Chaos: &r}); err != nil {
			t.Fatal(err)
		}
		if r.Violation != "" {
			x.logs()
			t.Fatalf("VIOLATION in seed %d, iteration %d: %s", *seed, n, r.Violation)
		}
	}
}

// resets is how many resets by a watchdog are in the results in the end.
var resets = flag.Int("resets", 0, "resets by watchdogs, each cause as often as the others")

// TestResets lets watchdogs run out on pairs that live through each cause once,
// in an order by chance; the owner is always who is reset.
func TestResets(t *testing.T) {
	if *resets == 0 {
		t.Skip("make resets-vm lets watchdogs run out")
	}
	scale, rows := emulated(t)
	have := count(rows, func(r row) bool { return r.Reset != nil })
	for n := have / len(causes); n*len(causes) < *resets; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			x := begin(t, guarded, scale)
			order := rand.New(rand.NewPCG(*seed, uint64(n))).Perm(len(causes))
			for k, c := range order {
				b, err := x.bites(k%2, causes[c])
				if err != nil {
					b.Wrong = err.Error()
					t.Errorf("%s of %s: %v", causes[c].name, names[k%2], err)
					x.logs()
				}
				t.Logf("%+v", b)
				if err := appendRow(*results, row{Reset: &b}); err != nil {
					t.Fatal(err)
				}
				if b.Wrong != "" {
					return // this pair is in an unknown state
				}
			}
		})
	}
}

var load = flag.Duration("load", 0, "for how long the owner is overloaded")

// TestLoad overloads the owner and holds that no watchdog bites.
func TestLoad(t *testing.T) {
	if *load == 0 {
		t.Skip("make load-vm overloads the owner for an hour")
	}
	scale, _ := emulated(t)
	x := begin(t, guarded, scale)
	r, err := x.underLoad(*load)
	if err != nil {
		r.Wrong = err.Error()
		t.Error(err)
		x.logs()
	}
	t.Logf("%+v", r)
	if err := appendRow(*results, row{Load: &r}); err != nil {
		t.Fatal(err)
	}
}

// TestRecord writes what the results say; it comes last.
func TestRecord(t *testing.T) {
	if *record == "" {
		t.Skip("make record-vm writes what the results say")
	}
	rows, err := readRows(*results)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*record, []byte(recordOf(rows)), 0o644); err != nil {
		t.Fatal(err)
	}
}
