package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of a group's steps.
const (
	MaxServices = 64                     // services of one group; NewGroup refuses more
	StopTries   = 3                      // stop commands within one StopTimeout
	StopSettle  = time.Second            // a service still running so long after its stop command is told again
	StartSettle = 3 * time.Second        // a service still stopped so long after its start command has failed
	verifyPoll  = 100 * time.Millisecond // between two looks while a service settles
)

// A StepError says which service of a group failed at which step.
type StepError struct {
	Service string
	Step    string // start, restart, reload or stop
	Policy  string // the service's OnStartFailure or OnStopFailure
	Err     error
}

// Error returns "start dnsmasq: cause".
func (e *StepError) Error() string { return e.Step + " " + e.Service + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// NeedsFence reports whether an error of Stop holds a service that would not
// stop and whose policy is to have this node fenced for it.
func NeedsFence(err error) bool {
	if step, ok := err.(*StepError); ok {
		return step.Step == "stop" && step.Policy == "fence"
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return NeedsFence(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), NeedsFence)
	}
	return false
}

// Options are the parts of a group that are not in its services' Specs.
type Options struct {
	Group string                   // name, for TWINBEAT_GROUP
	Unit  func(Spec) (Unit, error) // makes a unit; nil means New
	Fault func(Fault)              // told of failed starts of services whose policy is to stay; may be nil

	// Check is told when a check of a service begins, and when all that it
	// called for is over, by whoever makes it; may be nil.
	Check func(name string, begun bool)
}

// A View is what is known of one service, for the status page. It is the
// outcome of the newest look, not a look.
type View struct {
	Name     string
	State    State
	Checked  time.Time // when State was read; zero: never
	Err      string    // why it is not running, or why its state is unknown
	Restarts int       // restarts in place within the window, as of the newest failure
	GaveUp   bool      // the restarts are used up and it is not running
}

// A Group is the services of one group in their start order. Its methods may
// be called from any goroutine; Start, Stop, Adopt and a restart in place
// exclude each other.
type Group struct {
	opts  Options
	steps []*step
	ops   chan struct{} // held by the one operation under way

	mu    sync.Mutex
	up    bool     // between a successful Start or Adopt and the next Stop
	watch *watcher // the running Watch, if any
}

// A step is one service of the group.
type step struct {
	Spec
	unit Unit

	mu   sync.Mutex
	view View
}

// NewGroup checks the Specs and returns their group.
func NewGroup(specs []Spec, opts Options) (*Group, error) {
	if len(specs) > MaxServices {
		return nil, fmt.Errorf("make group %s: %d services, at most %d", opts.Group, len(specs), MaxServices)
	}
	if opts.Unit == nil {
		opts.Unit = New
	}
	if opts.Fault == nil {
		opts.Fault = func(Fault) {}
	}
	if opts.Check == nil {
		opts.Check = func(string, bool) {}
	}
	g := &Group{opts: opts, ops: make(chan struct{}, 1)}
	names := map[string]bool{}
	for _, s := range specs {
		s.Group = opts.Group
		s, err := s.complete()
		if err != nil {
			return nil, fmt.Errorf("service %q: %w", s.Name, err)
		}
		if names[s.Name] {
			return nil, fmt.Errorf("service %q: named twice", s.Name)
		}
		names[s.Name] = true
		u, err := opts.Unit(s)
		if err != nil {
			return nil, err
		}
		g.steps = append(g.steps, &step{Spec: s, unit: u, view: View{Name: s.Name}})
	}
	return g, nil
}

// Start brings the services up in order, each within its StartTimeout, and
// sees by its status that it runs. If one fails whose policy is handover, it
// and those before it that this call started are stopped again, in reverse,
// and the error names the step. A failure with the policy stay is told to
// Options.Fault and the start goes on. A cancelled Start leaves everything as
// it is at that moment: the caller is expected to Stop.
func (g *Group) Start(ctx context.Context) error { return g.bring(ctx, false) }

// Adopt is Start for an agent that was restarted while its node owned the
// group: services that run, or whose state cannot be read, are left as they
// are whatever OnTake says; those that are stopped are started, and those that
// have failed restarted.
func (g *Group) Adopt(ctx context.Context) error { return g.bring(ctx, true) }

func (g *Group) bring(ctx context.Context, adopt bool) error {
	if err := g.begin(ctx); err != nil {
		return fmt.Errorf("start group %s: %w", g.opts.Group, err)
	}
	defer g.end()
	var started []*step
	for _, s := range g.steps {
		touched, err := s.take(ctx, adopt)
		if touched {
			started = append(started, s)
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		if s.OnStartFailure == "stay" {
			g.opts.Fault(Fault{Name: s.Name, Err: err.Error()})
			continue
		}
		return errors.Join(err, stopAll(ctx, started))
	}
	g.setUp(true)
	return nil
}

// Stop ends a running Watch and then takes the services down in reverse, each
// within its StopTimeout, and sees by its status that it is stopped. It goes
// on after a failure and joins the errors; see NeedsFence. Services with
// KeepOnStop or OnTake none are left alone; one that is promoted is demoted.
func (g *Group) Stop(ctx context.Context) error {
	g.setUp(false)
	g.endWatch()
	if err := g.begin(ctx); err != nil {
		return fmt.Errorf("stop group %s: %w", g.opts.Group, err)
	}
	defer g.end()
	g.setUp(false) // a Start may have ended in between
	return stopAll(ctx, g.steps)
}

// Status returns what is known of each service, in start order.
func (g *Group) Status() []View {
	views := make([]View, 0, len(g.steps))
	for _, s := range g.steps {
		s.mu.Lock()
		views = append(views, s.view)
		s.mu.Unlock()
	}
	return views
}

func (g *Group) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g.ops <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Group) end() { <-g.ops }

func (g *Group) setUp(up bool) {
	g.mu.Lock()
	g.up = up
	g.mu.Unlock()
}

func (g *Group) isUp() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.up
}

// stopAll stops in reverse order and joins the errors.
func stopAll(ctx context.Context, steps []*step) error {
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		if s := steps[i]; !s.leftAlone() {
			errs = append(errs, s.stop(ctx))
		}
	}
	return errors.Join(errs...)
}

// take does what OnTake says and sees that the service runs. It reports
// whether it touched a service that was not running before: one that this
// node would have to stop again.
func (s *step) take(ctx context.Context, adopt bool) (touched bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.allow(ctx, "start"))
	defer cancel()
	state, err := s.look(ctx)
	if s.OnTake == "none" || (adopt && (state == Running || state == Unknown)) {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, s.failed("start", s.OnStartFailure, err)
	}
	verb, do := "start", s.unit.Start
	switch r, canReload := s.unit.(reloader); {
	case s.OnTake == "start" && state == Running:
		return false, nil
	case state == Failed: // to many an init system it is started already
		verb, do = "restart", s.unit.Restart
	case s.OnTake == "restart" && (state == Running || errors.Is(err, ErrNoStatus)):
		verb, do = "restart", s.unit.Restart
	case s.OnTake == "reload" && state == Running && canReload:
		verb, do = "reload", r.Reload
	}
	err = do(ctx)
	if err == nil {
		err = s.settle(ctx)
	}
	if err != nil {
		err = s.failed(verb, s.OnStartFailure, err)
	}
	return state != Running, err
}

// settle waits until a started service is seen running. A service that cannot
// tell is taken at its start command's word.
func (s *step) settle(ctx context.Context) error {
	patience := time.Now().Add(StartSettle)
	for {
		state, err := s.look(ctx)
		switch {
		case state == Running, errors.Is(err, ErrNoStatus):
			return nil
		case (state == Stopped || state == Failed) && time.Now().After(patience):
			return errors.Join(fmt.Errorf("the command succeeded, but %v later it is still %v", StartSettle, state), err)
		}
		if sleep(ctx, verifyPoll) != nil {
			return fmt.Errorf("the command succeeded, but %w", notRunning(state, err))
		}
	}
}

// stop stops the service and sees that it is stopped, by its status if it has
// one. A stop command that fails for a service that is then seen stopped has
// done its work.
func (s *step) stop(outer context.Context) error {
	ctx, cancel := context.WithTimeout(outer, s.allow(outer, "stop"))
	defer cancel()
	var last error
	for range StopTries {
		cmdErr := s.unit.Stop(ctx)
		state, err := s.untilStopped(outer, ctx)
		if state == Stopped {
			return nil
		}
		if errors.Is(err, ErrNoStatus) {
			if cmdErr == nil {
				return nil
			}
			return s.failed("stop", s.OnStopFailure, cmdErr)
		}
		last = errors.Join(cmdErr, notStopped(state, err))
		if ctx.Err() != nil {
			break
		}
	}
	return s.failed("stop", s.OnStopFailure, last)
}

// untilStopped looks until the service is stopped or StopSettle is over. The
// first look is made even if the step's own time is over: a stop command that
// hung may have done its work all the same.
func (s *step) untilStopped(outer, ctx context.Context) (State, error) {
	patience := time.Now().Add(StopSettle)
	state, err := s.look(outer)
	for state != Stopped && !errors.Is(err, ErrNoStatus) {
		if time.Now().After(patience) || sleep(ctx, verifyPoll) != nil {
			break
		}
		state, err = s.look(ctx)
	}
	return state, err
}

// look reads the state within StatusTimeout and keeps it for Status.
func (s *step) look(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, s.allow(ctx, "monitor"))
	defer cancel()
	state, err := s.unit.Status(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.State, s.view.Checked, s.view.Err = state, time.Now(), ""
	if err != nil {
		s.view.Err = err.Error()
	}
	if state == Running {
		s.view.GaveUp = false
	}
	return state, err
}

// MaxAdvised is the longest time that is taken from an adviser.
const MaxAdvised = 5 * time.Minute

// An adviser is a Unit that knows how long an action (start, stop, monitor)
// may take; zero: it does not.
type adviser interface {
	advise(ctx context.Context, action string) time.Duration
}

// allow returns the time of an action: as configured, else as the unit
// advises, else the default.
func (s *step) allow(ctx context.Context, action string) time.Duration {
	d, def := s.StatusTimeout, DefaultStatusTimeout
	switch action {
	case "start":
		d, def = s.StartTimeout, DefaultStartTimeout
	case "stop":
		d, def = s.StopTimeout, DefaultStopTimeout
	}
	if u, ok := s.unit.(adviser); ok && d == 0 {
		d = u.advise(ctx, action)
	}
	return cmp.Or(d, def)
}

// failed notes the failure for Status and names the step.
func (s *step) failed(verb, policy string, err error) error {
	s.mu.Lock()
	s.view.Err = err.Error()
	s.mu.Unlock()
	return &StepError{Service: s.Name, Step: verb, Policy: policy, Err: err}
}

func notRunning(state State, err error) error {
	if err != nil {
		return fmt.Errorf("its state is %v: %w", state, err)
	}
	return fmt.Errorf("its state is %v", state)
}

func notStopped(state State, err error) error {
	if state == Running {
		return errors.New("it still runs")
	}
	return notRunning(state, err)
}
