package serial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	serialport "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

const (
	// bareReadings is how many readings in a row must show both lines down
	// while the peer is heard before the cable counts as one without lines.
	// One such reading also happens when the peer dies just after a frame.
	bareReadings = 3

	// ownRounds is how often the own-line test repeats: a peer that restarts
	// during the test must not pass for a loop.
	ownRounds = 3

	// ownHold is how long the own-line test keeps a line down: longer than the
	// round trip of a USB adapter with its latency timer at 16 ms.
	ownHold = 40 * time.Millisecond
)

// A modem is the part of a serial port that has to do with modem lines.
type modem interface {
	GetModemStatusBits() (*serialport.ModemStatusBits, error)
	SetDTR(bool) error
	SetRTS(bool) error
}

var _ modem = serialport.Port(nil)

// Lines returns the newest reading of the modem lines and what is known about
// the cable. Lines are known only after DSR and CTS were seen up while the
// peer was heard, and no longer once the device was opened again.
func (p *Port) Lines() (link.LineState, link.CableClass) { return p.cable.get() }

// Heard tells the port that an authentic frame of the peer came in over it.
// Only the caller can know; a loop plug would bring back our own frames.
// Without this call the cable stays unknown.
func (p *Port) Heard() {
	if !p.heard.Load() {
		p.heard.Store(true)
	}
}

// TestOwnLines drops our own DTR and RTS for a moment, several times, and sees
// whether our inputs follow: that is a plug which loops us back, and its lines
// then count as unknown until the next test. On a full cable the peer sees us
// fall for 40 ms at a time, so the pair must be in maintenance. It returns
// what is known about the cable afterwards.
func (p *Port) TestOwnLines(ctx context.Context) (link.CableClass, error) {
	p.mu.Lock()
	dev := p.dev
	p.mu.Unlock()
	if dev == nil || !dev.users.TryRLock() {
		return link.CableUnknown, fmt.Errorf("test lines of %s: %w", p.cfg.Device, link.ErrDown)
	}
	defer dev.users.RUnlock()
	p.cable.pause(true)
	defer p.cable.pause(false)
	loop, err := followsUs(ctx, dev.port, ownHold)
	if err != nil {
		return link.CableUnknown, fmt.Errorf("test lines of %s: %w", p.cfg.Device, err)
	}
	p.cable.setLoop(loop)
	_, class := p.cable.get()
	return class, nil
}

// followsUs says whether an input falls and rises with our own outputs in
// every round. It leaves DTR and RTS up.
func followsUs(ctx context.Context, m modem, hold time.Duration) (bool, error) {
	for range ownRounds {
		dtr, err := mirrors(ctx, m, m.SetDTR, hold)
		if err != nil {
			return false, err
		}
		rts, err := mirrors(ctx, m, m.SetRTS, hold)
		if err != nil {
			return false, err
		}
		if !dtr && !rts {
			return false, nil
		}
	}
	return true, nil
}

// mirrors drops one output and raises it again, and says whether an input did
// the same.
func mirrors(ctx context.Context, m modem, set func(bool) error, hold time.Duration) (bool, error) {
	before, err := m.GetModemStatusBits()
	if err != nil {
		return false, err
	}
	if err := set(false); err != nil {
		return false, err
	}
	wait(ctx, hold)
	low, lowErr := m.GetModemStatusBits()
	if err := set(true); err != nil { // whatever was read: do not stay down
		return false, err
	}
	if err := errors.Join(lowErr, ctx.Err()); err != nil {
		return false, err
	}
	wait(ctx, hold)
	after, err := m.GetModemStatusBits()
	if err != nil {
		return false, err
	}
	pulse := func(a, b, c bool) bool { return a && !b && c }
	return pulse(before.DSR, low.DSR, after.DSR) || pulse(before.DCD, low.DCD, after.DCD) ||
		pulse(before.CTS, low.CTS, after.CTS), nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// A cable is what the readings say about the null-modem cable.
type cable struct {
	mu     sync.Mutex
	state  link.LineState
	class  link.CableClass
	bare   int // readings in a row with the peer heard and both lines down
	paused bool
}

func (c *cable) get() (link.LineState, link.CableClass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.class
}

// reset forgets the readings. A loop that the test has found stays: opening
// the device again does not change the plug.
func (c *cable) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.bare = link.LinesUnknown, 0
	if c.class != link.CableHalfLoop {
		c.class = link.CableUnknown
	}
}

func (c *cable) pause(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = on
}

func (c *cable) setLoop(loop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case loop:
		c.class, c.state = link.CableHalfLoop, link.LinesUnknown
	case c.class == link.CableHalfLoop:
		c.class = link.CableUnknown // to be learned again
	}
}

// unread marks the lines as unknown because they could not be read.
func (c *cable) unread() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = link.LinesUnknown
}

// read takes one reading; heard says that the peer was heard since the last.
func (c *cable) read(dsr, cts, heard bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused || c.class == link.CableHalfLoop {
		return
	}
	down := !dsr && !cts
	if !down || !heard {
		c.bare = 0
	} else if c.bare++; c.bare >= bareReadings {
		c.class = link.CableThreeWire // or lines that lie: no use either way
	}
	if dsr && cts && heard {
		c.class = link.CableFull
	}
	switch {
	case c.class != link.CableFull:
		c.state = link.LinesUnknown
	case dsr && cts:
		c.state = link.LinesUp
	case down:
		c.state = link.LinesDown
	default:
		c.state = link.LinesUnknown // one of two: a loose plug
	}
}

// An eye reads the modem lines of one open device from the reader's goroutine.
// A frame that comes when a reading is nearly due brings it forward by up to
// an eighth of the interval, and the deadline is an eighth late, so that a
// talking peer costs no wakeups of their own.
type eye struct {
	port  *Port
	modem modem
	every time.Duration
	next  time.Time
	shut  bool
}

func (p *Port) newEye(dev *device) *eye {
	return &eye{port: p, modem: dev.port, every: p.cfg.LinesEvery, shut: p.cfg.IgnoreLines}
}

// due says whether it is time to look.
func (e *eye) due(now time.Time) bool { return !e.shut && !now.Before(e.next.Add(-e.every/8)) }

// look reads the lines if it is time. With a USB adapter that is a transfer,
// which an adapter in trouble answers late.
func (e *eye) look(now time.Time) {
	if !e.due(now) {
		return
	}
	e.next = now.Add(e.every)
	bits, err := e.modem.GetModemStatusBits()
	switch {
	case err == nil:
		e.port.cable.read(bits.DSR, bits.CTS, e.port.heard.Swap(false))
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		e.shut = true // this device has no modem lines
		e.port.cable.unread()
	default:
		e.port.cable.unread()
	}
}

// deadline returns when look must be called if nothing comes in; the zero time
// means never.
func (e *eye) deadline() time.Time {
	if e.shut {
		return time.Time{}
	}
	return e.next.Add(e.every / 8)
}
