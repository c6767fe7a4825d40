package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// errLate says that whoever was asked has not answered yet.
var errLate = errors.New("no answer in time")

// maxAside is how many questions may be under way at a time, those included that
// hang and whose monitor a reload took out: twice config.MaxMonitors.
const maxAside = 64

var asked atomic.Int32

// An aside asks what may hold who asks for as long as it likes: a dead disk, a
// driver that keeps the kernel's lock. Only one question is under way at a time;
// an answer that came too late is taken by the next one who asks.
type aside[T any] struct {
	out chan T // of the question under way; nil: none
}

// ask waits for the answer, or for within, which is errLate, or for the end of ctx.
func (a *aside[T]) ask(ctx context.Context, within time.Duration, question func() T) (answer T, err error) {
	if a.out == nil {
		if asked.Add(1) > maxAside {
			asked.Add(-1)
			return answer, fmt.Errorf("%d questions hang already", maxAside)
		}
		a.out = make(chan T, 1)
		go func(out chan<- T) {
			defer asked.Add(-1)
			out <- question()
		}(a.out)
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case answer = <-a.out:
		a.out = nil
		return answer, nil
	case <-timer.C:
		return answer, errLate
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}
