package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// inside is set in the environment of a process that already runs in
// namespaces of its own.
const inside = "TWINBEAT_LAB_INSIDE"

// Enter makes sure that this process runs in network and mount namespaces of
// its own, as their root: it starts the program again in new ones and returns
// the exit code for the outer process to leave with. In the inner process it
// returns inner true, and the caller goes on. A plain user gets them from a
// user namespace.
func Enter() (inner bool, code int, err error) {
	if os.Getenv(inside) != "" {
		return true, 0, nil
	}
	exe, err := os.Executable()
	if err != nil {
		return false, 1, fmt.Errorf("find own program: %w", err)
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	// The inner process decides what a signal means; the outer one waits.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return false, 1, fmt.Errorf("make namespaces (needs root or user namespaces): %w", err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return false, exit.ExitCode(), nil
	}
	return false, 0, err
}

// Main is what a TestMain does whose tests need network devices of their own: it
// runs them in namespaces that [Enter] makes, so that every goroutine sees those
// and nothing of the machine can be touched, and ends the process. Where
// namespaces are refused it says so, and no test is run.
func Main(m interface{ Run() int }) {
	inner, code, err := Enter()
	switch {
	case inner:
		code = m.Run()
	case err != nil:
		fmt.Fprintln(os.Stderr, "SKIP: neither root nor allowed to make a network namespace:", err)
		code = 0
	}
	os.Exit(code)
}
