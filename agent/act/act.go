// Package act decides when a slow action may run: in named lanes, one at a
// time and in order within a lane, each with a deadline. It hands every
// outcome back with the ticket it was asked under, exactly once, and refuses
// to keep its caller waiting or to run without bounds. Start reading at
// Executor.
package act

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of an executor.
const (
	MaxLanes = 64 // lanes with something in them; Do refuses to open another
	MaxQueue = 8  // actions waiting in one lane; Do refuses another

	// OverrunGrace is how long after its deadline or cancel an action may go on
	// before its outcome is reported without it. It is longer than a command
	// takes to be killed.
	OverrunGrace = 5 * time.Second

	// MaxDeadline bounds the deadline of one action; a longer or missing one is
	// refused, since it would be a lane lost for good.
	MaxDeadline = time.Hour
)

// Errors of Do and of a Result, for callers that branch on them.
var (
	ErrBusy       = errors.New("lane is busy")                       // Do: the action was not accepted
	ErrClosed     = errors.New("executor has ended")                 // Do: the executor's context is over
	ErrCancelled  = errors.New("action was cancelled")               // Result: by Cancel
	ErrSuperseded = errors.New("action was superseded by a newer")   // Result: by Replace
	ErrOverrun    = errors.New("action goes on beyond its deadline") // Result: it ignores its context
)

// A Result is the outcome of one accepted action.
type Result struct {
	Lane   string
	Ticket uint32
	Value  any // what the action returned; nil if it did not run or did not return

	// Err is nil if the action returned before its deadline and uncancelled;
	// otherwise ErrCancelled, ErrSuperseded, context.DeadlineExceeded or
	// ErrOverrun. An action's own failure is in its Value.
	Err error

	Ran    bool          // the action was started
	Waited time.Duration // in the lane, before its start
	Took   time.Duration
}

// An Executor runs actions. Make one with New.
//
// No call on it blocks: the loop asks and goes on. Outcomes are sent to the
// results channel by the lanes' own goroutines, so a full channel holds up
// that lane and nobody else; nothing the loop calls ever waits for a lane.
// Hence the loop cannot deadlock with it, whatever the channel's size, as long
// as it comes back to receive. When the context ends, outcomes that nobody
// receives are dropped, so lanes end even if the loop is gone. At most
// MaxLanes*(2*MaxQueue+1) outcomes are outstanding.
//
// A panic of an action is not recovered: it ends the process, and the
// supervisor, the watchdog and the kernel lease do the rest.
type Executor struct {
	ctx     context.Context
	results chan<- Result

	mu    sync.Mutex
	lanes map[string]*lane // only those with a goroutine
	all   sync.WaitGroup
}

// A lane is a queue with one goroutine, which ends when the queue is empty.
type lane struct {
	name  string
	queue []*action
	now   *action // running or being reported
}

// An action is one accepted request.
type action struct {
	ticket   uint32
	deadline time.Duration
	fn       func(context.Context) any
	asked    time.Time
	ctx      context.Context // of this action; cancelled with a cause
	cancel   context.CancelCauseFunc
}

// New returns an executor that ends with ctx: running actions are cancelled
// and waiting ones are dropped.
func New(ctx context.Context, results chan<- Result) *Executor {
	return &Executor{ctx: ctx, results: results, lanes: map[string]*lane{}}
}

// Do runs fn in the lane after what is in it already. The deadline counts from
// the action's start. It returns an error, and there will be no Result, if
// the lane's queue is full (ErrBusy) or the executor has ended (ErrClosed).
func (x *Executor) Do(lane string, ticket uint32, deadline time.Duration, fn func(context.Context) any) error {
	return x.add(lane, ticket, deadline, fn, queueUp)
}

// Replace makes fn the lane's next action: those that wait are dropped and the
// running one is cancelled, all with ErrSuperseded. fn starts when the running
// one has returned, so a lane's actions never overlap.
func (x *Executor) Replace(lane string, ticket uint32, deadline time.Duration, fn func(context.Context) any) error {
	return x.add(lane, ticket, deadline, fn, supersede)
}

// Try runs fn only if the lane is idle; otherwise it returns ErrBusy.
func (x *Executor) Try(lane string, ticket uint32, deadline time.Duration, fn func(context.Context) any) error {
	return x.add(lane, ticket, deadline, fn, refuse)
}

// Cancel cancels the lane's running action and those that wait in it. Each
// still reports, with ErrCancelled.
func (x *Executor) Cancel(lane string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if l := x.lanes[lane]; l != nil {
		l.cancelAll(ErrCancelled)
	}
}

// Busy says whether the lane has an action running, waiting or being reported.
func (x *Executor) Busy(lane string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.lanes[lane] != nil
}

// Wait returns when every lane is idle, which after the end of the context is
// soon: at the latest OverrunGrace later.
func (x *Executor) Wait() { x.all.Wait() }

// A manner says what becomes of an action that finds its lane busy.
type manner uint8

const (
	queueUp manner = iota
	supersede
	refuse
)

func (x *Executor) add(name string, ticket uint32, deadline time.Duration, fn func(context.Context) any, m manner) error {
	if deadline <= 0 || deadline > MaxDeadline {
		return fmt.Errorf("add action to lane %s: deadline %v is not within 0..%v", name, deadline, MaxDeadline)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ctx.Err() != nil {
		return fmt.Errorf("add action to lane %s: %w", name, ErrClosed)
	}
	l := x.lanes[name]
	switch {
	case l == nil && len(x.lanes) >= MaxLanes:
		return fmt.Errorf("open lane %s: %d lanes are open: %w", name, MaxLanes, ErrBusy)
	case l != nil && m == refuse, l != nil && m == queueUp && len(l.queue) >= MaxQueue:
		return fmt.Errorf("add action to lane %s: %d wait: %w", name, len(l.queue), ErrBusy)
	case l != nil && m == supersede && len(l.queue) >= 2*MaxQueue:
		// Superseded actions wait to be reported, too; a caller that replaces
		// faster than it receives must be told.
		return fmt.Errorf("replace action in lane %s: %d unreported: %w", name, len(l.queue), ErrBusy)
	}
	a := &action{ticket: ticket, deadline: deadline, fn: fn, asked: time.Now()}
	a.ctx, a.cancel = context.WithCancelCause(x.ctx)
	if l == nil {
		l = &lane{name: name, queue: []*action{a}}
		x.lanes[name] = l
		x.all.Go(func() { x.run(l) })
		return nil
	}
	if m == supersede {
		l.cancelAll(ErrSuperseded)
	}
	l.queue = append(l.queue, a)
	return nil
}

func (l *lane) cancelAll(cause error) {
	if l.now != nil {
		l.now.cancel(cause)
	}
	for _, a := range l.queue {
		a.cancel(cause)
	}
}

// run works the lane off.
func (x *Executor) run(l *lane) {
	for a := x.next(l); a != nil; a = x.next(l) {
		res, returned := a.run()
		res.Lane = l.name
		x.report(res)
		if returned != nil {
			x.waitOverrun(returned)
		}
		a.cancel(nil)
	}
}

// next takes the lane's next action, or closes the lane.
func (x *Executor) next(l *lane) *action {
	x.mu.Lock()
	defer x.mu.Unlock()
	l.now = nil
	if len(l.queue) == 0 || x.ctx.Err() != nil {
		for _, a := range l.queue {
			a.cancel(nil)
		}
		delete(x.lanes, l.name)
		return nil
	}
	l.now = l.queue[0]
	l.queue = l.queue[1:]
	return l.now
}

// report sends the outcome, unless the executor ends first.
func (x *Executor) report(r Result) {
	select {
	case x.results <- r:
	case <-x.ctx.Done():
		select { // a place that happens to be free is used all the same
		case x.results <- r:
		default:
		}
	}
}

// waitOverrun keeps the lane closed to others until an action that ignores
// its context returns: two at once would be worse than a lane that waits.
func (x *Executor) waitOverrun(returned <-chan any) {
	select {
	case <-returned:
	case <-x.ctx.Done():
	}
}

// run runs the action. If it overruns, the second result is where its late
// value will come.
func (a *action) run() (Result, <-chan any) {
	began := time.Now()
	res := Result{Ticket: a.ticket, Waited: began.Sub(a.asked)}
	if a.ctx.Err() != nil {
		res.Err = context.Cause(a.ctx)
		return res, nil
	}
	res.Ran = true
	ctx, cancel := context.WithTimeout(a.ctx, a.deadline)
	defer cancel()
	returned := make(chan any, 1)
	go func() { returned <- a.fn(ctx) }()
	select {
	case res.Value = <-returned:
	case <-ctx.Done():
		t := time.NewTimer(OverrunGrace)
		defer t.Stop()
		select {
		case res.Value = <-returned:
		case <-t.C:
			res.Err = fmt.Errorf("%w: %w", ErrOverrun, context.Cause(ctx))
			res.Took = time.Since(began)
			return res, returned
		}
	}
	res.Took = time.Since(began)
	res.Err = context.Cause(ctx)
	return res, nil
}
