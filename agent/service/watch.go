package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// MaxChecks is how many services of one group are checked at once; further
	// ones wait. More would be a burst of forks on a small router.
	MaxChecks = 4
	// Doubts is how many checks in a row may end without an answer (timeout,
	// unknown state) before the service counts as failed: one may be lost to a
	// busy moment.
	Doubts = 2
)

// A Fault is what Watch has to report of one service.
type Fault struct {
	Name      string
	Err       string // what was seen, and what is done about it
	Final     bool   // the restarts are used up, and the service's policy is handover
	Recovered bool   // no fault: a service that had failed runs again
}

// A watcher is one running Watch.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// Watch checks the services that have a status and a CheckInterval until ctx
// ends or Stop is called, and returns when every check has ended. It returns
// at once if the group is not up: a Watch that comes late must not restart
// what Stop has stopped. A second Watch ends the first.
//
// Each service is checked on a fixed schedule, without drift; a check that
// takes longer than the interval skips slots, and checks of one service never
// overlap. One that is stopped, has failed, or gave no answer Doubts times in a row, is
// restarted in place, at most Restarts times within RestartWindow. After that
// its fault is Final, once, until it is seen running again. With the policy
// stay the fault is never Final; the restarts go on as the window allows.
//
// report is called from several goroutines, which Stop waits for: it must not
// call Stop, and must not block beyond the end of ctx.
func (g *Group) Watch(ctx context.Context, report func(Fault)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &watcher{cancel: cancel, done: make(chan struct{})}
	defer close(w.done)
	if !g.enterWatch(w) {
		return
	}
	var all sync.WaitGroup
	places := make(chan struct{}, MaxChecks)
	for i, s := range g.steps {
		if s.CheckInterval == 0 {
			continue
		}
		c := &check{g: g, step: s, report: report, places: places}
		// Spread over the interval, so that the group does not fork in bursts.
		first := s.CheckInterval + s.CheckInterval*time.Duration(i)/time.Duration(len(g.steps))
		all.Go(func() { c.run(ctx, first) })
	}
	all.Wait()
}

func (g *Group) enterWatch(w *watcher) bool {
	g.endWatch()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.up || g.watch != nil {
		return false
	}
	g.watch = w
	return true
}

// endWatch ends the running Watch and waits for it.
func (g *Group) endWatch() {
	g.mu.Lock()
	w := g.watch
	g.watch = nil
	g.mu.Unlock()
	if w != nil {
		w.cancel()
		<-w.done
	}
}

// A check is the recurring check of one service.
type check struct {
	g *Group
	*step
	report func(Fault)
	places chan struct{}

	doubts   int         // answers missed in a row
	down     bool        // the last verdict was a failure
	final    bool        // and it was reported as the last one
	restarts []time.Time // within the window; at most Restarts
}

func (c *check) run(ctx context.Context, first time.Duration) {
	next := time.Now().Add(first)
	for sleep(ctx, time.Until(next)) == nil {
		select {
		case c.places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c.g.opts.Check(c.Name, true)
		state, err := c.look(ctx)
		<-c.places
		if ctx.Err() != nil || errors.Is(err, ErrNoStatus) {
			c.g.opts.Check(c.Name, false)
			return // nothing to check, for good
		}
		c.judge(ctx, state, err)
		c.g.opts.Check(c.Name, false)
		for now := time.Now(); !next.After(now); {
			next = next.Add(c.CheckInterval)
		}
	}
}

// judge decides what one look means.
func (c *check) judge(ctx context.Context, state State, err error) {
	switch state {
	case Running:
		c.doubts = 0
		if c.down {
			c.down, c.final = false, false
			c.report(Fault{Name: c.Name, Err: "runs again", Recovered: true})
		}
	case Stopped:
		c.doubts = 0
		c.fail(ctx, "is stopped")
	case Failed:
		c.doubts = 0
		c.fail(ctx, fmt.Sprintf("has failed: %v", err))
	default:
		if c.doubts++; c.doubts >= Doubts {
			c.doubts = 0
			c.fail(ctx, fmt.Sprintf("gave no answer %d times in a row: %v", Doubts, err))
		}
	}
}

// fail restarts the service or gives it up.
func (c *check) fail(ctx context.Context, what string) {
	c.down = true
	c.forget(time.Now())
	if len(c.restarts) >= c.Restarts {
		c.giveUp(what)
		return
	}
	c.restarts = append(c.restarts, time.Now())
	c.final = false
	c.note()
	c.report(Fault{Name: c.Name, Err: fmt.Sprintf("%s; restarting it (%d of %d within %v)",
		what, len(c.restarts), c.Restarts, c.RestartWindow)})
	if err := c.restart(ctx); err != nil && ctx.Err() == nil {
		c.report(Fault{Name: c.Name, Err: err.Error()})
	}
}

func (c *check) giveUp(what string) {
	if c.final {
		return
	}
	c.final = true
	c.note()
	c.report(Fault{
		Name:  c.Name,
		Err:   fmt.Sprintf("%s after %d restarts within %v", what, len(c.restarts), c.RestartWindow),
		Final: c.OnStartFailure != "stay",
	})
}

// restart restarts in place, excluding Start and Stop.
func (c *check) restart(ctx context.Context) error {
	if err := c.g.begin(ctx); err != nil {
		return err
	}
	defer c.g.end()
	if !c.g.isUp() {
		return context.Canceled
	}
	ctx, cancel := context.WithTimeout(ctx, c.allow(ctx, "stop")+c.allow(ctx, "start"))
	defer cancel()
	err := c.unit.Restart(ctx)
	if err == nil {
		err = c.settle(ctx)
	}
	if err != nil {
		return c.failed("restart", c.OnStartFailure, err)
	}
	return nil
}

// forget drops restarts that lie before the window.
func (c *check) forget(now time.Time) {
	for len(c.restarts) > 0 && now.Sub(c.restarts[0]) > c.RestartWindow {
		c.restarts = c.restarts[1:]
	}
}

func (c *check) note() {
	c.mu.Lock()
	c.view.Restarts, c.view.GaveUp = len(c.restarts), c.final
	c.mu.Unlock()
}
