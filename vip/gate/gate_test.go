package gate

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (l *lab) config() Config {
	return Config{
		Table: "twinbeat", Window: 2 * time.Second, Own: ownPairs,
		Groups: []Group{{ID: 0, VIPs: []netip.Addr{vip4, vip6}, Devices: []string{l.device}, Lease: time.Minute, Transit: true}},
	}
}

func open(t testing.TB, cfg Config) *Gate {
	t.Helper()
	g, err := Open(cfg)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("nftables is not possible here: %v", err)
	}
	must(t, err)
	t.Cleanup(g.Detach)
	return g
}

func grant(t testing.TB, g *Gate, group uint8) {
	t.Helper()
	must(t, g.Turn())
	must(t, g.Grant(group))
	if held, left, err := g.Held(group); !held || left <= 0 || err != nil {
		t.Fatalf("group %d after grant: held %v for %v, %v", group, held, left, err)
	}
}

func TestEveryKindOfPacketObeysTheGate(t *testing.T) {
	for _, c := range []struct {
		name        string
		bridge, old bool
	}{{"veth", false, false}, {"bridge", true, false}, {"kernel without egress hook", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, c.bridge)
			l.expect(true, l.vipProbes(), l.transitProbes(), l.ownProbes())
			cfg := l.config()
			cfg.old = c.old
			g := open(t, cfg)
			l.expect(true, l.ownProbes())
			l.expect(false, l.vipProbes(), l.transitProbes())
			grant(t, g, 0)
			l.expect(true, l.vipProbes(), l.transitProbes(), l.ownProbes())
			must(t, g.Close(0))
			l.expect(false, l.vipProbes(), l.transitProbes())
			l.expect(true, l.ownProbes())
			must(t, g.Remove())
			l.expect(true, l.vipProbes(), l.transitProbes())
		})
	}
}

func TestAnnouncementsLeaveOnlyThroughAnOpenGate(t *testing.T) {
	l := newLab(t, false)
	g := open(t, l.config())
	if !g.Info().Egress {
		t.Skip("this kernel has no egress hook")
	}
	announced := func(from netip.Addr) func() bool {
		return func() (seen bool) {
			var sniffer int
			l.in(l.client, func() { sniffer, _, _ = l.arpSocket("eth0") })
			defer unix.Close(sniffer)
			fd, to, mac := l.arpSocket(l.device)
			defer unix.Close(fd)
			_ = unix.Sendto(fd, arpPacket(mac, from, from), 0, to) // ENOBUFS when the gate drops it
			return listen(sniffer, func(p []byte) bool { return string(p[14:18]) == string(from.AsSlice()) })
		}
	}
	advertised := func() (seen bool) {
		var sniffer int
		l.in(l.client, func() { sniffer = l.socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6) })
		defer unix.Close(sniffer)
		fd := l.socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
		defer unix.Close(fd)
		must(t, unix.Bind(fd, &unix.SockaddrInet6{Addr: own6.As16()}))
		target := vip6.As16()
		link, err := netlink.LinkByName(l.device)
		must(t, err)
		_ = unix.Sendto(fd, append([]byte{neighbourAdvertisement, 0, 0, 0, 0, 0, 0, 0}, target[:]...), 0,
			&unix.SockaddrInet6{Addr: netip.MustParseAddr("ff02::1").As16(), ZoneId: uint32(link.Attrs().Index)})
		return listen(sniffer, func(p []byte) bool { return p[0] == neighbourAdvertisement && string(p[8:24]) == string(target[:]) })
	}
	leaves := func(a netip.Addr) func() bool {
		return func() (seen bool) {
			var sniffer int
			l.in(l.client, func() { sniffer = l.socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_UDP) })
			defer unix.Close(sniffer)
			fd := l.socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			defer unix.Close(fd)
			must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: a.As4()}))
			_ = unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrInet4{Addr: client4.As4(), Port: 9})
			return listen(sniffer, func(p []byte) bool { return string(p[12:16]) == string(a.AsSlice()) })
		}
	}
	gated := probes{{"gratuitous arp", announced(vip4)}, {"unsolicited advertisement", advertised}, {"udp from the vip", leaves(vip4)}}
	l.expect(false, gated)
	l.expect(true, probes{{"own announcement", announced(own4)}, {"udp from own", leaves(own4)}})
	grant(t, g, 0)
	l.expect(true, gated)
}

func TestGroupsAreIndependent(t *testing.T) {
	l := newLab(t, false)
	cfg := l.config()
	cfg.Groups[0].VIPs, cfg.Groups[0].Transit = []netip.Addr{vip4}, false
	cfg.Groups = append(cfg.Groups, Group{ID: 7, VIPs: []netip.Addr{vip6}, Devices: []string{l.device}, Lease: time.Hour, Transit: true})
	g := open(t, cfg)
	grant(t, g, 0)
	l.expect(true, probes{{"group 0", l.pings(vip4)}})
	l.expect(false, probes{{"group 7", l.pings(vip6)}, {"transit of group 7", l.pings(server4)}})
	grant(t, g, 7)
	must(t, g.Close(0))
	l.expect(false, probes{{"group 0", l.pings(vip4)}})
	l.expect(true, probes{{"group 7", l.pings(vip6)}, {"transit of group 7", l.pings(server4)}})
	if err := g.Grant(3); !errors.Is(err, ErrUnknownGroup) {
		t.Errorf("grant of a group that does not exist: %v", err)
	}
}

func TestAnotherNodesAddressIsReachedThroughThisNode(t *testing.T) {
	l := newLab(t, false)
	cfg := l.config()
	// Group 1 is at home on wan0 and held by the other node: the server plays it.
	cfg.Groups = append(cfg.Groups, Group{ID: 1, VIPs: []netip.Addr{server4, server6}, Devices: []string{"wan0"}, Lease: time.Minute})
	g := open(t, cfg)
	if !g.Info().RoutedPast {
		t.Skip("this kernel has no nft fib expression for netdev")
	}
	l.expect(false, l.transitProbes())
	grant(t, g, 0)
	l.expect(true, l.transitProbes())
	// Now this node has the address itself (say, it was stopped before it could
	// drop it): by whatever device a packet comes, it must not be answered.
	l.address("lo", server4.String()+"/32", server6.String()+"/128")
	l.expect(false, l.transitProbes())
	grant(t, g, 1)
	l.expect(true, l.transitProbes())
}

func TestSetOwnDecidesWhatIsTransit(t *testing.T) {
	l := newLab(t, false)
	cfg := l.config()
	cfg.Own = nil
	g := open(t, cfg)
	l.expect(false, probes{{"ping of an address that is not said to be own", l.pings(own4)}})
	must(t, g.SetOwn(ownPairs))
	l.expect(true, l.ownProbes())
	l.expect(false, l.vipProbes())
	must(t, g.SetOwn(ownPairs[1:]))
	l.expect(false, probes{{"ping of a former own address", l.pings(own4)}})
	l.expect(true, probes{{"ping6", l.pings(own6)}})
	must(t, g.Verify())
}

func TestADeviceMayVanishAndComeBack(t *testing.T) { eachHook(t, vanishAndComeBack) }

func vanishAndComeBack(t *testing.T, old bool) {
	l := newLab(t, false)
	cfg := l.config()
	cfg.old = old
	cfg.Groups[0].Devices = []string{"lan0", "later0"}
	g := open(t, cfg)
	if got := g.Info().Missing; !slices.Equal(got, []string{"later0"}) {
		t.Fatalf("missing devices: %v", got)
	}
	changes := l.watch(g)
	lan, err := netlink.LinkByName("lan0")
	must(t, err)
	must(t, netlink.LinkDel(lan))
	l.awaitChange(changes, Change{Kind: DeviceVanished, Device: "lan0"})
	l.cable("lan0", l.client)
	l.awaitChange(changes, Change{Kind: DeviceAppeared, Device: "lan0"})
	if !g.features.late {
		if err := g.Verify(); !errors.Is(err, ErrAltered) {
			t.Errorf("verify with an ungated device: %v", err)
		}
		must(t, g.Restore())
	}
	must(t, g.Verify())
	back := up(t, "lan0")
	l.mac = back.Attrs().HardwareAddr
	l.address("lan0", "10.1.0.2/24", "10.1.0.1/24")
	l.in(l.client, func() {
		l.address("eth0", "10.1.0.10/24")
		l.neighbour(vip4, l.mac)
	})
	l.expect(true, probes{{"own", l.pings(own4)}})
	l.expect(false, probes{{"arp", l.arps(vip4)}, {"ping", l.pings(vip4)}})
	grant(t, g, 0)
	l.expect(true, probes{{"arp", l.arps(vip4)}, {"ping", l.pings(vip4)}})
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	good := func() Config {
		return Config{Table: "t", Window: time.Second, Groups: []Group{{VIPs: []netip.Addr{vip4}, Devices: []string{"lo"}, Lease: time.Second}}}
	}
	if _, err := good().check(4 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Config){
		"table name": func(c *Config) { c.Table = "a b" },
		"groups":     func(c *Config) { c.Groups = nil },
		"id":         func(c *Config) { c.Groups[0].ID = 8 },
		"used twice": func(c *Config) {
			c.Groups = append(c.Groups, Group{VIPs: []netip.Addr{vip6}, Devices: []string{"lo"}, Lease: time.Second})
		},
		"in group 0 already": func(c *Config) {
			c.Groups = append(c.Groups, Group{ID: 1, VIPs: c.Groups[0].VIPs, Devices: []string{"lo"}, Lease: time.Second})
		},
		"no device":               func(c *Config) { c.Groups[0].Devices = nil },
		"device name":             func(c *Config) { c.Groups[0].Devices = []string{"a/b"} },
		"cannot be virtual":       func(c *Config) { c.Groups[0].VIPs = []netip.Addr{netip.MustParseAddr("ff02::1")} },
		"lease: 7ms is shorter":   func(c *Config) { c.Groups[0].Lease = 7 * time.Millisecond },
		"window: 7ms is shorter":  func(c *Config) { c.Window = 7 * time.Millisecond },
		"longer than an hour":     func(c *Config) { c.Window = 2 * time.Hour },
		"addresses, want 1..4096": func(c *Config) { c.Groups[0].VIPs = many(MaxVIPs+1, vip4) },
	} {
		c := good()
		spoil(&c)
		if _, err := c.check(4 * time.Millisecond); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestEffectiveRoundsDownToTicks(t *testing.T) {
	for _, c := range []struct{ d, tick, shortest, longest time.Duration }{
		{300, 4, 296, 300},
		{35, 4, 28, 32},
		{8, 4, 4, 8},
		{35, 10, 20, 30},
		{35, 1, 34, 35},
		{3, 4, 0, 0},
	} {
		const ms = time.Millisecond
		if s, l := effective(c.d*ms, c.tick*ms); s != c.shortest*ms || l != c.longest*ms {
			t.Errorf("effective(%d, %d): %v to %v", c.d, c.tick, s, l)
		}
	}
}

// many returns n addresses counted up from a.
func many(n int, a netip.Addr) []netip.Addr {
	list := make([]netip.Addr, n)
	for i := range list {
		list[i] = a
		a = a.Next()
	}
	return list
}

func TestOwnElementsLeaveOutVirtualOnesAndAddBroadcasts(t *testing.T) {
	v4, v6 := ownElements(ownPairs, map[netip.Addr]bool{vip4: true})
	var got []string
	for _, e := range append(v4, v6...) {
		a, _ := netip.AddrFromSlice([]byte(e.key))
		got = append(got, a.String())
	}
	want := []string{"10.1.0.2", "10.1.0.255", "10.2.0.2", "10.2.0.255", "fd00:1::2", "fd00:2::2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestALoopbackThatIsDownIsToldAtOnce(t *testing.T) {
	alone(t)
	g := open(t, loConfig(time.Minute, time.Minute))
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetDown(lo))
	if err := g.Turn(); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("turn: %v", err)
	}
	g.Detach()
	if _, err := Open(loConfig(time.Minute, time.Minute)); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("open: %v", err)
	}
}

func FuzzNetlinkMessagesOfAnyShapeAreSurvived(f *testing.F) {
	b := newBatch("t")
	b.newSet(setSpec{name: "s", keyType: typeIPv4, keyLen: 4, verdicts: true})
	b.newChain(chainSpec{"c", "lo", unix.NF_NETDEV_INGRESS})
	b.addElements("s", []element{{"abcd", "group0"}})
	f.Add(b.body)
	f.Fuzz(func(_ *testing.T, data []byte) {
		w := watcher{gate: &Gate{nl: &socket{}, cfg: Config{Table: "t"}}, fn: func(Change) {}, known: map[string]int{}}
		_ = eachMessage(data, func(m message) error {
			_ = m.errno()
			w.rule(m)
			w.link(m)
			_, _, a, _ := m.nft()
			decodeSet(a)
			decodeChain(a)
			return nil
		})
	})
}

func TestWhatIsEncodedIsDecodedTheSame(t *testing.T) {
	b := newBatch("t")
	set := setSpec{name: "s", keyType: typeIPv4, keyLen: 4, verdicts: true}
	chain := chainSpec{"c", "lo", unix.NF_NETDEV_EGRESS}
	b.newSet(set)
	b.newChain(chain)
	out, last := b.seal(7)
	var seqs []uint32
	must(t, eachMessage(out, func(m message) error {
		seqs = append(seqs, m.seq)
		switch kind, _, a, ok := m.nft(); {
		case ok && kind == unix.NFT_MSG_NEWSET && decodeSet(a) != set:
			t.Errorf("set: %+v", decodeSet(a))
		case ok && kind == unix.NFT_MSG_NEWCHAIN && decodeChain(a) != chain:
			t.Errorf("chain: %+v", decodeChain(a))
		}
		return nil
	}))
	if !slices.Equal(seqs, []uint32{7, 8, 9, 10}) || last != 10 {
		t.Errorf("sequence numbers %v, last %d", seqs, last)
	}
}

// A device that an update brings is no news, until it goes.
func TestADeviceThatAnUpdateBringsIsNotTold(t *testing.T) {
	l := newLab(t, false)
	cfg := l.config()
	cfg.Groups[0].Devices = []string{"lan0"}
	g := open(t, cfg)
	changes := l.watch(g)
	cable := func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "more0"}, PeerName: "more1"}))
		up(t, "more0")
	}
	cable()
	groups := append([]Group(nil), cfg.Groups...)
	groups[0].Devices = []string{"lan0", "more0"}
	must(t, g.Update(groups))
	more, err := netlink.LinkByName("more0")
	must(t, err)
	must(t, netlink.LinkSetMTU(more, 1400)) // the kernel tells of it
	must(t, netlink.LinkSetMTU(more, 1500))
	must(t, netlink.LinkDel(more))
	l.awaitChange(changes, Change{Kind: DeviceVanished, Device: "more0"})
	cable()
	l.awaitChange(changes, Change{Kind: DeviceAppeared, Device: "more0"})
}
