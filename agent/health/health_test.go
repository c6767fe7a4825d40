package health

import (
	"strings"
	"testing"
	"time"
)

func TestBoardSumsVotes(t *testing.T) {
	var b Board
	if s := b.State(); s.Score != Full || s.Critical || s.Reason != "" || s.Left != 0 {
		t.Errorf("a board without votes: %+v", s)
	}
	b.Set(Vote{Source: "monitor lan", Loss: 30, Reason: "eth0 has no carrier"})
	b.Set(Vote{Source: "sensor cpu", Loss: 40, Reason: "CPU 88 C", Left: time.Hour})
	b.Set(Vote{Source: "sensor fan", Loss: 5, Reason: "fan slow", Left: time.Minute})
	if s := b.State(); s.Score != 25 || s.Left != time.Minute || s.Reason != "CPU 88 C (and 2 more)" {
		t.Errorf("three votes: %+v", s)
	}
	b.Set(Vote{Source: "sensor fan", Loss: 1, Critical: true, Reason: "fan stands"})
	if s := b.State(); !s.Critical || s.Score != CriticalScore-1 || !strings.HasPrefix(s.Reason, "fan stands") {
		t.Errorf("a critical vote of one point: %+v", s)
	}
	if v := b.Votes(); len(v) != 3 || v[0].Source != "sensor fan" || v[1].Source != "sensor cpu" {
		t.Errorf("the gravest come first: %+v", v)
	}
	for _, s := range []string{"monitor lan", "sensor cpu", "sensor fan", "never voted"} {
		if !b.Set(Vote{Source: s}) {
			t.Errorf("%s could not withdraw", s)
		}
	}
	if s := b.State(); s.Score != Full || s.Critical {
		t.Errorf("all withdrawn: %+v", s)
	}
}

func TestBoardIsBounded(t *testing.T) {
	var b Board
	for i := range MaxVotes {
		if !b.Set(Vote{Source: "s" + strings.Repeat("x", i), Loss: 200}) {
			t.Fatalf("vote %d refused", i)
		}
	}
	if b.Set(Vote{Source: "one more", Loss: 1}) || b.Set(Vote{Loss: 1}) {
		t.Error("a vote too many, or nobody's, was taken")
	}
	if s := b.State(); s.Score != 0 {
		t.Errorf("score %d below the scale", s.Score)
	}
	if !b.Set(Vote{Source: "s", Loss: 1}) {
		t.Error("a full board refuses a source that it knows")
	}
}

func TestHeartbeatByte(t *testing.T) {
	for score := 0; score <= Full; score++ {
		if got, ok := Score(Byte(score)); !ok || got != score {
			t.Errorf("%d travels as %d, %v", score, got, ok)
		}
	}
	for _, b := range []uint8{0, Full + 2, 255} {
		if _, ok := Score(b); ok {
			t.Errorf("%d says something", b)
		}
	}
}

// comparison is one step of a judge.
type comparison struct {
	at        time.Duration
	own, peer int
	critical  bool
	silent    bool // the peer is not known
	moved     bool // a move follows
	want      Verdict
	urgent    bool
	spent     bool
}

func TestJudge(t *testing.T) {
	c := Config{Margin: 20, Hold: 10 * time.Second, PerDay: 2}
	s := time.Second
	for name, steps := range map[string][]comparison{
		"equal": {{own: 100, peer: 100}, {at: s, own: 40, peer: 40}, {at: time.Hour, own: 0, peer: 0}},
		"below the margin": {
			{own: 81, peer: 100},
			{at: time.Hour, own: 81, peer: 100},
		},
		"after the hold": {
			{own: 80, peer: 100},
			{at: 9 * s, own: 80, peer: 100},
			{at: 10 * s, own: 80, peer: 100, want: PeerHealthier},
			{at: 11 * s, own: 90, peer: 100, want: PeerHealthier},
			{at: 12 * s, own: 91, peer: 100},
		},
		"a difference that comes and goes does not add up": {
			{own: 50, peer: 100},
			{at: 9 * s, own: 50, peer: 100},
			{at: 9500 * time.Millisecond, own: 100, peer: 100},
			{at: 10 * s, own: 50, peer: 100},
			{at: 19 * s, own: 50, peer: 100},
			{at: 20 * s, own: 50, peer: 100, want: PeerHealthier},
		},
		"sicker at once, and until half the margin": {
			{own: 100, peer: 80, want: PeerSicker},
			{at: s, own: 100, peer: 90, want: PeerSicker},
			{at: 2 * s, own: 100, peer: 91},
		},
		"critical does not wait": {{own: 5, critical: true, peer: 100, want: PeerHealthier, urgent: true}},
		"critical on both": {
			{own: 5, critical: true, peer: 9},
			{at: time.Hour, own: 5, critical: true, peer: 9},
		},
		"critical here, the peer nearly so": {
			{own: 5, critical: true, peer: 12},
			{at: time.Hour, own: 5, critical: true, peer: 12},
		},
		"a peer that is silent or does not say": {
			{own: 10, peer: 100, silent: true},
			{at: time.Hour, own: 10, peer: 100, silent: true},
			{at: 2 * time.Hour, own: 100, peer: 0, silent: true},
			{at: 3 * time.Hour, own: 10, peer: 100}, // and its return starts the hold
		},
		"a node that has been about to fail for long waits": {
			{own: 5, critical: true, peer: 5},
			{at: time.Minute, own: 5, critical: true, peer: 60},
			{at: time.Minute + 9*s, own: 5, critical: true, peer: 60},
			{at: time.Minute + 10*s, own: 5, critical: true, peer: 60, want: PeerHealthier, urgent: true},
			{at: time.Minute + 11*s, own: 5, critical: true, peer: 5},
			{at: time.Minute + 12*s, own: 5, critical: true, peer: 60},
		},
		"urgency does not end while the trouble lasts": {
			{own: 5, critical: true, peer: 60, want: PeerHealthier, urgent: true},
			{at: time.Hour, own: 5, critical: true, peer: 60, want: PeerHealthier, urgent: true},
			{at: time.Hour + s, own: 40, peer: 60, want: PeerHealthier},
			{at: time.Hour + 2*s, own: 5, critical: true, peer: 60, want: PeerHealthier, urgent: true},
		},
		"what recovered for a moment was not about to fail for long": {
			{own: 5, critical: true, peer: 5},
			{at: time.Minute, own: 40, peer: 40},
			{at: time.Minute + s, own: 5, critical: true, peer: 40, want: PeerHealthier, urgent: true},
		},
		"the budget of a day": {
			{own: 10, peer: 100},
			{at: 10 * s, own: 10, peer: 100, want: PeerHealthier, moved: true},
			{at: 11 * s, own: 100, peer: 100},
			{at: 20 * s, own: 10, peer: 100},
			{at: 30 * s, own: 10, peer: 100, want: PeerHealthier, moved: true},
			{at: 31 * s, own: 100, peer: 100},
			{at: 40 * s, own: 20, peer: 100},
			{at: 50 * s, own: 20, peer: 100, spent: true},
			{at: 51 * s, own: 5, critical: true, peer: 100, want: PeerHealthier, urgent: true},
			{at: 52 * s, own: 20, peer: 100, spent: true},
			{at: 24*time.Hour + 10*s, own: 20, peer: 100, want: PeerHealthier},
		},
	} {
		j := NewJudge(c)
		var last Decision
		for i, x := range steps {
			d, changed := j.Step(x.at, State{Score: x.own, Critical: x.critical, Reason: "fan stands"}, x.peer, !x.silent)
			if d.Verdict != x.want || d.Urgent != x.urgent || d.Spent != x.spent {
				t.Errorf("%s: step %d: %v urgent %v spent %v; want %v %v %v", name, i, d.Verdict, d.Urgent, d.Spent, x.want, x.urgent, x.spent)
			}
			if changed != (d.Verdict != last.Verdict || d.Urgent != last.Urgent || d.Spent != last.Spent) {
				t.Errorf("%s: step %d: changed %v from %+v to %+v", name, i, changed, last, d)
			}
			if (d.Why == "") != (d.Verdict == Even && !d.Spent) {
				t.Errorf("%s: step %d: %v because %q", name, i, d.Verdict, d.Why)
			}
			if x.moved {
				j.Moved(x.at)
			}
			last = d
		}
	}
}

func TestOneVerdictIsOneMove(t *testing.T) {
	j := NewJudge(Config{Margin: 20, PerDay: 2})
	j.Moved(0) // of another cause
	step := func(own int) Decision {
		d, _ := j.Step(time.Second, State{Score: own}, 100, true)
		return d
	}
	for i := range 2 {
		if d := step(50); d.Verdict != PeerHealthier {
			t.Fatalf("move %d: %+v", i, d)
		}
		for range 4 { // groups
			j.Moved(time.Second)
		}
		step(100)
	}
	if d := step(50); !d.Spent {
		t.Errorf("two moves are used up: %+v", d)
	}
}
