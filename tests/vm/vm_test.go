package vm

import (
	"errors"
	"flag"
	"fmt"
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

var full = flag.Bool("full", false, "play every scenario, not only the quick ones")

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

func TestScenarios(t *testing.T) {
	machines(t)
	scale, err := timing()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("intervals are %.1f times those of a good host", scale.Scale)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			if !s.quick && !*full {
				t.Skip("only with -full, as make test-vm")
			}
			if *full {
				t.Parallel() // they mostly wait; -parallel says how many pairs at once
			}
			began := time.Now()
			p, err := New(s.pair, scale)
			if errors.Is(err, errUnable) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			x := &play{Pair: p, say: t.Logf}
			if err := s.run(x); err != nil {
				t.Errorf("%v", err)
				x.logs()
			}
			if err := p.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			t.Logf("took %.0f s", time.Since(began).Seconds())
		})
	}
}

// Of make campaign-vm.
var (
	iterations = flag.Int("n", 0, "iterations of a campaign")
	seed       = flag.Uint64("seed", 1, "what everything that is left to chance follows from")
	only       = flag.Int("iter", -1, "play this iteration alone")
	results    = flag.String("results", "", "file of what came of each iteration; those that it holds are not played again")
)

func TestCampaign(t *testing.T) {
	if *iterations == 0 && *only < 0 {
		t.Skip("make campaign-vm plays random faults")
	}
	machines(t)
	scale, err := timing()
	if err != nil {
		t.Fatal(err)
	}
	done, err := played(*results, *seed)
	if err != nil {
		t.Fatal(err)
	}
	from, to := 0, *iterations
	if *only >= 0 {
		from, to = *only, *only+1
	}
	for ; from < to; from += blockSize - from%blockSize {
		block(t, from, min(to, from+blockSize-from%blockSize), done, scale)
	}
}

// block plays iterations on one pair; after a violation the next gets a new one.
func block(t *testing.T, from, to int, done map[int]bool, scale Timing) {
	var x *play
	end := func() {
		if x == nil {
			return
		}
		if err := x.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		x = nil
	}
	defer end()
	for n := from; n < to; n++ {
		if done[n] {
			continue
		}
		p := newPlan(*seed, n)
		if x == nil {
			x = begin(t, p.Mode, scale)
		}
		r := x.iterate(p, *seed)
		t.Logf("%s: outage %d ms, both active %d ms, well after %d ms", p, r.OutageMS, r.BothMS, r.HealMS)
		if err := appendResult(*results, r); err != nil {
			t.Fatal(err)
		}
		if r.Violation != "" {
			t.Errorf("VIOLATION in seed %d, iteration %d: %s", *seed, n, r.Violation)
			x.logs()
			end()
		}
	}
}

// begin boots a pair of a mode and waits until it is well.
func begin(t *testing.T, mode string, scale Timing) *play {
	t.Helper()
	p, err := New(Options{Mode: mode, PDU: mode == "fence"}, scale)
	if err != nil {
		t.Fatal(err)
	}
	x := &play{Pair: p, say: t.Logf}
	err = must(x.PowerOn, func() error { return x.await("fw1 owns the group", func() bool { return x.well(0) }) })
	if err != nil {
		x.logs()
		t.Fatal(errors.Join(err, p.Close()))
	}
	return x
}
