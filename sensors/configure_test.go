package sensors

import (
	"fmt"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/sensors/predict"
)

func fan(v float64) Reading {
	r := hot(v)
	r.ID, r.Label = "hwmon/board@0/t", "board"
	return r
}

// What stays the same keeps its vote in every round; what has another rule is
// judged by it at its next reading.
func TestAnotherConfigurationTouchesOnlyWhatItChanges(t *testing.T) {
	limit := func(crit float64) Rule {
		return Rule{Match: "*/cpu@*", Low: nan, High: nan, Crit: crit, Weight: 100}
	}
	const both = "temperature -90 critical=true"
	for name, c := range map[string]struct {
		is   Config
		cpu  float64
		want string
	}{
		"nothing":                 {Config{Rules: []Rule{limit(80)}}, 85, both},
		"a rule for none":         {Config{Rules: []Rule{{Match: "none", Ignore: true}, limit(80)}}, 85, both},
		"another pattern":         {Config{Rules: []Rule{{Match: "*cpu*", Low: nan, High: nan, Crit: 80, Weight: 100}}}, 85, both},
		"a limit that is beyond":  {Config{Rules: []Rule{limit(84)}}, 85, both},
		"a limit that is not":     {Config{Rules: []Rule{limit(99)}}, 85, ""},
		"no limit":                {Config{}, 85, ""},
		"half the weight":         {Config{Rules: []Rule{{Match: "*/cpu@*", Low: nan, High: nan, Crit: 80, Weight: 50}}}, 85, "temperature -45 critical=false"},
		"ignored":                 {Config{Rules: []Rule{{Match: "*/cpu@*", Ignore: true, Low: nan, High: nan, Crit: nan}}}, 85, ""},
		"alerts only":             {Config{AlertOnly: true, Rules: []Rule{limit(80)}}, 85, ""},
		"a rule that alerts only": {Config{Rules: []Rule{{Match: "*/cpu@*", Low: nan, High: nan, Crit: 80, Weight: 100, AlertOnly: true}}}, 85, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Config{Rules: []Rule{limit(80)}})
			b.rounds(30, hot(c.cpu), fan(40))
			if got := b.lost(); got != both {
				t.Fatalf("before: %s", got)
			}
			b.Configure(c.is)
			for range 30 {
				b.round(hot(c.cpu), fan(40))
				if got := b.lost(); got != c.want {
					t.Fatalf("%q, want %q in every round", got, c.want)
				}
			}
		})
	}
}

// Whoever cannot be read is no better for another rule, unless that ignores it.
func TestAnotherRuleWaitsForAReading(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(10, hot(101))
	b.Configure(anyRule(func(r *Rule) { r.Crit = 120 }))
	b.rounds(5, unread(Blocked))
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("not read yet: %q", got)
	}
	b.round(hot(101))
	if got := b.lost(); got != "" {
		t.Errorf("read: %q", got)
	}
	b.Configure(Config{})
	b.rounds(AtOnce, hot(101))
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("the device's own limit again: %q", got)
	}
	b.Configure(anyRule(func(r *Rule) { r.Ignore = true }))
	b.round(unread(Blocked))
	if got := b.lost(); got != "" {
		t.Errorf("ignored: %q", got)
	}
	b.Configure(Config{})
	b.rounds(AtOnce, hot(101))
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("not ignored any more: %q", got)
	}
}

func TestOtherLabelsAndContext(t *testing.T) {
	context := New("context/load1", "load", Context, 9, time.Time{})
	b := newBench(t, Config{})
	b.rounds(3, hot(60), context)
	b.Configure(anyRule(func(r *Rule) { r.Label, r.Crit = "new", 5 }))
	b.rounds(10, hot(60), context)
	if v := b.View(); v[0].Label != "new" || v[1].Label != "new" || b.lost() == "" {
		t.Errorf("%+v, votes %q", v, b.lost())
	}
	b.Configure(Config{})
	b.rounds(2, hot(60), context)
	if v := b.View(); v[0].Label != "CPU" || v[1].Label != "load" || b.lost() != "" {
		t.Errorf("%+v, votes %q", v, b.lost())
	}
	b.Configure(anyRule(func(r *Rule) { r.Crit = 5 }))
	b.rounds(AtOnce, context)
	if b.lost() != "other -90 critical=true" && b.lost() != "context -90 critical=true" {
		t.Errorf("context with a limit again: %q", b.lost())
	}
}

// A device that is asked no more takes its vote back at once, and another one in
// its place is judged by what it says itself.
func TestSensorsThatAreAskedNoMoreAreGone(t *testing.T) {
	b := newBench(t, Config{})
	errs := New("hwmon/cpu@0/errors", "errors", Count, 0, time.Time{})
	errs.Fatal = true
	b.rounds(60, hot(101), fan(101), errs)
	b.Leave("hwmon/cpu@")
	b.round(fan(101))
	if v := b.View(); v[0].State != "absent" || v[1].State != "ok" || v[1].Level != "move" {
		t.Errorf("%+v", v)
	}
	b.rounds(60, fan(60))
	b.rounds(400, fan(60))
	errs.Value = 1000
	for i := range 30 {
		b.round(hot(60), fan(60), errs)
		if got := b.lost(); got != "" {
			t.Fatalf("round %d: %s", i, got)
		}
	}
	b.rounds(AtOnce, hot(101), fan(60), errs)
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("the other one is hot: %q", got)
	}
}

// What was read before a sensor was ignored says nothing about it afterwards: it
// votes only by what is read since, as after a restart.
func TestWhatIsNotIgnoredAnyMoreBeginsWithFreshReadings(t *testing.T) {
	burst := func(total float64) Reading {
		r := New("edac/mc0/ue", "memory", Count, total, time.Time{})
		r.Fatal = true
		return r
	}
	word := func(on bool) Reading {
		r := New("psu/alarm", "PSU", Alarm, 0, time.Time{})
		if on {
			r.Value, r.Finding = 1, predict.Finding{Level: predict.Move, Text: "fails"}
		}
		return r
	}
	for name, c := range map[string]struct{ well, bad, since Reading }{
		"hot when it was read last":            {hot(60), hot(101), hot(60)},
		"errors that were counted meanwhile":   {burst(0), burst(0), burst(1000)},
		"errors of the hour before":            {burst(0), burst(3), burst(3)},
		"an alarm that it gave when read last": {word(false), word(true), word(false)},
	} {
		for _, away := range []int{1, 5, 60, 2000} { // rounds
			t.Run(fmt.Sprintf("%s, %d rounds", name, away), func(t *testing.T) {
				b := newBench(t, Config{})
				b.rounds(60, c.well)
				b.rounds(30, c.bad)
				b.Configure(anyRule(func(r *Rule) { r.Ignore = true }))
				b.rounds(away, c.bad)
				b.Configure(Config{})
				if got := b.lost(); got != "" {
					t.Errorf("before it is read: %s", got)
				}
				for i := range 60 {
					b.round(c.since)
					if got := b.lost(); got != "" {
						t.Fatalf("round %d: %s", i, got)
					}
				}
			})
		}
	}
}

// A sensor that could not be read for a while is not judged by new limits on
// what it said before.
func TestNewLimitsAreNotForOldReadings(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(60, hot(90))
	b.rounds(60, unread(Blocked)) // two minutes
	b.Configure(anyRule(func(r *Rule) { r.Crit = 80 }))
	for i := range 60 {
		b.round(hot(40))
		if got := b.lost(); got != "" {
			t.Fatalf("round %d: %s", i, got)
		}
	}
	b.rounds(AtOnce, hot(90))
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("beyond the new limit: %q", got)
	}
}

// A slow source says its last answer again and again: a rule takes effect at
// once, and what was read once does not count twice.
func TestARuleForASlowSource(t *testing.T) {
	b := newBench(t, Config{})
	drive, at := hot(50), b.at
	again := func(n int) {
		for range n {
			b.at = b.at.Add(2 * time.Second)
			drive.At = at
			b.Take(b.at, []Reading{drive})
		}
	}
	for range 5 {
		at = b.at
		again(300)
	}
	b.Configure(anyRule(func(r *Rule) { r.Crit = 45 }))
	again(1)
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("beyond its new limit: %q", got)
	}
	b.Configure(anyRule(func(r *Rule) { r.Ignore = true }))
	again(1)
	if got := b.lost(); got != "" || b.View()[0].State != "ignored" {
		t.Errorf("ignored: %q, %+v", got, b.View()[0])
	}
	b.Configure(Config{})
	again(1)
	if v := b.View()[0]; v.State != "ok" || b.lost() != "" {
		t.Errorf("not ignored any more, and its answer holds: %+v", v)
	}
}

// One reading of a slow source that lies is one, however often its limit is edited.
func TestAReadingCountsOnceHoweverOftenItsRuleChanges(t *testing.T) {
	b := newBench(t, anyRule(func(r *Rule) { r.Crit = 99 }))
	drive := hot(50)
	for range 5 {
		b.at = b.at.Add(10 * time.Minute)
		drive.At = b.at
		b.Take(b.at, []Reading{drive})
	}
	drive.Value, drive.At = 130, b.at.Add(10*time.Minute)
	for crit := range 10 {
		b.at = b.at.Add(time.Minute)
		b.Take(b.at, []Reading{drive})
		b.Configure(anyRule(func(r *Rule) { r.Crit = 90 - float64(crit) }))
		if got := b.lost(); got != "" {
			t.Fatalf("edit %d: %s", crit, got)
		}
	}
}

// A label, a weight or an act is no reason to forget what is held against it.
func TestOtherWordsKeepWhatIsHeld(t *testing.T) {
	for name, change := range map[string]func(*Rule){
		"label":  func(r *Rule) { r.Label = "other" },
		"weight": func(r *Rule) { r.Weight = 99 },
		"act":    func(r *Rule) { r.AlertOnly = true },
	} {
		is := func(also func(*Rule)) Config {
			return anyRule(func(r *Rule) {
				r.Crit = 100
				if also != nil {
					also(r)
				}
			})
		}
		b := newBench(t, is(nil))
		b.rounds(60, hot(101))
		b.rounds(60, hot(60)) // two minutes: a move is held for ten
		before := b.View()[0]
		b.Configure(is(change))
		b.round(hot(60))
		if is := b.View()[0]; before.Level != "move" || is.Level != "move" {
			t.Errorf("%s: level %s, was %s", name, is.Level, before.Level)
		}
	}
}

// What has gone and comes back, another device perhaps, is judged by what it says now.
func TestWhatComesBackBeginsWithFreshReadings(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(60, hot(101), fan(40))
	b.rounds(400, fan(40)) // beyond what counts as gone
	for i := range 30 {
		b.round(hot(60), fan(40))
		if got := b.lost(); got != "" {
			t.Fatalf("round %d: %s", i, got)
		}
	}
}

// Readings in a row that are beyond one limit are not beyond a higher one.
func TestAnotherLimitBeginsTheRowAnew(t *testing.T) {
	limit := func(crit float64) Config { return anyRule(func(r *Rule) { r.Crit = crit }) }
	for _, c := range []struct{ was, is float64 }{{80, 84}, {80, 70}} {
		b := newBench(t, limit(c.was))
		b.rounds(60, hot(60))
		b.rounds(AtOnce-1, hot(85))
		b.Configure(limit(c.is))
		b.round(hot(85))
		if got := b.lost(); got != "" {
			t.Errorf("%g to %g: one reading was enough: %s", c.was, c.is, got)
		}
	}
}
