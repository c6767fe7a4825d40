package agent

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
)

func TestMonitorsOfThisBuild(t *testing.T) {
	small := buildName == "lite"
	for kind, lacking := range map[string]bool{
		"interface": false, "ping": false, "neighbour": false, "command": false, "process": small, "file": small,
	} {
		c := config.Config{Monitors: []config.Monitor{{Name: "x", Type: kind, Line: 7, Process: "x", Interface: "eth0"}}}
		problems := ExamineBuild(c)
		if got := len(problems) > 0; got != lacking {
			t.Errorf("the %s build lacks %s: %v", buildName, kind, got)
		}
		for _, p := range problems {
			if p.Line != 7 || p.Warning || p.Hint == "" || !strings.Contains(p.Text, "lite build") {
				t.Errorf("%+v", p)
			}
		}
		a := agent{cfg: c, hands: &hands{}}
		if err := a.newMonitors(); (err != nil) != lacking {
			t.Errorf("start with a monitor of type %s: %v", kind, err)
		}
	}
}

// What is wrong with the file is said; a guess at the build on top of it is not.
func TestAMisspeltMonitorIsRefusedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "twinbeat.toml")
	text := `cluster = "c"
[[node]]
name = "fw1"
[[node]]
name = "fw2"
[[link]]
type = "serial"
device = "/dev/ttyS0"
[[group]]
name = "g"
addresses = ["192.0.2.1/24@eth0"]
[[monitor]]
name = "up"
type = "pink"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &agent{opts: Options{ConfigPath: file, Node: "fw1"}, log: slog.New(slog.DiscardHandler)}
	if err := a.load(); err == nil || strings.Contains(err.Error(), "build has no monitors") || !strings.Contains(err.Error(), "pink") {
		t.Errorf("%v", err)
	}
}

func TestEveryKeyOfAMonitorReachesIt(t *testing.T) {
	in := config.Monitor{
		Name: "x", Type: "ping", Interval: 1, Timeout: 2, Rise: 3, Fall: 4, Weight: 5, Critical: true, Missing: "fail",
		Interface: "eth0", UpDelay: 6, DownDelay: 7, MinSpeed: 8, MaxErrors: 9,
		Targets: []netip.Addr{netip.IPv6LinkLocalAllNodes()}, Need: "all", Process: "p", Command: []string{"c"},
		Path: "/p", MaxAge: time.Second, Contains: "y", Line: 1,
	}
	for i, v := 0, reflect.ValueOf(in); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("this test leaves %s out", v.Type().Field(i).Name)
		}
	}
	for i, v := 0, reflect.ValueOf(monitorConfig(in)); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not set", v.Type().Field(i).Name)
		}
	}
	in.Missing, in.Need = "alarm", "any"
	if c := monitorConfig(in); c.Strict || c.All {
		t.Errorf("%+v", c)
	}
}
