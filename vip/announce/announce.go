// Package announce tells the neighbours who has the addresses now, asks whether
// someone else has them, and hears if someone else claims them; it refuses to
// speak for an address once its owner callback says no. Start reading at
// Announcer.Announce.
package announce

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

const (
	// Frames between two looks at the owner callback and the hardware address.
	// At line rate a batch takes well under a millisecond.
	maxBatch = 64
	// Within the allowance a batch goes out every so often, which spreads 1,000
	// addresses over 16 ms: a receiver's queue takes 1,000 frames by default
	// (net.core.netdev_max_backlog) and shares them with the traffic. A switch
	// that limits broadcasts counts over 200 ms or more: to it, this is 1,000
	// frames, and all that follows keeps the pace.
	burstGap = time.Millisecond
	// On a busy machine a batch is late, and those after it catch up, by so much
	// at most: 576 frames may then leave at once.
	burstLate = 8 * time.Millisecond
	// The allowance: so many frames may go ahead of the pace.
	burst = 1024
	// A full device queue is tried again after retryGap, so often.
	maxRetries = 5
	retryGap   = 2 * time.Millisecond
	// Pace where the plan has none, in frames a second.
	defaultPace = 4000
	maxErrors   = 8 // that one call collects
)

// ErrNotOwner ends an announcement whose owner callback said no.
var ErrNotOwner = errors.New("this node does not own the addresses any more")

// A Plan says how often and how fast to announce.
type Plan struct {
	Count   int           // rounds; each sends both ARP forms, or one advertisement, for each address
	Spacing time.Duration // from the start of a round to the start of the next, at least
	Pace    int           // frames a second, at most; 0: 4,000
	Burst   int           // frames that may go ahead of the pace; 0: 1,024; negative: none, for slow refreshes
	Owner   func() bool   // asked before every batch of at most 64 frames; nil: always
}

// An Announcer holds the sending socket, so that the first frame of a takeover
// waits for nothing. Its methods may be called from any goroutine.
type Announcer struct {
	fd      int
	closing sync.WaitGroup // sockets that are being closed

	mu     sync.Mutex
	joined map[membership]bool // by fd
}

// New opens the sending socket in the network namespace of the calling thread.
func New() (*Announcer, error) {
	fd, err := sender()
	if err != nil {
		return nil, err
	}
	return &Announcer{fd: fd, joined: map[membership]bool{}}, nil
}

// Close closes the sending socket. No other method may be running.
func (a *Announcer) Close() error {
	a.closing.Wait()
	return unix.Close(a.fd)
}

// Announce tells the neighbours that the addresses are at this node's hardware
// addresses now: for IPv4 by gratuitous ARP in request form and in reply form,
// for IPv6 by unsolicited neighbour advertisement. The first round sends one
// frame for every address before the second form of any. It returns when all
// rounds are done, ctx has ended, or the plan's owner callback said no, which
// is ErrNotOwner. Devices that are down are tried again in the next round;
// their last errors are returned. Loopback and point-to-point devices have
// nobody to tell and are passed over.
//
// A slow refresh is one more call with a Count of 1.
func (a *Announcer) Announce(ctx context.Context, addrs []vip.Address, plan Plan) error {
	if plan.Owner == nil {
		plan.Owner = func() bool { return true }
	}
	b := newBucket(plan)
	passes := passesOf(addrs)
	var last error
	for round := range plan.Count {
		start := time.Now()
		last = nil
		for _, jobs := range passes {
			err := a.pass(ctx, jobs, b, plan.Owner)
			if errors.Is(err, ErrNotOwner) {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			last = errors.Join(last, err)
		}
		if round == plan.Count-1 {
			break
		}
		if err := sleep(ctx, plan.Spacing-time.Since(start)); err != nil {
			return err
		}
	}
	return last
}

// A job is one frame to be: an address and, for ARP, the form.
type job struct {
	ip     netip.Addr
	device string
	op     uint16
}

// passesOf orders a round: first one frame for every address, then the second
// form of those that have one.
func passesOf(addrs []vip.Address) [2][]job {
	var passes [2][]job
	for _, addr := range addrs {
		j := job{ip: addr.Prefix.Addr(), device: addr.Device}
		if j.ip.Is6() {
			passes[0] = append(passes[0], j)
			continue
		}
		j.op = arpRequest
		passes[0] = append(passes[0], j)
		j.op = arpReply
		passes[1] = append(passes[1], j)
	}
	return passes
}

// pass sends the jobs in batches, each of one device.
func (a *Announcer) pass(ctx context.Context, jobs []job, b *bucket, owner func() bool) error {
	var errs []error
	bad := map[string]bool{} // devices that failed in this pass
	for from := 0; from < len(jobs); {
		to := from + 1
		for to < len(jobs) && to-from < maxBatch && jobs[to].device == jobs[from].device {
			to++
		}
		batch := jobs[from:to]
		from = to
		if bad[batch[0].device] {
			continue
		}
		if err := b.wait(ctx, len(batch)); err != nil {
			return err
		}
		err := a.batch(ctx, batch, owner)
		switch {
		case err == nil, errors.Is(err, errNoEthernet):
		case errors.Is(err, ErrNotOwner) || ctx.Err() != nil:
			return err
		default:
			bad[batch[0].device] = true
			if len(errs) < maxErrors {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// batch sends one batch. The owner is asked last, right before the frames go.
func (a *Announcer) batch(ctx context.Context, jobs []job, owner func() bool) error {
	p, err := lookup(a.fd, jobs[0].device)
	if err != nil {
		return err
	}
	router := jobs[0].ip.Is6() || jobs[len(jobs)-1].ip.Is6()
	router = router && forwards(p.name)
	if !owner() {
		return ErrNotOwner
	}
	var buffer [naLength]byte
	for _, j := range jobs {
		frame := j.frame(buffer[:0], p.mac, router)
		if err := a.sendRetrying(ctx, p, frame, owner); err != nil {
			return fmt.Errorf("announce %s on %s: %w", j.ip, p.name, err)
		}
	}
	return nil
}

func (j job) frame(b []byte, src MAC, router bool) []byte {
	if j.ip.Is6() {
		return appendAdvertisement(b, src, j.ip, router)
	}
	return appendGratuitousARP(b, src, j.ip, j.op)
}

// sendRetrying waits out a full device queue. Time passes then, so that the
// owner is asked again.
func (a *Announcer) sendRetrying(ctx context.Context, p port, frame []byte, owner func() bool) error {
	for range maxRetries {
		err := send(a.fd, p, frame)
		if !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if err := sleep(ctx, retryGap); err != nil {
			return err
		}
		if !owner() {
			return ErrNotOwner
		}
	}
	return unix.ENOBUFS
}

// A bucket keeps the pace of one announcement.
type bucket struct {
	pace, depth float64
	tokens      float64 // frames that may go now
	filled      time.Time
	due         time.Time // of the next batch within the allowance; zero: nothing was sent yet
}

func newBucket(plan Plan) *bucket {
	b := &bucket{pace: float64(plan.Pace), depth: float64(plan.Burst), filled: time.Now()}
	if plan.Pace <= 0 {
		b.pace = defaultPace
	}
	switch {
	case plan.Burst == 0:
		b.depth = burst
	case plan.Burst < 0:
		b.depth = 0
	}
	b.tokens = b.depth
	return b
}

// wait takes n frames out of the bucket, which fills at the pace, and waits
// until they are there. A large burst is spread a little even while there are
// enough. The first batch never waits.
func (b *bucket) wait(ctx context.Context, n int) error {
	now := time.Now()
	b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*b.pace, b.depth)
	b.filled = now
	pause := time.Duration(-b.tokens / b.pace * float64(time.Second)) // until what went before is paid
	b.tokens -= float64(n)
	if b.due.IsZero() {
		b.due, pause = now, 0
	}
	pause = max(pause, b.due.Sub(now))
	b.due = later(b.due, now.Add(max(pause, 0)-burstLate)).Add(burstGap * time.Duration(n) / maxBatch)
	return sleep(ctx, pause)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
