package service

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Every command is run by a launcher: this very program, started again under
// the name below. It puts itself in order and becomes the command by exec.
// Three reasons, each met in practice:
//
//   - Scheduling class, OOM score, umask and descriptors must be right before
//     the command's first instruction: whatever the parent repairs after the
//     fork comes too late for a script that forks at once. The serial library
//     opens its tty without O_CLOEXEC, for one; a daemon that inherits it
//     keeps the modem lines up when this node dies.
//   - Go forks with vfork and holds a P until the exec is done. An exec that
//     must first read its file from slow flash or a dead disk would stall the
//     heartbeat with it; this program's own pages are in memory.
//   - With SCHED_FIFO a slow start-up would run at the agent's priority.
const launchName = "twinbeat:launch"

// launchFD is where the launcher reports that it could not become the command.
const launchFD = 3

// lowestRealtime is the priority of the launcher until it leaves the real-time
// class: before all ordinary work, so that the fork is short on a busy box,
// and behind the agent's threads.
const lowestRealtime = 1

// init, and not a call in main, because it must come before any flag is
// parsed and must work in test binaries, too.
func init() {
	if len(os.Args) >= 3 && os.Args[0] == launchName {
		launch(os.Args[1], os.Args[2:])
	}
}

// launch becomes the command; it does not return.
func launch(path string, argv []string) {
	runtime.LockOSThread() // the thread that execs is the one whose attributes stay
	ordinary()
	syscall.Umask(0o022)
	CloseOnExec()
	err := syscall.Exec(path, argv, os.Environ())
	errno, ok := err.(syscall.Errno)
	if !ok {
		errno = syscall.EINVAL
	}
	_, _ = unix.Write(launchFD, []byte(strconv.Itoa(int(errno))))
	os.Exit(127)
}

// ordinary gives this thread the scheduling and the OOM score of an ordinary
// process. Errors are left: a command that runs at a wrong priority is better
// than one that does not run.
func ordinary() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	const adj = "/proc/self/oom_score_adj"
	if b, err := os.ReadFile(adj); err == nil && strings.HasPrefix(string(b), "-") {
		_ = os.WriteFile(adj, []byte("0"), 0)
	}
}

// CloseOnExec marks every descriptor but 0, 1 and 2: what this process becomes does
// not inherit it.
func CloseOnExec() {
	if unix.CloseRange(launchFD, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	// Linux before 5.11.
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		unix.CloseOnExec(launchFD)
		return
	}
	for _, e := range dir {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= launchFD {
			unix.CloseOnExec(fd)
		}
	}
}

// spawn starts the launcher. A thread of a real-time class goes down to its
// lowest priority around the fork, which the launcher inherits.
func spawn(path string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	type answer struct {
		proc *os.Process
		err  error
	}
	done := make(chan answer, 1)
	go func() { // of its own: a thread that cannot be restored ends with its goroutine
		runtime.LockOSThread() // also keeps the runtime from cloning threads off this one
		old, lowered := lowerRealtime()
		args := append([]string{launchName, path}, argv...)
		proc, err := os.StartProcess("/proc/self/exe", args, attr)
		if err != nil {
			err = fmt.Errorf("start launcher: %w", err)
		}
		if !lowered || unix.SchedSetAttr(0, old, 0) == nil {
			runtime.UnlockOSThread()
		}
		done <- answer{proc, err}
	}()
	a := <-done
	return a.proc, a.err
}

func lowerRealtime() (old *unix.SchedAttr, lowered bool) {
	old, err := unix.SchedGetAttr(0, 0)
	if err != nil || (old.Policy != unix.SCHED_FIFO && old.Policy != unix.SCHED_RR) || old.Priority <= lowestRealtime {
		return old, false
	}
	low := *old
	low.Priority = lowestRealtime
	return old, unix.SchedSetAttr(0, &low, 0) == nil
}
