package agent

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The agent gives back what only its start needed: once the pair is settled, and
// again after what a command or a new configuration used.
const (
	shedAfter = 30 * time.Second
	shedEvery = time.Hour
)

// shedding does so until ctx ends. A process that locks its memory keeps it all.
func shedding(ctx context.Context) {
	for wait := shedAfter; ; wait = shedEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		debug.FreeOSMemory()
		if maps, err := os.ReadFile("/proc/self/smaps"); err == nil {
			shed(maps)
		}
	}
}

// shed unmaps the pages of the program itself, as far as they are never written:
// for each one that is touched the kernel maps the sixteen around it, so that
// after the start nearly the whole file counts as in use (proc(5), smaps). What
// goes on being used comes back from the page cache without a read, at a
// microsecond or two each; the rest is free for the kernel to take.
func shed(maps []byte) (bytes uintptr) {
	for _, r := range ownPages(maps) {
		if _, _, e := unix.Syscall(unix.SYS_MADVISE, r[0], r[1]-r[0], unix.MADV_DONTNEED); e == 0 {
			bytes += r[1] - r[0]
		}
	}
	return bytes
}

// ownPages returns the ranges of /proc/self/smaps that are as the running
// program's file has them: nobody may write them, and nobody did. A program that
// is loaded at any address (PIE), or with libraries, has pages that were written
// at the start and protected then; the file does not have what stands in them.
func ownPages(smaps []byte) (ranges [][2]uintptr) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	var now [2]uintptr // of the mapping whose lines come; zero if it is not ours
	for s := bufio.NewScanner(bytes.NewReader(smaps)); s.Scan(); {
		f := strings.Fields(s.Text())
		switch {
		case len(f) < 2:
		case !strings.HasSuffix(f[0], ":"):
			now = [2]uintptr{}
			if len(f) >= 6 && strings.Join(f[5:], " ") == exe && !strings.Contains(f[1], "w") {
				now = addresses(f[0])
			}
		case f[0] == "Anonymous:" && f[1] == "0" && now[0] < now[1]:
			ranges = append(ranges, now)
		}
	}
	return ranges
}

// addresses reads FROM-TO, in hexadecimal; what is none is the empty range.
func addresses(text string) (r [2]uintptr) {
	from, to, _ := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(from, 16, strconv.IntSize)
	b, errB := strconv.ParseUint(to, 16, strconv.IntSize)
	if errA == nil && errB == nil {
		r = [2]uintptr{uintptr(a), uintptr(b)}
	}
	return r
}
