package control

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes the test binary a client: it asks for the status, gives an
// order and prints what it got.
const childEnv = "TWINBEAT_TEST_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(childClient(path))
	}
	os.Exit(m.Run())
}

func childClient(path string) int {
	c, err := Dial(path)
	if err == nil {
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if _, err = c.Snapshot(ctx); err == nil {
			_, err = c.Do(ctx, Order{Command: OrderTake, Group: "gateway"})
		}
	}
	if err != nil {
		fmt.Printf("error: %v\nhint: %s\n", err, Hint(err))
		return 1
	}
	fmt.Println("served")
	return 0
}

// Ids that no account here has, so that names cannot help.
const (
	strangerID = 54321
	operators  = 54322
)

// asUser runs the test binary as a client of path under other credentials.
func asUser(t *testing.T, binary, path string, cred syscall.Credential) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$")
	cmd.Env = []string{childEnv + "=" + path}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &cred}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("run client: %v\n%s", err, out)
	}
	return string(out)
}

// openDir is a directory that everybody may enter, with the test binary in it:
// neither t.TempDir nor the place where go test builds lets a stranger in.
func openDir(t *testing.T) (dir, binary string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	dir, err := os.MkdirTemp("", "twinbeat-control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary = filepath.Join(dir, "client")
	src, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(dst, src)
	if closeErr := dst.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	for _, path := range []string{dir, binary} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, binary
}

func TestOnlyRootAndTheGroupMayControl(t *testing.T) {
	dir, binary := openDir(t)
	d := newDesk()
	path, _ := serve(t, Config{Path: filepath.Join(dir, "s"), Group: fmt.Sprint(operators)}, d)
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); fi.Mode().Perm() != 0o660 || st.Uid != 0 || st.Gid != operators {
		t.Errorf("socket is %v %d:%d", fi.Mode(), st.Uid, st.Gid)
	}
	stranger := syscall.Credential{Uid: strangerID, Gid: strangerID}
	if out := asUser(t, binary, path, stranger); !strings.Contains(out, "no permission") {
		t.Errorf("stranger, mode 0660: %s", out)
	}
	if out := asUser(t, binary, path, syscall.Credential{Uid: strangerID, Gid: operators}); out != "served\n" {
		t.Errorf("primary group: %s", out)
	}
	many := make([]uint32, 0, 200) // more than the first buffer holds
	for i := range uint32(199) {
		many = append(many, 60000+i)
	}
	if out := asUser(t, binary, path, syscall.Credential{Uid: strangerID, Gid: strangerID, Groups: append(many, operators)}); out != "served\n" {
		t.Errorf("last of 200 supplementary groups: %s", out)
	}
	d.mu.Lock()
	if len(d.orders) != 2 || d.orders[1].By != fmt.Sprintf("uid %d", strangerID) {
		t.Errorf("orders %+v", d.orders)
	}
	d.mu.Unlock()

	// Somebody loosens the mode: the kernel's word still counts.
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	out := asUser(t, binary, path, stranger)
	if !strings.Contains(out, "uid 54321 may not control this agent") || !strings.Contains(out, "member of group 54322") {
		t.Errorf("stranger, mode 0666: %s", out)
	}
	if out := asUser(t, binary, path, syscall.Credential{Uid: strangerID, Gid: strangerID, Groups: many}); !strings.Contains(out, "may not control") {
		t.Errorf("199 wrong groups: %s", out)
	}
}

func TestWithoutAGroupOnlyRootMayControl(t *testing.T) {
	dir, binary := openDir(t)
	path, _ := serve(t, Config{Path: filepath.Join(dir, "s")}, newDesk())
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	// Group 0 is nobody's permission to command a firewall.
	out := asUser(t, binary, path, syscall.Credential{Uid: strangerID, Gid: 0, Groups: []uint32{0}})
	if !strings.Contains(out, "may not control this agent") || !strings.Contains(out, "control_group") {
		t.Errorf("stranger: %s", out)
	}
	if out := asUser(t, binary, path, syscall.Credential{}); out != "served\n" {
		t.Errorf("root: %s", out)
	}
}

// Two agents that start at the same moment must not both win.
func TestOfManyAgentsThatStartAtOnceOneWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	const agents = 20
	won := make(chan *Server, agents)
	for range agents {
		go func() {
			s, err := Listen(Config{Path: path})
			if err != nil {
				s = nil
			}
			won <- s
		}()
	}
	n := 0
	for range agents {
		select {
		case s := <-won:
			if s != nil {
				n++
				defer s.Close()
			}
		case <-time.After(soon):
			t.Fatal("an agent hangs")
		}
	}
	if n != 1 {
		t.Errorf("%d agents won", n)
	}
}
