//go:build !lite

package monitor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestProcess(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	must(t, err)
	program, err := os.ReadFile(sleep)
	must(t, err)
	path := t.TempDir() + "/a-very-long-name-for-a-daemon"
	must(t, os.WriteFile(path, program, 0o700))
	for _, want := range []string{path, "a-very-long-name-for-a-daemon", "a-very-long-nam"} {
		m, err := New(Config{Kind: "process", Process: want}, nil)
		must(t, err)
		expect(t, m.look(t.Context()), Bad, "no process "+want+" runs")
		cmd := exec.Command(path, "600")
		must(t, cmd.Start())
		pid := fmt.Sprint(cmd.Process.Pid)
		await(t, "it runs", func() bool { return m.look(t.Context()).Verdict == Good })
		expect(t, m.look(t.Context()), Good, "runs as process "+pid)
		must(t, cmd.Process.Kill())
		await(t, "it is a zombie", func() bool { // until somebody waits for it
			b, _ := os.ReadFile("/proc/" + pid + "/stat")
			return strings.Contains(string(b), ") Z ")
		})
		expect(t, m.look(t.Context()), Bad, "no process")
		_ = cmd.Wait()
	}
	expect(t, newProcesses("x", "/nonexistent").look(t.Context()), Unknown, "no such file")
}

// With one processor the agent's beat waits for whoever does not yield.
func TestALookThroughTheProcessesYieldsAndReusesItsBuffer(t *testing.T) {
	const all = 1000
	dir := t.TempDir()
	for pid := range all {
		must(t, os.Mkdir(fmt.Sprint(dir, "/", pid), 0o700))
		must(t, os.WriteFile(fmt.Sprint(dir, "/", pid, "/stat"), fmt.Appendf(nil, "%d (a) b%d) S 1 2 3", pid, pid), 0o600))
	}
	turns := 0
	p := newProcesses("nobody", dir)
	p.yield = func() { turns++ }
	expect(t, p.look(t.Context()), Bad, "no process nobody runs")
	if turns < all/16 {
		t.Errorf("it yielded %d times among %d processes", turns, all)
	}
	p = newProcesses("a) b999", dir) // the longest one
	expect(t, p.look(t.Context()), Good, "a) b999 runs as process 999")
	var before, after runtime.MemStats
	p = newProcesses("nobody", dir)
	runtime.ReadMemStats(&before)
	expect(t, p.look(t.Context()), Bad, "no process nobody runs")
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / all; each > 1024 {
		t.Errorf("%d bytes of memory for each process", each)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	expect(t, p.look(gone), Unknown, "context canceled")
}

func TestFile(t *testing.T) {
	path := t.TempDir() + "/state"
	now := time.Now()
	f := &file{cfg: &Config{Path: path, Timeout: 5 * time.Second, MaxAge: time.Minute, Contains: "up"}, now: func() time.Time { return now }}
	expect(t, f.look(t.Context()), Bad, "is not there")
	must(t, os.WriteFile(path, []byte("link is up\n"), 0o600))
	expect(t, f.look(t.Context()), Good, "has what it shall contain")
	must(t, os.WriteFile(path, []byte("link is down\n"), 0o600))
	expect(t, f.look(t.Context()), Bad, "lacks what it shall contain")
	f.cfg.Contains = ""
	expect(t, f.look(t.Context()), Good, "is there")
	now = now.Add(2 * time.Minute)
	expect(t, f.look(t.Context()), Bad, "was written 2m0s ago, more than 1m0s")
	now = now.Add(-time.Hour)
	expect(t, f.look(t.Context()), Unknown, "dated in the future")
	f.cfg.MaxAge, f.cfg.Contains = 0, "up"
	must(t, os.WriteFile(path, append(make([]byte, maxContent), "up"...), 0o600))
	expect(t, f.look(t.Context()), Bad, "lacks") // beyond what is searched
	f.cfg.Path = path + "/below"
	expect(t, f.look(t.Context()), Unknown, "not a directory")
}

func TestFileThatHoldsWhoReadsIt(t *testing.T) {
	path := t.TempDir() + "/pipe"
	must(t, unix.Mkfifo(path, 0o600))
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	f := &file{cfg: &Config{Path: path, Timeout: 50 * time.Millisecond, Contains: "up"}, now: time.Now}
	for range 3 {
		expect(t, f.look(t.Context()), Bad, "cannot be read within 50ms")
	}
	under := f.reader.out
	if under == nil {
		t.Fatal("nobody is reading")
	}
	must(t, w.Close()) // who reads meets the end
	f.cfg.Timeout = 5 * time.Second
	if l := f.look(t.Context()); f.reader.out != nil {
		t.Errorf("a second one read: %+v", l)
	}
}
