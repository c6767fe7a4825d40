package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ttl is the hop limit of every heartbeat. The receiver accepts no other, so
// that nobody beyond a router can speak: RFC 5082.
const ttl = 255

// linkKeysByType lists the keys that go with a type of link.
var linkKeysByType = map[string][]string{
	"serial":    {"type", "dead", "device", "baud", "lines"},
	"multicast": {"type", "dead", "interface", "group", "port"},
	"unicast":   {"type", "dead", "interface", "address", "port"},
}

// links reads the paths to the peer.
func (p *parser) links(t table) {
	tables := t.tables("link")
	if len(tables) > MaxLinks {
		t.report("link", fmt.Sprintf("%d links", len(tables)), fmt.Sprintf("a heartbeat has a bit for each of %d links", MaxLinks))
		return
	}
	if t.has("link") && len(tables) == 0 {
		t.report("link", "no link", "the nodes must hear each other: add a [[link]]")
	}
	seen := map[string]string{}
	for _, l := range tables {
		link, ends := p.link(l)
		p.config.Links = append(p.config.Links, link)
		for i, end := range ends {
			if end == "" {
				continue
			}
			end = p.config.Nodes[i].Name + " " + end
			if first, twice := seen[end]; twice {
				l.parser.report(l.path, "is the same path as "+first, fmt.Sprintf("%s is used on line %d already", end, p.lines.line(first)))
				break
			}
			seen[end] = l.path
		}
	}
	p.dead()
}

// dead resolves the T_dead of each link, and of the peer: it is suspect when
// the slowest link has been silent for its T_dead.
func (p *parser) dead() {
	c := &p.config
	slowest := time.Duration(0)
	for i := range c.Links {
		if c.Links[i].Dead == 0 {
			c.Links[i].Dead = c.Timing.Dead
		}
		slowest = max(slowest, c.Links[i].Dead)
	}
	if slowest > 0 {
		c.Timing.Dead = slowest
	}
	if c.Timing.Ack == 0 {
		c.Timing.Ack = c.Timing.Dead
	}
	if c.Timing.Race == 0 {
		c.Timing.Race = c.Timing.FenceTime + c.Timing.Dead + c.Timing.Beat + max(time.Second, 4*c.Timing.Beat+2*c.Timing.Reserve)
	}
}

// link reads one path, and what it occupies on each node.
func (p *parser) link(t table) (Link, [2]string) {
	l := Link{Type: t.text("type"), Dead: t.duration("dead")}
	allowed, ok := linkKeysByType[l.Type]
	if !ok {
		return l, [2]string{} // reported: the other keys cannot be judged
	}
	for _, name := range children("link") {
		if t.has(name) && !slices.Contains(allowed, name) {
			t.report(name, "does not go with a "+l.Type+" link", "keys of this type: "+strings.Join(allowed, ", "))
		}
	}
	switch l.Type {
	case "serial":
		return p.serial(t, l)
	case "multicast":
		return p.multicast(t, l)
	default:
		return p.unicast(t, l)
	}
}

func (t table) needs(name string) bool {
	if !t.has(name) {
		t.parser.report(t.path, "lacks "+name, "add "+t.key(name).example(name))
	}
	return t.has(name)
}

func (p *parser) serial(t table, l Link) (Link, [2]string) {
	t.needs("device")
	devices := t.perNode("device", isTTY)
	l.Device = devices[p.config.Self]
	l.Baud = t.int31("baud")
	l.Lines = t.text("lines")
	l.Name = "serial " + l.Device
	return l, devices
}

func (p *parser) multicast(t table, l Link) (Link, [2]string) {
	t.needs("interface")
	devices := t.perNode("interface", isDevice)
	l.Interface = devices[p.config.Self]
	l.Port, l.TTL = uint16(t.number("port")), ttl
	if t.needs("group") {
		l.Group = t.address("group", t.text("group"))
		if l.Group.IsValid() && !l.Group.IsMulticast() {
			t.report("group", l.Group.String()+" is not a multicast address", "such as 239.255.77.1 (RFC 2365) or ff02::4d:1")
		}
	}
	to := netip.AddrPortFrom(l.Group, l.Port).String()
	l.Name = "multicast " + l.Interface + " " + to
	for i, d := range devices {
		if d != "" {
			devices[i] = d + " " + to
		}
	}
	return l, devices
}

func (p *parser) unicast(t table, l Link) (Link, [2]string) {
	t.needs("interface")
	devices := t.perNode("interface", isDevice)
	l.Interface = devices[p.config.Self]
	l.Port, l.TTL = uint16(t.number("port")), ttl
	ends := p.ends(t)
	l.Local, l.Remote = ends[p.config.Self], ends[1-p.config.Self]
	l.Name = "unicast " + l.Interface + " " + netip.AddrPortFrom(l.Remote, l.Port).String()
	var occupied [2]string
	for i := range ends {
		if ends[i].IsValid() {
			occupied[i] = devices[i] + " " + netip.AddrPortFrom(ends[i], l.Port).String()
		}
	}
	return l, occupied
}

// ends reads the two addresses of a unicast link.
func (p *parser) ends(t table) [2]netip.Addr {
	var ends [2]netip.Addr
	if !t.needs("address") {
		return ends
	}
	values, ok := t.byNode("address", t.values["address"])
	if !ok {
		return ends
	}
	for i, n := range p.config.Nodes {
		at := join("address", n.Name)
		s, ok := values[n.Name].(string)
		if !ok {
			t.report(at, "is "+describe(values[n.Name])+", not text", "an IP address in quotes")
			continue
		}
		ends[i] = t.address(at, s)
		if ends[i].IsMulticast() || ends[i].IsUnspecified() {
			t.report(at, s+" is not the address of a node", "the node's own address on that interface")
			ends[i] = netip.Addr{}
		}
	}
	switch a, b := ends[0], ends[1]; {
	case !a.IsValid() || !b.IsValid():
	case a == b:
		t.report("address", "both nodes have "+a.String(), "each node has its own address")
	case a.Is4() != b.Is4():
		t.report("address", a.String()+" and "+b.String()+" are of two families", "both IPv4 or both IPv6")
	}
	return ends
}
