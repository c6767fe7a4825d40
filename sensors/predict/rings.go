package predict

import (
	"cmp"
	"math"
)

// A point is a value at a time of the box's own clock, see [Series.now].
type point struct {
	t float64 // seconds
	v float64
}

// A track holds the last points of one stage. Medians are float32 already, and
// are kept as such: each byte here is paid once for every sensor.
type track[V float32 | float64] struct {
	t    [trackLen]float64
	v    [trackLen]V
	n    int // used
	next int
}

// trackLen is the length of a stage's memory: 5 minutes of 10 s, half an hour of
// minutes, 5 hours of 10 minutes.
const trackLen = 30

func (r *track[V]) push(p point) {
	r.t[r.next], r.v[r.next] = p.t, V(p.v)
	r.next = (r.next + 1) % trackLen
	r.n = min(r.n+1, trackLen)
}

func (r *track[V]) clear() { r.n, r.next = 0, 0 }

// last returns the i-th newest point, 0 being the newest.
func (r *track[V]) last(i int) point {
	at := (r.next - 1 - i + 2*trackLen) % trackLen
	return point{r.t[at], float64(r.v[at])}
}

// in copies the points into buf, oldest first.
func (r *track[V]) in(buf *[trackLen]point) []point {
	for i := range r.n {
		buf[i] = r.last(r.n - 1 - i)
	}
	return buf[:r.n]
}

// A bucket collects the values of one span of time, for their mean.
type bucket struct {
	start float64 // seconds; valid when n > 0
	sumT  float64
	sumV  float64
	n     int
}

// A medianBucket keeps the values, too.
type medianBucket struct {
	bucket
	kept [bucketKeep]float32
}

// bucketKeep is how many values a median is made of: all ten at 1 Hz, all six
// 10 s medians of a minute. More are counted in the mean alone.
const bucketKeep = 11

// add takes a value of the span that began at start.
func (b *bucket) add(p point, start float64) {
	if b.n == 0 {
		b.start, b.sumT, b.sumV = start, 0, 0
	}
	b.n++
	b.sumT += p.t
	b.sumV += p.v
}

// add takes a value of the span that began at start.
func (b *medianBucket) add(p point, start float64) {
	if b.n < bucketKeep {
		b.kept[b.n] = float32(p.v)
	}
	b.bucket.add(p, start)
}

// over says whether a value at t belongs to the next bucket.
func (b *bucket) over(t, span float64) bool { return b.n > 0 && t >= b.start+span }

func (b *bucket) mean() point { return point{b.sumT / float64(b.n), b.sumV / float64(b.n)} }

func (b *medianBucket) median() point {
	n := min(b.n, bucketKeep)
	kept := b.kept
	return point{b.sumT / float64(b.n), float64(median32(kept[:n]))}
}

// median32 sorts s and returns its median, NaN if it is empty.
func median32(s []float32) float32 {
	if len(s) == 0 {
		return float32(math.NaN())
	}
	sort32(s)
	if m := len(s) / 2; len(s)%2 == 1 {
		return s[m]
	} else {
		return (s[m-1] + s[m]) / 2
	}
}

// sort32 is slices.Sort by Shell's method: rows are short, and the copy of that one
// for a type takes 6 KB of a router's flash.
func sort32(s []float32) {
	for gap := len(s) / 2; gap > 0; gap /= 2 {
		for i := gap; i < len(s); i++ {
			for j := i; j >= gap && cmp.Less(s[j], s[j-gap]); j -= gap {
				s[j], s[j-gap] = s[j-gap], s[j]
			}
		}
	}
}

// spread32 returns the median of s and its scale: 1.4826 times the median of
// the distances from it, which is the standard deviation of a normal
// distribution and hardly moved by outliers (Rousseeuw and Croux 1993). It
// sorts s and leaves distances in it.
func spread32(s []float32) (mid, scale float64) {
	m := median32(s)
	for i, v := range s {
		s[i] = float32(math.Abs(float64(v - m)))
	}
	return float64(m), 1.4826 * float64(median32(s))
}
