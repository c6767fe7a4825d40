package announce

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

var ctx = context.Background()

func newAnnouncer(tb testing.TB) *Announcer {
	tb.Helper()
	a, err := New()
	must(tb, err)
	tb.Cleanup(func() { must(tb, a.Close()) })
	return a
}

// capture hears all ARP and ICMPv6 claims that reach the client, until stopped.
func (s *space) capture() (stop func() [][]byte) {
	s.tb.Helper()
	fd := -1
	s.do(func() {
		index := s.link("eth0").Attrs().Index
		fd, _ = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_ALL)))
		if fd >= 0 {
			// Thousands of frames may come before a busy machine reads one.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
			_ = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: index})
		}
	})
	if fd < 0 {
		s.tb.Fatal("cannot capture")
	}
	// Read all the time: without privilege the socket holds a few hundred frames.
	done, frames := make(chan struct{}), make(chan [][]byte, 1)
	go func() {
		defer unix.Close(fd)
		var got [][]byte
		for over := false; !over; {
			select {
			case <-done:
				over = true
			case <-time.After(time.Millisecond):
			}
			got = receive(fd, got)
		}
		frames <- got
	}()
	var once sync.Once
	end := func() { once.Do(func() { close(done) }) }
	s.tb.Cleanup(end)
	return func() [][]byte {
		end()
		return <-frames
	}
}

// receive appends the frames that have come in.
func receive(fd int, frames [][]byte) [][]byte {
	buffer := make([]byte, 2048)
	for range 100000 {
		n, from, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		if err != nil {
			break
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
			frames = append(frames, append([]byte{}, buffer[:n]...))
		}
	}
	return frames
}

func macOf(tb testing.TB, name string) MAC {
	tb.Helper()
	return MAC(byName(tb, name).Attrs().HardwareAddr)
}

// claimsIn counts the captured frames that claim an address for the MAC.
func claimsIn(frames [][]byte, mac MAC) (requests, replies, advertisements int, routers int) {
	for _, f := range frames {
		c, ok := parseClaim(f)
		switch {
		case !ok || c.mac != mac:
		case c.ip.Is6():
			if f[54+1] == 0 && f[6] == mac[0] && f[58]&flagOverride != 0 {
				advertisements++
			}
			if f[58]&flagRouter != 0 {
				routers++
			}
		case f[21] == arpRequest:
			requests++
		default:
			replies++
		}
	}
	return requests, replies, advertisements, routers
}

func TestARoundSendsBothARPFormsAndOneAdvertisement(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	stop := client.capture()
	addrs := parse(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	must(t, a.Announce(ctx, addrs, Plan{Count: 3, Spacing: time.Millisecond}))
	requests, replies, nas, routers := claimsIn(stop(), macOf(t, dev))
	if requests != 3 || replies != 3 || nas != 3 || routers != 0 {
		t.Errorf("%d requests, %d replies, %d advertisements, %d of them with Router flag", requests, replies, nas, routers)
	}
}

func TestTheRouterFlagFollowsForwarding(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	for value, want := range map[string]int{"0": 0, "1": 1} {
		sysctl(t, "ipv6/conf/"+dev+"/forwarding", value)
		stop := client.capture()
		must(t, a.Announce(ctx, parse(t, "2001:db8::1/64@"+dev), Plan{Count: 1}))
		if _, _, nas, routers := claimsIn(stop(), macOf(t, dev)); nas != 1 || routers != want {
			t.Errorf("forwarding %s: %d advertisements, %d with Router flag", value, nas, routers)
		}
	}
}

// neighbour is what the client believes about an address.
func (s *space) neighbour(text string) string {
	s.tb.Helper()
	list, err := s.h.NeighList(s.link("eth0").Attrs().Index, netlink.FAMILY_ALL)
	must(s.tb, err)
	for _, n := range list {
		if n.IP.String() == text && n.HardwareAddr != nil {
			return n.HardwareAddr.String()
		}
	}
	return ""
}

func (s *space) believe(text, mac string) {
	s.tb.Helper()
	addr := netip.MustParseAddr(text)
	hw := MAC{}
	for i, part := range strings.Split(mac, ":") {
		b := []byte(part)
		hw[i] = hexDigit(b[0])<<4 | hexDigit(b[1])
	}
	must(s.tb, s.h.NeighSet(&netlink.Neigh{
		LinkIndex: s.link("eth0").Attrs().Index, IP: addr.AsSlice(), HardwareAddr: hw[:], State: netlink.NUD_STALE,
	}))
}

func hexDigit(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func TestTheClientsTablesMoveToTheAnnouncer(t *testing.T) {
	dev, client := newSpace(t)
	client.add("192.0.2.50/24")
	client.add("2001:db8::50/64")
	a := newAnnouncer(t)
	want := macOf(t, dev).String()
	const old = "02:de:ad:00:00:01"
	for name, announce := range map[string]func() error{
		"192.0.2.1": func() error { return a.batch(ctx, []job{{four, dev, arpRequest}}, yes) },
		"192.0.2.2": func() error { return a.batch(ctx, []job{{four.Next(), dev, arpReply}}, yes) },
		"2001:db8::1": func() error {
			return a.Announce(ctx, parse(t, "2001:db8::1/64@"+dev), Plan{Count: 1})
		},
	} {
		client.believe(name, old)
		if got := client.neighbour(name); got != old {
			t.Fatalf("the client believes %q", got)
		}
		must(t, announce())
		within(t, time.Second, "the client believes the announcer about "+name, func() bool {
			return client.neighbour(name) == want
		})
	}
}

func yes() bool { return true }

// The kernel advertises its addresses by itself when the hardware address of a
// device changes: a second opinion on every byte of ours.
func TestOurAdvertisementEqualsTheKernels(t *testing.T) {
	for _, forwarding := range []string{"0", "1"} {
		dev, client := newSpace(t)
		sysctl(t, "ipv6/conf/"+dev+"/forwarding", forwarding)
		sysctl(t, "ipv6/conf/"+dev+"/ndisc_notify", "1")
		addr, err := netlink.ParseAddr("2001:db8::1/64")
		must(t, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(byName(t, dev), addr))
		stop := client.capture()
		must(t, netlink.LinkSetHardwareAddr(byName(t, dev), testMAC[:]))
		time.Sleep(50 * time.Millisecond)
		ours := string(appendAdvertisement(nil, testMAC, six, forwards(dev)))
		seen := 0
		for _, f := range stop() {
			if c, ok := parseClaim(f); ok && c.ip == six {
				seen++
				if string(f) != ours {
					t.Errorf("forwarding %s: the kernel sends\n%x\nand we\n%x", forwarding, f, ours)
				}
			}
		}
		if seen == 0 {
			t.Error("the kernel sent no advertisement: this test shows nothing")
		}
	}
}

func TestNoFrameLeavesOnceTheOwnerSaysNo(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	stop := client.capture()
	asked := 0
	owner := func() bool { asked++; return asked <= 2 }
	err := a.Announce(ctx, thousand(dev), Plan{Count: 5, Owner: owner})
	if !errors.Is(err, ErrNotOwner) {
		t.Errorf("announce: %v", err)
	}
	if requests, replies, _, _ := claimsIn(stop(), macOf(t, dev)); requests != 2*maxBatch || replies != 0 {
		t.Errorf("%d requests and %d replies went out, want two batches", requests, replies)
	}
}

func thousand(dev string) []vip.Address {
	addrs := make([]vip.Address, 1000)
	ip := netip.MustParseAddr("10.84.0.1")
	for i := range addrs {
		addrs[i] = vip.Address{Prefix: netip.PrefixFrom(ip, 16), Device: dev}
		ip = ip.Next()
	}
	return addrs
}

func TestAThousandAddressesAreEachAnnouncedFirstInOneForm(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	stop := client.capture()
	start := time.Now()
	must(t, a.Announce(ctx, thousand(dev), Plan{Count: 1, Pace: 20000}))
	t.Logf("one round of 2,000 frames took %v", time.Since(start))
	frames := stop()
	seen := map[netip.Addr]int{}
	for i, f := range frames {
		c, ok := parseClaim(f)
		if !ok {
			continue
		}
		seen[c.ip]++
		if f[21] == arpReply && len(seen) < 1000 {
			t.Fatalf("frame %d is a second form while only %d addresses have had a first", i, len(seen))
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d addresses were announced", len(seen))
	}
}

func TestTheBucketKeepsThePace(t *testing.T) {
	b := newBucket(Plan{Pace: 10000, Burst: -1})
	start := time.Now()
	for range 11 {
		must(t, b.wait(ctx, 50))
	}
	// 500 frames before the last batch, at 10,000 a second.
	if took := time.Since(start); took < 45*time.Millisecond {
		t.Errorf("550 frames at 10,000 a second were let go in %v", took)
	}
}

func TestADeviceThatIsDownDoesNotKeepTheOthersSilent(t *testing.T) {
	dev, client := newSpace(t)
	down, _ := newSpace(t)
	must(t, netlink.LinkSetDown(byName(t, down)))
	a := newAnnouncer(t)
	stop := client.capture()
	err := a.Announce(ctx, parse(t, "192.0.2.1/24@"+down, "198.51.100.1/24@"+dev, "192.0.2.9/32@lo"), Plan{Count: 1})
	if err == nil || !strings.Contains(err.Error(), down) || strings.Contains(err.Error(), "lo:") {
		t.Errorf("announce: %v", err)
	}
	if requests, replies, _, _ := claimsIn(stop(), macOf(t, dev)); requests != 1 || replies != 1 {
		t.Errorf("%d requests, %d replies on the device that is up", requests, replies)
	}
}

func TestAnAnnouncementEndsWithItsContext(t *testing.T) {
	dev, _ := newSpace(t)
	a := newAnnouncer(t)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	err := a.Announce(short, parse(t, "192.0.2.1/24@"+dev), Plan{Count: 2, Spacing: time.Hour})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("announce: %v", err)
	}
}

func TestANewHardwareAddressIsAnnounced(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	addrs := parse(t, "192.0.2.1/24@"+dev)
	must(t, a.Announce(ctx, addrs, Plan{Count: 1}))
	next := MAC{0x02, 0x54, 0, 0, 0, 7}
	must(t, netlink.LinkSetHardwareAddr(byName(t, dev), next[:]))
	stop := client.capture()
	must(t, a.Announce(ctx, addrs, Plan{Count: 1}))
	if requests, _, _, _ := claimsIn(stop(), next); requests != 1 {
		t.Errorf("%d requests from the new hardware address", requests)
	}
}
