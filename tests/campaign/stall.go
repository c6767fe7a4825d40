package main

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stallMost is the longest stall by which the pair's patience is not used up.
	stallMost  = 100 * time.Millisecond
	stallEvery = 2 * time.Millisecond
	stallNoted = 10 * time.Millisecond
	stallsMost = 100_000 // remembered; the oldest are forgotten
)

// A stall is a time in which this machine let a program wait that wanted to run.
type stall struct {
	at     time.Time
	lasted time.Duration
}

// A stallWatch measures how the machine treats a program of a box.
type stallWatch struct {
	stop chan struct{}
	done sync.WaitGroup
	mu   sync.Mutex
	all  []stall
}

func watchStalls() *stallWatch {
	w := &stallWatch{stop: make(chan struct{})}
	w.done.Go(w.run)
	return w
}

func (w *stallWatch) run() {
	runtime.LockOSThread() // ends with the goroutine
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, boxNice)
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
		if gap := now.Sub(last) - stallEvery; gap > stallNoted {
			w.mu.Lock()
			w.all = append(w.all, stall{now, gap})
			if len(w.all) > stallsMost {
				w.all = w.all[1:]
			}
			w.mu.Unlock()
		}
		last = now
	}
}

// since returns the longest stall after a moment.
func (w *stallWatch) since(t time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest time.Duration
	for i := len(w.all) - 1; i >= 0 && w.all[i].at.After(t); i-- {
		longest = max(longest, w.all[i].lasted)
	}
	return longest
}

// last returns when the last stall ended that is no ordinary one.
func (w *stallWatch) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.all) - 1; i >= 0; i-- {
		if w.all[i].lasted > stallMost {
			return w.all[i].at
		}
	}
	return time.Time{}
}

func (w *stallWatch) end() {
	close(w.stop)
	w.done.Wait()
}
