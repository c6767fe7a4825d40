//go:build !lite

package serial

import (
	"errors"
	"fmt"
	"time"

	serialport "go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// ErrNoLines means that a device has no modem lines.
var ErrNoLines = errors.New("the device has no modem lines")

// A Raw is an open serial device for whoever tests a cable: it has no frames, and
// its line speed can be changed. It belongs to one goroutine, but one other may
// write. A device that a [Port] has open is refused, and the other way round.
type Raw struct{ dev *device }

// OpenRaw opens the device as a [Port] would.
func OpenRaw(path string, baud int) (*Raw, error) {
	dev, err := openDevice(path, baud)
	if err != nil {
		return nil, err
	}
	return &Raw{dev}, nil
}

// Close throws away what was not sent.
func (r *Raw) Close() {
	r.dev.fail(unix.ENODEV)
	r.dev.close()
}

// SetBaud changes the line speed, or says what the device makes of it.
func (r *Raw) SetBaud(baud int) error {
	if err := r.dev.port.SetMode(&serialport.Mode{BaudRate: baud, DataBits: 8}); err != nil {
		return fmt.Errorf("set %d baud: %w", baud, err)
	}
	_, err := runsAt(r.dev.fd, baud)
	return err
}

// Read waits for bytes at most for within and returns 0 without an error if none
// came.
func (r *Raw) Read(p []byte, within time.Duration) (int, error) {
	fds := []unix.PollFd{{Fd: int32(r.dev.fd), Events: unix.POLLIN}}
	rest := unix.NsecToTimespec(int64(max(within, 0)))
	if _, err := unix.Ppoll(fds, &rest, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return 0, fmt.Errorf("wait for bytes: %w", err)
	}
	n, err := unix.Read(r.dev.fd, p)
	switch {
	case err == nil && n == 0 && fds[0].Revents&unix.POLLHUP != 0:
		return 0, errHungUp
	case err == nil:
		return n, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, nil
	}
	return 0, fmt.Errorf("read: %w", err)
}

// Write gives all of p to the device within a time.
func (r *Raw) Write(p []byte, within time.Duration) error {
	for end := time.Now().Add(within); len(p) > 0; {
		n, err := unix.Write(r.dev.fd, p)
		switch {
		case err == nil:
			p = p[n:]
			continue
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("write: %w", err)
		case time.Now().After(end):
			return fmt.Errorf("write: %d bytes found no room", len(p))
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Sent waits at most for within until everything has left the device.
func (r *Raw) Sent(within time.Duration) {
	for end := time.Now().Add(within); r.dev.queued() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// Flush throws away what came in.
func (r *Raw) Flush() error { return r.dev.port.ResetInputBuffer() }

// Inputs are the modem lines that the device reads.
type Inputs struct{ DSR, CTS, DCD, RI bool }

// Inputs reads the modem lines; ErrNoLines means that there are none.
func (r *Raw) Inputs() (Inputs, error) {
	b, err := r.dev.port.GetModemStatusBits()
	switch {
	case err == nil:
		return Inputs{b.DSR, b.CTS, b.DCD, b.RI}, nil
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return Inputs{}, ErrNoLines
	}
	return Inputs{}, fmt.Errorf("read modem lines: %w", err)
}

// SetOutputs raises or drops DTR and RTS.
func (r *Raw) SetOutputs(dtr, rts bool) error {
	return errors.Join(r.dev.port.SetDTR(dtr), r.dev.port.SetRTS(rts))
}
