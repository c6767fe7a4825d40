package predict

import (
	"math"
	"time"
)

// A Cause is a rule that has something against a series.
type Cause uint8

// The causes, in the order in which a sentence names them.
const (
	BeyondCrit   Cause = iota // the value is beyond a critical limit
	NearCrit                  // a temperature is within nearMargin of it
	FanStalled                // driven, and standing
	VoltageOff                // beyond voltageCrit of its usual value
	Approaching               // the critical limit is reached within moveHorizon
	Heading                   // it is reached within the horizon of slower trends
	BeyondLimit               // beyond a limit that is not critical
	FanSlow                   // slower than usual at the same drive
	VoltageDrift              // beyond voltageWarn of its usual value
	Drifting                  // the mean has moved: CUSUM
	OddHours                  // unlike the same hours of other days
	causes
)

// A Level says what a vote asks for.
type Level uint8

// The levels. Two weak votes about one series make an alert.
const (
	Well  Level = iota
	Weak        // worth a point, not a word
	Alert       // a person should look
	Move        // another box should take over now
)

var levelNames = [...]string{Well: "well", Weak: "weak", Alert: "alert", Move: "move"}

// String returns the level in lower case.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return "unknown"
}

var levels = [causes]Level{
	BeyondCrit: Move, NearCrit: Move, FanStalled: Move, VoltageOff: Move, Approaching: Move,
	Heading: Alert, BeyondLimit: Alert, FanSlow: Alert, VoltageDrift: Alert, Drifting: Alert, OddHours: Weak,
}

// The latches keep each verdict until its reason has been gone for a while, so that
// nothing flaps.
type latches struct {
	on   [causes]bool
	last [causes]float64 // own clock of the last time the reason was there
}

// Seconds a verdict stays after its reason has gone.
const (
	moveHold  = 600.0
	alertHold = 24 * 3600.0 // one alert for one episode
)

func (s *Series) set(c Cause, reason bool) {
	f := &s.flags
	hold := alertHold
	if levels[c] == Move {
		hold = moveHold
	}
	switch {
	case reason:
		f.on[c], f.last[c] = true, s.now
	case f.on[c] && s.now-f.last[c] > hold:
		f.on[c] = false
	}
}

const (
	// nearMargin of a critical temperature, in K. A heat sink whose fan stopped
	// takes a minute for them (time constant of minutes, some 10 K/min at most).
	nearMargin = 5.0
	// moveHorizon: a handover needs seconds, a person minutes.
	moveHorizon = 10 * time.Minute
	// unlearned: the part of the way to the limit at which a box that has not
	// seen a whole day yet takes its own forecasts seriously.
	unlearned = 0.75
	// vague is how many times Early Late may be in an alert: a forecast of "1 to
	// 6 hours" is none.
	vague = 2
	// explained: a temperature this near to what load and surroundings lead to
	// is on its way there, and stops there.
	explained = 5.0
)

// watchLimits asks the limits, with hysteresis: once beyond, a value must come
// back by backBy to count as within.
func (s *Series) watchLimits() {
	if !s.judged && s.spec.Kind != Temperature && s.spec.Kind != Other {
		return // see firstReadings
	}
	v, l := s.value, s.limits
	s.set(BeyondCrit, v >= l.Crit-s.back(BeyondCrit, l.Crit) || s.spec.Kind == Other && v <= l.Low+s.back(BeyondCrit, l.Low))
	near := s.spec.Kind == Temperature && v >= l.Crit-nearMargin-s.back(NearCrit, l.Crit)
	s.set(NearCrit, near)
	// A comfort level says little where a critical one is known: k10temp gives
	// 70 C to processors that idle at 67.
	high := math.IsNaN(l.Crit) && v >= l.High-s.back(BeyondLimit, l.High)
	s.set(BeyondLimit, high || s.spec.Kind != Other && v <= l.Low+s.back(BeyondLimit, l.Low))
}

// back is the hysteresis: 2 K, or 2 % of the limit, while the cause is on.
func (s *Series) back(c Cause, limit float64) float64 {
	switch {
	case !s.flags.on[c]:
		return 0
	case s.spec.Kind == Temperature:
		return 2
	}
	return 0.02 * math.Abs(limit)
}

// watchApproach asks when the limit will be reached, by the trend of 5 minutes,
// of half an hour and of 5 hours.
func (s *Series) watchApproach(c *conditions) {
	move, alert := false, false
	for _, aim := range [...]float64{s.limits.Crit, s.limits.Low} {
		if math.IsNaN(aim) || aim == s.limits.Low && s.spec.Kind != Other || !s.newGround(aim, c) {
			continue
		}
		for stage := range stages {
			f := s.heading(stage, aim)
			if f == settling {
				break // a longer trend sees less of the same bend
			}
			move, alert = move || f == soon, alert || f == later
		}
	}
	s.set(Approaching, move)
	s.set(Heading, alert)
}

// newGround says whether a move towards the limit is news: the value is beyond
// all that the days known have seen, and load and surroundings do not explain it.
func (s *Series) newGround(aim float64, c *conditions) bool {
	b := &s.base
	if !b.known() {
		return s.minTrack.n > 0 && math.Abs(aim-s.value) < (1-unlearned)*math.Abs(aim)
	}
	if aim == s.limits.Low {
		return s.value < b.dip
	}
	if s.value <= b.peak {
		return false
	}
	if s.spec.Kind == Temperature {
		if want, ok := s.model.expected(c.load, c.ambient); ok && s.value < want+explained && want < aim-nearMargin {
			return false
		}
	}
	return true
}

// A forecast is the answer of one trend.
type forecast uint8

const (
	nowhere  forecast = iota // no trend, or none that gets there in time
	settling                 // on its way, and stops before the limit
	later
	soon // within moveHorizon
)

// heading asks one trend.
func (s *Series) heading(stage int, aim float64) forecast {
	var buf [trackLen]point
	pts := s.trend(stage, &buf)
	if len(pts) < minTrend {
		return nowhere
	}
	toward := math.Copysign(1, aim-s.value)
	pts = rise(smooth(pts), toward)
	l, ok := fit(pts)
	if !ok || !l.rising(toward) {
		return nowhere
	}
	if end, curved := settles(pts, toward); curved && (end-aim)*toward < 0 {
		return settling
	}
	eta, ok := l.reach(aim, s.now-pts[len(pts)-1].t)
	if !ok {
		return nowhere
	}
	if s.eta, s.aim, s.rate = eta, aim, l.slope; eta.Likely <= moveHorizon {
		return soon
	}
	if !s.base.known() || eta.Late > vague*eta.Early {
		return nowhere
	}
	return later
}

// stages are those with a memory: 10 s, a minute, 10 minutes.
const stages = 3

// trend copies the points of a stage into buf, oldest first.
func (s *Series) trend(stage int, buf *[trackLen]point) []point {
	switch stage {
	case 0:
		return s.fastTrack.in(buf)
	case 1:
		return s.minTrack.in(buf)
	}
	return s.tenTrack.in(buf)
}

// smooth replaces each inner point by the median of itself and its neighbours:
// one outlier does not bend a line.
func smooth(pts []point) []point {
	if len(pts) < 3 {
		return pts
	}
	before := pts[0].v
	for i := 1; i < len(pts)-1; i++ {
		a, b, c := before, pts[i].v, pts[i+1].v
		before = b
		pts[i].v = max(min(a, b), min(max(a, b), c))
	}
	return pts
}

// Voltages. ATX allows 5 % (10 % at -12 V); half of that is drift.
const (
	voltageWarn = 0.03
	voltageCrit = 0.05
	voltageBack = 0.8 // of it, where a verdict ends
	voltageRoom = 1.5 // times the range that the days known have seen
)

// A supply is a voltage as it was when new to us. It is frozen after learnDays:
// a usual value that follows a slow sag never sees it.
type supply struct {
	usual float64 // 0: not known
	room  float64
}

const learnDays = 3

// learnVoltage takes the usual value from the first day, and how far it moves
// in usual life from the first three.
func (s *Series) learnVoltage() {
	b := &s.base
	if s.spec.Kind != Voltage || b.days < 1 || b.days > learnDays || math.IsNaN(b.middle) {
		return
	}
	if s.supply.usual == 0 {
		s.supply.usual = b.middle
	}
	s.supply.room = voltageRoom * max(b.peak-s.supply.usual, s.supply.usual-b.dip)
}

// watchVoltage compares a minute with the usual voltage. One that follows the
// processor's speed has a wide usual range and says nothing.
func (s *Series) watchVoltage(v float64) {
	usual := s.supply.usual
	if usual == 0 {
		return
	}
	off := math.Abs(v - usual)
	beyond := func(c Cause, part float64) bool {
		if s.flags.on[c] {
			part *= voltageBack
		}
		return off > s.supply.room && off > part*math.Abs(usual)
	}
	s.set(VoltageDrift, beyond(VoltageDrift, voltageWarn))
	s.set(VoltageOff, beyond(VoltageOff, voltageCrit))
}
