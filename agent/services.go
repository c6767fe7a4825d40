package agent

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/service"
)

// serviceSpec is a configured service as its driver takes it.
func serviceSpec(s config.Service) service.Spec {
	return service.Spec{
		Name: s.Name, Driver: s.Driver, Unit: s.Unit, Start: s.Start, Stop: s.Stop, Status: s.Status,
		Args: s.Args, Params: s.Params, Promote: s.Promote, Depth: s.Depth,
		OnTake: s.OnTake, StartTimeout: s.StartTimeout, StopTimeout: s.StopTimeout,
		StatusTimeout: s.StatusTimeout, CheckInterval: s.CheckInterval, Restarts: s.Restarts,
		RestartWindow: s.RestartWindow, OnStartFailure: s.OnStartFailure, OnStopFailure: s.OnStopFailure,
		KeepOnStop: s.KeepOnStop,
	}
}

// ExamineServices says what does not fit between the services of a
// configuration and this machine. It asks OCF agents for their metadata, and
// starts and stops nothing. Problems have no file.
func ExamineServices(ctx context.Context, c config.Config) []config.Problem {
	var out []config.Problem
	for i, g := range c.Groups {
		for j, s := range g.Services {
			spec := serviceSpec(s)
			spec.Group = g.Name
			for _, f := range service.Examine(ctx, spec) {
				out = append(out, problemOf(f, s, fmt.Sprintf("group[%d].service[%d].", i, j)))
			}
		}
	}
	return out
}

func problemOf(f service.Finding, s config.Service, path string) config.Problem {
	line := s.Line
	if param, ok := strings.CutPrefix(f.Key, "params."); ok {
		line = cmp.Or(s.ParamLines[param], line)
	}
	return config.Problem{Line: line, Key: path + f.Key, Text: f.Text, Hint: f.Hint, Warning: f.Warning}
}
