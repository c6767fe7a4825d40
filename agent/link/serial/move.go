package serial

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

const (
	// readSize is the input buffer in bytes: all that the line discipline of
	// the kernel can hold (N_TTY_BUF_SIZE), so one read empties it.
	readSize = 4096

	// drainWaits bounds how often the writer waits for room on the line before
	// it gives a frame up, and drainMax how long each wait may be.
	drainWaits = 4
	drainMax   = 60 * time.Millisecond // one frame at 9600 baud
	drainMin   = time.Millisecond      // the grain of Go's timers

	// restMin is the shortest rest that saves more than its timer costs.
	restMin = 500 * time.Microsecond

	bitsPerByte = 10 // 8N1: a start bit, eight data bits, a stop bit
)

// errHungUp is the end of the input of a tty whose device has vanished.
var errHungUp = errors.New("device has vanished")

// read delivers payloads until the device fails. A UART hands a frame on in
// pieces: after the first the reader rests for as long as the line needs for
// what is missing of the shortest frame, and so is not late for the end of any.
func (p *Port) read(dev *device, receive func([]byte)) error {
	in := p.newIntake(dev, receive)
	p.in.Lock()
	p.rx = in
	p.in.Unlock()
	defer func() {
		p.in.Lock()
		p.rx = nil
		p.in.Unlock()
	}()
	var deadline time.Time
	for {
		events, err := dev.in.Wait(deadline)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return p.readError(err)
		}
		p.in.Lock()
		in.eye.look(time.Now())
		got, err := in.once(events)
		missing := in.missing()
		deadline = in.eye.deadline()
		p.in.Unlock()
		if err != nil {
			return p.readError(err)
		}
		if got && missing >= restMin {
			dev.in.Rest(missing)
		}
	}
}

// Attend says how the port is read: closely, by a thread that waits for the
// tty, or else only when Drain is called.
func (p *Port) Attend(closely bool) {
	p.mu.Lock()
	dev := p.dev
	p.mu.Unlock()
	if dev != nil {
		dev.in.Attend(closely)
	}
}

// Drain delivers what the tty has received and nobody has read.
func (p *Port) Drain() {
	if !p.in.TryLock() {
		return
	}
	defer p.in.Unlock()
	if p.rx == nil {
		return
	}
	if p.rx.eye.due(time.Now()) {
		p.rx.dev.in.Call() // the reader looks: the caller cannot wait for it
	}
	for range link.DrainMost {
		got, err := p.rx.once(0)
		if err != nil {
			p.rx.dev.fail(p.readError(err))
		}
		if !got || err != nil {
			return
		}
	}
}

func (p *Port) readError(err error) error {
	if errors.Is(err, io.EOF) {
		err = errHungUp // a hung-up tty reads as empty
	}
	return fmt.Errorf("read %s: %w", p.cfg.Device, err)
}

// An intake turns bytes into payloads and counts both. The reader also reads the
// modem lines by it, in wakeups that the peer's frames or the drainer cause, and
// by a deadline only when there are none. It belongs to whoever holds the port's
// in.
type intake struct {
	port     *Port
	dev      *device
	eye      *eye
	buf      []byte
	receive  func([]byte)
	emit     func([]byte) // made once: a method value allocates
	deframer Deframer
	errors   uint64 // errors of the deframer that are already counted
	frame    []byte // scratch
	begun    int    // bytes read after the last frame
	shortest int    // length of the shortest frame so far; 0: none came yet
}

func (p *Port) newIntake(dev *device, receive func([]byte)) *intake {
	in := &intake{port: p, dev: dev, eye: p.newEye(dev), buf: make([]byte, readSize), receive: receive, deframer: p.cfg.NewDeframer()}
	in.emit = in.one
	return in
}

// once reads what there is, without waiting.
func (in *intake) once(events int16) (got bool, err error) {
	n, err := in.dev.in.Take(in.buf, events)
	in.port.cfg.DidRead()
	if n > 0 {
		in.take(in.buf[:n])
	}
	return n > 0, err
}

// missing returns how long the line needs for the rest of a frame that has
// begun, if it is one of the shortest.
func (in *intake) missing() time.Duration {
	if in.begun == 0 || in.begun >= in.shortest {
		return 0
	}
	return time.Duration(in.shortest-in.begun) * bitsPerByte * time.Second / time.Duration(in.port.cfg.Baud)
}

// count takes note of a frame's end. How long it was on the line follows from
// its payload.
func (in *intake) count(payload []byte) {
	in.frame = in.port.cfg.Frame(in.frame[:0], payload)
	n := len(in.frame)
	in.begun = max(0, in.begun-n)
	if in.shortest == 0 || n < in.shortest {
		in.shortest = n
	}
}

func (in *intake) take(b []byte) {
	in.port.meter.Read(len(b))
	in.begun += len(b)
	in.deframer.Write(b, in.emit)
	if c, ok := in.deframer.(interface{ Errors() uint64 }); ok {
		if now := c.Errors(); now != in.errors {
			in.begun = 0 // it began within a frame, or lost a part of one
			in.port.meter.Refused(now - in.errors)
			in.errors = now
		}
	}
}

func (in *intake) one(payload []byte) {
	if len(payload) > in.port.cfg.MaxFrame {
		in.port.meter.Refused(1)
		return
	}
	in.count(payload)
	in.port.meter.Received()
	in.receive(payload)
}

// write sends queued frames until the device fails, and what is queued then
// once more: a goodbye is worth the try.
func (p *Port) write(dev *device, out *outlet) {
	for {
		select {
		case <-p.wake:
		case <-dev.gone:
			if !isGone(dev.err) {
				out.empty()
			}
			return
		}
		if err := out.empty(); err != nil {
			dev.fail(err)
			return
		}
	}
}

// An outlet puts frames on the line. It belongs to the writer while busy, and
// to Send while not; see [Port.take]. A frame that the tty took only in part is
// finished before the next one, so that the peer can find its end.
type outlet struct {
	port  *Port
	dev   *device
	frame []byte
	busy  bool   // the writer has it
	tail  []byte // rest of a frame that the tty took only in part
	whole int    // length of that frame
}

// empty sends what is queued. What Send adds meanwhile comes with a wakeup of
// its own, so one queue full is enough.
func (o *outlet) empty() error {
	for range queueDepth {
		var ok bool
		if o.frame, ok = o.port.take(o.frame[:0]); !ok {
			return nil
		}
		if err := o.put(o.frame); err != nil {
			return err
		}
	}
	return nil
}

// free says whether a frame of n bytes may go out without any wait.
func (o *outlet) free(n int) bool {
	return !o.busy && len(o.tail) == 0 && o.dev.queued() <= n
}

// put sends one frame or drops it; an error means that the device is gone.
func (o *outlet) put(frame []byte) error {
	defer o.port.cfg.DidWrite()
	if len(o.tail) > 0 {
		n, err := o.write(o.tail)
		o.tail = o.tail[n:]
		if len(o.tail) > 0 || err != nil {
			o.port.meter.Dropped()
			return err
		}
		o.port.meter.Sent(o.whole)
	}
	if !o.room(len(frame)) {
		o.port.meter.Dropped()
		return nil
	}
	n, err := o.write(frame)
	switch {
	case n == len(frame):
		o.port.meter.Sent(n)
	case n == 0 || err != nil:
		o.port.meter.Dropped()
	default:
		o.tail, o.whole = append(o.tail[:0], frame[n:]...), len(frame)
	}
	return err
}

// room waits until the tty holds no more than one frame of n bytes, and says
// whether it does. The kernel would take 4 KiB: four seconds at 9600 baud in
// which a stopped process would still seem to talk.
func (o *outlet) room(n int) bool {
	queued := o.dev.queued()
	for range drainWaits {
		if queued <= n {
			return true
		}
		pause := time.Duration(queued-n) * bitsPerByte * time.Second / time.Duration(o.port.cfg.Baud)
		time.Sleep(min(max(pause, drainMin), drainMax))
		now := o.dev.queued()
		if now >= queued {
			return false // the line stands still: do not wake for nothing
		}
		queued = now
	}
	return queued <= n
}

// write writes to the tty without blocking. A tty that is full takes nothing.
func (o *outlet) write(b []byte) (int, error) {
	n, err := link.QuickWrite(uintptr(o.dev.fd), b)
	if err == nil || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return n, nil
	}
	return n, fmt.Errorf("write %s: %w", o.port.cfg.Device, err)
}
