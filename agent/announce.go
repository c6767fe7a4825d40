package agent

import (
	"context"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/vip/announce"
)

// SetOwner says whether announcements may go out: a late one must never speak
// for an address that was given away.
func (h *hands) SetOwner(i int, owner bool) {
	g := h.groups[i]
	g.owner.Store(owner)
	g.taken.Store(owner)
	if !owner {
		g.hush(nil)
	}
}

// hush ends what is announced for the group; next, if any, ends what is from now
// on.
func (g *handful) hush(next context.CancelFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.silence != nil {
		g.silence()
	}
	g.silence = next
}

// Announce begins a burst of gratuitous ARP and neighbour advertisements and
// returns; what was announced for the group before is ended. After the burst the
// addresses are announced again and again, for switches and hosts that forget or
// were elsewhere, until the group is given away.
func (h *hands) Announce(i int, why string) {
	g := h.groups[i]
	ctx, cancel := context.WithCancel(context.Background())
	g.hush(cancel)
	go func() {
		defer cancel()
		h.burst(ctx, g, g.group().Announce.Count, why)
		for wait := time.Duration(0); ; {
			wait = reannounce(wait, g.group().Announce.Refresh)
			pause(ctx, wait)
			if ctx.Err() != nil {
				return
			}
			if g.group().Announce.Refresh > 0 {
				h.burst(ctx, g, 1, "refresh")
			}
		}
	}()
}

func (h *hands) burst(ctx context.Context, g *handful, count int, why string) {
	c := g.group()
	err := h.air.Announce(ctx, c.Placed().Addresses, announce.Plan{
		Count: count, Spacing: c.Announce.Spacing, Pace: c.Announce.Pace, Owner: g.owner.Load,
	})
	if err != nil && ctx.Err() == nil && g.owner.Load() {
		h.note(report.Event{Kind: "address", Group: c.Name, Seen: "announce (" + why + "): " + err.Error()})
	}
}

// reannounce returns the time until the next round, by the time before the newest
// one: it doubles up to refresh. So a part of the LAN that was cut off when a node
// took over hears of it, when it is back, within about the time that it was away.
func reannounce(last, refresh time.Duration) time.Duration {
	if refresh == 0 {
		return noRefresh
	}
	return min(max(2*last, firstReannounce), refresh)
}

const (
	firstReannounce = time.Second
	// noRefresh is how soon a group that is not refreshed is looked at again: a
	// reload may have changed that.
	noRefresh = time.Minute
)

// hushAfter ends all that is announced with ctx.
func (h *hands) hushAfter(ctx context.Context) {
	<-ctx.Done()
	for _, g := range h.groups {
		g.hush(nil)
	}
}
