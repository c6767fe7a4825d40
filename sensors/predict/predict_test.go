package predict

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var begin = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// watch returns a box with one series.
func watch(t testing.TB, spec Spec) (*Box, int) {
	t.Helper()
	b := New()
	id, err := b.Watch(spec)
	if err != nil {
		t.Fatal(err)
	}
	return b, id
}

// crit is a limit of its own.
func crit(v float64) Limits {
	l := NoLimits()
	l.Crit = v
	return l
}

// A run feeds f, a value by the second, and returns the first time and health
// of each level.
func feed(b *Box, id int, from time.Time, length, step time.Duration, f func(seconds float64) float64) map[Level]Health {
	first := map[Level]Health{}
	for d := time.Duration(0); d < length; d += step {
		b.Observe(id, from.Add(d), f(d.Seconds()))
		h := b.Health(from.Add(d))
		if _, seen := first[h.Level]; !seen {
			first[h.Level] = h
		}
	}
	return first
}

func TestARiseIsForecastWithItsInterval(t *testing.T) {
	b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(95)})
	r := rand.New(rand.NewPCG(1, 1))
	// 26 hours at 45 C, then 0.4 K a minute.
	calm := 26 * time.Hour
	feed(b, id, begin, calm, 10*time.Second, func(float64) float64 { return 45 + r.NormFloat64()*0.3 })
	from, told := begin.Add(calm), 0
	for d := time.Duration(0); d < 110*time.Minute; d += 10 * time.Second {
		b.Observe(id, from.Add(d), 45+0.4*d.Minutes()+r.NormFloat64()*0.3)
		h := b.Health(from.Add(d))
		if !h.Known || d < 70*time.Minute {
			continue
		}
		told++
		truth := time.Duration(50/0.4*float64(time.Minute)) - d
		if math.Abs((h.TimeToLimit.Likely - truth).Minutes()) > 12 {
			t.Fatalf("after %v: %v, the truth is %v", d, h.TimeToLimit, truth)
		}
		if !strings.Contains(h.Reason, "+0.4 C/min, reaches 95 C in") || h.Level < Alert {
			t.Fatalf("after %v: %v %q", d, h.Level, h.Reason)
		}
	}
	if told < 200 {
		t.Fatalf("%d forecasts in 45 minutes", told)
	}
}

func TestABoxThatWarmsUpIsNotBurning(t *testing.T) {
	for _, test := range []struct {
		name string
		end  float64 // where the rise ends
		want bool
	}{{"settles at 80", 80, false}, {"would settle at 130", 130, true}} {
		t.Run(test.name, func(t *testing.T) {
			b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(95)})
			r := rand.New(rand.NewPCG(1, 2))
			feed(b, id, begin, 30*time.Hour, 10*time.Second, func(float64) float64 { return 50 + r.NormFloat64()*0.3 })
			told := feed(b, id, begin.Add(30*time.Hour), 30*time.Minute, 10*time.Second, func(s float64) float64 {
				return min(50+(test.end-50)*(1-math.Exp(-s/400)), 94) + r.NormFloat64()*0.3
			})
			h, moved := told[Move]
			if moved != test.want {
				t.Fatalf("moved %v: %+v", moved, h)
			}
			if moved && !h.Known {
				t.Fatalf("no forecast before the margin: %+v", h)
			}
		})
	}
}

func TestGate(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		name   string
		kind   Kind
		limits Limits
		values []float64
		state  State
		limit  LimitState
	}{
		{"nct6779 in1: min=max=0 and an alarm", Voltage, Limits{0, 0, nan}, []float64{1.024}, Good, ZeroLimits},
		{"nct6791 in4: max=0", Voltage, Limits{0, 0, nan}, []float64{1.8, 1.81}, Good, ZeroLimits},
		{"it8665: limits swapped", Temperature, Limits{-65, -112, nan}, []float64{40}, Good, InvertedLimits},
		{"it8721: open diode", Temperature, Limits{nan, -112, nan}, []float64{127}, Sentinel, ImplausibleLimits},
		{"nct6793 temp15: 3.9 million degrees", Temperature, NoLimits(), []float64{3892313.987}, Impossible, NoLimit},
		{"threshold of absolute zero", Temperature, Limits{nan, -273.15, nan}, []float64{40}, Good, ImplausibleLimits},
		{"apu2 fam15h_power: crit 6 W", Power, crit(6), []float64{6.96, 6.96}, Good, AlwaysOver},
		{"apu4 fam15h_power: crit 6 W", Power, crit(6), []float64{11.48, 11.5}, Good, AlwaysOver},
		{"apu4 k10temp: 66.8 of 70", Temperature, Limits{nan, 70, 105}, []float64{66.8, 71, 72}, Good, ValidLimit},
		{"helios64 in0", Voltage, Limits{0, 0, nan}, []float64{0, 0}, Absent, ZeroLimits},
		{"helios64 curr1", Current, Limits{nan, 0, nan}, []float64{0, 0}, Absent, ZeroLimits},
		{"rpi_volt in0: N/A", Voltage, NoLimits(), []float64{nan}, NotANumber, NoLimit},
		{"fan_min 0", Fan, Limits{0, nan, nan}, []float64{1200}, Good, ZeroLimits},
		{"a fan that is not there", Fan, Limits{600, nan, nan}, []float64{0, 0, 0}, Absent, ValidLimit},
		{"nvme low -0.1", Temperature, Limits{-0.1, 74.8, 79.8}, []float64{38.9}, Good, ValidLimit},
		{"FW2B: high = crit", Temperature, Limits{nan, 90, 90}, []float64{40}, Good, ValidLimit},
		{"mV taken for V", Voltage, NoLimits(), []float64{1024}, Impossible, NoLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, id := watch(t, Spec{Name: "x", Kind: test.kind, Limits: test.limits})
			told := feed(b, id, begin, 50*time.Hour, time.Minute, func(s float64) float64 {
				return test.values[int(s/3600)%len(test.values)]
			})
			s := b.Series(id)
			if s.State() != test.state || s.Limit() != test.limit {
				t.Errorf("%v, limits %v; want %v, %v", s.State(), s.Limit(), test.state, test.limit)
			}
			if h, ok := told[Alert]; ok {
				t.Errorf("alert: %q", h.Reason)
			}
			if h, ok := told[Move]; ok {
				t.Errorf("move: %q", h.Reason)
			}
		})
	}
}

func TestALostSensorIsAStateAndNoNumber(t *testing.T) {
	b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(95)})
	feed(b, id, begin, time.Hour, time.Second, func(float64) float64 { return 50 })
	at := begin.Add(time.Hour)
	for _, why := range []State{Missing, Blocked} {
		b.Lost(id, at, why)
		if got := b.Series(id); got.State() != why || !math.IsNaN(got.Value()) {
			t.Errorf("%v: %v %v", why, got.State(), got.Value())
		}
	}
	if h := b.Health(at.Add(time.Hour)); b.Series(id).State() != Silent || h.Score != 100 {
		t.Errorf("%v %+v", b.Series(id).State(), h)
	}
	b.Observe(id, at.Add(2*time.Hour), 50)
	if b.Series(id).State() != Good {
		t.Errorf("%v", b.Series(id).State())
	}
}

func TestASensorThatFreezesIsStuckOnlyIfItUsuallyMoves(t *testing.T) {
	for _, test := range []struct {
		name string
		step float64 // of the sensor
		want State
	}{{"fine", 0.1, Stuck}, {"coarse", 10, Good}} {
		t.Run(test.name, func(t *testing.T) {
			b, id := watch(t, Spec{Name: "x", Kind: Temperature})
			r := rand.New(rand.NewPCG(1, 3))
			feed(b, id, begin, 48*time.Hour, time.Minute, func(float64) float64 {
				return math.Round((44+r.NormFloat64()*0.3)/test.step) * test.step
			})
			feed(b, id, begin.Add(48*time.Hour), 12*time.Hour, time.Minute, func(float64) float64 { return 50 })
			if got := b.Series(id).State(); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestClockStepsAndGapsRaiseNothing(t *testing.T) {
	b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(95)})
	r := rand.New(rand.NewPCG(1, 4))
	at := begin
	for day, jump := range []time.Duration{0, -time.Hour, 0, 3 * time.Hour, -40 * 24 * time.Hour, 0, 56 * 365 * 24 * time.Hour, 0, 0, -time.Second} {
		at = at.Add(jump)
		told := feed(b, id, at, 24*time.Hour, 30*time.Second, func(s float64) float64 {
			return 55 + 6*math.Sin(2*math.Pi*float64(at.Add(time.Duration(s)*time.Second).Unix())/86400) + r.NormFloat64()*0.5
		})
		at = at.Add(24 * time.Hour)
		if len(told) != 1 || told[Well].Score != 100 {
			t.Fatalf("day %d: %+v", day, told)
		}
	}
	if s := b.Series(id); !s.base.known() || s.base.n < hoursKept {
		t.Errorf("the baseline is lost: %d hours", s.base.n)
	}
}

func TestALimitAtOnceAndNoFlapping(t *testing.T) {
	b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(95)})
	at, moves, before := begin, 0, Well
	for i := range 7200 {
		v := 94.5 + 1.5*float64(i%2) // to and fro over the limit each second
		if i < 60 {
			v = 60
		}
		at = at.Add(time.Second)
		b.Observe(id, at, v)
		h := b.Health(at)
		if h.Level == Move && before != Move {
			moves++
		}
		if before = h.Level; i == 120 && (h.Level != Move || h.Score > 30) {
			t.Fatalf("a minute beyond the limit: %+v", h)
		}
	}
	if moves != 1 {
		t.Errorf("%d moves", moves)
	}
}

func TestOneLyingReadingDoesNothing(t *testing.T) {
	b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(95)})
	told := feed(b, id, begin, 72*time.Hour, 10*time.Second, func(s float64) float64 {
		if int(s/10)%1000 == 999 {
			return 126
		}
		return 50 + math.Sin(s/300)
	})
	if len(told) != 1 {
		t.Errorf("%+v", told)
	}
}
