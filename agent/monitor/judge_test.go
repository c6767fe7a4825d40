package monitor

import (
	"strings"
	"testing"
	"time"
)

func TestLooksInARowMakeAState(t *testing.T) {
	for _, tt := range []struct {
		name       string
		rise, fall int
		looks      string // +, -, ?
		want       string // after each look: s up, u starting, d down, m missing
	}{
		{"the first good look is enough at the start", 3, 3, "+", "u"},
		{"a start needs as many bad looks as ever", 2, 3, "---", "ssd"},
		{"a good look between starts the count anew", 2, 3, "+--+---", "uuuuuud"},
		{"it rises as it fell, by looks in a row", 2, 2, "+--+-++", "uudddd" + "u"},
		{"rise 1, fall 1 follows each look", 1, 1, "+-+-", "udud"},
		{"what cannot be looked at is unknown, after as many looks", 2, 3, "+???", "uuum"},
		{"unknown and bad do not add up", 2, 2, "+?-?-", "uuuuu"},
		{"down stays down while nobody can look", 2, 2, "+--?????", "uudddddd"},
		{"and rises only by good looks", 2, 2, "--???+?++", "sddddddd" + "u"},
		{"unknown ends by good looks", 2, 2, "??+-++", "smmmmu"},
		{"and by bad ones", 2, 2, "??--", "smmd"},
	} {
		j := Judge{Rise: tt.rise, Fall: tt.fall}
		got := ""
		before := j.State
		for _, c := range tt.looks {
			v := map[rune]Verdict{'+': Good, '-': Bad, '?': Unknown}[c]
			changed := j.See(v)
			if changed != (j.State != before) {
				t.Errorf("%s: %v to %v, changed %v", tt.name, before, j.State, changed)
			}
			before = j.State
			got += string("sudm"[j.State])
		}
		if got != tt.want {
			t.Errorf("%s: %s gives %s, want %s", tt.name, tt.looks, got, tt.want)
		}
	}
}

func TestAnyAndAll(t *testing.T) {
	for _, tt := range []struct{ looks, any, all string }{
		{"", "?", "?"},
		{"+", "+", "+"},
		{"-", "-", "-"},
		{"?", "?", "?"},
		{"+-", "+", "-"},
		{"+?", "+", "?"},
		{"-?", "-", "-"},
		{"+-?", "+", "-"},
		{"--", "-", "-"},
		{"??", "?", "?"},
		{"++", "+", "+"},
	} {
		var looks []Look
		for i, c := range tt.looks {
			looks = append(looks, Look{map[rune]Verdict{'+': Good, '-': Bad, '?': Unknown}[c], string(rune('a'+i)) + string(c)})
		}
		for all, want := range map[bool]string{false: tt.any, true: tt.all} {
			l := Combine(looks, all)
			if got := string("?-+"[l.Verdict]); got != want {
				t.Errorf("%q all=%v: %s, want %s", tt.looks, all, got, want)
			}
			for _, one := range looks {
				if strings.Contains(l.Why, one.Why) != (one.Verdict == l.Verdict) {
					t.Errorf("%q all=%v: reason %q", tt.looks, all, l.Why)
				}
			}
		}
	}
}

func TestDebounce(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		at     time.Duration
		raw    bool
		stable bool
		wait   time.Duration
	}
	for name, steps := range map[string][]step{
		"the first state counts at once":  {{0, false, false, 0}},
		"down must last":                  {{0, true, true, 0}, {10 * ms, false, true, 100 * ms}, {60 * ms, false, true, 50 * ms}, {110 * ms, false, false, 0}},
		"a short gap is none":             {{0, true, true, 0}, {10 * ms, false, true, 100 * ms}, {109 * ms, true, true, 0}, {500 * ms, false, true, 100 * ms}},
		"up must last longer":             {{0, false, false, 0}, {10 * ms, true, false, 1000 * ms}, {1009 * ms, true, false, ms}, {1010 * ms, true, true, 0}},
		"a link that flaps stays down":    {{0, false, false, 0}, {100 * ms, true, false, 1000 * ms}, {900 * ms, false, false, 0}, {1000 * ms, true, false, 1000 * ms}, {1900 * ms, false, false, 0}},
		"a link that flaps fast stays up": {{0, true, true, 0}, {10 * ms, false, true, 100 * ms}, {20 * ms, true, true, 0}, {30 * ms, false, true, 100 * ms}, {120 * ms, true, true, 0}},
	} {
		d := Debounce{Up: 1000 * ms, Down: 100 * ms}
		for i, s := range steps {
			if stable, wait := d.See(s.at, s.raw); stable != s.stable || wait != s.wait {
				t.Errorf("%s, step %d: %v and %v, want %v and %v", name, i, stable, wait, s.stable, s.wait)
			}
		}
	}
	d := Debounce{}
	for i, raw := range []bool{true, false, true} {
		if stable, wait := d.See(0, raw); stable != raw || wait != 0 {
			t.Errorf("without delays, step %d: %v, %v", i, stable, wait)
		}
	}
}

func TestRate(t *testing.T) {
	r := Rate{Over: time.Second}
	for i, s := range []struct {
		at    time.Duration
		count uint64
		want  float64
	}{
		{0, 1000, 0},
		{2 * time.Second, 1010, 5},
		{2500 * time.Millisecond, 5000, 5}, // too soon to tell
		{4 * time.Second, 5010, 2000},
		{5 * time.Second, 5010, 0},
		{6 * time.Second, 3, 0}, // the driver was loaded anew
		{7 * time.Second, 10, 7},
	} {
		if got := r.See(s.at, s.count); got != s.want {
			t.Errorf("reading %d: %v a second, want %v", i, got, s.want)
		}
	}
}

// Errors that come and go about the limit must not move a service to and fro.
func TestErrorsEndWhenTheyWereFewForLong(t *testing.T) {
	m, err := New(Config{Kind: "interface", Interface: "eth0", Interval: time.Second, UpFor: 3 * time.Second, MaxErrors: 100}, nil)
	if err != nil {
		t.Fatal(err)
	}
	count := uint64(0)
	for i, s := range []struct {
		more uint64 // errors within the last second
		want Verdict
		why  string
		wait time.Duration
	}{
		{0, Good, "carries frames", 0},
		{100, Good, "carries frames", 0},
		{101, Bad, "has 101.0 errors a second, more than 100", 0},
		{99, Bad, "99.0 errors a second, not less than half of 100 for 3s yet", 0},
		{101, Bad, "more than 100", 0},
		{50, Bad, "not less than half", 0},
		{49, Bad, "not less than half", 3 * time.Second},
		{0, Bad, "not less than half", 2 * time.Second},
		{60, Bad, "not less than half", 0}, // the time begins anew
		{49, Bad, "not less than half", 3 * time.Second},
		{49, Bad, "not less than half", 2 * time.Second},
		{49, Bad, "not less than half", time.Second},
		{49, Good, "carries frames", 0},
		{100, Good, "carries frames", 0},
		{200, Bad, "more than 100", 0},
	} {
		count += s.more
		l := m.port.errors(time.Duration(i)*time.Second, count)
		if l.Verdict != s.want || !strings.Contains(l.Why, s.why) || m.port.wait != s.wait {
			t.Errorf("second %d: %v %q, wait %v; want %v %q, wait %v", i, l.Verdict, l.Why, m.port.wait, s.want, s.why, s.wait)
		}
	}
}

func TestCountersAreReadByTheirColumns(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
  eth0:100 2 30 4 5 6 7 8 9 10 12 12 13 14 15 16
 eth00: 1 2 9 4 5 6 7 8 9 10 9 12 13 14 15 16
  bad0: 1 2 3
`
	for name, want := range map[string]uint64{"eth0": 42, "lo": 14, "eth00": 18} {
		if got, ok := parseCounters([]byte(text), name); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"eth1", "bad0", "", " face |bytes"} {
		if _, ok := parseCounters([]byte(text), name); ok {
			t.Errorf("%q has counters", name)
		}
	}
}
