// Package serial is the path to the peer over a null-modem cable: it decides
// when a frame still fits on the line and when the device must be opened
// again, and it refuses to queue old frames or to wait for a peer that does
// not read. Start reading at [Port.Run].
package serial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/link"
)

// Limits of a port.
const (
	// MinBaud and MaxBaud bound the line speed in bits per second. Linux has
	// names for rates up to 4 Mbit/s and takes any number between by BOTHER.
	MinBaud = 50
	MaxBaud = 4_000_000

	// DefaultLinesEvery is how often modem lines are read if nothing else is
	// asked for: one beat of the default profile.
	DefaultLinesEvery = 50 * time.Millisecond

	// queueDepth is how many frames Send may be ahead of the writer. A turn of
	// the loop sends a beat and at most a few orders; beyond that the oldest
	// frame is dropped, because only the newest says something.
	queueDepth = 4
)

// A Framer appends payload to dst in the form that the line carries.
type Framer func(dst, payload []byte) []byte

// A Deframer finds payloads in a byte stream that may begin anywhere and may
// be damaged. It calls emit for each one; the slice is valid only during the
// call. If it also has a method Errors() uint64, its count of refused frames
// shows up in [link.Stats].
type Deframer interface {
	Write(p []byte, emit func(payload []byte))
}

// Config describes a port.
type Config struct {
	Device      string          // path of the tty; a symbolic link is resolved at each opening
	Baud        int             // bits per second, 8N1, any rate the hardware can make
	IgnoreLines bool            // never read the modem lines
	LinesEvery  time.Duration   // pause between two readings of the modem lines; 0 means DefaultLinesEvery
	MaxFrame    int             // longest payload in bytes; 0 means link.MaxPayload
	Frame       Framer          // puts a payload into its frame
	NewDeframer func() Deframer // a fresh deframer; one for each opening and flush

	// DidRead and DidWrite are called, by whoever did it, when a read or a write
	// came back, whatever it brought, and when an attempt to open the device
	// failed: a cable that is out is no work undone, a call that hangs is. Nil:
	// nobody wants to know.
	DidRead, DidWrite func()
}

// A Port is the path to the peer over one serial device. Make it with [New].
type Port struct {
	cfg   Config
	meter link.Meter
	wake  chan struct{} // a frame waits for the writer
	cable cable
	heard atomic.Bool // the peer was heard since the lines were last read

	in sync.Mutex // held by whoever reads
	rx *intake    // of the open device

	mu    sync.Mutex
	dev   *device // nil while closed
	out   *outlet // of the newest device
	queue [queueDepth][]byte
	head  int // oldest frame in queue
	count int // frames in queue
}

var (
	_ link.Link     = (*Port)(nil)
	_ link.Attender = (*Port)(nil)
	_ link.Liner    = (*Port)(nil)
)

// New checks cfg and returns a port that opens its device when Run is called.
func New(cfg Config) (*Port, error) {
	if cfg.LinesEvery == 0 {
		cfg.LinesEvery = DefaultLinesEvery
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = link.MaxPayload
	}
	switch {
	case cfg.Device == "":
		return nil, errors.New("make serial link: no device")
	case cfg.Baud < MinBaud || cfg.Baud > MaxBaud:
		return nil, fmt.Errorf("make serial link %s: baud %d is not within %d..%d", cfg.Device, cfg.Baud, MinBaud, MaxBaud)
	case cfg.LinesEvery < 0:
		return nil, fmt.Errorf("make serial link %s: line interval %v is negative", cfg.Device, cfg.LinesEvery)
	case cfg.MaxFrame < 0 || cfg.MaxFrame > link.MaxPayload:
		return nil, fmt.Errorf("make serial link %s: frame limit %d is not within 1..%d", cfg.Device, cfg.MaxFrame, link.MaxPayload)
	case cfg.Frame == nil || cfg.NewDeframer == nil:
		return nil, fmt.Errorf("make serial link %s: no framing", cfg.Device)
	}
	if cfg.DidRead == nil {
		cfg.DidRead = func() {}
	}
	if cfg.DidWrite == nil {
		cfg.DidWrite = func() {}
	}
	p := &Port{cfg: cfg, wake: make(chan struct{}, 1)}
	for i := range p.queue {
		p.queue[i] = make([]byte, 0, 2*cfg.MaxFrame+16) // room for any sane framing
	}
	return p, nil
}

// Name returns "serial" and the path of the device.
func (p *Port) Name() string { return "serial " + p.cfg.Device }

// Stats returns the state and the counters of the port. Bytes are counted as
// they are on the line, with their framing.
func (p *Port) Stats() link.Stats { return p.meter.Stats() }

// Send frames payload and writes it at once if the line has room and nothing
// waits; otherwise it hands it to the writer. It never blocks: if the writer
// is more than a few frames behind, the oldest frame is dropped.
func (p *Port) Send(payload []byte) error {
	if len(payload) > p.cfg.MaxFrame {
		p.meter.Dropped()
		return link.ErrTooLong
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dev == nil {
		p.meter.Dropped()
		return link.ErrDown
	}
	if p.count == queueDepth {
		p.head = (p.head + 1) % queueDepth
		p.count--
		p.meter.Dropped()
	}
	slot := &p.queue[(p.head+p.count)%queueDepth]
	*slot = p.cfg.Frame((*slot)[:0], payload)
	if p.count == 0 && p.out.free(len(*slot)) {
		if err := p.out.put(*slot); err != nil {
			p.dev.fail(err)
			return link.ErrDown
		}
		return nil
	}
	p.count++
	select {
	case p.wake <- struct{}{}:
	default: // the writer has not yet seen the last call
	}
	return nil
}

// take appends the oldest queued frame to dst. The outlet belongs to the
// writer from then on, until it finds the queue empty.
func (p *Port) take(dst []byte) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.busy = p.count > 0
	if p.count == 0 {
		return dst, false
	}
	dst = append(dst, p.queue[p.head]...)
	p.head = (p.head + 1) % queueDepth
	p.count--
	return dst, true
}

// Run opens the device, delivers what arrives and opens the device again when
// it has vanished. It returns nil, and only when ctx ends.
func (p *Port) Run(ctx context.Context, receive func(payload []byte)) error {
	p.meter.Started()
	var backoff link.Backoff
	for ctx.Err() == nil {
		dev, err := openDevice(p.cfg.Device, p.cfg.Baud)
		if err == nil {
			opened := time.Now()
			err = p.serve(ctx, dev, receive)
			backoff.Lasted(time.Since(opened))
		}
		p.cfg.DidRead()
		p.cfg.DidWrite()
		p.meter.Down(err)
		if !backoff.Wait(ctx) {
			break
		}
	}
	p.meter.Down(nil)
	return nil
}

// serve moves frames over an open device until it fails or ctx ends.
func (p *Port) serve(ctx context.Context, dev *device, receive func([]byte)) error {
	p.cable.reset()
	p.meter.Opened()
	p.meter.Up()
	out := p.attach(dev)
	stop := context.AfterFunc(ctx, func() { dev.fail(ctx.Err()) })
	defer stop()

	var writer sync.WaitGroup
	writer.Go(func() { p.write(dev, out) })
	dev.fail(p.read(dev, receive)) // also sends the writer home
	p.attach(nil)
	writer.Wait()
	dev.close()
	p.cable.reset()
	return dev.cause()
}

// attach makes dev the device that Send may queue for; nil stops that.
func (p *Port) attach(dev *device) *outlet {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dev = dev
	if dev != nil {
		p.head, p.count = 0, 0
		p.out = &outlet{port: p, dev: dev, frame: make([]byte, 0, 2*p.cfg.MaxFrame+16)}
	}
	return p.out
}
