package predict_test

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/sensors/predict"
	"github.com/twinbeat/twinbeat/sensors/predict/boxtest"
)

// Seeds 1 to 120 are the development series of the model: rules were looked at
// on them, and the log of 1001 to 1055 was read. The figures are of 2001 to 2600.
var (
	boxes     = flag.Int("boxes", 24, "how many boxes of the thermal model live 30 days")
	firstSeed = flag.Uint64("seed", 2001, "the first of them")
)

// A life is what became of one box.
type life struct {
	box      *boxtest.Box
	trip     float64 // seconds, 0: never
	moved    float64 // first move after the onset, 0: never
	standing float64 // begin of the move that was asked for at the trip, 0: none was
	alerted  float64
	needless int // moves without a fault
	false_   int // alerts without a fault
	healthy  float64
	reasons  []string
}

// A monitor is a predictor wired to the sensors of a model.
type monitor struct {
	box            *predict.Box
	cpu, fan, volt int
}

func wire(t testing.TB, b *boxtest.Box) *monitor {
	m := &monitor{box: predict.New()}
	limits := predict.NoLimits()
	limits.Crit = b.Crit
	for _, s := range []struct {
		id   *int
		spec predict.Spec
	}{
		{&m.cpu, predict.Spec{Name: "CPU", Kind: predict.Temperature, Limits: limits}},
		{&m.fan, predict.Spec{Name: "fan1", Kind: predict.Fan, Limits: predict.NoLimits()}},
		{&m.volt, predict.Spec{Name: "12V", Kind: predict.Voltage, Limits: predict.NoLimits()}},
	} {
		var err error
		if *s.id, err = m.box.Watch(s.spec); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *monitor) take(at time.Time, r boxtest.Readings) predict.Health {
	m.box.Around(r.Load, r.Ambient)
	m.box.Drive(m.fan, r.PWM)
	m.box.Observe(m.cpu, at, r.CPU)
	m.box.Observe(m.fan, at, r.RPM)
	m.box.Observe(m.volt, at, r.Volts)
	return m.box.Health(at)
}

const days = 30

func live(t testing.TB, seed uint64) life {
	b := boxtest.New(seed)
	m, l := wire(t, b), life{box: b}
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	before := predict.Well
	for b.At() < days*86400 {
		r := b.Next()
		if r.Tripped {
			l.trip = b.At()
			break
		}
		sick := b.Fault != boxtest.None && b.At() >= b.Onset
		if !sick {
			l.healthy += boxtest.Step.Seconds()
		}
		if r.Lost {
			continue
		}
		h := m.take(start.Add(time.Duration(b.At()*float64(time.Second))), r)
		if h.Level > before {
			l.note(h, sick)
		}
		if h.Level < predict.Move {
			l.standing = 0
		} else if sick && l.standing == 0 {
			l.standing = b.At()
		}
		before = h.Level
	}
	return l
}

// note enters a level that rose.
func (l *life) note(h predict.Health, sick bool) {
	at := l.box.At()
	switch {
	case h.Level == predict.Move && sick && l.moved == 0:
		l.moved = at
	case h.Level == predict.Move && !sick:
		l.needless++
	case h.Level == predict.Alert && sick && l.alerted == 0:
		l.alerted = at
	case h.Level == predict.Alert && !sick:
		l.false_++
	}
	if h.Level >= predict.Alert && len(l.reasons) < 6 {
		l.reasons = append(l.reasons, fmt.Sprintf("day %.2f %v %d: %s", at/86400, h.Level, h.Score, h.Reason))
	}
}

// TestFiguresThermal lets boxes live for 30 days with a fault each, and asks who
// was handed over a minute before its trip.
func TestFiguresThermal(t *testing.T) {
	type sum struct{ boxes, trips, inTime, standing, alerts int }
	var sums [boxtest.Faults]sum
	var years float64
	var leads []float64
	needless, falseAlerts := 0, 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*boxes); seed++ {
		l := live(t, seed)
		s := &sums[l.box.Fault]
		s.boxes++
		years += l.healthy / 86400 / 365
		needless += l.needless
		falseAlerts += l.false_
		late := false
		if l.trip > 0 {
			s.trips++
			if late = l.moved == 0 || l.trip-l.moved < 60; !late {
				s.inTime++
				leads = append(leads, l.trip-l.moved)
			}
			if l.standing > 0 && l.trip-l.standing >= 60 {
				s.standing++
			}
			if l.alerted > 0 {
				s.alerts++
			}
		}
		if (late || l.needless+l.false_ > 0) && testing.Verbose() {
			t.Logf("seed %d %v, onset day %.2f, trip %.2f, lead %.0f s, grows %v: %v", seed, l.box.Fault, l.box.Onset/86400, l.trip/86400, l.trip-l.moved, late, l.reasons)
		}
	}
	trips, inTime := 0, 0
	for f, s := range sums {
		trips, inTime = trips+s.trips, inTime+s.inTime
		t.Logf("%-14v %4d boxes, %4d tripped, %4d handed over in time, %4d with the move still asked for at the trip, %4d alerted before", boxtest.Fault(f), s.boxes, s.trips, s.inTime, s.standing, s.alerts)
	}
	slices.Sort(leads)
	if trips == 0 || len(leads) == 0 {
		t.Fatal("no box tripped: the model is no test")
	}
	share := float64(inTime) / float64(trips)
	t.Logf("handed over >= 60 s before the trip: %d of %d (%.1f %%), leads median %.0f s, 5th percentile %.0f s", inTime, trips, 100*share, leads[len(leads)/2], leads[len(leads)/20])
	t.Logf("%.1f healthy box-years: %d needless moves (%.2f a box-year), %d needless alerts (%.2f)", years, needless, float64(needless)/years, falseAlerts, float64(falseAlerts)/years)
	if share < 0.95 {
		t.Errorf("only %.1f %% in time", 100*share)
	}
	if float64(needless) > math.Max(1, years) {
		t.Errorf("%d needless moves in %.1f box-years", needless, years)
	}
}
