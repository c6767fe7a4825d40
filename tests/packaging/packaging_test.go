// Package packaging installs what make install and make deb give, and lives with
// it: real dpkg, real init scripts, a real systemd, each in a box of namespaces
// and an overlay that is thrown away.
package packaging

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const root = "../.."

// boxTime bounds the life of one box.
const boxTime = 3 * time.Minute

// need skips a test without the programs it runs.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: .ci/deps does", p)
		}
	}
}

// unpacked skips the test where .ci/deps has not unpacked these packages.
func unpacked(t *testing.T, packages ...string) {
	t.Helper()
	for _, p := range packages {
		if _, err := os.Stat("/var/cache/twinbeat-tests/" + p); err != nil {
			t.Skipf("Debian's %s is not unpacked: .ci/deps does", p)
		}
	}
}

// deb builds the package, once.
var deb = sync.OnceValues(func() (string, error) {
	place, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	cmd := exec.Command("make", "-s", "-C", place, "deb", "VERSION=v0.0.1")
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1795305600")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &exec.Error{Name: "make deb: " + string(out), Err: err}
	}
	found, err := filepath.Glob(filepath.Join(place, "dist", "twinbeat_0.0.1_*.deb"))
	if err != nil || len(found) != 1 {
		return "", &exec.Error{Name: strings.Join(found, " "), Err: os.ErrNotExist}
	}
	return found[0], nil
})

// box runs a script of testdata in a box with the package, and returns the
// folder that both see. What prepare returns are further arguments.
func box(t *testing.T, script string, attr *syscall.SysProcAttr, prepare ...func(dir string) []string) (dir string) {
	t.Helper()
	need(t, "dpkg-deb", "dpkg", "unshare", "ip", "nft")
	if os.Geteuid() != 0 {
		t.Skip("only root can install a package")
	}
	if err := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("no namespaces: %v", err)
	}
	file, err := deb()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), boxTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--ipc", "--cgroup", "--fork", "--kill-child", "--mount-proc",
		"--propagation", "private", "sh", "testdata/"+script, dir, file)
	for _, p := range prepare {
		cmd.Args = append(cmd.Args, p(dir)...)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay, cmd.SysProcAttr = time.Second, attr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v\n%s", script, err, out.String())
	}
	return dir
}

func TestThePackageInstallsUpgradesAndLeavesCleanly(t *testing.T) {
	need(t, "start-stop-daemon", "update-rc.d", "invoke-rc.d")
	box(t, "deb.sh", nil)
}

// ownCgroup makes one for a systemd to be the root of.
func ownCgroup(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	for _, top := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(top + "/cgroup.procs"); err != nil {
			continue
		}
		dir, err := os.MkdirTemp(top, "twinbeat-test-")
		if err != nil {
			t.Skipf("no cgroup: %v", err)
		}
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			f.Close()
			_ = exec.Command("find", dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
		})
		return &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	}
	t.Skip("no cgroups of version 2")
	return nil
}

func TestTheUnitRunsUnderSystemd(t *testing.T) {
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip("systemd is not installed")
	}
	dir := box(t, "systemd.sh", ownCgroup(t))
	verdict, _ := os.ReadFile(filepath.Join(dir, "verdict"))
	text := strings.TrimSpace(string(verdict))
	if strings.HasSuffix(text, "no cgroups") {
		t.Skip("cgroups cannot be mounted here")
	}
	if !strings.HasSuffix(text, "\nwell") {
		t.Errorf("verdict:\n%s", text)
	}
}

func TestTheUnitIsUnderstood(t *testing.T) {
	need(t, "systemd-analyze")
	dir := t.TempDir()
	text, err := os.ReadFile(root + "/packaging/twinbeat.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(dir, "twinbeat.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(text, []byte("@SBINDIR@/twinbeat"), []byte("/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	verify := func(what string) {
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	verify("the unit")
	if err := os.Mkdir(unit+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"strict.conf", "credentials.conf"} {
		text, err := os.ReadFile(root + "/packaging/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(unit+".d", name), text, 0o644); err != nil {
			t.Fatal(err)
		}
		verify(name)
	}
	// The scale of systemd-analyze(1) security: above 5 is medium, above 7 exposed.
	if out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=40", unit).CombinedOutput(); err != nil {
		t.Errorf("strict.conf leaves too much: %v\n%s", err, out)
	}
}

func TestScriptsAreCleanShell(t *testing.T) {
	need(t, "shellcheck")
	for _, c := range [][]string{
		{"-s", "sh", "-e", "SC2016", "twinbeat.init"},
		{"-s", "sh", "twinbeat.procd"},
		{"-s", "sh", "-e", "SC2034", "twinbeat.openrc"},
		{"deb/build"},
		{"deb/preinst"},
		{"deb/postinst"},
		{"deb/prerm"},
		{"deb/postrm"},
	} {
		cmd := exec.Command("shellcheck", c...)
		cmd.Dir = root + "/packaging"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", c, err, out)
		}
	}
}

// manual makes the manual pages.
func manual(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "run", "./packaging/man", "-out", dir, "-date", "2026-11-22", "-version", "v0.0.1")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func TestManualPagesAreWellFormed(t *testing.T) {
	dir := manual(t)
	for page, wants := range map[string][]string{
		"twinbeat.8":      {"fence verify", "--yes-the-peer-is-off PEERNAME", "EXIT STATUS", "SIGUSR2 is for a restart or an upgrade"},
		"twinbeat.toml.5": {"[[fence.device]]", "one of fence, silence, lease", "beat = \"50ms\"", "198.51.100.254", "onlink"},
	} {
		file := filepath.Join(dir, page)
		if _, err := exec.LookPath("mandoc"); err != nil {
			t.Log("mandoc is not installed: .ci/deps does")
		} else if out, err := exec.Command("mandoc", "-Tlint", "-Wwarning", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
		if _, err := exec.LookPath("man"); err != nil {
			t.Skip("man is not installed: .ci/deps does")
		}
		cmd := exec.Command("man", "--warnings", "-l", file)
		cmd.Env = append(os.Environ(), "MANWIDTH=100", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=")
		var text, warnings bytes.Buffer
		cmd.Stdout, cmd.Stderr = &text, &warnings
		if err := cmd.Run(); err != nil || warnings.Len() > 0 {
			t.Errorf("%s: %v\n%s", page, err, warnings.String())
		}
		plain := strings.Join(strings.Fields(text.String()), " ")
		for _, want := range wants {
			if !strings.Contains(plain, want) {
				t.Errorf("%s does not say %q", page, want)
			}
		}
	}
}

func TestEveryKeyOfTheReferenceIsInTheManual(t *testing.T) {
	text, err := os.ReadFile(root + "/reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(manual(t), "twinbeat.toml.5"))
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for line := range strings.Lines(string(text)) {
		key, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), " = ")
		if !ok || strings.ContainsAny(key, " {#,:") {
			continue
		}
		keys++
		if !bytes.Contains(page, []byte(key+" = ")) {
			t.Errorf("%s is missing", key)
		}
	}
	if keys < 80 {
		t.Errorf("only %d keys were found in the reference", keys)
	}
}

// procd's functions, written to a file by what the script gives them.
const fakeProcd = `
log() { echo "$*" >>"$LOG"; }
procd_open_instance() { log open; }
procd_set_param() { log set "$@"; }
procd_close_instance() { log close; }
procd_send_signal() { log signal "$@"; }
service_running() { [ -e "$LOG.running" ]; }
start() { start_service; }
`

func TestProcdScriptGivesProcdWhatItNeeds(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile(root + "/packaging/twinbeat.procd")
	if err != nil {
		t.Fatal(err)
	}
	config, log := filepath.Join(dir, "twinbeat.toml"), filepath.Join(dir, "log")
	script := strings.NewReplacer("@SBINDIR@", dir, "/etc/twinbeat/twinbeat.toml", config).Replace(string(text))
	for name, text := range map[string]string{"script": script, "fake": fakeProcd, "twinbeat": "#!/bin/sh\n[ ! -e " + dir + "/refused ]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(verb string) (string, bool) {
		_ = os.Remove(log)
		cmd := exec.Command("sh", "-c", `. "$1/fake"; . "$1/script"; "$2"`, "sh", dir, verb)
		cmd.Env = append(os.Environ(), "LOG="+log)
		out, err := cmd.CombinedOutput()
		if len(out) > 0 {
			t.Errorf("%s: %s", verb, out)
		}
		said, _ := os.ReadFile(log)
		return string(said), err == nil
	}
	if said, ok := run("start_service"); said != "" || !ok {
		t.Errorf("without a configuration: %q, %v", said, ok)
	}
	touch := func(name string) {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	touch(config)
	for _, verb := range []string{"start_service", "restart"} {
		said, ok := run(verb)
		for _, want := range []string{"open\n", "set command " + dir + "/twinbeat run --supervised\n", "set respawn 3600 0 0\n", "set term_timeout 600\n", "close\n"} {
			if !strings.Contains(said, want) || !ok {
				t.Errorf("%s: no %q in %q, %v", verb, want, said, ok)
			}
		}
	}
	touch(log + ".running")
	for _, verb := range []string{"restart", "reload_service"} {
		if said, ok := run(verb); said != "signal twinbeat * USR2\n" || !ok {
			t.Errorf("%s of a running agent: %q, %v", verb, said, ok)
		}
	}
	touch(dir + "/refused")
	if said, ok := run("restart"); said != "" || ok {
		t.Errorf("a refused configuration: %q, %v", said, ok)
	}
}

func TestTheScriptRunsUnderOpenRC(t *testing.T) {
	need(t, "ps")
	unpacked(t, "openrc", "libeinfo1", "librc1")
	box(t, "openrc.sh", nil)
}

func TestInstallPutsEverythingInItsPlace(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("make", "-s", "-C", root, "install", "DESTDIR="+dir, "PREFIX=/opt/tb", "INIT=systemd openrc", "OUT="+filepath.Join(dir, "built"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for file, mode := range map[string]os.FileMode{
		"opt/tb/sbin/twinbeat": 0o755, "opt/tb/share/man/man8/twinbeat.8": 0o644, "opt/tb/share/man/man5/twinbeat.toml.5": 0o644,
		"opt/tb/share/bash-completion/completions/twinbeat": 0o644, "opt/tb/lib/systemd/system/twinbeat.service": 0o644,
		"etc/init.d/twinbeat": 0o755, "etc/conf.d/twinbeat": 0o644, "opt/tb/share/doc/twinbeat/examples/twinbeat.toml": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	examples, err := filepath.Glob(filepath.Join(dir, "opt/tb/share/doc/twinbeat/examples/*"))
	if err != nil || len(examples) < 9 {
		t.Errorf("examples: %q, %v", examples, err)
	}
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 || bytes.Contains(text, []byte("@SBINDIR@")) {
			t.Errorf("%s: %v, %d bytes, or a place not filled in", file, err, len(text))
		}
	}
	example, err := os.ReadFile(filepath.Join(dir, "opt/tb/share/doc/twinbeat/examples/twinbeat.toml"))
	if err != nil || !bytes.HasPrefix(example, []byte("cluster = ")) {
		t.Errorf("the example of README: %v\n%s", err, example)
	}
}
