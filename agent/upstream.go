//go:build !lite

package agent

import (
	"context"
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/announce"
)

// hasUpstream says that this build knows the section [upstream].
const hasUpstream = true

// A look asks so often, and waits so long after each question: a neighbour that
// is busy, or a switch that loses a broadcast, is not yet nobody.
const (
	lookAsks    = 3
	lookSpacing = 300 * time.Millisecond
)

// lan asks the network who has the addresses of a group.
type lan struct{ h *hands }

// Holders says which hardware address of this node must answer for the samples
// of a group's addresses. A device without one, as a tunnel, is left out.
func (n lan) Holders(i int) []accord.Holder {
	g := n.h.groups[i].group()
	addresses := g.VIP.Addresses
	var out []accord.Holder
	for _, s := range announce.Samples(addresses) {
		mac, err := n.h.air.Hardware(speaks(g, s.Device))
		if err != nil {
			continue // the alarm of the device says it
		}
		for at, a := range addresses {
			if a.Prefix == s.Prefix && a.Device == s.Device {
				out = append(out, accord.Holder{Index: uint16(at), MAC: accord.MAC(mac)})
				break
			}
		}
	}
	return out
}

// Ask asks for those addresses of the group that the owner spoke of.
func (n lan) Ask(ctx context.Context, i int, who []accord.Holder) []loop.Answers {
	g := n.h.groups[i].group()
	var asked []vip.Address
	for _, w := range who {
		if int(w.Index) < len(g.VIP.Addresses) {
			asked = append(asked, g.VIP.Addresses[w.Index])
		}
	}
	heard, err := n.h.air.Ask(ctx, asked, lookAsks, lookSpacing)
	if ctx.Err() == nil {
		n.unasked(i, err)
	}
	out := make([]loop.Answers, len(who))
	for at, w := range who {
		if int(w.Index) >= len(g.VIP.Addresses) {
			continue
		}
		if h := heard[g.VIP.Addresses[w.Index].Prefix.Addr()]; h != nil {
			out[at] = loop.Answers{Asked: true, MACs: macs(h.Answered), Misled: macs(h.Misled)}
		}
	}
	return out
}

// unasked notes why the network could not be asked, if it is not what was so at
// the last look. It is nil where only carriers are missing: the alarms of the
// devices say that.
func (n lan) unasked(i int, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	g := n.h.groups[i]
	g.mu.Lock()
	news := text != g.unasked
	g.unasked = text
	g.mu.Unlock()
	if news && text != "" {
		n.h.note(report.Event{Kind: "address", Group: g.group().Name, Seen: text, Decided: "the network could not be asked who has its addresses"})
	}
}

func macs(in []announce.MAC) (out []accord.MAC) {
	for _, m := range in {
		out = append(out, accord.MAC(m))
	}
	return out
}

// talk is what the nodes tell each other beside heartbeats, of the configuration
// whose text is given.
func (a *agent) talk(text []byte) (t loop.Talk) {
	for _, k := range config.Sums(text) {
		t.Keys = append(t.Keys, accord.Key(k))
	}
	if up := a.cfg.Upstream; up != nil {
		t.LAN, t.Every = lan{a.hands}, up.Every
	}
	return t
}

// speaks is the device by whose hardware address a group's addresses on another
// one are answered for.
func speaks(g *config.Group, device string) string {
	for _, v := range g.Virtual {
		if v.Parent == device {
			return v.Device
		}
	}
	return device
}
