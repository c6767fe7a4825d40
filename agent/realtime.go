package agent

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/loop"
)

// niceness is the best an ordinary process can have (setpriority(2)): under the
// kernel's fair scheduler such a thread weighs 87 times a usual one and is put
// on as soon as it wakes.
//
// SCHED_FIFO was tried and given up. A thread of that class may spin in the Go
// runtime for one of a lower class that it keeps off the core itself; the box
// then stands still but for the 5 % that the kernel reserves (seen on two cores,
// for minutes). It also starves the kernel's own workers, which carry a tty's
// bytes.
const niceness = -20

// slice is how long a thread asks to run at a time (sched_setattr(2),
// sched_runtime of an ordinary thread, Linux 6.12). One that asks for little is
// put on within its slice, others once the running thread has had its own of
// some milliseconds.
const slice = 100 * time.Microsecond

// hurry gives every thread the highest ordinary priority: on a busy box a beat
// must not wait for its turn. The weight counts only among the threads of one
// session where the kernel groups threads by session (sched(7), autogroup), so
// the group gets it, too, if the session is the agent's own. Without the
// privilege it has no effect.
func hurry() {
	if sid, err := unix.Getsid(0); err == nil && sid == os.Getpid() {
		_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(niceness)), 0)
	}
	_ = eachThread(func(tid int) error {
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Nice: niceness, Runtime: uint64(slice)}
		if unix.SchedSetAttr(tid, &attr, 0) == nil {
			return nil
		}
		return unix.Setpriority(unix.PRIO_PROCESS, tid, niceness) // an old kernel
	})
}

// The agent under a lack of memory: the kernel kills it last, so that a greedy
// service goes first (programs that it starts get an ordinary score), and Go
// collects garbage more often before it takes more than memoryMost in all.
const (
	oomScore   = "-900"
	memoryMost = 96 << 20 // bytes; GOMEMLIMIT in the environment goes before
)

// beFrugal sets both. Without the privilege the score stays as it is.
func beFrugal() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryMost)
	}
}

// realtime keeps the process's pages in memory once touched, so that a beat does
// not wait for a slow flash, and says so where that, or the priority, cannot be
// had.
func (a *agent) realtime() {
	err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	if err != nil {
		err = fmt.Errorf("lock memory: %w", err)
	} else if n, e := unix.Getpriority(unix.PRIO_PROCESS, 0); e != nil || 20-n != niceness {
		err = fmt.Errorf("priority is nice %d instead of %d", 20-n, niceness)
	}
	if err != nil {
		a.loop.Tell(loop.AlarmChanged{Name: "realtime", On: true, Text: "a busy machine may beat late: " + err.Error()})
	}
}

// threadRounds bounds the search for threads that the runtime started while
// the others were being set.
const threadRounds = 8

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
