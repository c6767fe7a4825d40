package gate

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	selfTestLease  = 10 // ticks
	selfTestWindow = 3  // ticks
	selfTestRuns   = 3  // expiries measured
	// settle is how long the loopback may take to deliver a datagram that passes.
	settle = 5 * time.Millisecond
	// certain is how many lost datagrams in a row make an expiry: on a busy
	// machine one may only be late.
	certain = 3
	// selfTestTries is how often the test begins anew when this process was
	// too slow for its own short leases. What is unsafe is never tried twice.
	selfTestTries = 3
)

// A Result is what SelfTest found.
type Result struct {
	Info
	Tick     time.Duration // kernel tick
	Lease    time.Duration // lease the test used
	Shortest time.Duration // shortest and longest time from the last renewal to darkness, as measured
	Longest  time.Duration
	// Excess is how much later than its nominal end the worst lease ended; not
	// positive on a sound kernel, apart from the lateness of a tick. The
	// reserve of the configuration must cover it.
	Excess time.Duration
	Took   time.Duration
}

// SelfTest tries the real mechanism in a scratch table on the loopback device,
// with an address of 127.0.0.0/8 for a VIP and UDP for its traffic: closed at
// first, grant without a turn refused, grant, renewal, expiry without any
// action, stale renewal refused, renewal with an expired turn refused, close.
// It takes some 50 kernel ticks and leaves nothing behind. An error means that
// leases do not work here and must not be relied upon.
func SelfTest(ctx context.Context) (Result, error) {
	started := time.Now()
	t, err := newSelfTest(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("self-test: %w", err)
	}
	defer t.end()
	err = t.tries(t.run)
	t.result.Took = time.Since(started)
	if err != nil {
		return t.result, fmt.Errorf("self-test: %w", err)
	}
	return t.result, nil
}

// tries runs the test, anew where this process was too slow for it.
func (t *selfTest) tries(run func() error) (err error) {
	for range selfTestTries {
		if err = run(); !errors.Is(err, ErrRefused) && !errors.Is(err, errLost) {
			break
		}
		if closing := t.gate.Close(0); closing != nil {
			return closing
		}
		// The failed try's turn must be over: the next one asks for a grant
		// without any.
		time.Sleep((selfTestWindow + 2) * t.result.Tick)
	}
	return err
}

var errLost = errors.New("a packet did not pass an open gate")

type selfTest struct {
	ctx    context.Context
	gate   *Gate
	fd     int // UDP socket on the virtual address, connected to itself
	result Result
}

func newSelfTest(ctx context.Context) (*selfTest, error) {
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	// Odd last byte: never the network or broadcast address.
	vip := netip.AddrFrom4([4]byte{127, random[0] | 1, random[1], random[2] | 1})
	tick := Tick()
	t := &selfTest{ctx: ctx, fd: -1, result: Result{Tick: tick, Lease: selfTestLease * tick}}
	var err error
	t.gate, err = Open(Config{
		Table:  "twinbeat-test-" + hex.EncodeToString(random[:]),
		Window: selfTestWindow * tick,
		Groups: []Group{{ID: 0, VIPs: []netip.Addr{vip}, Devices: []string{"lo"}, Lease: t.result.Lease}},
	})
	if err != nil {
		return nil, err
	}
	t.result.Info = t.gate.Info()
	if t.fd, err = openSelf(vip); err != nil {
		t.end()
		return nil, fmt.Errorf("open socket: %w", err)
	}
	return t, nil
}

func openSelf(vip netip.Addr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Addr: vip.As4()})
	if err == nil {
		var name unix.Sockaddr
		if name, err = unix.Getsockname(fd); err == nil {
			err = unix.Connect(fd, name)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (t *selfTest) end() {
	if t.fd >= 0 {
		_ = unix.Close(t.fd)
	}
	if t.gate.Remove() != nil {
		t.gate.Detach()
	}
}

func (t *selfTest) run() error {
	steps := []struct {
		name string
		do   func() error
	}{
		{"closed at first", func() error { return t.want(false) }},
		{"grant without a turn", func() error { return t.refused(t.gate.Grant(0)) }},
		{"grant, renewal and expiry", t.expiries},
		{"stale renewal", func() error { return t.refused(errors.Join(t.gate.Turn(), t.gate.Renew(0))) }},
		{"renewal with an expired turn", t.lateRenewal},
		{"close", t.close},
	}
	for _, s := range steps {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// passes sends one datagram to the virtual address and tells whether it came
// back. wait is how long a lost one is waited for.
func (t *selfTest) passes(wait time.Duration) (bool, error) {
	sent := binary.NativeEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
	if _, err := unix.Write(t.fd, sent); err != nil && err != unix.ENOBUFS && err != unix.EPERM {
		return false, err
	}
	var got [16]byte
	for begin := time.Now(); ; {
		n, err := unix.Read(t.fd, got[:])
		switch {
		case err == nil && string(got[:n]) == string(sent):
			return true, nil
		case err == nil || err == unix.EINTR: // an older datagram
		case err != unix.EAGAIN:
			return false, err
		case time.Since(begin) >= wait:
			return false, nil
		default:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}, 1)
		}
	}
}

func (t *selfTest) want(open bool) error {
	wait := settle
	if open {
		wait = t.result.Lease // so long it may be late
	}
	passes, err := t.passes(wait)
	switch {
	case err != nil:
		return err
	case passes && !open:
		return errors.New("a packet passed a closed gate")
	case !passes && open:
		return errLost
	}
	return nil
}

// refused checks that the last operation did not open the gate, and that the
// kernel said so if it can.
func (t *selfTest) refused(err error) error {
	if t.gate.features.control && !errors.Is(err, ErrRefused) {
		// The answer is the fate of a datagram, and one may be lost for want of
		// memory; the kernel's own table cannot be wrong.
		held, left, e := t.gate.Held(0)
		if err != nil || e != nil || held {
			return fmt.Errorf("was not refused (%v); in the kernel %v, for %s (%v)", err, held, left, e)
		}
	}
	return t.want(false)
}

// expiries grants, renews past the end of the grant and measures how long the
// last renewal lasts.
func (t *selfTest) expiries() error {
	for i := range selfTestRuns {
		if err := errors.Join(t.gate.Turn(), t.gate.Grant(0)); err != nil {
			return err
		}
		renewed := time.Now()
		for range 2 * (1 - min(i, 1)) { // the first run only: the others save time
			time.Sleep(t.result.Lease * 6 / 10)
			if err := errors.Join(t.gate.Turn(), t.gate.Renew(0)); err != nil {
				return err
			}
			renewed = time.Now()
		}
		if err := t.want(true); err != nil {
			return err
		}
		if err := t.expiry(renewed); err != nil {
			return err
		}
	}
	t.result.Excess = t.result.Longest - t.result.Lease
	if t.result.Excess > t.result.Tick {
		return fmt.Errorf("a lease of %v lasted %v", t.result.Lease, t.result.Longest)
	}
	return nil
}

func (t *selfTest) expiry(renewed time.Time) error {
	lit := renewed
	for lost := 0; lost < certain; {
		asked := time.Now()
		passes, err := t.passes(t.result.Tick / 8)
		if err != nil {
			return err
		}
		lost++
		if passes {
			lit, lost = asked, 0
		}
		if asked.Sub(renewed) > 4*t.result.Lease {
			return fmt.Errorf("a lease of %v did not end in %v", t.result.Lease, asked.Sub(renewed))
		}
		time.Sleep(t.result.Tick / 32)
	}
	lasted := lit.Sub(renewed)
	if t.result.Shortest == 0 || lasted < t.result.Shortest {
		t.result.Shortest = lasted
	}
	t.result.Longest = max(t.result.Longest, lasted)
	return nil
}

func (t *selfTest) lateRenewal() error {
	if err := errors.Join(t.gate.Turn(), t.gate.Grant(0)); err != nil {
		return err
	}
	granted := time.Now()
	time.Sleep((selfTestWindow + 1) * t.result.Tick)
	if err := t.gate.Renew(0); t.gate.features.control && !errors.Is(err, ErrRefused) {
		return fmt.Errorf("was not refused (%v)", err)
	}
	time.Sleep(time.Until(granted.Add(t.result.Lease + t.result.Tick)))
	return t.want(false)
}

func (t *selfTest) close() error {
	if err := errors.Join(t.gate.Turn(), t.gate.Grant(0)); err != nil {
		return err
	}
	if err := t.want(true); err != nil {
		return err
	}
	if err := t.gate.Close(0); err != nil {
		return err
	}
	return t.want(false)
}
