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

// maxHolders bounds how many are named.
const maxHolders = 5

// Holders names the other processes that have the device open, as "agetty (pid
// 812)". Without root only those of one's own user are seen.
func Holders(device string) ([]string, error) {
	tty, err := unix.Open(device, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", device, err)
	}
	defer unix.Close(tty)
	var st unix.Stat_t
	if err := unix.Fstat(tty, &st); err != nil {
		return nil, fmt.Errorf("look at %s: %w", device, err)
	}
	if _, err := unix.IoctlGetTermios(tty, unix.TCGETS); err != nil {
		return nil, fmt.Errorf("open %s: not a serial port", device)
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil, err
	}
	var out []string
	last := ""
	for _, fd := range fds {
		pid := strings.Split(fd, "/")[2]
		if len(out) == maxHolders || pid == last || pid == strconv.Itoa(os.Getpid()) {
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
