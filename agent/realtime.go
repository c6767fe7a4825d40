package agent

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/loop"
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

// realtimeMost is the CPU time that a thread of real-time priority may use in
// one piece (RLIMIT_RTTIME, setrlimit(2)). A turn takes a thousandth of it; what
// uses it up is a fault, and must not take the box with it.
const realtimeMost = 500 * time.Millisecond

// realtime gives every thread of this process SCHED_FIFO and keeps its pages
// in memory once touched; threads that the runtime starts later inherit the
// policy (sched(7)). What cannot be had is an alarm, and the agent runs on
// without it. If a thread ever spins, the kernel says so by SIGXCPU and the
// priority is given up, until the next start. It returns when ctx ends.
func (a *agent) realtime(ctx context.Context) {
	spins := make(chan os.Signal, 1)
	signal.Notify(spins, unix.SIGXCPU)
	defer signal.Stop(spins)
	if err := takeRealtime(); err != nil {
		a.loop.Tell(loop.AlarmChanged{Name: "realtime", On: true, Text: "a busy machine may beat late: " + err.Error()})
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-spins:
	}
	normal := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: niceness}
	err := eachThread(func(tid int) error { return unix.SchedSetAttr(tid, &normal, 0) })
	a.loop.Tell(loop.AlarmChanged{
		Name: "realtime", On: true,
		Text: fmt.Sprintf("a thread used %s of CPU in one piece; real-time priority given up (%v)", realtimeMost, err),
	})
}

func takeRealtime() error {
	most := uint64(realtimeMost / time.Microsecond)
	// The hard limit ends the process: then the kernel lease runs out, and the
	// peer takes over.
	if err := unix.Setrlimit(unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: most, Max: 20 * most}); err != nil {
		return fmt.Errorf("limit real-time use: %w", err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realtimePriority}
	if err := eachThread(func(tid int) error { return unix.SchedSetAttr(tid, &attr, 0) }); err != nil {
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
