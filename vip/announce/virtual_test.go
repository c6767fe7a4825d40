package announce

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// macvlan puts a device with a hardware address of its own on another one.
func macvlan(t *testing.T, name, dev string, mac net.HardwareAddr) *netlink.Macvlan {
	t.Helper()
	link := &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_PRIVATE, LinkAttrs: netlink.LinkAttrs{
		Name: name, ParentIndex: byName(t, dev).Attrs().Index, HardwareAddr: mac,
	}}
	if err := netlink.LinkAdd(link); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this kernel has no macvlan")
	} else {
		must(t, err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	return link
}

// Two boxes share a hardware address. What comes from it is the other one's, since
// this one's is silent while it asks.
func TestTheSharedHardwareAddressAtThePeerIsForeign(t *testing.T) {
	dev, client := newSpace(t)
	mac := net.HardwareAddr{0, 0, 0x5e, 0, 1, 7}
	must(t, client.h.LinkSetDown(client.link("eth0")))
	must(t, client.h.LinkSetHardwareAddr(client.link("eth0"), mac))
	must(t, client.h.LinkSetUp(client.link("eth0")))
	carrier(t, dev)
	client.add("192.0.2.1/24")
	virtual := vip.VirtualName(0, dev)
	macvlan(t, virtual, dev, mac)
	a := newAnnouncer(t)
	asked := parse(t, "192.0.2.1@"+dev)
	if r, err := a.Probe(ctx, asked, 3, time.Second); err != nil || !r.Foreign || r.MAC != mac.String() {
		t.Errorf("a probe before a takeover: %+v, %v", r, err)
	}
	heard, err := a.Ask(ctx, asked, 3, 100*time.Millisecond)
	if h := heard[asked[0].Prefix.Addr()]; err != nil || h == nil || len(h.Answered) != 1 || h.Answered[0] != MAC(mac) {
		t.Errorf("the look of a standby: %+v, %v", heard, err)
	}

	// As its owner this node hears the other one's claim by the virtual device.
	up(t, virtual)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	reports := make(chan Foreign, 100)
	go func() {
		_ = a.Watch(watching, parse(t, "192.0.2.1@"+dev, "192.0.2.1@"+virtual), func(f Foreign) { reports <- f })
	}()
	var other *Announcer
	client.do(func() { other, _ = New() })
	defer other.Close()
	within(t, 5*time.Second, "the peer's claim is heard", func() bool {
		must(t, other.Announce(ctx, parse(t, "192.0.2.1@eth0"), Plan{Count: 1}))
		time.Sleep(10 * time.Millisecond)
		return len(reports) > 0
	})
	if f := <-reports; f.MAC != mac.String() {
		t.Errorf("%+v", f)
	}
	for len(reports) > 0 {
		<-reports
	}
	time.Sleep(reportEvery)
	must(t, a.Announce(ctx, parse(t, "192.0.2.1@"+virtual), Plan{Count: 3}))
	time.Sleep(50 * time.Millisecond)
	if len(reports) > 0 {
		t.Errorf("this node's own announcement counts as foreign: %+v", <-reports)
	}
}

// A takeover cannot wait: the kernel may be late by a second in calling a device
// running, but not one whose parent is.
func TestAVirtualDeviceSpeaksAsSoonAsItIsUp(t *testing.T) {
	dev, client := newSpace(t)
	mac := net.HardwareAddr{0, 0, 0x5e, 0, 1, 8}
	virtual := vip.VirtualName(1, dev)
	link := macvlan(t, virtual, dev, mac)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	reports := make(chan Foreign, 100)
	listening := make(chan struct{})
	client.do(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(bigEndian(unix.ETH_P_ARP)))
		if err != nil {
			return
		}
		go func() {
			defer unix.Close(fd)
			close(listening)
			var frame [frameBuffer]byte
			for watching.Err() == nil {
				n, _, err := unix.Recvfrom(fd, frame[:], 0)
				if c, ok := parseClaim(frame[:max(n, 0)]); err == nil && ok {
					reports <- Foreign{MAC: c.mac.String()}
				}
				time.Sleep(100 * time.Microsecond)
			}
		}()
	})
	<-listening
	a := newAnnouncer(t)
	for round := range 5 {
		must(t, netlink.LinkSetUp(link))
		must(t, a.Announce(ctx, parse(t, "192.0.2.1@"+virtual), Plan{Count: 1}))
		within(t, 500*time.Millisecond, "the announcement arrives", func() bool { return len(reports) > 0 })
		if f := <-reports; f.MAC != mac.String() {
			t.Errorf("round %d: from %s", round, f.MAC)
		}
		must(t, netlink.LinkSetDown(link))
		for len(reports) > 0 {
			<-reports
		}
	}
}
