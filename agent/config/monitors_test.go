package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// watch is a monitor's section.
func watch(name string, lines ...string) string {
	return "[[monitor]]\nname = \"" + name + "\"\n" + strings.Join(lines, "\n") + "\n"
}

// well is a monitor that keeps warnings away.
var well = watch("lan", `type = "interface"`, `interface = "eth0"`)

func TestMonitors(t *testing.T) {
	lan := Monitor{
		Name: "lan", Line: 36, Type: "interface", Interval: time.Second, Rise: 1, Fall: 1, Weight: 30, Missing: "alarm",
		Interface: "eth0", UpDelay: 2 * time.Second, DownDelay: 500 * time.Millisecond, Need: "any",
	}
	with := func(change func(*Monitor)) Monitor {
		m := lan
		m.Name, m.Interface, m.Line, m.Rise, m.Fall = "two", "", 40, 2, 2
		change(&m)
		return m
	}
	for _, tt := range []struct {
		name, section string
		want          Monitor
	}{
		{"interface", "type = \"interface\"\ninterface = { fw1 = \"eth1\", fw2 = \"eth9\" }\nmin_speed = 1000\nmax_errors = 5\ndown_delay = \"0s\"\nrise = 3\ncritical = true\nmissing = \"fail\"\nweight = 70", with(func(m *Monitor) {
			m.Type, m.Interface, m.MinSpeed, m.MaxErrors, m.DownDelay = "interface", "eth1", 1000, 5, 0
			m.Rise, m.Fall, m.Critical, m.Missing, m.Weight = 3, 1, true, "fail", 70
		})},
		{"ping", "type = \"ping\"\ntargets = [\"192.0.2.254\", \"2001:db8::fe\"]\nneed = \"all\"\ninterval = \"2s\"", with(func(m *Monitor) {
			m.Type, m.Fall, m.Timeout, m.Interval, m.Need = "ping", 3, time.Second, 2*time.Second, "all"
			m.Targets = []netip.Addr{netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("2001:db8::fe")}
		})},
		{"neighbour, by node", "type = \"neighbour\"\ninterface = \"eth1\"\ntargets = { fw1 = [\"192.0.2.7\"], fw2 = [\"192.0.2.8\"] }\ntimeout = \"100ms\"", with(func(m *Monitor) {
			m.Type, m.Fall, m.Timeout, m.Interface = "neighbour", 3, 100*time.Millisecond, "eth1"
			m.Targets = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
		})},
		{"process", "type = \"process\"\nprocess = \"dnsmasq\"", with(func(m *Monitor) { m.Type, m.Process = "process", "dnsmasq" })},
		{"command", "type = \"command\"\ncommand = [\"/bin/true\", \"x\"]", with(func(m *Monitor) {
			m.Type, m.Command, m.Timeout = "command", []string{"/bin/true", "x"}, 5*time.Second
		})},
		{"file", "type = \"file\"\npath = \"/run/x\"\nmax_age = \"5m\"\ncontains = \"up\"", with(func(m *Monitor) {
			m.Type, m.Path, m.MaxAge, m.Contains, m.Timeout = "file", "/run/x", 5*time.Minute, "up", 5*time.Second
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := Parse("t.toml", []byte(base+well+watch("two", tt.section)), "fw1")
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			tt.want.Line = 40
			if diff := cmp.Diff([]Monitor{lan, tt.want}, c.Monitors, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("monitors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMonitorsOnTheOtherNode(t *testing.T) {
	src := base + well + watch("hosts", `type = "neighbour"`, `interface = { fw1 = "eth0", fw2 = "eth9" }`, `targets = { fw1 = ["192.0.2.7"], fw2 = ["192.0.2.8"] }`)
	c, problems := Parse("t.toml", []byte(src), "fw2")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if m := c.Monitors[1]; m.Interface != "eth9" || len(m.Targets) != 1 || m.Targets[0] != netip.MustParseAddr("192.0.2.8") {
		t.Errorf("%+v", m)
	}
}

func TestMonitorsThatAreRefused(t *testing.T) {
	many := ""
	for i := range MaxMonitors + 1 {
		many += watch(fmt.Sprintf("m%d", i), `type = "process"`, `process = "x"`, `weight = 1`)
	}
	ping := func(more ...string) string { return base + watch("gw", append([]string{`type = "ping"`}, more...)...) }
	for _, tt := range []struct{ name, src, want string }{
		{"no type", base + "[[monitor]]\nname = \"x\"\n", "34 refused monitor[0]: lacks type"},
		{"type", base + watch("x", `type = "pong"`), `36 refused monitor[0].type: "pong" is not possible`},
		{"nothing to look at", ping(), "34 refused monitor[0]: lacks targets"},
		{"a key of another type", ping(`targets = ["192.0.2.9"]`, `max_age = "5m"`), "38 refused monitor[0].max_age: does not go with type ping"},
		{"an address of ours", ping(`targets = ["192.0.2.9", "192.0.2.1"]`), "37 refused monitor[0].targets[1]: 192.0.2.1 is an address of ours: it answers on its owner whatever the path is like"},
		{"an address of ours, on the other node", ping(`targets = { fw1 = ["192.0.2.9"], fw2 = ["192.0.2.1"] }`), "37 refused monitor[0].targets.fw2[0]: 192.0.2.1 is an address of ours: it answers on its owner whatever the path is like"},
		{"loopback", ping(`targets = ["127.0.0.1"]`), "37 refused monitor[0].targets[0]: 127.0.0.1 is this node itself"},
		{"multicast", ping(`targets = ["ff02::1"]`), "37 refused monitor[0].targets[0]: ff02::1 is not the address of one host"},
		{"link-local", ping(`targets = ["fe80::1"]`), "37 refused monitor[0].targets[0]: fe80::1 is known on one link only"},
		{"a name", ping(`targets = ["gateway"]`), `37 refused monitor[0].targets[0]: "gateway" is not an IP address`},
		{"no target", ping(`targets = []`), "37 refused monitor[0].targets: has 0 elements"},
		{"text", ping(`targets = "192.0.2.9"`), "37 refused monitor[0].targets: is text, not an array of text, or a table by node"},
		{"one node", ping(`targets = { fw1 = ["192.0.2.9"] }`), "37 refused monitor[0].targets: lacks node fw2"},
		{"weight", base + watch("x", `type = "process"`, `process = "x"`, `weight = 101`), "38 refused monitor[0].weight: 101 is out of range"},
		{"process", base + watch("x", `type = "process"`, `process = "/usr/sbin/"`), `37 refused monitor[0].process: "/usr/sbin/" is not the name of a process`},
		{"program", base + watch("x", `type = "command"`, `command = ["true"]`), `37 refused monitor[0].command[0]: program "true" has no full path`},
		{"path", base + watch("x", `type = "file"`, `path = "run/x"`), `37 refused monitor[0].path: "run/x" is not a full path`},
		{"twice", base + well + well, `39 refused monitor[1].name: a second monitor is called "lan"`},
		{"too many", base + many, "34 refused monitor: 33 monitors"},
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

func TestMonitorsThatAreWarnedOf(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"weights", base + well + watch("x", `type = "process"`, `process = "x"`, `weight = 80`), "34 warning monitor[0].weight: the weights add up to 110, health is 100: the last that fail take nothing"},
		{"an interface of addresses", base + watch("x", `type = "process"`, `process = "x"`), "34 warning monitor[0]: no monitor names eth0, which has addresses of a group"},
		{"fast", base + well + watch("x", `type = "process"`, `process = "x"`, `interval = "50ms"`), "42 warning monitor[1].interval: a look every 50ms costs this node more than a heartbeat"},
		{"timeout", base + well + watch("x", `type = "ping"`, `targets = ["192.0.2.9"]`, `interval = "200ms"`), "38 warning monitor[1].timeout: a host that is silent is found out after 3 x timeout 1s = 3s, not by the interval 200ms"},
		{"the peer", base + well + watch("x", `type = "ping"`, `targets = ["10.0.0.2"]`), "41 warning monitor[1].targets: 10.0.0.2 is the peer: when it dies, the node that is left counts as sick"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Parse("t.toml", []byte(tt.src), "fw1")
			complete(t, tt.src, problems)
			if got := strings.Join(brief(problems), "\n"); got != tt.want {
				t.Errorf("want %s\ngot  %s", tt.want, got)
			}
		})
	}
}
