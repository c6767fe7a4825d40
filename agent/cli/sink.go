package cli

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a sink.
const (
	sinkLines = 512                  // lines that may wait; what comes beyond is dropped and counted
	sinkFlush = 1 * time.Second      // how long Close waits for a reader of the log
	keepFlush = 5 * time.Millisecond // the same while a lease runs that the next agent wants to find
)

// A sink keeps a log that nobody reads from stopping the agent: writers never
// wait. A pipe to a hung logger would otherwise cost the lease.
type sink struct {
	w     io.Writer
	lines chan []byte
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once
	lost  atomic.Uint64
}

func newSink(w io.Writer) *sink {
	s := &sink{w: w, lines: make(chan []byte, sinkLines), quit: make(chan struct{}), done: make(chan struct{})}
	go s.copy()
	return s
}

// Write queues a line, or counts it as lost. It always succeeds.
func (s *sink) Write(line []byte) (int, error) {
	select {
	case s.lines <- append([]byte(nil), line...):
	default:
		s.lost.Add(1)
	}
	return len(line), nil
}

// Close writes what waits, but not for longer than sinkFlush.
func (s *sink) Close() error {
	s.closeWithin(sinkFlush)
	return nil
}

func (s *sink) closeWithin(d time.Duration) {
	s.once.Do(func() { close(s.quit) })
	select {
	case <-s.done:
	case <-time.After(d):
	}
}

func (s *sink) copy() {
	defer close(s.done)
	for { // ends with Close, once nothing waits
		select {
		case line := <-s.lines:
			s.put(line)
			continue
		default:
		}
		select {
		case line := <-s.lines:
			s.put(line)
		case <-s.quit:
			return
		}
	}
}

// put writes a line, and first how many went before it unseen. Errors have no
// other place to be told.
func (s *sink) put(line []byte) {
	if n := s.lost.Swap(0); n > 0 {
		_, _ = fmt.Fprintf(s.w, "level=WARN msg=\"log lines lost: nobody took them\" lines=%d\n", n)
	}
	_, _ = s.w.Write(line)
}
