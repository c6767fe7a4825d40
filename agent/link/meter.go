package link

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats is what a link reports about itself. Counters only rise and are never
// reset while the process lives.
type Stats struct {
	Up    bool      // the device or socket is open and its interface has carrier
	Since time.Time // when Up last changed; the start of the link if it never did
	Err   string    // why the link is not up, or the last failure; empty if none

	TxFrames  uint64 // frames that the kernel took whole
	TxBytes   uint64 // bytes of those frames as they are on this path
	TxDropped uint64 // frames given up: link down, queue full, line congested
	RxFrames  uint64 // payloads delivered to receive
	RxBytes   uint64 // bytes read, good or not
	RxErrors  uint64 // payloads or bytes given up before anybody saw them
	Reopens   uint64 // times the path was opened again after it had been open
}

// A Meter keeps the Stats of one link. Its methods may be called from any
// goroutine. The zero value is a link that is down and has not started.
type Meter struct {
	txFrames, txBytes, txDropped atomic.Uint64
	rxFrames, rxBytes, rxErrors  atomic.Uint64

	mu      sync.Mutex
	up      bool
	since   time.Time
	err     string
	opens   uint64
	reopens uint64
}

// Started sets the time from which the link counts as down until it is up.
func (m *Meter) Started() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() {
		m.since = time.Now()
	}
}

// Opened counts an opening of the path.
func (m *Meter) Opened() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.opens > 0 {
		m.reopens++
	}
	m.opens++
}

// Up marks the path as usable and forgets the last failure.
func (m *Meter) Up() { m.set(true, "") }

// Down marks the path as unusable and says why.
func (m *Meter) Down(err error) { m.set(false, text(err)) }

// Trouble keeps the state and remembers a failure that did not close the path.
func (m *Meter) Trouble(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = text(err)
}

func (m *Meter) set(up bool, err string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.up != up || m.since.IsZero() {
		m.since = time.Now()
	}
	m.up, m.err = up, err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Sent counts one frame of n bytes that the kernel took.
func (m *Meter) Sent(n int) {
	m.txFrames.Add(1)
	m.txBytes.Add(uint64(n))
}

// Dropped counts one frame that was given up.
func (m *Meter) Dropped() { m.txDropped.Add(1) }

// Read counts n bytes that came in.
func (m *Meter) Read(n int) { m.rxBytes.Add(uint64(n)) }

// Received counts one delivered payload.
func (m *Meter) Received() { m.rxFrames.Add(1) }

// Refused counts n pieces of input that were given up.
func (m *Meter) Refused(n uint64) { m.rxErrors.Add(n) }

// Stats returns a copy of the state and the counters.
func (m *Meter) Stats() Stats {
	m.mu.Lock()
	s := Stats{Up: m.up, Since: m.since, Err: m.err, Reopens: m.reopens}
	m.mu.Unlock()
	s.TxFrames, s.TxBytes, s.TxDropped = m.txFrames.Load(), m.txBytes.Load(), m.txDropped.Load()
	s.RxFrames, s.RxBytes, s.RxErrors = m.rxFrames.Load(), m.rxBytes.Load(), m.rxErrors.Load()
	return s
}
