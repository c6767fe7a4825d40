package link

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An Input reads a tty apart from Go's poller.
//
// To say whether a tty can be read, the kernel waits for the worker that moves
// its bytes (n_tty_poll, tty_buffer_flush_work), and on a busy machine that
// worker waits for its turn. A poller that watched the tty would hold up every
// timer and every socket of the process with it: seen for 35 to 470 ms with one
// busy loop a core. Here only the reader's own thread waits.
type Input struct {
	tty, wake int
	deadline  time.Time // zero: none
}

// NewInput reads from a duplicate of fd, which is non-blocking.
func NewInput(fd int) (*Input, error) {
	tty, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(tty)
		return nil, fmt.Errorf("make event: %w", err)
	}
	return &Input{tty: tty, wake: wake}, nil
}

// Read waits for bytes until the deadline, which is os.ErrDeadlineExceeded, or
// until Interrupt is called, which is fs.ErrClosed.
func (in *Input) Read(buf []byte) (int, error) {
	fds := [...]unix.PollFd{{Fd: int32(in.tty), Events: unix.POLLIN}, {Fd: int32(in.wake), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds[:], in.patience())
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("poll: %w", err)
		case fds[1].Revents != 0:
			return 0, fs.ErrClosed
		case n == 0:
			return 0, os.ErrDeadlineExceeded
		}
		n, err = unix.Read(in.tty, buf)
		switch {
		case err == unix.EAGAIN, err == unix.EINTR:
			continue
		case err == nil && n == 0:
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
		return n, nil
	}
}

// patience is the time to the deadline in milliseconds, rounded up: a wait that
// ends early would spin.
func (in *Input) patience() int {
	if in.deadline.IsZero() {
		return -1
	}
	left := max(0, time.Until(in.deadline))
	return int((left + time.Millisecond - 1) / time.Millisecond)
}

// Interrupt ends the Read under way and every later one. Any goroutine may call
// it until Close.
func (in *Input) Interrupt() {
	_, _ = unix.Write(in.wake, []byte{1, 0, 0, 0, 0, 0, 0, 1})
}

// SetDeadline sets when Read gives up; the zero time means never. The reader
// alone may call it.
func (in *Input) SetDeadline(t time.Time) { in.deadline = t }

// Close lets go of the descriptors. No Read may be under way.
func (in *Input) Close() {
	unix.Close(in.tty)
	unix.Close(in.wake)
}
