package service

import (
	"context"
	"fmt"
)

// A triple is a service of three commands.
//
// The status command's exit code tells the state: 0 running, 1 or 3 stopped
// (pidof and pgrep say 1, LSB says 3), anything else unknown. A probe with
// other codes, such as dig, needs a wrapper that maps them.
type triple struct {
	start, stop, status []string
	env                 []string
}

func (t *triple) Start(ctx context.Context) error {
	return act(ctx, "start", Command{Argv: t.start, Env: t.env})
}

func (t *triple) Stop(ctx context.Context) error {
	return act(ctx, "stop", Command{Argv: t.stop, Env: t.env})
}

func (t *triple) Restart(ctx context.Context) error { return stopThenStart(ctx, t) }

func (t *triple) Status(ctx context.Context) (State, error) {
	if len(t.status) == 0 {
		return Unknown, ErrNoStatus
	}
	res, err := Command{Argv: t.status, Env: t.env, Sweep: true}.Run(ctx)
	if err != nil {
		return Unknown, err
	}
	return judge(res)
}

// judge makes a state of the exit code of a status command.
func judge(res Result) (State, error) {
	switch res.Code {
	case 0:
		return Running, nil
	case 1, 3:
		return Stopped, nil
	default:
		return Unknown, exitError("status", res)
	}
}

// act runs a command that is to succeed.
func act(ctx context.Context, what string, c Command) error {
	if len(c.Argv) == 0 {
		return fmt.Errorf("%s: no command given", what)
	}
	res, err := c.Run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if res.Code != 0 {
		return exitError(what, res)
	}
	return nil
}
