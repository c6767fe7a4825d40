package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	serialport "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

const (
	// selectable is the number of descriptors that select(2) can watch. The
	// serial library cannot use a higher one.
	selectable = 1024

	// closeWait bounds how long the last frames may take to leave a port that
	// is closed on purpose: two frames at 9600 baud, and small against every
	// stop timeout. What is left then is thrown away, because the kernel would
	// otherwise wait up to 30 s in close (closing_wait, setserial(8)).
	closeWait = 150 * time.Millisecond

	// baudTolerance is the deviation from the asked line speed that a start
	// bit can still carry over ten bit times, as 1/baudTolerance.
	baudTolerance = 33
)

// A device is an open tty.
//
// The library configures it and reads its modem lines, but hides its
// descriptor, which is needed to make writes non-blocking, to ask how much is
// queued (TIOCOUTQ) and to keep it from child processes. So the descriptor is
// looked for: among those that appeared during the call and that have the
// device number of the tty. A second opening of the path would not do, because
// O_NONBLOCK belongs to the opening and not to the tty.
//
// Reads go through a duplicate: the library's Close frees its descriptor before
// it tells the reader, which may then read from a stranger's file.
type device struct {
	port serialport.Port
	fd   int         // of port; belongs to it
	in   *link.Input // a duplicate, for reads

	users sync.RWMutex // held for writing while the port is closed
	gone  chan struct{}
	once  sync.Once
	err   error // why gone was closed
}

// openDevice opens the tty at path as 8N1, raw and without flow control.
func openDevice(path string, baud int) (*device, error) {
	// The first opening waits for whoever still closes the tty, without
	// holding up the start of child processes, and tells which tty it is.
	probe, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = unix.Close(probe) }()
	if _, err := unix.IoctlGetTermios(probe, unix.TCGETS); err != nil {
		return nil, fmt.Errorf("open %s: not a serial port: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(probe, &st); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	port, fd, err := openPort(path, baud, uint64(st.Rdev)) //nolint:unconvert // 32 bits on mips
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	dev := &device{port: port, fd: fd, gone: make(chan struct{})}
	if err := dev.prepare(path, baud); err != nil {
		_ = port.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return dev, nil
}

// openPort lets the library open the tty and finds its descriptor. All
// descriptors that the library makes without close-on-exec get that flag
// before a child process can be started.
func openPort(path string, baud int, rdev uint64) (serialport.Port, int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var before [selectable]bool
	eachInheritable(func(fd int) { before[fd] = true })
	port, err := serialport.Open(path, &serialport.Mode{BaudRate: baud, DataBits: 8})
	if err != nil {
		return nil, -1, err
	}
	found := -1
	eachInheritable(func(fd int) {
		if before[fd] {
			return
		}
		unix.CloseOnExec(fd)
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(st.Rdev) == rdev { //nolint:unconvert // as above
			found = fd
		}
	})
	if found < 0 {
		_ = port.Close()
		return nil, -1, fmt.Errorf("device changed while it was opened, or %d files are open", selectable)
	}
	return port, found, nil
}

// eachInheritable calls f for each open descriptor that a child process would
// inherit, apart from the standard three. Go itself makes none.
func eachInheritable(f func(fd int)) {
	for fd := 3; fd < selectable; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			f(fd)
		}
	}
}

// runsAt returns the settings, or says at what other speed the device runs.
func runsAt(fd, baud int) (*unix.Termios, error) {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if got := int(t.Ospeed); got-baud > baud/baudTolerance || baud-got > baud/baudTolerance {
		return nil, fmt.Errorf("set %d baud: the device runs at %d", baud, got)
	}
	return t, nil
}

// prepare does what the library leaves out.
func (d *device) prepare(path string, baud int) error {
	// TIOCEXCL, which the library sets, does not stop root.
	if err := unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return errors.New("another process has locked it")
		}
		return fmt.Errorf("lock: %w", err)
	}
	if err := unix.SetNonblock(d.fd, true); err != nil {
		return fmt.Errorf("make non-blocking: %w", err)
	}
	t, err := runsAt(d.fd, baud)
	if err != nil {
		return err
	}
	// The peer must see our lines fall when this process dies.
	if t.Cflag&unix.HUPCL == 0 {
		t.Cflag |= unix.HUPCL
		if err := unix.IoctlSetTermios(d.fd, unix.TCSETS2, t); err != nil {
			return fmt.Errorf("set hang-up on close: %w", err)
		}
	}
	// A tty keeps up to 20 s of what a peer said that may be dead by now.
	if err := d.port.ResetInputBuffer(); err != nil {
		return fmt.Errorf("flush input: %w", err)
	}
	if d.in, err = link.NewInput(d.fd); err != nil {
		return err
	}
	return nil
}

// fail ends the use of the device and remembers the first cause. The reader
// wakes because it is interrupted, the writer because gone is closed.
func (d *device) fail(err error) {
	d.once.Do(func() {
		d.err = err
		close(d.gone)
		d.in.Interrupt()
	})
}

// cause returns why the use of the device ended.
func (d *device) cause() error {
	<-d.gone
	return d.err
}

// queued returns how many bytes the tty has not sent yet. A device that cannot
// tell counts as empty; its writes are non-blocking all the same.
func (d *device) queued() int {
	n, err := link.QuickGetInt(uintptr(d.fd), unix.TIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// close gives the last frames a moment to leave, then closes the port. The
// reader and the writer have ended.
func (d *device) close() {
	d.users.Lock()
	defer d.users.Unlock()
	for end := time.Now().Add(closeWait); d.queued() > 0; {
		if isGone(d.err) || time.Now().After(end) {
			_ = d.port.ResetOutputBuffer()
			break
		}
		time.Sleep(closeWait / 30) // 5 ms: a few characters at 9600 baud
	}
	_ = d.port.Close()
	d.in.Close()
}

// isGone says whether err means that the tty is no longer there, as opposed to
// a tty that cannot take more just now.
func isGone(err error) bool {
	switch {
	case errors.Is(err, unix.EIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO),
		errors.Is(err, unix.EBADF), errors.Is(err, fs.ErrClosed), errors.Is(err, errHungUp):
		return true
	}
	return false
}
