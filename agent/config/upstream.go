package config

import "time"

var upstreamKeys = []key{
	{path: "upstream", kind: section, doc: "The standby asks the LAN which hardware address answers for the group's addresses, after each take and from time to time; the owner announces again and raises an alarm if it is not its own. Without this section nobody asks. Not in lite."},
	{path: "upstream.every", kind: duration, def: `"30s"`, min: 5 * second, max: hour, doc: "Between two looks at one group. A look is three ARP requests or neighbour solicitations for each of up to three addresses."},
}

// An Upstream says how the network is asked who has the addresses.
type Upstream struct{ Every time.Duration }

// upstream reads the section [upstream].
func (p *parser) upstream(t table) *Upstream { return &Upstream{Every: t.duration("every")} }
