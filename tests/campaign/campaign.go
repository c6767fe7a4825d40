package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// What an agent may hold more at the end of a block than at its begin, if it
// lived through it.
const (
	growFDs        = 4
	growThreads    = 8
	growRSS        = 12 << 20
	growGoroutines = 8
	growSettle     = 2 * time.Second
)

// A block is a run of iterations that one pair lives through.
type block struct {
	class class
	plans []plan
}

// Growth is what agents held at the begin and at the end of a block.
type growth struct {
	Class      string          `json:"class"`
	Lived      int             `json:"lived"` // agents that lived through the block
	Begin      [2]lab.Holdings `json:"begin"`
	End        [2]lab.Holdings `json:"end"`
	Goroutines [2]int          `json:"goroutines"`
	Fresh      int             `json:"fresh"` // goroutines of an agent that just became well
}

// A campaign plays blocks on several labs at once.
type campaign struct {
	binary  string
	labs    int
	stalls  *lab.StallWatch
	done    func(result) // called for each iteration, one at a time
	doneAll func(growth) // for each block

	mu    sync.Mutex
	fresh map[string]int
}

// errViolation says that a campaign found what must not be.
var errViolation = errors.New("campaign: a rule was violated")

// blocks cuts plans into blocks of one class each.
func blocks(plans []plan) (all []block) {
	for _, p := range plans {
		if n := len(all); n > 0 && all[n-1].class.name == p.Class && len(all[n-1].plans) < blockSize {
			all[n-1].plans = append(all[n-1].plans, p)
			continue
		}
		all = append(all, block{classNamed(p.Class), []plan{p}})
	}
	return all
}

// run plays all blocks. It ends early with ctx, between two iterations, and at
// the first violation.
func (c *campaign) run(ctx context.Context, all []block) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.stalls, c.fresh = lab.WatchStalls(asBoxes), map[string]int{}
	defer c.stalls.End()
	work := make(chan block)
	var workers sync.WaitGroup
	for range c.labs {
		workers.Go(func() {
			for b := range work {
				if err := c.block(ctx, b); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for _, b := range all {
		select {
		case work <- b:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	workers.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (c *campaign) block(ctx context.Context, b block) (err error) {
	if ctx.Err() != nil {
		return nil
	}
	p, err := newPair(b.class, c.binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	g := growth{Class: b.class.name}
	if g.Fresh, err = c.freshGoroutines(p); err != nil {
		return err
	}
	var pids [2]int
	var files [2]map[string]int
	for i, n := range p.Nodes {
		g.Begin[i], pids[i], files[i] = n.Holdings(), n.Pid(), n.Files()
	}
	for _, plan := range b.plans {
		if ctx.Err() != nil {
			return nil
		}
		r, err := p.play(plan, c.stalls)
		if err != nil {
			return err
		}
		c.tell(func() { c.done(r) })
		if len(r.Violation) > 0 {
			return fmt.Errorf("%w: iteration %d: %s", errViolation, r.Index, r.Violation[0])
		}
	}
	for i, n := range p.Nodes {
		g.End[i] = n.Holdings()
		if n.Pid() != pids[i] {
			continue
		}
		g.Lived++
		// What is asked of it just now ends by itself; what grew stays.
		if !lab.Until(growSettle, func() bool { g.End[i] = n.Holdings(); return !grown(g.Begin[i], g.End[i]) }) {
			return fmt.Errorf("%w: %s of class %s grew from %+v %v to %+v %v within %d iterations from %d", errViolation, n.Name, b.class.name,
				g.Begin[i], files[i], g.End[i], n.Files(), len(b.plans), b.plans[0].Index)
		}
	}
	for i, n := range p.Nodes {
		count, err := n.Goroutines()
		if err != nil {
			return err
		}
		if g.Goroutines[i] = count; count > g.Fresh+growGoroutines {
			return fmt.Errorf("%w: %s has %d goroutines after a block, a fresh one %d", errViolation, n.Name, count, g.Fresh)
		}
	}
	c.tell(func() { c.doneAll(g) })
	return err
}

func (c *campaign) tell(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

func grown(begin, end lab.Holdings) bool {
	return end.FDs > begin.FDs+growFDs || end.Threads > begin.Threads+growThreads || end.RSS > begin.RSS+growRSS
}

// freshGoroutines counts, once for each class, the goroutines of a pair that
// is well and did nothing yet.
func (c *campaign) freshGoroutines(p *pair) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.fresh[p.class.name]; n > 0 {
		return n, nil
	}
	most := 0
	for _, n := range p.Nodes {
		count, err := n.Goroutines()
		if err != nil {
			return 0, err
		}
		most = max(most, count)
	}
	if !p.boots() {
		return 0, fmt.Errorf("restart a fresh pair: not well within %s: %s", bootTime, p.show())
	}
	c.fresh[p.class.name] = most
	return most, nil
}

// openFiles lets this process have as many descriptors as it may.
func openFiles() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		l.Cur = l.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

// line says in short what came of an iteration.
func line(r result) string {
	text := fmt.Sprintf("%5d %-8s outage %7.1f ms  healed %7.1f ms  both %d ms  stall %5.1f ms", r.Index, r.Class, r.OutageMS, r.HealMS, r.BothMS, r.StallMS)
	for k, f := range r.Faults {
		text += [2]string{"  ", " + "}[min(k, 1)] + f
	}
	if len(r.Operator) > 0 {
		text += fmt.Sprintf("  operator: %v", r.Operator)
	}
	if r.Missing != "" {
		text += "  NOT MADE: " + r.Missing
	}
	for _, s := range r.Starved {
		text += "  (starved: " + s + ")"
	}
	for _, v := range r.Violation {
		text += "  VIOLATION: " + v
	}
	return text
}

// say prints a line to stderr.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
