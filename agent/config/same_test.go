package config

import (
	"math"
	"strings"
	"testing"
)

// within is what node fw1 reads in base with further sections.
func within(t *testing.T, sections string) Config {
	t.Helper()
	c, problems := Parse("x.toml", []byte(strings.Replace(base, "[timing]", sections+"[timing]", 1)), "fw1")
	if Refused(problems) {
		t.Fatalf("%v", problems)
	}
	return c
}

// Where something stands says nothing, and a limit that is not given is the same
// as another that is not.
func TestTheSameIsTheSameWhereverItStands(t *testing.T) {
	const monitor = "[[monitor]]\nname = \"m\"\ntype = \"process\"\nprocess = \"x\"\n"
	const sensors = "[sensors]\n[[sensors.rule]]\nmatch = \"a\"\nhigh = 80\n"
	a, b := within(t, monitor+sensors), within(t, "\n\n# lower\n"+sensors+"\n"+monitor+"interval = \"1s\" # as usual\n")
	if !SameMonitor(a.Monitors[0], b.Monitors[0]) || !SameSensors(a.Sensors, b.Sensors) {
		t.Errorf("%+v\n%+v", a, b)
	}
	if a.Sensors.Rules[0].Line == 0 || !math.IsNaN(a.Sensors.Rules[0].Low) {
		t.Error("the comparison changed what it compared, or this test shows nothing")
	}
	heavy := a.Monitors[0]
	heavy.Weight++
	rule, source := *b.Sensors, *b.Sensors
	rule.Rules = []SensorRule{{Match: "a", High: 81}}
	source.Root = "/elsewhere"
	if SameMonitor(a.Monitors[0], heavy) || SameSensors(a.Sensors, &rule) || SameSensors(a.Sensors, &source) || SameSensors(a.Sensors, nil) {
		t.Error("a difference was overlooked")
	}
	if !SameSensors(nil, nil) {
		t.Error("none is none")
	}
	if !SameNotify(Notify{Line: 1, Name: "x"}, Notify{Line: 2, Name: "x"}) || SameNotify(Notify{Name: "x"}, Notify{Name: "x", Rate: 1}) {
		t.Error("targets")
	}
}

func TestTheLineOfAKey(t *testing.T) {
	text := []byte("a = 1\n[[notify]]\nname = \"x\"\n[[notify]]\nname = \"y\"\ntoken_file = \"/t\"\n")
	for key, want := range map[string]int{"notify[1].token_file": 6, "notify[1].ca_file": 4, "notify[0].name": 3, "other": 1} {
		if got := LineOf(text, key); got != want {
			t.Errorf("%s: line %d, want %d", key, got, want)
		}
	}
}
