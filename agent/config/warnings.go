package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/vip"
)

// warnings reports what works, but not as well as the operator may think.
func (p *parser) warnings() {
	c := &p.config
	if len(c.Links) == 1 {
		p.warn("link[0]", "the only link", "add a second of another kind: when this one fails, the nodes cannot tell it from the peer's death")
	}
	switch c.Mode {
	case "silence":
		p.silence()
	case "lease":
		p.warn(p.blame("mode"), "mode lease: an active that is not acknowledged steps down, so a dead standby costs the service",
			"add a [fence] section and choose mode fence")
	}
	p.heartbeatOnly()
	p.fenceWarnings()
	p.sensorWarnings()
	if c.Timing.Reserve <= coarsest {
		p.warn(p.blame("timing.reserve"), grain(c.Timing.Reserve), "a longer reserve for other kernels; "+
			"a lease may live for one grain longer than it says")
	}
}

// silence warns of what mode silence cannot see.
func (p *parser) silence() {
	c := &p.config
	if c.Fence == nil {
		p.warn(p.blame("mode"), "no fence device: if all links are cut while both nodes live, only the VIP probe is left against two owners",
			"add a [[fence.device]]")
	}
	shared := 0
	for _, l := range c.Links {
		if l.Type != "serial" && slices.ContainsFunc(c.devices(), func(d string) bool { return port(d) == port(l.Interface) }) {
			shared++
		}
	}
	if shared > 0 && shared == len(c.Links) {
		p.warn("link[0]", "every link runs over an interface of the addresses: one cut can silence all of them while both nodes live",
			"add a serial link, or a cable of its own")
	}
	for i, g := range c.Groups {
		if len(g.VIP.Addresses) == 0 {
			p.warn(element("group", i), "has no address: no VIP probe can veto its takeover", "add an address, or a fence device")
		}
	}
}

// heartbeatOnly warns of addresses where no client looks for them: on an
// interface whose unicast link talks in another network, or whose multicast
// link has a sister link on an interface of the addresses.
func (p *parser) heartbeatOnly() {
	c := &p.config
	for i, g := range c.Groups {
		for j, a := range g.VIP.Addresses {
			n := slices.IndexFunc(c.Links, func(l Link) bool { return l.Interface == a.Device && c.dedicated(l, a) })
			if n < 0 {
				continue
			}
			p.warn(element(element("group", i)+".addresses", j),
				fmt.Sprintf("%s is on %s, which seems to be the heartbeat cable of link %d", a.Prefix.Addr(), a.Device, n+1),
				"put it on the interface that the clients are on")
		}
	}
}

// dedicated says whether a link seems to have the address's interface for itself.
func (c *Config) dedicated(l Link, a vip.Address) bool {
	if l.Type == "unicast" {
		return l.Local.Is4() == a.Prefix.Addr().Is4() && !l.Local.IsLinkLocalUnicast() && !a.Prefix.Masked().Contains(l.Local)
	}
	return slices.ContainsFunc(c.Links, func(other Link) bool {
		return other.Type == "unicast" && other.Interface != l.Interface && slices.Contains(c.devices(), other.Interface)
	})
}

// devices lists the interfaces of all addresses.
func (c *Config) devices() []string {
	var out []string
	for _, g := range c.Groups {
		for _, a := range g.VIP.Addresses {
			if !slices.Contains(out, a.Device) {
				out = append(out, a.Device)
			}
		}
	}
	return out
}

// port is the interface that a VLAN rides on, by its usual name: eth0.10.
func port(device string) string {
	name, _, _ := strings.Cut(device, ".")
	return name
}

// contradictions reports what two sections say against each other.
func (p *parser) contradictions() {
	c := &p.config
	for i, l := range c.Links {
		for _, end := range []struct {
			node int
			addr string
		}{{c.Self, l.Local.String()}, {1 - c.Self, l.Remote.String()}} {
			address, taken := p.owned["address "+end.addr]
			if !taken {
				continue
			}
			p.report(address, fmt.Sprintf("%s is the own address of %s on link %d", end.addr, c.Nodes[end.node].Name, i+1),
				fmt.Sprintf("line %d talks to it whoever owns the group: choose another address for one of them", p.lines.line(element("link", i)+".address")))
		}
	}
}
