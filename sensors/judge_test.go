package sensors

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/sensors/predict"
)

// A bench is a judge with a clock.
type bench struct {
	*testing.T
	*Judge
	at  time.Time
	all []string // what was news
}

func newBench(t *testing.T, c Config) *bench {
	return &bench{T: t, Judge: NewJudge(c), at: time.Unix(1e9, 0)}
}

// round lets the judge take readings; all get the bench's time.
func (b *bench) round(readings ...Reading) {
	b.at = b.at.Add(2 * time.Second)
	for i := range readings {
		readings[i].At = b.at
	}
	for _, c := range b.Take(b.at, readings) {
		b.all = append(b.all, fmt.Sprintf("alarm=%v on=%v %s", c.Alarm, c.On, c.Text))
	}
}

// rounds does the same several times.
func (b *bench) rounds(n int, readings ...Reading) {
	for range n {
		b.round(readings...)
	}
}

// lost returns what the votes take, by kind.
func (b *bench) lost() string {
	var out []string
	for _, v := range b.Votes() {
		if v.Loss > 0 {
			out = append(out, fmt.Sprintf("%s -%d critical=%v", v.Kind, v.Loss, v.Critical))
		}
	}
	return strings.Join(out, ", ")
}

func (b *bench) news(want ...string) {
	b.Helper()
	if got := strings.Join(b.all, "\n"); got != strings.Join(want, "\n") {
		b.Errorf("news:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	b.all = nil
}

func hot(v float64) Reading {
	r := New("hwmon/cpu@0/t", "CPU", Temperature, v, time.Time{})
	r.Crit = 100
	return r
}

var nan = math.NaN()

func anyRule(change func(*Rule)) Config {
	r := Rule{Match: "*", Low: nan, High: nan, Crit: nan, Weight: 100}
	change(&r)
	return Config{Rules: []Rule{r}}
}

func TestACriticalLimitActsAfterThreeReadings(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(10, hot(60))
	b.rounds(AtOnce-1, hot(101))
	if got := b.lost(); got != "" {
		t.Errorf("after two readings: %s", got)
	}
	b.round(hot(101))
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("after three readings: %s", got)
	}
	b.news("alarm=true on=true CPU 101 C, at its limit of 100")
	b.rounds(3, hot(60))
	if got := b.lost(); got != "" {
		t.Errorf("after it is over: %s", got)
	}
}

func TestOneReadingThatLiesDoesNothing(t *testing.T) {
	b := newBench(t, Config{})
	for i := range 3000 {
		v := 60.0
		if i%5 == 4 {
			v = 120
		}
		b.round(hot(v))
		if got := b.lost(); got != "" {
			t.Fatalf("round %d: %s", i, got)
		}
	}
	b.news()
}

func TestAnAlarmThatStandsIsToldAnewNowAndThen(t *testing.T) {
	b := newBench(t, Config{})
	for i := range 10*retell + 1 {
		b.round(hot(101 + float64(i)/20))
	}
	if n := len(b.all); n < 9 || n > 11 || b.all[n-1] == b.all[0] {
		t.Errorf("%d times: %q", n, b.all)
	}
}

func TestRules(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		r    Reading
		lost string
		news string
	}{
		"none":             {Config{}, hot(101), "temperature -90 critical=true", "at its limit of 100"},
		"ignored":          {anyRule(func(r *Rule) { r.Ignore = true }), hot(101), "", ""},
		"alert":            {anyRule(func(r *Rule) { r.AlertOnly = true }), hot(101), "", "at its limit of 100"},
		"alert, all":       {Config{AlertOnly: true}, hot(101), "", "at its limit of 100"},
		"weight":           {anyRule(func(r *Rule) { r.Weight = 50 }), hot(101), "temperature -45 critical=false", "at its limit of 100"},
		"no weight":        {anyRule(func(r *Rule) { r.Weight = 0 }), hot(101), "", "at its limit of 100"},
		"label":            {anyRule(func(r *Rule) { r.Label = "the oven" }), hot(101), "temperature -90 critical=true", "the oven 101 C"},
		"higher limit":     {anyRule(func(r *Rule) { r.Crit = 120 }), hot(101), "", ""},
		"lower limit":      {anyRule(func(r *Rule) { r.Crit = 80 }), hot(85), "temperature -90 critical=true", "at its limit of 80"},
		"other sensors":    {Config{Rules: []Rule{{Match: "hwmon/gpu*", Ignore: true}}}, hot(101), "temperature -90 critical=true", "at its limit"},
		"a person's limit": {anyRule(func(r *Rule) { r.Low = 11.4 }), New("psu", "12 V", Voltage, 11.1, time.Time{}), "voltage -6 critical=false", "at its lower limit of 11.40 V"},
		"context":          {anyRule(func(r *Rule) { r.Low = 5 }), New("context/disk", "disk", Context, 3, time.Time{}), "context -90 critical=true", "at its lower limit of 5"},
		"no rule, context": {Config{}, New("context/disk", "disk", Context, 0, time.Time{}), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.cfg)
			b.rounds(60, tt.r)
			if got := b.lost(); got != tt.lost {
				t.Errorf("lost %q, want %q", got, tt.lost)
			}
			news := strings.Join(b.all, "\n")
			if tt.news == "" && news != "" || !strings.Contains(news, tt.news) {
				t.Errorf("news %q, want %q", news, tt.news)
			}
		})
	}
}

func TestSensorsOfAKindCountOnce(t *testing.T) {
	b := newBench(t, Config{})
	var cores []Reading
	for i := range 16 {
		r := hot(101)
		r.ID = fmt.Sprint("core", i)
		cores = append(cores, r)
	}
	b.rounds(AtOnce, cores...)
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Error(got)
	}
}

func TestStatesAreNewsWhenTheyLast(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(5, hot(60))
	for range 10 { // EAGAIN now and then
		b.round(Lost("hwmon/cpu@0/t", "CPU", Temperature, b.at, Unreadable, "EAGAIN"))
		b.round(hot(60))
	}
	b.news()
	b.rounds(5, Lost("hwmon/cpu@0/t", "CPU", Temperature, b.at, Blocked, "temp1_input has not answered for 9s"))
	b.news("alarm=false on=true sensor CPU (hwmon/cpu@0/t) is blocked: temp1_input has not answered for 9s")
	b.rounds(5, hot(3.9e6))
	b.news("alarm=false on=true sensor CPU (hwmon/cpu@0/t) is implausible: 3900000 C is physically impossible")
	b.rounds(5, hot(60))
	b.news("alarm=false on=false sensor CPU (hwmon/cpu@0/t) is ok")
	b.rounds(60)
	b.news("alarm=false on=true sensor CPU (hwmon/cpu@0/t) is silent: has not been there for 1m6s")
}

// unread is the CPU's sensor while nobody can read it.
func unread(state State) Reading {
	r := Lost("hwmon/cpu@0/t", "CPU", Temperature, time.Time{}, state, "EAGAIN")
	r.Crit = 100
	return r
}

func TestWhatWasBadStaysBadWhileNobodyCanLook(t *testing.T) {
	const critical = "temperature -90 critical=true"
	for name, blind := range map[string]Reading{
		"unreadable": unread(Unreadable), "blocked": unread(Blocked), "implausible": hot(3.9e6), "fault": unread(Fault),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Config{})
			b.rounds(10, hot(60))
			b.rounds(AtOnce, hot(101))
			b.news("alarm=true on=true CPU 101 C, at its limit of 100")
			for range 5 {
				b.round(blind)
				v := b.Votes()[0]
				if got := b.lost(); got != critical || !strings.HasPrefix(v.Reason, "CPU 101 C, at its limit of 100") || !strings.HasSuffix(v.Reason, "; cannot be read now") {
					t.Fatalf("while nobody can look: %q, %q", got, v.Reason)
				}
				b.round(hot(101))
				if got := b.lost(); got != critical || strings.Contains(b.Votes()[0].Reason, "cannot") {
					t.Fatalf("read again: %q, %q", got, b.Votes()[0].Reason)
				}
			}
			b.news()
			b.rounds(300, blind)
			if v := b.View()[0]; b.lost() != critical || v.Level != "move" || !strings.HasSuffix(v.Verdict, "; cannot be read now") || v.Value != nil {
				t.Errorf("for long: %q, %+v", b.lost(), v)
			}
			for _, n := range b.all {
				if strings.HasPrefix(n, "alarm=true on=false") {
					t.Errorf("the alarm ended: %s", n)
				}
			}
			for range 600 { // medians know the end of it after ten minutes
				b.round(hot(60))
			}
			if got := b.lost(); got != "" {
				t.Errorf("after it is over: %s", got)
			}
		})
	}
}

func TestWhatWasWellStaysWellWhileNobodyCanLook(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(10, hot(60))
	b.rounds(AtOnce-1, hot(101))
	for range 3 {
		b.round(unread(Unreadable)) // a row of readings has ended
		b.round(hot(101))
		if got := b.lost(); got != "" {
			t.Fatal(got)
		}
	}
}

func TestOnlyWordOfTheSensorEndsItsTrouble(t *testing.T) {
	for name, tt := range map[string]struct {
		last Reading
		want string
	}{
		"absent": {unread(Absent), ""},
		"ok":     {hot(60), ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Config{})
			b.rounds(10, hot(60))
			b.rounds(AtOnce, hot(101))
			b.round(unread(Unreadable))
			b.all = nil
			b.round(tt.last)
			if got := b.lost(); got != tt.want {
				t.Errorf("lost %q", got)
			}
			b.news("alarm=true on=false ")
			b.round(unread(Blocked))
			if got := b.lost(); got != "" {
				t.Errorf("it is back: %q", got)
			}
		})
	}
}

func TestASensorThatIsGoneForGoodEndsAsAbsent(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(10, hot(60))
	b.rounds(AtOnce, hot(101))
	other := New("other", "other", Context, 0, time.Time{})
	b.rounds(40, other)
	if v := b.View()[0]; v.State != "silent" || b.lost() != "temperature -90 critical=true" {
		t.Errorf("silent for a minute: %q, %+v", b.lost(), v)
	}
	b.all = nil
	b.rounds(300, other)
	if v := b.View()[0]; v.State != "absent" || v.Level != "well" || b.lost() != "" {
		t.Errorf("gone for ten minutes: %q, %+v", b.lost(), v)
	}
	b.news("alarm=true on=false ", "alarm=false on=true sensor CPU (hwmon/cpu@0/t) is absent: has not been there for 10m6s")
}

// What the configuration names is missed; what was only found is not.
func TestWhatTheConfigurationNamesIsMissed(t *testing.T) {
	is := func(id string, state State) Reading {
		r := New(id, id, Alarm, 0, time.Time{})
		if r.Named = id == "ups"; state != OK {
			r.State, r.Why = state, "connection refused"
		}
		return r
	}
	b := newBench(t, Config{})
	all := func(n int, state State) { b.rounds(n, is("ups", state), is("chip", state)) }
	all(5, OK)
	all(int(missed/(2*time.Second)), Unreadable)
	b.news("alarm=false on=true sensor ups (ups) is unreadable: connection refused", "alarm=false on=true sensor chip (chip) is unreadable: connection refused")
	all(1, Unreadable)
	b.news("alarm=true on=true ups is unreadable: connection refused")
	if got := b.lost(); got != "" {
		t.Errorf("it is a reason to move: %s", got)
	}
	all(1, OK)
	b.news("alarm=true on=false ")
	b.all = nil
	b.Leave("ups") // a reload took it out
	b.rounds(2 * int(missed/(2*time.Second)))
	if text := strings.Join(b.all, "\n"); strings.Contains(text, "alarm=true on=true") {
		t.Errorf("what is asked no more is missed: %s", text)
	}
	b = newBench(t, anyRule(func(r *Rule) { r.Ignore = true }))
	all(100, Unreadable)
	b.news()
}

func TestADevicesOwnWordStandsWhileItIsSilent(t *testing.T) {
	b := newBench(t, Config{})
	r := New("ups/rack/state", "rack state", Alarm, 1, time.Time{})
	r.Finding, r.Sure, r.Loss = predict.Finding{Level: predict.Alert, Text: "on battery"}, true, 25
	b.round(r)
	if got := b.lost(); got != "alarm -25 critical=false" {
		t.Fatal(got)
	}
	b.rounds(900, Lost(r.ID, r.Label, r.Kind, b.at, Unreadable, "connection refused"))
	if got := b.lost(); got != "alarm -25 critical=false" {
		t.Errorf("silent: %q", got)
	}
}

func TestWhatNeverWasThereIsNoNews(t *testing.T) {
	b := newBench(t, Config{})
	fan := New("fan2", "fan2", Fan, 0, time.Time{})
	b.rounds(50, fan)
	b.news()
	fan.Value = 1200
	b.rounds(5, fan)
	b.news()
	if v := b.View()[0]; v.State != "ok" || *v.Value != 1200 {
		t.Errorf("%+v", v)
	}
}

func TestADevicesOwnWordMustLastAndMustBeNew(t *testing.T) {
	b := newBench(t, Config{})
	calm := New("in0", "12 V", Voltage, 12, time.Time{})
	alarm := calm
	alarm.Finding = predict.Finding{Level: predict.Alert, Text: "the chip raises in0_alarm"}
	b.rounds(50, alarm)
	b.news() // it stood already
	b.rounds(5, calm)
	for range 10 {
		b.round(alarm)
		b.round(calm)
	}
	b.news()
	b.rounds(5, alarm)
	b.news("alarm=true on=true 12 V: the chip raises in0_alarm")
	if got := b.lost(); got != "voltage -6 critical=false" {
		t.Error(got)
	}
	b.round(calm)
	b.rounds(5, alarm)
	b.news()
	b.rounds(5, calm)
	b.news("alarm=true on=false ")
}

func TestWearIsBelievedAtOnce(t *testing.T) {
	b := newBench(t, Config{})
	r := New("emmc", "eMMC", Wear, 110, time.Time{})
	r.Finding = predict.EMMC(11, 1, 1)
	b.round(r)
	b.news("alarm=true on=true eMMC: flash is used beyond its rated life")
	r.Finding = predict.UBI(predict.UBIState{ReadOnly: true})
	b.round(r)
	if got := b.lost(); got != "wear -70 critical=false" {
		t.Error(got)
	}
}

func TestMemoryErrorsThatWereNotCorrectedAreCritical(t *testing.T) {
	b := newBench(t, Config{})
	r := New("edac/mc0/ue", "memory", Count, 7, time.Time{})
	r.Fatal = true
	b.rounds(5, r)
	b.news()
	r.Value = 8
	b.round(r)
	b.news("alarm=true on=true memory: 1 in an hour, each one too many")
	if got := b.lost(); got != "count -90 critical=true" {
		t.Error(got)
	}
}

func TestAFanThatStopsDoesNotWait(t *testing.T) {
	b := newBench(t, Config{})
	fan := New("fan1", "fan1", Fan, 4400, time.Time{})
	fan.Drive = 200
	b.rounds(300, fan)
	fan.Value = 0
	for i := range 20 {
		b.round(fan)
		if got := b.lost(); got != "" {
			if got != "fan -90 critical=true" || i > 15 {
				t.Errorf("%s after %d s", got, 2*i)
			}
			return
		}
	}
	t.Error("nobody noticed")
}

func TestTheTimeToALimitIsTold(t *testing.T) {
	b := newBench(t, Config{})
	for i := range 900 { // half an hour at rest
		b.round(hot(60 + 0.1*float64(i%3)))
	}
	for i := range 600 {
		b.round(hot(60 + 0.05*float64(i) + 0.1*float64(i%3)))
		if v := b.Votes()[0]; v.Loss > 0 {
			if v.Loss != 70 || v.Critical || v.Left < time.Minute || v.Left > 15*time.Minute || !strings.Contains(v.Reason, "reaches 100 C in") {
				t.Errorf("%+v", v)
			}
			view := b.View()[0]
			if view.Forecast == "" || view.LeftMS == 0 || view.PerHour == nil || math.Abs(*view.PerHour-90) > 20 || len(view.Minutes) != 30 {
				t.Errorf("%+v", view)
			}
			return
		}
	}
	t.Error("no vote")
}

func TestWhatASlowSourceSaysAgainIsOld(t *testing.T) {
	b := newBench(t, Config{})
	old := hot(101)
	old.At = b.at
	for range 50 {
		b.at = b.at.Add(2 * time.Second)
		b.Take(b.at, []Reading{old})
	}
	if got := b.lost(); got != "" {
		t.Errorf("one reading, said fifty times: %s", got)
	}
	if v := b.View()[0]; v.State != "ok" {
		t.Errorf("%+v", v)
	}
}

func TestClocksThatJumpMoveNothing(t *testing.T) {
	b := newBench(t, Config{})
	for i := range 20000 {
		switch i {
		case 5000:
			b.at = b.at.Add(-20 * 365 * 24 * time.Hour)
		case 10000:
			b.at = b.at.Add(50 * 365 * 24 * time.Hour)
		case 15000:
			b.at = b.at.Add(-time.Hour)
		}
		b.round(hot(60 + 5*math.Sin(float64(i)/900)))
		if got := b.lost(); got != "" {
			t.Fatalf("round %d: %s", i, got)
		}
	}
	b.news()
}

func TestWhatWasLearnedSurvivesARestart(t *testing.T) {
	day := func(b *bench, hours int) {
		for i := range hours * 60 {
			b.at = b.at.Add(58 * time.Second)
			errors := New("net/eth0/rx", "eth0", Count, 100, time.Time{})
			b.round(hot(60+10*math.Sin(float64(i)/300)), errors)
		}
	}
	old := newBench(t, Config{})
	day(old, 30)
	state := old.Save()
	if len(state) > 2*1400 {
		t.Errorf("%d bytes for two sensors", len(state))
	}
	b := newBench(t, Config{})
	b.at = old.at.Add(10 * time.Minute)
	b.rounds(2, hot(60), New("net/eth0/rx", "eth0", Count, 5, time.Time{}))
	if err := b.Restore(state, true); err != nil {
		t.Fatal(err)
	}
	day(b, 8)
	b.news() // neither a burst of errors since the boot, nor heat that is usual
	for n := range len(state) {
		bad := append([]byte(nil), state...)
		bad[n] ^= 0x40
		if err := b.Restore(bad, false); err == nil {
			t.Fatalf("byte %d is wrong, and nobody noticed", n)
		}
	}
}

func TestALimitThatAPersonGivesLaterCounts(t *testing.T) {
	free := hot(85)
	free.Crit = nan
	old := newBench(t, Config{})
	old.rounds(500, free)
	b := newBench(t, anyRule(func(r *Rule) { r.Crit = 80 }))
	b.rounds(2, free)
	if err := b.Restore(old.Save(), false); err != nil {
		t.Fatal(err)
	}
	b.rounds(5, free)
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Error(got)
	}
}

func TestTooManySensorsAreCountedAndNotJudged(t *testing.T) {
	b := newBench(t, Config{})
	var all []Reading
	for i := range MaxRows + 10 {
		r := hot(60)
		r.ID = fmt.Sprint("s", i)
		all = append(all, r)
	}
	b.rounds(5, all...)
	views := b.View()
	if len(views) != MaxRows || b.Beyond() != 50 {
		t.Errorf("%d rows, %d beyond", len(views), b.Beyond())
	}
	if v := views[MaxRows-1]; v.State != "unjudged" || v.Value == nil {
		t.Errorf("%+v", v)
	}
	b.news()
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "hwmon/a/b", true},
		{"hwmon/*", "hwmon/a/b", true},
		{"hwmon/*", "thermal/a", false},
		{"*/temp1", "hwmon/x@0/temp1", true},
		{"*/temp1", "hwmon/x@0/temp10", false},
		{"*a*b", "xxaxxbxxab", true},
		{"?", "a", true},
		{"?", "", false},
		{"a?c*", "abc", true},
		{"a", "ab", false},
	} {
		if got := Glob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Glob(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

func TestAViewSurvivesJSON(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(3, hot(60), hot(nan), New("x", "x", Other, math.Inf(1), time.Time{}))
	if _, err := json.Marshal(b.View()); err != nil {
		t.Error(err)
	}
}

// sixty are the sensors of a large box.
func sixty() []Reading {
	var all []Reading
	for i := range 60 {
		r := hot(50)
		r.ID, r.Label = fmt.Sprintf("hwmon/chip@0000:00:%02x.0/temp%d", i/8, i), fmt.Sprint("chip temp", i)
		all = append(all, r)
	}
	return all
}

// BenchmarkRound is a second of sixty sensors: gate, trends, votes.
func BenchmarkRound(b *testing.B) {
	all, j, at := sixty(), NewJudge(Config{}), time.Unix(1e9, 0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at = at.Add(time.Second)
		for k := range all {
			all[k].At, all[k].Value = at, 50+float64((i+k)%7)
		}
		j.Take(at, all)
		j.Votes()
	}
}
