package monitor

import (
	"strings"
	"time"
)

// A Verdict is what one look found.
type Verdict uint8

// The verdicts.
const (
	Unknown Verdict = iota // it could not be looked at
	Bad
	Good
)

// A Look is one verdict with its reason, a clause that names its subject.
type Look struct {
	Verdict Verdict
	Why     string
}

// A State is what looks in a row amount to.
type State uint8

// The states.
const (
	Starting State = iota // too few looks to judge by
	Up
	Down
	Missing // it cannot be looked at
)

var stateNames = [...]string{"starting", "up", "down", "unknown"}

// String returns the state in words.
func (s State) String() string { return stateNames[s] }

// A Judge turns looks into a state.
type Judge struct {
	Rise, Fall int // looks in a row that lead up, and that lead down or to Missing
	State      State
	Heir       bool // the state is that of another monitor, whose place this one took
	last       Verdict
	run        int
}

// See counts a look and reports whether the state changed, or became the judge's
// own. The first good look is enough at the start. What is down stays down while it
// cannot be looked at: an interface that is pulled out must not make its node
// healthier.
func (j *Judge) See(v Verdict) (changed bool) {
	if v != j.last {
		j.last, j.run = v, 0
	}
	j.run++
	to, need := Missing, j.Fall
	switch v {
	case Good:
		to, need = Up, j.Rise
		if j.State == Starting {
			need = 1
		}
	case Bad:
		to = Down
	}
	if j.State == to && !j.Heir || to == Missing && j.State == Down || j.run < need {
		return false
	}
	j.State, j.Heir = to, false
	return true
}

// Combine makes one look of those at several targets. With all, one bad target
// is enough for Bad; else one good target is enough for Good, and what cannot be
// looked at counts only where nothing else can either.
func Combine(looks []Look, all bool) Look {
	order := [...]Verdict{Good, Bad, Unknown}
	if all {
		order = [...]Verdict{Bad, Unknown, Good}
	}
	for _, v := range order {
		if why, some := reasons(looks, v); some {
			return Look{v, why}
		}
	}
	return Look{Why: "there is nothing to look at"}
}

// reasons joins those of the looks with one verdict.
func reasons(looks []Look, v Verdict) (why string, some bool) {
	var all []string
	for _, l := range looks {
		if l.Verdict == v {
			all, some = append(all, l.Why), true
		}
	}
	return strings.Join(all, "; "), some
}

// A Debounce lets a state through when it has lasted.
type Debounce struct {
	Up, Down time.Duration // how long up and down must last

	known, stable, raw bool
	since              time.Duration // of raw
}

// See takes the raw state at time now of the monotonic clock. It returns the
// state that lasted, and after how long a raw state that differs will have; 0:
// none does. The first state counts at once.
func (d *Debounce) See(now time.Duration, raw bool) (stable bool, wait time.Duration) {
	if !d.known {
		d.known, d.stable, d.raw, d.since = true, raw, raw, now
	}
	if raw != d.raw {
		d.raw, d.since = raw, now
	}
	if raw == d.stable {
		return d.stable, 0
	}
	need := d.Down
	if raw {
		need = d.Up
	}
	if wait = need - (now - d.since); wait > 0 {
		return d.stable, wait
	}
	d.stable = raw
	return d.stable, 0
}

// A Rate is how fast a counter rises.
type Rate struct {
	Over time.Duration // the least time between two readings that are compared

	known     bool
	at        time.Duration
	count     uint64
	perSecond float64
}

// See takes a reading and returns the newest rate, 0 before there is one. A
// counter that went back was set anew, as by a driver.
func (r *Rate) See(now time.Duration, count uint64) (perSecond float64) {
	switch {
	case !r.known || count < r.count:
		r.perSecond = 0
	case now-r.at < r.Over || now == r.at:
		return r.perSecond
	default:
		r.perSecond = float64(count-r.count) / (now - r.at).Seconds()
	}
	r.known, r.at, r.count = true, now, count
	return r.perSecond
}

// An Excess tells a rate that is too high from one that is well. It begins at
// once, and ends when the rate was below half of Most for as long as bounce asks.
type Excess struct {
	Most   int // a second
	bounce Debounce
}

// See takes a rate at time now of the monotonic clock. It says whether all is
// well, and after how long a rate as low as this one will have lasted; 0: nothing
// is waited for.
func (e *Excess) See(now time.Duration, perSecond float64) (well bool, wait time.Duration) {
	well = perSecond <= float64(e.Most)
	if e.bounce.known && !e.bounce.stable {
		well = perSecond < float64(e.Most)/2
	}
	return e.bounce.See(now, well)
}
