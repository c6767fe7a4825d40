package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Usage is what the processes of one box have used since they started.
type Usage struct {
	Processes int
	CPU       time.Duration // on a core, by the scheduler's own nanosecond count
	Switches  uint64        // context switches, both given up and taken away
	Pss       int64         // bytes, as Pss is on a box that has its files to itself; see memory
}

// Usage sums up what the processes inside the box have used: all their threads
// (/proc/PID/task/TID/schedstat and status) and their memory (smaps).
func (n *Node) Usage() (Usage, error) {
	pids, err := n.pids()
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Processes: len(pids)}
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return u, err
		}
		for _, t := range tasks {
			u.addThread(t)
		}
	}
	u.Pss, err = memory(pids)
	return u, err
}

// memory is the Pss that processes would have if no process outside the list
// mapped the same files: in the lab several boxes run the same program from the
// same file, and the kernel's own Pss (as in smaps_rollup) would count but a
// share of it. A file's unchanged pages count once, as much as the process has
// that uses most of them; all else counts by its Pss.
func memory(pids []int) (int64, error) {
	m := mappings{clean: map[string]int64{}}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
		if err != nil {
			return 0, err
		}
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			m.line(strings.Fields(s.Text()))
		}
	}
	for _, most := range m.clean {
		m.sum += most
	}
	return m.sum, nil
}

// mappings adds up the lines of smaps.
type mappings struct {
	sum   int64
	clean map[string]int64 // by part of a file: unchanged bytes
	file  string           // the mapping whose lines come; empty if it is of no file
	rss   int64
}

func (m *mappings) line(f []string) {
	if len(f) < 2 {
		return
	}
	if !strings.HasSuffix(f[0], ":") { // range perms offset dev inode name
		m.file = ""
		if len(f) >= 6 && f[4] != "0" {
			m.file = f[2] + " " + f[3] + " " + f[4]
		}
		return
	}
	kb, _ := strconv.ParseInt(f[1], 10, 64)
	n := kb << 10
	switch {
	case f[0] == "Rss:":
		m.rss = n
	case f[0] == "Pss:" && m.file == "":
		m.sum += n
	case f[0] == "Private_Dirty:" && m.file != "":
		m.sum += n
		m.clean[m.file] = max(m.clean[m.file], m.rss-n)
	}
}

// addThread reads one thread; one that has just ended counts nothing.
func (u *Usage) addThread(dir string) {
	var onCPU, waited int64
	b, err := os.ReadFile(dir + "/schedstat")
	if err != nil {
		return
	}
	if _, err := fmt.Sscan(string(b), &onCPU, &waited); err != nil {
		return
	}
	u.CPU += time.Duration(onCPU)
	for _, key := range []string{"voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"} {
		v, _ := field(dir+"/status", key)
		u.Switches += v
	}
}

// field reads the number after a key at the beginning of a line.
func field(file, key string) (uint64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) > 1 && f[0] == key {
			return strconv.ParseUint(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s: no %s", file, key)
}

// A Burner keeps cores busy.
type Burner struct{ loops []*exec.Cmd }

// Burn starts one busy loop on each of the first cores, pinned to it, of
// ordinary priority. A loop ends with Stop, and by itself after limit of CPU
// time.
func Burn(cores int, limit time.Duration) (*Burner, error) {
	b := &Burner{}
	for core := range cores {
		cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("ulimit -t %d; while :; do :; done", int(limit.Seconds())+1))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a program of the box, not of the lab
		if err := cmd.Start(); err != nil {
			b.Stop()
			return nil, fmt.Errorf("start busy loop: %w", err)
		}
		ordinary(cmd.Process.Pid)
		b.loops = append(b.loops, cmd)
		var set unix.CPUSet
		set.Set(core)
		if err := unix.SchedSetaffinity(cmd.Process.Pid, &set); err != nil {
			b.Stop()
			return nil, fmt.Errorf("pin busy loop to core %d: %w", core, err)
		}
	}
	return b, nil
}

// Stop ends the loops.
func (b *Burner) Stop() {
	for _, cmd := range b.loops {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
