package report

import (
	"slices"
	"strings"
	"testing"
)

func TestThePeerTellsWhatTheBoxCannot(t *testing.T) {
	bare := Ending{AgoMS: 60_000}
	up := Ending{AgoMS: 60_000, Lines: true}
	fell := Ending{AgoMS: 60_000, Lines: true, Fell: true, FellMS: 50, DownMS: 34_000}
	late := Ending{AgoMS: 60_000, Lines: true, Fell: true, FellMS: 12_000, DownMS: 20_000}
	off := Ending{AgoMS: 60_000, Off: true, Grade: "off, relay and load"}
	offAfter := fell
	offAfter.Off, offAfter.OffLater, offAfter.Grade = true, true, "off, relay claim only"
	offFell := late
	offFell.Off = true
	unknown := Traces{Kick: &Kick{State: "fed"}}
	for _, c := range []struct {
		name   string
		traces Traces
		saw    Ending
		cause  string
		text   string // part of what is shown
	}{
		{"no lines", unknown, bare, CauseUnknown, "fw2 heard it last 40.0 s before this kernel began, has no modem lines to tell more"},
		{"fell at once", unknown, fell, CauseSudden, "lost its power, or was reset at once: fw2 saw"},
		{"fell at once, as evidence", unknown, fell, CauseSudden, "fw2 heard it last 40.0 s before this kernel began, saw its modem lines fall 50 ms after that, for 34.0 s)"},
		{"fell late", unknown, late, CauseHang, "power on for 12.0 s, then"},
		{"fell a second after", unknown, Ending{AgoMS: 60_000, Lines: true, Fell: true, FellMS: 1000}, CauseSudden, ""},
		{"stayed up", unknown, up, CauseReset, "kept its power: fw2 saw its modem lines up all the time"},
		{"switched off", unknown, off, CauseFenced, "fw2 switched this box off: off, relay and load"},
		{"switched off, then the lines fell", unknown, offFell, CauseFenced, "fw2 switched this box off: proven"},
		{"fell at once, switched off later", unknown, offAfter, CauseSudden, "proved it off after that"},

		{"announced, and proven", Traces{FencedBy: "fw2"}, off, CauseFenced, "fw2 switched this box off: off, relay and load"},
		{"announced, and not proven", Traces{FencedBy: "fw2"}, fell, CauseFenced, "had said"},
		{"power by the board, of a proven fence", Traces{PowerOn: "regular power-up"}, off, CauseFenced, "board: regular power-up"},
		{"power by the board", Traces{PowerOn: "regular power-up"}, late, CausePower, "fw2 heard"},
		{"the watchdog's own word", Traces{Boot: []string{"CARDRESET"}}, fell, CauseWatchdog, "fw2 heard"},
		{"the watchdog's own word against a fence", Traces{Boot: []string{"CARDRESET"}}, off, CauseWatchdog, "proved it off"},
		{"heat", Traces{Boot: []string{"OVERHEAT"}}, fell, CauseHardware, "fw2 heard"},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := JudgeReset(c.traces)
			before := slices.Clone(own.Evidence)
			r := own
			named := r.Hear(&c.saw, "fw2", 20_000, 1000)
			if named != (r.Text != own.Text) {
				t.Errorf("named %v: %s", named, r)
			}
			if r.Cause != c.cause || !strings.Contains(r.String(), c.text) || len(r.Evidence) != len(before)+1 {
				t.Errorf("got %s", r)
			}
			if !slices.Equal(own.Evidence, before) {
				t.Errorf("the own word became %s", own)
			}
		})
	}
	for name, own := range map[string]Traces{"first": {First: true}, "agent restarted": {SameBoot: true, Clean: true}, "agent killed": {SameBoot: true}, "reboot": {Clean: true}} {
		r := JudgeReset(own)
		if was := r.String(); r.Hear(&off, "fw2", 0, 1000) || r.String() != was {
			t.Errorf("%s: the peer made it %s", name, r)
		}
	}
}
