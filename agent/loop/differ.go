//go:build !lite

package loop

import (
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// keysAgain is the pause between two tellings of the same: frames are lost.
const keysAgain = 5 * time.Second

// differing is what this node knows of the difference of the configurations.
type differing struct {
	*accord.Differ
	rest  pair.Instant // until then all was told
	found accord.Difference
}

func newDiffering(t Talk) differing { return differing{Differ: accord.NewDiffer(t.Keys)} }

// names are the keys that are known to differ.
func (d *differing) names() []string { return d.found.Names }

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
	l.nameKeys(now, l.differ.Result(l.o.Self.Name, l.o.Peer.Name, l.blind))
}

// judgeKeys forgets what it knows when there is nothing to compare any more.
func (l *Loop) judgeKeys(now pair.Instant) {
	if l.agrees() || !l.alive(now) {
		l.differ.rest, l.differ.found = 0, accord.Difference{}
	}
}

// namedKeys adds to that alarm what is known of the reason.
func (l *Loop) namedKeys() string {
	switch d := l.differ.found; {
	case l.agrees():
		return ""
	case len(d.Names) > 0:
		return "; keys that differ: " + d.String()
	case d.Known:
		return "; keys have the same values: compare empty sections"
	}
	return ""
}

// nameKeys puts what was found into the alarms that stand, and into the journal.
func (l *Loop) nameKeys(now pair.Instant, found accord.Difference) {
	was := l.differ.found.String()
	l.differ.found = found
	if found.String() == was || !found.Known {
		return
	}
	l.event(now, report.Event{Kind: "alarm", Seen: l.o.Peer.Name + " runs a different configuration" + l.namedKeys()})
	for _, g := range l.groups {
		if a, on := l.alarms[g.Name+"/"+mismatch]; on {
			text, _, _ := strings.Cut(a.Text, "; keys")
			l.alarm(a.Name, true, text+l.namedKeys())
		}
	}
}
