package predict

import (
	"fmt"
	"math"
	"time"
)

// A Counter is a number of errors that only grows: EDAC, AER, CRC, throttling.
// It is held against its own rate of a day.
type Counter struct {
	name  string
	fatal bool
	last  float64
	seen  bool
	wall  int64 // Unix milliseconds of the current hour's begin
	hour  float64
	past  [hoursADay]float64
	n     int
	next  int
	level Level
	held  int // hours for which the level stays
	found float64
	usual float64 // per hour
}

const (
	rare = 1e-4 // probability below which a count is no accident
	// firstRate is assumed before anything was counted, per hour: one a day.
	firstRate = 1.0 / hoursADay
	minErrors = 4.0 // fewer are never an alert
	someHours = 6   // of its own past, before a rate is unusual
)

// Count adds a counter of errors. Each increment of a fatal one (uncorrectable
// memory errors) asks for a move.
func (b *Box) Count(name string, fatal bool) (int, error) {
	if len(b.series)+len(b.counts) >= MaxSeries {
		return 0, fmt.Errorf("count %q: %w: at most %d", name, ErrTooMany, MaxSeries)
	}
	b.counts = append(b.counts, b.claimCounter(name, fatal))
	return len(b.counts) - 1, nil
}

// Counted takes a reading. A number below the last one is a counter that
// started again: a driver was loaded anew.
func (b *Box) Counted(id int, at time.Time, total float64) {
	c := b.counts[id]
	if Judge(Other, total) != Good || total < 0 {
		return
	}
	grown := total - c.last
	if grown < 0 {
		grown = total
	}
	if !c.seen {
		grown, c.seen, c.wall = 0, true, at.UnixMilli()
	}
	c.last = total
	c.advance(at.UnixMilli())
	c.hour += grown
	c.judge(grown)
}

// advance ends the hours that are over. A clock that was set back starts the
// hour again; hours that nobody saw are not hours without errors.
func (c *Counter) advance(wall int64) {
	const hour = 3600 * 1000
	switch d := wall - c.wall; {
	case d < 0 || d >= hoursADay*hour:
		c.wall = wall
	case d >= hour:
		c.past[c.next] = c.hour
		c.next = (c.next + 1) % hoursADay
		c.n = min(c.n+1, hoursADay)
		c.hour, c.wall = 0, wall
		if c.held--; c.held <= 0 {
			c.level, c.held = Well, 0
		}
	}
}

// judge asks how probable this hour's count is at the usual rate, which is the
// mean of the past day, with one error more than were seen.
func (c *Counter) judge(grown float64) {
	if grown == 0 {
		return
	}
	sum := 1.0
	for _, v := range c.past[:c.n] {
		sum += v
	}
	rate := max(sum/float64(max(c.n, 1)), firstRate)
	switch {
	case c.fatal:
		c.level = Move
	case c.hour >= minErrors && c.n >= someHours && poissonTail(c.hour, rate) < rare:
		c.level = max(c.level, Alert)
	default:
		return
	}
	c.held, c.found, c.usual = hoursADay, c.hour, rate
}

// poissonTail is the probability of k or more where the mean is m.
func poissonTail(k, m float64) float64 {
	if k > m+20*math.Sqrt(m)+1000 {
		return 0 // far beyond, and too many terms to add
	}
	term := math.Exp(-m)
	if term == 0 { // m > 745: normal enough
		return math.Erfc((k-m)/math.Sqrt(2*m)) / 2
	}
	sum := 0.0
	for i := 0.0; i < k; i++ {
		sum += term
		term *= m / (i + 1)
	}
	return max(1-sum, 0)
}

func (c *Counter) text() string {
	if c.fatal {
		return fmt.Sprintf("%s: %.0f in an hour, each one too many", c.name, c.found)
	}
	return fmt.Sprintf("%s: %.0f in an hour, usually %.1f at most", c.name, c.found, c.usual)
}
