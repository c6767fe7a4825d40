package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWatchdog(t *testing.T) {
	usual := Watchdog{
		Device: "/dev/watchdog", Timeout: 5 * time.Second, Handover: time.Minute,
		Patience: 10 * time.Second, JournalEvery: time.Minute, JournalTimeout: 10 * time.Second,
	}
	with := func(change func(*Watchdog)) *Watchdog {
		w := usual
		change(&w)
		return &w
	}
	for _, tt := range []struct {
		name, section string
		want          *Watchdog
	}{
		{"none", "", nil},
		{"defaults", "[watchdog]\n", with(func(*Watchdog) {})},
		{"by node, with a second", "[watchdog]\ndevice = { fw1 = \"/dev/watchdog1\", fw2 = \"/dev/watchdog0\" }\nsecond = { fw1 = \"/dev/watchdog0\", fw2 = \"/dev/watchdog1\" }\nrequired = true\n", with(func(w *Watchdog) {
			w.Device, w.Second, w.Required = "/dev/watchdog1", "/dev/watchdog0", true
		})},
		{"all", "[watchdog]\ntimeout = \"8s\"\npretimeout = \"2s\"\ngovernor = \"panic\"\nhandover = \"2m\"\npatience = \"5s\"\njournal_every = \"30s\"\njournal_timeout = \"3s\"\n", with(func(w *Watchdog) {
			w.Timeout, w.Pretimeout, w.Governor, w.Handover = 8*time.Second, 2*time.Second, "panic", 2*time.Minute
			w.Patience, w.JournalEvery, w.JournalTimeout = 5*time.Second, 30*time.Second, 3*time.Second
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := Parse("t.toml", []byte(base+tt.section), "fw1")
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(tt.want, c.Watchdog); diff != "" {
				t.Errorf("watchdog (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWatchdogsThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"boot_wait", base + "[watchdog]\ntimeout = \"10s\"\n", "11 refused timing.boot_wait: boot_wait 10s is shorter than watchdog timeout 10s + takeover 400ms = 10.42042s with clocks 1000 ppm off"},
		{"beat", edit(t, `boot_wait = "10s"`, "beat = \"400ms\"\ndead = \"2s\"\nlease = \"2s\"\ntakeover = \"3s\"\nlifetime = \"9s\"\nboot_wait = \"20s\"") + "[watchdog]\ntimeout = \"1s\"\n", "40 refused watchdog.timeout: watchdog timeout 1s is shorter than 3 x beat 1.2s"},
		{"handover", base + "[watchdog]\nhandover = \"2s\"\n", "35 refused watchdog.handover: handover 2s is shorter than watchdog timeout 5s"},
		{"grain", base + "[watchdog]\ntimeout = \"1500ms\"\n", "35 refused watchdog.timeout: 1.5s is not whole seconds"},
		{"pretimeout", base + "[watchdog]\npretimeout = \"5s\"\n", "35 refused watchdog.pretimeout: 5s is not before the timeout 5s"},
		{"governor", base + "[watchdog]\ngovernor = \"panic\"\n", "35 refused watchdog.governor: there is no pretimeout"},
		{"same device", base + "[watchdog]\nsecond = \"/dev/watchdog\"\n", "35 refused watchdog.second: /dev/watchdog is the first device, too"},
		{"no device", base + "[watchdog]\ndevice = \"watchdog0\"\n", `35 refused watchdog.device: "watchdog0" is not possible`},
		{"unknown key", base + "[watchdog]\ntimout = \"5s\"\n", "35 refused watchdog.timout: unknown key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Parse("t.toml", []byte(tt.src), "fw1")
			complete(t, tt.src, problems)
			if got := strings.Join(brief(problems), "\n"); !strings.Contains(got+"\n", tt.want+"\n") {
				t.Errorf("want %s\ngot  %s", tt.want, got)
			}
		})
	}
}
