package gate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// patience is how long a probe waits for an answer that must come, and gate
// tests wait for one that must not.
const patience = 60 * time.Millisecond

// A lab is a router under test between a client and a server, each in a network
// namespace:
//
//	client eth0 10.1.0.10 fd00:1::10 --- lan0 10.1.0.2 router wan0 10.2.0.2 --- 10.2.0.10 eth0 server
//
// The virtual addresses 10.1.0.1 and fd00:1::1 are on lan0 (or on the bridge
// br0 above it). The client has stale neighbour entries for them and routes to
// the server through them.
type lab struct {
	t                      *testing.T
	router, client, server netns.NsHandle
	device                 string // lan0 or br0
	mac                    net.HardwareAddr
}

var (
	vip4     = netip.MustParseAddr("10.1.0.1")
	vip6     = netip.MustParseAddr("fd00:1::1")
	own4     = netip.MustParseAddr("10.1.0.2")
	own6     = netip.MustParseAddr("fd00:1::2")
	client4  = netip.MustParseAddr("10.1.0.10")
	client6  = netip.MustParseAddr("fd00:1::10")
	server4  = netip.MustParseAddr("10.2.0.10")
	server6  = netip.MustParseAddr("fd00:2::10")
	ownPairs = []netip.Prefix{
		netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd00:1::2/64"),
		netip.MustParsePrefix("10.2.0.2/24"), netip.MustParsePrefix("fd00:2::2/64"),
		netip.MustParsePrefix("10.1.0.1/24"), // a VIP: must be ignored
	}
)

// alone moves the calling test into a new network namespace with loopback up.
// The thread is not given back: it ends with the test.
func alone(t testing.TB) netns.NsHandle {
	t.Helper()
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Skipf("network namespaces are not possible here: %v", err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	up(t, "lo")
	// No duplicate address detection: it would delay every IPv6 address by a second.
	must(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/dad_transmits", []byte("0"), 0o644))
	return ns
}

func up(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Fatalf("set %s up: %v", name, err)
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newLab(t *testing.T, bridge bool) *lab {
	t.Helper()
	l := &lab{t: t, device: "lan0"}
	l.client, l.server = alone(t), alone(t)
	l.router = alone(t)
	for _, n := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		must(t, os.WriteFile("/proc/sys/net/"+n, []byte("1"), 0o644))
	}
	l.cable("lan0", l.client)
	l.cable("wan0", l.server)
	if bridge {
		l.device = "br0"
		must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
		must(t, netlink.LinkSetMaster(up(t, "lan0"), up(t, "br0")))
	}
	lan := up(t, l.device)
	l.mac = lan.Attrs().HardwareAddr
	l.address(l.device, "10.1.0.2/24", "fd00:1::2/64", "10.1.0.1/24", "fd00:1::1/64")
	l.address("wan0", "10.2.0.2/24", "fd00:2::2/64")
	l.in(l.client, func() {
		l.address("eth0", "10.1.0.10/24", "fd00:1::10/64")
		l.neighbour(vip4, l.mac)
		l.neighbour(vip6, l.mac)
		l.route("10.2.0.0/24", vip4)
		l.route("fd00:2::/64", vip6)
	})
	l.in(l.server, func() {
		l.address("eth0", "10.2.0.10/24", "fd00:2::10/64")
		l.route("10.1.0.0/24", netip.MustParseAddr("10.2.0.2"))
		l.route("fd00:1::/64", netip.MustParseAddr("fd00:2::2"))
	})
	if !l.eventually(l.pings(own4)) || !l.eventually(l.pings(own6)) {
		t.Fatal("the lab does not work")
	}
	return l
}

// cable connects a device of this namespace to eth0 of another.
func (l *lab) cable(name string, other netns.NsHandle) {
	l.t.Helper()
	must(l.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(other)}))
	up(l.t, name)
	l.in(other, func() { up(l.t, "eth0") })
}

func (l *lab) address(device string, list ...string) {
	l.t.Helper()
	for _, s := range list {
		a, err := netlink.ParseAddr(s)
		must(l.t, err)
		a.Flags = unix.IFA_F_NODAD
		must(l.t, netlink.AddrAdd(up(l.t, device), a))
	}
}

func (l *lab) neighbour(a netip.Addr, mac net.HardwareAddr) {
	l.t.Helper()
	must(l.t, netlink.NeighSet(&netlink.Neigh{LinkIndex: up(l.t, "eth0").Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac}))
}

func (l *lab) route(dst string, via netip.Addr) {
	l.t.Helper()
	d, err := netlink.ParseIPNet(dst)
	must(l.t, err)
	must(l.t, netlink.RouteReplace(&netlink.Route{Dst: d, Gw: via.AsSlice()}))
}

// in runs f in another namespace and comes back.
func (l *lab) in(ns netns.NsHandle, f func()) {
	l.t.Helper()
	here, err := netns.Get()
	must(l.t, err)
	defer here.Close()
	must(l.t, netns.Set(ns))
	f()
	must(l.t, netns.Set(here))
}

// eventually repeats a probe for about two seconds, for what needs time to settle.
func (l *lab) eventually(probe func() bool) bool {
	for range 32 {
		if probe() {
			return true
		}
	}
	return false
}

// A probe asks from the client whether something passes.
type probes []struct {
	name string
	ask  func() bool
}

func (l *lab) vipProbes() probes {
	return probes{
		{"arp", l.arps(vip4)},
		{"neighbour discovery", l.solicits(vip6)},
		{"ping", l.pings(vip4)},
		{"ping6", l.pings(vip6)},
		{"fragmented ping", l.pingsBig(vip4)},
		{"udp", l.udp(vip4)},
		{"udp6", l.udp(vip6)},
		{"tcp", l.tcp(vip4)},
		{"tcp6", l.tcp(vip6)},
	}
}

func (l *lab) transitProbes() probes {
	return probes{{"transit", l.pings(server4)}, {"transit6", l.pings(server6)}}
}

func (l *lab) ownProbes() probes {
	return probes{{"own arp", l.arps(own4)}, {"own ping", l.pings(own4)}, {"own ping6", l.pings(own6)}, {"own nd", l.solicits(own6)}}
}

func (l *lab) expect(want bool, lists ...probes) {
	l.t.Helper()
	for _, list := range lists {
		for _, p := range list {
			got := p.ask()
			if !got && want {
				got = l.eventually(p.ask)
			}
			if got != want {
				l.t.Errorf("%s passes: %v, want %v", p.name, got, want)
			}
		}
	}
}

// listen reads packets until match likes one or patience ends.
func listen(fd int, match func([]byte) bool) bool {
	buf := make([]byte, 9000)
	for begin := time.Now(); time.Since(begin) < patience; {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		switch {
		case err == nil && match(buf[:n]):
			return true
		case err == unix.EAGAIN:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5)
		}
	}
	return false
}

func (l *lab) socket(domain, kind, protocol int) int {
	l.t.Helper()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	must(l.t, err)
	return fd
}

// arpPacket is an ARP request from one address to another.
func arpPacket(mac net.HardwareAddr, from, to netip.Addr) []byte {
	p := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, mac...)
	p = append(p, from.AsSlice()...)
	return append(append(p, 0, 0, 0, 0, 0, 0), to.AsSlice()...)
}

func (l *lab) arpSocket(device string) (int, *unix.SockaddrLinklayer, net.HardwareAddr) {
	fd := l.socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(bigEndian16(unix.ETH_P_ARP)))
	link, err := netlink.LinkByName(device)
	must(l.t, err)
	to := &unix.SockaddrLinklayer{Protocol: bigEndian16(unix.ETH_P_ARP), Ifindex: link.Attrs().Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	must(l.t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: to.Protocol, Ifindex: to.Ifindex}))
	return fd, to, link.Attrs().HardwareAddr
}

func (l *lab) arps(a netip.Addr) func() bool {
	return func() (answered bool) {
		l.in(l.client, func() {
			fd, to, mac := l.arpSocket("eth0")
			defer unix.Close(fd)
			must(l.t, unix.Sendto(fd, arpPacket(mac, client4, a), 0, to))
			answered = listen(fd, func(p []byte) bool {
				return len(p) >= 28 && p[7] == 2 && string(p[14:18]) == string(a.AsSlice())
			})
		})
		return answered
	}
}

func (l *lab) solicits(a netip.Addr) func() bool {
	return func() (answered bool) {
		l.in(l.client, func() {
			fd := l.socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
			defer unix.Close(fd)
			must(l.t, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255))
			must(l.t, unix.Bind(fd, &unix.SockaddrInet6{Addr: client6.As16()}))
			link, err := netlink.LinkByName("eth0")
			must(l.t, err)
			raw := a.As16()
			group := netip.MustParseAddr("ff02::1:ff00:0").As16()
			copy(group[13:], raw[13:])
			solicitation := append([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, raw[:]...)
			solicitation = append(append(solicitation, 1, 1), link.Attrs().HardwareAddr...)
			must(l.t, unix.Sendto(fd, solicitation, 0, &unix.SockaddrInet6{Addr: group, ZoneId: uint32(link.Attrs().Index)}))
			answered = listen(fd, func(p []byte) bool {
				return len(p) >= 24 && p[0] == neighbourAdvertisement && string(p[8:24]) == string(raw[:])
			})
		})
		return answered
	}
}

func (l *lab) pings(a netip.Addr) func() bool    { return l.ping(a, 16) }
func (l *lab) pingsBig(a netip.Addr) func() bool { return l.ping(a, 4000) }

func (l *lab) ping(a netip.Addr, size int) func() bool {
	return func() (answered bool) {
		l.in(l.client, func() {
			echo := make([]byte, 8+size)
			stamp := binary.NativeEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
			copy(echo[8:], stamp)
			match := func(p []byte) bool {
				return len(p) >= 16+size-8 && string(p[len(p)-size:len(p)-size+8]) == string(stamp) && p[len(p)-size-8] != echo[0]
			}
			if a.Is4() {
				echo[0] = 8
				sum := uint32(0)
				for i := 0; i < len(echo); i += 2 {
					sum += uint32(binary.BigEndian.Uint16(echo[i:]))
				}
				sum = sum>>16 + sum&0xffff
				binary.BigEndian.PutUint16(echo[2:], ^uint16(sum+sum>>16))
				fd := l.socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
				defer unix.Close(fd)
				answered = unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: a.As4()}) == nil && listen(fd, match)
				return
			}
			echo[0] = 128
			fd := l.socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
			defer unix.Close(fd)
			answered = unix.Sendto(fd, echo, 0, &unix.SockaddrInet6{Addr: a.As16()}) == nil && listen(fd, match)
		})
		return answered
	}
}

// udp asks an echo server on the router.
func (l *lab) udp(a netip.Addr) func() bool {
	return func() (answered bool) {
		server, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 7777)))
		must(l.t, err)
		defer server.Close()
		go func() {
			buf := make([]byte, 64)
			if n, from, err := server.ReadFromUDPAddrPort(buf); err == nil {
				_, _ = server.WriteToUDPAddrPort(buf[:n], from)
			}
		}()
		l.in(l.client, func() {
			c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 7777)))
			must(l.t, err)
			defer c.Close()
			_, _ = c.Write([]byte("hello"))
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 64))
			answered = err == nil
		})
		return answered
	}
}

func (l *lab) tcp(a netip.Addr) func() bool {
	return func() (answered bool) {
		server, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 7777)))
		must(l.t, err)
		defer server.Close()
		l.in(l.client, func() {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(a, 7777).String(), patience)
			if answered = err == nil; answered {
				_ = c.Close()
			}
		})
		return answered
	}
}

func nft(args ...string) (string, error) {
	out, err := exec.Command("nft", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "", err
	}
	if err != nil {
		return string(out), fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// mustNft runs nft, which only tests use, to play the stranger.
func mustNft(t testing.TB, args ...string) string {
	t.Helper()
	out, err := nft(args...)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("nft is not installed")
	}
	must(t, err)
	return out
}
