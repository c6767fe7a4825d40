package vip

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnAddressReadsAsItIsWritten(t *testing.T) {
	for text, want := range map[string]Address{
		"192.0.2.1/24@eth0":                           {Prefix: netip.MustParsePrefix("192.0.2.1/24"), Device: "eth0"},
		"192.0.2.1/32@eth0.5":                         {Prefix: netip.MustParsePrefix("192.0.2.1/32"), Device: "eth0.5"},
		"192.0.2.1/24@eth0 label eth0:vip scope link": {Prefix: netip.MustParsePrefix("192.0.2.1/24"), Device: "eth0", Label: "eth0:vip", Scope: "link"},
		"2001:db8::1/64@br-lan":                       {Prefix: netip.MustParsePrefix("2001:db8::1/64"), Device: "br-lan"},
		"fe80::1/64@eth0":                             {Prefix: netip.MustParsePrefix("fe80::1/64"), Device: "eth0"},
	} {
		got, err := ParseAddress(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%s is written as %s", text, got)
		}
	}
	if a, err := ParseAddress("192.0.2.1@eth0"); err != nil || a.Prefix.Bits() != 32 {
		t.Errorf("without a length: %v, %v", a, err)
	}
}

func TestBadAddressesAreRefusedWithAReason(t *testing.T) {
	for text, reason := range map[string]string{
		"":                                      "want ADDRESS",
		"192.0.2.1/24":                          "no @DEVICE",
		"192.0.2.1/24@":                         "no device",
		"192.0.2.0/24@eth0":                     "subnet itself",
		"192.0.2.255/24@eth0":                   "broadcast address of its subnet",
		"255.255.255.255@eth0":                  "broadcast",
		"127.0.0.1/8@lo":                        "loopback",
		"224.0.0.18@eth0":                       "multicast",
		"::@eth0":                               "unspecified",
		"2001:db8::/64@eth0":                    "subnet itself",
		"::ffff:192.0.2.1@eth0":                 "IPv4-mapped",
		"fe80::1%eth0@eth0":                     "zone",
		"192.0.2.1/33@eth0":                     "not an address",
		"x@eth0":                                "not an address",
		"192.0.2.1@a/b":                         "cannot be the name",
		"192.0.2.1@sixteen-bytes-no":            "longer than 15",
		"192.0.2.1@eth0 label vip":              "does not start",
		"192.0.2.1@eth0 label eth0:verylong-xx": "longer than 15",
		"2001:db8::1@eth0 label eth0:x":         "IPv4 only",
		"2001:db8::1@eth0 scope link":           "follows from the address",
		"192.0.2.1@eth0 scope site":             "not global, link or host",
		"192.0.2.1@eth0 metric 5":               "unknown word",
		"192.0.2.1@eth0 label":                  "no value",
	} {
		if _, err := ParseAddress(text); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want %q", text, err, reason)
		}
	}
	for _, text := range []string{"192.0.2.0/31@eth0", "192.0.2.255/32@eth0", "2001:db8::/127@eth0"} {
		if _, err := ParseAddress(text); err != nil {
			t.Errorf("%s is fine, but: %v", text, err)
		}
	}
}

func TestBroadcastAddresses(t *testing.T) {
	for p, want := range map[string]string{
		"192.0.2.1/24": "192.0.2.255", "10.1.2.3/8": "10.255.255.255", "192.0.2.1/30": "192.0.2.3",
		"172.16.5.9/20": "172.16.15.255", "192.0.2.1/31": "invalid IP", "2001:db8::1/64": "invalid IP",
	} {
		if got := Broadcast(netip.MustParsePrefix(p)).String(); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}

func TestRoutesAndRulesAreCheckedAndWrittenAsIPWould(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	for _, c := range []struct {
		route       Route
		text, fault string
	}{
		{Route{Dst: p("0.0.0.0/0"), Via: a("192.0.2.254"), Device: "eth0", Src: a("192.0.2.1"), Table: 7, Metric: 3}, "default via 192.0.2.254 dev eth0 src 192.0.2.1 table 7 metric 3", ""},
		{Route{Dst: p("10.0.0.0/8"), Via: a("1.2.3.4"), Device: "eth0", OnLink: true}, "10.0.0.0/8 via 1.2.3.4 dev eth0 onlink", ""},
		{Route{Dst: p("10.0.0.1/8"), Device: "eth0"}, "10.0.0.1/8 dev eth0", "did you mean 10.0.0.0/8"},
		{Route{Dst: p("10.0.0.0/8")}, "10.0.0.0/8", "neither"},
		{Route{Dst: p("10.0.0.0/8"), Via: a("fe80::1"), Device: "e"}, "10.0.0.0/8 via fe80::1 dev e", "one family"},
		{Route{Dst: p("::/0"), Via: a("fe80::1")}, "default via fe80::1", "needs a device"},
		{Route{Dst: p("10.0.0.0/8"), Device: "e", OnLink: true}, "10.0.0.0/8 dev e onlink", "onlink"},
		{Route{Dst: p("10.0.0.0/8"), Device: "e", Table: -1}, "10.0.0.0/8 dev e table -1", "range"},
		{Route{Dst: p("2001:db8::/32"), Device: "e", Scope: "link"}, "2001:db8::/32 dev e scope link", "no scope"},
	} {
		if got := c.route.String(); got != c.text {
			t.Errorf("written %q, want %q", got, c.text)
		}
		if err := c.route.Check(); (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", c.text, err, c.fault)
		}
	}
	good := Rule{From: p("192.0.2.0/24"), FwMark: 0x54, Table: 100, Priority: 1000}
	if got := good.String(); got != "priority 1000 from 192.0.2.0/24 fwmark 0x54 table 100" || good.Check() != nil {
		t.Errorf("rule %s: %v", got, good.Check())
	}
	for fault, spoil := range map[string]func(r *Rule){
		"priority":     func(r *Rule) { r.Priority = 0 },
		"no table":     func(r *Rule) { r.Table = 0 },
		"family":       func(r *Rule) { r.IPv6 = true },
		"did you mean": func(r *Rule) { r.From = p("192.0.2.1/24") },
		"cannot be":    func(r *Rule) { r.IIf = "a b" },
	} {
		bad := good
		spoil(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v, want %q", bad, err, fault)
		}
	}
}

func TestTheSameAddressTwiceIsAFault(t *testing.T) {
	s := set(t, "192.0.2.1/24@eth0", "192.0.2.1/32@eth0", "192.0.2.1/24@eth1")
	if err := s.Check(); err == nil || strings.Count(err.Error(), "twice") != 1 {
		t.Errorf("check: %v", err)
	}
}

func TestDestinationsMayBeDefault(t *testing.T) {
	for _, c := range []struct{ text, via, want string }{
		{"default", "", "0.0.0.0/0"},
		{"default", "fe80::1", "::/0"},
		{"10.0.0.0/8", "", "10.0.0.0/8"},
		{"192.0.2.1", "", "192.0.2.1/32"},
	} {
		var via netip.Addr
		if c.via != "" {
			via = netip.MustParseAddr(c.via)
		}
		if p, err := ParseDestination(c.text, via); err != nil || p.String() != c.want {
			t.Errorf("%s: %v %v", c.text, p, err)
		}
	}
	if _, err := ParseDestination("10.0.0.1/8", netip.Addr{}); err == nil {
		t.Error("host bits are accepted")
	}
}

func set(t *testing.T, texts ...string) Set {
	t.Helper()
	var s Set
	for _, text := range texts {
		a, err := ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Addresses = append(s.Addresses, a)
	}
	return s
}

func TestDiffLeadsFromHeldToWanted(t *testing.T) {
	want := set(t, "192.0.2.1/24@eth0", "192.0.2.2/24@eth0", "192.0.2.3/32@eth0", "192.0.2.4/24@eth1", "192.0.2.5/24@eth0 scope global")
	held := set(t, "192.0.2.2/24@eth0", "192.0.2.3/24@eth0", "192.0.2.4/24@eth0", "192.0.2.9/24@eth0", "192.0.2.5/24@eth0")
	c := Diff(want, held)
	for what, check := range map[string]struct {
		got  []Address
		want []Address
	}{
		"add":    {c.Add.Addresses, set(t, "192.0.2.1/24@eth0", "192.0.2.3/32@eth0", "192.0.2.4/24@eth1").Addresses},
		"remove": {c.Remove.Addresses, set(t, "192.0.2.3/24@eth0", "192.0.2.4/24@eth0", "192.0.2.9/24@eth0").Addresses},
		"renew":  {c.Renew, set(t, "192.0.2.2/24@eth0", "192.0.2.5/24@eth0").Addresses},
	} {
		if text, wantText := strings.ReplaceAll(join(check.got), " scope global", ""), join(check.want); text != wantText {
			t.Errorf("%s: %s, want %s", what, text, wantText)
		}
	}
	if c.Empty() || !Diff(want, want).Empty() {
		t.Error("Empty is wrong")
	}
}

func join(as []Address) string {
	var texts []string
	for _, a := range as {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

func TestApplyingADiffYieldsWhatIsWanted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() Set {
		var s Set
		for range r.IntN(1000) {
			ip := netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(250) + 1)})
			s.Addresses = append(s.Addresses, Address{Prefix: netip.PrefixFrom(ip, 8), Device: []string{"a", "b"}[r.IntN(2)], Scope: "global"})
		}
		s.Routes = append(s.Routes, Route{Dst: netip.MustParsePrefix("10.0.0.0/8"), Device: "a", Metric: r.IntN(3)})
		s.Rules = append(s.Rules, Rule{Priority: r.IntN(3) + 1, Table: 1})
		return s.Canonical()
	}
	for range 200 {
		want, held := random(), random()
		c := Diff(want, held)
		var got Set
		got.Addresses = append(less(held.Addresses, c.Remove.Addresses), c.Add.Addresses...)
		got.Routes = append(less(held.Routes, c.Remove.Routes), c.Add.Routes...)
		got.Rules = append(less(held.Rules, c.Remove.Rules), c.Add.Rules...)
		if !reflect.DeepEqual(got.Canonical(), want) {
			t.Fatal("held - remove + add is not what is wanted")
		}
		if len(c.Renew)+len(c.Add.Addresses) != len(want.Addresses) {
			t.Fatal("an address is neither renewed nor added, or both")
		}
	}
}

func less[T comparable](from, what []T) []T {
	return slices.DeleteFunc(slices.Clone(from), func(x T) bool { return slices.Contains(what, x) })
}

func TestCanonicalIsOneOrder(t *testing.T) {
	s := set(t, "192.0.2.2/24@b", "192.0.2.1/24@b", "2001:db8::1/64@a", "192.0.2.9/24@a", "192.0.2.1/24@b")
	c := s.Canonical()
	if got, want := join(c.Addresses), "192.0.2.9/24@a, 2001:db8::1/64@a, 192.0.2.1/24@b, 192.0.2.2/24@b"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(s.Addresses) != 5 || s.Addresses[0].Device != "b" {
		t.Error("the set itself was changed")
	}
	if got := s.Devices(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("devices %v", got)
	}
}

func TestRoutesThatNeedAnAddressComeAfterIt(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	s := set(t, "192.0.2.1/24@eth0")
	early := []Route{
		{Dst: p("10.0.0.0/8"), Device: "eth0"},
		{Dst: p("10.0.0.0/8"), Via: a("203.0.113.1"), Device: "eth1"},
		{Dst: p("10.0.0.0/8"), Via: a("192.0.2.9"), Device: "eth0", OnLink: true},
	}
	late := []Route{
		{Dst: p("10.0.0.0/8"), Device: "eth0", Src: a("192.0.2.1")},
		{Dst: p("10.0.0.0/8"), Via: a("192.0.2.9"), Device: "eth0"},
	}
	s.Routes = append(slices.Clone(late), early...)
	before, after := s.SplitRoutes()
	if !slices.Equal(before, early) || !slices.Equal(after, late) {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestRenewalsReachEveryAddressOnceAPeriod(t *testing.T) {
	const period, turn = 1500 * time.Millisecond, 50 * time.Millisecond
	for _, n := range []int{1, 2, 7, 30, 1000, 4096} {
		var r Renewals
		last := make([]time.Duration, n)
		largest := 0
		for now := time.Duration(0); now < 20*period; now += turn {
			from, to := r.Due(now, period, n)
			if from < 0 || to > n || from > to {
				t.Fatalf("range %d..%d of %d", from, to, n)
			}
			largest = max(largest, to-from)
			for i := from; i < to; i++ {
				if gap := now - last[i]; gap > period+3*turn {
					t.Fatalf("of %d, address %d waited %v", n, i, gap)
				}
				last[i] = now
			}
		}
		for i := range last {
			if 20*period-last[i] > period+4*turn {
				t.Fatalf("of %d, address %d was renewed last at %v", n, i, last[i])
			}
		}
		if even := n*int(turn)/int(period) + 2; largest > 2*even {
			t.Errorf("of %d, %d were due at once; an even share is %d", n, largest, even)
		}
	}
}

func TestALateCallerRenewsEachAddressOnce(t *testing.T) {
	var r Renewals
	r.Due(0, time.Second, 100)
	total := 0
	for range 5 { // an hour late, several calls at one instant
		from, to := r.Due(time.Hour, time.Second, 100)
		total += to - from
	}
	if total != 100 {
		t.Errorf("%d renewals for 100 addresses", total)
	}
	if from, to := r.Due(2*time.Hour, time.Second, 3); to-from > 3 || to > 3 {
		t.Errorf("after the set has shrunk: %d..%d", from, to)
	}
	if from, to := r.Due(3*time.Hour, time.Second, 0); from != to {
		t.Error("nothing is due for ever in an empty set")
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("192.0.2.1/24@eth0 label eth0:x scope link")
	f.Add("2001:db8::1/64@eth0")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again.String() != a.String() {
			t.Errorf("%q reads as %s, which reads as %s, %v", text, a, again, err)
		}
	})
}
