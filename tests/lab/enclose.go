package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inside is set in the environment of a process that already runs in
// namespaces of its own.
const inside = "TWINBEAT_LAB_INSIDE"

// The stages of an enclosed program, as the value of the variable inside.
const (
	stageInit = "init" // first process of the process namespace
	stageMain = "main"
)

// noProc is the exit code of the first process when it may not mount a /proc
// of its own, as in some containers.
const noProc = 97

// orphanPoll is how often the outer process looks whether its parent is gone.
const orphanPoll = 500 * time.Millisecond

// Enclose makes sure that this process runs in network, mount and process
// namespaces of its own, as their root: it starts the program again in new ones
// and returns the exit code for the outer process to leave with. In the inner
// process it returns inner true, and the caller goes on. A plain user gets them
// from a user namespace.
//
// When the inner program ends, by whatever, the kernel ends everything that it
// started, daemons of services included. Where a process namespace is refused
// there is none, and only what ends by itself does. Signals to the outer process,
// and the end of its parent, reach the inner one as SIGTERM.
//
// The inner process has TMPDIR set to dir, which is the caller's to remove.
func Enclose(dir string) (inner bool, code int, err error) {
	switch os.Getenv(inside) {
	case "":
	case stageInit:
		return false, first(), nil
	default:
		return true, 0, nil
	}
	os.Setenv("TMPDIR", dir)
	code, err = enclosed(stageInit, syscall.CLONE_NEWPID)
	if err == nil && code == noProc {
		code, err = enclosed(stageMain, 0)
	}
	return false, code, err
}

// maxTemp is the longest TMPDIR in which the agents' control sockets have a
// path that fits into 108 bytes (unix(7)), below a program's folder and the
// lab's own.
const maxTemp = 32

// Launch is what a program does outside: it makes a folder, named after the
// program, lets prepare build there what it needs, because there is no network
// inside, and runs the program again by [Enclose]. The folder goes with its
// end.
func Launch(name string, prepare func(dir string) error) (code int, err error) {
	parent := os.TempDir()
	if len(parent) > maxTemp {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "twinbeat-"+name+"-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		return 1, err
	}
	_, code, err = Enclose(dir)
	return code, err
}

// BuildAs is a prepare for Launch: it builds the program under test and tells
// the inner process by the environment where it is.
func BuildAs(variable string) func(dir string) error {
	return func(dir string) error {
		name, err := Build(dir)
		if err != nil {
			return err
		}
		return os.Setenv(variable, name)
	}
}

// Main is what a TestMain does whose tests need network devices of their own: it
// runs them in network and mount namespaces, so that every goroutine sees those
// and nothing of the machine can be touched, and ends the process. Where
// namespaces are refused it says so, and no test is run.
func Main(m interface{ Run() int }) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	code, err := enclosed(stageMain, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "SKIP: neither root nor allowed to make a network namespace:", err)
		code = 0
	}
	os.Exit(code)
}

// enclosed runs this program again in new namespaces and waits for its end.
func enclosed(stage string, more uintptr) (int, error) {
	exe, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("find own program: %w", err)
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | more,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread() // the death signal is of the thread that starts it
	defer runtime.UnlockOSThread()
	stop := passSignals(func() { _ = cmd.Process.Signal(syscall.SIGTERM) }, func() error {
		err = cmd.Start()
		return err
	})
	defer stop()
	if err != nil {
		return 1, fmt.Errorf("make namespaces (needs root or user namespaces): %w", err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// passSignals calls start and from then on end at each signal that asks the
// program to end, and when its parent is gone.
func passSignals(end func(), start func() error) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if start() != nil {
		return func() { signal.Stop(signals) }
	}
	parent, done := os.Getppid(), make(chan struct{})
	go func() {
		look := time.NewTicker(orphanPoll)
		defer look.Stop()
		for {
			select {
			case <-done:
				return
			case <-signals:
				end()
			case <-look.C: // go run does not pass a signal on when it dies of it
				if os.Getppid() != parent {
					end()
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// first is the first process of a process namespace: it starts the program
// proper, reaps what others leave behind, and ends with it.
func first() int {
	if err := ownProc(); err != nil {
		return noProc
	}
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "find own program:", err)
		return 1
	}
	if err := os.Setenv(inside, stageMain); err != nil {
		return 1
	}
	var child *os.Process
	stop := passSignals(func() { _ = unix.Kill(child.Pid, unix.SIGTERM) }, func() error {
		child, err = os.StartProcess(exe, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		return err
	})
	defer stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start again:", err)
		return 1
	}
	for { // ends with the child
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR || err == nil && pid != child.Pid:
		case err != nil:
			return 1
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// ownProc replaces /proc by that of the process namespace, seen by nobody
// outside.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}
