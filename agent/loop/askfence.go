package loop

import (
	"context"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// fenceAsk is how often the device is asked who it is and what the outlets read
// while all is well: an unreachable or re-cabled device must be an alarm long
// before it is needed.
const fenceAsk = 30 * time.Second

// fenceAskAgain is how often while something is wrong with it: an alarm must
// end soon after its cause.
const fenceAskAgain = 2 * time.Second

// A FenceCheck is what a look at the device found, without switching anything.
type FenceCheck struct {
	Power    string // of the peer: on, off or unknown
	Err      string // it does not answer, or could not switch; empty: it is well
	Identity string // it is not the device, or the outlet, that it was or is to be
	Wiring   string // it reads what cannot be, such as a load on an outlet that is off
}

// askFence looks at the device while all is well.
func (l *Loop) askFence(now pair.Instant) {
	f := &l.fence
	every := fenceAsk
	if f.err != "" || f.wrong || f.identity != "" {
		every = fenceAskAgain
	}
	if l.o.FenceName == "" || f.running || f.asking || (f.asked != 0 && now.Since(f.asked) < every) {
		return
	}
	f.asked, f.asking = now, true
	hands := l.o.Hands
	l.lane("fence status", l.o.FenceTime, func(ctx context.Context) Fact {
		return checkedFact{hands.FenceCheck(ctx)}
	}, func(err error) Fact { return checkedFact{FenceCheck{Power: "unknown", Err: err.Error()}} })
}

type checkedFact struct{ FenceCheck }

func (c checkedFact) apply(l *Loop, now pair.Instant) {
	f := &l.fence
	f.asking = false
	f.power, f.err = c.Power, c.Err
	l.alarm("fence-device", c.Err != "", l.o.FenceName+": "+c.Err)
	if c.Err == "" || c.Identity != "" { // one that does not answer may still be the right one
		f.identity = c.Identity
	}
	l.alarm("fence-identity", f.identity != "", l.o.FenceName+": "+f.identity)
	l.judgeWiring(now, c.Wiring)
	l.judgeLeave(now)
}

// judgeWiring compares what the device says of the peer with what is heard of it.
func (l *Loop) judgeWiring(now pair.Instant, odd ...string) {
	f := &l.fence
	if len(odd) > 0 {
		f.odd = odd[0]
	}
	off := f.err == "" && f.power == "off" && l.alive(now)
	if off && f.asked < l.aliveFrom {
		f.asked = 0 // it was off before it came back: ask again
	}
	f.wrong = off && f.asked >= l.aliveFrom
	why := l.o.FenceName + ": " + f.odd
	if f.wrong {
		why = l.o.FenceName + " says that " + l.o.Peer.Name + " is off, but it beats: wrong outlet?"
	}
	l.alarm("fence-wiring", f.wrong || f.odd != "", why)
}

// Modem lines of a full null-modem cable are raised by the peer's power. They
// need a moment to fall, and the reader one to see it.
const (
	witnessLooks = 20
	witnessEvery = 50 * time.Millisecond
)

// linesStay says whether modem lines that are up stay so. It runs in the lane of
// the fence, after the proof.
func (l *Loop) linesStay(ctx context.Context) bool {
	for range witnessLooks {
		if !l.linesUp() {
			return false
		}
		select {
		case <-ctx.Done():
			return l.linesUp()
		case <-time.After(witnessEvery):
		}
	}
	return true
}

func (l *Loop) linesUp() bool {
	for _, p := range l.paths {
		if p.Path.Lines() == pair.LinesUp {
			return true
		}
	}
	return false
}

// witness weighs what the modem lines say against a proof of the device. They
// prove nothing. But where a verification has shown that they fall with the
// peer's power, lines that stay up say that it has power: a relay that is
// welded, or an outlet that is not all there is. Two owners would be worse
// than none.
func (l *Loop) witness(r fencedFact) FenceDone {
	f, d := &l.fence, r.FenceDone
	if !d.Proven {
		return d
	}
	v := f.verified
	switch {
	case r.stay && v != nil && v.LinesMS != nil:
		d.Proven, d.Grade = false, "none"
		f.stay = "its modem lines stay up, which fell when the wiring was verified"
		d.Evidence = "unproven: " + f.stay + "; the device said: " + d.Evidence
	case r.stay:
		f.stay = "its modem lines stay up; nobody has verified that they fall with its power"
		d.Grade = strings.TrimSuffix(d.Grade, doubted) + doubted
		d.Evidence += "; but " + f.stay
	default:
		f.stay = ""
	}
	if f.fellAt != 0 {
		d.Evidence += "; its modem lines " + l.fell()
	}
	l.alarm("fence-witness", f.stay != "", l.o.FenceName+" proved "+l.o.Peer.Name+" off, but "+f.stay)
	return d
}

// doubted marks a grade that the modem lines contradict.
const doubted = " (in doubt)"

// fell words when the modem lines fell.
func (l *Loop) fell() string {
	f := &l.fence
	if d := f.fellAt.Since(f.began); d >= 0 {
		return "fell " + text0(d) + " after the order"
	}
	return "had fallen " + text0(f.began.Since(f.fellAt)) + " before the order"
}

func text0(d time.Duration) string { return d.Round(time.Millisecond).String() }

// watchWitness follows the modem lines, and ends what they contradicted.
func (l *Loop) watchWitness(now pair.Instant, s pair.LineState) {
	f := &l.fence
	switch s {
	case pair.LinesDown:
		f.fellAt = now
	default:
		f.fellAt = 0
	}
	if s == pair.LinesDown && f.stay != "" {
		f.stay = ""
		l.alarm("fence-witness", false, "")
	}
}

// met notes that the peer is alive again: what was known of its power is old.
func (l *Loop) met(now pair.Instant) {
	f := &l.fence
	f.paid, f.offAt, f.onAt, f.stay = false, 0, 0, ""
	l.alarm("fence-witness", false, "")
	l.alarm("fence-repower", false, "")
	l.judgeLeave(now)
}
