package predict

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestCounters(t *testing.T) {
	for _, test := range []struct {
		name  string
		fatal bool
		total func(hour int) float64
		want  Level
	}{
		{"none", false, func(int) float64 { return 12 }, Well},
		{"a few a day", false, func(h int) float64 { return float64(h / 7) }, Well},
		{"many, as always", false, func(h int) float64 { return float64(50 * h) }, Well},
		{"a storm", false, func(h int) float64 { return float64(h/7 + max(0, h-40)*30) }, Alert},
		{"a driver loaded anew", false, func(h int) float64 { return float64(h%20) / 10 }, Well},
		{"one uncorrectable", true, func(h int) float64 { return float64(h / 45) }, Move},
		{"no number", true, func(h int) float64 { return math.NaN() }, Well},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			id, err := b.Count("ce", test.fatal)
			if err != nil {
				t.Fatal(err)
			}
			worst := Health{Level: Well}
			for m := range 50 * 60 {
				at := begin.Add(time.Duration(m) * time.Minute)
				b.Counted(id, at, test.total(m/60))
				if h := b.Health(at); h.Level > worst.Level {
					worst = h
				}
			}
			if worst.Level != test.want {
				t.Errorf("%+v, want %v", worst, test.want)
			}
		})
	}
}

func TestPoissonTail(t *testing.T) {
	for _, test := range []struct{ k, m, want float64 }{
		{1, 1, 0.632121}, {4, 1, 0.018988}, {10, 2, 4.65e-5}, {0, 5, 1}, {1000, 1000, 0.504}, {1e9, 1, 0},
	} {
		if got := poissonTail(test.k, test.m); math.Abs(got-test.want) > 0.01*test.want+1e-7 {
			t.Errorf("%v of %v: %v, want %v", test.k, test.m, got, test.want)
		}
	}
}

func TestFans(t *testing.T) {
	for _, test := range []struct {
		name string
		pwm  float64
		rpm  func(hours float64) float64
		want Level
		says string
	}{
		{"well", 120, func(float64) float64 { return 3000 }, Well, ""},
		{"at 62 %", 120, func(h float64) float64 { return 3000 * map[bool]float64{true: 0.62, false: 1}[h > 30] }, Alert, "fan2 at 62 % of its usual speed"},
		{"stands", 120, func(h float64) float64 { return 3000 * map[bool]float64{true: 0, false: 1}[h > 30] }, Move, "fan2 stands still although it is driven"},
		{"stands, drive unknown", math.NaN(), func(h float64) float64 { return 3000 * map[bool]float64{true: 0, false: 1}[h > 30] }, Move, "fan2 stands still"},
		{"is let stand", 20, func(h float64) float64 { return 3000 * map[bool]float64{true: 0, false: 1}[h > 30] }, Well, ""},
		{"was never there", 255, func(float64) float64 { return 0 }, Well, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, id := watch(t, Spec{Name: "fan2", Kind: Fan, Limits: NoLimits()})
			worst := Health{Level: Well}
			for m := 0; m < 36*60; m++ {
				at := begin.Add(time.Duration(m) * time.Minute)
				b.Drive(id, test.pwm)
				b.Observe(id, at, test.rpm(float64(m)/60))
				if h := b.Health(at); h.Level >= worst.Level {
					worst = h
				}
			}
			if worst.Level != test.want || !strings.Contains(worst.Reason, test.says) {
				t.Errorf("%+v, want %v %q", worst, test.want, test.says)
			}
		})
	}
}

func TestVoltages(t *testing.T) {
	for _, test := range []struct {
		name  string
		wave  float64 // share by which it moves in usual life
		drift float64 // share it falls by
		want  Level
	}{
		{"well", 0.01, 0, Well},
		{"drifts", 0.005, 0.04, Alert},
		{"falls", 0.005, 0.08, Move},
		{"follows the processor", 0.2, 0.08, Well},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, id := watch(t, Spec{Name: "12V", Kind: Voltage, Limits: NoLimits()})
			r, worst := rand.New(rand.NewPCG(1, 8)), Health{Level: Well}
			for m := 0; m < 52*60; m++ {
				at := begin.Add(time.Duration(m) * time.Minute)
				v := 12 * (1 + test.wave*math.Sin(float64(m)/20)) * (1 + 0.001*r.NormFloat64())
				if m > 48*60 {
					v *= 1 - test.drift
				}
				b.Observe(id, at, v)
				if h := b.Health(at); h.Level > worst.Level {
					worst = h
				}
			}
			if worst.Level != test.want {
				t.Errorf("%+v, want %v", worst, test.want)
			}
		})
	}
}

// TestDustIsFoundAtEqualLoad: the temperature stays within what the box has
// known, but not at this load and in this air.
func TestDustIsFoundAtEqualLoad(t *testing.T) {
	for _, test := range []struct {
		name string
		dust float64 // K
		want Level
	}{{"clean", 0, Well}, {"dusty", 6, Alert}} {
		t.Run(test.name, func(t *testing.T) {
			b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(105)})
			r, worst := rand.New(rand.NewPCG(1, 9)), Health{Level: Well}
			for m := 0; m < 12*1440; m++ {
				at := begin.Add(time.Duration(m) * time.Minute)
				load := 0.5 + 0.4*math.Sin(float64(m)/200) + 0.02*r.NormFloat64()
				air := 22 + 4*math.Sin(float64(m)*2*math.Pi/1440)
				v := 10 + air + 30*load + r.NormFloat64()*0.5
				if m > 8*1440 {
					load *= 0.6
					v = 10 + air + 30*load + test.dust + r.NormFloat64()*0.5
				}
				b.Around(load, air)
				b.Observe(id, at, v)
				if h := b.Health(at); h.Level > worst.Level {
					worst = h
				}
			}
			if worst.Level != test.want {
				t.Errorf("%+v, want %v", worst, test.want)
			}
		})
	}
}

// A noon as hot as every noon is usual; a night as hot as a noon is not.
func TestANightLikeANoonIsOdd(t *testing.T) {
	for _, hot := range []bool{false, true} {
		b, id := watch(t, Spec{Name: "CPU", Kind: Temperature, Limits: crit(105)})
		r, odd := rand.New(rand.NewPCG(1, 9)), false
		for m := range 9 * 1440 {
			hour, v := m/60%24, 40+r.NormFloat64()*0.5
			if noon := hour >= 11 && hour < 15; noon || hot && m >= 8*1440 && hour < 5 {
				v += 20
			}
			b.Observe(id, begin.Add(time.Duration(m)*time.Minute), v)
			odd = odd || b.Series(id).flags.on[OddHours]
		}
		if odd != hot {
			t.Errorf("a hot night %v: odd %v", hot, odd)
		}
	}
}

func TestWear(t *testing.T) {
	for _, test := range []struct {
		name string
		got  Finding
		want Level
	}{
		{"MT7986 router, eMMC 0x01 0x00", EMMC(1, 0, 1), Well},
		{"eMMC 90 % used", EMMC(1, 10, 1), Alert},
		{"eMMC exceeded", EMMC(11, 1, 1), Alert},
		{"eMMC urgent", EMMC(1, 1, 3), Alert},
		{"eMMC says nonsense", EMMC(0xff, 0x20, 0xff), Well},
		{"UBI well", UBI(UBIState{MaxErase: 900, Endurance: 100000, Bad: 3, Reserved: 17}), Well},
		{"UBI without spare", UBI(UBIState{Bad: 20}), Alert},
		{"UBI at its end", UBI(UBIState{MaxErase: 95000, Endurance: 100000, Reserved: 5}), Alert},
		{"UBI read-only", UBI(UBIState{ReadOnly: true, Reserved: 5}), Move},
		{"NVMe well", NVMe(NVMeState{Spare: 100, Threshold: 10, Used: 3, MediaErrors: 5}, &NVMeState{MediaErrors: 5}), Well},
		{"NVMe loses spare", NVMe(NVMeState{Spare: 8, Threshold: 10}, nil), Alert},
		{"NVMe grows errors", NVMe(NVMeState{Spare: 100, MediaErrors: 6}, &NVMeState{MediaErrors: 5}), Alert},
		{"NVMe read-only", NVMe(NVMeState{Warning: 8, Spare: 100}, nil), Move},
		{"NVMe that sends 0xff", NVMe(NVMeState{255, 255, 255, 255, math.MaxUint64}, nil), Well},
		{"disk well", ATA(ATAState{}, &ATAState{}), Well},
		{"disk with one old block", ATA(ATAState{Reallocated: 8}, &ATAState{Reallocated: 8}), Weak},
		{"disk grows", ATA(ATAState{Reallocated: 8}, &ATAState{}), Alert},
		{"disk with pending sectors", ATA(ATAState{Pending: 8}, nil), Alert},
	} {
		if test.got.Level != test.want || (test.got.Text == "") != (test.want == Well) {
			t.Errorf("%s: %+v, want %v", test.name, test.got, test.want)
		}
	}
}

func TestAWornDeviceIsInTheSentence(t *testing.T) {
	b := New()
	if err := b.Worn("mmcblk0", EMMC(11, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if h := b.Health(begin); h.Score != 70 || h.Reason != "mmcblk0: flash is used beyond its rated life" {
		t.Errorf("%+v", h)
	}
	if err := b.Worn("mmcblk0", Finding{}); err != nil {
		t.Fatal(err)
	}
	if h := b.Health(begin); h.Score != 100 {
		t.Errorf("%+v", h)
	}
}

func TestTheIntervalHoldsAsOftenAsItSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 10))
	told, in := 0, 0
	for range 4000 {
		slope, noise := 0.002+0.01*r.Float64(), 0.2+0.6*r.Float64()
		var pts []point
		for i := range trackLen {
			pts = append(pts, point{float64(60 * i), 50 + slope*float64(60*i) + noise*r.NormFloat64()})
		}
		truth := (80-50)/slope - 60*(trackLen-1)
		if l, ok := fit(pts); ok {
			if eta, ok := l.reach(80, 0); ok && truth > 0 {
				told++
				if s := truth; s >= eta.Early.Seconds() && s <= eta.Late.Seconds() {
					in++
				}
			}
		}
	}
	share := float64(in) / float64(told)
	t.Logf("%d forecasts, the truth was within the 90 %% interval in %.1f %%", told, 100*share)
	if told < 500 || share < 0.88 || share > 0.99 {
		t.Errorf("an interval that is not what it says")
	}
}

func TestABoxHasItsBounds(t *testing.T) {
	b := New()
	for i := range MaxSeries {
		if _, err := b.Watch(Spec{Name: strings.Repeat("x", i+1), Kind: Other}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Watch(Spec{Name: "one more", Kind: Other}); err == nil {
		t.Error("one more than MaxSeries")
	}
	if _, err := b.Count("one more", false); err == nil {
		t.Error("one more than MaxSeries")
	}
	b = New()
	for name, s := range map[string]Spec{"no name": {Kind: Other}, "no kind": {Name: "x"}} {
		if _, err := b.Watch(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestASlowSagIsNotLearned(t *testing.T) {
	b, id := watch(t, Spec{Name: "12V", Kind: Voltage, Limits: NoLimits()})
	r := rand.New(rand.NewPCG(1, 11))
	told := feed(b, id, begin, 5*24*time.Hour, time.Minute, func(float64) float64 { return 12 + 0.02*r.NormFloat64() })
	if len(told) != 1 {
		t.Fatalf("%+v", told)
	}
	from := begin.Add(5 * 24 * time.Hour)
	told = feed(b, id, from, 20*24*time.Hour, time.Minute, func(s float64) float64 {
		return 12*(1-0.08*s/(20*86400)) + 0.02*r.NormFloat64()
	})
	if h := told[Move]; !strings.HasPrefix(h.Reason, "12V 11.") || !strings.HasSuffix(h.Reason, "% from its usual 12.00 V") {
		t.Errorf("%+v", told)
	}
	b.Relearn(id)
	if h := b.Health(from.Add(20 * 24 * time.Hour)); h.Score != 100 {
		t.Errorf("a new part: %+v", h)
	}
}
