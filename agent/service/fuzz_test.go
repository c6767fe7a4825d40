//go:build !lite

package service

import (
	"errors"
	"strings"
	"testing"
)

// FuzzStatus feeds whatever a service's status command may print to every
// driver. Running and Stopped need what the driver's protocol says they need;
// anything else is Unknown and comes with a reason.
func FuzzStatus(f *testing.F) {
	f.Add("LoadState=loaded\nActiveState=active\nSubState=running\n", "", 0)
	f.Add("ActiveState=inactive", "", 0)
	f.Add("ActiveState=activating\r\nSubState=start", "", 0)
	f.Add("ActiveState=active\nActiveState=failed\n", "", 0)
	f.Add("dnsmasq is not running", "", 0)
	f.Add("Usage: /etc/init.d/x {start|stop}", "", 3)
	f.Add("", "USAGE: x", 1)
	f.Add("running", "", 4)
	f.Add("", "", 143)
	f.Add("run: x: (pid 7) 3s, want down; down: log: 1s", "", 0)
	f.Add("down: x: 3s, normally up, want up", "", 0)
	f.Add(`{"x":{"instances":{"i":{"running":true}}}}`, "", 0)
	f.Add("{}", "", 0)
	f.Add("INFO:  Resource is stopped", "", 7)
	f.Add("ERROR: cannot tell if it is not running", "", 1)
	f.Add(" * status: crashed", "", 32)
	f.Fuzz(func(t *testing.T, out, errs string, code int) {
		res := Result{Stdout: out, Stderr: errs, Code: code, Whole: true}
		state, err := judge(res)
		if (state == Running) != (code == 0) || (state == Unknown) != (err != nil) || state == Stopped && code != 1 && code != 3 {
			t.Errorf("command: code %d is %v, %v", code, state, err)
		}
		state, err = (&sysv{script: "/etc/init.d/x"}).judge(res)
		text := strings.ToLower(out + "\n" + errs)
		switch {
		case (state == Unknown) != (err != nil),
			state == Running && (code != 0 || strings.Contains(text, "not running")),
			state == Stopped && (code < 1 || code > 3),
			strings.Contains(text, "usage:") != errors.Is(err, ErrNoStatus):
			t.Errorf("sysv: %q, %q, code %d is %v, %v", out, errs, code, state, err)
		}
		fuzzNewer(t, res)
		p := properties(out)
		for key, value := range p {
			if strings.ContainsAny(key+value, "\n") || !strings.Contains(out, key+"="+value) {
				t.Errorf("systemd: %q=%q is not in %q", key, value, out)
			}
		}
		state, known := unitState(p)
		if state != Unknown && !known || known && p["ActiveState"] == "" {
			t.Errorf("systemd: %q is %v, known %v", out, state, known)
		}
		if strings.ContainsFunc(res.Output(), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
			t.Errorf("output %q", res.Output())
		}
	})
}

// fuzzNewer asks the judges that read more than an exit code.
func fuzzNewer(t *testing.T, res Result) {
	text := strings.ToLower(res.Stdout)
	for name, judge := range map[string]func(Result) (State, error){
		"openrc":    (&openrc{name: "x"}).judge,
		"runit":     (&runit{unit: "x"}).judge,
		"heartbeat": (&heartbeat{name: "x"}).judge,
		"ocf":       (&ocf{}).judge,
		"procd":     func(r Result) (State, error) { return procdState("x", r.Stdout) },
	} {
		state, err := judge(res)
		if (err == nil) != (state == Running || state == Stopped) {
			t.Errorf("%s: %q, code %d is %v, %v", name, res.Stdout, res.Code, state, err)
		}
		if state != Stopped {
			continue
		}
		claimed := map[string]bool{
			"openrc": res.Code == 3, "ocf": res.Code == 7,
			"runit":     res.Code == 0 && strings.Contains(res.Stdout, "down: x: "),
			"heartbeat": res.Code < 126 && (strings.Contains(text, "stopped") || strings.Contains(text, "running")),
			"procd":     !strings.Contains(text, "x"),
		}
		if !claimed[name] {
			t.Errorf("%s: %q, code %d is stopped", name, res.Stdout, res.Code)
		}
	}
}
