package loop

import (
	"math/bits"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// LossWindow is the number of newest frames over which loss is told.
const LossWindow = 256

// A PathView is what a path's driver knows of itself.
type PathView struct {
	Lines                        string
	TxFrames, TxBytes, TxDropped uint64
	RxFrames, RxBytes            uint64
	Reopens                      uint64
	Drops                        map[string]uint64
}

// Link states as status shows them.
const (
	linkUp        = "up"
	linkOneWayIn  = "one-way-in"  // we hear the peer here, it does not hear us
	linkOneWayOut = "one-way-out" // the peer hears us here, we do not hear it
	linkDown      = "down"
	linkClosed    = "closed"
)

// path is one link as the heartbeats prove it.
type path struct {
	Link
	id      uint8
	session uint32
	heardAt pair.Instant
	firstAt pair.Instant // first frame of the session here
	counter uint32
	started uint32 // counter of the first frame here
	got     [LossWindow / 64]uint64
	rtt     time.Duration
	lines   pair.LineState
	why     string // the driver's word at the last alarm
	state   string
	stateAt pair.Instant // since when
	bad     bool         // an alarm says so
}

// heard takes the arrival of a frame on this path.
func (p *path) heard(at pair.Instant, m *wire.Message, sent *echoRing) {
	if p.session != m.Session {
		*p = path{
			Link: p.Link, id: p.id, session: m.Session, firstAt: at, started: m.Counter,
			lines: p.lines, why: p.why, state: p.state, stateAt: p.stateAt, bad: p.bad,
		}
	}
	if at.Since(p.heardAt) > p.Dead {
		p.firstAt = at // it was down: the peer's word on it is old, too
	}
	p.heardAt = max(p.heardAt, at)
	p.count(m.Counter)
	if s := sent.at(m.LinkEcho); s != 0 {
		if trip := at.Since(s) - m.LinkEchoAge; trip > 0 {
			p.smooth(trip)
		}
	}
}

// smooth keeps a round trip that follows at an eighth, as RFC 6298 section 2 does.
func (p *path) smooth(trip time.Duration) {
	if p.rtt == 0 {
		p.rtt = trip
		return
	}
	p.rtt += (trip - p.rtt) / 8
}

// count marks counter c as received.
func (p *path) count(c uint32) {
	if c > p.counter {
		p.shift(c - p.counter)
		p.counter = c
	}
	if age := p.counter - c; age < LossWindow {
		p.got[age/64] |= 1 << (age % 64)
	}
}

func (p *path) shift(n uint32) {
	if n >= LossWindow {
		p.got = [LossWindow / 64]uint64{}
		return
	}
	for ; n > 0; n-- {
		var carry uint64
		for i := range p.got {
			next := p.got[i] >> 63
			p.got[i] = p.got[i]<<1 | carry
			carry = next
		}
	}
}

// loss returns the percentage of the newest frames that did not come. Newest is
// the counter of the session's newest frame on any path: it counts where this
// path has fallen silent.
func (p path) loss(now pair.Instant, newest uint32) float64 {
	if p.counter == 0 {
		return 0
	}
	if newest > p.counter && !p.fresh(now) {
		p.shift(newest - p.counter)
		p.counter = newest
	}
	expected := min(p.counter-p.started+1, LossWindow)
	got := 0
	for _, w := range p.got {
		got += bits.OnesCount64(w)
	}
	return max(0, 100*(1-float64(got)/float64(expected)))
}

// fresh says whether the peer was heard here within the link's patience.
func (p *path) fresh(now pair.Instant) bool {
	return p.heardAt != 0 && now.Since(p.heardAt) <= p.Dead
}

// judge names the state of the path.
func (p *path) judge(now pair.Instant, open, peerHears bool) string {
	in := p.fresh(now)
	switch {
	case !open:
		return linkClosed
	case in && (peerHears || now.Since(p.firstAt) < 2*p.Dead):
		return linkUp // a young path: the peer's word is still on its way
	case in:
		return linkOneWayIn
	case peerHears:
		return linkOneWayOut
	}
	return linkDown
}
