package link

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
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
//
// That thread costs wakeups of its own, one for each piece of a frame. Where
// somebody else looks in by Take often enough, Attend(false) lets it sleep.
type Input struct {
	tty, wake int
	resting   bool
	timer     *Timer // ends a rest

	afar atomic.Bool   // nobody waits for the tty
	call chan struct{} // ends the reader's sleep
	done chan struct{}
	once sync.Once
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
	return &Input{tty: tty, wake: wake, timer: timer, call: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// Attend says whether Wait is to wait for bytes, as it does at first, or only
// for a Call. It takes effect when the wait under way is over. Any goroutine
// may call it.
func (in *Input) Attend(closely bool) {
	if in.afar.Swap(!closely) && closely {
		in.Call()
	}
}

// Call ends a Wait that is not for bytes. Any goroutine may call it.
func (in *Input) Call() {
	select {
	case in.call <- struct{}{}:
	default: // one is on its way
	}
}

// Wait returns when Take may find something, and what it needs to know for it.
// After the deadline, unless that is zero, it fails with
// os.ErrDeadlineExceeded, and after Interrupt with fs.ErrClosed. One goroutine,
// the reader, may call it.
func (in *Input) Wait(deadline time.Time) (events int16, err error) {
	if in.afar.Load() {
		in.resting = false
		select {
		case <-in.call:
			return 0, nil
		case <-in.done:
			return 0, fs.ErrClosed
		}
	}
	if in.resting {
		if in.resting = false; in.timer.Wait() != nil {
			return 0, fs.ErrClosed
		}
		if n, err := in.waiting(); err == nil && n > 0 {
			return 0, nil
		}
	}
	return in.poll(deadline)
}

func (in *Input) poll(deadline time.Time) (events int16, err error) {
	fds := [...]unix.PollFd{{Fd: int32(in.tty), Events: unix.POLLIN}, {Fd: int32(in.wake), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds[:], patience(deadline))
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
		return fds[0].Revents, nil
	}
}

// Take reads what there is; nothing is 0 and no error, io.EOF a tty that was
// hung up. Bytes that are there come at once; to learn from a read that there
// are none would take the kernel's worker, so they are counted first, unless
// events, from Wait, say that the tty has more to tell. One goroutine at a time
// may call it.
func (in *Input) Take(buf []byte, events int16) (int, error) {
	quick := events&^unix.POLLIN == 0
	if quick {
		if n, err := in.waiting(); err != nil || n == 0 {
			return 0, err
		}
	}
	n, err := in.read(buf, quick)
	switch {
	case err == unix.EAGAIN, err == unix.EINTR:
		return 0, nil
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

func (in *Input) read(buf []byte, quick bool) (int, error) {
	if quick {
		return QuickRead(uintptr(in.tty), buf)
	}
	return unix.Read(in.tty, buf)
}

// waiting returns how many bytes a read would find.
func (in *Input) waiting() (int, error) { return QuickGetInt(uintptr(in.tty), unix.TIOCINQ) }

// Rest makes the next Wait let bytes gather for d. The reader alone may call
// it.
func (in *Input) Rest(d time.Duration) { in.resting = in.timer.Set(d) == nil }

// patience is the time to the deadline in milliseconds, rounded up: a wait that
// ends early would spin.
func patience(deadline time.Time) int {
	if deadline.IsZero() {
		return -1
	}
	left := max(0, time.Until(deadline))
	return int((left + time.Millisecond - 1) / time.Millisecond)
}

// Interrupt ends the Wait under way and every later one. Any goroutine may call
// it until Close.
func (in *Input) Interrupt() {
	in.once.Do(func() {
		close(in.done)
		_, _ = unix.Write(in.wake, []byte{1, 0, 0, 0, 0, 0, 0, 1})
		in.timer.Close()
	})
}

// Close lets go of the descriptors. No Wait or Take may be under way.
func (in *Input) Close() {
	unix.Close(in.tty)
	unix.Close(in.wake)
}
