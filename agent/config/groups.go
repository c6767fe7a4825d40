package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/twinbeat/twinbeat/vip"
)

// groups reads what the nodes own. Without known nodes, preferred is not judged.
func (p *parser) groups(t table, nodes bool) {
	tables := t.tables("group")
	if len(tables) > MaxGroups {
		t.report("group", fmt.Sprintf("%d groups", len(tables)), fmt.Sprintf("a heartbeat carries the state of %d groups", MaxGroups))
		return
	}
	if t.has("group") && len(tables) == 0 {
		t.report("group", "no group", "there is nothing to own: add a [[group]]")
	}
	first := map[string]string{}
	for _, g := range tables {
		group := p.group(g, nodes)
		p.config.Groups = append(p.config.Groups, group)
		g.second("group", group.Name, first)
	}
	p.virtual(tables)
}

func (p *parser) group(t table, nodes bool) Group {
	g := Group{
		Name:         t.name(),
		Failback:     t.text("failback"),
		FailbackHold: t.duration("failback_hold"),
		FlapMax:      t.int31("flap_max"),
		FlapWindow:   t.duration("flap_window"),
		GateTransit:  t.boolean("gate_transit"),
	}
	if preferred := t.text("preferred"); nodes && t.has("preferred") {
		g.Preferred = p.nodeIndex(t, preferred)
	}
	g.VIP.Addresses = p.addresses(t)
	for _, r := range t.tables("routes") {
		g.VIP.Routes = append(g.VIP.Routes, p.route(r))
	}
	for _, r := range t.tables("rules") {
		g.VIP.Rules = append(g.VIP.Rules, p.rule(r))
	}
	announce, _ := t.table("announce")
	g.Announce = Announce{
		Count:   announce.int31("count"),
		Spacing: announce.duration("spacing"),
		Refresh: announce.duration("refresh"),
		Pace:    announce.int31("pace"),
	}
	g.Services = p.services(t)
	if !t.has("addresses") && !t.has("service") {
		t.parser.report(t.path, "has neither addresses nor services", "there is nothing to own: add addresses = [...] or a [[group.service]]")
	}
	return g
}

// name reads the name of a group, a service or a device.
func (t table) name() string {
	name := t.text("name")
	if name != "" && !isName(name, "-_") {
		t.report("name", fmt.Sprintf("%q is not a name", name), "use 1 to 32 of a-z, 0-9, dash and underscore")
	}
	return name
}

func (p *parser) nodeIndex(t table, name string) int {
	names := []string{p.config.Nodes[0].Name, p.config.Nodes[1].Name}
	for i, n := range names {
		if n == name {
			return i
		}
	}
	hint := "the nodes are " + strings.Join(names, " and ")
	if guess, ok := closest(name, names); ok {
		hint = "did you mean " + guess + "? " + hint
	}
	t.report("preferred", fmt.Sprintf("no node is called %q", name), hint)
	return 0
}

// own notes that something may exist once in the whole file.
func (p *parser) own(path, what string) {
	if first, twice := p.owned[what]; twice {
		p.report(path, what+" is here a second time", fmt.Sprintf("the first is on line %d", p.lines.line(first)))
		return
	}
	p.owned[what] = path
}

func (p *parser) addresses(t table) []vip.Address {
	v, ok := t.values["addresses"]
	if !ok {
		return nil
	}
	elements, ok := asArray(v)
	switch {
	case !ok:
		t.wrongType("addresses", t.key("addresses"), v, "an array")
		return nil
	case len(elements) > MaxAddresses:
		t.report("addresses", fmt.Sprintf("%d addresses", len(elements)), fmt.Sprintf("a group holds %d at most", MaxAddresses))
		return nil
	}
	var out []vip.Address
	for i, e := range elements {
		at := table{parser: p, path: element(join(t.path, "addresses"), i), rule: "group.addresses"}
		switch e := e.(type) {
		case string:
			ip, dev, found := strings.Cut(e, "@")
			if !found {
				p.report(at.path, fmt.Sprintf("%q names no device", e), `write "ADDRESS/LENGTH@DEVICE"`)
				continue
			}
			at.values = map[string]any{"ip": ip, "dev": dev}
		case map[string]any:
			at.values = e
			at.checked()
		default:
			p.report(at.path, "is "+describe(e)+", neither text nor a table", `write "ADDRESS/LENGTH@DEVICE"`)
			continue
		}
		if a, ok := p.address(at); ok {
			out = append(out, a)
		}
	}
	return out
}

func (p *parser) address(t table) (vip.Address, bool) {
	before := p.errors
	a := vip.Address{Device: t.device("dev"), Label: t.text("label"), Scope: t.text("scope")}
	if t.has("ip") {
		a.Prefix = p.vip(t)
	}
	if a.Label != "" {
		p.label(t, a)
	}
	if p.errors > before {
		return a, false
	}
	what := "address " + a.Prefix.Addr().String()
	if a.Prefix.Addr().IsLinkLocalUnicast() {
		what += " on " + a.Device // each link has its own such addresses: RFC 4291 section 2.5.6
	}
	p.own(t.path, what)
	return a, p.errors == before
}

// vip reads an address that a node may take.
func (p *parser) vip(t table) netip.Prefix {
	s := t.text("ip")
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		hint := "such as 192.0.2.1/24 or 2001:db8::1/64"
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			hint = fmt.Sprintf("add the prefix length: %s/%d", s, map[bool]int{true: 24, false: 64}[a.Is4()])
		}
		t.report("ip", fmt.Sprintf("%q is not an address with its prefix length", s), hint)
		return netip.Prefix{}
	}
	a := prefix.Addr()
	why := ""
	switch {
	case a.Is4In6():
		why = "is an IPv4 address in IPv6 clothes"
	case a.IsUnspecified(), prefix.Bits() == 0:
		why = "is no address"
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		why = "is not the address of one node"
	case a.IsLoopback():
		why = "never leaves the node"
	case a.Is4() && prefix.Bits() < 31 && a == prefix.Masked().Addr():
		why = "is the network's own address"
	case a.Is4() && prefix.Bits() < 31 && a == broadcast(prefix):
		why = "is the network's broadcast address"
	default:
		return prefix
	}
	t.report("ip", s+" "+why, "choose an address that one host of the network can have")
	return prefix
}

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

func (p *parser) label(t table, a vip.Address) {
	hint := fmt.Sprintf("such as %s:vip", a.Device)
	switch {
	case a.Prefix.IsValid() && !a.Prefix.Addr().Is4():
		t.report("label", "an IPv6 address has no label", "leave it out")
	case len(a.Label) > maxDevice:
		t.report("label", fmt.Sprintf("label %q of %d bytes is longer than %d", a.Label, len(a.Label), maxDevice), hint)
	case a.Device != "" && a.Label != a.Device && !strings.HasPrefix(a.Label, a.Device+":"):
		t.report("label", fmt.Sprintf("label %q does not start with its device %s", a.Label, a.Device), hint)
	}
}

func (t table) device(name string) string {
	d := t.text(name)
	if hint, ok := isDevice(d); !ok && t.has(name) {
		t.report(name, fmt.Sprintf("%q is no interface", d), hint)
		return ""
	}
	return d
}
