package sensors

import (
	"testing"
	"time"
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

// With other sources a sensor that none of them tells of is gone after the grace,
// not before, and one that they tell of has lost nothing.
func TestSensorsThatNoSourceTellsOfAreGone(t *testing.T) {
	b := newBench(t, Config{})
	b.rounds(10, hot(60), fan(101))
	b.Resourced(b.at, time.Minute)
	b.rounds(29, hot(60)) // 58 s
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("within the grace: %q", got)
	}
	b.rounds(3, hot(60))
	if got := b.lost(); got != "" {
		t.Errorf("after it: %q", got)
	}
	b.rounds(AtOnce, hot(60), fan(101))
	if got := b.lost(); got != "temperature -90 critical=true" {
		t.Errorf("it came back: %q", got)
	}
}
