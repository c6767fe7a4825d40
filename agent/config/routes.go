package config

import (
	"fmt"
	"net/netip"

	"github.com/twinbeat/twinbeat/vip"
)

func (p *parser) route(t table) vip.Route {
	before := p.errors
	r := vip.Route{
		Device: t.device("dev"),
		Table:  t.int31("table"),
		Metric: t.int31("metric"),
		OnLink: t.boolean("onlink"),
		Scope:  t.text("scope"),
	}
	if via := t.text("via"); via != "" {
		r.Via = t.address("via", via)
	}
	if src := t.text("src"); src != "" {
		r.Src = t.address("src", src)
	}
	if t.has("to") {
		r.Dst = p.destination(t, r.Via)
	}
	if r.OnLink && !r.Via.IsValid() {
		t.report("onlink", "is said of a route without via", "add via, or leave onlink out")
	}
	for name, a := range map[string]netip.Addr{"via": r.Via, "src": r.Src} {
		if a.IsValid() && r.Dst.IsValid() && a.Is4() != r.Dst.Addr().Is4() {
			t.report(name, fmt.Sprintf("%s is not of the family of %s", a, r.Dst), "both IPv4 or both IPv6")
		}
	}
	if p.errors == before {
		p.own(t.path, fmt.Sprintf("route to %s in table %d with metric %d", r.Dst, r.Table, r.Metric))
	}
	return r
}

// destination reads where a route leads; the family of "default" is that of
// its gateway.
func (p *parser) destination(t table, via netip.Addr) netip.Prefix {
	s := t.text("to")
	if s == "default" {
		if via.IsValid() && via.Is6() {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return t.network("to", s)
}

// network parses a prefix with no bits beyond its length.
func (t table) network(name, s string) netip.Prefix {
	prefix, err := netip.ParsePrefix(s)
	if a, addrErr := netip.ParseAddr(s); addrErr == nil && a.Zone() == "" {
		prefix, err = netip.PrefixFrom(a, a.BitLen()), nil // a host, as ip-route(8) reads it
	}
	switch {
	case err != nil:
		t.report(name, fmt.Sprintf("%q is not a network", s), `such as "192.0.2.0/24" or "2001:db8::/64"`)
		return netip.Prefix{}
	case prefix.Addr().Is4In6():
		t.report(name, fmt.Sprintf("%q is an IPv4 network in IPv6 clothes", s), "write it as IPv4")
		return netip.Prefix{}
	case prefix != prefix.Masked():
		t.report(name, fmt.Sprintf("%s has bits beyond its length", s), "did you mean "+prefix.Masked().String()+"?")
		return netip.Prefix{}
	}
	return prefix
}

func (p *parser) rule(t table) vip.Rule {
	before := p.errors
	r := vip.Rule{
		FwMark:   uint32(t.number("fwmark")),
		Table:    t.int31("table"),
		Priority: t.int31("priority"),
		IPv6:     t.boolean("ipv6"),
	}
	if from := t.text("from"); from != "" {
		r.From = t.network("from", from)
	}
	if to := t.text("to"); to != "" {
		r.To = t.network("to", to)
	}
	for name, dev := range map[string]*string{"iif": &r.IIf, "oif": &r.OIf} {
		if t.text(name) != "" {
			*dev = t.device(name)
		}
	}
	p.family(t, &r)
	if p.errors == before {
		p.own(t.path, fmt.Sprintf("rule %d from %s to %s iif %q oif %q mark %d for table %d", r.Priority,
			anyIfZero(r.From), anyIfZero(r.To), r.IIf, r.OIf, r.FwMark, r.Table)+map[bool]string{true: " of IPv6"}[r.IPv6])
	}
	return r
}

// family makes a rule IPv6 if one of its prefixes is.
func (p *parser) family(t table, r *vip.Rule) {
	from, to := r.From, r.To
	switch {
	case from.IsValid() && to.IsValid() && from.Addr().Is4() != to.Addr().Is4():
		t.report("to", fmt.Sprintf("%s is not of the family of %s", to, from), "both IPv4 or both IPv6")
	case from.IsValid() || to.IsValid():
		isV6 := from.IsValid() && from.Addr().Is6() || to.IsValid() && to.Addr().Is6()
		if r.IPv6 && !isV6 {
			t.report("ipv6", "is true of a rule for IPv4 networks", "leave it out: the networks tell")
		}
		r.IPv6 = isV6
	}
}

func anyIfZero(p netip.Prefix) string {
	if !p.IsValid() {
		return "any"
	}
	return p.String()
}
