package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/link"
	"github.com/twinbeat/twinbeat/agent/link/mcast"
	"github.com/twinbeat/twinbeat/agent/link/serial"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// path joins a link's driver with the opener that authenticates what it brings.
type path struct {
	link.Link
	attend func(closely bool) // nil: it is always read closely
	opener *wire.Opener

	mu   sync.Mutex
	full uint64 // frames that the loop's queue had no room for

	hellos uint64 // HELLOs beyond the limit

	noise noise // of the loop, which alone sends
}

// hellosMost is how many HELLOs of a link reach the loop within a second. Old
// ones are authentic, so whoever recorded one could else fill the queue that
// the other links share. Nodes send at most ten.
const hellosMost = 20

// helloLimit counts the HELLOs of the present second.
type helloLimit struct {
	second pair.Instant
	n      int
}

func (h *helloLimit) take(now pair.Instant) bool {
	if h.second == 0 || now.Since(h.second) >= time.Second {
		h.second, h.n = now, 0
	}
	h.n++
	return h.n <= hellosMost
}

// newPath makes the driver that a link's configuration asks for.
// What was read and written is told to the hooks, which may be nil.
func newPath(l config.Link, t config.Timing, read, write func()) (*path, error) {
	var driver link.Link
	var err error
	switch l.Type {
	case "serial":
		driver, err = serial.New(serial.Config{
			Device: l.Device, Baud: l.Baud, IgnoreLines: l.Lines == "ignore", LinesEvery: t.Beat,
			MaxFrame: wire.MaxFrame, Frame: wire.AppendSerial,
			NewDeframer: func() serial.Deframer { return new(deframer) },
			DidRead:     read, DidWrite: write,
		})
	case "multicast", "unicast":
		driver, err = mcast.New(mcast.Config{
			Interface: l.Interface, Group: l.Group, Local: l.Local, Remote: l.Remote, Port: l.Port,
			DidRead: read,
		})
	default:
		err = fmt.Errorf("unknown type %q", l.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("make link %q: %w", l.Name, err)
	}
	p := &path{Link: driver}
	if a, ok := driver.(link.Attender); ok {
		p.attend = a.Attend
	}
	if l.Type == "serial" {
		p.noise = noise{baud: l.Baud, beat: t.Beat}
	}
	return p, nil
}

// Attend says whether the link's own reader is to wait for it.
func (p *path) Attend(closely bool) {
	if p.attend != nil {
		p.attend(closely)
	}
}

// Send hands one payload to the driver, and again if the line is noisy. The
// copies may be lost, so their errors do not count.
func (p *path) Send(payload []byte) error {
	err := p.Link.Send(payload)
	if err != nil || p.noise.baud == 0 || wire.Kind(payload[0]&15) == wire.Data {
		return err // DATA has the room of one frame; what is lost is told again
	}
	for range p.noise.times(monotonic(), p.Stats().RxErrors, len(payload)) - 1 {
		_ = p.Link.Send(payload)
	}
	return nil
}

// deframer counts what it refused in the form that the driver asks for.
type deframer struct{ wire.Deframer }

// Errors returns the number of frames that came damaged.
func (d *deframer) Errors() uint64 { return d.CRCErrors + d.Overlong }

// run reads until ctx ends. Frames are authenticated here, in the link's own
// goroutine, so that a flood of garbage costs the loop little: what it drains
// itself is bounded.
func (p *path) run(ctx context.Context, id uint8, offer func(loop.Frame) bool) {
	heard, _ := p.Link.(interface{ Heard() })
	var f loop.Frame
	var hellos helloLimit
	f.Link = id
	err := p.Link.Run(ctx, func(payload []byte) {
		if p.opener.Open(payload, &f.Message) != 0 {
			return
		}
		f.At = monotonic()
		if f.Message.Kind == wire.Hello && !hellos.take(f.At) {
			p.mu.Lock()
			p.hellos++
			p.mu.Unlock()
			return
		}
		if heard != nil {
			heard.Heard()
		}
		if !offer(f) {
			p.mu.Lock()
			p.full++
			p.mu.Unlock()
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		panic(fmt.Sprintf("agent: link %s ended: %v", p.Name(), err))
	}
}

// Open says whether the driver has its device, and why not.
func (p *path) Open() (bool, string) {
	s := p.Stats()
	return s.Up, s.Err
}

// Lines returns what a full null-modem cable says of the peer.
func (p *path) Lines() pair.LineState {
	l, ok := p.Link.(link.Liner)
	if !ok {
		return pair.LinesUnknown
	}
	state, class := l.Lines()
	if class != link.CableFull {
		return pair.LinesUnknown
	}
	return pair.LineState(state)
}

// View returns what the driver and the opener counted.
func (p *path) View() loop.PathView {
	s := p.Stats()
	v := loop.PathView{
		TxFrames: s.TxFrames, TxBytes: s.TxBytes, TxDropped: s.TxDropped,
		RxFrames: s.RxFrames, RxBytes: s.RxBytes, Reopens: s.Reopens,
		Drops: map[string]uint64{},
	}
	for reason, n := range p.opener.Stats() {
		if reason != 0 && n > 0 {
			v.Drops[wire.Drop(reason).String()] = n
		}
	}
	if s.RxErrors > 0 {
		v.Drops["unreadable"] = s.RxErrors
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full > 0 {
		v.Drops["queue-full"] = p.full
	}
	if p.hellos > 0 {
		v.Drops["hello-flood"] = p.hellos
	}
	if l, ok := p.Link.(link.Liner); ok {
		state, class := l.Lines()
		if class != link.CableUnknown {
			v.Lines = fmt.Sprintf("%s (%s cable)", state, class)
		}
	}
	return v
}
