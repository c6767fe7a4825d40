package link

import (
	"context"
	"time"
)

// Bounds of the pause between two attempts to open a path. The first is short
// enough that a cable put back is in use within three beats of the default
// profile, the last is what an absent device may cost in wakeups.
const (
	BackoffMin = 100 * time.Millisecond
	BackoffMax = 2 * time.Second
)

// A Backoff spaces attempts to open a path: it doubles from [BackoffMin] to
// [BackoffMax] and starts over once a path has stayed open for BackoffMax. The
// zero value is ready. It belongs to one goroutine.
type Backoff struct {
	next time.Duration
}

// Next returns the pause before the next attempt and doubles the one after it.
func (b *Backoff) Next() time.Duration {
	if b.next < BackoffMin {
		b.next = BackoffMin
	}
	d := b.next
	b.next = min(2*b.next, BackoffMax)
	return d
}

// Lasted tells how long the path had been open. A path that fails as soon as
// it is opened keeps backing off.
func (b *Backoff) Lasted(open time.Duration) {
	if open >= BackoffMax {
		b.next = 0
	}
}

// Wait pauses for Next or until ctx ends, and says whether to go on.
func (b *Backoff) Wait(ctx context.Context) bool {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
