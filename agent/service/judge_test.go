//go:build !lite

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpenRCStatusGoesByExitCodeUnlessTheTextContradicts(t *testing.T) {
	for _, c := range []struct {
		code   int
		text   string
		want   State
		moving bool
	}{
		{0, " * status: started", Running, false},
		{3, " * status: stopped", Stopped, false},
		{4, " * status: stopping", Unknown, true},
		{8, " * status: starting", Unknown, true},
		{16, " * status: inactive", Failed, false},
		{32, " * status: crashed", Failed, false},
		{64, " * status: unsupervised", Failed, false},
		{1, " * rc-service: service `x' does not exist", Unknown, false},
		{0, " * status: stopped", Unknown, false},
		{0, " * status: crashed", Unknown, false},
		{3, " * status: started", Unknown, false},
		{2, "", Unknown, false},
		{127, "", Unknown, false},
		{143, "", Unknown, false},
	} {
		got, err := (&openrc{name: "x"}).judge(Result{Code: c.code, Stdout: c.text})
		_, moving := errors.AsType[*onItsWay](err)
		if got != c.want || moving != c.moving || (err == nil) != (got == Running || got == Stopped) {
			t.Errorf("code %d, %q: %v, %v", c.code, c.text, got, err)
		}
	}
}

func TestRunitStatusIsReadFromTheServicesOwnWords(t *testing.T) {
	for _, c := range []struct {
		line   string
		code   int
		want   State
		moving bool
	}{
		{"run: x: (pid 12039) 0s, normally down", 0, Running, false},
		{"run: x: (pid 9) 5s", 0, Running, false},
		{"run: x: (pid 9) 5s; down: log: 3s, normally up", 0, Running, false},
		{"down: x: 3s; run: log: (pid 7) 60s", 0, Stopped, false},
		{"down: x: 1s, normally up", 0, Stopped, false},
		{"down: x: 1s, normally up, want up", 0, Unknown, true},
		{"run: x: (pid 11080) 3s, want down, got TERM", 0, Unknown, true},
		{"run: x: (pid 11080) 3s, got TERM", 0, Unknown, true},
		{"finish: x: (pid 9) 1s", 0, Unknown, true},
		{"run: x: (pid 9) 0s, paused", 0, Failed, false},
		{"fail: x: runsv not running", 1, Unknown, false},
		{"fail: x: unable to change to service directory: file does not exist", 1, Unknown, false},
		{"warning: x: unable to open supervise/ok: file does not exist", 1, Unknown, false},
		{"down: x: 1s", 1, Unknown, false},
		{"down: other: 1s", 0, Unknown, false},
		{"lost: x: 1s", 0, Unknown, false},
		{"", 0, Unknown, false},
	} {
		got, err := (&runit{unit: "x"}).judge(Result{Code: c.code, Stdout: c.line + "\n"})
		_, moving := errors.AsType[*onItsWay](err)
		if got != c.want || moving != c.moving || (err == nil) != (got == Running || got == Stopped) {
			t.Errorf("%q, code %d: %v, %v", c.line, c.code, got, err)
		}
	}
}

func TestSvWaitsHalfOfWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for left, want := range map[time.Duration]int{20 * time.Second: 10, time.Second: 1, 10 * time.Millisecond: 1, 3 * time.Hour: 600} {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			if got := patience(ctx, time.Now()); got != want {
				t.Errorf("%v left: %d s", left, got)
			}
			cancel()
		}
		if got := patience(t.Context(), time.Now()); got != 7 {
			t.Errorf("without a deadline: %d s", got)
		}
	})
}

func TestProcdsListTellsTheState(t *testing.T) {
	for list, want := range map[string]State{
		`{"x":{"instances":{"instance1":{"running":true,"pid":1342,"command":["/usr/sbin/x"],"term_timeout":5}}}}`: Running,
		"{\n\t\n}": Stopped,
		`{ }`:      Stopped,
		`{"x":{"instances":{"a":{"running":true},"b":{"running":true}}}}`:                Running,
		`{"x":{"instances":{"a":{"running":true},"b":{"running":false,"exit_code":1}}}}`: Failed,
		`{"x":{"instances":{"instance1":{"running":false,"exit_code":1}}}}`:              Failed,
		`{"x":{}}`:                     Failed,
		`{"x":{"instances":{"a":{}}}}`: Unknown,
		`{"x":{"instances":{"a":{"running":"true"}}}}`: Unknown,
		`{"y":{"instances":{"a":{"running":true}}}}`:   Unknown,
		"":                          Unknown,
		"null":                      Unknown,
		"[]":                        Unknown,
		"Command failed: Not found": Unknown,
		`{"x":{"instances":{"instance1":{"running":true`: Unknown,
	} {
		got, err := procdState("x", list)
		if got != want || (err == nil) != (got == Running || got == Stopped) {
			t.Errorf("%s: %v, %v", list, got, err)
		}
	}
}

func TestAScriptThatProcdDoesNotKnowIsToldApart(t *testing.T) {
	for body, want := range map[string]bool{
		"START=50\nUSE_PROCD=1\nstart_service() { :; }": true,
		`USE_PROCD="1"`:              true,
		"# USE_PROCD=1":              false,
		"USE_PROCD=":                 false,
		"start() { service_start; }": false,
	} {
		if err := usesProcd(script(t, body)); (err == nil) != want {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestHeartbeatStatusIsReadFromTheText(t *testing.T) {
	for _, c := range []struct {
		text string
		code int
		want State
	}{
		{"INFO:  Running OK", 0, Running},
		{"running", 0, Running},
		{"OK", 0, Running},
		{"dnsmasq (pid 7) is running...", 0, Running},
		{"INFO:  Resource is stopped", 7, Stopped},
		{"stopped", 0, Stopped},
		{"dnsmasq is not running", 3, Stopped},
		{"Not Running", 0, Stopped},
		{"is not currently running", 0, Stopped},
		{"it isn't running", 3, Stopped},
		{"", 0, Unknown},
		{"", 3, Unknown},
		{"inactive", 3, Unknown},
		{"not OK", 1, Unknown},
		{"BOOKOK", 0, Unknown},
		{"running", 1, Unknown},
		{"a is running\nb is not running", 0, Unknown},
		{"running or stopped, who knows", 0, Unknown},
		{"could not be stopped", 1, Unknown},
		{"has not yet been stopped", 0, Unknown},
		{"ERROR: Program is not installed", 5, Unknown},
		{"ERROR: cannot tell whether it is running", 0, Unknown},
		{"ERROR: failed to find out: not running?", 3, Unknown},
		{"sh: ps: not found", 127, Unknown},
		{"stopped", 127, Unknown},
		{"not running", 143, Unknown},
	} {
		got, err := (&heartbeat{name: "x"}).judge(Result{Code: c.code, Stdout: c.text + "\n", Whole: true})
		if got != c.want || (err == nil) != (got == Running || got == Stopped) {
			t.Errorf("%q, code %d: %v, %v", c.text, c.code, got, err)
		}
	}
	if got, err := (&heartbeat{name: "x"}).judge(Result{Stdout: "stopped", Stderr: "running"}); got != Unknown || err == nil {
		t.Errorf("the end of more than is kept: %v, %v", got, err)
	}
}

func TestMonitorCodesMeanWhatTheRoleSays(t *testing.T) {
	plain, promoted, kept := &ocf{}, &ocf{promote: true}, &ocf{promote: true, keep: true}
	for _, c := range []struct {
		code                  int
		plain, promoted, kept State
	}{
		{0, Running, Failed, Stopped},
		{190, Running, Failed, Stopped},
		{7, Stopped, Stopped, Stopped},
		{8, Failed, Running, Running},
		{191, Failed, Running, Running},
		{1, Failed, Failed, Failed},
		{9, Failed, Failed, Failed},
		{2, Unknown, Unknown, Unknown},
		{3, Unknown, Unknown, Unknown},
		{5, Unknown, Unknown, Unknown},
		{6, Unknown, Unknown, Unknown},
		{10, Unknown, Unknown, Unknown},
		{127, Unknown, Unknown, Unknown},
		{137, Unknown, Unknown, Unknown},
	} {
		for _, one := range []struct {
			o    *ocf
			want State
		}{{plain, c.plain}, {promoted, c.promoted}, {kept, c.kept}} {
			got, err := one.o.judge(Result{Code: c.code})
			if got != one.want || (err == nil) != (got == Running || got == Stopped) {
				t.Errorf("code %d, promote %v, keep %v: %v, %v", c.code, one.o.promote, one.o.keep, got, err)
			}
		}
	}
}

func TestTheDriverIsChosenByWhatRunsAndKnowsTheService(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Facts
		want string // a driver, or a part of the error
	}{
		{"nothing", Facts{}, "no init system"},
		{"systemd", Facts{Systemd: true, Unit: true}, "systemd"},
		{"systemd and its script", Facts{Systemd: true, Unit: true, Script: true}, "systemd"},
		{"systemd that does not run", Facts{Unit: true, Script: true}, "sysv"},
		{"systemd that does not know it", Facts{Systemd: true, Script: true}, "sysv"},
		{"OpenRC", Facts{OpenRC: true, Script: true, OpenRCScript: true}, "openrc"},
		{"OpenRC, plain script", Facts{OpenRC: true, Script: true}, "sysv"},
		{"OpenRC's script without OpenRC", Facts{Script: true, OpenRCScript: true}, "no init system"},
		{"procd", Facts{Procd: true, Script: true, ProcdScript: true}, "procd"},
		{"procd, plain script", Facts{Procd: true, Script: true}, "sysv"},
		{"procd's script without procd", Facts{Script: true, ProcdScript: true}, "no init system"},
		{"runit", Facts{Runit: true, Folder: true, Script: true}, "runit"},
		{"runit does not know it", Facts{Runit: true, Script: true}, "sysv"},
		{"a folder without runit", Facts{Folder: true, Script: true}, "sysv"},
		{"runit under systemd", Facts{Systemd: true, Runit: true, Folder: true}, "runit"},
		{"two of them", Facts{Systemd: true, Unit: true, Runit: true, Folder: true}, "systemd and runit know it"},
	} {
		driver, err := Choose(c.f)
		if driver != c.want && (err == nil || !strings.Contains(err.Error(), c.want)) || (driver == "") != (err != nil) {
			t.Errorf("%s: %q, %v, want %q", c.name, driver, err, c.want)
		}
	}
}

func TestFactsAreGatheredFromTheFileSystem(t *testing.T) {
	root := t.TempDir()
	plant := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, path, text)
	}
	if got := gather(root, "x"); got != (Facts{}) {
		t.Errorf("of nothing: %+v", got)
	}
	plant("run/systemd/system/y@.service", "")
	plant("lib/systemd/system/x.service", "")
	plant("run/openrc/softlevel", "")
	plant("sbin/procd", "")
	plant("var/run/ubus/ubus.sock", "")
	plant("etc/init.d/x", "#!/sbin/openrc-run\n")
	plant("etc/init.d/y", "#!/bin/sh /etc/rc.common\nUSE_PROCD=1\n")
	plant("etc/service/x/run", "")
	plant("etc/service/x/supervise/ok", "")
	plant("etc/service/y/run", "")
	base := Facts{Systemd: true, OpenRC: true, Procd: true}
	for name, edit := range map[string]func(*Facts){
		"x":         func(f *Facts) { f.Unit, f.Script, f.OpenRCScript, f.Runit, f.Folder = true, true, true, true, true },
		"y":         func(f *Facts) { f.Script, f.ProcdScript, f.Folder = true, true, true },
		"y@1":       func(f *Facts) { f.Unit = true },
		"x.service": func(f *Facts) { f.Unit = true },
		"z":         func(*Facts) {},
	} {
		want := base
		edit(&want)
		if got := gather(root, name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestAnAutoServiceThatNobodyKnowsIsUnknownAndNeverStopped(t *testing.T) {
	u := unit(t, Spec{Driver: "auto", Unit: "no-such-service-here"})
	if st, err := u.Status(t.Context()); st != Unknown || err == nil || !strings.Contains(err.Error(), "no init system that runs here knows it") {
		t.Errorf("%v, %v", st, err)
	}
	for _, do := range []func(context.Context) error{u.Start, u.Stop, u.Restart, u.(reloader).Reload} {
		if err := do(t.Context()); err == nil {
			t.Error("an action of nobody's succeeded")
		}
	}
}

func TestNamesOfServicesAreChecked(t *testing.T) {
	for _, c := range []struct{ driver, good, bad string }{
		{"auto", "dnsmasq", "/etc/init.d/x"},
		{"openrc", "net.eth0", "-x"},
		{"procd", "dnsmasq", "a b"},
		{"runit", "/etc/sv/x", "/etc/../x"},
		{"runit", "x", ".x"},
		{"ocf", "heartbeat:Dummy", "Dummy"},
		{"ocf", "ocf:heartbeat:Dummy", "ocf:Dummy"},
		{"ocf", "/usr/lib/ocf/resource.d/a/B", "a:../B"},
		{"heartbeat", "IPaddr2", "../x"},
		{"heartbeat", "/opt/x", ""},
	} {
		if _, err := New(Spec{Name: "s", Driver: c.driver, Unit: c.good}); err != nil {
			t.Error(err)
		}
		if _, err := New(Spec{Name: "s", Driver: c.driver, Unit: c.bad}); err == nil {
			t.Errorf("%s takes %q", c.driver, c.bad)
		}
	}
	for want, s := range map[string]Spec{
		"check params":     {Name: "s", Driver: "ocf", Unit: "a:b", Params: map[string]string{"a b": ""}},
		"can be promoted":  {Name: "s", Driver: "sysv", Unit: "b", Promote: true},
		"ocf driver has":   {Name: "s", Driver: "ocf", Unit: "a:b", OnTake: "reload"},
		"heartbeat driver": {Name: "s", Driver: "heartbeat", Unit: "b", OnTake: "reload"},
	} {
		if _, err := New(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestAFailedServiceIsRestartedAndNeverCountsAsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 2, nil)
		f[0].set(Failed)
		if err := g.Start(t.Context()); err != nil {
			t.Error(err)
		}
		w.did(t, "restart a, start b")
		faults, end := watch(t, g)
		f[1].set(Failed)
		time.Sleep(8 * time.Second)
		end()
		w.did(t, "restart b")
		if first := (*faults)[0]; !strings.Contains(first.Err, "has failed: crashed; restarting it") {
			t.Errorf("fault %+v", first)
		}
		f[0].edit(func(f *fake) { f.state, f.stubborn = Failed, 100 })
		err := g.Stop(t.Context())
		if !NeedsFence(err) || !strings.Contains(err.Error(), "its state is failed: crashed") {
			t.Errorf("stop of one that stays failed: %v", err)
		}
	})
}

func TestAdoptRestartsWhatHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, w, f := group(t, 1, nil)
		f[0].set(Failed)
		if err := g.Adopt(t.Context()); err != nil {
			t.Error(err)
		}
		w.did(t, "restart a")
	})
}

func TestAStartThatEndsFailedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, f := group(t, 1, func(_ int, s *Spec) { s.OnTake = "none" })
		f[0].set(Failed)
		s := g.steps[0]
		if err := s.settle(t.Context()); err == nil || !strings.Contains(err.Error(), "still failed") || !strings.Contains(err.Error(), "crashed") {
			t.Errorf("%v", err)
		}
	})
}

// advised is a unit that knows its own times.
type advised struct{ *fake }

func (advised) advise(_ context.Context, action string) time.Duration {
	return map[string]time.Duration{"start": time.Minute, "stop": 2 * time.Minute}[action]
}

func TestTimesAreConfiguredElseAdvisedElseDefault(t *testing.T) {
	s := &step{Spec: Spec{StopTimeout: time.Second}, unit: advised{}}
	for action, want := range map[string]time.Duration{"start": time.Minute, "stop": time.Second, "monitor": DefaultStatusTimeout} {
		if got := s.allow(t.Context(), action); got != want {
			t.Errorf("%s: %v, want %v", action, got, want)
		}
	}
}

func TestMetadataIsRead(t *testing.T) {
	m, err := parseOCF(`<?xml version="1.0"?>
<resource-agent name="x">
<parameters>
<!-- <parameter name="commented"><content type="string"/></parameter> -->
<parameter name="ip" unique="1" required="1"><longdesc>a &lt;b&gt;</longdesc><content type="string" default="" /></parameter>
<parameter name='port' required="yes"><content type="integer" default="80"/></parameter>
<parameter
   name="quiet"
   required="0">
<content type="boolean"/></parameter>
</parameters>
<actions>
<action name="start" timeout="40s"/><action name="stop" timeout="2min" />
<action name="monitor" depth="0" timeout="20" interval="10s"/>
<action name="monitor" depth="10" timeout="90000ms"/>
<action name="monitor" depth="20" timeout="9h"/>
<action name="meta-data" timeout="soon"/>
</actions></resource-agent>`)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.params) != 3 || !m.params["ip"].required || m.params["port"] != (ocfParam{kind: "integer"}) || m.params["quiet"].kind != "boolean" {
		t.Errorf("%+v", m.params)
	}
	for _, c := range []struct {
		action string
		depth  int
		want   time.Duration
	}{
		{"start", 0, 40 * time.Second},
		{"stop", 0, 2 * time.Minute},
		{"monitor", 0, 20 * time.Second},
		{"monitor", 10, 90 * time.Second},
		{"monitor", 20, MaxAdvised},
		{"meta-data", 0, 0},
		{"promote", 0, 0},
	} {
		if got := m.timeout(c.action, c.depth); got != c.want {
			t.Errorf("%s, depth %d: %v", c.action, c.depth, got)
		}
	}
	for _, bad := range []string{"", "<actions></actions>", "<action name=", "<!-- <action name=\"start\">", strings.Repeat(`<parameter name="x"><content type="a"/>`, 3), manyParameters(maxOCFNames)} {
		if _, err := parseOCF(bad); err == nil {
			t.Errorf("%.60q is read", bad)
		}
	}
}

func manyParameters(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<parameter name="p%d">`, i)
	}
	return b.String() + `<action name="start">`
}

func TestParametersAreComparedWithTheMetadata(t *testing.T) {
	m := &ocfMetadata{
		params:  map[string]ocfParam{"ip": {required: true}, "port": {kind: "integer"}, "quiet": {kind: "boolean"}},
		actions: []ocfAction{{name: "start"}},
	}
	for _, c := range []struct {
		params  map[string]string
		promote bool
		want    string
	}{
		{map[string]string{"ip": "x", "port": "80", "quiet": "True"}, false, ""},
		{map[string]string{"ip": "x", "ipp": "y"}, false, "params.ipp: the agent has no such parameter"},
		{map[string]string{"ip": "x", "port": "eighty"}, false, `params.port: "eighty" is no integer`},
		{map[string]string{"ip": "x", "quiet": "maybe"}, false, `params.quiet: "maybe" is neither true nor false`},
		{nil, false, "params: lacks ip, which the agent needs"},
		{map[string]string{"ip": "x"}, true, "promote: the agent cannot be promoted"},
	} {
		var got []string
		for _, f := range m.check(c.params, c.promote) {
			got = append(got, f.Key+": "+f.Text)
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%v: %q, want %q", c.params, got, c.want)
		}
		if err := m.refuse(c.params, c.promote); (err != nil) != (c.want != "") {
			t.Errorf("%v: %v", c.params, err)
		}
	}
}
