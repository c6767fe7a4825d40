package e2e

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// stallMost is the longest stall by which no frame comes too late for its
// link's patience.
const stallMost = 100 * time.Millisecond

// stallEvery is how often the watch looks at the clock.
const stallEvery = 2 * time.Millisecond

// A stallWatch measures how long this machine kept a program from running that
// wanted to: a test that failed on a machine that stood still longer than a
// lease says little about the pair.
type stallWatch struct {
	longest atomic.Int64
	stop    chan struct{}
}

func watchStalls() *stallWatch {
	w := &stallWatch{stop: make(chan struct{})}
	go w.run()
	return w
}

func (w *stallWatch) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	last := time.Now()
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		ts := unix.NsecToTimespec(int64(stallEvery))
		_ = unix.Nanosleep(&ts, nil)
		now := time.Now()
		if gap := now.Sub(last) - stallEvery; int64(gap) > w.longest.Load() {
			w.longest.Store(int64(gap))
		}
		last = now
	}
}

// now returns the longest stall so far.
func (w *stallWatch) now() time.Duration { return time.Duration(w.longest.Load()) }

// end returns the longest stall.
func (w *stallWatch) end() time.Duration {
	close(w.stop)
	return w.now()
}
