package service

import (
	"context"
	"errors"
	"fmt"
	"time"
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

// Restart goes on to the start after a failed stop: the service may be down
// already, which is why it is being restarted.
func (t *triple) Restart(ctx context.Context) error {
	stopErr := t.Stop(ctx)
	// A daemon that is told to end is often still there when its stop command
	// has returned, and holds the port that the next one wants.
	for end := time.Now().Add(StopSettle); stopErr == nil && time.Now().Before(end); {
		if state, err := t.Status(ctx); state == Stopped || errors.Is(err, ErrNoStatus) {
			break
		}
		if sleep(ctx, verifyPoll) != nil {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(stopErr, err)
	}
	if err := t.Start(ctx); err != nil {
		return errors.Join(stopErr, err)
	}
	return nil
}

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
