package lab

import (
	"os"
	"runtime"
	"strconv"
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

// StayOutside lets all threads of this process go before others: the client,
// the null modem and the switches are not on the boxes. Call it before there is
// much to do; later threads inherit it. What is started in a space does not.
func StayOutside() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, -20)
		}
	}
}

// ordinary undoes for a child what it inherited. It is one thread still.
func ordinary(pid int) { _ = unix.Setpriority(unix.PRIO_PROCESS, pid, 0) }

// nap sleeps by the kernel's timer and not by the Go scheduler's, whose other
// threads do not go before others.
func nap(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, nil)
}
