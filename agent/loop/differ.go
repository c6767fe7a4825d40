package loop

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
)

const (
	// differAfter is how long the configurations may differ before it is an
	// alarm: a change reaches the two nodes one after the other.
	differAfter = 2 * time.Second
	// keysAgain is the pause between two tellings of the same: frames are lost.
	keysAgain = 5 * time.Second
)

// differing is what this node knows of the difference of the configurations.
type differing struct {
	*accord.Differ
	since pair.Instant // zero: they agree, or there is no contact
	rest  pair.Instant // until then all was told
	found accord.Difference
}

func (l *Loop) blind(keyID uint8, sum *[32]byte) (uint32, bool) { return l.o.Wire.Blind(keyID, sum) }

// keysDue says whether the peer is to be told of the configuration.
func (l *Loop) keysDue(now pair.Instant) bool {
	return l.peer.session == l.session && !l.agrees() && now >= l.differ.rest
}

func (l *Loop) tellKeys(now pair.Instant, room int) {
	if !l.keysDue(now) {
		return
	}
	l.differ.Begin(l.epoch())
	item, last := l.differ.Next(room-l.data.items.Len()-2, l.o.Wire.Active(), l.blind)
	if item != nil {
		l.add(room, accord.TypeKeys, item)
	}
	if last {
		l.differ.rest = now.Add(keysAgain)
	}
}

func (l *Loop) epoch() accord.Epoch {
	return accord.Epoch{Session: l.session, Own: l.o.Digest, Peer: l.peer.m.Digest}
}

func (l *Loop) heardKeys(now pair.Instant, value []byte) {
	if l.peer.session != l.session || l.agrees() {
		return
	}
	l.differ.Begin(l.epoch())
	before := l.differ.Told()
	l.differ.Hear(value, l.blind)
	if before != l.differ.Told() {
		l.differ.rest = now // there is more to tell now
	}
	l.differ.found = l.differ.Result(l.o.Self.Name, l.o.Peer.Name, l.blind)
}

// judgeKeys raises the alarm of configurations that differ, or clears it.
func (l *Loop) judgeKeys(now pair.Instant) {
	d := &l.differ
	if l.agrees() || !l.alive(now) {
		d.since, d.rest, d.found = 0, 0, accord.Difference{}
	} else if d.since == 0 {
		d.since = now
	}
	l.alarm("config", d.since != 0 && now.Since(d.since) >= differAfter, l.differText())
}

func (l *Loop) differText() string {
	text := l.o.Peer.Name + " runs a different configuration"
	switch d := l.differ.found; {
	case len(d.Names) > 0:
		return text + ": " + d.String()
	case d.Known:
		return text + ", though no key has another value: compare empty sections and types"
	}
	return text + "; which keys differ is not known yet"
}
