package report

import (
	"strings"
	"testing"
	"time"
)

func TestJudgeReset(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	fed := &Kick{At: at, State: "fed", Dump: "dump-1"}
	starved := &Kick{At: at, State: "starved", Stale: []string{"journal has not come back for 11s"}}
	for _, c := range []struct {
		name   string
		traces Traces
		cause  string
		text   string // part of what is shown
	}{
		{"first", Traces{First: true}, CauseFirst, ""},
		{"first, with an old dump", Traces{First: true, Dump: "dump-0"}, CauseFirst, "of an unknown time"},
		{"first, but the device remembers", Traces{First: true, Boot: []string{"CARDRESET"}}, CauseWatchdog, ""},
		{"agent restarted in order", Traces{SameBoot: true, Clean: true}, CauseRestart, ""},
		{"agent killed", Traces{SameBoot: true, Kick: fed}, CauseCrash, ""},
		{"a bit of the boot before is not the agent's end", Traces{SameBoot: true, Boot: []string{"CARDRESET"}, Kick: fed}, CauseCrash, "CARDRESET"},
		{"the box's cause is kept for this boot", Traces{SameBoot: true, Kick: &Kick{At: at, State: "fed", Reset: "fenced"}}, CauseCrash, "this boot: fenced"},
		{"watchdog, hung", Traces{Boot: []string{"CARDRESET"}, Kick: fed}, CauseWatchdog, "nobody fed it"},
		{"watchdog, starved", Traces{Boot: []string{"CARDRESET"}, Kick: starved}, CauseWatchdog, "as the agent wanted: journal"},
		{"watchdog, though a fence was announced", Traces{Boot: []string{"CARDRESET"}, FencedBy: "fw2"}, CauseWatchdog, "fence notice of fw2"},
		{"watchdog without a boot status, starved", Traces{Kick: starved}, CauseWatchdog, "the agent had let"},
		{"watchdog by the board's word", Traces{PowerOn: "watchdog timeout"}, CauseWatchdog, "board"},
		{"panic", Traces{Dump: "dump-2", DumpAt: at.Add(time.Minute), Kick: fed}, CausePanic, "dump-2"},
		{"panic, then the watchdog", Traces{Dump: "dump-2", DumpAt: at.Add(time.Minute), Kick: fed, Boot: []string{"CARDRESET"}}, CausePanic, "CARDRESET"},
		{"an old dump proves nothing", Traces{Dump: "dump-1", Kick: fed}, CauseUnknown, ""},
		{"an old dump that was moved proves nothing", Traces{Dump: "dump-1b", DumpAt: at.Add(-time.Minute), Kick: fed}, CauseUnknown, ""},
		{"a dump of an unknown time proves nothing", Traces{Dump: "dump-1"}, CauseUnknown, "of an unknown time"},
		{"fenced", Traces{FencedBy: "fw2", Kick: fed}, CauseFenced, "fw2 had said"},
		{"fenced before it could end in order", Traces{FencedBy: "fw2", Clean: true}, CauseReboot, ""},
		{"starved, then stopped in order", Traces{Clean: true, Kick: starved}, CauseReboot, ""},
		{"reboot", Traces{Clean: true, Kick: fed}, CauseReboot, ""},
		{"power, by the board", Traces{PowerOn: "regular power-up", Kick: fed}, CausePower, ""},
		{"power, by the watchdog", Traces{Boot: []string{"POWERUNDER"}}, CausePower, ""},
		{"switched off after an orderly end", Traces{PowerOn: "regular power-up", Clean: true}, CauseReboot, ""},
		{"another word of the board proves nothing", Traces{PowerOn: "software reset", Kick: fed}, CauseUnknown, "software reset"},
		{"heat", Traces{Boot: []string{"OVERHEAT"}}, CauseHardware, "hot"},
		{"fan", Traces{Boot: []string{"FANFAULT"}}, CauseHardware, "fan"},
		{"nothing on record", Traces{}, CauseUnknown, "nothing on record"},
		{"a watchdog that would say so", Traces{Kick: fed, Denied: true}, CauseUnknown, "names no reset, as it did once"},
		{"a watchdog has nothing to say of an agent", Traces{SameBoot: true, Kick: fed, Denied: true}, CauseCrash, "(watchdog fed at"},
		{"only the newest feed", Traces{Kick: fed}, CauseUnknown, "watchdog fed at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := JudgeReset(c.traces)
			if r.Cause != c.cause || r.Text == "" || !strings.Contains(r.String(), c.text) {
				t.Errorf("got %s", r)
			}
		})
	}
}

func TestRenderWatchdog(t *testing.T) {
	fed := 40.0
	for _, c := range []struct {
		name string
		w    *Watchdog
		r    *Reset
		want []string
	}{
		{"an agent that does not say", nil, nil, nil},
		{"none", &Watchdog{State: "none"}, nil, []string{"WATCHDOG     none configured"}},
		{"missing", &Watchdog{State: "missing", Error: "open /dev/watchdog: busy"}, nil, []string{"NOT OPEN: open /dev/watchdog: busy"}},
		{"starting", &Watchdog{State: "starting"}, nil, []string{"armed, with time for the start"}},
		{
			"fed", &Watchdog{State: "fed", FedMS: &fed, Feeds: 7, LeftOut: []string{"journal"}, Devices: []WatchdogDev{{
				Path: "/dev/watchdog", Identity: "Software Watchdog", TimeoutMS: 5000, NoWayOut: "no", Pretimeout: 2000, Governor: "panic", Running: true, Warnings: []string{"dies"},
			}}},
			&Reset{Cause: CauseUnknown, Text: "who knows", Evidence: []string{"a", "b"}},
			[]string{
				"fed 40 ms ago, 7 times", "/dev/watchdog (Software Watchdog), timeout 5.0 s, nowayout no; pretimeout 2.0 s",
				"was armed before it was opened; dies", "not judged journal: never worked", "STARTED      unknown: who knows (a; b)",
			},
		},
		{"starved", &Watchdog{State: "starved", Stale: []string{"lease has done nothing for 10s"}}, nil, []string{"STARVED", "stale    lease has done nothing for 10s"}},
		{"disarmed", &Watchdog{State: "disarmed"}, nil, []string{"DISARMED"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Render(Snapshot{Watchdog: c.w, LastReset: c.r}, 0)
			flat := strings.Join(strings.Fields(got), " ")
			for _, want := range c.want {
				if !strings.Contains(flat, strings.Join(strings.Fields(want), " ")) {
					t.Errorf("lacks %q:\n%s", want, got)
				}
			}
			if c.want == nil && (strings.Contains(got, "WATCHDOG") || strings.Contains(got, "STARTED")) {
				t.Error(got)
			}
		})
	}
}

func TestWatchdogText(t *testing.T) {
	age := 40.0
	got := WatchdogText(&Watchdog{State: "fed", FedMS: &age, Tokens: []TokenView{
		{Name: "lease", AgeMS: &age, LimitMS: 10_050}, {Name: "journal", LimitMS: 70_000},
	}}, nil)
	for _, want := range []string{"  lease                        40 ms ago of 10.1 s\n", "  journal                      not yet of 70.0 s\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if got := WatchdogText(nil, nil); got != "" {
		t.Errorf("nothing is known, but: %s", got)
	}
}
