package control

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A Board is where the loop pins its newest snapshot and its events: the half of
// a Handler that answers questions. Publish and Add never wait for a reader, but
// for the time it takes to copy a ring of events. Use NewBoard.
type Board struct {
	snapshot atomic.Pointer[report.Snapshot]

	mu    sync.Mutex
	ring  report.Ring
	newer chan struct{} // closed, and replaced, when an event is added
}

// NewBoard returns a board that holds the events of earlier runs, oldest first,
// as the journal kept them.
func NewBoard(earlier []report.Event) *Board {
	b := &Board{newer: make(chan struct{})}
	b.ring.Restore(earlier)
	return b
}

// Publish replaces the snapshot. The caller must not change what it points to.
func (b *Board) Publish(s report.Snapshot) { b.snapshot.Store(&s) }

// Add gives the event its sequence number, keeps it, wakes who waits for it and
// returns it.
func (b *Board) Add(e report.Event) report.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	e = b.ring.Add(e)
	close(b.newer)
	b.newer = make(chan struct{})
	return e
}

// Snapshot returns the snapshot last published, the zero Snapshot before the first.
func (b *Board) Snapshot() report.Snapshot {
	if s := b.snapshot.Load(); s != nil {
		return *s
	}
	return report.Snapshot{}
}

// Events returns the events held with a sequence number above after, oldest first.
func (b *Board) Events(after uint64) []report.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ring.After(after)
}

// Wait returns nil once an event above after exists, or the context's error.
func (b *Board) Wait(ctx context.Context, after uint64) error {
	for { // bounded by the events added: each turn waits for one
		b.mu.Lock()
		last, newer := b.ring.Last(), b.newer
		b.mu.Unlock()
		if last > after {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-newer:
		}
	}
}
