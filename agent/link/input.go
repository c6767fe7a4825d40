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
	resting   bool
	timer     *Timer // ends a rest
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
	timer, err := NewTimer()
	if err != nil {
		unix.Close(tty)
		unix.Close(wake)
		return nil, err
	}
	return &Input{tty: tty, wake: wake, timer: timer}, nil
}

// Read waits for bytes until the deadline, which is os.ErrDeadlineExceeded, or
// until Interrupt is called, which is fs.ErrClosed.
func (in *Input) Read(buf []byte) (int, error) {
	if in.resting {
		if in.resting = false; in.timer.Wait() != nil {
			return 0, fs.ErrClosed
		}
		// Only if there is something: to find nothing takes the worker, too.
		if n, err := QuickGetInt(uintptr(in.tty), unix.TIOCINQ); err == nil && n > 0 {
			return QuickRead(uintptr(in.tty), buf)
		}
	}
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
		n, err = in.take(fds[0].Revents, buf)
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

// take reads after a poll. Bytes that are there come at once; to learn that
// there are none, or no device, may take the kernel's worker.
func (in *Input) take(events int16, buf []byte) (int, error) {
	if events == unix.POLLIN {
		return QuickRead(uintptr(in.tty), buf)
	}
	return unix.Read(in.tty, buf)
}

// Rest makes the next Read let bytes gather for d. The reader alone may call
// it.
func (in *Input) Rest(d time.Duration) { in.resting = in.timer.Set(d) == nil }

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
	in.timer.Close()
}

// SetDeadline sets when Read gives up; the zero time means never. The reader
// alone may call it.
func (in *Input) SetDeadline(t time.Time) { in.deadline = t }

// Close lets go of the descriptors. No Read may be under way.
func (in *Input) Close() {
	unix.Close(in.tty)
	unix.Close(in.wake)
}
