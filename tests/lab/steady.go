package lab

import (
	"os"
	"runtime"
	"strconv"
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
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: proberPriority}, 0)
}

// outsidePriority is below the probers' and above the agents'.
const outsidePriority = 55

// outsideEvery is how often new threads are looked for.
const outsideEvery = 100 * time.Millisecond

// StayOutside gives all threads of this process realtime priority until stop is
// called, if that is allowed: the null modem and the client are not processes
// on the boxes, and neither the agents nor a busy box may hold them up. What
// this process starts runs with ordinary priority.
func StayOutside() (stop func()) {
	done := make(chan struct{})
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: outsidePriority}
	go func() {
		look := time.NewTicker(outsideEvery)
		defer look.Stop()
		for {
			tasks, _ := os.ReadDir("/proc/self/task")
			for _, t := range tasks {
				tid, err := strconv.Atoi(t.Name())
				if err != nil {
					continue
				}
				if now, err := unix.SchedGetAttr(tid, 0); err == nil && now.Policy == unix.SCHED_NORMAL {
					_ = unix.SchedSetAttr(tid, &attr, 0)
				}
			}
			select {
			case <-done:
				return
			case <-look.C:
			}
		}
	}()
	return func() { close(done) }
}

// nap sleeps by the kernel's timer and not by the Go scheduler's, whose other
// threads have no realtime priority.
func nap(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, nil)
}
