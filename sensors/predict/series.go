package predict

import (
	"cmp"
	"math"
	"time"
)

// Spans of the stages.
const (
	fastSpan   = 10.0 // seconds
	minuteSpan = 60.0
	tensSpan   = 600.0
	hourSpan   = 3600.0
)

const (
	hoursKept  = 7 * 24 // of hourly means: a week has all that usually happens
	daysKept   = 14     // of daily extremes
	hoursADay  = 24
	maxGap     = 1800.0           // seconds without a sample behind which trends start anew
	gapFactor  = 6.0              // the same for slow series, in usual intervals
	maxSilence = 10 * time.Minute // without a sample: the series is Silent
	stuckAfter = 6 * 3600.0       // seconds without a change, at least
	stuckLess  = 20.0             // changes that were to be expected: e^-20 by chance
)

// A Spec says what a series is.
type Spec struct {
	Name   string // unique in the box, the same after each start
	Label  string // as the operator knows it: "CPU", "fan2"; empty: Name
	Kind   Kind
	Limits Limits
	// Trusted says that a person gave the limits: they stay, whatever the first
	// readings are.
	Trusted bool
}

// A Series is one sensor: what it reads, what it usually reads, where it goes.
type Series struct {
	spec   Spec
	limits Limits // those that may be used
	limit  LimitState
	state  State
	judged bool // by its first minute, see firstReadings
	usable bool // the newest reading is a measurement

	wall  int64   // newest sample, Unix milliseconds
	now   float64 // own clock, seconds: never goes back, skips no more than a gap
	usual float64 // interval between samples, seconds

	fast, minute        medianBucket
	tens, hour          bucket
	fastTrack, minTrack track[float32]
	tenTrack            track[float64]

	value   float64 // median of the last three 10 s values
	ever    bool    // has been anything but 0
	newest  float64 // raw, for changes
	changes float64
	changed float64 // own clock of the last change
	lived   float64 // own seconds with measurements

	base   baseline
	fan    *fanCurve // of a Fan; nil: it is none
	supply supply
	pwm    float64 // newest, 0-255, NaN unknown
	model  regression
	load   meanOf // context during the ten minutes that are being collected
	warm   meanOf

	flags latches
	eta   Interval // of Approaching
	aim   float64  // the limit it approaches
	rate  float64  // its slope, per second
}

// A meanOf is a running mean.
type meanOf struct {
	sum float64
	n   int
}

func (m *meanOf) add(v float64) {
	if !math.IsNaN(v) {
		m.sum += v
		m.n++
	}
}

func (m *meanOf) take() float64 {
	v := m.sum / float64(m.n) // NaN if there is none
	*m = meanOf{}
	return v
}

func newSeries(spec Spec) *Series {
	spec.Label = cmp.Or(spec.Label, spec.Name)
	s := &Series{spec: spec, state: Unread, value: math.NaN(), newest: math.NaN(), pwm: math.NaN(), aim: math.NaN()}
	s.limits, s.limit = spec.Limits.Accept(spec.Kind)
	s.base.reset()
	if spec.Kind == Fan {
		s.fan = &fanCurve{}
	}
	return s
}

// byLimit are the causes that rest on a limit.
var byLimit = [...]Cause{BeyondCrit, NearCrit, Approaching, Heading, BeyondLimit}

// respec puts another label and other limits in place. Those of the device that
// the first minute was beyond stay dropped. By other limits it is judged at once
// on what it reads now, if that is known; else on what it reads from then on.
func (s *Series) respec(spec Spec, at time.Time, c *conditions) {
	given, _ := s.spec.Limits.Accept(s.spec.Kind)
	was, same := s.limits, s.spec.Trusted == spec.Trusted && s.spec.Limits.Same(spec.Limits)
	s.spec.Label, s.spec.Limits, s.spec.Trusted = cmp.Or(spec.Label, spec.Name), spec.Limits, spec.Trusted
	if same {
		return
	}
	dropped := func(given, used float64) bool { return math.IsNaN(used) && !math.IsNaN(given) }
	s.limits, s.limit = spec.Limits.Accept(s.spec.Kind)
	s.drop(&s.limits.Low, dropped(given.Low, was.Low))
	s.drop(&s.limits.High, dropped(given.High, was.High))
	s.drop(&s.limits.Crit, dropped(given.Crit, was.Crit))
	for _, cause := range byLimit {
		s.flags.on[cause] = false
	}
	if !s.current(at) {
		s.forget()
		s.value = math.NaN()
		return
	}
	s.watchLimits()
	s.watchApproach(c)
}

// current says whether the value is what the sensor reads now: the three medians
// of which it is the middle are a minute old at most, or as young as those of a
// slow series are.
func (s *Series) current(at time.Time) bool {
	n := s.fastTrack.n
	if s.state != Good || n == 0 {
		return false
	}
	oldest := 0 // see middle
	if n >= 3 {
		oldest = 2
	}
	age := s.now - s.fastTrack.last(oldest).t + float64(at.UnixMilli()-s.wall)/1000
	return age <= max(minuteSpan, 4*s.usual)
}

// lapse forgets what the series reads, and what follows from that: a verdict needs
// new readings. What is usual for it stays.
func (s *Series) lapse() {
	s.forget()
	s.state, s.usable, s.value, s.flags = Unread, false, math.NaN(), latches{}
}

// State says whether the series holds a measurement, and why not.
func (s *Series) State() State { return s.state }

// Limit says whether the limits given may be used, and why not.
func (s *Series) Limit() LimitState { return s.limit }

// Value returns the median of the last half minute, NaN if the newest reading
// is no measurement.
func (s *Series) Value() float64 {
	if s.state != Good {
		return math.NaN()
	}
	return s.value
}

// advance moves the own clock to the time of a sample. A wall clock that was
// set back makes the own clock stand still for one sample; a gap, or a wall
// clock that was set forward, counts as a gap and ends what the trends know.
func (s *Series) advance(at time.Time) {
	wall := at.UnixMilli()
	step := float64(wall-s.wall) / 1000
	first := s.wall == 0
	s.wall = wall
	switch {
	case first || step <= 0:
		return
	case s.usual == 0:
		s.usual = min(step, 24*hourSpan)
	}
	gap := max(maxGap, gapFactor*s.usual)
	if step > gap {
		s.now += gap
		s.changed = s.now
		s.forget()
		return
	}
	s.usual += (step - s.usual) / 16
	s.now += step
	if s.usable {
		s.lived += step
	}
}

// forget drops what cannot be continued across a gap; baselines stay.
func (s *Series) forget() {
	s.fast, s.minute, s.tens = medianBucket{}, medianBucket{}, bucket{}
	s.fastTrack.clear()
	s.minTrack.clear()
	s.tenTrack.clear()
}

// observe takes a reading.
func (s *Series) observe(at time.Time, v float64, c *conditions) {
	s.advance(at)
	if bad := Judge(s.spec.Kind, v); bad != Good {
		s.fail(bad)
		return
	}
	s.usable = true
	s.ever = s.ever || v != 0
	if v != s.newest {
		s.newest, s.changed = v, s.now
		s.changes++
	}
	switch {
	case !s.ever && (s.spec.Kind == Fan || s.spec.Kind == Voltage || s.spec.Kind == Current):
		s.state = Absent
		return
	case s.isStuck():
		s.state = Stuck
		return
	}
	s.state = Good
	s.fast.add(point{s.now, v}, s.now)
	s.close(c)
}

// close ends the spans to which the next reading will not belong, the short ones
// first: a series that is read every ten minutes waits for nothing.
func (s *Series) close(c *conditions) {
	next := s.now + s.usual
	if s.fast.over(next, fastSpan) {
		s.closeFast(c)
	}
	if s.minute.over(next, minuteSpan) {
		s.closeMinute(c)
	}
	if s.tens.over(next, tensSpan) {
		s.closeTens()
	}
	if s.hour.over(next, hourSpan) {
		s.closeHour()
	}
}

// fail notes that the newest reading is none.
func (s *Series) fail(why State) {
	s.state, s.usable = why, false
}

// isStuck says whether the value has stood still for longer than is believable,
// given how often it changed before. A coarse sensor that seldom changes is not
// stuck.
func (s *Series) isStuck() bool {
	still := s.now - s.changed
	return still > stuckAfter && s.lived > hoursADay*hourSpan && still*s.changes/s.lived > stuckLess
}

// closeFast ends ten seconds: the limits are asked at this pace.
func (s *Series) closeFast(c *conditions) {
	p := s.fast.median()
	s.fast.n = 0
	s.fastTrack.push(p)
	s.value = s.middle()
	s.minute.add(p, s.fast.start)
	s.watchLimits()
	s.watchApproach(c)
	s.watchFanStall()
}

// middle is the median of the last three values: one reading that lies does
// nothing.
func (s *Series) middle() float64 {
	r := &s.fastTrack
	switch r.n {
	case 1, 2:
		return r.last(0).v
	}
	a, b, c := r.last(0).v, r.last(1).v, r.last(2).v
	return max(min(a, b), min(max(a, b), c))
}

func (s *Series) closeMinute(c *conditions) {
	p := s.minute.median()
	s.minute.n = 0
	if !s.judged {
		s.judged = true
		s.firstReadings(p.v)
	}
	s.minTrack.push(p)
	s.base.extreme(p.v)
	s.load.add(c.load)
	s.warm.add(c.ambient)
	s.watchFan(p.v)
	s.watchVoltage(p.v)
	s.tens.add(p, s.minute.start)
}

// firstReadings drops a limit that the very first minute is beyond, where the
// limit is likelier to be wrong than the box: fam15h_power gives "crit 6 W" to
// processors that draw 7 W at rest, BIOS writers leave fan and voltage limits
// at the chip's defaults. A critical temperature stays what it is, and so does
// a limit that the operator gave.
func (s *Series) firstReadings(v float64) {
	if s.spec.Kind == Other || s.spec.Trusted {
		return
	}
	l := &s.limits
	if v >= l.Crit && s.spec.Kind != Temperature {
		l.Crit, s.limit = math.NaN(), AlwaysOver
	}
	if v >= l.High {
		l.High, s.limit = math.NaN(), AlwaysOver
	}
	if v <= l.Low {
		l.Low, s.limit = math.NaN(), AlwaysOver
	}
}

func (s *Series) closeTens() {
	p := s.tens.mean()
	s.tens.n = 0
	s.tenTrack.push(p)
	load, warm := s.load.take(), s.warm.take()
	if s.spec.Kind == Temperature {
		p.v = s.model.residual(p.v, load, warm)
	}
	if !math.IsNaN(p.v) {
		s.hour.add(p, s.tens.start)
		s.watchHour()
	}
}

func (s *Series) closeHour() {
	p := s.hour.mean()
	s.hour.n = 0
	hourOfDay := uint8((s.wall/1000 - int64(s.now-p.t)) / 3600 % hoursADay)
	s.base.add(float32(p.v), hourOfDay)
	s.watchBaseline(p.v, hourOfDay)
	s.learnVoltage()
}
