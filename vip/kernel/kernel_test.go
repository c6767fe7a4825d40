package kernel

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

var ctx = context.Background()

func TestTakeSetsAddressesAsIPWould(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "192.0.2.9/32@"+dev+" label "+dev+":vip scope link", "2001:db8::1/64@"+dev, "fe80::1/64@"+dev)
	must(t, k.Take(ctx, set, 5*time.Second))

	four := shown(t, dev, "inet")
	a := four["192.0.2.1/24"]
	if a.Broadcast != "192.0.2.255" || a.Label != dev || a.Scope != "global" {
		t.Errorf("192.0.2.1/24 is %+v", a)
	}
	if a.Valid < 3 || a.Valid > 5 || a.Preferred > 5 {
		t.Errorf("lifetime is %d/%d s, want 5", a.Valid, a.Preferred)
	}
	if b := four["192.0.2.9/32"]; b.Label != dev+":vip" || b.Scope != "link" || b.Broadcast != "" {
		t.Errorf("192.0.2.9/32 is %+v", b)
	}
	six := shown(t, dev, "inet6")
	for _, text := range []string{"2001:db8::1/64", "fe80::1/64"} {
		if a := six[text]; !a.usable() || !a.NoDAD {
			t.Errorf("%s is %+v: want it usable at once", text, a)
		}
	}
	held, err := k.Held(ctx, set)
	must(t, err)
	if d := vip.Diff(set, vip.Set{Addresses: held}); !d.Empty() || len(d.Renew) != 4 {
		t.Errorf("what is held differs from what was taken: %+v", d)
	}
}

func TestTakeAndDropAreIdempotent(t *testing.T) {
	dev, _ := veth(t)
	k, findings := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	for range 3 {
		must(t, k.Take(ctx, set, 5*time.Second))
	}
	if held, _ := k.Held(ctx, set); len(held) != 2 {
		t.Errorf("held %v", held)
	}
	for range 3 {
		must(t, k.Drop(ctx, set))
	}
	if held, _ := k.Held(ctx, set); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
	for _, f := range *findings {
		if f.Kind != Promoted {
			t.Errorf("unexpected finding %v: %s", f.Kind, f.Text)
		}
	}
}

func TestPermanentAddressesStay(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	must(t, k.Take(ctx, setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev), 0))
	for text, a := range shown(t, dev, "") {
		if a.Dynamic {
			t.Errorf("%s has a lifetime of %d s", text, a.Valid)
		}
	}
}

func TestTheKernelRemovesAddressesThatAreNotRenewed(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	must(t, k.Take(ctx, set, time.Second))
	for range 3 { // renewed, they outlive their first lifetime
		time.Sleep(500 * time.Millisecond)
		must(t, k.Renew(ctx, set.Addresses, time.Second))
	}
	within(t, 3*time.Second, "the addresses go", func() bool {
		held, err := k.Held(ctx, set)
		must(t, err)
		return len(held) == 0
	})
	err := k.Renew(ctx, set.Addresses, time.Second)
	var missing *MissingError
	if !errors.As(err, &missing) || len(missing.Addresses) != 2 {
		t.Errorf("renewing lapsed addresses: %v", err)
	}
	if held, _ := k.Held(ctx, set); len(held) != 0 {
		t.Errorf("a late renewal revived %v", held)
	}
}

func TestRenewNamesWhatIsMissingAndRenewsTheRest(t *testing.T) {
	for _, compare := range []bool{true, false} {
		dev, _ := veth(t)
		k, _ := newKernel(t)
		if compare && k.compare != [2]bool{true, true} {
			t.Errorf("this kernel cannot compare: %v", k.compare)
		}
		if !compare {
			k.compare = [2]bool{}
		}
		as := parse(t, "192.0.2.1/24@"+dev, "192.0.2.2/24@"+dev, "2001:db8::1/64@"+dev, "2001:db8::2/64@"+dev)
		must(t, k.Take(ctx, vip.Set{Addresses: as}, 2*time.Second))
		ip(t, "addr del 192.0.2.2/24 dev "+dev)
		ip(t, "addr del 2001:db8::2/64 dev "+dev)
		err := k.Renew(ctx, as, 100*time.Second)
		var missing *MissingError
		if !errors.As(err, &missing) || len(missing.Addresses) != 2 {
			t.Fatalf("renew: %v", err)
		}
		now := shown(t, dev, "")
		for _, text := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
			if now[text].Valid < 90 {
				t.Errorf("%s was not renewed: %d s", text, now[text].Valid)
			}
		}
		for _, text := range []string{"192.0.2.2/24", "2001:db8::2/64"} {
			if _, ok := now[text]; ok {
				t.Errorf("%s was revived", text)
			}
		}
	}
}

func TestDroppingThePrimaryAddressLeavesTheOthersOfItsSubnet(t *testing.T) {
	dev, _ := veth(t)
	sysctl(t, "ipv4/conf/"+dev+"/promote_secondaries", "0")
	k, findings := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev)
	must(t, k.Take(ctx, set, 5*time.Second))
	ip(t, "addr add 192.0.2.77/24 dev "+dev) // a secondary of the VIP's subnet
	must(t, k.Drop(ctx, set))
	if now := shown(t, dev, "inet"); len(now) != 1 || now["192.0.2.77/24"].Local == "" {
		t.Errorf("after the drop there are %v", now)
	}
	if got := sysctlOf(t, "ipv4/conf/"+dev+"/promote_secondaries"); got != "1" {
		t.Errorf("promote_secondaries is %s", got)
	}
	if len(*findings) != 1 || (*findings)[0].Kind != Promoted {
		t.Errorf("findings: %+v", *findings)
	}
}

func TestAStrangersAddressIsAdoptedAndReported(t *testing.T) {
	dev, _ := veth(t)
	k, findings := newKernel(t)
	must(t, k.promote(ctx, parse(t, "192.0.2.1/24@"+dev)))
	*findings = nil
	ip(t, "addr add 2001:db8::77/64 dev "+dev+" nodad") // shares the prefix route
	ip(t, "addr add 192.0.2.1/24 dev "+dev)
	ip(t, "addr add 2001:db8::1/64 dev "+dev+" nodad")
	set := setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	must(t, k.Take(ctx, set, 3*time.Second))
	if len(*findings) != 2 || (*findings)[0].Kind != Adopted || (*findings)[1].Kind != Adopted {
		t.Errorf("findings: %+v", *findings)
	}
	now := shown(t, dev, "")
	for _, text := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		if now[text].Valid > 3 {
			t.Errorf("%s is still permanent", text)
		}
	}
	must(t, k.Renew(ctx, set.Addresses, 3*time.Second))
	if routes := ip(t, "-6 route show dev "+dev+" 2001:db8::/64"); strings.Contains(routes, "expires") {
		t.Errorf("the prefix route of another address got our lifetime: %s", routes)
	}
	must(t, k.Drop(ctx, set))
	if routes := ip(t, "-6 route show dev "+dev+" 2001:db8::/64"); !strings.Contains(routes, "2001:db8::/64") {
		t.Errorf("the prefix route of another address is gone: %q", routes)
	}
}

func TestAnAddressWithFailedDADIsMadeAnew(t *testing.T) {
	dev, peer := veth(t)
	ip(t, "addr add 2001:db8::1/64 dev "+peer+" nodad")
	ip(t, "addr add 2001:db8::1/64 dev "+dev) // detects the peer, which is in the same namespace on the same wire
	within(t, 5*time.Second, "DAD fails", func() bool {
		return shown(t, dev, "inet6")["2001:db8::1/64"].DADFailed
	})
	k, _ := newKernel(t)
	must(t, k.Take(ctx, setOf(t, "2001:db8::1/64@"+dev), 5*time.Second))
	if a := shown(t, dev, "inet6")["2001:db8::1/64"]; !a.usable() {
		t.Errorf("address is %+v", a)
	}
}

func TestALabelThatDiffersIsSetAnew(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	must(t, k.Take(ctx, setOf(t, "192.0.2.1/24@"+dev), 5*time.Second))
	must(t, k.Take(ctx, setOf(t, "192.0.2.1/24@"+dev+" label "+dev+":x"), 5*time.Second))
	if a := shown(t, dev, "inet")["192.0.2.1/24"]; a.Label != dev+":x" {
		t.Errorf("label is %q", a.Label)
	}
}

func TestDropReportsTheAddressOnAnotherDevice(t *testing.T) {
	dev, other := veth(t)
	k, findings := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "fe80::1/64@"+dev)
	must(t, k.Take(ctx, set, 5*time.Second))
	ip(t, "addr add 192.0.2.1/24 dev "+other)
	ip(t, "addr add fe80::1/64 dev "+other+" nodad")
	ip(t, "addr add 192.0.2.1/32 dev "+dev)
	*findings = nil
	err := k.Drop(ctx, set)
	if !errors.Is(err, ErrElsewhere) || !strings.Contains(err.Error(), other) {
		t.Errorf("drop: %v", err)
	}
	if len(shown(t, dev, "inet")) != 0 {
		t.Errorf("the address is still on %s with another length", dev)
	}
	if len(shown(t, other, "inet")) != 1 {
		t.Errorf("the address was removed from %s, which the set does not name", other)
	}
	kinds := map[FindingKind]int{}
	for _, f := range *findings {
		kinds[f.Kind]++
	}
	if kinds[FoundElsewhere] != 1 || kinds[Resized] != 1 || len(*findings) != 2 {
		t.Errorf("findings: %+v", *findings)
	}
}

func TestDropLeavesNoIPv6PrefixRoute(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "2001:db8::1/64@"+dev)
	must(t, k.Take(ctx, set, 60*time.Second))
	if out := ip(t, "-6 route show dev "+dev); !strings.Contains(out, "2001:db8::/64") {
		t.Fatalf("no prefix route: %s", out)
	}
	must(t, k.Drop(ctx, set))
	if out := ip(t, "-6 route show dev "+dev); strings.Contains(out, "2001:db8::/64") {
		t.Errorf("prefix route stays: %s", out)
	}
}

func TestRoutesAndRulesComeAndGo(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	p, a := mustPrefix, mustAddr
	set.Routes = []vip.Route{
		{Dst: p("0.0.0.0/0"), Via: a("192.0.2.254"), Device: dev, Src: a("192.0.2.1"), Table: 300, Metric: 7},
		{Dst: p("198.51.100.0/24"), Via: a("203.0.113.1"), Device: dev, OnLink: true},
		{Dst: p("10.9.0.0/16"), Device: dev},
		{Dst: p("::/0"), Via: a("2001:db8::fe"), Device: dev, Src: a("2001:db8::1"), Metric: 30},
		{Dst: p("2001:db8:9::/48"), Via: a("fe80::9"), Device: dev, Table: 300},
	}
	set.Rules = []vip.Rule{
		{From: p("192.0.2.0/24"), Table: 300, Priority: 1000},
		{To: p("2001:db8:9::/48"), IIf: dev, FwMark: 0x54, Table: 300, Priority: 1001, IPv6: true},
	}
	must(t, set.Check())
	for range 2 {
		must(t, k.Take(ctx, set, 5*time.Second))
	}
	for command, want := range map[string]string{
		"route show table 300 proto 84": "default via 192.0.2.254 dev " + dev + " src 192.0.2.1 metric 7",
		"route show proto 84":           "198.51.100.0/24 via 203.0.113.1 dev " + dev + " onlink",
		"route show 10.9.0.0/16":        "dev " + dev + " proto 84 scope link",
		"-6 route show proto 84":        "default via 2001:db8::fe dev " + dev + " src 2001:db8::1 metric 30",
		"-6 route show table 300":       "2001:db8:9::/48 via fe80::9 dev " + dev,
		"rule show priority 1000":       "from 192.0.2.0/24 lookup 300",
		"-6 rule show priority 1001":    "to 2001:db8:9::/48 fwmark 0x54 iif " + dev + " lookup 300",
	} {
		out := strings.Join(strings.Fields(ip(t, command)), " ")
		if !strings.Contains(strings.ReplaceAll(out, "proto 84 ", ""), strings.ReplaceAll(want, "proto 84 ", "")) || strings.Count(out, want) > 1 {
			t.Errorf("ip %s: %s\nwant once: %s", command, out, want)
		}
	}
	for range 2 {
		must(t, k.Drop(ctx, set))
	}
	for _, command := range []string{
		"route show table all proto 84", "-6 route show table all proto 84",
		"rule show priority 1000", "-6 rule show priority 1001",
	} {
		if out := ip(t, command); strings.TrimSpace(out) != "" {
			t.Errorf("ip %s: %s", command, out)
		}
	}
}

func TestAStrangersRouteIsReplaced(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	ip(t, "route add 198.51.100.0/24 dev "+dev+" metric 5")
	set := vip.Set{Routes: []vip.Route{{Dst: mustPrefix("198.51.100.0/24"), Via: mustAddr("203.0.113.1"), Device: dev, OnLink: true, Metric: 5}}}
	must(t, k.Take(ctx, set, 0))
	out := ip(t, "route show 198.51.100.0/24")
	if !strings.Contains(out, "via 203.0.113.1") || strings.Count(out, "\n") != 1 {
		t.Errorf("routes: %s", out)
	}
}

func TestTakeFindsADeviceThatWasMadeAgain(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "2001:db8::1/64@"+dev)
	must(t, k.Take(ctx, set, 5*time.Second))
	must(t, netlink.LinkDel(byName(t, dev)))
	err := k.Take(ctx, set, 5*time.Second)
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("take on a missing device: %v", err)
	}
	must(t, k.Drop(ctx, set)) // nothing there, nothing to complain about
	addLink(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: dev}, PeerName: dev + "p"})
	must(t, k.Take(ctx, set, 5*time.Second))
	if held, _ := k.Held(ctx, set); len(held) != 2 {
		t.Errorf("held %v", held)
	}
}

func TestOneBadAddressDoesNotStopTheOthers(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "192.0.2.2/24@nosuch", "192.0.2.3/24@"+dev)
	err := k.Take(ctx, set, 5*time.Second)
	if err == nil || !strings.Contains(err.Error(), "192.0.2.2/24@nosuch") {
		t.Errorf("take: %v", err)
	}
	if held, _ := k.Held(ctx, set); len(held) != 2 {
		t.Errorf("held %v", held)
	}
}

func TestABridgeAndAMacvlanAreDevicesLikeOthers(t *testing.T) {
	lower, _ := veth(t)
	addLink(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "tbbr0"}})
	addLink(t, &netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "tb.84", ParentIndex: byName(t, lower).Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE})
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@tbbr0", "198.51.100.1/24@tb.84", "2001:db8::1/64@tb.84")
	must(t, k.Take(ctx, set, 5*time.Second))
	if held, _ := k.Held(ctx, set); len(held) != 3 {
		t.Errorf("held %v", held)
	}
	must(t, k.Drop(ctx, set))
}

func TestAThousandAddressesAreTakenRenewedAndDropped(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	for _, six := range []bool{false, true} {
		set := vip.Set{Addresses: many(1000, dev, six)}
		start := time.Now()
		must(t, k.Take(ctx, set, 5*time.Second))
		took := time.Since(start)
		start = time.Now()
		must(t, k.Renew(ctx, set.Addresses, 5*time.Second))
		renewed := time.Since(start)
		start = time.Now()
		must(t, k.Take(ctx, set, 5*time.Second))
		again := time.Since(start)
		if held, _ := k.Held(ctx, set); len(held) != 1000 {
			t.Errorf("held %d", len(held))
		}
		start = time.Now()
		must(t, k.Drop(ctx, set))
		t.Logf("IPv6 %v: take %v, renew %v, take again %v, drop %v", six, took, renewed, again, time.Since(start))
		if held, _ := k.Held(ctx, set); len(held) != 0 {
			t.Errorf("still held: %d", len(held))
		}
	}
}

func TestACancelledContextStopsTheWork(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	over, cancel := context.WithCancel(ctx)
	cancel()
	set := setOf(t, "192.0.2.1/24@"+dev)
	if err := k.Take(over, set, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("take: %v", err)
	}
	if held, _ := k.Held(ctx, set); len(held) != 0 {
		t.Errorf("held %v", held)
	}
}

func TestOwnAddressesLeaveTheVIPsOut(t *testing.T) {
	dev, other := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev, "fe80::1/64@"+dev)
	must(t, k.Know(ctx, set))
	must(t, k.Take(ctx, set, 0))
	ip(t, "addr add 192.0.2.2/24 dev "+dev)
	ip(t, "addr add 192.0.2.1/24 dev "+other) // a VIP on the wrong device is none of our own
	ip(t, "addr add fe80::1/64 dev "+other+" nodad")
	own, err := k.OwnAddresses([]string{dev, other})
	must(t, err)
	var texts []string
	for _, p := range own {
		if text := p.String(); text == "fe80::1/64" || p.Addr().Is4() {
			texts = append(texts, text)
		}
	}
	if got := strings.Join(texts, " "); got != "192.0.2.2/24 fe80::1/64" {
		t.Errorf("own addresses: %s", got)
	}
}

func TestAKernelThatDoesNotAnswerIsGivenUp(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	if send, receive := k.s.GetTimeouts(); send != answerSeconds*time.Second || receive != send {
		t.Fatalf("the socket waits %v to send and %v for an answer", send, receive)
	}
	short := unix.Timeval{Usec: 50_000}
	must(t, k.s.SetReceiveTimeout(&short))
	start := time.Now()
	never := k.s.handles[unix.NETLINK_ROUTE].Seq + 1 // nothing was asked
	if err := k.s.answers(never, never, nil); !errors.Is(err, errNoAnswer) || time.Since(start) > time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	routes := []vip.Route{{Device: "one"}, {Device: "two"}}
	var f faults
	asked := 0
	inTurn(ctx, &f, "set route", routes, func(vip.Route) error { asked++; return unix.EAGAIN })
	if asked != 1 || !errors.Is(f.join(), errNoAnswer) {
		t.Errorf("asked %d times: %v", asked, f.join())
	}
	must(t, k.Take(ctx, setOf(t, "192.0.2.1/24@"+dev), 0))
}

func TestARefusalHasTheKernelsOwnWords(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	set := setOf(t, "192.0.2.1/24@"+dev)
	set.Routes = []vip.Route{{Dst: mustPrefix("198.51.100.0/24"), Via: mustAddr("203.0.113.1"), Device: dev}}
	if err := k.Take(ctx, set, 0); !errors.Is(err, unix.ENETUNREACH) || !strings.Contains(err.Error(), "invalid gateway") {
		t.Errorf("a gateway that is not there: %v", err)
	}
	sysctl(t, "ipv6/conf/"+dev+"/disable_ipv6", "1")
	if err := k.Take(ctx, setOf(t, "2001:db8::1/64@"+dev), 0); err == nil || !strings.Contains(err.Error(), "IPv6 is disabled") {
		t.Errorf("an IPv6 address where there is no IPv6: %v", err)
	}
}

func TestAClosedKernelRefuses(t *testing.T) {
	dev, _ := veth(t)
	k, _ := newKernel(t)
	must(t, k.Close())
	set := setOf(t, "192.0.2.1/24@"+dev)
	if err := k.Take(ctx, set, 0); err == nil {
		t.Error("it takes addresses")
	}
	if _, err := k.Held(ctx, set); err == nil {
		t.Error("it lists addresses")
	}
}
