//go:build !lite

package loop

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// DATA frames have the time that nobody else needs: one in so many heartbeats
// at most, right after a heartbeat, and on a serial line seldom.
const (
	dataEvery       = 4
	dataEverySerial = 20
	// beatShare is the part of a serial line's time, in percent, that
	// heartbeats may fill; see agent/config. DATA may have the rest.
	beatShare = 60
	// quietBeats is for how many beats nothing but heartbeats was sent, before
	// DATA takes a serial line: orders and extra heartbeats may have filled it,
	// and it makes up for them only by what heartbeats leave.
	quietBeats = 8
	// pathFresh is for how many beats a path may have been silent.
	pathFresh = 2
)

// A Talk is what the nodes may tell each other beside heartbeats.
type Talk struct {
	Keys  []accord.Key  // of the configuration, with the digests of their values
	LAN   LAN           // nil: the network is not asked who has the addresses
	Every time.Duration // between two looks, if it is
}

// data is what this node does to tell the peer, and what it has heard.
type data struct {
	beats   int    // since the newest DATA frame
	sends   uint64 // messages sent up to the last heartbeat that was due
	quiet   int    // beats in a row in which nothing but that heartbeat was sent
	session uint32 // of heard
	heard   uint32 // newest counter
	items   wire.Items
}

// tellPeer sends at most one DATA frame. It is called after a heartbeat that was
// due, so that the line is idle from its end to the next one.
func (l *Loop) tellPeer(now pair.Instant) {
	l.data.quiet++
	if l.sends-l.data.sends > 1 {
		l.data.quiet = 0
	}
	l.data.sends = l.sends
	l.data.beats++
	if l.data.beats < dataEvery || l.session == 0 || !l.hasNews(now) {
		return
	}
	p, room := l.dataPath(now)
	if p == nil {
		return
	}
	l.data.items = wire.Items{}
	l.tellEnding(now, room)
	l.tellUpstream(room)
	l.tellKeys(now, room)
	if l.data.items.Len() == 0 {
		return
	}
	l.data.beats = 0
	m := &l.message
	*m = wire.Message{Kind: wire.Data, Counter: l.o.Wire.NextData(), Items: l.data.items}
	frame, err := l.o.Wire.Seal(l.buf[:0], p.id, m)
	if err == nil {
		err = p.Path.Send(frame)
	}
	if err != nil {
		l.counters.SendErrors++
	}
}

// add puts one item into the frame, if it fits into room bytes of items.
func (l *Loop) add(room int, kind uint8, value []byte) bool {
	return l.data.items.Len()+2+len(value) <= room && l.data.items.Add(kind, value) == nil
}

// dataPath chooses the path for a DATA frame and says how many bytes of items
// it may have: a path that is no serial line, or else a serial one with room.
func (l *Loop) dataPath(now pair.Instant) (*path, int) {
	var serial *path
	for _, p := range l.paths {
		fresh := p.state == linkUp && p.session == l.session && now.Since(p.heardAt) <= pathFresh*l.o.Beat
		switch {
		case !fresh:
		case p.Baud == 0:
			return p, wire.MaxItems
		default:
			serial = p
		}
	}
	if serial == nil || l.data.beats < dataEverySerial || l.data.quiet < quietBeats || !l.calm(now) {
		return nil, 0
	}
	return serial, serialRoom(serial.Baud, l.o.Beat, l.nextBeat.Since(l.o.Now()))
}

// calm says that the peer echoes what this node sent two beats ago at most. A
// node that sends a CLAIM for silence has heard nothing for dead, which is four
// beats at least: so neither its CLAIM nor the answer finds a DATA frame on the
// line before it, and the inequalities of the timing hold as they are.
func (l *Loop) calm(now pair.Instant) bool {
	return l.peer.ackAt != 0 && now.Since(l.peer.ackAt) <= 2*l.o.Beat+l.o.Beat/2
}

// serialRoom is how many bytes of items fit on a serial line between a heartbeat
// that has just been sent and the next one, which is due after left: the first
// takes beatShare of the time between two, with all its copies on a noisy line.
func serialRoom(baud int, beat, left time.Duration) int {
	idle := min(left, beat) - beat*beatShare/100
	bytes := int(idle * time.Duration(baud) / (bitsAByte * time.Second))
	return max(0, min(bytes-wire.SerialData, wire.MaxItems))
}

// bitsAByte is 8N1 on a serial line.
const bitsAByte = 10

// heardData takes the items of a DATA frame. An older one than the newest says
// nothing new.
func (l *Loop) heardData(now pair.Instant, m *wire.Message) {
	if m.Session != l.session {
		return
	}
	d := &l.data
	if d.session != m.Session {
		d.session, d.heard = m.Session, 0
	}
	if m.Counter <= d.heard {
		return
	}
	d.heard = m.Counter
	m.Items.Each(func(kind uint8, value []byte) {
		switch kind {
		case accord.TypeKeys:
			l.heardKeys(now, value)
		case accord.TypeHolder:
			l.heardHolder(now, value)
		case accord.TypeFinding:
			l.heardFinding(now, value)
		case accord.TypeEnding:
			l.heardEnding(now, value)
		}
	})
}

func (l *Loop) hasNews(now pair.Instant) bool {
	return l.keysDue(now) || l.upstreamDue() || l.endingDue(now)
}
