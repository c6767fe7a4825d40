//go:build !lite

package loop

import (
	"math"
	"time"

	"github.com/twinbeat/twinbeat/agent/accord"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

const (
	endingCopies = 5
	endingHolds  = time.Minute // what was not told by then is not told at all
)

// linesLate is how late at most it is seen that the modem lines fell: where
// Ethernet brings the frames they are looked at only after beats of silence. A
// last frame may lie in a buffer for so long, too, and of two lines that fall one
// may fall so much sooner.
func (l *Loop) linesLate() time.Duration { return max(time.Second, 5*l.o.Beat) }

// ending is what this node sees of the peer's end: its modem lines, and that it
// was proven off. The peer is told when it is back. Nothing is decided by it.
type ending struct {
	lines  pair.LineState // the newest that said something
	upFrom pair.Instant   // since when they say something; zero: they do not
	blind  pair.Instant   // since when they do not, though they did; zero: they do
	fellAt pair.Instant   // after the peer's last word, or with it
	roseAt pair.Instant   // after that; zero: not yet
	offAt  pair.Instant   // when it was proven off
	order  pair.Instant   // when the order for that was given
	grade  string

	found  accord.Ending // the newest end
	last   pair.Instant  // the peer's last word before it
	backAt pair.Instant
	copies int // of it that are still to be told

	heard bool // the peer told of this node's last end
}

// seeLines follows the modem lines of all cables together: what one of them
// shows as up is up.
func (l *Loop) seeLines(now pair.Instant) {
	s := pair.LinesUnknown
	for _, p := range l.paths {
		if s != pair.LinesUp && p.lines != pair.LinesUnknown {
			s = p.lines
		}
	}
	l.ending.see(now, s, l.peer.heardAt, l.linesLate())
}

// see takes a look at the lines, which may be late; last is the peer's last word.
func (e *ending) see(now pair.Instant, s pair.LineState, last pair.Instant, late time.Duration) {
	if s == pair.LinesUnknown {
		if e.blind == 0 {
			e.blind = now
		}
		if now.Since(e.blind) > late {
			e.upFrom = 0
		}
		return
	}
	e.blind = 0
	switch {
	case s == pair.LinesUp && e.upFrom == 0:
		e.upFrom, e.fellAt, e.roseAt = now, 0, 0
	case s == pair.LinesUp && e.fellAt != 0 && e.roseAt == 0:
		e.roseAt = now
	case s == pair.LinesDown && e.lines == pair.LinesUp && e.fellAt < last.Add(-late):
		e.fellAt, e.roseAt = now, 0
	}
	e.lines = s
}

// provenOff notes a proof of the fence device, and the order it is of.
func (l *Loop) provenOff(d FenceDone) {
	if d.Proven {
		e := &l.ending
		e.offAt, e.order, e.grade = l.o.Now(), l.fence.began, d.Grade
	}
}

// peerReturns notes what was seen of the peer's end, if there was one: it is
// called when its first frame of a new session came, after a silence.
func (l *Loop) peerReturns(at pair.Instant) {
	last := l.peer.heardAt
	if last == 0 || at.Since(last) <= l.o.Dead {
		return
	}
	e := &l.ending
	e.found, e.last, e.backAt, e.copies = e.judge(last, at, l.linesLate()), last, at, endingCopies
}

// judge says what was seen between the last word and the first of the new run.
func (e *ending) judge(last, back pair.Instant, late time.Duration) accord.Ending {
	var found accord.Ending
	since := last.Add(-late)
	fell := e.fellAt != 0 && e.fellAt >= since
	if e.upFrom != 0 && e.upFrom <= last {
		found.Lines, found.Fell = fell || e.lines == pair.LinesUp, fell
	}
	if found.Fell {
		end := back
		if e.roseAt != 0 {
			end = min(end, e.roseAt)
		}
		from := max(e.fellAt, last)
		found.FellMS, found.DownMS = millis(from.Since(last)), millis(end.Since(from))
	}
	if e.offAt != 0 && e.offAt >= since {
		found.Off, found.OffLater, found.Grade = true, found.Fell && e.fellAt < e.order, e.grade
	}
	return found
}

// millis is d in ms, which is told as 49 days if it is longer.
func millis(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), math.MaxUint32))
}

// endingDue says whether the peer is to be told of its end.
func (l *Loop) endingDue(now pair.Instant) bool {
	e := &l.ending
	return e.copies > 0 && l.peer.session == l.session && now.Since(e.backAt) <= endingHolds
}

// tellEnding puts it into the frame, where need be without what a proof rests on.
func (l *Loop) tellEnding(now pair.Instant, room int) {
	if !l.endingDue(now) {
		return
	}
	e := &l.ending
	e.found.AgoMS = millis(now.Since(e.last))
	item := e.found.Append(nil)
	if l.add(room, accord.TypeEnding, item) || l.add(room, accord.TypeEnding, item[:accord.EndingSize]) {
		e.copies--
	}
}

// heardEnding takes the peer's word on this node's last end, once. What the peer
// heard of this very kernel was no end of the box.
func (l *Loop) heardEnding(now pair.Instant, value []byte) {
	e, ok := accord.ParseEnding(value)
	own := l.o.LastReset
	if !ok || own == nil || l.o.Uptime == nil || l.ending.heard {
		return
	}
	uptime := millis(l.o.Uptime())
	if uptime == 0 || e.AgoMS <= uptime {
		return
	}
	l.ending.heard = true
	r := *own // who was shown it may still read it
	l.o.LastReset = &r
	if r.Hear((*report.Ending)(&e), l.o.Peer.Name, uptime, millis(l.linesLate())) {
		l.tellReset(now)
		l.keepReset(now, r.Cause+": "+r.Text)
	}
}

// keepReset has the journal say why this boot began, for a later agent.
func (l *Loop) keepReset(now pair.Instant, why string) {
	if w := l.o.Watch; w != nil {
		w.Kick.Reset = why
		l.watch.record = now
		return
	}
	if l.o.KeepReset != nil {
		l.o.KeepReset(why)
	}
}
