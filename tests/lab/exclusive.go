package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// FreeSerial ends the exclusive use of a box's tty that an agent left behind
// when it was killed (TIOCEXCL, ioctl_tty(2)). A real tty forgets it when the
// last one closes it; the null modem, though, keeps its ttys open, and who is
// not root outside of all user namespaces could never open it again.
func (l *Lab) FreeSerial(side int) error {
	want, err := filepath.EvalSymlinks(l.Serial.Device(side))
	if err != nil {
		return fmt.Errorf("find tty %d: %w", side, err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("find tty %d: %w", side, err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && name == want {
			return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
		}
	}
	return fmt.Errorf("find tty %d: %s is not open here", side, want)
}
