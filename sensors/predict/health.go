package predict

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// MaxSeries is how many series a box may have; more are refused.
const MaxSeries = 256

// A Box is all sensors of one machine. Its methods take the time of what they
// are told; they must not be called at the same time.
type Box struct {
	series []*Series
	names  map[string]int
	around conditions
	counts []*Counter
	worn   []device
	// unclaimed is what was learned of series that have not appeared yet, by key;
	// at most MaxSeries.
	unclaimed map[uint64][]byte
}

// conditions are what explains a temperature.
type conditions struct {
	load    float64 // 0 idle, 1 all cores busy; NaN unknown
	ambient float64 // degrees Celsius of the air that comes in; NaN unknown
}

// New returns a box without sensors.
func New() *Box {
	return &Box{names: map[string]int{}, around: conditions{math.NaN(), math.NaN()}}
}

// Errors of [Box.Watch].
var (
	ErrTooMany = errors.New("too many series")
	ErrTwice   = errors.New("two series of one name")
	ErrKind    = errors.New("no such kind of series")
)

// Watch adds a series and returns its number.
func (b *Box) Watch(spec Spec) (int, error) {
	switch _, twice := b.names[spec.Name]; {
	case len(b.series)+len(b.counts) >= MaxSeries:
		return 0, fmt.Errorf("watch %q: %w: at most %d", spec.Name, ErrTooMany, MaxSeries)
	case twice || spec.Name == "":
		return 0, fmt.Errorf("watch %q: %w", spec.Name, ErrTwice)
	case spec.Kind < Temperature || spec.Kind > Other:
		return 0, fmt.Errorf("watch %q: %w", spec.Name, ErrKind)
	}
	b.names[spec.Name] = len(b.series)
	b.series = append(b.series, b.claimSeries(spec))
	return len(b.series) - 1, nil
}

// Rewatch is [Box.Watch] where there may be a series of that name: it gets the
// label and the limits of the spec at the time at. What it has learned, and where
// it goes, stays.
func (b *Box) Rewatch(spec Spec, at time.Time) (int, error) {
	id, there := b.names[spec.Name]
	if !there {
		return b.Watch(spec)
	}
	if b.series[id].spec.Kind != spec.Kind {
		return 0, fmt.Errorf("watch %q: %w", spec.Name, ErrKind)
	}
	b.series[id].respec(spec, at, &b.around)
	return id, nil
}

// Lapse forgets what a series read last: nobody looked at it for a while, or it
// is of another device now. What is usual for it stays.
func (b *Box) Lapse(id int) { b.series[id].lapse() }

// Series returns a series by its number.
func (b *Box) Series(id int) *Series { return b.series[id] }

// Relearn forgets what is usual for a series: a part was replaced.
func (b *Box) Relearn(id int) { b.series[id] = newSeries(b.series[id].spec) }

// Around says how busy the box is (0 to 1) and how warm the air around it (C);
// NaN where that is not known. It holds until it is said again.
func (b *Box) Around(load, ambient float64) {
	if Judge(Temperature, ambient) != Good {
		ambient = math.NaN()
	}
	if load < 0 || math.IsInf(load, 0) {
		load = math.NaN()
	}
	b.around = conditions{load, ambient}
}

// Drive says how a fan is driven, 0 to 255. It holds until it is said again.
func (b *Box) Drive(id int, pwm float64) {
	if !(pwm >= 0 && pwm <= 255) {
		pwm = math.NaN()
	}
	b.series[id].pwm = pwm
}

// Observe takes a reading in the unit of the series' kind.
func (b *Box) Observe(id int, at time.Time, v float64) { b.series[id].observe(at, v, &b.around) }

// Lost says that a series could not be read; why is [Missing] or [Blocked].
func (b *Box) Lost(id int, at time.Time, why State) {
	if why != Blocked {
		why = Missing
	}
	b.series[id].advance(at)
	b.series[id].fail(why)
}

// A Vote is what one rule says about one series.
type Vote struct {
	Series string
	Cause  Cause
	Level  Level
	Text   string // one clause
}

// A Health is the verdict about a box.
type Health struct {
	Score  int   // 100 well, 0 as bad as can be
	Level  Level // what is asked for
	Reason string
	// TimeToLimit is of the series that reaches its critical limit first; Known
	// says whether one does.
	TimeToLimit Interval
	Known       bool
}

// points that a vote takes from the score.
var points = [...]int{Well: 0, Weak: 10, Alert: 30, Move: 70}

// Level returns what the series asks for.
func (s *Series) Level() Level {
	if s.state != Good {
		return Well
	}
	top, weak := Well, 0
	for c := range causes {
		if !s.flags.on[c] {
			continue
		}
		top = max(top, levels[c])
		if levels[c] == Weak {
			weak++
		}
	}
	if weak >= 2 {
		top = max(top, Alert)
	}
	return top
}

// Health adds up the votes. It is cheap while all is well.
func (b *Box) Health(at time.Time) Health {
	h := Health{Score: 100, Level: Well}
	var votes [maxClauses]Vote
	n := 0
	take := func(v Vote) {
		h.Score -= points[v.Level]
		h.Level = max(h.Level, v.Level)
		n = insert(&votes, n, v)
	}
	for _, s := range b.series {
		if at.UnixMilli()-s.wall > max(maxSilence.Milliseconds(), int64(gapFactor*1000*s.usual)) && s.state != Unread {
			s.fail(Silent)
		}
		if level := s.Level(); level > Well {
			take(s.vote(level))
		}
		if on := s.flags.on[Approaching] || s.flags.on[Heading]; on && s.state == Good && (!h.Known || s.eta.Likely < h.TimeToLimit.Likely) {
			h.TimeToLimit, h.Known = s.eta, true
		}
	}
	for _, c := range b.counts {
		if c.level > Well {
			take(Vote{Series: c.name, Level: c.level, Text: c.text()})
		}
	}
	for _, d := range b.worn {
		if d.Level > Well {
			take(Vote{Series: d.name, Level: d.Level, Text: d.name + ": " + d.Text})
		}
	}
	h.Score = max(h.Score, 0)
	h.Reason = sentence(votes[:n])
	return h
}

// maxClauses is how many votes a sentence names.
const maxClauses = 3

// insert keeps the gravest votes, first come first.
func insert(votes *[maxClauses]Vote, n int, v Vote) int {
	at := n
	for at > 0 && votes[at-1].Level < v.Level {
		at--
	}
	if at == maxClauses {
		return n
	}
	n = min(n+1, maxClauses)
	copy(votes[at+1:n], votes[at:n-1])
	votes[at] = v
	return n
}
