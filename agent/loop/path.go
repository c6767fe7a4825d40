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
	talk
	id      uint8
	lines   pair.LineState
	why     string // the driver's word at the last alarm
	state   string
	stateAt pair.Instant // since when
	bad     bool         // an alarm says so
	whole   pair.Instant // since when it is, though not yet called so; zero: it is not
	closely bool         // a lazy path is read as soon as something comes
}

// talk is what a path has carried of one session.
type talk struct {
	session uint32
	heardAt pair.Instant
	firstAt pair.Instant // first frame here
	counter uint32
	started uint32 // counter of the first frame here
	got     [LossWindow / 64]uint64
	rtt     time.Duration
}

// A lazy path's reader costs wakeups. While another path brings the peer's
// frames in time, a look at each beat is enough: orders come by the other one,
// and one that falls silent is noticed after attendAfter beats. Round trips are
// true only where both ends read closely, so both do from time to time, in step
// by the counters that both know.
const (
	attendAfter = 2
	sampleEvery = 256
	sampleLasts = 12
	sampleFrom  = 4 // both have begun by then
)

func sampling(counter uint32) bool { return counter%sampleEvery < sampleLasts }

// sampled says whether the peer read this node's frame closely.
func sampled(counter uint32) bool { return sampling(counter) && counter%sampleEvery >= sampleFrom }

// attend tells a lazy path how it is to be read.
func (l *Loop) attend(now pair.Instant, p *path) {
	if !p.Lazy {
		return
	}
	p.closely = !l.brought(now) || sampling(l.sent.last) || sampling(l.peer.counter)
	p.Path.Attend(p.closely)
}

// brought says whether a path that is not lazy brings the peer's frames.
func (l *Loop) brought(now pair.Instant) bool {
	for _, p := range l.paths {
		if !p.Lazy && p.heardAt != 0 && p.session == l.session && now.Since(p.heardAt) <= attendAfter*l.o.Beat {
			return true
		}
	}
	return false
}

// heard takes the arrival of a frame on this path.
func (p *path) heard(at pair.Instant, m *wire.Message, sent *echoRing) {
	if p.session != m.Session {
		p.talk = talk{session: m.Session, firstAt: at, started: m.Counter}
	}
	if at.Since(p.heardAt) > p.Dead {
		p.firstAt = at // it was down: the peer's word on it is old, too
	}
	p.heardAt = max(p.heardAt, at)
	p.count(m.Counter)
	if s := sent.at(m.LinkEcho); s != 0 && (!p.Lazy || p.closely && sampled(m.LinkEcho)) {
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

// calm is how long a path that had failed must be whole before it is called up
// again: one that comes and goes is one trouble and not a hundred.
const calm = time.Second

// settled holds back the word that a path that had failed is up.
func (p *path) settled(now pair.Instant, s string) string {
	failed := p.state == linkDown || p.state == linkOneWayIn || p.state == linkOneWayOut
	switch {
	case s != linkUp || !failed || !p.bad:
		p.whole = 0
		return s
	case p.whole == 0:
		p.whole = now
	}
	if now.Since(p.whole) < calm {
		return p.state
	}
	return s
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
