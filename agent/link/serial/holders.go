//go:build !lite

package serial

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holders names the other processes that have the device open, as "agetty (pid
// 812)". Without root only those of one's own user are seen.
func Holders(device string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return nil, fmt.Errorf("look at %s: %w", device, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return nil, fmt.Errorf("look at %s: not a serial port", device)
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil, err
	}
	var out []string
	last := ""
	for _, fd := range fds {
		pid := strings.Split(fd, "/")[2]
		if pid == last || pid == strconv.Itoa(os.Getpid()) {
			continue
		}
		var open unix.Stat_t
		if unix.Stat(fd, &open) != nil || open.Rdev != st.Rdev || open.Mode&unix.S_IFMT != unix.S_IFCHR {
			continue
		}
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		out, last = append(out, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)), pid
	}
	return out, nil
}
