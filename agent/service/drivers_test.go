package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func unit(t *testing.T, s Spec) Unit {
	t.Helper()
	if s.Name == "" {
		s.Name = "s"
	}
	u, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSpecsThatCannotWorkAreRefused(t *testing.T) {
	ok := Spec{Name: "s", Driver: "command", Start: []string{"a"}, Stop: []string{"b"}}
	if _, err := New(ok); err != nil {
		t.Fatal(err)
	}
	bad := map[string]func(*Spec){
		"check name":             func(s *Spec) { s.Name = "" },
		"check driver":           func(s *Spec) { s.Driver = "upstart" },
		"check on_take":          func(s *Spec) { s.OnTake = "maybe" },
		"has no reload":          func(s *Spec) { s.OnTake = "reload" },
		"check start:":           func(s *Spec) { s.Start = nil },
		"check stop:":            func(s *Spec) { s.Stop = nil },
		"check on_start_failure": func(s *Spec) { s.OnStartFailure = "x" },
		"check on_stop_failure":  func(s *Spec) { s.OnStopFailure = "x" },
		"check check_interval":   func(s *Spec) { s.CheckInterval = time.Millisecond },
		"check restarts":         func(s *Spec) { s.Restarts = -1 },
	}
	for want, edit := range bad {
		s := ok
		edit(&s)
		if _, err := New(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestUnitAndScriptNamesAreChecked(t *testing.T) {
	for name, want := range map[string]bool{
		"dnsmasq": true, "dnsmasq.service": true, "getty@tty1.service": true, `dev-disk\x2dby.swap`: true, "a:b_c": true,
		"": false, "-H": false, "a b": false, "*.service": false, "a;b": false, "a/b": false, "getty@.service": false, "@x": false, "a@b@c": false,
		strings.Repeat("a", 256): false, "a\nb": false,
	} {
		if _, err := New(Spec{Name: "s", Driver: "systemd", Unit: name}); (err == nil) != want {
			t.Errorf("systemd %q: %v", name, err)
		}
	}
	for name, want := range map[string]bool{
		"dnsmasq": true, "/opt/x/rc": true, "S50lighttpd": true,
		"": false, "../x": false, "a/b": false, "/etc/../x": false, "-x": false, ".": false, "..": false, "a\x00": false,
	} {
		if _, err := New(Spec{Name: "s", Driver: "sysv", Unit: name}); (err == nil) != want {
			t.Errorf("sysv %q: %v", name, err)
		}
	}
}

func TestInitScriptStatusGoesByExitCodeAndNeverBelievesALie(t *testing.T) {
	cases := []struct {
		name, body string
		want       State
		err        error
	}{
		{"running", "exit 0", Running, nil},
		{"stopped", "exit 3", Stopped, nil},
		{"dead with pid file", "exit 1", Stopped, nil},
		{"dead with lock file", "exit 2", Stopped, nil},
		{"unknown", "exit 4", Unknown, nil},
		{"skeleton without status", `echo "Usage: $0 {start|stop}" >&2; exit 3`, Unknown, ErrNoStatus},
		{"usage and success", `echo "usage: x start|stop"`, Unknown, ErrNoStatus},
		{"says the opposite", `echo "dnsmasq is NOT running"`, Unknown, nil},
		{"hangs", "exec sleep 30", Unknown, context.DeadlineExceeded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, err := unit(t, Spec{Driver: "sysv", Unit: script(t, c.body)}).Status(ctx)
			if got != c.want || (c.err != nil && !errors.Is(err, c.err)) || (err == nil) != (got != Unknown) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestMissingInitScriptIsAnErrorAndNotAState(t *testing.T) {
	u := unit(t, Spec{Driver: "sysv", Unit: "no-such-script-here"})
	if st, err := u.Status(t.Context()); st != Unknown || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", st, err)
	}
	if err := u.Start(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), initDir) {
		t.Errorf("start: %v", err)
	}
}

func TestCommandStatusGoesByExitCode(t *testing.T) {
	for code, want := range map[int]State{0: Running, 1: Stopped, 2: Unknown, 3: Stopped, 9: Unknown, 127: Unknown} {
		u := unit(t, Spec{Driver: "command", OnTake: "none", Status: []string{"/bin/sh", "-c", fmt.Sprint("exit ", code)}})
		if got, _ := u.Status(t.Context()); got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
	u := unit(t, Spec{Driver: "command", Start: []string{"a"}, Stop: []string{"b"}})
	if _, err := u.Status(t.Context()); !errors.Is(err, ErrNoStatus) {
		t.Errorf("without a status command: %v", err)
	}
}

func TestARestartByCommandsWaitsForTheOldDaemonToEnd(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/runs", "")
	u := unit(t, Spec{
		Driver: "command",
		Start:  []string{script(t, "[ ! -e "+dir+"/runs ] || { echo port in use; exit 1; }; touch "+dir+"/runs")},
		Stop:   []string{script(t, "(sleep 0.3; rm "+dir+"/runs) &")},
		Status: []string{script(t, "[ -e "+dir+"/runs ]")},
	})
	if err := u.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}

// systemctl puts a fake systemctl into PATH. Real systemd does not run in a
// build container; what the fake prints was taken from systemd 252.
func systemctl(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	body := `#!/bin/sh
echo "$@" >>` + dir + `/calls
verb=$3
case $verb in
show) [ -e ` + dir + `/later ] && mv ` + dir + `/later ` + dir + `/show.next
	cat ` + dir + `/show
	[ -e ` + dir + `/show.next ] && mv ` + dir + `/show.next ` + dir + `/show
	exit 0 ;;
*) cat ` + dir + `/$verb.err >&2 2>/dev/null && exit 1; exit 0 ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func show(load, active, sub string) string {
	return fmt.Sprintf("LoadState=%s\nActiveState=%s\nSubState=%s\n", load, active, sub)
}

func TestSystemdStatesAreRead(t *testing.T) {
	dir := systemctl(t)
	u := unit(t, Spec{Driver: "systemd", Unit: "dnsmasq"})
	for _, c := range []struct {
		load, active, sub string
		want              State
	}{
		{"loaded", "active", "running", Running},
		{"loaded", "active", "exited", Running},
		{"loaded", "reloading", "reload", Running},
		{"loaded", "inactive", "dead", Stopped},
		{"loaded", "failed", "failed", Stopped},
		{"not-found", "inactive", "dead", Stopped},
		{"masked", "inactive", "dead", Stopped},
		{"masked", "active", "running", Running},
		{"loaded", "activating", "auto-restart", Unknown},
		{"loaded", "", "", Unknown},
	} {
		put(t, dir+"/show", show(c.load, c.active, c.sub))
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		got, err := u.Status(ctx)
		cancel()
		if got != c.want || (err == nil) != (got != Unknown) {
			t.Errorf("%s %s %s: %v, %v", c.load, c.active, c.sub, got, err)
		}
	}
	calls, _ := os.ReadFile(dir + "/calls")
	if !strings.HasPrefix(string(calls), "--no-ask-password --no-pager show --property=LoadState,ActiveState,SubState -- dnsmasq\n") {
		t.Errorf("calls:\n%s", calls)
	}
}

func TestSystemdStatusWaitsForAnActivatingUnit(t *testing.T) {
	dir := systemctl(t)
	put(t, dir+"/show", show("loaded", "activating", "start"))
	put(t, dir+"/later", show("loaded", "active", "running"))
	if got, err := unit(t, Spec{Driver: "systemd", Unit: "x"}).Status(t.Context()); got != Running {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSystemdUnitsThatCannotStartAreNamed(t *testing.T) {
	dir := systemctl(t)
	u := unit(t, Spec{Driver: "systemd", Unit: "dnsmasq"})
	for load, want := range map[string]string{"masked": "is masked", "not-found": "is not installed", "bad-setting": "not loaded: bad-setting"} {
		put(t, dir+"/show", show(load, "inactive", "dead"))
		for _, do := range []func(context.Context) error{u.Start, u.Restart} {
			if err := do(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", load, err)
			}
		}
	}
	put(t, dir+"/show", show("loaded", "inactive", "dead"))
	put(t, dir+"/start.err", "Job for dnsmasq.service failed.")
	if err := u.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "Job for dnsmasq.service failed.") {
		t.Errorf("start: %v", err)
	}
	if err := u.(reloader).Reload(t.Context()); err != nil {
		t.Error(err)
	}
	calls, _ := os.ReadFile(dir + "/calls")
	if !strings.Contains(string(calls), "reload-or-restart -- dnsmasq") {
		t.Errorf("calls:\n%s", calls)
	}
}

func TestWithoutSystemdTheErrorSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := unit(t, Spec{Driver: "systemd", Unit: "x"}).Status(t.Context())
	if err == nil || !strings.Contains(err.Error(), "installed here: use driver auto, sysv or command") {
		t.Errorf("%v", err)
	}
}

// freePort returns a loopback port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// dnsmasqScript is an init script in the manner of Debian's package: a start
// that daemonises, a stop that waits, a status by pid file with LSB codes.
func dnsmasqScript(t *testing.T, dir string, port int) string {
	t.Helper()
	bin, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Skip("dnsmasq is not installed")
	}
	pid := dir + "/dnsmasq.pid"
	return script(t, fmt.Sprintf(`
pid=%[1]s
alive() { [ -s $pid ] && kill -0 "$(cat $pid)" 2>/dev/null; }
case "$1" in
start) alive && exit 0
	%[2]s --conf-file=/dev/null --user=root --port=%[3]d --listen-address=127.0.0.1 --bind-interfaces --no-resolv --no-hosts --pid-file=$pid || exit 1
	echo "Starting DNS forwarder and DHCP server: dnsmasq." ;;
stop) alive || { rm -f $pid; exit 0; }
	kill "$(cat $pid)"; n=0
	while alive && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1; done
	rm -f $pid ;;
restart|force-reload) $0 stop; $0 start ;;
status) alive && { echo running; exit 0; }
	[ -e $pid ] && { echo "dead, pid file exists"; exit 1; }
	echo "not running"; exit 3 ;;
*) echo "Usage: $0 {start|stop|restart|force-reload|status}" >&2; exit 3 ;;
esac`, pid, bin, port))
}

func TestRealDnsmasqByInitScript(t *testing.T) {
	dir := t.TempDir()
	port := freePort(t)
	spec := Spec{
		Name: "dnsmasq", Driver: "sysv", Unit: dnsmasqScript(t, dir, port),
		CheckInterval: 100 * time.Millisecond, Restarts: 2, StartTimeout: 10 * time.Second,
	}
	realDaemon(t, spec, dir+"/dnsmasq.pid", port)
}

func TestRealLighttpdByCommands(t *testing.T) {
	bin, err := exec.LookPath("lighttpd")
	if err != nil {
		t.Skip("lighttpd is not installed")
	}
	dir := t.TempDir()
	port := freePort(t)
	conf, pid := dir+"/lighttpd.conf", dir+"/lighttpd.pid"
	put(t, conf, fmt.Sprintf("server.document-root=%q\nserver.port=%d\nserver.bind=\"127.0.0.1\"\nserver.pid-file=%q\n", dir, port, pid))
	realDaemon(t, Spec{
		Name: "lighttpd", Driver: "command",
		Start:         []string{bin, "-f", conf},
		Stop:          []string{"/bin/sh", "-c", "kill $(cat " + pid + ")"},
		Status:        []string{"/bin/sh", "-c", "kill -0 $(cat " + pid + ") || exit 3"},
		CheckInterval: 100 * time.Millisecond, Restarts: 2, StartTimeout: 10 * time.Second,
	}, pid, port)
}

// realDaemon starts, kills, sees restarted, and stops a daemon on a TCP port.
func realDaemon(t *testing.T, spec Spec, pidFile string, port int) {
	t.Helper()
	g, err := NewGroup([]Spec{spec}, Options{Group: "gateway"})
	if err != nil {
		t.Fatal(err)
	}
	serves := func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := pidIn(t, pidFile)
	if !serves() || g.Status()[0].State != Running {
		t.Fatalf("started, but port %d is dead; status %+v", port, g.Status())
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	faults := make(chan Fault, 100)
	go g.Watch(ctx, func(f Fault) { faults <- f })
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if f := <-faults; !strings.Contains(f.Err, "is stopped; restarting it (1 of 2") || f.Final {
		t.Errorf("fault %+v", f)
	}
	if f := <-faults; !f.Recovered {
		t.Errorf("fault %+v, want it to have recovered", f)
	}
	if second := pidIn(t, pidFile); second == pid || !serves() {
		t.Errorf("pid %d, was %d; it is not serving again", second, pid)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if serves() || g.Status()[0].State != Stopped {
		t.Errorf("stopped, but it serves; status %+v", g.Status())
	}
	if err := g.Stop(t.Context()); err != nil && spec.Driver == "sysv" {
		t.Errorf("a second stop: %v", err)
	}
}
