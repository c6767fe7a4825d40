package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// calls are the system calls that a hanging part of the kernel keeps, by the
// names of the harness.
var calls = map[string][]uint64{
	"read":  {unix.SYS_READ},
	"write": {unix.SYS_WRITE},
	"recv":  {unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG},
	"send":  {unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG},
}

// A hanger is the tracer of a process, of which it keeps some calls; see
// ptrace(2), PTRACE_SEIZE.
type hanger struct {
	pid   int
	pidfd int
	calls []uint64
	file  string        // see isFile
	fails syscall.Errno // 0: the call does not come back
	kept  map[int]bool  // threads in a call that is made to fail
	told  bool          // that it happened
}

// ptraceOptions: stops at system calls are told from signals, threads that are
// begun later are traced, too.
const ptraceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE

// hang lets every call that a process makes from now on, of one kind and on one
// kind of file, never come back, as a driver that hangs would; with an error
// number the call is not made and fails with it. It ends with the process.
func hang(pid, kind, file, fails string) error {
	runtime.LockOSThread() // a tracer is a thread
	number, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	errno, err := strconv.Atoi(fails)
	if err != nil {
		return err
	}
	h := &hanger{pid: number, calls: calls[kind], file: file, fails: syscall.Errno(errno), kept: map[int]bool{}}
	if h.calls == nil {
		return fmt.Errorf("hang: unknown kind of call %q", kind)
	}
	if h.pidfd, err = unix.PidfdOpen(h.pid, 0); err != nil {
		return fmt.Errorf("hang: open process %d: %w", h.pid, err)
	}
	if err := h.seize(); err != nil {
		return err
	}
	return h.follow()
}

// seize begins to trace every thread.
func (h *hanger) seize() error {
	seen := map[int]bool{}
	for more := true; more; {
		more = false
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", h.pid))
		if err != nil {
			return fmt.Errorf("hang: %w", err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || seen[tid] {
				continue
			}
			seen[tid], more = true, true
			// A thread that ends meanwhile, or was begun by a traced one, is no error.
			if e := ptrace(unix.PTRACE_SEIZE, tid, 0, ptraceOptions); e == 0 {
				ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0)
			} else if e != unix.ESRCH && e != unix.EPERM {
				return fmt.Errorf("hang: trace thread %d: %w", tid, e)
			}
		}
	}
	return nil
}

func ptrace(request, tid int, address, data uintptr) syscall.Errno {
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0)
	return e
}

// follow lets the threads go on from stop to stop until the process has ended.
func (h *hanger) follow() error {
	for {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("hang: %w", err)
		case ws.Stopped():
			h.stopped(tid, ws)
		}
	}
}

// syscallStop is the signal of a stop at a system call, PTRACE_O_TRACESYSGOOD.
const syscallStop = unix.SIGTRAP | 0x80

func (h *hanger) stopped(tid int, ws unix.WaitStatus) {
	sig := ws.StopSignal()
	event := int(ws>>16) & 0xff
	switch {
	case sig == syscallStop:
		if h.atCall(tid) {
			return // for ever
		}
		sig = 0
	case event == unix.PTRACE_EVENT_STOP && sig != unix.SIGTRAP: // stopped by a signal, and to stay so
		ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
		return
	case event != 0:
		sig = 0
	}
	ptrace(unix.PTRACE_SYSCALL, tid, 0, uintptr(sig))
}

// A callInfo is struct ptrace_syscall_info of linux/ptrace.h at the entry of a call.
type callInfo struct {
	op   uint8
	_    [3]uint8
	_    uint32    // architecture
	_    [2]uint64 // where in the program
	nr   uint64
	args [6]uint64
}

// PTRACE_SYSCALL_INFO_ENTRY of linux/ptrace.h.
const callEntry = 1

// atCall says whether a thread at a system call is to stay there for ever.
func (h *hanger) atCall(tid int) bool {
	if h.kept[tid] { // it comes back from the call that was not made
		delete(h.kept, tid)
		h.set(tid, func(r *unix.PtraceRegs) { r.Rax = uint64(-int64(h.fails)) })
		return false
	}
	var i callInfo
	if ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(i), uintptr(unsafe.Pointer(&i))) != 0 {
		return false
	}
	if i.op != callEntry || !slices.Contains(h.calls, i.nr) || !h.isFile(int(i.args[0])) {
		return false
	}
	if !h.told {
		h.told = true
		fmt.Println(talk.Kept)
	}
	if h.fails == 0 {
		return true
	}
	h.kept[tid] = true
	h.set(tid, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) })
	return false
}

func (h *hanger) set(tid int, change func(*unix.PtraceRegs)) {
	var r unix.PtraceRegs
	if unix.PtraceGetRegs(tid, &r) == nil {
		change(&r)
		say(unix.PtraceSetRegs(tid, &r))
	}
}

// isFile says whether a descriptor of the process is of the wanted kind: a path,
// "pipe", "udp", "packet", or "netlink:" and the number of a protocol of linux/netlink.h.
func (h *hanger) isFile(fd int) bool {
	name, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(h.pid), "fd", strconv.Itoa(fd)))
	if err != nil {
		return false
	}
	if !strings.HasPrefix(name, "socket:") {
		return name == h.file || strings.HasPrefix(name, h.file+":")
	}
	own, err := unix.PidfdGetfd(h.pidfd, fd, 0)
	if err != nil {
		return false
	}
	defer unix.Close(own)
	domain, _ := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_DOMAIN)
	protocol, _ := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	switch domain {
	case unix.AF_NETLINK:
		return h.file == "netlink:"+strconv.Itoa(protocol)
	case unix.AF_PACKET:
		return h.file == "packet"
	case unix.AF_INET, unix.AF_INET6:
		return h.file == "udp" && protocol == unix.IPPROTO_UDP
	}
	return false
}
