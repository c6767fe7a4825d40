package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/monitor"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A watched is a monitor at work.
type watched struct {
	*monitor.Monitor
	conf config.Monitor
	stop context.CancelFunc

	ended chan struct{} // closed when it looks no more

	mu   sync.Mutex   // held while the loop is told of it
	said monitor.View // what the loop was told last
	gone bool         // a reload took it out: it says no more
}

// newMonitors makes what the configuration wants watched.
func (a *agent) newMonitors() error {
	for _, c := range a.cfg.Monitors {
		w, err := a.newWatched(c)
		if err != nil {
			return err
		}
		a.watched = append(a.watched, w)
	}
	a.hands.carrier = func(device string, up bool) {
		for _, w := range a.allWatched() {
			w.Carrier(device, up)
		}
	}
	return nil
}

func (a *agent) newWatched(c config.Monitor) (*watched, error) {
	m, err := monitor.New(monitorConfig(c), a.hands.air)
	return &watched{Monitor: m, conf: c, ended: make(chan struct{})}, err
}

// allWatched is the list as it is now; a reload makes another one.
func (a *agent) allWatched() []*watched {
	a.parts.Lock()
	defer a.parts.Unlock()
	return a.watched
}

// monitorConfig is a configured monitor as its driver takes it.
func monitorConfig(c config.Monitor) monitor.Config {
	return monitor.Config{
		Name: c.Name, Kind: c.Type, Interval: c.Interval, Timeout: c.Timeout, Rise: c.Rise, Fall: c.Fall,
		Weight: c.Weight, Critical: c.Critical, Strict: c.Missing == "fail",
		Interface: c.Interface, UpFor: c.UpDelay, DownFor: c.DownDelay, MinSpeed: c.MinSpeed, MaxErrors: c.MaxErrors,
		Targets: c.Targets, All: c.Need == "all", Process: c.Process, Command: c.Command,
		Path: c.Path, MaxAge: c.MaxAge, Contains: c.Contains,
	}
}

// stagger lies between the first looks of two monitors: an agent that was
// restarted has a lease to renew meanwhile.
const stagger = 20 * time.Millisecond

// watchMonitors runs them, each in a goroutine of its own: one that hangs holds
// no other.
func (a *agent) watchMonitors(ctx context.Context) {
	for i, w := range a.allWatched() {
		a.watchOne(ctx, w, func(ctx context.Context) { pause(ctx, time.Duration(i)*stagger) })
	}
}

// watchOne begins to look at it, after what comes first.
func (a *agent) watchOne(ctx context.Context, w *watched, first func(context.Context)) {
	ctx, w.stop = context.WithCancel(ctx)
	a.group.Go(func() {
		defer close(w.ended)
		first(ctx)
		w.Run(ctx, func(c monitor.Change) bool { return w.tell(c, a.monitorChanged) })
	})
}

// tell hands a new state on, unless the monitor is one no more.
func (w *watched) tell(c monitor.Change, on func(monitor.Change) bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return true
	}
	taken := on(c)
	if taken {
		w.said = c.View
	}
	return taken
}

// monitorChanged tells the loop of a new state and says whether it took all of
// it. Both alarms write an event when they come and go. What a bounce of ours
// explains is not told while it may last.
func (a *agent) monitorChanged(c monitor.Change) bool {
	if c.State == monitor.Down && a.hands.excuses(c.Config.Name) {
		return false
	}
	name := "monitor/" + c.Config.Name
	return a.hands.vote(c.Vote()) &&
		a.hands.tell(loop.AlarmChanged{Name: name, On: c.State == monitor.Down, Text: c.Why}) &&
		a.hands.tell(loop.AlarmChanged{Name: name + "/unknown", On: c.State == monitor.Missing, Text: c.Why})
}

// monitorViews is what status shows.
func (a *agent) monitorViews() []report.Monitor {
	var out []report.Monitor
	for _, m := range a.allWatched() {
		c, v := m.Config(), m.View()
		out = append(out, report.Monitor{
			Name: c.Name, Type: c.Kind, State: v.State.String(), SinceMS: time.Since(v.Since).Milliseconds(), Reason: v.Why,
			Weight: c.Weight, Loss: v.Loss, Critical: c.Critical,
		})
	}
	return out
}

// ExamineBuild says what of a configuration this build would pass over in
// silence. Problems have no file.
func ExamineBuild(c config.Config) []config.Problem {
	var out []config.Problem
	if c.Upstream != nil && !hasUpstream {
		out = append(out, config.Problem{
			Key: "upstream", Text: "the " + buildName + " build does not ask the network who has the addresses",
			Hint: "use the full build on both nodes, or leave the section out",
		})
	}
	for i, m := range c.Monitors {
		if _, err := monitor.New(monitorConfig(m), nil); err != nil {
			out = append(out, config.Problem{
				Line: m.Line, Key: fmt.Sprintf("monitor[%d].type", i), Text: fmt.Sprintf("the %s build has no monitors of type %s", buildName, m.Type),
				Hint: "use a command instead, or another build",
			})
		}
	}
	return out
}
