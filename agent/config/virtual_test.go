//go:build !lite && !no_virtual

package config

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestVirtualMAC(t *testing.T) {
	const refused = "refused group[0].virtual_mac"
	for _, c := range []struct{ mac, more, want string }{
		{"00:00:5e:00:01:0a", "", "tv0-eth0 eth0 00005e00010a"},
		{"02:00:00:00:00:FF", "", "tv0-eth0 eth0 0200000000ff"},
		{"", "", "none"},
		{"00:00:5e:00:01", "", refused},
		{"00:00:5e:00:01:0a:0b", "", refused},
		{"00:00:5e:00:01:1", "", refused},
		{"00:00:5e:00:01:zz", "", refused},
		{"01:00:5e:00:01:0a", "", refused},
		{"00:00:00:00:00:00", "", refused},
		{"10", "", refused},
		{"00-00-5e-00-01-0a", "", refused},
		{"+0:00:5e:00:01:0a", "", refused},
		{"00:00:5e:00:02:ff", "", "tv0-eth0 eth0 00005e0002ff"},
		{"00:00:5e:00:01:00", "", refused}, // no router has this number
		{"00:00:5e:00:03:0a", "", refused},
		{"00:1b:21:00:01:0a", "", refused}, // a maker's
		{"02:1b:21:00:01:0a", "", "tv0-eth0 eth0 021b2100010a"},
		{"00:00:5e:00:01:0a", "[group.announce]\nrefresh = \"0s\"\n", refused},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\nvirtual_mac = \"00:00:5e:00:01:0a\"\naddresses = [\"198.51.100.1/24@eth0\"]\n", "refused group[1].virtual_mac"},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\nvirtual_mac = \"00:00:5e:00:01:0b\"\naddresses = [\"198.51.100.1/24@eth0\"]\n", "tv0-eth0 eth0 00005e00010a"},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\nvirtual_mac = \"00:00:5e:00:01:0b\"\naddresses = [\"192.0.2.9/24@eth0\"]\n", "refused group[1].virtual_mac"},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\nvirtual_mac = \"00:00:5e:00:01:0b\"\naddresses = [\"192.0.2.9/32@eth0\"]\n", "refused group[1].virtual_mac"},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\nvirtual_mac = \"00:00:5e:00:01:0b\"\naddresses = [\"192.0.2.9/24@eth9\"]\n", "tv0-eth0 eth0 00005e00010a"},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\naddresses = [\"192.0.2.9/24@eth0\"]\n", "tv0-eth0 eth0 00005e00010a"},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\nvirtual_mac = \"00:00:5e:00:01:0b\"\naddresses = [\"198.51.100.1/24@tv0-eth0\"]\n", "refused group[1].virtual_mac"},
		{"00:00:5e:00:01:0a", "[[group]]\nname = \"b\"\nvirtual_mac = \"00:00:5e:00:01:0b\"\naddresses = [\"198.51.100.1/24@a1234567890x\", \"203.0.113.1/24@a1234567890y\"]\n", "refused group[1].virtual_mac"},
	} {
		src := strings.Replace(base, "[[group]]\n", "[[group]]\nvirtual_mac = \""+c.mac+"\"\n", 1)
		cfg, problems := Parse("t.toml", []byte(src+c.more), "fw1")
		got := "none"
		for _, v := range cfg.Groups[0].Virtual {
			got = fmt.Sprintf("%s %s %x", v.Device, v.Parent, v.MAC)
		}
		for _, p := range problems {
			if !p.Warning {
				got = "refused " + p.Key
			}
		}
		if got != c.want {
			t.Errorf("%q %q: %s, want %s: %v", c.mac, c.more, got, c.want, problems)
		}
	}
}

func TestAGroupWithAVirtualMACIsPlacedOnItsDevice(t *testing.T) {
	src := strings.Replace(base, "[[group]]\n", "[[group]]\nvirtual_mac = \"00:00:5e:00:01:0a\"\n"+
		"routes = [{ to = \"default\", via = \"192.0.2.254\", dev = \"eth0\" }, { to = \"10.0.0.0/8\", dev = \"eth9\" }]\n"+
		"rules = [{ iif = \"eth0\", oif = \"eth9\", table = 7, priority = 8 }]\n", 1)
	cfg, problems := Parse("t.toml", []byte(src), "fw1")
	if Refused(problems) {
		t.Fatal(problems)
	}
	g := &cfg.Groups[0]
	placed := g.Placed()
	if len(g.VIP.Addresses) == 0 || len(placed.Addresses) != len(g.VIP.Addresses) {
		t.Fatalf("%v and %v", g.VIP, placed)
	}
	for i, a := range placed.Addresses {
		if a.Device != "tv0-eth0" || g.VIP.Addresses[i].Device != "eth0" || a.Prefix != g.VIP.Addresses[i].Prefix {
			t.Errorf("%v is placed as %v", g.VIP.Addresses[i], a)
		}
	}
	if placed.Routes[0].Device != "tv0-eth0" || placed.Routes[1].Device != "eth9" || placed.Rules[0].IIf != "tv0-eth0" || placed.Rules[0].OIf != "eth9" {
		t.Errorf("routes %v, rules %v", placed.Routes, placed.Rules)
	}
}

func TestAReloadDoesNotMoveVirtualDevices(t *testing.T) {
	with := strings.Replace(base, "[[group]]\n", "[[group]]\nvirtual_mac = \"00:00:5e:00:01:0a\"\n", 1)
	for _, c := range []struct {
		was, is string
		want    Effect
	}{
		{base, with, Restart},
		{with, base, Restart},
		{with, strings.Replace(with, ":0a\"", ":0b\"", 1), Restart},
		{with, strings.Replace(with, "192.0.2.1/24", "192.0.2.9/24", 1), Restart},
		{base, strings.Replace(base, "192.0.2.1/24", "192.0.2.9/24", 1), Live},
		{with, with + "[group.announce]\ncount = 9\n", Live},
	} {
		a, _ := Parse("t.toml", []byte(c.was), "fw1")
		b, problems := Parse("t.toml", []byte(c.is), "fw1")
		if Refused(problems) {
			t.Fatal(problems)
		}
		changes, err := Diff([]byte(c.was), []byte(c.is))
		if err != nil || len(changes) == 0 {
			t.Fatal(changes, err)
		}
		for _, j := range Judge(changes, a, b) {
			if j.Effect != c.want {
				t.Errorf("%v: %v, want %v", j.Key, j.Effect, c.want)
			}
		}
	}
}

// The gate has a chain for each interface, and two for one with virtual_mac.
func TestVirtualDevicesAreAsManyAsTheGateGuards(t *testing.T) {
	for n, want := range map[int]bool{16: true, 17: false} {
		src := strings.Replace(base, "[[group]]\n", "[[group]]\nvirtual_mac = \"00:00:5e:00:01:0a\"\n", 1)
		for i := range n - 1 { // base has one
			src = strings.Replace(src, "addresses = [", fmt.Sprintf("addresses = [\"198.51.%d.1/24@lan%d\", ", i, i), 1)
		}
		_, problems := Parse("t.toml", []byte(src), "fw1")
		if Refused(problems) == want {
			t.Errorf("%d interfaces: %v", n, problems)
		}
	}
}

func TestAVirtualDeviceWithIPv6HasAnAddressOfTheLink(t *testing.T) {
	const local = "fe80::200:5eff:fe00:10a/64"
	for _, c := range []struct {
		addresses string
		want      string
	}{
		{`"192.0.2.1/24@eth0"`, "[192.0.2.1/24@tv0-eth0]"},
		{`"2001:db8::1/64@eth0"`, "[2001:db8::1/64@tv0-eth0 " + local + "@tv0-eth0]"},
		{`"192.0.2.1/24@eth0", "2001:db8::1/64@eth1"`, "[192.0.2.1/24@tv0-eth0 2001:db8::1/64@tv0-eth1 " + local + "@tv0-eth1]"},
		{`"fe80::1/64@eth0"`, "[fe80::1/64@tv0-eth0 " + local + "@tv0-eth0]"},
		{`"` + local + `@eth0"`, "[" + local + "@tv0-eth0]"},
	} {
		src := strings.Replace(base, "[[group]]\n", "[[group]]\nvirtual_mac = \"00:00:5e:00:01:0a\"\n", 1)
		cfg, problems := Parse("t.toml", []byte(addressesOf.ReplaceAllString(src, "addresses = ["+c.addresses+"]")), "fw1")
		if got := fmt.Sprint(cfg.Groups[0].Placed().Addresses); Refused(problems) || got != c.want {
			t.Errorf("%s: %s, want %s: %v", c.addresses, got, c.want, problems)
		}
	}
}

var addressesOf = regexp.MustCompile(`addresses = \[[^]]*\]`)
