package watchdog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An OpenError says why a device could not be opened, and what to do about it.
type OpenError struct {
	Path   string
	Err    error
	Holder string // who has it open; empty: nobody that /proc shows
	Advice string
}

// Error names the device, the cause and the holder.
func (e *OpenError) Error() string {
	s := fmt.Sprintf("open %s: %v", e.Path, e.Err)
	if e.Holder != "" {
		s += ", held by " + e.Holder
	}
	return s
}

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *OpenError) Hint() string { return e.Advice }

// explain turns the kernel's word into one for people.
func (k machine) explain(path string, err error) error {
	e := &OpenError{Path: path, Err: err}
	switch {
	case errors.Is(err, unix.EBUSY):
		var command string
		e.Holder, command = k.holder(path)
		e.Advice = rival(command)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		e.Advice = "load the driver of the box's watchdog (modprobe iTCO_wdt, i6300esb, sp5100_tco, ipmi_watchdog; softdog if there is none); ls /dev/watchdog* shows what is there"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Advice = "run the agent as root, and in a container give it the device"
	default:
		e.Advice = "dmesg tells what the driver says"
	}
	return e
}

// rival says how to get a device from who is known to take it.
func rival(command string) string {
	switch command {
	case "systemd":
		return "set RuntimeWatchdogSec=off in /etc/systemd/system.conf and run systemctl daemon-reexec: a device has one owner"
	case "watchdog":
		return "stop the watchdog daemon (busybox: remove /etc/init.d/S15watchdog; Debian: systemctl disable --now watchdog)"
	case "watchdogd", "wd_keepalive", "sbd", "corosync", "twinbeat":
		return "stop " + command + ": a device has one owner"
	case "":
		return "whoever has it is not in this /proc: another container, or the kernel itself"
	}
	return "stop it, or name another device"
}

// holder looks through /proc for the process that has a device open.
func (k machine) holder(path string) (who, command string) {
	names := aliases(path)
	processes, err := os.ReadDir(filepath.Join(k.root, "proc"))
	if err != nil {
		return "", ""
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(k.root, "proc", p.Name())
		files, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // it ended, or is not ours to see
		}
		for _, f := range files {
			target, err := os.Readlink(filepath.Join(dir, "fd", f.Name()))
			if err == nil && slices.Contains(names, target) {
				comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
				command = strings.TrimSpace(string(comm))
				return fmt.Sprintf("%s (pid %d)", command, pid), command
			}
		}
	}
	return "", ""
}

// aliases are the names under which a device may be open: the first one has two.
func aliases(path string) []string {
	switch path {
	case "/dev/watchdog":
		return []string{path, "/dev/watchdog0"}
	case "/dev/watchdog0":
		return []string{path, "/dev/watchdog"}
	}
	return []string{path}
}
