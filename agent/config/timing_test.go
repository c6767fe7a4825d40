package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHoldIsLongerWhereSensorsAreRead(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 10 * time.Second, "[sensors]\n": 30 * time.Second, "[sensors]\n[health]\nmargin = 30\n": 30 * time.Second,
		"[sensors]\n[health]\nhold = \"12s\"\n": 12 * time.Second,
	} {
		if c, problems := Parse("f", []byte(base+text), "fw1"); Refused(problems) || c.Health.Hold != want {
			t.Errorf("%q: hold %v, want %v (%v)", text, c.Health.Hold, want, problems)
		}
	}
}

func TestArithmeticIsShownWhenAnInequalityBreaks(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{
			"lease", edit(t, `boot_wait = "10s"`, `takeover = "300ms"`),
			"11 refused timing.takeover: takeover 300ms is shorter than lease 300ms + window 25ms + reserve 15ms = 340ms, 340.67ms with clocks 1000 ppm off",
		},
		{
			"equality leaves no room for drift", edit(t, `boot_wait = "10s"`, `takeover = "340ms"`),
			"11 refused timing.takeover: takeover 340ms is shorter than lease 300ms + window 25ms + reserve 15ms = 340ms, 340.67ms with clocks 1000 ppm off",
		},
		{
			"probes of silence", strings.Replace(edit(t, `boot_wait = "10s"`, `takeover = "341ms"`), `mode = "fence"`, `mode = "silence"`, 1),
			"11 refused timing.takeover: takeover 341ms is shorter than lease 300ms + window 25ms + 3 probes 45ms + reserve 15ms = 385ms, 385.71ms with clocks 1000 ppm off",
		},
		{
			"claim", edit(t, `boot_wait = "10s"`, "dead = \"380ms\""),
			"3 refused profile: takeover 400ms is shorter than dead 380ms + CLAIM and answer 9.9ms + reserve 15ms = 404.9ms",
		},
		{
			"acknowledgement", strings.Replace(edit(t, `boot_wait = "10s"`, `takeover = "400ms"`), `mode = "fence"`, `mode = "lease"`, 1),
			"11 refused timing.takeover: takeover 400ms is shorter than ack 250ms + lease 300ms + window 25ms + reserve 15ms = 590ms, 591.17ms with clocks 1000 ppm off",
		},
		{
			"short ack", strings.Replace(edit(t, `boot_wait = "10s"`, `ack = "200ms"`), `mode = "fence"`, `mode = "lease"`, 1),
			"11 refused timing.ack: ack 200ms is shorter than 4 x beat 200ms + frame and answer 9.9ms + reserve 15ms = 224.9ms",
		},
		{
			"link", edit(t, `type = "serial"`, "type = \"serial\"\ndead = \"200ms\""),
			"15 refused link[0].dead: dead of link 1 (serial) 200ms is shorter than 4 x beat 200ms + frame of 57 bytes at 115200 baud 4.95ms + reserve 15ms = 219.95ms",
		},
		{
			"utilisation", edit(t, `type = "serial"`, "type = \"serial\"\nbaud = 9600"),
			"15 refused link[0].baud: beat 50ms is shorter than frame of 57 bytes at 9600 baud 59.38ms / 60% = 98.96ms",
		},
		{"race", edit(t, `boot_wait = "10s"`, `race = "10s"`), "11 refused timing.race: race 10s is shorter than fence_time 10s + dead 250ms + 5 x beat 250ms + 2 x reserve 30ms = 10.53s"},
		{"boot", edit(t, `boot_wait = "10s"`, `boot_wait = "300ms"`), "11 refused timing.boot_wait: boot_wait 300ms is shorter than takeover 400ms"},
		{"beat and lease", edit(t, `boot_wait = "10s"`, `lease = "149ms"`), "11 refused timing.lease: lease 149ms is shorter than 3 x beat 150ms"},
		{"window", edit(t, `boot_wait = "10s"`, `window = "151ms"`), "11 refused timing.window: lease 300ms is shorter than 2 x window 302ms"},
		{"lifetime", edit(t, `boot_wait = "10s"`, "lease = \"1500ms\"\ntakeover = \"2s\"\nlifetime = \"2s\""), "13 refused timing.lifetime: lifetime 2s is shorter than lease 1.5s + grain 1s = 2.5s"},
		{"fence timeout", edit(t, `driver = "exec"`, "driver = \"exec\"\ntimeout = \"11s\""), "32 refused fence.device[0].timeout: fence_time 10s is shorter than timeout of pdu 11s"},
		{"fence holdup", edit(t, `driver = "exec"`, "driver = \"exec\"\nholdup = \"10s\""), "32 refused fence.device[0].holdup: fence_time 10s is shorter than holdup of pdu 10s + two readings 550ms + reserve 15ms = 10.565s"},
		{"fast", edit(t, `profile = "default"`, `profile = "fast"`), "13 refused link[0].baud: profile fast needs 230400 baud, not 115200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Parse("t.toml", []byte(tt.src), "fw1")
			complete(t, tt.src, problems)
			got := strings.Join(brief(problems), "\n")
			if !strings.Contains(got+"\n", tt.want+"\n") {
				t.Errorf("want %s\ngot  %s", tt.want, got)
			}
		})
	}
}

// The test compares with exact fractions: ours is the
// integer form of (measured (1+rho) + fixed) / (1-rho).
func TestTakeoverIsNeverRoundedToTheUnsafeSide(t *testing.T) {
	for measured := time.Duration(1); measured < time.Minute; measured = measured*3 + 7 {
		for fixed := time.Duration(1); fixed < time.Second; fixed = fixed*5 + 3 {
			need := drifted(measured, fixed)
			// need (1-rho) >= measured (1+rho) + fixed, in thousandths
			left, right := need*(drift-1), measured*(drift+1)+fixed*drift
			if left < right {
				t.Errorf("%d after %d and %d is short by %d/1000 ns", need, measured, fixed, right-left)
			}
			if excess := left - right; excess > 4*drift {
				t.Errorf("%d after %d and %d is %d/1000 ns too long", need, measured, fixed, excess)
			}
		}
	}
}

func TestEveryProfileKeepsItsOwnInequalities(t *testing.T) {
	for _, tt := range []struct {
		profile      string
		baud, groups int
	}{
		{"default", 115200, MaxGroups},
		{"default", 38400, 3},
		{"fast", 230400, 3},
		{"fast", 460800, MaxGroups},
		{"slow", 9600, 4},
	} {
		for _, mode := range []string{"fence", "silence", "lease"} {
			t.Run(fmt.Sprintf("%s %d %d %s", tt.profile, tt.baud, tt.groups, mode), func(t *testing.T) {
				src := strings.NewReplacer(
					`profile = "default"`, fmt.Sprintf("profile = %q", tt.profile),
					`mode = "fence"`, fmt.Sprintf("mode = %q", mode),
					`type = "serial"`, fmt.Sprintf("type = \"serial\"\nbaud = %d", tt.baud),
				).Replace(base)
				for i := range tt.groups - 1 {
					src += fmt.Sprintf("[[group]]\nname = \"g%d\"\naddresses = [\"192.0.2.%d/24@eth0\"]\n", i, i+2)
				}
				c, problems := Parse("t.toml", []byte(src), "fw1")
				if Refused(problems) {
					t.Errorf("%v", problems)
				}
				if c.Realtime != (tt.profile == "fast") {
					t.Errorf("realtime %v", c.Realtime)
				}
			})
		}
	}
}

func TestMoreGroupsThanALineCanCarryAreRefused(t *testing.T) {
	for _, tt := range []struct {
		profile      string
		baud, groups int
	}{{"fast", 230400, 4}, {"slow", 9600, 5}} {
		src := strings.NewReplacer(`profile = "default"`, fmt.Sprintf("profile = %q", tt.profile),
			`type = "serial"`, fmt.Sprintf("type = \"serial\"\nbaud = %d", tt.baud)).Replace(base)
		for i := range tt.groups - 1 {
			src += fmt.Sprintf("[[group]]\nname = \"g%d\"\naddresses = [\"192.0.2.%d/24@eth0\"]\n", i, i+2)
		}
		_, problems := Parse("t.toml", []byte(src), "fw1")
		if !Refused(problems) || problems[0].Key != "link[0].baud" {
			t.Errorf("%d groups, profile %s: %v", tt.groups, tt.profile, problems)
		}
	}
}

func TestThePeerIsDeadWhenTheSlowestLinkIs(t *testing.T) {
	c, problems := Parse("t.toml", []byte(edit(t, `type = "serial"`, "type = \"serial\"\ndead = \"300ms\"")), "fw1")
	if Refused(problems) || c.Timing.Dead != 300*millisecond || c.Links[1].Dead != 250*millisecond || c.Timing.Ack != 300*millisecond {
		t.Errorf("dead %v, links %+v, ack %v, %v", c.Timing.Dead, c.Links, c.Timing.Ack, problems)
	}
}

func TestShortReserveIsWarnedOfWithTheKernelsItCovers(t *testing.T) {
	src := strings.NewReplacer(`profile = "default"`, `profile = "fast"`, `type = "serial"`, "type = \"serial\"\nbaud = 230400").Replace(base)
	_, problems := Parse("t.toml", []byte(src), "fw1")
	want := "3 warning profile: reserve 2ms covers the timer grain of kernels with HZ=1000 (1ms) or finer"
	if got := strings.Join(brief(problems), "\n"); got != want {
		t.Errorf("want %s\ngot  %s", want, got)
	}
}

func TestExplainPrintsEveryRuleWithin80Columns(t *testing.T) {
	for _, src := range []string{base, Example} {
		c, _ := Parse("t.toml", []byte(src), "fw1")
		out := Explain(c)
		if n := strings.Count(out, "\nok "); n != len(timingRules(c)) {
			t.Errorf("%d rules, %d lines say ok", len(timingRules(c)), n)
		}
		for line := range strings.Lines(out) {
			if len(line) > width+1 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
		c.Timing.Takeover = 0
		if !strings.Contains(Explain(c), "\nWRONG takeover 0s >= lease") {
			t.Errorf("a broken rule is not marked:\n%s", Explain(c))
		}
	}
}

func TestDurationsAreShownAsPeopleWriteThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 500 * time.Microsecond: "0.5ms", 4947916: "4.95ms", 50 * millisecond: "50ms",
		time.Second: "1s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 24 * time.Hour: "24h", 40 * time.Minute: "40m",
	} {
		if got := show(d); got != want {
			t.Errorf("%d is shown as %s, want %s", d, got, want)
		}
	}
}
