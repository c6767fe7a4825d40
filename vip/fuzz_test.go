package vip

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzParseDestination holds that what reads as a prefix is written the same
// way again, and that a destination has no host bits.
func FuzzParseDestination(f *testing.F) {
	for _, text := range []string{"default", "10.0.0.0/8", "10.0.0.1/8", "2001:db8::/32", "::/0", "192.0.2.1", "fe80::1%eth0", "::ffff:192.0.2.1/96", "10.0.0.0/08"} {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, six bool) {
		if p, err := ParsePrefix(text); err == nil {
			again, err := ParsePrefix(p.String())
			if err != nil || again != p || p.Addr().Zone() != "" || !p.IsValid() {
				t.Fatalf("%q reads as %v, which reads as %v, %v", text, p, again, err)
			}
		}
		var via netip.Addr
		if six {
			via = netip.IPv6LinkLocalAllNodes()
		}
		p, err := ParseDestination(text, via)
		if err != nil {
			return
		}
		if p != p.Masked() || !p.IsValid() {
			t.Fatalf("%q reads as %v", text, p)
		}
		r := Route{Dst: p, Device: "eth0", Metric: 7}
		if err := r.Check(); err != nil {
			t.Fatalf("%q reads as a route that is none: %v", text, err)
		}
		if !strings.Contains(r.String(), " dev eth0 metric 7") {
			t.Fatalf("%q: %s", text, r)
		}
	})
}

// FuzzSet holds that a set has one canonical form, whatever its order.
func FuzzSet(f *testing.F) {
	f.Add("192.0.2.1/24@eth0\n192.0.2.2/24@eth0\n2001:db8::1/64@eth1")
	f.Add("192.0.2.1/24@eth\x000")
	f.Add("192.0.2.1/24@eth0 label eth0:x\n192.0.2.1/25@eth0\n\n192.0.2.1/24@eth0")
	f.Fuzz(func(t *testing.T, text string) {
		var forth, back Set
		for line := range strings.Lines(text) {
			a, err := ParseAddress(line)
			if err != nil {
				continue
			}
			if strings.ContainsAny(a.Device, "\x00/: ") {
				t.Fatalf("%q is no device", a.Device)
			}
			forth.Addresses = append(forth.Addresses, a)
			back.Addresses = append([]Address{a}, back.Addresses...)
		}
		one, other := forth.Canonical(), back.Canonical()
		if len(one.Addresses) != len(other.Addresses) {
			t.Fatalf("%v and %v", one, other)
		}
		for i := range one.Addresses {
			if one.Addresses[i] != other.Addresses[i] {
				t.Fatalf("%v and %v", one, other)
			}
		}
		if again := one.Canonical(); len(again.Addresses) != len(one.Addresses) {
			t.Fatalf("%v, once more %v", one, again)
		}
		if len(one.Devices()) > len(one.Addresses) {
			t.Fatalf("more devices than addresses: %v", one.Devices())
		}
	})
}
