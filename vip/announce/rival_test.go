package announce

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// The real probe takes 60 ms; here everything is five times as long, so that a
// busy machine does not matter.
const slowly = 5

// closeGate drops all that comes in on the device, and what leaves in the name
// of an address, in the namespace of the calling thread.
func closeGate(device string) error {
	rules := "table netdev rivals { chain in { type filter hook ingress device " + device + " priority 0; policy drop; }; }"
	if out, err := exec.Command("nft", rules).CombinedOutput(); err != nil {
		return fmt.Errorf("close the gate: %w: %s", err, out)
	}
	return nil
}

// A rival is an announcer in a namespace of its own. Both call the device eth0.
type rival struct {
	*space
	a *Announcer
}

// rivals2 makes two rivals with a wire between them and closed gates.
func rivals2(tb testing.TB) (pair [2]rival) {
	tb.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		tb.Skip("no nft to close a gate with")
	}
	name, here := newSpace(tb)
	_, there := newSpace(tb)
	// Our end of the first wire becomes the second space's device.
	must(tb, there.h.LinkDel(there.link("eth0")))
	must(tb, netlink.LinkSetNsFd(byName(tb, name), int(there.ns)))
	must(tb, there.h.LinkSetName(there.link(name), "eth0"))
	must(tb, there.h.LinkSetUp(there.link("eth0")))
	for i, s := range []*space{here, there} {
		within(tb, 3*time.Second, "the wire has carrier", func() bool {
			return s.link("eth0").Attrs().RawFlags&unix.IFF_RUNNING != 0
		})
		var err error
		s.do(func() {
			if err = closeGate("eth0"); err == nil {
				pair[i].a, err = New()
			}
		})
		must(tb, err)
		pair[i].space = s
		tb.Cleanup(func() { must(tb, pair[i].a.Close()) })
	}
	return pair
}

// probe is a probe in the rival's namespace, after a while.
func (r rival) probe(addrs []vip.Address, wait time.Duration) chan ProbeResult {
	result := make(chan ProbeResult, 1)
	go r.do(func() {
		time.Sleep(wait)
		p, _ := r.a.Probe(ctx, addrs, 3, slowly*20*time.Millisecond)
		result <- p
	})
	return result
}

// Two nodes that meet only on the LAN, neither of which has the address: what
// the takeover of an unarmed node rests on. Whoever began first hears the
// other one, and then sends no more, so that the other may go on.
func TestOfTwoThatProbeForTheSameAddressTheFirstYields(t *testing.T) {
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "fe80::84"} {
		for _, later := range []int{10, 30, 50} {
			t.Run(fmt.Sprintf("%s %d ms later", ip, later), func(t *testing.T) {
				t.Parallel()
				pair := rivals2(t)
				addrs := parse(t, ip+"@eth0")
				first := pair[0].probe(addrs, 0)
				second := pair[1].probe(addrs, time.Duration(later)*slowly*time.Millisecond)
				if r := <-first; !r.Sent || !r.Foreign || r.Address != ip || r.MAC == "" || r.Device != "eth0" {
					t.Errorf("the first: %+v", r)
				}
				if r := <-second; !r.Sent {
					t.Errorf("the second: %+v", r)
				}
			})
		}
	}
}

func TestOfTwoThatProbeAtOnceAtLeastOneYields(t *testing.T) {
	pair := rivals2(t)
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		both := 0
		for range 4 {
			addrs := parse(t, ip+"@eth0")
			a, b := pair[0].probe(addrs, 0), pair[1].probe(addrs, 0)
			first, second := <-a, <-b
			if !first.Foreign && !second.Foreign {
				t.Errorf("%s: neither hears the other: %+v %+v", ip, first, second)
			}
			if first.Foreign && second.Foreign {
				both++
			}
		}
		t.Logf("%s: in %d of 4 both heard the other", ip, both)
	}
}

// During a change of the configuration the two nodes' lists differ, and with
// them the addresses that are asked for.
func TestARivalThatProbesForAnotherAddressOfTheGroupIsHeard(t *testing.T) {
	pair := rivals2(t)
	for _, third := range []string{"192.0.2.3", "2001:db8::3"} {
		ours := parse(t, "192.0.2.1@eth0", "192.0.2.3@eth0", "192.0.2.5@eth0", "192.0.2.7@eth0", "192.0.2.9@eth0",
			"2001:db8::1@eth0", "2001:db8::3@eth0", "2001:db8::5@eth0")
		for _, s := range Samples(ours) {
			if s.Prefix.Addr().String() == third {
				t.Fatalf("%s is asked for: this test shows nothing", third)
			}
		}
		first := pair[0].probe(ours, 0)
		second := pair[1].probe(parse(t, third+"@eth0"), slowly*10*time.Millisecond)
		if r := <-first; !r.Foreign || r.Address != third {
			t.Errorf("the first: %+v", r)
		}
		<-second
	}
}

func TestAProbeForAStrangersAddressIsNoRival(t *testing.T) {
	pair := rivals2(t)
	first := pair[0].probe(parse(t, "192.0.2.1@eth0", "2001:db8::1@eth0"), 0)
	second := pair[1].probe(parse(t, "192.0.2.2@eth0", "2001:db8::2@eth0"), slowly*10*time.Millisecond)
	if a, b := <-first, <-second; !a.Sent || !b.Sent || a.Foreign || b.Foreign {
		t.Errorf("%+v %+v", a, b)
	}
}

func TestWatchReportsNoRivalsProbe(t *testing.T) {
	dev, client := newSpace(t)
	a := newAnnouncer(t)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	reports := make(chan Foreign, 100)
	go func() {
		_ = a.Watch(watching, parse(t, "192.0.2.1@"+dev, "2001:db8::1@"+dev), func(f Foreign) { reports <- f })
	}()
	var r rival
	client.do(func() { r.a, _ = New() })
	defer r.a.Close()
	r.space = client
	<-r.probe(parse(t, "192.0.2.1@eth0", "2001:db8::1@eth0"), 0)
	// That it listens at all: a claim after the probes is the first thing heard.
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		within(t, 5*time.Second, "a claim of "+ip+" is heard", func() bool {
			must(t, r.a.Announce(ctx, parse(t, ip+"@eth0"), Plan{Count: 1}))
			time.Sleep(5 * time.Millisecond)
			return len(reports) > 0
		})
		if f := <-reports; f.Address != ip {
			t.Errorf("%s was reported before it was claimed", f.Address)
		}
	}
}
