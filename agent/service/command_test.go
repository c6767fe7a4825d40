package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// script writes an executable script and returns its path.
func script(t testing.TB, body string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "script")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("#!/bin/sh\n" + body + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Chmod(0o755); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func run(t *testing.T, c Command) Result {
	t.Helper()
	res, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// pidIn waits for a script to write its pid, and kills that process at the end.
func pidIn(t *testing.T, path string) int {
	t.Helper()
	for range 500 {
		b, _ := os.ReadFile(path)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && strings.HasSuffix(string(b), "\n") {
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no pid in %s", path)
	return 0
}

// alive says whether a process runs; a zombie that init has not reaped does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := string(b[strings.LastIndexByte(string(b), ')')+1:])
	return !strings.HasPrefix(after, " Z") && !strings.HasPrefix(after, " X")
}

func diesSoon(pid int) bool {
	for range 300 {
		if !alive(pid) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func TestACommandTellsItsExitCodeAndBothOutputs(t *testing.T) {
	res := run(t, Command{Argv: []string{script(t, "echo out; echo err >&2; exit 7")}})
	if res.Code != 7 || res.Stdout != "out\n" || res.Stderr != "err\n" || !res.Whole {
		t.Errorf("result %+v", res)
	}
	res = run(t, Command{Argv: []string{script(t, "kill -9 $$")}})
	if res.Code != 128+9 {
		t.Errorf("code %d after SIGKILL", res.Code)
	}
}

func TestACommandStartsInACleanPlace(t *testing.T) {
	t.Setenv("SECRET", "x")
	leak, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // without O_CLOEXEC, like the serial library
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	if err := unix.Dup3(leak, 77, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(77)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	res := run(t, Command{
		Argv: []string{script(t, `env | sort; pwd; umask; ls /proc/self/fd | tr '\n' ' '; echo; readlink /proc/self/fd/0; ps -o pid=,pgid=,sid= -p $$; cat`)},
		Env:  []string{"TWINBEAT_GROUP=g", "TWINBEAT_SERVICE=s"},
	})
	for _, want := range []string{"TWINBEAT_GROUP=g\nTWINBEAT_SERVICE=s\n", "PATH=" + cleanPath, "\n/\n", "\n0022\n", "\n0 1 2 3 \n", "\n/dev/null\n"} {
		if !strings.Contains(res.Stdout, want) { // 3 is ls's own
			t.Errorf("output lacks %q:\n%s", want, res.Stdout)
		}
	}
	if strings.Contains(res.Stdout, "SECRET") || strings.Contains(res.Stdout, "GODEBUG") {
		t.Errorf("the agent's environment leaks:\n%s", res.Stdout)
	}
	lines := strings.Split(strings.TrimSpace(res.Stdout), "\n")
	if ids := strings.Fields(lines[len(lines)-1]); len(ids) != 3 || ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("pid, group and session are %v, want them the same", ids)
	}
}

func TestAHangingCommandIsEndedWithItsWholeGroup(t *testing.T) {
	dir := t.TempDir()
	s := script(t, `trap '' TERM; (trap '' TERM; echo $$ >`+dir+`/leader; sh -c 'echo $$ >`+dir+`/child; trap "" TERM; while :; do sleep 1; done') & echo waiting; while :; do sleep 1; done`)
	began := time.Now()
	_, err := Command{Argv: []string{s}, Timeout: 300 * time.Millisecond}.Run(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took < TermGrace || took > TermGrace+10*time.Second {
		t.Errorf("took %v; a script that ignores SIGTERM has %v", took, TermGrace)
	}
	for _, f := range []string{"leader", "child"} {
		if pid := pidIn(t, filepath.Join(dir, f)); !diesSoon(pid) {
			t.Errorf("%s, pid %d, lives on", f, pid)
		}
	}
}

func TestACommandThatObeysSIGTERMIsNotKilled(t *testing.T) {
	done := filepath.Join(t.TempDir(), "done")
	s := script(t, `trap 'echo bye >`+done+`; exit 0' TERM; while :; do sleep 0.05; done`)
	_, err := Command{Argv: []string{s}, Timeout: 500 * time.Millisecond}.Run(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(done); err != nil {
		t.Error("the script had no time to clean up")
	}
}

func TestAStoppedCommandIsEnded(t *testing.T) {
	done := filepath.Join(t.TempDir(), "done")
	s := script(t, `trap 'echo bye >`+done+`; exit 0' TERM; kill -STOP $$`)
	_, err := Command{Argv: []string{s}, Timeout: 500 * time.Millisecond}.Run(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(done); err != nil {
		t.Error("a stopped script had no chance to clean up")
	}
}

func TestACancelEndsACommandQuickly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	_, err := Command{Argv: []string{script(t, "trap '' TERM; while :; do sleep 1; done")}, Timeout: time.Hour}.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > TermGrace {
		t.Errorf("took %v, want about %v", took, CancelGrace)
	}
}

func TestADaemonOutlivesItsStartCommand(t *testing.T) {
	dir := t.TempDir()
	// It keeps its descriptors, as careless daemons do, writes more than a
	// pipe holds, and would die of SIGPIPE or hang if that failed.
	daemon := script(t, `echo $$ >`+dir+`/pid; sleep 0.5; head -c 300000 /dev/zero; echo noise; echo noise >&2; echo ok >`+dir+`/ok; exec sleep 60`)
	began := time.Now()
	res := run(t, Command{Argv: []string{script(t, daemon+" &\necho started")}, Timeout: 20 * time.Second})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the start command took %v: it waited for the daemon", took)
	}
	if res.Stdout != "started\n" {
		t.Errorf("output %q", res.Stdout)
	}
	pid := pidIn(t, dir+"/pid")
	for range 500 {
		if _, err := os.Stat(dir + "/ok"); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := os.Stat(dir + "/ok"); err != nil || !alive(pid) {
		t.Errorf("the daemon did not survive its own output: %v, alive %v", err, alive(pid))
	}
}

func TestSweepEndsWhatACommandLeavesBehind(t *testing.T) {
	dir := t.TempDir()
	run(t, Command{Argv: []string{script(t, `sh -c 'echo $$ >`+dir+`/pid; exec sleep 60' & while ! [ -s `+dir+`/pid ]; do sleep 0.01; done`)}, Sweep: true})
	if pid := pidIn(t, dir+"/pid"); !diesSoon(pid) {
		t.Errorf("pid %d lives on", pid)
	}
}

func TestOnlyTheEndOfHugeOutputIsKept(t *testing.T) {
	res := run(t, Command{Argv: []string{script(t, "head -c 20000000 /dev/zero | tr '\\0' x; echo the end; exit 1")}})
	if len(res.Stdout) != MaxOutput || !strings.HasSuffix(res.Stdout, "xthe end\n") || res.Whole {
		t.Errorf("%d bytes, end %q, whole %v", len(res.Stdout), res.Stdout[len(res.Stdout)-20:], res.Whole)
	}
	if err := exitError("start", res); len(err.Error()) > MaxOutput+100 || !strings.Contains(err.Error(), "exit code 1") {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}

func TestOutputInErrorsIsHarmlessForATerminal(t *testing.T) {
	res := run(t, Command{Argv: []string{script(t, `printf 'bad\033]0;owned\007\n' >&2`)}})
	if got := res.Output(); got != "bad?]0;owned?" {
		t.Errorf("output %q", got)
	}
}

func TestAProgramThatCannotRunGivesTheSystemsReason(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	garbage := filepath.Join(dir, "garbage")
	noShell := filepath.Join(dir, "noshell")
	for path, f := range map[string]struct {
		text string
		mode os.FileMode
	}{plain: {"x", 0o644}, garbage: {"\x00\x01", 0o755}, noShell: {"#!/no/such/sh\n", 0o755}} {
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		path string
		want error
	}{
		{"/no/such/program", fs.ErrNotExist},
		{plain, fs.ErrPermission},
		{dir, nil},
		{garbage, syscall.ENOEXEC},
		{noShell, fs.ErrNotExist},
		{"no-such-name-in-path", nil},
	}
	for _, c := range cases {
		_, err := Command{Argv: []string{c.path}}.Run(t.Context())
		if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: error %v, want %v", c.path, err, c.want)
		}
	}
	if _, err := (Command{}).Run(t.Context()); err == nil {
		t.Error("an empty command ran")
	}
}

func TestNoDescriptorOrZombieIsLeftBehind(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	ok, bad := script(t, "exit 0"), filepath.Join(t.TempDir(), "none")
	run(t, Command{Argv: []string{ok}})
	before := count()
	for range 20 {
		run(t, Command{Argv: []string{ok}})
		_, _ = Command{Argv: []string{bad}}.Run(t.Context())
		_, _ = Command{Argv: []string{"/bin/sleep", "9"}, Timeout: time.Millisecond}.Run(t.Context())
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if n := stuck.Load(); n != 0 {
		t.Errorf("%d commands count as stuck", n)
	}
	var ws syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil); pid > 0 || err == nil {
		t.Errorf("child %d (%v) was not reaped", pid, err)
	}
}

func TestCommandsOfARealtimeAgentAreOrdinary(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	fifo := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 20}
	normal := &unix.SchedAttr{Size: unix.SizeofSchedAttr}
	for _, th := range threads { // any of them may be the one that forks
		tid, _ := strconv.Atoi(th.Name())
		if err := unix.SchedSetAttr(tid, fifo, 0); errors.Is(err, unix.EPERM) {
			t.Skip("needs CAP_SYS_NICE for SCHED_FIFO")
		}
		defer func() { _ = unix.SchedSetAttr(tid, normal, 0) }()
	}
	const adj = "/proc/self/oom_score_adj"
	oldAdj, _ := os.ReadFile(adj)
	if err := os.WriteFile(adj, []byte("-900"), 0); err == nil {
		defer func() { _ = os.WriteFile(adj, oldAdj, 0) }()
	}
	// The child forks at once: what is wrong at that moment stays wrong in it.
	// Fields 18, 40 and 41 of stat are priority, rt_priority and policy (proc(5)).
	res := run(t, Command{Argv: []string{script(t, `(cut -d' ' -f18,40,41 /proc/self/stat; cat /proc/self/oom_score_adj) & cut -d' ' -f18,40,41 /proc/$$/stat; wait`)}})
	for _, line := range strings.Split(strings.TrimSpace(res.Stdout), "\n") {
		if line != "20 0 0" && line != "0" {
			t.Errorf("a process of the command has %q, want priority 20, SCHED_OTHER and OOM score 0", line)
		}
	}
	if n := strings.Count(res.Stdout, "\n"); n != 3 {
		t.Errorf("output %q", res.Stdout)
	}
	got, err := unix.SchedGetAttr(0, 0)
	if err != nil || got.Policy != unix.SCHED_FIFO || got.Priority != 20 {
		t.Errorf("this thread is now %+v, %v", got, err)
	}
}

func TestSpawningRestoresTheThreadsPriority(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fifo := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 30}
	if err := unix.SchedSetAttr(0, fifo, 0); errors.Is(err, unix.EPERM) {
		t.Skip("needs CAP_SYS_NICE for SCHED_RR")
	}
	defer func() { _ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr}, 0) }()
	old, lowered := lowerRealtime()
	if now, _ := unix.SchedGetAttr(0, 0); !lowered || now.Policy != unix.SCHED_RR || now.Priority != lowestRealtime {
		t.Errorf("lowered %v to %+v", lowered, now)
	}
	if err := unix.SchedSetAttr(0, old, 0); err != nil || old.Priority != 30 {
		t.Errorf("restore %+v: %v", old, err)
	}
}

// BenchmarkRun is the price of one status check.
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if _, err := (Command{Argv: []string{"/bin/true"}}).Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSpawn is how long the fork holds its P, and so may hold up the loop.
func BenchmarkSpawn(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	var held time.Duration
	for b.Loop() {
		t := time.Now()
		p, err := spawn("/bin/true", []string{"true"}, &os.ProcAttr{Files: []*os.File{null, null, null, null}})
		held += time.Since(t)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = p.Wait()
	}
	b.ReportMetric(float64(held.Nanoseconds())/float64(b.N), "ns-held/op")
}

func TestStandardInputIsGivenAndMoreOutputKeptOnDemand(t *testing.T) {
	res := run(t, Command{Argv: []string{script(t, "cat; head -c 20000 /dev/zero | tr '\\0' x")}, Stdin: strings.Repeat("y", MaxStdin), Keep: MaxKeep})
	if want := strings.Repeat("y", MaxStdin) + strings.Repeat("x", 20000); res.Stdout != want || !res.Whole {
		t.Errorf("%d bytes, whole %v", len(res.Stdout), res.Whole)
	}
	run(t, Command{Argv: []string{script(t, "true")}, Stdin: strings.Repeat("y", MaxStdin)}) // one that does not read it
	for _, c := range []Command{{Stdin: strings.Repeat("y", MaxStdin+1)}, {Keep: MaxKeep + 1}} {
		c.Argv = []string{"true"}
		if _, err := c.Run(t.Context()); err == nil {
			t.Errorf("%d bytes of input and %d to keep are taken", len(c.Stdin), c.Keep)
		}
	}
}
