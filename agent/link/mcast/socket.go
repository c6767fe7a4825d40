package mcast

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

const (
	// receiveBuffer in bytes is doubled by the kernel and then holds some two
	// dozen small datagrams: a burst of both kinds of link, but not the twelve
	// seconds of heartbeats that the default buffer would replay.
	receiveBuffer = 16 << 10

	// sendBuffer in bytes: the same on the way out, for a driver that stops.
	sendBuffer = 16 << 10

	// priority is the highest SO_PRIORITY that needs no capability; queueing
	// disciplines with bands send it first (tc-prio(8)).
	priority = 6

	// trafficClass is DSCP CS6, network control (RFC 4594 section 3.1), in its
	// place in the TOS or traffic class octet.
	trafficClass = 48 << 2

	// ancillary is room in bytes for two control messages: the TTL and, where
	// the socket could not be bound to its interface, the packet information.
	ancillary = 128
)

// errForeign marks a datagram that did not come straight from the peer.
var errForeign = errors.New("datagram from elsewhere")

// A socket is one opening of a path.
type socket struct {
	fd     int // -1 once closed
	ear    *link.Ear
	index  int       // of the interface when the socket was opened
	looked time.Time // at the interface
	up     bool      // interface was up with carrier at the last look
	bound  bool      // the kernel delivers only what came over the interface
	minTTL int

	to []byte // where to, in the form of the kernel; empty if connected

	// One receive at a time: the fields avoid allocations.
	oob    [ancillary]byte
	vector unix.Iovec
	header unix.Msghdr

	once sync.Once
	err  error // why gone was closed
	gone chan struct{}
}

// openSocket makes the socket of a path. What needs an address, a route or an
// interface that is not there yet fails; the caller tries again.
func openSocket(cfg *Config) (*socket, error) {
	family := unix.AF_INET6
	if cfg.target().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	s := &socket{fd: fd, minTTL: int(cfg.MinTTL), gone: make(chan struct{})}
	if s.index, _, err = interfaceState(fd, cfg.Interface); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("find interface %s: %w", cfg.Interface, err)
	}
	if err := s.prepare(fd, cfg); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	if s.ear, err = link.NewEar(fd); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return s, nil
}

// prepare sets every option, binds the socket and joins or connects it.
func (s *socket) prepare(fd int, cfg *Config) error {
	err := unix.BindToDevice(fd, cfg.Interface)
	s.bound = err == nil
	if err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("bind to interface %s: %w", cfg.Interface, err)
	}
	set := setter{fd: fd}
	set.integer("receive buffer", unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	set.integer("send buffer", unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	if cfg.target().Is4() {
		s.options4(&set, cfg)
	} else {
		s.options6(&set, cfg)
	}
	// After the traffic class, which sets a priority of its own.
	set.integer("priority", unix.SOL_SOCKET, unix.SO_PRIORITY, priority)
	if set.err != nil {
		return set.err
	}
	target := sockaddr(cfg.target(), cfg.Port, s.index)
	if cfg.Group.IsValid() {
		// Bound to the group, the socket hears no unicast and no other group.
		if err := unix.Bind(fd, target); err != nil {
			return fmt.Errorf("bind to %s: %w", cfg.Group, err)
		}
		s.to = rawAddress(target)
		return nil
	}
	if err := unix.Bind(fd, sockaddr(cfg.Local, cfg.Port, s.index)); err != nil {
		return fmt.Errorf("bind to %s: %w", cfg.Local, err)
	}
	// Connected, the kernel drops what others send before it wakes us.
	if err := unix.Connect(fd, target); err != nil {
		return fmt.Errorf("connect to %s: %w", cfg.Remote, err)
	}
	return nil
}

func (s *socket) options4(set *setter, cfg *Config) {
	set.integer("traffic class", unix.IPPROTO_IP, unix.IP_TOS, trafficClass)
	set.integer("TTL", unix.IPPROTO_IP, unix.IP_TTL, MaxTTL)
	set.integer("receive TTL", unix.IPPROTO_IP, unix.IP_RECVTTL, 1)
	if !s.bound {
		set.integer("packet information", unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if !cfg.Group.IsValid() {
		return
	}
	set.integer("address reuse", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	set.integer("multicast TTL", unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, MaxTTL)
	set.integer("multicast loop", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0)
	// Only groups joined on this socket, not those of the whole machine.
	set.integer("multicast filter", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	mreq := &unix.IPMreqn{Multiaddr: cfg.Group.As4(), Ifindex: int32(s.index)}
	set.try("multicast interface", func(fd int) error {
		return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, mreq)
	})
	set.try("membership", func(fd int) error {
		return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, mreq)
	})
}

func (s *socket) options6(set *setter, cfg *Config) {
	set.integer("IPv6 only", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	set.integer("traffic class", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, trafficClass)
	set.integer("hop limit", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, MaxTTL)
	set.integer("receive hop limit", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
	if !s.bound {
		set.integer("packet information", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	if !cfg.Group.IsValid() {
		return
	}
	set.integer("address reuse", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	set.integer("multicast hops", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, MaxTTL)
	set.integer("multicast loop", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0)
	set.integer("multicast interface", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, s.index)
	// Linux 4.20 or newer; without it the bound address filters the same.
	_ = unix.SetsockoptInt(set.fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
	mreq := &unix.IPv6Mreq{Multiaddr: cfg.Group.As16(), Interface: uint32(s.index)}
	set.try("membership", func(fd int) error {
		return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, mreq)
	})
}

// A setter sets socket options until the first one fails.
type setter struct {
	fd  int
	err error
}

func (s *setter) integer(what string, level, option, value int) {
	s.try(what, func(fd int) error { return unix.SetsockoptInt(fd, level, option, value) })
}

func (s *setter) try(what string, set func(fd int) error) {
	if s.err != nil {
		return
	}
	if err := set(s.fd); err != nil {
		s.err = fmt.Errorf("set %s: %w", what, err)
	}
}

// sockaddr returns the address in the form of the kernel; the scope matters
// for link-local IPv6 only.
func sockaddr(a netip.Addr, port uint16, index int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: a.As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(port), Addr: a.As16()}
	if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsInterfaceLocalMulticast() {
		sa.ZoneId = uint32(index)
	}
	return sa
}

// rawAddress returns the address as the kernel reads it (ip(7), ipv6(7)).
func rawAddress(a unix.Sockaddr) []byte {
	b := binary.NativeEndian.AppendUint16
	port := binary.BigEndian.AppendUint16
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		raw := append(port(b(nil, unix.AF_INET), uint16(a.Port)), a.Addr[:]...)
		return append(raw, make([]byte, unix.SizeofSockaddrInet4-len(raw))...)
	case *unix.SockaddrInet6:
		raw := append(port(b(nil, unix.AF_INET6), uint16(a.Port)), 0, 0, 0, 0)
		return binary.NativeEndian.AppendUint32(append(raw, a.Addr[:]...), a.ZoneId)
	}
	panic(fmt.Sprintf("mcast: no raw form of %T", a))
}

// send sends one datagram without waiting for room. The caller makes sure that
// no two run at once, and none while the socket is closed.
func (s *socket) send(payload []byte) (err error) {
	if s.fd < 0 {
		return os.ErrClosed
	}
	// Twice, because the kernel may use the first call to report what became
	// of an earlier unicast frame (ECONNREFUSED, udp(7)) instead of sending.
	for range 2 {
		if err = link.QuickSend(uintptr(s.fd), payload, s.to); !errors.Is(err, unix.ECONNREFUSED) {
			break
		}
	}
	return err
}

// receive takes one datagram, without waiting for it, and checks the way it
// came. The caller makes sure that no two run at once, and hands in a buffer
// that is not empty.
func (s *socket) receive(buf []byte) (int, error) {
	s.vector.Base = &buf[0]
	s.vector.SetLen(len(buf))
	s.header = unix.Msghdr{Iov: &s.vector, Control: &s.oob[0]}
	s.header.SetIovlen(1)
	s.header.SetControllen(len(s.oob))
	n, err := link.QuickReceive(uintptr(s.fd), &s.header)
	if err != nil {
		return 0, err
	}
	ttl, index := way(s.oob[:s.header.Controllen])
	if ttl < s.minTTL || (!s.bound && index != s.index) {
		return n, errForeign
	}
	return n, nil
}

// way returns the TTL and the interface index in the control messages of a
// datagram; what is missing is -1.
func way(oob []byte) (ttl, index int) {
	ttl, index = -1, -1
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return -1, -1
		}
		oob = rest
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TTL && len(data) >= 4,
			h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
			ttl = int(int32(binary.NativeEndian.Uint32(data)))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			index = int(int32(binary.NativeEndian.Uint32(data))) // ipi_ifindex comes first
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			index = int(int32(binary.NativeEndian.Uint32(data[16:]))) // after the address
		}
	}
	return ttl, index
}

// interfaceState asks by ioctl: a netlink dump would cost a hundred times more
// (netdevice(7)).
func interfaceState(fd int, name string) (index int, up bool, err error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, false, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, false, err
	}
	index = int(req.Uint32())
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return 0, false, err
	}
	const both = unix.IFF_UP | unix.IFF_RUNNING
	return index, req.Uint16()&both == both, nil
}

// fail ends the use of the socket and remembers the first cause; the reader
// wakes.
func (s *socket) fail(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.gone)
		s.ear.Close()
	})
}

// close closes the socket. The reader has ended, and nobody sends.
func (s *socket) close() {
	s.fail(os.ErrClosed)
	_ = unix.Close(s.fd)
	s.fd = -1
}

// cause returns why the use of the socket ended.
func (s *socket) cause() error {
	<-s.gone
	return s.err
}
