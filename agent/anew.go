package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/service"
)

// A Program is what lies where this process was started from: after an upgrade
// another one. ThisProgram comes before anything changes the environment.
type Program struct {
	path   string // as it was called: a link may lead to another file after an upgrade
	check  []string
	env    []string
	became time.Duration
	asked  os.FileInfo // the file that accepted
	err    error       // why it is not known
}

// becameAt in the environment tells a process that it was another agent until then,
// in nanoseconds of CLOCK_MONOTONIC.
const becameAt = "TWINBEAT_BECAME"

// ThisProgram returns the program of this process, which runs with this configuration;
// node may be empty.
func ThisProgram(config, node string) *Program {
	p := &Program{}
	ns, _ := strconv.ParseInt(os.Getenv(becameAt), 10, 64)
	p.became = time.Duration(ns)
	_ = os.Unsetenv(becameAt) // a name without "=" cannot fail
	p.env = os.Environ()
	if p.path, p.err = ownPath(); p.err != nil {
		return p
	}
	if config, p.err = filepath.Abs(config); p.err != nil {
		return p
	}
	p.check = []string{p.path, "check", "--config", config}
	if node != "" {
		p.check = append(p.check, "--node", node)
	}
	return p
}

// ownPath returns the name by which this program was called if it leads here, else
// where it lies.
func ownPath() (string, error) {
	called := os.Args[0]
	there, err := os.Stat(called)
	here, err2 := os.Stat("/proc/self/exe")
	if strings.ContainsRune(called, filepath.Separator) && err == nil && err2 == nil && os.SameFile(there, here) {
		return filepath.Abs(called)
	}
	return os.Executable()
}

// Became returns when this process was another agent until, on the monotonic clock;
// zero if an init started it.
func (p *Program) Became() time.Duration { return p.became }

// acceptMost bounds the new program's check of the configuration.
const acceptMost = time.Minute

// Accepts runs the check of the program that lies there now. It returns nil if that one
// runs here and takes the configuration. It also brings the file into memory, which a
// flash may need long for.
func (p *Program) Accepts(ctx context.Context) (err error) {
	if p.err != nil {
		return fmt.Errorf("find own program: %w", p.err)
	}
	if p.asked, err = os.Stat(p.path); err != nil {
		return err
	}
	defer twoProcessors()() // the disk is busy, and may hold the fork
	r, err := service.Command{Argv: p.check, Env: p.env, Timeout: acceptMost, Sweep: true}.Run(ctx)
	switch {
	case err != nil:
		return err
	case r.Code != 0:
		return fmt.Errorf("%s: exit code %d: %s", strings.Join(p.check, " "), r.Code, r.Output())
	}
	return nil
}

// Same reports whether the program is still the one that accepted.
func (p *Program) Same() bool {
	now, err := os.Stat(p.path)
	return err == nil && os.SameFile(now, p.asked) && now.ModTime().Equal(p.asked.ModTime()) && now.Size() == p.asked.Size()
}

// forkPatience bounds the wait for a fork under way: its child holds every descriptor
// until it has become another program, locks among them.
const forkPatience = 100 * time.Millisecond

// Become puts the program that lies there now into this process, which keeps its
// number, its priority and its three standard descriptors, and loses all else
// (execve(2)) but the packet sockets: to close one the kernel waits until no core can
// see it any more, tens of milliseconds on a busy box while a lease is running out.
// It returns only if it could not.
func (p *Program) Become() error {
	inheritance.Lock()
	for begin := time.Now(); !syscall.ForkLock.TryLock() && time.Since(begin) < forkPatience; {
		time.Sleep(time.Millisecond)
	}
	service.CloseOnExec()
	eachDescriptor(func(fd int) {
		if isPacketSocket(fd) {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		}
		_ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCOFLUSH) // to close a tty the kernel waits until it is empty
	})
	now, _ := clock(unix.CLOCK_MONOTONIC)
	env := append(slices.Clone(p.env), fmt.Sprintf("%s=%d", becameAt, now))
	return fmt.Errorf("execute %s: %w", p.path, syscall.Exec(p.path, os.Args, env))
}

// inheritance keeps sockets from being closed while others are made to stay.
var inheritance sync.Mutex

// inherit takes what the agent before has left to this process. It comes before the
// first child and the first socket of this one.
func (a *agent) inherit() {
	if a.opts.Became == 0 {
		return
	}
	eachDescriptor(func(fd int) {
		if isPacketSocket(fd) {
			unix.CloseOnExec(fd)
			a.inherited = append(a.inherited, fd)
		}
	})
	for _, pid := range children("/proc", os.Getpid()) {
		go reap(pid)
	}
}

// reap waits for a child of the agent before: nobody else does, and a dead service
// that nobody has waited for looks alive.
func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// settleIn is when a new agent has its leases renewed, or lost.
const settleIn = 5 * time.Second

// closeInherited closes the sockets of the agent before, once there is time.
func (a *agent) closeInherited(ctx context.Context) {
	now, _ := clock(unix.CLOCK_MONOTONIC)
	a.log.Info("in place of the agent before", "after", now-a.opts.Became)
	select {
	case <-ctx.Done():
	case <-time.After(settleIn):
		inheritance.Lock()
		defer inheritance.Unlock()
		for _, fd := range a.inherited {
			_ = unix.Close(fd)
		}
	}
}

// makeRoom serves an end for another agent.
func (a *agent) makeRoom(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case done := <-a.opts.Settle:
			go func() {
				a.settleDisk()
				close(done)
			}()
		case done := <-a.opts.Yield:
			a.hands.endBounces()
			said := make(chan struct{})
			a.insist(loop.Yield{Done: said})
			go func() { // a thread that waits for the disk would hold the exec
				<-said
				a.memory.settle(ctx)
				close(done)
			}()
		}
	}
}

// settleDisk waits until the journal's file system has nothing to write: an upgrade
// has just written a lot, and behind that the last words of this agent, and the first
// of the next one, would wait with a lease running out. A dead disk holds it for ever.
func (a *agent) settleDisk() {
	d, err := os.Open(a.cfg.StateDir)
	if err != nil {
		return // the journal says so
	}
	defer d.Close()
	_ = unix.Syncfs(int(d.Fd()))
}

// children lists those of a process, dead ones too (proc(5)): each thread's in
// /proc/PID/task/TID/children, or /proc/PID/stat of every process where the kernel has
// no such file (CONFIG_PROC_CHILDREN).
func children(proc string, of int) (pids []int) {
	self := strconv.Itoa(of)
	if lists, _ := filepath.Glob(filepath.Join(proc, self, "task", "*", "children")); len(lists) > 0 {
		for _, list := range lists {
			text, _ := os.ReadFile(list) // of a thread that has ended, say
			for _, f := range strings.Fields(string(text)) {
				pids = appendPid(pids, f)
			}
		}
		return pids
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		stat, _ := os.ReadFile(filepath.Join(proc, e.Name(), "stat"))
		after := stat[bytes.LastIndexByte(stat, ')')+1:] // a name may hold anything
		if f := strings.Fields(string(after)); len(f) > 1 && f[1] == self {
			pids = appendPid(pids, e.Name())
		}
	}
	return pids
}

func appendPid(pids []int, text string) []int {
	if pid, err := strconv.Atoi(text); err == nil {
		pids = append(pids, pid)
	}
	return pids
}

func isPacketSocket(fd int) bool {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && family == unix.AF_PACKET
}

// eachDescriptor calls do for every descriptor of the process but the standard ones.
func eachDescriptor(do func(fd int)) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			do(fd)
		}
	}
}
