package lab

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// steady gives the calling goroutine a thread of its own that goes before
// others, if that is allowed: a client is another machine, which the agents of
// this one do not hold up. One question costs a few microseconds.
//
// It is the nice value and not a realtime class, on purpose: a thread of the Go
// runtime that spins at a realtime priority for another one without starves it,
// and with it the machine.
func steady() {
	runtime.LockOSThread() // the thread ends with the goroutine
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
}

// nap sleeps by the kernel's timer and not by the Go scheduler's, whose other
// threads do not go before others.
func nap(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, nil)
}
