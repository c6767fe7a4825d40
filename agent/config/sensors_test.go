package config

import (
	"math"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, text string) Config {
	t.Helper()
	c, problems := Parse("x.toml", []byte(text), "fw1")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

func TestSensorsAreReadOnlyWithTheirSection(t *testing.T) {
	if c := parsed(t, base); c.Sensors != nil {
		t.Errorf("%+v", c.Sensors)
	}
	if c := parsed(t, base+"[sensors]\nenable = false\n"); c.Sensors != nil {
		t.Errorf("%+v", c.Sensors)
	}
	c := parsed(t, base+"[sensors]\n")
	if s := c.Sensors; s == nil || s.Interval != 2*time.Second || s.Act != "move" || s.Root != "/" || s.SaveEvery != 24*time.Hour {
		t.Errorf("%+v", s)
	}
}

func TestSensorRules(t *testing.T) {
	c := parsed(t, base+`[sensors]
interval = "5s"
root = { fw1 = "/a", fw2 = "/b" }
[[sensors.rule]]
match = "hwmon/*"
crit = 95
low = -1.5
act = "alert"
weight = 50
`)
	r := c.Sensors.Rules[0]
	if r.Crit != 95 || r.Low != -1.5 || !math.IsNaN(r.High) || r.Act != "alert" || r.Weight != 50 || c.Sensors.Root != "/a" {
		t.Errorf("%+v %q", r, c.Sensors.Root)
	}
}

func TestAMarginThatSensorsCannotReachIsWarnedOf(t *testing.T) {
	for text, want := range map[string]int{
		"[sensors]\n[health]\nmargin = 80\n": 1, "[sensors]\n[health]\nmargin = 70\n": 0, "[health]\nmargin = 80\n": 0,
		"[sensors]\nact = \"alert\"\n[health]\nmargin = 80\n": 0,
	} {
		if _, problems := Parse("x.toml", []byte(base+text), "fw1"); len(problems) != want || Refused(problems) {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func TestSensorRulesThatContradictThemselvesAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"interval = \"1ms\"":        "out of range",
		"act = \"burn\"":            "not possible",
		"root = \"sys\"":            "not possible",
		"[[sensors.rule]]\nlow = 1": "lacks match",
		"[[sensors.rule]]\nmatch = \"a\"\nlow = 5\ncrit = 4":             "not below",
		"[[sensors.rule]]\nmatch = \"a\"\nhigh = 5\ncrit = 4":            "above crit",
		"[[sensors.rule]]\nmatch = \"a\"\ncrit = nan":                    "no limit",
		"[[sensors.rule]]\nmatch = \"a\"\ncrit = \"hot\"":                "a number",
		"[[sensors.rule]]\nmatch = \"a\"\n[[sensors.rule]]\nmatch=\"a\"": "twice",
		strings.Repeat("[[sensors.rule]]\nmatch = \"a\"\n", 129):         "128 at most",
	} {
		_, problems := Parse("x.toml", []byte(base+"[sensors]\n"+text+"\n"), "fw1")
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.Text+p.Hint, says) && p.Line > 0 && !p.Warning
		}
		if !found {
			t.Errorf("%.60s: %v, want %q", text, problems, says)
		}
	}
}
