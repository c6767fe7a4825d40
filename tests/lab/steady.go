package lab

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// proberPriority is above the agents': a client is another machine, and the
// agents of its peer do not keep it from asking. One question costs a few
// microseconds.
const proberPriority = 60

// steady gives the calling goroutine a thread of its own with realtime
// priority, if that is allowed. The thread ends with the goroutine.
func steady() {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: proberPriority}, 0)
}

// nap sleeps by the kernel's timer and not by the Go scheduler's, whose other
// threads have no realtime priority.
func nap(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, nil)
}
