package lab

import (
	"runtime"
	"sync"
	"time"
)

const (
	// StallMost is the longest stall by which no frame comes too late for its
	// link's patience.
	StallMost  = 100 * time.Millisecond
	stallEvery = 2 * time.Millisecond
	stallNoted = 10 * time.Millisecond
	stallsMost = 100_000 // remembered; the oldest are forgotten
)

// A stall is a time in which this machine let a program wait that wanted to run.
type stall struct {
	at     time.Time
	lasted time.Duration
}

// A StallWatch measures how long this machine kept a program from running that
// wanted to: a test that failed on a machine that stood still longer than a
// lease says little about the pair.
type StallWatch struct {
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	longest time.Duration
	noted   []stall // of stallNoted and more
}

// WatchStalls begins to measure. If prepare is not nil it runs first, on the
// watch's own thread, to give that the priority of what the machine is to be
// judged by.
func WatchStalls(prepare func()) *StallWatch {
	w := &StallWatch{stop: make(chan struct{})}
	w.done.Go(func() {
		runtime.LockOSThread() // ends with the goroutine
		if prepare != nil {
			prepare()
		}
		w.run()
	})
	return w
}

func (w *StallWatch) run() {
	last := time.Now()
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		nap(stallEvery)
		now := time.Now()
		w.note(now, now.Sub(last)-stallEvery)
		last = now
	}
}

func (w *StallWatch) note(now time.Time, gap time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = max(w.longest, gap)
	if gap <= stallNoted {
		return
	}
	w.noted = append(w.noted, stall{now, gap})
	if len(w.noted) > stallsMost {
		w.noted = w.noted[1:]
	}
}

// Longest returns the longest stall so far.
func (w *StallWatch) Longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.longest
}

// Since returns the longest stall worth a note that ended after a moment.
func (w *StallWatch) Since(t time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest time.Duration
	for i := len(w.noted) - 1; i >= 0 && w.noted[i].at.After(t); i-- {
		longest = max(longest, w.noted[i].lasted)
	}
	return longest
}

// Last returns when the last stall ended that was longer than StallMost; the
// zero time if there was none.
func (w *StallWatch) Last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.noted) - 1; i >= 0; i-- {
		if w.noted[i].lasted > StallMost {
			return w.noted[i].at
		}
	}
	return time.Time{}
}

// End ends the watch.
func (w *StallWatch) End() {
	close(w.stop)
	w.done.Wait()
}
