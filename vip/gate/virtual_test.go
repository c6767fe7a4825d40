//go:build !lite && !no_virtual

package gate

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

var virtualMAC = [6]byte{0, 0, 0x5e, 0, 1, 7}

// newVirtualLab is a lab whose virtual addresses are on a macvlan device over
// lan0, set up as vip/kernel does it.
func newVirtualLab(t *testing.T, mode netlink.MacvlanMode) *lab {
	t.Helper()
	l := newLab(t, false)
	parent := up(t, "lan0")
	for _, s := range []string{"10.1.0.1/24", "fd00:1::1/64"} {
		a, err := netlink.ParseAddr(s)
		must(t, err)
		must(t, netlink.AddrDel(parent, a))
	}
	link := &netlink.Macvlan{Mode: mode, LinkAttrs: netlink.LinkAttrs{
		Name: "tv0", ParentIndex: parent.Attrs().Index, HardwareAddr: net.HardwareAddr(virtualMAC[:]),
	}}
	if err := netlink.LinkAdd(link); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this kernel has no macvlan")
	} else {
		must(t, err)
	}
	for path, value := range map[string]string{
		"ipv4/conf/lan0/arp_ignore": "1", "ipv4/conf/lan0/arp_announce": "2",
		"ipv4/conf/tv0/arp_ignore": "1", "ipv4/conf/tv0/arp_announce": "2", "ipv4/conf/tv0/rp_filter": "2",
	} {
		must(t, os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644))
	}
	l.device = "tv0"
	l.in(l.client, func() {
		l.neighbour(vip4, virtualMAC[:])
		l.neighbour(vip6, virtualMAC[:])
	})
	return l
}

func (l *lab) virtualConfig() Config {
	cfg := l.config()
	cfg.Groups[0].Devices = []string{"lan0"}
	cfg.Groups[0].Virtual = []vip.Virtual{{Device: "tv0", Parent: "lan0", MAC: virtualMAC}}
	return cfg
}

// A tap hears on the client's cable every frame from the virtual address.
func (l *lab) tap() (seen func() int) {
	l.t.Helper()
	var fd int
	l.in(l.client, func() {
		fd = l.socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(bigEndian16(unix.ETH_P_ALL)))
		must(l.t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian16(unix.ETH_P_ALL), Ifindex: up(l.t, "eth0").Attrs().Index}))
		must(l.t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	})
	l.t.Cleanup(func() { unix.Close(fd) })
	return func() (n int) {
		buf := make([]byte, 9000)
		for {
			size, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return n
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && size >= 14 && string(buf[6:12]) == string(virtualMAC[:]) {
				n++
			}
		}
	}
}

// provoke makes the node want to send by the virtual device in every way.
func (l *lab) provoke() {
	l.t.Helper()
	frame := func(ether uint16) []byte {
		f := append([]byte{255, 255, 255, 255, 255, 255}, virtualMAC[:]...)
		f = append(f, byte(ether>>8), byte(ether))
		return append(f, make([]byte, 60)...)
	}
	for _, device := range []string{"tv0", "lan0"} {
		for _, bypass := range []int{0, 1} {
			fd := l.socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
			must(l.t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, bypass*b2i(device == "tv0")))
			link, err := netlink.LinkByName(device)
			must(l.t, err)
			for _, ether := range []uint16{unix.ETH_P_ARP, unix.ETH_P_IP, unix.ETH_P_IPV6, 0x88cc, 0x1234} {
				_ = unix.Sendto(fd, frame(ether), 0, &unix.SockaddrLinklayer{Protocol: bigEndian16(ether), Ifindex: link.Attrs().Index, Halen: 6})
			}
			unix.Close(fd)
		}
	}
	for _, line := range [][]string{ // groups, router solicitations, duplicate address detection, neighbours
		{"link", "set", "tv0", "down"},
		{"link", "set", "tv0", "up"},
		{"address", "replace", "10.1.0.1/24", "dev", "tv0"},
		{"address", "replace", "fd00:1::1/64", "dev", "tv0", "nodad"},
		{"address", "replace", "fe80::7777/64", "dev", "tv0"},
		{"maddress", "add", "33:33:00:00:77:77", "dev", "tv0"},
	} {
		if out, err := exec.Command("ip", line...).CombinedOutput(); err != nil {
			l.t.Fatalf("ip %v: %v: %s", line, err, out)
		}
	}
	for _, line := range [][]string{{"10.1.0.1", "10.1.0.99"}, {"fd00:1::1", "fd00:1::99"}} {
		_ = exec.Command("ping", "-I", line[0], "-c", "1", "-W", "1", line[1]).Run() // nobody answers
	}
	_ = exec.Command("ip", "maddress", "del", "33:33:00:00:77:77", "dev", "tv0").Run()
	_ = exec.Command("ip", "address", "del", "fe80::7777/64", "dev", "tv0").Run()
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestNothingPassesAVirtualDeviceWithoutTheLease(t *testing.T) {
	l := newVirtualLab(t, netlink.MACVLAN_MODE_PRIVATE)
	seen := l.tap()
	cfg := l.virtualConfig()
	cfg.Groups[0].Lease = 800 * time.Millisecond
	g := open(t, cfg)
	dark := func(when string) {
		t.Helper()
		seen()
		l.provoke()
		l.expect(false, l.vipProbes(), l.transitProbes())
		l.expect(true, l.ownProbes())
		time.Sleep(50 * time.Millisecond)
		if n := seen(); n != 0 {
			t.Errorf("%s: %d frames left from the virtual hardware address", when, n)
		}
	}
	dark("never granted")
	plain := l.virtualConfig()
	plain.Groups[0].Lease, plain.Groups[0].Transit = cfg.Groups[0].Lease, false
	must(t, g.Update(plain.Groups))
	dark("never granted, transit not gated elsewhere")
	must(t, g.Update(cfg.Groups))
	renewing := func(stop chan struct{}, done chan struct{}) {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				if g.Turn() != nil || g.Renew(0) != nil {
					return
				}
			}
		}
	}
	grant(t, g, 0)
	stop, done := make(chan struct{}), make(chan struct{})
	go renewing(stop, done)
	l.expect(true, l.vipProbes(), l.transitProbes(), l.ownProbes())
	if n := seen(); n == 0 {
		t.Error("an open gate let no frame from the virtual hardware address pass")
	}
	l.answersFrom(vip4, virtualMAC)
	l.answersFrom(own4, [6]byte(l.mac))
	close(stop)
	<-done
	time.Sleep(cfg.Groups[0].Lease + 50*time.Millisecond) // and nobody does anything
	dark("the lease has lapsed")
	grant(t, g, 0)
	l.expect(true, probes{{"ping", l.pings(vip4)}})
	must(t, g.Close(0))
	dark("closed")
}

// answersFrom holds that one hardware address, and no other, answers ARP.
func (l *lab) answersFrom(a netip.Addr, want [6]byte) {
	l.t.Helper()
	l.in(l.client, func() {
		fd, to, mac := l.arpSocket("eth0")
		defer unix.Close(fd)
		must(l.t, unix.Sendto(fd, arpPacket(mac, client4, a), 0, to))
		n := 0
		listen(fd, func(p []byte) bool {
			if len(p) >= 28 && p[7] == 2 && string(p[14:18]) == string(a.AsSlice()) {
				n++
				if [6]byte(p[8:14]) != want {
					l.t.Errorf("%x answers for %v, want %x alone", p[8:14], a, want)
				}
			}
			return false
		})
		if n == 0 {
			l.t.Errorf("nobody answers for %v", a)
		}
	})
}

func TestAVirtualDeviceStandsOnOneOfItsGroup(t *testing.T) {
	v := vip.Virtual{Device: "tv0", Parent: "lan0", MAC: virtualMAC}
	one := Group{ID: 0, VIPs: []netip.Addr{vip4}, Devices: []string{"lan0"}, Lease: time.Minute, Virtual: []vip.Virtual{v}}
	two := Group{ID: 1, VIPs: []netip.Addr{vip6}, Devices: []string{"lan0"}, Lease: time.Minute}
	for name, groups := range map[string][]Group{
		"a parent elsewhere": {{ID: 0, VIPs: one.VIPs, Devices: []string{"wan0"}, Lease: time.Minute, Virtual: one.Virtual}},
		"its own parent":     {{ID: 0, VIPs: one.VIPs, Devices: []string{"lan0"}, Lease: time.Minute, Virtual: []vip.Virtual{{Device: "lan0", Parent: "lan0"}}}},
	} {
		if _, err := (Config{Table: "t", Window: time.Second, Groups: groups}).check(time.Millisecond); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := (Config{Table: "t", Window: time.Second, Groups: []Group{one, two}}).check(time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestAKernelThatCannotGateWhatLeavesHasNoVirtualDevices(t *testing.T) {
	l := newVirtualLab(t, netlink.MACVLAN_MODE_PRIVATE)
	cfg := l.virtualConfig()
	cfg.old = true
	if g, err := Open(cfg); !errors.Is(err, ErrNoEgress) {
		t.Errorf("opened %v: %v", g, err)
	}
}
