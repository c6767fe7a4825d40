package report

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func news() []Event {
	return []Event{
		{Seq: 1, At: at.Add(-26 * time.Hour), Kind: "agent", Done: "started 0.1.0"},
		{Seq: 2, At: at.Add(-2 * time.Hour), Kind: "role", Group: "gateway", From: "ARMED", To: "ACTIVE", Seen: "fw2 silent for 412 ms", Decided: "take over", Done: "gate open"},
		{Seq: 3, At: at.Add(-time.Minute), Kind: "alarm", Seen: "fw1 has \x1b[2J9a3f00c1", Decided: "raise config-differs"},
	}
}

// large is a pair that has more to show than fits.
func large() Snapshot {
	s := sick()
	for i := range 8 {
		g := s.Groups[0]
		g.Name = fmt.Sprintf("group-with-a-rather-long-name-%d", i)
		s.Groups = append(s.Groups, g)
		s.Alarms = append(s.Alarms, Alarm{Name: fmt.Sprintf("alarm-%d", i), Text: "all is wrong here, and far more than fits on the line of a console of eighty columns", Since: at})
	}
	return s
}

func TestScreen(t *testing.T) {
	now := at.Add(5 * time.Second)
	w, s, l := well(), sick(), large()
	w.Watchdog = &Watchdog{State: "fed"}
	w.Self.Health, w.Peer.Health = &Health{Score: 100}, &Health{Score: 100}
	l.Peer.Health = &Health{Score: 20, Critical: true, LeftSec: 600}
	l.Self.Health = &Health{Score: 60, Votes: []HealthVote{{Source: "monitor/lan", Loss: 30, Reason: "no carrier on eth0"}, {Source: "sensor/cpu", Loss: 10, Reason: "83 degrees"}}}
	s.Watchdog = &Watchdog{State: "starved", Stale: []string{"journal has not come back for 11s"}}
	for _, c := range []struct {
		name          string
		view          Watching
		width, height int
	}{
		{"screen_well", Watching{Snapshot: &w, Events: news(), Now: now}, 80, 23},
		{"screen_sick", Watching{Snapshot: &s, Events: news(), Now: now}, 80, 23},
		{"screen_large", Watching{Snapshot: &l, Events: news(), Now: now}, 80, 23},
		{"screen_small", Watching{Snapshot: &s, Events: news(), Now: now}, 60, 14},
		{"screen_silent", Watching{Snapshot: &w, Events: news(), Now: now, SilentSince: at, Why: "nobody serves /run/twinbeat.sock"}, 80, 23},
		{"screen_never", Watching{Now: now, SilentSince: at, Why: "no socket /run/twinbeat.sock"}, 80, 23},
	} {
		t.Run(c.name, func(t *testing.T) {
			golden(t, c.name+".txt", strings.Join(Screen(c.view, c.width, c.height), "\n")+"\n")
		})
	}
}

func TestScreenFitsEverySize(t *testing.T) {
	l := large()
	for _, s := range []*Snapshot{nil, {}, &l} {
		for width := 60; width <= 132; width += 9 {
			for height := 1; height < 60; height++ {
				lines := Screen(Watching{Snapshot: s, Events: news(), Now: at, SilentSince: at, Why: strings.Repeat("why ", 60)}, width, height)
				if len(lines) > height {
					t.Fatalf("%d lines on %d", len(lines), height)
				}
				for _, line := range lines {
					if n := utf8.RuneCountInString(line); n > width || line != Clean(line) {
						t.Fatalf("%d columns on %d: %q", n, width, line)
					}
				}
			}
		}
	}
}

// A view in which only ages below a second differ does not change.
func TestScreenIsCalm(t *testing.T) {
	a, b := well(), well()
	b.Peer.HeardAgoMS, b.Peer.AckAgoMS, b.Links[0].HeardAgoMS, b.Groups[0].LeaseLeftMS, b.AgeMS = ms(44), ms(7), ms(48), 212, 40
	now := at.Add(time.Second)
	if sent := Redraw(Screen(Watching{Snapshot: &a, Now: now}, 80, 23), Screen(Watching{Snapshot: &b, Now: now}, 80, 23)); sent != "" {
		t.Errorf("it sends %q", sent)
	}
}

// A vt100 is the part of that terminal which Redraw may rely on: the cursor
// stays on the last column until a further character comes.
type vt100 struct {
	rows     [24][80]rune
	row, col int
}

func (v *vt100) write(t *testing.T, s string) {
	t.Helper()
	for s != "" {
		var row, n int
		switch {
		case strings.HasPrefix(s, "\x1b[H"):
			v.row, v.col, n = 0, 0, 3
		case strings.HasPrefix(s, "\x1b[J"):
			v.rows, n = [24][80]rune{}, 3
		case strings.HasPrefix(s, "\x1b[K"):
			clear(v.rows[v.row][min(v.col, 79):])
			n = 3
		case strings.HasPrefix(s, "\x1b["):
			if _, err := fmt.Sscanf(s, "\x1b[%d;1H", &row); err != nil || row < 1 || row > 24 {
				t.Fatalf("no VT100 understands %q: %v", s, err)
			}
			v.row, v.col, n = row-1, 0, strings.IndexByte(s, 'H')+1
		default:
			r, size := utf8.DecodeRuneInString(s)
			if v.col > 79 || r < ' ' {
				t.Fatalf("%q in column %d of row %d", r, v.col, v.row)
			}
			v.rows[v.row][v.col] = r
			v.col, n = v.col+1, size
		}
		s = s[n:]
	}
}

func (v *vt100) lines() string {
	var out []string
	for _, row := range v.rows {
		out = append(out, strings.TrimRight(strings.ReplaceAll(string(row[:]), "\x00", " "), " "))
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

func TestRedrawShowsTheNewScreenWhateverWasThere(t *testing.T) {
	w, s, l := well(), sick(), large()
	full := strings.Repeat("x", 80)
	views := [][]string{
		Screen(Watching{Snapshot: &w, Events: news(), Now: at}, 80, 23),
		{full, full[:79], full},
		{full[:79], full, ""},
		Screen(Watching{Snapshot: &l, Events: news(), Now: at}, 80, 23),
		{},
		Screen(Watching{Snapshot: &s, Now: at}, 80, 23),
		{"a", "", "c"},
		{"a", "b", "c"},
	}
	var term vt100
	term.write(t, "what was there before")
	var prev []string
	for i, next := range views {
		term.write(t, Redraw(prev, next))
		want := strings.TrimRight(strings.Join(next, "\n"), "\n")
		if got := term.lines(); got != want {
			t.Fatalf("view %d:\n%s\nwant\n%s", i, got, want)
		}
		prev = next
	}
	if sent := Redraw([]string{"a", "b", "c"}, []string{"a", "B", "c"}); sent != "\x1b[2;1HB\x1b[4;1H" {
		t.Errorf("one changed line sends %q", sent)
	}
}

// What a peer said before it died is not what it does now.
func TestADeadPeerOwnsNothing(t *testing.T) {
	s := well()
	s.Groups[0].PeerState = "ACTIVE"
	if got := strings.Join(Reasons(s), "; "); !strings.Contains(got, "BOTH nodes say they own it") {
		t.Errorf("two owners: %s", got)
	}
	s.Peer.Alive, s.Peer.TwoWay = false, false
	if got := strings.Join(Reasons(s), "; "); strings.Contains(got, "BOTH") || !strings.Contains(got, "not alive") {
		t.Errorf("a dead peer: %s", got)
	}
}
