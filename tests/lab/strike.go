package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StateDir is the box's disk as the agent's state_dir shows it.
func (n *Node) StateDir() string { return n.dir + "/state" }

// RunDir is the box's /run.
func (n *Node) RunDir() string { return n.dir + "/run" }

// Signal sends a signal to the agent.
func (n *Node) Signal(s syscall.Signal) { n.signal(s) }

// Wait waits until the agent has ended.
func (n *Node) Wait() { n.wait() }

// SmallDisk puts the box's state on a disk of its own of so many KiB. It must
// be called before the agent runs; the disk goes with the lab.
func (n *Node) SmallDisk(kib int) error {
	if err := os.MkdirAll(n.StateDir(), 0o700); err != nil {
		return err
	}
	// What is mounted here must not show in the namespace that this one was made from.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	if err := unix.Mount("disk", n.StateDir(), "tmpfs", 0, fmt.Sprintf("size=%dk,mode=700", kib)); err != nil {
		return fmt.Errorf("mount disk of %s: %w", n.Name, err)
	}
	n.lab.disks = append(n.lab.disks, n.StateDir())
	return nil
}

// fillName is the file that fills a disk up.
const fillName = "fill"

// fillMost bounds how much is written to fill a disk.
const fillMost = 64 << 20

// FillDisk leaves no room on the box's disk.
func (n *Node) FillDisk() error {
	f, err := os.OpenFile(filepath.Join(n.StateDir(), fillName), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = io.CopyN(f, zeros{}, fillMost); err == nil {
		return fmt.Errorf("fill disk of %s: it has no end", n.Name)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return nil
}

// FreeDisk undoes FillDisk.
func (n *Node) FreeDisk() error {
	err := os.Remove(filepath.Join(n.StateDir(), fillName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// slowStart bounds how long strace may take to get hold of the agent.
const slowStart = 2 * time.Second

// ErrNoStrace says that there is no strace to slow a disk down with.
var ErrNoStrace = errors.New("slow disk: strace is not installed")

// SlowDisk lets every fsync of the running agent last so much longer, by
// strace, which holds the calling thread in the kernel as a slow disk does.
// The other threads pay a little for each system call. The returned function
// ends that; it may be called after the agent has died.
func (n *Node) SlowDisk(delay time.Duration) (heal func() error, err error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, ErrNoStrace
	}
	pid := n.Pid()
	if pid == 0 {
		return nil, fmt.Errorf("slow disk of %s: no agent", n.Name)
	}
	inject := fmt.Sprintf("inject=fsync,fdatasync:delay_enter=%d", delay.Microseconds())
	cmd := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject, "-p", strconv.Itoa(pid))
	var says bytes.Buffer
	cmd.Stderr = &says
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("slow disk of %s: %w", n.Name, err)
	}
	ordinary(cmd.Process.Pid)
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its exit code is that of the signal that ends it
		close(done)
	}()
	heal = func() error {
		// Asked to let go, strace would hold all threads until the delays are over;
		// of one that died the kernel lets go at once (ptrace(2)).
		_ = cmd.Process.Kill()
		<-done
		return nil
	}
	if !Until(slowStart, func() bool { return traced(pid) }) {
		return nil, errors.Join(fmt.Errorf("slow disk of %s: strace has no hold: %s", n.Name, says.String()), heal())
	}
	return heal, nil
}

// traced says whether somebody traces a process.
func traced(pid int) bool {
	v := statusField(pid, "TracerPid")
	return v != "" && v != "0"
}

// statusField returns a field of /proc/PID/status, see proc_pid_status(5).
func statusField(pid int, name string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Limit changes a soft resource limit of the running agent, such as
// unix.RLIMIT_NOFILE, and returns what sets it back.
func (n *Node) Limit(resource int, soft uint64) (heal func() error, err error) {
	pid := n.Pid()
	if pid == 0 {
		return nil, fmt.Errorf("limit agent of %s: none runs", n.Name)
	}
	var old unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &old); err != nil {
		return nil, fmt.Errorf("limit agent of %s: %w", n.Name, err)
	}
	if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: min(soft, old.Max), Max: old.Max}, nil); err != nil {
		return nil, fmt.Errorf("limit agent of %s: %w", n.Name, err)
	}
	return func() error {
		if n.Pid() != pid {
			return nil // another one has limits of its own
		}
		return unix.Prlimit(pid, resource, &old, nil)
	}, nil
}

// Holdings are what an agent holds of its box.
type Holdings struct {
	RSS     int64 // bytes
	Virtual int64 // bytes
	FDs     int
	Threads int
}

// Holdings returns what the running agent holds; zero if none runs.
func (n *Node) Holdings() Holdings {
	pid := n.Pid()
	if pid == 0 {
		return Holdings{}
	}
	kib := func(name string) int64 {
		v, _ := strconv.ParseInt(strings.TrimSuffix(statusField(pid, name), " kB"), 10, 64)
		return v << 10
	}
	threads, _ := strconv.Atoi(statusField(pid, "Threads"))
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return Holdings{RSS: kib("VmRSS"), Virtual: kib("VmSize"), FDs: len(fds), Threads: threads}
}

// Files returns what the running agent's descriptors stand for, counted by
// kind: "socket" for "socket:[123]".
func (n *Node) Files() map[string]int {
	all := map[string]int{}
	dir := fmt.Sprintf("/proc/%d/fd/", n.Pid())
	fds, _ := os.ReadDir(dir)
	for _, e := range fds {
		if name, err := os.Readlink(dir + e.Name()); err == nil {
			kind, _, _ := strings.Cut(name, ":[")
			all[kind]++
		}
	}
	return all
}

// TopFD returns the highest file descriptor of the running agent.
func (n *Node) TopFD() int {
	top := 0
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.Pid()))
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			top = max(top, fd)
		}
	}
	return top
}

// Goroutines ends the agent with a stack dump (SIGQUIT) and returns how many
// goroutines it had.
func (n *Node) Goroutines() (int, error) {
	before, err := os.Stat(n.LogPath())
	if err != nil {
		return 0, err
	}
	n.signal(syscall.SIGQUIT)
	n.wait()
	log, err := os.ReadFile(n.LogPath())
	if err != nil {
		return 0, err
	}
	return bytes.Count(log[before.Size():], []byte("\ngoroutine ")), nil
}

// SetDevice brings one of the box's own devices up or down, as its operator
// would.
func (n *Node) SetDevice(device string, up bool) error {
	if !n.Powered() {
		return fmt.Errorf("set %s of %s: it has no power", device, n.Name)
	}
	return n.Space.set(device, up)
}

// OtherClock lets the agents that are started from now on see CLOCK_MONOTONIC
// and CLOCK_BOOTTIME further on by an offset, as after another uptime, by a
// time namespace (time_namespaces(7)); 0 ends that. CLOCK_REALTIME is not in
// any namespace; see [Node.StepWall].
func (n *Node) OtherClock(offset time.Duration) {
	n.under = ""
	if offset != 0 {
		s := strconv.Itoa(int(offset / time.Second))
		n.under = "unshare -T --monotonic " + s + " --boottime " + s + " "
	}
}

// OwnClock says whether the running agent is in a time namespace of its own:
// before Linux 6.0 exec did not enter it.
func (n *Node) OwnClock() bool {
	its, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", n.Pid()))
	ours, err2 := os.Readlink("/proc/self/ns/time")
	return err1 == nil && err2 == nil && its != ours
}
