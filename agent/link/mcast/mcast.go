// Package mcast is the path to the peer over Ethernet, by UDP multicast or
// unicast, IPv4 or IPv6: it decides when its socket is stale and must be
// opened again, and it refuses datagrams that came over another interface or
// through a router. Start reading at [Path.Run].
package mcast

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

const (
	// MaxTTL is the TTL or hop limit of what is sent, and of what is accepted
	// from a neighbour: no router can forge it (GTSM, RFC 5082 section 3).
	MaxTTL = 255

	// checkEvery is how often the interface is looked at: whether it is still
	// the one that the socket is bound to, and whether it has carrier.
	checkEvery = time.Second

	// yieldAfter is how many datagrams in a row are read before others have
	// their turn: the quick calls hide a flood from Go's scheduler, which
	// would not end the reader's time slice.
	yieldAfter = 16
)

// Config describes a path. Either Group or Local and Remote must be set.
type Config struct {
	Interface string     // name of the interface; the path is bound to it
	Group     netip.Addr // multicast group, IPv4 or IPv6
	Local     netip.Addr // unicast: our address
	Remote    netip.Addr // unicast: the peer's address
	Port      uint16     // UDP port of both ends
	MinTTL    uint8      // least TTL accepted; 0 means MaxTTL, the peer is a neighbour
	MaxFrame  int        // longest payload in bytes; 0 means link.MaxPayload

	// DidRead is called, by whoever did it, when a read came back, with a
	// datagram or without, and when an attempt to open the socket failed. Nil:
	// nobody wants to know.
	DidRead func()
}

// A Path is the way to the peer over one interface. Make it with [New].
type Path struct {
	cfg   Config
	name  string
	meter link.Meter
	sock  atomic.Pointer[socket] // nil while closed
	mu    sync.Mutex             // held by whoever sends

	in      sync.Mutex // held by whoever reads
	buf     []byte     // one byte more than a frame, to notice what is too long
	receive func([]byte)
}

var _ link.Link = (*Path)(nil)

// New checks cfg and returns a path that opens its socket when Run is called.
func New(cfg Config) (*Path, error) {
	if cfg.MinTTL == 0 {
		cfg.MinTTL = MaxTTL
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = link.MaxPayload
	}
	if cfg.DidRead == nil {
		cfg.DidRead = func() {}
	}
	cfg.Group, cfg.Local, cfg.Remote = cfg.Group.Unmap().WithZone(""), cfg.Local.Unmap().WithZone(""), cfg.Remote.Unmap().WithZone("")
	p := &Path{cfg: cfg, buf: make([]byte, cfg.MaxFrame+1)}
	to := netip.AddrPortFrom(cfg.target(), cfg.Port)
	if cfg.Group.IsValid() {
		p.name = fmt.Sprintf("multicast %s %s", cfg.Interface, to)
	} else {
		p.name = fmt.Sprintf("unicast %s %s", cfg.Interface, to)
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("make %s: %w", p.name, err)
	}
	return p, nil
}

// target returns where frames are sent.
func (c *Config) target() netip.Addr {
	if c.Group.IsValid() {
		return c.Group
	}
	return c.Remote
}

func (c *Config) check() error {
	switch {
	case c.Interface == "":
		return errors.New("no interface")
	case len(c.Interface) >= unix.IFNAMSIZ:
		return fmt.Errorf("interface name is longer than %d bytes", unix.IFNAMSIZ-1)
	case c.Port == 0:
		return errors.New("no port")
	case c.MaxFrame < 0 || c.MaxFrame > link.MaxPayload:
		return fmt.Errorf("frame limit %d is not within 1..%d", c.MaxFrame, link.MaxPayload)
	case c.Group.IsValid() && (c.Local.IsValid() || c.Remote.IsValid()):
		return errors.New("both a group and unicast addresses")
	case c.Group.IsValid() && !c.Group.IsMulticast():
		return errors.New("the group is not a multicast address")
	case c.Group.IsValid():
		return nil
	case !c.Local.IsValid() || !c.Remote.IsValid():
		return errors.New("neither a group nor two unicast addresses")
	case c.Local.Is4() != c.Remote.Is4():
		return fmt.Errorf("local address %s and remote address differ in family", c.Local)
	case c.Local.IsMulticast() || c.Remote.IsMulticast() || c.Local.IsUnspecified() || c.Remote.IsUnspecified():
		return errors.New("not a unicast address")
	case c.Local == c.Remote:
		return errors.New("the peer has our own address")
	}
	return nil
}

// Name returns the kind of path, its interface and where it sends to.
func (p *Path) Name() string { return p.name }

// Stats returns the state and the counters of the path. Bytes are those of the
// payloads, without headers. Up is renewed once a second.
func (p *Path) Stats() link.Stats { return p.meter.Stats() }

// Send sends one payload from the caller's goroutine without blocking. An
// error means that the frame was dropped; the path cures itself.
func (p *Path) Send(payload []byte) error {
	if len(payload) > p.cfg.MaxFrame {
		p.meter.Dropped()
		return link.ErrTooLong
	}
	s := p.sock.Load()
	if s == nil {
		p.meter.Dropped()
		return link.ErrDown
	}
	p.mu.Lock()
	err := s.send(payload)
	p.mu.Unlock()
	if err == nil {
		p.meter.Sent(len(payload))
		return nil
	}
	p.meter.Dropped()
	p.meter.Trouble(err)
	if isStale(err) {
		s.fail(err)
	}
	return fmt.Errorf("send to %s: %w", p.cfg.target(), err)
}

// isStale says whether a send error means that this socket will not work
// again. All other errors pass with their cause: no carrier, no route yet, a
// full queue, a firewall rule, a peer without an agent.
func isStale(err error) bool {
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, unix.EBADF),
		errors.Is(err, unix.EINVAL), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, os.ErrClosed):
		return true
	}
	return false
}

// Run opens the socket, delivers what arrives and opens the socket again when
// the interface has gone, has come back or has changed. It returns nil, and
// only when ctx ends.
func (p *Path) Run(ctx context.Context, receive func(payload []byte)) error {
	p.meter.Started()
	p.receive = receive
	var backoff link.Backoff
	for ctx.Err() == nil {
		s, err := openSocket(&p.cfg)
		if err == nil {
			opened := time.Now()
			err = p.serve(ctx, s)
			backoff.Lasted(time.Since(opened))
		}
		p.cfg.DidRead()
		p.meter.Down(err)
		if errors.Is(err, errCarrier) {
			continue // not a failure: join again at once
		}
		if !backoff.Wait(ctx) {
			break
		}
	}
	p.meter.Down(nil)
	return nil
}

// serve receives from an open socket until it is stale or ctx ends.
func (p *Path) serve(ctx context.Context, s *socket) error {
	p.meter.Opened()
	p.sock.Store(s)
	stop := context.AfterFunc(ctx, func() { s.fail(ctx.Err()) })
	defer stop()
	err := p.read(s)
	s.fail(err)
	p.sock.Store(nil)
	p.mu.Lock() // a Send may be under way, or a Drain
	p.in.Lock()
	s.close()
	p.in.Unlock()
	p.mu.Unlock()
	return s.cause()
}

// errCarrier ends a socket whose interface has come up: joining again makes
// the kernel report the membership, which a switch may have forgotten.
var errCarrier = errors.New("interface came up")

// read delivers payloads, and looks at the interface once every checkEvery: when
// a datagram has come, so that a talking peer costs no wakeups of their own, or
// a little later by a deadline.
func (p *Path) read(s *socket) error {
	if err := p.watch(s, true); err != nil {
		return err
	}
	var failed error
	listen := func(uintptr) bool {
		p.in.Lock()
		defer p.in.Unlock()
		failed = p.take(s)
		return !errors.Is(failed, unix.EAGAIN)
	}
	for turn := 1; ; turn++ {
		if turn%yieldAfter == 0 {
			runtime.Gosched()
		}
		if time.Since(s.looked) >= checkEvery {
			if err := p.watch(s, false); err != nil {
				return err
			}
		}
		err := s.ear.Listen(listen)
		p.cfg.DidRead()
		if err == nil {
			err = failed
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("receive: %w", err)
		}
	}
}

// take reads one datagram, if there is one, and delivers its payload. An error
// is EAGAIN or the end of the socket. The caller holds in.
func (p *Path) take(s *socket) error {
	n, err := s.receive(p.buf)
	switch {
	case errors.Is(err, errForeign):
		p.meter.Read(n)
		p.meter.Refused(1)
	case errors.Is(err, unix.ECONNREFUSED):
		// Unicast: the peer's kernel lives, its agent does not listen.
	case err != nil:
		return err
	case n > p.cfg.MaxFrame:
		p.meter.Read(n)
		p.meter.Refused(1)
	default:
		p.meter.Read(n)
		p.meter.Received()
		p.receive(p.buf[:n])
	}
	return nil
}

// Drain delivers the datagrams that the kernel has received and nobody has
// read.
func (p *Path) Drain() {
	if !p.in.TryLock() {
		return
	}
	defer p.in.Unlock()
	s := p.sock.Load()
	if s == nil || s.fd < 0 {
		return
	}
	for range link.DrainMost {
		if p.take(s) != nil {
			return // what is more than EAGAIN the reader finds, too
		}
	}
}

// watch looks at the interface and sets the time of the next look.
func (p *Path) watch(s *socket, first bool) error {
	index, up, err := interfaceState(s.fd, p.cfg.Interface)
	switch {
	case err != nil:
		return fmt.Errorf("find interface %s: %w", p.cfg.Interface, err)
	case index != s.index:
		return fmt.Errorf("interface %s was made anew", p.cfg.Interface)
	case up && !first && !s.up:
		return errCarrier
	case up:
		p.meter.Up()
	default:
		p.meter.Down(fmt.Errorf("interface %s is down or has no carrier", p.cfg.Interface))
	}
	s.up, s.looked = up, time.Now()
	return s.ear.Deadline(s.looked.Add(checkEvery + checkEvery/4))
}
