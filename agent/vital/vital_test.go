package vital

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// A deed is one call on the guard at its instant.
type deed struct {
	at   time.Duration
	what string // begin, done, end, paused, judge
	id   int
	gap  time.Duration
	want Stage // of judge
}

func TestJudge(t *testing.T) {
	beat := Source{Token: Machine, Every: 50 * ms, Takes: 3 * s}
	disk := Source{Token: Journal, Every: 60 * s, Takes: 10 * s}
	check := Source{Token: Health, Name: "dns", Takes: 5 * s}
	for _, c := range []struct {
		name    string
		sources []Source
		deeds   []deed
		stale   []string
		left    []string
	}{
		{"nothing to prove", nil, []deed{{at: s, what: "judge", want: Well}}, nil, nil},
		{"starts when all have worked", []Source{beat, disk}, []deed{
			{at: 1 * s, what: "done"},
			{at: 1 * s, what: "judge", want: Starting},
			{at: 2 * s, what: "done", id: 1},
			{at: 2 * s, what: "judge", want: Well},
		}, nil, nil},
		{"at the limit it is fresh", []Source{beat}, []deed{
			{at: 1 * s, what: "done"},
			{at: 4*s + 50*ms, what: "judge", want: Well},
		}, nil, nil},
		{"beyond the limit it is stale", []Source{beat}, []deed{
			{at: 1 * s, what: "done"},
			{at: 4*s + 51*ms, what: "judge", want: Failed},
		}, []string{"machine has done nothing for 3.051s"}, nil},
		{"once failed, failed for ever", []Source{beat}, []deed{
			{at: 1 * s, what: "done"},
			{at: 5 * s, what: "judge", want: Failed},
			{at: 5 * s, what: "done"},
			{at: 5 * s, what: "judge", want: Failed},
		}, []string{"machine has done nothing for 4s"}, nil},
		{"what hangs is stale before its next turn was due", []Source{disk}, []deed{
			{at: 1 * s, what: "done"},
			{at: 2 * s, what: "begin"},
			{at: 12 * s, what: "judge", want: Well},
			{at: 13 * s, what: "judge", want: Failed},
		}, []string{"journal has not come back for 11s"}, nil},
		{"what hangs from the start is stale, too", []Source{disk}, []deed{
			{at: 1 * s, what: "begin"},
			{at: 12 * s, what: "judge", want: Failed},
		}, []string{"journal has not come back for 11s"}, nil},
		{"an end without success is no proof", []Source{disk}, []deed{
			{at: 1 * s, what: "done"},
			{at: 30 * s, what: "begin"},
			{at: 31 * s, what: "end"},
			{at: 71 * s, what: "judge", want: Well},
			{at: 72 * s, what: "judge", want: Failed},
		}, []string{"journal has done nothing for 1m11s"}, nil},
		{"what never worked is left out", []Source{beat, disk}, []deed{
			{at: 29 * s, what: "done"},
			{at: 30 * s, what: "judge", want: Starting},
			{at: 31 * s, what: "done"},
			{at: 32 * s, what: "judge", want: Well},
			{at: 500 * s, what: "done"},
			{at: 500 * s, what: "judge", want: Well},
		}, nil, []string{"journal"}},
		{"what was left out counts once it worked", []Source{disk}, []deed{
			{at: 40 * s, what: "judge", want: Well},
			{at: 41 * s, what: "done"},
			{at: 112 * s, what: "judge", want: Failed},
		}, []string{"journal has done nothing for 1m11s"}, nil},
		{"without a schedule only a hang is stale", []Source{check}, []deed{
			{at: 1 * s, what: "judge", want: Well},
			{at: 900 * s, what: "judge", want: Well},
			{at: 900 * s, what: "begin"},
			{at: 905 * s, what: "judge", want: Well},
			{at: 906 * s, what: "judge", want: Failed},
		}, []string{"health dns has not come back for 6s"}, nil},
		{"a pause of the process is nobody's fault", []Source{beat, check}, []deed{
			{at: 1 * s, what: "done"},
			{at: 1 * s, what: "begin", id: 1},
			{at: 21 * s, what: "paused", gap: 20 * s},
			{at: 22 * s, what: "judge", want: Well},
			{at: 25 * s, what: "judge", want: Failed},
		}, []string{"machine has done nothing for 4s"}, nil},
		{"a pause does not reach into the future", []Source{beat}, []deed{
			{at: 9 * s, what: "done"},
			{at: 10 * s, what: "paused", gap: 20 * s},
			{at: 14 * s, what: "judge", want: Failed},
		}, []string{"machine has done nothing for 4s"}, nil},
		{"pauses without end are no excuse", []Source{beat}, slices.Concat(
			[]deed{{at: 1 * s, what: "done"}},
			slices.Repeat([]deed{{at: 2 * s, what: "paused", gap: 100 * ms}}, 50),
			[]deed{{at: 5 * s, what: "judge", want: Failed}},
		), []string{"machine has done nothing for 3.2s"}, nil},
		{"all that is stale is named", []Source{beat, disk, check}, []deed{
			{at: 1 * s, what: "done"},
			{at: 1 * s, what: "done", id: 1},
			{at: 80 * s, what: "begin", id: 2},
			{at: 90 * s, what: "judge", want: Failed},
		}, []string{"machine has done nothing for 1m29s", "journal has done nothing for 1m29s", "health dns has not come back for 10s"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := New(1, 30*s, c.sources)
			for _, d := range c.deeds {
				switch d.what {
				case "begin":
					g.Begin(d.id, d.at)
				case "done":
					g.Done(d.id, d.at)
				case "end":
					g.End(d.id)
				case "paused":
					g.Paused(d.at, d.gap)
				case "judge":
					if got := g.Judge(d.at); got != d.want {
						t.Fatalf("at %v: %v, want %v (%v)", d.at, got, d.want, g.Stale())
					}
				}
			}
			if diff := cmp.Diff(c.stale, g.Stale()); diff != "" {
				t.Errorf("stale (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.left, g.LeftOut()); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJudgeDoesNotAllocateWhileAllIsWell(t *testing.T) {
	g := New(1, s, []Source{{Token: Machine, Every: s, Takes: s}, {Token: Lease, Every: s, Takes: s}})
	g.Done(0, s)
	g.Done(1, s)
	if n := testing.AllocsPerRun(100, func() { g.Judge(s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAges(t *testing.T) {
	g := New(1, s, []Source{{Token: Multicast, Name: "eth2", Every: s, Takes: 2 * s}, {Token: Netlink, Every: s, Takes: s}})
	g.Done(0, 4*s)
	want := []Age{{"multicast eth2", 2 * s, 3 * s}, {"netlink", -1, 2 * s}}
	if diff := cmp.Diff(want, g.Ages(6*s)); diff != "" {
		t.Errorf("ages (-want +got):\n%s", diff)
	}
}
