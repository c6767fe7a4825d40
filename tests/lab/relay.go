package lab

import (
	"container/heap"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// relayMost bounds the frames that a relay holds at a time; beyond it a frame
// is lost, as in a full queue.
const relayMost = 4096

// A Weather is what happens to the frames of the heartbeat Ethernet.
type Weather struct {
	Loss      float64       // share of frames that are lost
	Duplicate float64       // share that come twice
	Delay     time.Duration // of every frame
	Jitter    time.Duration // up to so much more, so that frames overtake each other
	Seed      uint64        // of what is left to chance
}

// Disturb gives the heartbeat Ethernet a weather, in both directions, until
// the returned function is called. The switch's ports drop what comes in, and a
// relay that hears it all the same sends it on: many kernels have no netem.
func (l *Lab) Disturb(w Weather) (heal func() error, err error) {
	var undo []func() error
	heal = func() error {
		var errs []error
		for _, u := range undo {
			errs = append(errs, u())
		}
		return errors.Join(errs...)
	}
	names := [2]string{l.Nodes[0].Name, l.Nodes[1].Name}
	var taps [2]*Tap
	for i, name := range names {
		if taps[i], err = l.HA.Tap(name); err != nil {
			return nil, errors.Join(err, heal())
		}
		undo = append(undo, func() error { taps[i].Close(); return nil })
	}
	for _, name := range names {
		hear, err := l.Deafen(l.HA, name)
		if err != nil {
			return nil, errors.Join(err, heal())
		}
		undo = append([]func() error{hear}, undo...)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range taps {
		r := &relay{w: w, to: taps[1-i], rng: rand.New(rand.NewPCG(w.Seed, uint64(i))), stop: stop}
		r.more.L = &r.mu
		all.Go(func() { r.hear(taps[i]) })
		all.Go(r.send)
	}
	undo = append([]func() error{func() error {
		close(stop)
		all.Wait()
		return nil
	}}, undo...)
	return heal, nil
}

// A relay moves frames one way.
type relay struct {
	w    Weather
	to   *Tap
	rng  *rand.Rand
	stop chan struct{}

	mu    sync.Mutex
	more  sync.Cond
	queue flights
	ended bool
}

// A flight is a frame under way.
type flight struct {
	due   time.Time
	frame []byte
}

type flights []flight

func (q flights) Len() int           { return len(q) }
func (q flights) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q flights) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *flights) Push(x any)        { *q = append(*q, x.(flight)) }
func (q *flights) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

func (r *relay) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

func (r *relay) hear(from *Tap) {
	steady()
	buf := make([]byte, 2048)
	for !r.stopped() {
		n, a, err := unix.Recvfrom(from.fd, buf, 0)
		sll, ok := a.(*unix.SockaddrLinklayer)
		if err != nil || !ok || sll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		f := append([]byte(nil), buf[:n]...)
		if isUDP(f) {
			f[offUDP+6], f[offUDP+7] = 0, 0 // a virtual wire leaves the sum to its end
		}
		r.take(f)
	}
	r.mu.Lock()
	r.ended = true
	r.more.Broadcast()
	r.mu.Unlock()
}

func (r *relay) take(frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	copies := 1
	if r.rng.Float64() < r.w.Loss {
		copies = 0
	}
	if copies > 0 && r.rng.Float64() < r.w.Duplicate {
		copies = 2
	}
	for range copies {
		due := time.Now().Add(r.w.Delay)
		if r.w.Jitter > 0 {
			due = due.Add(time.Duration(r.rng.Int64N(int64(r.w.Jitter))))
		}
		if len(r.queue) < relayMost {
			heap.Push(&r.queue, flight{due, frame})
		}
	}
	r.more.Broadcast()
}

// relayNap is the longest that a frame may be late because an earlier one came
// in while the relay slept.
const relayNap = time.Millisecond

func (r *relay) send() {
	steady()
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.ended {
			r.more.Wait()
		}
		if r.ended {
			r.mu.Unlock()
			return
		}
		left := time.Until(r.queue[0].due)
		if left > 0 {
			r.mu.Unlock()
			nap(min(left, relayNap))
			continue
		}
		next := heap.Pop(&r.queue).(flight)
		r.mu.Unlock()
		_ = r.to.Send(next.frame) // what the wire does not take is lost
	}
}
