package main

import (
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// crowded is a scene in which every text is longer than its place.
func crowded() scene {
	long := strings.Repeat("word ", 40)
	trip := 123456.7
	links := make([]report.LinkView, 8)
	for i := range links {
		links[i] = report.LinkView{Type: "multicast", State: "one-way-out", RoundTripMS: &trip, LossPercent: 100}
	}
	snap := report.Snapshot{
		Links:  links,
		Alarms: []report.Alarm{{Name: "g1/peer-silent"}, {Name: "link/multicast ha0 239.255.77.1:6940"}, {Name: long}},
		Groups: []report.Group{{State: "MAINTENANCE", WhyNot: long, Services: []string{long}, Evidence: "operator", Term: 1 << 31}},
	}
	box := boxView{name: "fw1", power: true, pid: 1, fresh: true, snap: snap}
	return scene{
		mode: "silence", profile: "default", cables: cablesText(true, true, true), boxes: [2]boxView{box, box},
		strip: make([]bool, 10_000), vip: "10.77.1.1", answering: "fw1", both: time.Hour, asked: 1 << 30,
		services: []string{"dnsmasq"}, visit: visit{err: long}, last: [2]string{long, long},
		events: []string{long, long, long, long, long, long, long}, keys: handKeys,
	}
}

func TestTheScreenIsNeverLargerThan80x24(t *testing.T) {
	for _, s := range []scene{crowded(), {keys: handKeys}} {
		lines := compose(s)
		if len(lines) != rows {
			t.Errorf("%d lines, want %d", len(lines), rows)
		}
		for i, l := range lines {
			if visible(l) > columns {
				t.Errorf("line %d has %d columns: %q", i+1, visible(l), l)
			}
		}
		if lines[rows-1] != handKeys[1] {
			t.Errorf("the last line is %q, want the keys", lines[rows-1])
		}
	}
}

func TestBothActiveIsShownAsItIs(t *testing.T) {
	s := scene{both: 7 * time.Millisecond, asked: 100}
	if text := strings.Join(clientLines(s), "\n"); !strings.Contains(text, "BOTH ACTIVE: 7 ms") {
		t.Errorf("not shown in %q", text)
	}
}

func TestTheStripShowsLossPerColumn(t *testing.T) {
	probes := make([]bool, 0, 3*stripEach)
	for i := range 3 * stripEach {
		probes = append(probes, i < stripEach+1) // all, one, none
	}
	text := stripText(probes)
	for _, colour := range []string{good, odd, bad, plain} {
		text = strings.ReplaceAll(text, colour, "")
	}
	if want := strings.Repeat(" ", stripWidth-3) + "#+."; text != want {
		t.Errorf("strip %q, want %q", text, want)
	}
}

func TestALowTerminalKeepsTheKeys(t *testing.T) {
	lines := compose(crowded())
	for _, height := range []int{0, 1, 2, 3, 10, 24, 50} {
		out := fit(lines, height)
		if len(out) > max(height, 0) {
			t.Errorf("%d lines for a terminal of %d", len(out), height)
		}
		if height > keyLines && out[len(out)-1] != handKeys[1] {
			t.Errorf("height %d: the last line is %q", height, out[len(out)-1])
		}
	}
}

func TestTheTourFailsWhenBothWereActive(t *testing.T) {
	for name, c := range map[string]struct {
		both        time.Duration
		interrupted bool
		steps       []step
		want        int
	}{
		"well":                    {steps: []step{{}}, want: exitWell},
		"both active":             {both: time.Millisecond, steps: []step{{}}, want: exitFailed},
		"both active, then q":     {both: time.Millisecond, interrupted: true, want: exitFailed},
		"did not become whole":    {steps: []step{{}, {lacks: "client: no answer to ping"}}, want: exitFailed},
		"interrupted":             {interrupted: true, want: exitInterrupted},
		"interrupted, not whole ": {interrupted: true, steps: []step{{lacks: "alarm"}}, want: exitFailed},
	} {
		if code, words := verdict(c.both, c.interrupted, c.steps); code != c.want {
			t.Errorf("%s: exit %d (%s), want %d", name, code, words, c.want)
		}
	}
}

func TestEveryKeyIsOnTheScreenAndTheTourPlaysEveryFault(t *testing.T) {
	keys := strings.Join(handKeys, " ")
	for _, f := range faults {
		if !strings.Contains(keys, " "+string(f.key)+" ") {
			t.Errorf("key %c (%s) is not shown", f.key, f.name)
		}
	}
	if n := len(tourFaults()); n != 8 {
		t.Errorf("the tour has %d faults, want 8", n)
	}
}

func TestAPageIsLostFromTheFirstBadVisitToTheNextGoodOne(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	visits := []*visit{
		{at: at(-50), done: true, err: "before"},
		{at: at(0), done: true},
		{at: at(25), done: true, err: "refused"},
		{at: at(50), done: true, err: "timeout"},
		{at: at(75), done: true},
		{at: at(100), done: true, err: "refused"},
		{at: at(125), done: true},
		{at: at(150)}, // under way
	}
	if got := longestRun(visits, began, at(200)); got != 50*time.Millisecond {
		t.Errorf("lost for %v, want 50ms", got)
	}
	if got := longestRun(visits[:6], at(60), at(400)); got != 300*time.Millisecond {
		t.Errorf("still lost for %v, want 300ms", got)
	}
}
