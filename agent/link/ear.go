package link

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Ear waits until one descriptor can be read, and for nothing else. Go's own
// poller also wakes the process each time the descriptor can be written again:
// after each frame sent, for nobody. So the descriptor is watched by an epoll
// set of its own, and Go's poller watches the set (epoll(7) allows nesting).
//
// The descriptor must stay open until Listen has returned after Close. Ttys
// are not for this, see serial's input.
type Ear struct {
	set *os.File
	raw syscall.RawConn
}

// NewEar returns an ear for a descriptor.
func NewEar(fd int) (*Ear, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll set: %w", err)
	}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("watch descriptor: %w", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // else Go would not poll it
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("make epoll set non-blocking: %w", err)
	}
	e := &Ear{set: os.NewFile(uintptr(epoll), "epoll")}
	if e.raw, err = e.set.SyscallConn(); err != nil {
		_ = e.set.Close()
		return nil, fmt.Errorf("watch epoll set: %w", err)
	}
	return e, nil
}

// Listen calls get, and again whenever there is something to read, until get
// returns true. It fails with os.ErrDeadlineExceeded after the deadline and
// with another error after Close. The argument of get has no meaning.
func (e *Ear) Listen(get func(uintptr) bool) error { return e.raw.Read(get) }

// Deadline sets the time at which Listen gives up; the zero time means never.
func (e *Ear) Deadline(t time.Time) error { return e.set.SetReadDeadline(t) }

// Close ends Listen. Any goroutine may call it, once or often.
func (e *Ear) Close() { _ = e.set.Close() }

// A Timer wakes one goroutine, by timerfd_create(2): Go's own timers have a
// grain of a millisecond, and when one expires Go often wakes the process
// twice and its monitor thread too.
type Timer struct {
	file *os.File
	raw  syscall.RawConn
	fd   uintptr
	went func(fd uintptr) bool
}

// NewTimer returns a timer that is not set.
func NewTimer() (*Timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make timer: %w", err)
	}
	t := &Timer{file: os.NewFile(uintptr(fd), "timer"), fd: uintptr(fd)}
	if t.raw, err = t.file.SyscallConn(); err != nil {
		_ = t.file.Close()
		return nil, fmt.Errorf("watch timer: %w", err)
	}
	count := make([]byte, 8)
	t.went = func(fd uintptr) bool {
		_, err := QuickRead(fd, count)
		return err == nil
	}
	return t, nil
}

// Set makes the timer go off once, after d, whatever was set before. It must
// not be called after Close.
func (t *Timer) Set(d time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))} // zero would switch it off
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, t.fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set timer: %w", errno)
	}
	return nil
}

// Wait returns nil when the timer has gone off, and an error after Close.
func (t *Timer) Wait() error { return t.raw.Read(t.went) }

// Close ends Wait.
func (t *Timer) Close() { _ = t.file.Close() }
