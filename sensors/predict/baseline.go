package predict

import (
	"math"
	"math/bits"
)

// A baseline is what a series usually does: hourly means of a week, and the
// extremes of two. For a temperature whose load or surroundings are
// known the means are of the residual, see [regression].
type baseline struct {
	hours  [hoursKept]float32
	clock  [hoursKept]uint8 // hour of the day of each
	n      int
	next   int
	most   [daysKept]float32 // highest and lowest minute of each day
	least  [daysKept]float32
	days   int
	dayPos int

	today struct {
		most, least float64
		hours       int
	}
	peak, dip float64 // over the days known, NaN before

	middle, scale float64 // of the hours; NaN before they are known
	up, down      float64 // CUSUM
	odd           uint8   // the last eight hours: was each odd for its time of day
}

// Constants of the slow detectors. Each is a textbook value or a span.
const (
	// fewest hours from which a usual value and its scale are taken.
	fewest = 24
	// cusumSlack is what a mean may move without notice, in standard deviations;
	// half of the shift to be found (Hawkins and Olwell 1998, ch. 3).
	cusumSlack = 1.0
	// cusumLimit is the sum at which it has moved. The book's 5 is for values that
	// do not resemble their neighbours; hours do. On the development series any
	// limit from 16 to 32 finds all failures; this is the middle.
	cusumLimit = 24.0
	// zMost bounds what a single hour can say: no hour raises an alert alone, two
	// can.
	zMost = cusumLimit/2 + cusumSlack
	// oddZ is how far an hour is from its time of day to be odd, and oddRun how
	// many of the last eight must be.
	oddZ   = 4.0
	oddRun = 3
)

func (b *baseline) reset() {
	*b = baseline{peak: math.NaN(), dip: math.NaN(), middle: math.NaN(), scale: math.NaN()}
	b.newDay()
}

func (b *baseline) newDay() {
	b.today.most, b.today.least, b.today.hours = math.Inf(-1), math.Inf(1), 0
}

// known says whether a day has been seen from its beginning to its end.
func (b *baseline) known() bool { return b.days > 0 }

// extreme takes a minute.
func (b *baseline) extreme(v float64) {
	b.today.most, b.today.least = max(b.today.most, v), min(b.today.least, v)
}

// add takes an hour, and ends the day after 24 of them.
func (b *baseline) add(v float32, hour uint8) {
	b.hours[b.next], b.clock[b.next] = v, hour
	b.next = (b.next + 1) % hoursKept
	b.n = min(b.n+1, hoursKept)
	b.today.hours++
	if b.today.hours >= hoursADay {
		b.most[b.dayPos], b.least[b.dayPos] = float32(b.today.most), float32(b.today.least)
		b.dayPos = (b.dayPos + 1) % daysKept
		b.days = min(b.days+1, daysKept)
		b.extremes()
		b.newDay()
	}
}

func (b *baseline) extremes() {
	b.peak, b.dip = math.Inf(-1), math.Inf(1)
	for i := range b.days {
		b.peak, b.dip = max(b.peak, float64(b.most[i])), min(b.dip, float64(b.least[i]))
	}
}

// age returns the hour that is i hours old, and its hour of the day.
func (b *baseline) age(i int) (float32, uint8) {
	at := (b.next - 1 - i + 2*hoursKept) % hoursKept
	return b.hours[at], b.clock[at]
}

// settle takes median and scale of the hours kept, the newest of which are too
// few to move them. The scale is
// no smaller than a thousandth of the value, where a coarse sensor stands still.
func (b *baseline) settle() bool {
	if b.n < fewest {
		return false
	}
	var buf [hoursKept]float32
	n := 0
	for i := 0; i < b.n; i++ {
		buf[n], _ = b.age(i)
		n++
	}
	mid, scale := spread32(buf[:n])
	b.middle, b.scale = mid, max(scale, math.Abs(mid)/1000, 1e-9)
	return true
}

// cusum returns both sums (Page 1954) after a part of an hour, of that mean.
func (b *baseline) cusum(v, part float64) (up, down float64) {
	z := min(max((v-b.middle)/b.scale, -zMost), zMost)
	up = min(max(b.up+part*(z-cusumSlack), 0), 2*cusumLimit)
	down = min(max(b.down-part*(z+cusumSlack), 0), 2*cusumLimit)
	return up, down
}

// oddHour compares an hour with the same hour of the days before, by the scale
// of all such differences.
func (b *baseline) oddHour(v float64, hour uint8) (z float64, ok bool) {
	var same [daysKept + 1]float32
	n := 0
	for i := 0; i < b.n && n < len(same); i++ {
		if w, h := b.age(i); h == hour {
			same[n] = w
			n++
		}
	}
	if n < 5 { // days
		return 0, false
	}
	return (v - float64(median32(same[:n]))) / b.scale, true
}

// watchBaseline asks the slow detectors about the hour that ended.
func (s *Series) watchBaseline(v float64, hour uint8) {
	b := &s.base
	if !b.settle() {
		return
	}
	b.up, b.down = b.cusum(v, 1)
	s.watchDrift(b.up, b.down)
	up, down := s.spec.Kind.minds()
	b.odd <<= 1
	if z, ok := b.oddHour(v, hour); ok && (up && z > oddZ || down && z < -oddZ) {
		b.odd |= 1
	}
	s.set(OddHours, bits.OnesCount8(b.odd) >= oddRun)
}

// watchHour asks the CUSUM about the hour that is not over yet, with the weight
// of its part: nobody waits for the end of an hour that is bad already.
func (s *Series) watchHour() {
	if s.hour.n == 0 || math.IsNaN(s.base.middle) {
		return
	}
	s.watchDrift(s.base.cusum(s.hour.mean().v, min(float64(s.hour.n)*tensSpan/hourSpan, 1)))
}

func (s *Series) watchDrift(up, down float64) {
	high, low := s.spec.Kind.minds()
	s.set(Drifting, high && up > cusumLimit || low && down > cusumLimit)
}

// minds says in which directions a change is bad.
func (k Kind) minds() (up, down bool) {
	switch k {
	case Temperature, Current, Power, Humidity:
		return true, false
	case Fan:
		return false, false // its speed follows its drive: see fan.go
	}
	return true, true
}
