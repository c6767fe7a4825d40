package lab

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wallCode takes the place of clock_gettime in the agent's vDSO: the system
// call itself, and for CLOCK_REALTIME (0) the seconds at the end are added.
var wallCode = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov $228,%eax
	0x0f, 0x05, // syscall
	0x85, 0xff, // test %edi,%edi
	0x75, 0x0a, // jne ret
	0x48, 0x8b, 0x0d, 0x0e, 0x00, 0x00, 0x00, // mov 14(%rip),%rcx
	0x48, 0x01, 0x0e, // add %rcx,(%rsi)
	0xc3,             // ret
	0x90, 0x90, 0x90, // up to an address of eight
	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
}

// wallTries bounds how often StepWall waits for a moment in which no thread is
// inside the code that it replaces.
const wallTries = 100

// StepWall shifts the wall clock that the running agent sees by whole seconds
// from the real one. No namespace holds CLOCK_REALTIME, so it writes into the
// process's own copy of the vDSO, as a debugger would. The clock is that of the
// process: one that is started again has the machine's.
func (n *Node) StepWall(by time.Duration) error {
	pid := n.Pid()
	if pid == 0 {
		return fmt.Errorf("step wall clock of %s: no agent", n.Name)
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return errors.Join(ErrNoWall, err)
	}
	defer mem.Close()
	start, end, err := vdso(pid)
	if err != nil {
		return err
	}
	at, err := clockGettime(mem, start, end)
	if err != nil {
		return err
	}
	if at%8 != 0 {
		return fmt.Errorf("%w: code at %#x", ErrNoWall, at)
	}
	now := make([]byte, len(wallCode))
	if _, err := mem.ReadAt(now, at); err != nil {
		return errors.Join(ErrNoWall, err)
	}
	if string(now) != string(wallCode) {
		if err := n.replace(pid, mem, at, start, end); err != nil {
			return err
		}
	}
	seconds := binary.LittleEndian.AppendUint64(nil, uint64(int64(by/time.Second)))
	_, err = mem.WriteAt(seconds, at+int64(len(wallCode)))
	return err
}

// replace puts wallCode in place while the agent stands still.
func (n *Node) replace(pid int, mem io.WriterAt, at, start, end int64) error {
	for range wallTries {
		n.signal(syscall.SIGSTOP)
		still := Until(time.Second, func() bool { return strings.HasPrefix(statusField(pid, "State"), "T") })
		if still && !insideCode(pid, start, end) {
			_, err := mem.WriteAt(append(wallCode[:len(wallCode):len(wallCode)], make([]byte, 8)...), at)
			n.signal(syscall.SIGCONT)
			return err
		}
		n.signal(syscall.SIGCONT)
		nap(time.Millisecond)
	}
	return fmt.Errorf("%w: the agent never stands outside", ErrNoWall)
}

// insideCode says whether a thread of a stopped process is between two
// addresses, or might be.
func insideCode(pid int, start, end int64) bool {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return true
	}
	for _, t := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", pid, t.Name()))
		f := strings.Fields(string(b))
		if err != nil || len(f) < 2 {
			return true // running still
		}
		pc, err := strconv.ParseInt(strings.TrimPrefix(f[len(f)-1], "0x"), 16, 64)
		if err != nil || pc >= start && pc < end {
			return true
		}
	}
	return false
}

// vdso returns where the kernel's code is in a process.
func vdso(pid int) (start, end int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.HasSuffix(line, "[vdso]") {
			_, err := fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end, err
		}
	}
	return 0, 0, fmt.Errorf("%w: no vDSO", ErrNoWall)
}

// clockGettime finds the function in the vDSO and sees that the new code fits.
func clockGettime(mem io.ReaderAt, start, end int64) (int64, error) {
	f, err := elf.NewFile(io.NewSectionReader(mem, start, end-start))
	if err != nil {
		return 0, errors.Join(ErrNoWall, err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, errors.Join(ErrNoWall, err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && s.Size >= uint64(len(wallCode)+8) {
			return start + int64(s.Value), nil
		}
	}
	return 0, fmt.Errorf("%w: no clock_gettime in the vDSO", ErrNoWall)
}
