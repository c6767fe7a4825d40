// Package linktest makes paths to the peer that tests, demos and benchmarks
// can cut, delay and damage: it decides nothing by chance or by the clock
// unless it is told to. Start at [NewPair] for links in memory and at
// [NewNullModem] for a serial cable made of two ptys.
package linktest

import (
	"context"
	"sync"

	"github.com/twinbeat/twinbeat/agent/link"
)

// queueMax is how many frames may be under way in one direction of a pair of
// fakes. Beyond that the oldest is dropped and counted, like on a real link.
const queueMax = 256

// A Fake is one end of a link in memory. Make two with [NewPair].
type Fake struct {
	name  string
	meter link.Meter
	peer  *Fake
	wake  chan struct{} // something for Run to do

	in sync.Mutex // held by whoever delivers

	mu      sync.Mutex
	receive func([]byte)
	queue   [][]byte // frames for this end
	ready   int      // frames of queue that Run may deliver now
	hold    bool     // frames for this end wait for Deliver
	cut     bool     // frames for this end are lost
	drop    func(n uint64, payload []byte) bool
	seen    uint64 // frames offered to drop
	fail    error  // of Send
	state   link.LineState
	class   link.CableClass
	heards  uint64
}

var (
	_ link.Link  = (*Fake)(nil)
	_ link.Liner = (*Fake)(nil)
)

// NewPair returns the two ends of a link in memory. It works inside a synctest
// bubble. Frames sent before the other end runs wait for it.
func NewPair(nameA, nameB string) (a, b *Fake) {
	a = &Fake{name: nameA, wake: make(chan struct{}, 1)}
	b = &Fake{name: nameB, wake: make(chan struct{}, 1)}
	a.peer, b.peer = b, a
	return a, b
}

// Name returns the name that NewPair was given.
func (f *Fake) Name() string { return f.name }

// Stats returns state and counters. Up is true while Run runs and SetError has
// not set an error; a cut is not seen, as on a real cable.
func (f *Fake) Stats() link.Stats { return f.meter.Stats() }

// Send queues a copy of payload for the other end.
func (f *Fake) Send(payload []byte) error {
	f.mu.Lock()
	err := f.fail
	f.mu.Unlock()
	if err == nil && len(payload) > link.MaxPayload {
		err = link.ErrTooLong
	}
	if err != nil {
		f.meter.Dropped()
		return err
	}
	f.meter.Sent(len(payload))
	f.peer.accept(payload)
	return nil
}

// accept takes a frame from the wire unless the test wants it lost.
func (f *Fake) accept(payload []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	if f.cut || f.drop != nil && f.drop(f.seen, payload) {
		return
	}
	if len(f.queue) == queueMax {
		f.queue = f.queue[1:]
		f.ready = max(f.ready-1, 0)
		f.meter.Refused(1)
	}
	f.queue = append(f.queue, append([]byte(nil), payload...))
	if !f.hold {
		f.release(len(f.queue))
	}
}

// release lets Run deliver n frames of the queue. The caller holds mu.
func (f *Fake) release(n int) {
	f.ready = n
	select {
	case f.wake <- struct{}{}:
	default: // Run has not yet seen the last call
	}
}

// Run delivers frames until ctx ends.
func (f *Fake) Run(ctx context.Context, receive func(payload []byte)) error {
	f.meter.Started()
	f.meter.Opened()
	f.mu.Lock()
	f.receive = receive
	if f.fail == nil {
		f.meter.Up()
	}
	f.mu.Unlock()
	defer f.meter.Down(nil)
	for {
		for f.deliver(receive) {
			if ctx.Err() != nil {
				return nil
			}
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// deliver hands on one frame.
func (f *Fake) deliver(receive func([]byte)) bool {
	f.in.Lock()
	defer f.in.Unlock()
	payload := f.next()
	if payload == nil {
		return false
	}
	f.meter.Read(len(payload))
	f.meter.Received()
	receive(payload)
	return true
}

// Drain delivers in the caller's goroutine what Run would.
func (f *Fake) Drain() {
	f.mu.Lock()
	receive := f.receive
	f.mu.Unlock()
	for range link.DrainMost {
		if receive == nil || !f.deliver(receive) {
			return
		}
	}
}

func (f *Fake) next() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ready == 0 {
		return nil
	}
	payload := f.queue[0]
	f.queue = f.queue[1:]
	f.ready--
	if payload == nil {
		payload = []byte{} // nil would mean that there is none
	}
	return payload
}

// Cut loses all frames in both directions until Restore.
func (f *Fake) Cut() {
	f.CutOut()
	f.CutIn()
}

// CutOut loses the frames that this end sends.
func (f *Fake) CutOut() { f.peer.CutIn() }

// CutIn loses the frames that are sent to this end from now on. What is under
// way arrives.
func (f *Fake) CutIn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
}

// Restore ends every cut and every drop function, in both directions.
func (f *Fake) Restore() {
	for _, end := range []*Fake{f, f.peer} {
		end.mu.Lock()
		end.cut, end.drop = false, nil
		end.mu.Unlock()
	}
}

// DropIn asks drop about each frame sent to this end, numbered from 1 over the
// life of the pair, and loses those it returns true for. A nil drop loses
// none. It is called with a lock held and must not use the pair.
func (f *Fake) DropIn(drop func(n uint64, payload []byte) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop = drop
}

// Hold makes frames to this end wait for Deliver or Resume.
func (f *Fake) Hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = true
	f.ready = 0
}

// Deliver lets Run deliver at most n of the frames that wait, oldest first,
// and returns how many that are. It does not wait for Run.
func (f *Fake) Deliver(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, len(f.queue)-f.ready)
	f.release(f.ready + n)
	return n
}

// Waiting returns how many frames to this end are queued.
func (f *Fake) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue)
}

// Resume ends Hold and delivers what waits.
func (f *Fake) Resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = false
	f.release(len(f.queue))
}

// Inject delivers payload to this end as if the peer, or a stranger, had sent
// it. Cuts, drops and Hold apply.
func (f *Fake) Inject(payload []byte) { f.accept(payload) }

// SetError makes Send fail and the link count as down; nil ends that.
func (f *Fake) SetError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
	if err != nil {
		f.meter.Down(err)
		return
	}
	f.meter.Up()
}

// SetLines sets what Lines returns.
func (f *Fake) SetLines(state link.LineState, class link.CableClass) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.class = state, class
}

// Lines returns what SetLines has set; at first both are unknown.
func (f *Fake) Lines() (link.LineState, link.CableClass) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state, f.class
}

// Heard counts its calls; see [Fake.HeardCalls].
func (f *Fake) Heard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heards++
}

// HeardCalls returns how often Heard was called.
func (f *Fake) HeardCalls() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heards
}
