//go:build !lite

package agent

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/announce"
)

// A look comes every 30 s: what is so for hours is told once, and a cable that is
// out not at all, since that is an alarm of its own.
func TestUpstreamNotesWhyItCouldNotAskOnceUntilThatChanges(t *testing.T) {
	air, err := announce.New()
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "tbnocable"}, PeerName: "tbnoend"}
	must(netlink.LinkAdd(cable)) // and it stays down
	t.Cleanup(func() { _ = netlink.LinkDel(cable) })
	var seen []string
	h := &hands{air: air, tell: func(f loop.Fact) bool {
		seen = append(seen, f.(loop.Notice).Event.Seen)
		return true
	}}
	h.groups = []*handful{newHandful(config.Group{Name: "g"})}
	for _, step := range []struct{ device, note string }{
		{"tbnocable", ""},
		{"tbnone", "tbnone"},
		{"tbnone", ""},
		{"tbother", "tbother"},
		{"tbother", ""},
		{"tbnocable", ""},
		{"tbother", "tbother"},
	} {
		address, err := vip.ParseAddress("192.0.2.1/24@" + step.device)
		must(err)
		h.groups[0].conf.Store(&config.Group{Name: "g", VIP: vip.Set{Addresses: []vip.Address{address}}})
		seen = nil
		for _, a := range (lan{h}).Ask(t.Context(), 0, []accord.Holder{{Index: 0}}) {
			if a.Asked {
				t.Errorf("%s: asked", step.device)
			}
		}
		if got := strings.Join(seen, "; "); len(seen) > 1 || (got == "") != (step.note == "") || !strings.Contains(got, step.note) {
			t.Errorf("%s: noted %q, want %q", step.device, got, step.note)
		}
	}
}
