package loop

import (
	"fmt"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// snapshot tells everything the outside may see.
func (l *Loop) snapshot(now pair.Instant) report.Snapshot {
	s := report.Snapshot{
		At: l.o.Wall(), Version: l.o.Version, Cluster: l.o.Cluster, Guarantee: l.o.Guarantee,
		Self: l.self(now), Peer: l.peerView(now), Watchdog: l.watchdogView(now), LastReset: l.o.LastReset,
	}
	if l.fence.barred != "" {
		s.Guarantee.Price = "NO TAKEOVER by fence now: " + l.fence.barred
	}
	for _, p := range l.paths {
		s.Links = append(s.Links, l.linkView(now, p))
	}
	for _, g := range l.groups {
		s.Groups = append(s.Groups, l.groupView(now, g))
	}
	for _, a := range l.alarms {
		s.Alarms = append(s.Alarms, a)
	}
	slices.SortFunc(s.Alarms, func(a, b report.Alarm) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return compare(a.Name, b.Name)
	})
	return s
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ago returns the age of an instant in milliseconds, or nil if it never was.
func ago(now, at pair.Instant) *float64 {
	if at == 0 {
		return nil
	}
	v := ms(now.Since(at))
	return &v
}

func (l *Loop) self(now pair.Instant) report.NodeView {
	return report.NodeView{
		Name: l.o.Self.Name, ID: l.o.Self.ID, Alive: true, TwoWay: l.twoWay(now),
		Version: l.o.Version, DigestOK: l.agrees(), Digest: fmt.Sprintf("%08x", l.o.Digest),
		UptimeMS: now.Since(l.began).Milliseconds(), LeaseMS: l.o.Lease.Milliseconds(),
		Maintenance: l.saved.clone().Maintenance, // the loop counts on in its own
		Health:      l.healthView(),
	}
}

func (l *Loop) agrees() bool { return !l.peer.known || l.peer.m.Digest == l.o.Digest }

// twoWay says whether the peer proved, within patience, that it hears us.
func (l *Loop) twoWay(now pair.Instant) bool {
	return l.peer.ackAt != 0 && now.Since(l.peer.ackAt) <= l.o.Dead
}

func (l *Loop) peerView(now pair.Instant) report.NodeView {
	v := report.NodeView{
		Name: l.o.Peer.Name, ID: l.o.Peer.ID, Alive: l.alive(now), TwoWay: l.twoWay(now),
		HeardAgoMS: ago(now, l.peer.heardAt), AckAgoMS: ago(now, l.peer.ackAt),
	}
	if l.peer.known {
		v.Health = l.peerHealth()
		v.Session = fmt.Sprintf("%08x", l.peer.session)
		v.DigestOK, v.Digest = l.agrees(), fmt.Sprintf("%08x", l.peer.m.Digest)
		v.LeaseMS = l.peer.m.Lease.Milliseconds()
		v.Version = fmt.Sprintf("%d.%d", l.peer.m.Version>>8, l.peer.m.Version&0xff)
	}
	if l.o.FenceName != "" {
		f := &l.fence
		v.Fence = &report.FenceView{
			Device: l.o.FenceName, Power: f.power, Error: f.err, Running: f.running, Last: f.last,
			Grade: l.grade(), Identity: f.identity, Barred: f.barred, Verified: f.verified,
			Budget: f.budget.Most, BudgetUsed: len(f.budget.Left), LastFence: l.saved.LastFence,
		}
		if f.asked != 0 {
			v.Fence.AgoMS = now.Since(f.asked).Milliseconds()
		}
	}
	for _, p := range l.paths {
		if lines := p.Path.View().Lines; lines != "" {
			v.Lines = lines
		}
	}
	return v
}

func (l *Loop) linkView(now pair.Instant, p *path) report.LinkView {
	d := p.Path.View()
	open, why := p.Path.Open()
	newest := uint32(0)
	if p.session == l.peer.session {
		newest = l.peer.counter
	}
	v := report.LinkView{
		ID: int(p.id), Name: p.Name, Type: p.Type, Open: open, State: p.state,
		HeardAgoMS: ago(now, p.heardAt), LossPercent: p.loss(now, newest), Error: why, Lines: d.Lines,
		TxFrames: d.TxFrames, TxBytes: d.TxBytes, TxDropped: d.TxDropped,
		RxFrames: d.RxFrames, RxBytes: d.RxBytes, Drops: d.Drops, Reopens: d.Reopens,
	}
	if p.rtt != 0 {
		r := ms(p.rtt)
		v.RoundTripMS = &r
	}
	return v
}

func (l *Loop) groupView(now pair.Instant, g *group) report.Group {
	m := g.m.View()
	v := report.Group{
		Name: g.Name, State: m.State.String(), Owner: l.ownerName(g), Preferred: g.Preferred,
		Term: m.Term, SinceMS: now.Since(g.since).Milliseconds(), GateOpen: g.opened,
		Addresses: g.Addresses, Services: g.Services, ServicesUp: m.ServiceUp,
		CanTakeOver: m.CanTakeOver, WhyNot: m.WhyNot, Failback: g.Failback,
		MovesInFlap: m.FlapMoves, FlapFrozen: m.FlapFrozen, LastTakeover: g.taken,
	}
	if m.PeerState != 0 {
		v.PeerState = m.PeerState.String()
	}
	if m.Evidence != 0 && owns(m.State) {
		v.Evidence = m.Evidence.String()
	}
	if m.Unfit {
		v.Unfit = m.UnfitWhy
	}
	if g.opened {
		v.AddressesUp = len(g.Addresses)
		v.LeaseLeftMS = max(0, ms(g.Pair.Lease-now.Since(g.renewed)))
	}
	return v
}

// grade is what a proof of the device can rest on, as its newest one showed.
func (l *Loop) grade() string {
	f := &l.fence
	switch last := l.saved.LastFence; {
	case last != nil && last.Proven && last.Action == "off":
		return last.Grade
	case f.verified != nil:
		return f.verified.Grade
	}
	return ""
}
