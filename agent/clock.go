package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
	"github.com/twinbeat/twinbeat/agent/pair"
)

// oneProcessor lets one thread at a time run Go code, unless the environment
// says otherwise. With more, Go wakes a second thread for each frame to look
// for work that is not there, and its monitor spins for a millisecond each time
// a thread waits in the kernel: four times the sleeps and wakeups. Threads that
// wait in the kernel, as lanes do, are not counted.
func oneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// twoProcessors lets others compute beside the loop instead of in its place, until
// the function that it returns is called: Go alone would take the one processor from
// whoever computes only every 10 ms, which is two beats of profile fast, and from
// whoever forks not before the child has become another program. Where the environment
// chose another number it stays.
func twoProcessors() func() {
	if runtime.GOMAXPROCS(0) != 1 {
		return func() {}
	}
	runtime.GOMAXPROCS(2)
	return func() { runtime.GOMAXPROCS(1) }
}

// epoch makes the instant zero lie before every reading: zero means never.
var epoch = time.Now().Add(-time.Hour)

// monotonic reads CLOCK_MONOTONIC.
func monotonic() pair.Instant { return pair.Instant(time.Since(epoch)) }

// suspended returns how long the machine was suspended since it booted:
// CLOCK_BOOTTIME counts it, CLOCK_MONOTONIC does not (clock_gettime(2)).
func suspended() time.Duration {
	boot, ok := clock(unix.CLOCK_BOOTTIME)
	mono, ok2 := clock(unix.CLOCK_MONOTONIC)
	if !ok || !ok2 {
		return 0
	}
	return boot - mono
}

// clock reads a clock without telling Go's scheduler, which would wake its
// monitor thread at each beat for it.
func clock(id uintptr) (time.Duration, bool) {
	var t unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano()), errno == 0
}

// timer is the loop's.
type timer struct {
	*link.Timer
	c  chan time.Time
	at atomic.Int64 // when it goes off, on the monotonic clock; zero if it has, or was never set
}

func newTimer() (*timer, error) {
	t, err := link.NewTimer()
	return &timer{Timer: t, c: make(chan time.Time, 1)}, err
}

// Expired delivers when the timer went off.
func (t *timer) Expired() <-chan time.Time { return t.c }

// sameTime is how far two expiries may be apart to be one: most turns change
// nothing, and a call saved is a tenth of a turn.
const sameTime = 20 * time.Microsecond

// Reset makes it go off once after d. A timer that cannot be set would end the
// heartbeats without a word.
func (t *timer) Reset(d time.Duration) {
	at := int64(monotonic().Add(d))
	if old := t.at.Load(); old != 0 && time.Duration(at-old).Abs() < sameTime {
		return
	}
	t.at.Store(at)
	if err := t.Set(d); err != nil {
		panic("agent: " + err.Error())
	}
}

// run hands expiries to the loop until ctx ends.
func (t *timer) run(ctx context.Context) {
	defer context.AfterFunc(ctx, t.Close)()
	for t.Wait() == nil {
		t.at.Store(0)
		select {
		case t.c <- time.Time{}:
		default:
		}
	}
}

// awaitRandom waits until the kernel has random numbers, without which no session
// is safe, and says so where it takes time: early in the boot of a box that has
// neither a generator in hardware nor a seed.
func awaitRandom(log *slog.Logger) {
	var b [1]byte
	if _, err := unix.Getrandom(b[:], unix.GRND_NONBLOCK); errors.Is(err, unix.EAGAIN) {
		log.Warn("waiting for the kernel's random numbers", "hint", "a seed kept over reboots, or a hardware generator, ends this wait")
		rand.Read(b[:])
	}
}

// nonce returns fresh randomness for a handshake.
func nonce() (n [16]byte) {
	rand.Read(n[:]) // never fails since Go 1.24; it aborts the process instead
	return n
}
