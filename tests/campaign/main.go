// Command campaign strikes real pairs of the real twinbeat with faults drawn
// from a seed, one or two at a time, heals them, and judges from outside: never
// two boxes that answer, one owner and its standby well again within five
// seconds, terms that rise, evidence that is right, events that tell the cause.
// It refuses nothing and repairs nothing; at the first violation it stops and
// keeps all that is known. Start reading at newPlan, then play (round.go),
// watch.go (who answers each millisecond) and catalogue (the faults).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// Exit codes.
const (
	exitWell     = 0
	exitViolated = 1
	exitFailed   = 2
)

// What the outer process tells the inner one.
const (
	binaryEnv = "TWINBEAT_CAMPAIGN_BINARY"
	keepEnv   = "TWINBEAT_CAMPAIGN_KEEP"
)

// flags of the program.
type flags struct {
	n, iter, labs int
	seed          uint64
	within        time.Duration
	results       string
	record        string
	fault, class  string
}

func main() { os.Exit(run()) }

func run() int {
	var f flags
	flag.IntVar(&f.n, "n", 200, "iterations of the campaign")
	flag.Uint64Var(&f.seed, "seed", 1, "what everything that is left to chance follows from")
	flag.IntVar(&f.iter, "iter", -1, "play this iteration alone, on a pair of its own")
	flag.StringVar(&f.fault, "fault", "", "play only this fault, -n times, on pairs of its class")
	flag.StringVar(&f.class, "class", "", "with -fault: on pairs of this class")
	flag.IntVar(&f.labs, "labs", 4, "pairs at once")
	flag.DurationVar(&f.within, "for", 0, "end after this time; with the same -results the next call goes on")
	flag.StringVar(&f.results, "results", "", "file of what came of each iteration; those that it holds are not played again")
	flag.StringVar(&f.record, "record", "", "write the record of -results to this file when the campaign is complete")
	flag.Parse()
	if flag.NArg() > 0 || f.n < 1 || f.labs < 1 || f.record != "" && f.results == "" {
		fmt.Fprintln(os.Stderr, "campaign: bad arguments; -record needs -results:", flag.Args())
		return exitFailed
	}
	if os.Getenv(binaryEnv) != "" {
		if inner, code, _ := lab.Enclose(""); !inner {
			return code
		}
		return inside(f)
	}
	return outside(f)
}

// outside builds, because there is no network inside, and writes the record.
func outside(f flags) int {
	os.Setenv(keepEnv, filepath.Join(os.TempDir(), "twinbeat-campaign"))
	code, err := lab.Launch("camp", func(dir string) error {
		if err := lab.BuildAs(binaryEnv)(dir); err != nil || f.results == "" {
			return err
		}
		return begin(f)
	})
	if err != nil {
		return failed(err)
	}
	if code == exitWell && f.record != "" {
		if err := writeRecord(f); err != nil {
			return failed(err)
		}
	}
	return code
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "campaign:", err)
	return exitFailed
}

// begin writes the head of a slice of a campaign to the results.
func begin(f flags) error {
	commit, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return fmt.Errorf("name the commit: %w", err)
	}
	return appendLine(f.results, row{Head: &head{Commit: strings.TrimSpace(string(commit)), Seed: f.seed, N: f.n, Labs: f.labs, At: time.Now()}})
}

// inside plays, in namespaces of its own.
func inside(f flags) int {
	openFiles()
	lab.StayOutside()
	keepDir = os.Getenv(keepEnv)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if f.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.within)
		defer cancel()
	}
	played, err := readResults(f.results)
	if err != nil {
		return failed(err)
	}
	plans, err := f.plans(played)
	if err != nil {
		return failed(err)
	}
	sum := tally{}
	c := &campaign{binary: os.Getenv(binaryEnv), labs: f.labs}
	c.done = func(r result) {
		say("%s", line(r))
		sum.add(r)
		if f.results != "" {
			_ = appendLine(f.results, row{Result: &r})
		}
	}
	c.doneAll = func(g growth) {
		if f.results != "" {
			_ = appendLine(f.results, row{Growth: &g})
		}
	}
	err = c.run(ctx, blocks(plans))
	say("%s", sum)
	switch {
	case errors.Is(err, errViolation):
		fmt.Fprintln(os.Stderr, err)
		return exitViolated
	case err != nil:
		return failed(err)
	}
	return exitWell
}

// plans are the iterations that are left to play.
func (f flags) plans(played played) ([]plan, error) {
	if f.iter >= 0 {
		p := newPlan(f.seed, f.iter)
		text, _ := json.Marshal(p)
		say("%s", text)
		return []plan{p}, nil
	}
	var all []plan
	if f.fault != "" {
		one, err := faultNamed(f.fault)
		if err != nil {
			return nil, err
		}
		for i := range f.n {
			p := single(f.seed, i, one)
			if f.class != "" {
				p.Class = f.class
			}
			all = append(all, p)
		}
		return all, nil
	}
	for i := range f.n {
		if !played.has(i) {
			all = append(all, newPlan(f.seed, i))
		}
	}
	return all, nil
}
