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
// folder that both see.
func box(t *testing.T, script string, attr *syscall.SysProcAttr) (dir string) {
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
