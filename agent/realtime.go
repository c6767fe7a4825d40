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

// niceness is the best an ordinary process can have (setpriority(2)).
const niceness = -20

// hurry gives every thread the highest ordinary priority: on a busy box a beat
// must not wait for its turn. Without the privilege it has no effect.
func hurry() {
	_ = eachThread(func(tid int) error { return unix.Setpriority(unix.PRIO_PROCESS, tid, niceness) })
}

// threadRounds bounds the search for threads that the runtime started while
// the others were being set.
const threadRounds = 8

// realtime gives every thread of this process SCHED_FIFO and keeps its pages
// in memory once touched. Threads that the runtime starts later inherit the
// policy (sched(7)). It returns what could not be had; the agent runs on
// without it, more slowly under load.
func realtime() error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realtimePriority}
	err := eachThread(func(tid int) error { return unix.SchedSetAttr(tid, &attr, 0) })
	if err != nil {
		return fmt.Errorf("set real-time priority: %w", err)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w", err)
	}
	return nil
}

// eachThread calls set for every thread of the process, also for those that
// start meanwhile; later ones inherit from the thread that starts them.
func eachThread(set func(tid int) error) error {
	done := map[int]bool{}
	for range threadRounds {
		fresh := 0
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || done[tid] {
				continue
			}
			if err := set(tid); err != nil && err != unix.ESRCH {
				return err
			}
			done[tid], fresh = true, fresh+1
		}
		if fresh == 0 {
			break
		}
	}
	return nil
}
