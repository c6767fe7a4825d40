// Package vip decides what a node must add to and remove from its kernel so
// that it holds exactly the addresses, routes and rules of a group. It refuses
// to touch the kernel itself: see vip/kernel. Start reading at Set.
package vip

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
)

// A Set is what a group brings with it.
type Set struct {
	Addresses []Address
	Routes    []Route
	Rules     []Rule
}

// An Address is one virtual IP.
type Address struct {
	Prefix netip.Prefix // the address with its prefix length; not masked
	Device string
	Label  string // IPv4 only, at most 15 bytes, starts with the device's name
	Scope  string // global, link or host; empty means global, or link for fe80::/10
}

// A Route is present only on the owner.
type Route struct {
	Dst    netip.Prefix // 0.0.0.0/0 or ::/0 for a default route
	Via    netip.Addr   // zero: on the device
	Device string
	Src    netip.Addr // preferred source; zero: none
	Table  int        // 0: main
	Metric int
	Scope  string // IPv4 only: global, link or host; empty means link without Via, else global
	OnLink bool
}

// A Rule is a policy routing rule, present only on the owner.
type Rule struct {
	From, To netip.Prefix // zero: any
	IIf, OIf string
	FwMark   uint32
	Table    int
	Priority int
	IPv6     bool
}

// Devices names every device that carries an address of the set, sorted.
func (s Set) Devices() []string {
	var names []string
	for _, a := range s.Addresses {
		names = append(names, a.Device)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Canonical is the set in its one order, without repeated entries, so that two
// configurations that mean the same compare equal.
func (s Set) Canonical() Set {
	s.Addresses = sorted(s.Addresses, compareAddresses)
	s.Routes = sorted(s.Routes, compareRoutes)
	s.Rules = sorted(s.Rules, compareRules)
	return s
}

// SplitRoutes parts the routes into those that can be set before any address
// and those that need one: the kernel refuses a preferred source that is not
// local, and a gateway that is only reachable through the prefix of a VIP.
func (s Set) SplitRoutes() (before, after []Route) {
	for _, r := range s.Routes {
		if s.needsAddress(r) {
			after = append(after, r)
		} else {
			before = append(before, r)
		}
	}
	return before, after
}

func (s Set) needsAddress(r Route) bool {
	if r.Src.IsValid() {
		return true
	}
	if !r.Via.IsValid() || r.OnLink {
		return false
	}
	return slices.ContainsFunc(s.Addresses, func(a Address) bool {
		return a.Prefix.Contains(r.Via)
	})
}

func sorted[T comparable](in []T, compare func(a, b T) int) []T {
	out := slices.Clone(in)
	sort.Slice(out, func(i, k int) bool { return compare(out[i], out[k]) < 0 })
	return slices.Compact(out)
}

// compareAddresses sorts by device first, because everything that is done with
// addresses (messages to the kernel, announcements) is done device by device.
func compareAddresses(a, b Address) int {
	return cmp.Or(
		cmp.Compare(a.Device, b.Device),
		comparePrefixes(a.Prefix, b.Prefix),
		cmp.Compare(a.Label, b.Label),
		cmp.Compare(a.Scope, b.Scope),
	)
}

func compareRoutes(a, b Route) int {
	return cmp.Or(
		cmp.Compare(a.Table, b.Table),
		comparePrefixes(a.Dst, b.Dst),
		cmp.Compare(a.Metric, b.Metric),
		cmp.Compare(a.Device, b.Device),
		a.Via.Compare(b.Via),
		a.Src.Compare(b.Src),
		cmp.Compare(a.Scope, b.Scope),
		compareBools(a.OnLink, b.OnLink),
	)
}

func compareRules(a, b Rule) int {
	return cmp.Or(
		cmp.Compare(a.Priority, b.Priority),
		compareBools(a.IPv6, b.IPv6),
		comparePrefixes(a.From, b.From),
		comparePrefixes(a.To, b.To),
		cmp.Compare(a.IIf, b.IIf),
		cmp.Compare(a.OIf, b.OIf),
		cmp.Compare(a.FwMark, b.FwMark),
		cmp.Compare(a.Table, b.Table),
	)
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
