package predict

import (
	"math"
	"time"
)

// An Interval says when a limit will be reached: hardly before Early (5 %),
// probably at Likely, hardly after Late (95 %). Late is Forever where the slope
// may also be nothing.
type Interval struct {
	Early, Likely, Late time.Duration
}

// Forever is longer than any forecast.
const Forever = time.Duration(math.MaxInt64)

const (
	minTrend     = 6     // points that make a trend
	ninety       = 1.645 // standard errors on each side of a 90 % interval
	steady       = 4.0   // standard errors by which a slope must differ from none: 1 in 30,000 by chance
	farthest     = 2.0   // spans of its window that a trend is extrapolated
	maxInflation = 4.0   // of standard errors, for neighbours that are alike
)

// A line is a least squares fit: v = level + slope*(t-now). The errors of its
// slope and of its mean, which lies lag seconds back, are independent.
type line struct {
	level, slope    float64
	meanSE, slopeSE float64
	lag             float64 // seconds
	span            float64 // seconds of the window
}

// fit puts a line through points, oldest first. Medians of three have taken the
// single outliers out before. Errors that resemble their neighbours carry less
// information than they are many: the standard errors grow by
// sqrt((1+r)/(1-r)), r being the correlation of neighbours (Bartlett 1935).
func fit(pts []point) (line, bool) {
	if len(pts) < minTrend {
		return line{}, false
	}
	now, n := pts[len(pts)-1].t, float64(len(pts))
	var sumT, sumV float64
	for _, p := range pts {
		sumT += p.t - now
		sumV += p.v
	}
	midT, midV := sumT/n, sumV/n
	var tt, tv float64
	for _, p := range pts {
		dt := p.t - now - midT
		tt += dt * dt
		tv += dt * (p.v - midV)
	}
	if tt <= 0 {
		return line{}, false
	}
	l := line{slope: tv / tt, lag: -midT, span: now - pts[0].t}
	l.level = midV - l.slope*midT
	noise := l.noise(pts)
	l.slopeSE = noise / math.Sqrt(tt)
	l.meanSE = noise / math.Sqrt(n)
	return l, true
}

// noise returns the standard deviation of what the line leaves, inflated.
func (l line) noise(pts []point) float64 {
	now := pts[len(pts)-1].t
	var squares, products, before float64
	for i, p := range pts {
		e := p.v - l.level - l.slope*(p.t-now)
		squares += e * e
		if i > 0 {
			products += e * before
		}
		before = e
	}
	if squares == 0 {
		return 0
	}
	r := min(max(products/squares, 0), 0.95)
	inflation := min(math.Sqrt((1+r)/(1-r)), maxInflation)
	return math.Sqrt(squares/(float64(len(pts))-2)) * inflation
}

// rising says whether the slope has the sign of toward and is no accident.
func (l line) rising(toward float64) bool {
	return l.slope*toward > 0 && math.Abs(l.slope) > steady*l.slopeSE
}

// reach returns when the line crosses the limit, if it does within farthest
// spans; its last point is age seconds old.
func (l line) reach(limit, age float64) (Interval, bool) {
	gap := limit - l.level
	toward := math.Copysign(1, gap)
	if !l.rising(toward) {
		return Interval{}, false
	}
	seconds := gap / l.slope
	if seconds > farthest*l.span {
		return Interval{}, false
	}
	gap = math.Abs(gap)
	return Interval{
		Early:  duration(l.bound(gap, +1) - age),
		Likely: duration(seconds - age),
		Late:   duration(l.bound(gap, -1) - age),
	}, true
}

// bound returns when one side of the line's 90 % band crosses the gap: it solves
// gap+slope*lag = slope*u + side*1.645*sqrt(meanSE^2 + (slopeSE*u)^2) for u
// seconds after the mean (Fieller 1954).
func (l line) bound(gap, side float64) float64 {
	z, slope := ninety, math.Abs(l.slope)
	gap += slope * l.lag
	a := slope*slope - z*z*l.slopeSE*l.slopeSE
	b := gap * slope
	c := gap*gap - z*z*l.meanSE*l.meanSE
	if a <= 0 {
		return math.Inf(1)
	}
	root := math.Sqrt(max(b*b-a*c, 0))
	return (b-side*root)/a - l.lag
}

func duration(seconds float64) time.Duration {
	if seconds*1e9 >= float64(math.MaxInt64) {
		return Forever
	}
	return time.Duration(max(seconds, 0) * 1e9)
}

// settles estimates where a rise ends, by Aitken's extrapolation of the means of
// three equal thirds of a rise: T = (T0*T2-T1^2)/(T0+T2-2*T1). A box that warms up after a
// load came slows down on its way; a line through its first minutes is the
// classic false alarm. ok is false where the rise does not slow down by more
// than the noise: then nobody can tell, and the line holds.
func settles(pts []point, toward float64) (end float64, ok bool) {
	if len(pts) < minTrend {
		return 0, false
	}
	third := len(pts) / 3
	pts = pts[len(pts)-3*third:]
	m0, m1, m2 := mean(pts[:third]), mean(pts[third:2*third]), mean(pts[2*third:])
	first, second := (m1-m0)*toward, (m2-m1)*toward
	if first <= 0 || second >= first {
		return 0, false
	}
	// The noise of the second difference, from differences of neighbours.
	noise := neighbours(pts) * math.Sqrt(6/float64(third))
	if first-second < noise {
		return 0, false
	}
	if second <= 0 {
		return m2, true
	}
	return m2 + toward*second*second/(first-second), true
}

// rise cuts off what was before the last rise began, by a tenth of its height:
// a flat piece in front of a step looks like growth that speeds up.
func rise(pts []point, toward float64) []point {
	if len(pts) == 0 {
		return nil
	}
	least, most := 0, pts[len(pts)-1].v*toward
	for i, p := range pts {
		if p.v*toward < pts[least].v*toward {
			least = i
		}
	}
	threshold := pts[least].v*toward + (most-pts[least].v*toward)/10
	start := least
	for i := least; i < len(pts); i++ {
		if pts[i].v*toward <= threshold {
			start = i
		}
	}
	return pts[start:]
}

func mean(pts []point) float64 {
	sum := 0.0
	for _, p := range pts {
		sum += p.v
	}
	return sum / float64(len(pts))
}

// neighbours estimates the standard deviation of noise on a smooth curve: the
// second differences of white noise have six times its variance.
func neighbours(pts []point) float64 {
	if len(pts) < 3 {
		return 0
	}
	sum := 0.0
	for i := 2; i < len(pts); i++ {
		d := pts[i].v - 2*pts[i-1].v + pts[i-2].v
		sum += d * d
	}
	return math.Sqrt(sum / 6 / float64(len(pts)-2))
}
