package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The screen is 80x24 whatever the terminal is, and a smaller one sees a part.
const (
	columns   = 80
	rows      = 24
	paintTime = 200 * time.Millisecond
)

// What the terminal is told (ECMA-48, and xterm's private modes, which a
// terminal without them ignores).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J" // other screen, no cursor, no wrap, clear
	leaveScreen = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// Keys that are no letters.
const (
	keyInterrupt = 3  // Ctrl-C
	keyRepaint   = 12 // Ctrl-L
)

// A screen is the terminal in our hands.
type screen struct {
	keys chan byte

	old    unix.Termios
	resize chan os.Signal
	shown  []string
	once   sync.Once
}

// openScreen takes the terminal over until close.
func openScreen() (*screen, error) {
	fd := int(os.Stdin.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("read terminal: %w", err)
	}
	raw := *old
	raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG | unix.IEXTEN
	raw.Iflag &^= unix.IXON | unix.ICRNL
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("set terminal: %w", err)
	}
	s := &screen{keys: make(chan byte, 16), old: *old, resize: make(chan os.Signal, 1)}
	signal.Notify(s.resize, syscall.SIGWINCH)
	fmt.Print(enterScreen)
	go s.read()
	return s, nil
}

// close gives the terminal back.
func (s *screen) close() {
	s.once.Do(func() {
		signal.Stop(s.resize)
		fmt.Print(leaveScreen)
		_ = unix.IoctlSetTermios(int(os.Stdin.Fd()), unix.TCSETS, &s.old)
	})
}

// read ends with the terminal, or with the program.
func (s *screen) read() {
	defer close(s.keys)
	var buf [64]byte
	for {
		n, err := os.Stdin.Read(buf[:])
		if err != nil || n == 0 {
			return
		}
		if n > 1 && buf[0] == 0x1b {
			continue // an arrow or the like, not letters
		}
		for _, b := range buf[:n] {
			select {
			case s.keys <- b:
			default: // nobody types faster than we look
			}
		}
	}
}

// paint shows the lines, writing those that changed. A terminal with fewer
// rows sees the first and the last of them.
func (s *screen) paint(lines []string) {
	select {
	case <-s.resize:
		s.repaint()
	default:
	}
	lines = fit(lines, s.height())
	var b strings.Builder
	for i, line := range lines {
		if i < len(s.shown) && s.shown[i] == line {
			continue
		}
		fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[0m\x1b[K", i+1, line)
	}
	s.shown = lines
	fmt.Print(b.String())
}

// repaint makes the next paint show everything.
func (s *screen) repaint() {
	s.shown = nil
	fmt.Print("\x1b[2J")
}

func (s *screen) height() int {
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 {
		return rows // a serial console does not say
	}
	return int(size.Row)
}

// keyLines is how many lines at the foot of the screen stay in a low terminal.
const keyLines = 2

func fit(lines []string, height int) []string {
	if height >= len(lines) || height <= keyLines {
		return lines[:min(len(lines), max(height, 0))]
	}
	head := append([]string(nil), lines[:height-keyLines]...)
	return append(head, lines[len(lines)-keyLines:]...)
}
