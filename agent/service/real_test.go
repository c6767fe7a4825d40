//go:build !lite

package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// unpackedDir is where .ci/deps unpacks packages that are not to be installed.
const unpackedDir = "/var/cache/twinbeat-tests"

// inside runs this test again in namespaces of its own (mounts, processes,
// network), after a setup script in which $P is unpackedDir, and says whether
// this is that second run. It skips where the packages are not unpacked.
func inside(t *testing.T, setup string, packages ...string) bool {
	t.Helper()
	if os.Getenv("TWINBEAT_INSIDE") == t.Name() {
		return true
	}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(unpackedDir, p)); err != nil {
			t.Skipf("package %s is not unpacked; .ci/deps does it", p)
		}
	}
	enter := []string{"--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"}
	if out, err := exec.Command("unshare", append(enter, "mount", "-t", "tmpfs", "t", "/mnt")...).CombinedOutput(); err != nil {
		t.Skipf("no namespaces of its own here: %v: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The shell stays as the first process: it reaps what daemons leave.
	body := "set -e; P=" + unpackedDir + "; ip link set lo up; mount -t tmpfs t /run\n" + setup +
		"\nset +e; \"$0\" -test.run \"^$1\\$\" -test.v; code=$?; exit $code"
	cmd := exec.CommandContext(ctx, "unshare", append(enter, "sh", "-c", body, self, t.Name())...)
	cmd.Env = append(os.Environ(), "TWINBEAT_INSIDE="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("inside: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// overlay lays folders of packages over a folder of the host.
func overlay(host string, over ...string) string {
	lower := ""
	for _, o := range over {
		lower += "$P/" + o + ":"
	}
	return fmt.Sprintf("mount -t overlay overlay -o lowerdir=%s%s %s\n", lower, host, host)
}

// is looks at a unit's state, and at its error's text if there is one.
func is(t *testing.T, u Unit, want State, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := u.Status(ctx)
	if got != want || (err == nil) != (got == Running || got == Stopped) || (err != nil && !strings.Contains(err.Error(), text)) {
		t.Errorf("%v, %v; want %v, %q", got, err, want, text)
	}
}

// does runs one action within a deadline.
func does(t *testing.T, action func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return action(ctx)
}

func must(t *testing.T, action func(context.Context) error) {
	t.Helper()
	if err := does(t, action); err != nil {
		t.Error(err)
	}
}

func plant(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// openRCDirs are what OpenRC makes in its sysinit runlevel.
const openRCDirs = `mkdir /run/openrc
for d in daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive; do mkdir /run/openrc/$d; done
touch /run/openrc/softlevel
mkdir /run/etc; touch /run/etc/insserv.conf
`

func TestRealOpenRC(t *testing.T) {
	setup := overlay("/usr/lib", "openrc/lib", "libeinfo1/lib", "librc1/lib") + overlay("/usr/sbin", "openrc/sbin") + openRCDirs +
		"mount -t overlay overlay -o lowerdir=/run/etc:$P/openrc/etc:/etc /etc\nmount -t tmpfs t /etc/init.d"
	if !inside(t, setup, "openrc", "libeinfo1", "librc1") {
		return
	}
	plant(t, "/etc/init.d/demo", "#!/sbin/openrc-run\nsupervisor=supervise-daemon\ncommand=/bin/sleep\ncommand_args=1000\npidfile=/run/demo.pid\n", 0o755)
	plant(t, "/etc/init.d/broken", "#!/sbin/openrc-run\nstart() { eerror no luck; return 1; }\n", 0o755)
	if driver, err := Detect("demo"); driver != "openrc" {
		t.Errorf("auto chooses %q, %v", driver, err)
	}
	u := unit(t, Spec{Driver: "openrc", Unit: "demo"})
	is(t, u, Stopped, "")
	must(t, u.Stop) // twice is as good as once
	must(t, u.Start)
	is(t, u, Running, "")
	must(t, u.Start)
	must(t, u.Restart)
	is(t, u, Running, "")
	if err := exec.Command("sh", "-c", "kill -9 $(cat /run/demo.pid)").Run(); err != nil {
		t.Fatal(err)
	}
	is(t, u, Failed, "unsupervised")
	g, err := NewGroup([]Spec{{Name: "demo", Driver: "openrc", Unit: "demo"}}, Options{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	must(t, g.Start) // a start would say that it has been started already
	is(t, u, Running, "")
	must(t, g.Stop)
	is(t, u, Stopped, "")
	is(t, unit(t, Spec{Driver: "openrc", Unit: "none"}), Unknown, "does not exist")
	if err := does(t, unit(t, Spec{Driver: "openrc", Unit: "broken"}).Start); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("a start that fails: %v", err)
	}
	if found := Examine(t.Context(), Spec{Name: "s", Driver: "openrc", Unit: "none"}); len(found) != 1 || !found[0].Warning || !strings.Contains(found[0].Text, "/etc/init.d/none") {
		t.Errorf("check: %+v", found)
	}
}

func TestRealRunit(t *testing.T) {
	if !inside(t, overlay("/usr/bin", "runit/usr/bin")+"mkdir -p /run/sv /run/service /run/etc/service\n"+
		"mount -t overlay overlay -o lowerdir=/run/etc:/etc /etc; mount --bind /run/service /etc/service", "runit") {
		return
	}
	for name, body := range map[string]string{
		"demo": "exec sleep 1000", "slow": "trap '' TERM\nwhile :; do sleep 1; done", "boot": "exec sleep 1001",
	} {
		plant(t, "/run/sv/"+name+"/run", "#!/bin/sh\n"+body+"\n", 0o755)
		if name != "boot" {
			plant(t, "/run/sv/"+name+"/down", "", 0o644)
		}
		if err := os.Symlink("/run/sv/"+name, "/run/service/"+name); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.Command("runsvdir", "-P", "/run/service")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = run.Process.Kill(); _ = run.Wait() }()
	u := unit(t, Spec{Driver: "runit", Unit: "demo"})
	for i := 0; ; i++ {
		if _, err := os.Stat("/run/service/demo/supervise/ok"); err == nil {
			break
		} else if i == 500 {
			t.Fatal("runsvdir does not start runsv")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if driver, err := Detect("demo"); driver != "runit" {
		t.Errorf("auto chooses %q, %v", driver, err)
	}
	is(t, u, Stopped, "")
	must(t, u.Stop)
	must(t, u.Start)
	is(t, u, Running, "")
	must(t, u.Restart)
	is(t, u, Running, "")
	if err := exec.Command("sv", "pause", "demo").Run(); err != nil {
		t.Fatal(err)
	}
	is(t, u, Failed, "paused")
	must(t, u.Restart)
	is(t, u, Running, "")
	must(t, u.Stop)
	is(t, u, Stopped, "")

	slow := unit(t, Spec{Driver: "runit", Unit: "/run/service/slow"})
	must(t, slow.Start)
	time.Sleep(200 * time.Millisecond) // until the shell has set its trap
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if err := slow.Stop(ctx); err != nil { // SIGTERM is ignored, so SIGKILL comes within the deadline
		t.Error(err)
	}
	is(t, slow, Stopped, "")

	is(t, unit(t, Spec{Driver: "runit", Unit: "none"}), Unknown, "unable to change to service directory")
	for unit, want := range map[string]string{"boot": "starts it at boot", "none": "no folder of services", "demo": ""} {
		found := Examine(t.Context(), Spec{Name: "s", Driver: "runit", Unit: unit})
		if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0].Text, want)) {
			t.Errorf("check of %s: %+v", unit, found)
		}
	}
	must(t, u.Start)
	if err := exec.Command("sh", "-c", "kill -9 "+runsvOf(t, "demo")).Run(); err != nil {
		t.Fatal(err)
	}
	_ = run.Process.Kill()                 // or it starts another runsv
	is(t, u, Unknown, "runsv not running") // its process lives on
}

// runsvOf finds the runsv of a service.
func runsvOf(t *testing.T, name string) string {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if b, _ := os.ReadFile(path); string(b) == "runsv\x00"+name+"\x00" {
			return filepath.Base(filepath.Dir(path))
		}
	}
	t.Fatal("no runsv")
	return ""
}

func TestRealOCFAgents(t *testing.T) {
	if !inside(t, overlay("/usr/lib", "resource-agents/usr/lib"), "resource-agents") {
		return
	}
	dummy := Spec{Name: "web", Group: "g", Driver: "ocf", Unit: "ocf:heartbeat:Dummy", Params: map[string]string{"fake": "x"}}
	u := unit(t, dummy)
	is(t, u, Stopped, "")
	must(t, u.Stop)
	must(t, u.Start)
	is(t, u, Running, "")
	if _, err := os.Stat("/run/resource-agents/Dummy-g.web.state"); err != nil {
		t.Error(err)
	}
	must(t, u.Restart)
	is(t, u, Running, "")
	must(t, u.Stop)
	is(t, u, Stopped, "")
	if got := u.(adviser).advise(t.Context(), "stop"); got != 20*time.Second {
		t.Errorf("the agent advises %v for stop", got)
	}

	dummy.Params = map[string]string{"fakke": "x"}
	if err := does(t, unit(t, dummy).Start); err == nil || !strings.Contains(err.Error(), "params.fakke: the agent has no such parameter (it has: fake, state)") {
		t.Errorf("start with an unknown parameter: %v", err)
	}
	is(t, u, Stopped, "")
	for _, c := range []struct {
		unit    string
		params  map[string]string
		promote bool
		key     string
		warning bool
	}{
		{"heartbeat:Dummy", map[string]string{"fakke": "x"}, false, "params.fakke", false},
		{"heartbeat:Dummy", nil, true, "promote", false},
		{"heartbeat:IPaddr2", map[string]string{"cidr_netmask": "24"}, false, "params", false},
		{"heartbeat:IPaddr2", map[string]string{"ip": "192.0.2.1", "arp_count": "many"}, false, "params.arp_count", false},
		{"heartbeat:None", nil, false, "unit", true},
	} {
		found := Examine(t.Context(), Spec{Name: "s", Driver: "ocf", Unit: c.unit, Params: c.params, Promote: c.promote})
		if len(found) != 1 || found[0].Key != c.key || found[0].Warning != c.warning || found[0].Hint == "" {
			t.Errorf("check of %s: %+v", c.unit, found)
		}
	}
	statefulRoles(t)
	someMetadata(t)
}

// statefulRoles takes the agent Stateful through its roles.
func statefulRoles(t *testing.T) {
	t.Helper()
	spec := Spec{Name: "db", Group: "g", Driver: "ocf", Unit: "heartbeat:Stateful", Params: map[string]string{"state": "/run/s.state"}}
	plain := unit(t, spec)
	spec.Promote = true
	whole := unit(t, spec)
	spec.KeepOnStop = true
	kept := unit(t, spec)
	must(t, plain.Start)
	is(t, plain, Running, "")
	is(t, whole, Failed, "not promoted") // it runs: never as good as stopped
	is(t, kept, Stopped, "")
	must(t, whole.Start)
	for _, u := range []Unit{whole, kept} {
		is(t, u, Running, "")
	}
	is(t, plain, Failed, "promote is not configured")
	must(t, whole.Start) // twice is as good as once
	must(t, kept.Stop)
	is(t, plain, Running, "") // demoted, it stays behind
	g, err := NewGroup([]Spec{spec}, Options{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	must(t, g.Start)
	is(t, kept, Running, "")
	must(t, g.Stop)
	is(t, plain, Running, "")
	must(t, whole.Restart)
	is(t, whole, Running, "")
	must(t, whole.Stop)
	is(t, whole, Stopped, "")
	put(t, "/run/s.state", "nonsense\n")
	is(t, whole, Failed, "generic error")
}

// someMetadata reads what every fourth agent of the package says of itself.
func someMetadata(t *testing.T) {
	t.Helper()
	agents, err := filepath.Glob(ocfRoot + "/resource.d/heartbeat/*")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for i := 0; i < len(agents); i += 4 {
		agent := agents[i]
		o := newOCF(Spec{Name: "a", Group: "g", Unit: agent})
		m, err := readOCF(t.Context(), agent, o.env)
		switch {
		case err != nil:
			t.Logf("%s: %.120v", filepath.Base(agent), err) // some want programs or modules that are not here
		case !m.has("start") || !m.has("stop") || !m.has("monitor") && !m.has("status") || m.timeout("start", 0) == 0:
			t.Errorf("%s: %+v", agent, m.actions)
		default:
			read++
		}
	}
	if read < 30 {
		t.Errorf("%d of %d agents could be read", read, (len(agents)+3)/4)
	}
}

func TestRealHeartbeatScripts(t *testing.T) {
	setup := overlay("/usr/lib", "resource-agents/usr/lib") + overlay("/etc", "heartbeat/etc", "resource-agents/etc") +
		"ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up; mkdir /run/resource-agents"
	if !inside(t, setup, "resource-agents", "heartbeat") {
		return
	}
	u := unit(t, Spec{Driver: "heartbeat", Unit: "IPaddr2", Args: []string{"10.9.8.7/24/d0"}})
	held := func() bool {
		out, _ := exec.Command("ip", "-o", "addr", "show", "to", "10.9.8.7").Output()
		return len(out) > 0
	}
	is(t, u, Stopped, "")
	must(t, u.Start)
	is(t, u, Running, "")
	if !held() {
		t.Error("started, but the address is not there")
	}
	must(t, u.Restart)
	is(t, u, Running, "")
	must(t, u.Stop)
	is(t, u, Stopped, "")
	if held() {
		t.Error("stopped, but the address is there")
	}
	is(t, unit(t, Spec{Driver: "heartbeat", Unit: "IPaddr2"}), Unknown, "usage") // the script wants an argument
	if st, err := unit(t, Spec{Driver: "heartbeat", Unit: "NoSuchScript"}).Status(t.Context()); st != Unknown || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", st, err)
	}
}

func TestRealInitScriptsOfDebian(t *testing.T) {
	if _, err := exec.LookPath("lighttpd"); err != nil {
		t.Skip("lighttpd is not installed")
	}
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is not installed")
	}
	setup := overlay("/usr/share", "dnsmasq/usr/share") + `mkdir -p /run/etc /run/var/www/html /run/lock
mount -t tmpfs t /var/log; mkdir /var/log/lighttpd; chown www-data /var/log/lighttpd; mount --bind /run/var/www /var/www
` + "mount -t overlay overlay -o lowerdir=/run/etc:$P/dnsmasq/etc:/etc /etc"
	if !inside(t, setup, "dnsmasq") {
		return
	}
	for _, name := range []string{"dnsmasq", "lighttpd"} {
		if driver, err := Detect(name); driver != "sysv" {
			t.Errorf("auto chooses %q for %s, %v", driver, name, err)
		}
		u := unit(t, Spec{Driver: "sysv", Unit: name})
		is(t, u, Stopped, "")
		must(t, u.Start)
		is(t, u, Running, "")
		must(t, u.Start)
		if err := exec.Command("pkill", "-9", "-x", name).Run(); err != nil { // in a process namespace of its own
			t.Errorf("no process %s: %v", name, err)
		}
		time.Sleep(100 * time.Millisecond)
		is(t, u, Stopped, "")
		must(t, u.Restart)
		is(t, u, Running, "")
		must(t, u.Stop)
		is(t, u, Stopped, "")
	}
}
