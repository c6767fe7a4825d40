package mcast

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
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
	conn   *net.UDPConn
	raw    syscall.RawConn
	index  int  // of the interface when the socket was opened
	up     bool // interface was up with carrier at the last look
	bound  bool // the kernel delivers only what came over the interface
	minTTL int
	oob    [ancillary]byte

	// One send at a time: the fields and the function avoid an allocation.
	to      unix.Sockaddr // nil if connected
	payload []byte
	sendErr error
	sendTo  func(fd uintptr) bool

	once sync.Once
	err  error // why the socket was closed
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
	s := &socket{minTTL: int(cfg.MinTTL), gone: make(chan struct{})}
	if s.index, _, err = interfaceState(fd, cfg.Interface); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("find interface %s: %w", cfg.Interface, err)
	}
	if err := s.prepare(fd, cfg); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return s, s.adopt(fd)
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
		s.to = target
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

// adopt hands the descriptor to the Go poller.
func (s *socket) adopt(fd int) error {
	file := os.NewFile(uintptr(fd), "udp")
	conn, err := net.FilePacketConn(file) // duplicates the descriptor
	_ = file.Close()
	if err != nil {
		return fmt.Errorf("adopt socket: %w", err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		_ = conn.Close()
		return fmt.Errorf("adopt socket: not UDP but %T", conn)
	}
	s.conn = udp
	s.raw, err = udp.SyscallConn()
	if err != nil {
		_ = udp.Close()
		return fmt.Errorf("adopt socket: %w", err)
	}
	s.sendTo = func(fd uintptr) bool {
		if s.to != nil {
			s.sendErr = unix.Sendto(int(fd), s.payload, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, s.to)
		} else {
			_, s.sendErr = unix.Write(int(fd), s.payload) // the socket is non-blocking
		}
		return true // never wait for room
	}
	return nil
}

// send sends one datagram. The caller makes sure that no two run at once.
func (s *socket) send(payload []byte) error {
	s.payload = payload
	defer func() { s.payload = nil }()
	// Twice, because the kernel may use the first call to report what became
	// of an earlier unicast frame (ECONNREFUSED, udp(7)) instead of sending.
	for range 2 {
		if err := s.raw.Write(s.sendTo); err != nil {
			return os.ErrClosed
		}
		if !errors.Is(s.sendErr, unix.ECONNREFUSED) {
			break
		}
	}
	return s.sendErr
}

// receive reads one datagram and checks the way it came.
func (s *socket) receive(buf []byte) (int, error) {
	n, oobn, _, _, err := s.conn.ReadMsgUDPAddrPort(buf, s.oob[:])
	if err != nil {
		return 0, err
	}
	ttl, index := way(s.oob[:oobn])
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

// discard reads and drops at most limit datagrams.
func (s *socket) discard(limit int) (int, error) {
	dropped := 0
	var one [1]byte
	err := s.raw.Control(func(fd uintptr) {
		for dropped < limit {
			if _, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC); err != nil {
				return
			}
			dropped++
		}
	})
	return dropped, err
}

// state returns the index of the interface that has the name now, and whether
// it is up and has carrier.
func (s *socket) state(name string) (index int, up bool, err error) {
	ctl := s.raw.Control(func(fd uintptr) { index, up, err = interfaceState(int(fd), name) })
	return index, up, errors.Join(err, ctl)
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

// fail closes the socket and remembers the first cause; the reader wakes.
func (s *socket) fail(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.gone)
		_ = s.conn.Close()
	})
}

// cause returns why the socket was closed.
func (s *socket) cause() error {
	<-s.gone
	return s.err
}
