package agent

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// realtimePriority is low in the real-time range: above everything ordinary,
// below a kernel's own threaded interrupts (50 on PREEMPT_RT kernels), which
// carry our frames.
const realtimePriority = 10

// threadRounds bounds the search for threads that the runtime started while
// the others were being set.
const threadRounds = 8

// realtime gives every thread of this process SCHED_FIFO and keeps its pages
// in memory once touched. Threads that the runtime starts later inherit the
// policy (sched(7)). It returns what could not be had; the agent runs on
// without it, more slowly under load.
func realtime() error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realtimePriority}
	done := map[int]bool{}
	for range threadRounds {
		fresh := 0
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("set real-time priority: %w", err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || done[tid] {
				continue
			}
			if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && err != unix.ESRCH {
				return fmt.Errorf("set real-time priority: %w", err)
			}
			done[tid], fresh = true, fresh+1
		}
		if fresh == 0 {
			break
		}
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	return nil
}
