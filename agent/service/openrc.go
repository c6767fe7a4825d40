//go:build !lite

package service

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

func init() {
	extras["openrc"] = extra{
		check:   func(s Spec) error { return checkServiceName(s.Driver, s.Unit) },
		unit:    func(s Spec) Unit { return &openrc{name: s.Unit, env: s.env()} },
		examine: func(_ context.Context, s Spec) []Finding { return examineScript(filepath.Join(initDir, s.Unit)) },
	}
}

// An openrc is a service of OpenRC, through rc-service.
//
// The exit code of status is the state (openrc-run.sh and
// supervise-daemon.sh): 0 started; 3 stopped; 4 stopping and 8 starting, which
// are waited for; 16 inactive, 32 crashed and 64 unsupervised, which are
// failed: a part may be there. Else it is unknown: 1 is said of a script that
// is not there, too. Where start-stop-daemon is not OpenRC's own (Debian), no
// crash is noticed, and a dead daemon reads started: supervise-daemon helps.
type openrc struct {
	name string
	env  []string
}

func (o *openrc) Start(ctx context.Context) error   { return o.act(ctx, "start") }
func (o *openrc) Stop(ctx context.Context) error    { return o.act(ctx, "stop") }
func (o *openrc) Restart(ctx context.Context) error { return o.act(ctx, "restart") }
func (o *openrc) Reload(ctx context.Context) error  { return o.act(ctx, "reload") }

func (o *openrc) act(ctx context.Context, verb string) error {
	return absent(act(ctx, verb, o.command(verb)), "OpenRC")
}

func (o *openrc) command(verb string) Command {
	return Command{Argv: []string{"rc-service", o.name, verb}, Env: o.env}
}

func (o *openrc) Status(ctx context.Context) (State, error) { return settled(ctx, o.look) }

func (o *openrc) look(ctx context.Context) (State, error) {
	c := o.command("status")
	c.Sweep = true
	res, err := c.Run(ctx)
	if err != nil {
		return Unknown, absent(err, "OpenRC")
	}
	return o.judge(res)
}

// judge makes a state of the exit code, unless the text says another one.
func (o *openrc) judge(res Result) (State, error) {
	what := "rc-service " + o.name + " status"
	says := func(word string) bool { return strings.Contains(res.Stdout+res.Stderr, "status: "+word) }
	switch res.Code {
	case 0:
		if says("stopped") || says("crashed") || says("inactive") {
			return Unknown, fmt.Errorf("%s: exit code 0, but it says: %s", what, res.Output())
		}
		return Running, nil
	case 3:
		if says("started") {
			return Unknown, fmt.Errorf("%s: exit code 3, but it says: %s", what, res.Output())
		}
		return Stopped, nil
	case 4, 8:
		return Unknown, &onItsWay{fmt.Sprintf("%s: stopping or starting (exit code %d)", what, res.Code)}
	case 16, 32, 64:
		return Failed, exitError(what, res)
	default:
		return Unknown, exitError(what, res)
	}
}
