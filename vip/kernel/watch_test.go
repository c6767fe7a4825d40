package kernel

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// watching starts a Watch and returns what waits for one of its events.
func watching(t *testing.T, k *Kernel) func(kind EventKind, device string) Event {
	t.Helper()
	w, cancel := context.WithCancel(ctx)
	events := make(chan Event, 8192)
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(w, func(e Event) { events <- e }) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	wait := func(kind EventKind, device string) Event {
		t.Helper()
		limit := time.After(5 * time.Second)
		for {
			select {
			case e := <-events:
				if e.Kind == kind && (device == "" || e.Device == device) {
					return e
				}
			case <-limit:
				t.Fatalf("no event %q for %s", kind, device)
			}
		}
	}
	return wait
}

func TestAStrangersDeletionIsReported(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "192.0.2.2/24@"+dev, "2001:db8::1/64@"+dev)
	must(t, k.Know(ctx, set))
	must(t, k.Take(ctx, set, time.Minute))
	wait := watching(t, k)
	wait(LinkUp, dev)
	for _, text := range []string{"192.0.2.1/24", "2001:db8::1/64", "192.0.2.2/24"} {
		for range 2 { // taken again and deleted again, it is reported again
			start := time.Now()
			addr, err := netlink.ParseAddr(text)
			must(t, err)
			must(t, netlink.AddrDel(byName(t, dev), addr))
			e := wait(AddressGone, dev)
			if e.Address.Prefix.String() != text || e.Expired {
				t.Errorf("event %+v", e)
			}
			t.Logf("%s: %v after the deletion", text, time.Since(start))
			must(t, k.Take(ctx, set, time.Minute))
		}
	}
}

func TestOurOwnTakeRenewAndDropAreNoNews(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	set.Routes = []vip.Route{{Dst: mustPrefix("198.51.100.0/24"), Via: mustAddr("192.0.2.9"), Device: dev}}
	must(t, k.Know(ctx, set))
	w, cancel := context.WithCancel(ctx)
	events := make(chan Event, 8192)
	ended := make(chan error, 1)
	go func() { ended <- k.Watch(w, func(e Event) { events <- e }) }()
	for range 50 {
		must(t, k.Take(ctx, set, time.Minute))
		must(t, k.Renew(ctx, set.Addresses, time.Minute))
		must(t, k.Drop(ctx, set))
	}
	must(t, k.Take(ctx, set, time.Minute))
	time.Sleep(50 * time.Millisecond)
	cancel()
	must(t, <-ended)
	for len(events) > 0 {
		switch e := <-events; e.Kind {
		case AddressGone, AddressSeen, RouteGone:
			t.Errorf("our own doing is reported: %v %+v", e.Kind, e)
		}
	}
}

func TestALapsedAddressIsReportedAsExpired(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev)
	must(t, k.Know(ctx, set))
	wait := watching(t, k)
	must(t, k.Take(ctx, set, time.Second))
	if e := wait(AddressGone, dev); !e.Expired {
		t.Errorf("event %+v", e)
	}
}

func TestAVIPThatAStrangerSetsIsReported(t *testing.T) {
	dev, other := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "fe80::1/64@"+dev)
	must(t, k.Know(ctx, set))
	ip(t, "addr add 192.0.2.1/24 dev "+dev) // before the watch begins
	wait := watching(t, k)
	if e := wait(AddressSeen, dev); e.Address.Prefix.String() != "192.0.2.1/24" {
		t.Errorf("event %+v", e)
	}
	ip(t, "addr add 192.0.2.1/32 dev "+other) // and on another device
	if e := wait(AddressSeen, other); e.Address.Prefix.String() != "192.0.2.1/32" {
		t.Errorf("event %+v", e)
	}
	ip(t, "addr add fe80::1/64 dev "+other+" nodad") // another link: none of our business
	ip(t, "addr add 192.0.2.99/32 dev "+other)
	if e := wait(OwnAddressesChanged, ""); e.Kind != OwnAddressesChanged {
		t.Errorf("event %+v", e)
	}
}

func TestLinksAreReportedFromTheStart(t *testing.T) {
	dev, peer := veth(t)
	k, _ := newKernel(t)
	wait := watching(t, k)
	wait(LinkUp, dev)
	must(t, netlink.LinkSetDown(byName(t, peer))) // the carrier goes
	wait(LinkDown, dev)
	up(t, peer)
	wait(LinkUp, dev)
	must(t, netlink.LinkSetDown(byName(t, dev)))
	wait(LinkDown, dev)
	must(t, netlink.LinkSetName(byName(t, dev), dev+"x"))
	if e := wait(DeviceChanged, dev+"x"); e.Text != "renamed from "+dev {
		t.Errorf("event %+v", e)
	}
	must(t, netlink.LinkDel(byName(t, dev+"x")))
	if e := wait(DeviceChanged, dev+"x"); e.Text != "removed" {
		t.Errorf("event %+v", e)
	}
	addLink(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: dev}, PeerName: dev + "p"})
	if e := wait(DeviceChanged, dev); !strings.HasPrefix(e.Text, "appeared") {
		t.Errorf("event %+v", e)
	}
	// Watch has told the Kernel: no stale number, no retry.
	set := setOf(t, "192.0.2.1/24@"+dev)
	if k.mu.Lock(); k.index(dev) != uint32(byName(t, dev).Attrs().Index) {
		t.Errorf("the device table holds %d", k.index(dev))
	}
	k.mu.Unlock()
	must(t, k.Take(ctx, set, time.Minute))
}

func TestABridgePortThatLeavesIsNoDeviceThatGoes(t *testing.T) {
	dev, _ := veth(t)
	addLink(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "tbbr1"}})
	k, _ := newKernel(t)
	w, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan Event, 1000)
	go func() { _ = k.Watch(w, func(e Event) { events <- e }) }()
	must(t, netlink.LinkSetMaster(byName(t, dev), byName(t, "tbbr1")))
	must(t, netlink.LinkSetNoMaster(byName(t, dev)))
	time.Sleep(50 * time.Millisecond)
	for len(events) > 0 {
		if e := <-events; e.Kind == DeviceChanged {
			t.Errorf("event %+v", e)
		}
	}
}

func TestALostRouteIsReported(t *testing.T) {
	dev, peer := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev)
	set.Routes = []vip.Route{
		{Dst: mustPrefix("198.51.100.0/24"), Via: mustAddr("192.0.2.9"), Device: dev, Src: mustAddr("192.0.2.1")},
		{Dst: mustPrefix("2001:db8:9::/48"), Device: dev, Table: 300},
	}
	must(t, k.Know(ctx, set))
	must(t, k.Take(ctx, set, time.Minute))
	wait := watching(t, k)
	wait(LinkUp, dev)
	_ = peer
	for i, command := range []string{"route del 198.51.100.0/24", "-6 route del 2001:db8:9::/48 table 300"} {
		ip(t, command)
		if e := wait(RouteGone, dev); e.Route != set.Routes[i] {
			t.Errorf("event %+v", e)
		}
	}
	must(t, k.Take(ctx, set, time.Minute))
	must(t, netlink.LinkSetDown(byName(t, dev))) // IPv4 routes go without a word
	wait(LinkDown, dev)
	wait(RouteGone, dev)
	wait(RouteGone, dev)
	up(t, dev)
	wait(LinkUp, dev)
	must(t, k.Take(ctx, set, time.Minute))
	if out := ip(t, "route show proto 84"); !strings.Contains(out, "198.51.100.0/24") {
		t.Errorf("routes after the device came back: %s", out)
	}
}

func TestTheWatchCatchesUpAfterAnOverflow(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := vip.Set{Addresses: many(200, dev, false)}
	must(t, k.Know(ctx, set))
	must(t, k.Take(ctx, set, time.Minute))
	w, cancel := context.WithCancel(ctx)
	events := make(chan Event, 100000)
	ended := make(chan error, 1)
	block := make(chan struct{})
	var first bool
	go func() {
		ended <- k.Watch(w, func(e Event) {
			if !first { // the reader stands still while the news pile up
				first = true
				<-block
			}
			events <- e
		})
	}()
	time.Sleep(20 * time.Millisecond)
	busy := byName(t, dev)
	for i := range 6000 {
		must(t, netlink.LinkSetMTU(busy, 1400+i%2)) // each is a message of 1.5 KiB
	}
	for _, a := range set.Addresses[:10] {
		addr, err := netlink.ParseAddr(a.Prefix.String())
		must(t, err)
		must(t, netlink.AddrDel(busy, addr))
	}
	close(block)
	gone, resynced := map[string]bool{}, false
	limit := time.After(5 * time.Second)
	for len(gone) < 10 || !resynced {
		select {
		case e := <-events:
			resynced = resynced || e.Kind == Resynced
			if e.Kind == AddressGone {
				gone[e.Address.Prefix.String()] = true
			}
		case <-limit:
			t.Fatalf("resynced %v, %d of 10 deletions reported", resynced, len(gone))
		}
	}
	if len(gone) != 10 {
		t.Errorf("reported gone: %v", gone)
	}
	cancel()
	must(t, <-ended)
}

func TestAdviceNamesWhatStandsInTheWay(t *testing.T) {
	root := t.TempDir()
	write := func(path, value string) {
		must(t, os.MkdirAll(root+"/"+path[:strings.LastIndex(path, "/")], 0o755))
		must(t, os.WriteFile(root+"/"+path, []byte(value+"\n"), 0o644))
	}
	good := map[string]string{
		"forwarding": "1", "arp_ignore": "1", "promote_secondaries": "1", "rp_filter": "2",
	}
	for _, name := range []string{"all", "eth0", "eth1"} {
		for setting, value := range good {
			write("ipv4/conf/"+name+"/"+setting, value)
		}
		write("ipv6/conf/"+name+"/forwarding", "1")
		write("ipv6/conf/"+name+"/disable_ipv6", "0")
	}
	set := setOf(t, "192.0.2.1/24@eth0", "2001:db8::1/64@eth1", "198.51.100.1/24@eth1")
	set.Rules = []vip.Rule{{From: mustPrefix("192.0.2.0/24"), Table: 5, Priority: 9}}
	if out := adviceFrom(root, set, true); len(out) != 0 {
		t.Errorf("on a good machine: %q", out)
	}
	for _, c := range []struct{ path, value, word string }{
		{"ipv4/conf/eth0/forwarding", "0", "not forwarded"},
		{"ipv6/conf/all/forwarding", "0", "IPv6 is not forwarded"},
		{"ipv6/conf/eth1/forwarding", "0", "no Router flag"},
		{"ipv6/conf/eth1/disable_ipv6", "1", "IPv6 is off on eth1"},
		{"ipv4/conf/eth0/arp_ignore", "8", "unanswered"},
		{"ipv4/conf/all/rp_filter", "1", ""},
	} {
		old, err := os.ReadFile(root + "/" + c.path)
		must(t, err)
		write(c.path, c.value)
		out := adviceFrom(root, set, true)
		if c.word != "" && (len(out) != 1 || !strings.Contains(out[0], c.word)) {
			t.Errorf("with %s=%s: %q", c.path, c.value, out)
		}
		must(t, os.WriteFile(root+"/"+c.path, old, 0o644))
	}
	write("ipv4/conf/eth0/rp_filter", "1")
	write("ipv4/conf/all/rp_filter", "0")
	if out := adviceFrom(root, set, true); len(out) != 1 || !strings.Contains(out[0], "reverse path") {
		t.Errorf("with a strict filter: %q", out)
	}
	if out := adviceFrom(root, set, false); len(out) != 0 {
		t.Errorf("without transit: %q", out)
	}
	if out := Advice(setOf(t, "192.0.2.1/24@nosuch"), false); len(out) != 1 || !strings.Contains(out[0], "does not exist") {
		t.Errorf("a missing device: %q", out)
	}
}

func TestTheFilterKeepsOtherPeoplesRoutesOut(t *testing.T) {
	dev, _ := veth(t)
	s, err := subscribe()
	must(t, err)
	defer s.close()
	ip(t, "route add 198.51.100.0/24 dev "+dev)
	ip(t, "route del 198.51.100.0/24 dev "+dev)
	ip(t, fmt.Sprintf("route add 198.51.100.0/24 dev %s proto %d", dev, Protocol))
	ip(t, "route del 198.51.100.0/24 dev "+dev)
	kinds := map[uint16]int{}
	must(t, s.SetReceiveTimeout(&unix.Timeval{Usec: 100_000}))
	for {
		list, err := s.wait()
		if err != nil {
			break
		}
		for _, m := range list {
			kinds[m.Header.Type]++
		}
	}
	if kinds[unix.RTM_NEWROUTE] != 0 || kinds[unix.RTM_DELROUTE] != 1 {
		t.Errorf("of four route messages %v came through, want the removal of ours alone", kinds)
	}
}
