package service

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// settlePoll is the pause between two looks at a service that is on its way.
const settlePoll = 200 * time.Millisecond

// onItsWay is the error of a state that will soon be another one, such as
// starting or stopping.
type onItsWay struct{ seen string }

// Error says what was seen.
func (e *onItsWay) Error() string { return e.seen }

// settled reads a state until it is none that is on its way, or ctx ends; then
// it is Unknown.
func settled(ctx context.Context, read func(context.Context) (State, error)) (State, error) {
	for {
		state, err := read(ctx)
		way, moving := errors.AsType[*onItsWay](err)
		if !moving {
			return state, err
		}
		if err := sleep(ctx, settlePoll); err != nil {
			return Unknown, fmt.Errorf("%s: %w", way.seen, err)
		}
	}
}

// stopThenStart restarts a unit that has no restart of its own. It goes on to
// the start after a failed stop: the service may be down already, which is why
// it is being restarted.
func stopThenStart(ctx context.Context, u Unit) error {
	stopErr := u.Stop(ctx)
	// A daemon that is told to end is often still there when its stop command
	// has returned, and holds the port that the next one wants.
	for end := time.Now().Add(StopSettle); stopErr == nil && time.Now().Before(end); {
		if state, err := u.Status(ctx); state == Stopped || errors.Is(err, ErrNoStatus) {
			break
		}
		if sleep(ctx, verifyPoll) != nil {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(stopErr, err)
	}
	if err := u.Start(ctx); err != nil {
		return errors.Join(stopErr, err)
	}
	return nil
}

// sleep waits for d or for the end of ctx, and says which by its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
