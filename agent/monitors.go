package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/monitor"
	"github.com/twinbeat/twinbeat/agent/report"
)

// newMonitors makes what the configuration wants watched.
func (a *agent) newMonitors() error {
	for _, c := range a.cfg.Monitors {
		m, err := monitor.New(monitorConfig(c), a.hands.air)
		if err != nil {
			return err
		}
		a.watched = append(a.watched, m)
	}
	a.hands.carrier = func(device string, up bool) {
		for _, m := range a.watched {
			m.Carrier(device, up)
		}
	}
	return nil
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
	for i, m := range a.watched {
		a.group.Go(func() {
			pause(ctx, time.Duration(i)*stagger)
			m.Run(ctx, a.monitorChanged)
		})
	}
}

// monitorChanged tells the loop of a new state and says whether it took all of
// it. Both alarms write an event when they come and go.
func (a *agent) monitorChanged(c monitor.Change) bool {
	name := "monitor/" + c.Config.Name
	return a.loop.Vote(c.Vote()) &&
		a.loop.Tell(loop.AlarmChanged{Name: name, On: c.State == monitor.Down, Text: c.Why}) &&
		a.loop.Tell(loop.AlarmChanged{Name: name + "/unknown", On: c.State == monitor.Missing, Text: c.Why})
}

// monitorViews is what status shows.
func (a *agent) monitorViews() []report.Monitor {
	var out []report.Monitor
	for _, m := range a.watched {
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
