//go:build !lite && !no_virtual

package config

import (
	"fmt"
)

// maxBounce is how many interfaces of a node may be listed.
const maxBounce = 8

var bounceKeys = []key{
	{path: "bounce", kind: section, doc: "For switches and upstreams that ignore gratuitous ARP: a node that gave a group up, and sees that the peer owns it, sets the listed interfaces under the group's addresses down for a moment, so that whoever is at the other end of the cable forgets what it learned there. Not in lite."},
	{path: "bounce.interfaces", kind: textsByNode, required: true, show: `["eth1"]`, doc: "The interfaces, up to 8. None that carries a [[link]]; one with VLANs on it, or that a group needs which this node still owns, is left alone. One that is down when the agent starts is set up: a bounce may have been cut short."},
	{path: "bounce.down", kind: duration, def: `"2s"`, min: 100 * ms, max: 10 * second, doc: "How long they stay down. Static routes and IPv6 addresses, which the kernel forgets meanwhile, are put back. A takeover ends it early."},
	{path: "bounce.every", kind: duration, def: `"10m"`, min: minute, max: 24 * hour, doc: "Between two bounces of one interface, at least."},
}

// bounce reads the section [bounce].
func (p *parser) bounce(t table) *Bounce {
	b := &Bounce{Down: t.duration("down"), Every: t.duration("every")}
	b.Interfaces = t.textsPerNode("interfaces", func(at string, list []any) (out []string) {
		if len(list) > maxBounce {
			t.report(at, fmt.Sprintf("%d interfaces", len(list)), fmt.Sprintf("%d at most", maxBounce))
		}
		for i, e := range list {
			s, _ := e.(string)
			if hint, ok := isDevice(s); !ok {
				t.report(element(at, i), fmt.Sprintf("%v is no interface", e), hint)
			}
			out = append(out, s)
		}
		return out
	})
	for i := range p.config.Links {
		for _, name := range b.Interfaces {
			if on := p.config.Links[i].Interface; on == name || port(on) == name {
				t.report("interfaces", fmt.Sprintf("%s carries link %d", name, i+1),
					fmt.Sprintf("the nodes must hear each other at every moment: leave it out, or move the link of line %d", p.lines.line(element("link", i))))
			}
		}
	}
	return b
}
