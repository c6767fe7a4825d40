package e2e

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// nobody is the user that has no rights anywhere.
const nobody = 65534

// asNobody in the environment says that this is the test program run by nobody.
const asNobody = "TWINBEAT_E2E_NOBODY"

// TestPairServes is the shortest story of all: boot, serve, die, serve.
func TestPairServes(t *testing.T) {
	r := boot(t, lab.Options{})
	r.Nodes[0].Kill()
	r.moved(1)
}

// TestPlainUserCanRunThePair runs TestPairServes as a user without rights, in
// namespaces that this user made.
func TestPlainUserCanRunThePair(t *testing.T) {
	if os.Getenv(asNobody) != "" {
		t.Skip("this is the plain user's run already")
	}
	if os.Geteuid() != 0 {
		t.Skip("every test here runs as a plain user")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := asUser(ctx, "/usr/bin/unshare", nil, "-Urnm", "/bin/true").Run(); err != nil {
		t.Skip("a plain user may not make namespaces here:", err)
	}
	// The go tool's directory is for its user's eyes only.
	program := filepath.Join(filepath.Dir(binary), "e2e.test")
	if err := copyProgram(program, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "TWINBEAT_") || strings.HasPrefix(v, "TMPDIR=") || strings.HasPrefix(v, "HOME=")
	})
	env = append(env, asNobody+"=1", binaryEnv+"="+binary, "TMPDIR=/tmp", "HOME=/")
	cmd := asUser(ctx, program, env, "-test.run=^TestPairServes$", "-test.v", "-test.count=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPairServes") {
		t.Errorf("as a plain user: %v\n%s", err, out)
	}
}

func asUser(ctx context.Context, program string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = "/", env
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd
}

func copyProgram(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
