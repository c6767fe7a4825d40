package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tourStart bounds how long a busy machine takes from the start to the first
// step of the tour.
const tourStart = 90 * time.Second

// TestAnInterruptedDemoLeavesNothingBehind runs the real demo and ends it in
// the midst of its tour, kindly and unkindly.
func TestAnInterruptedDemoLeavesNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and boots a pair")
	}
	program := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	for _, c := range []struct {
		signal syscall.Signal
		clean  bool // it gets to remove its directory
	}{{syscall.SIGTERM, true}, {syscall.SIGKILL, false}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			dir, err := os.MkdirTemp("/tmp", "demo-test-") // short: see lab.Launch
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			code := interrupt(t, program, dir, c.signal)
			if c.clean && code != exitInterrupted {
				t.Errorf("exit %d, want %d", code, exitInterrupted)
			}
			if left, _ := filepath.Glob(dir + "/*"); c.clean && len(left) > 0 {
				t.Errorf("files left: %q", left)
			}
			end := time.Now().Add(10 * time.Second)
			for procs := using(dir); len(procs) > 0; procs = using(dir) {
				if time.Now().After(end) {
					t.Fatalf("processes left: %q", procs)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}

// interrupt starts a tour, sends the signal at its first step and returns the
// exit code.
func interrupt(t *testing.T, program, dir string, s syscall.Signal) int {
	t.Helper()
	cmd := exec.Command(program, "-tour")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(tourStart, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	began := false
	for lines.Scan() {
		t.Log(lines.Text())
		if strings.HasPrefix(lines.Text(), "1/") {
			began = true
			_ = cmd.Process.Signal(s)
		}
	}
	err = cmd.Wait()
	if strings.Contains(errs.String(), "make namespaces") {
		t.Skip("neither root nor user namespaces: ", errs.String())
	}
	if !began {
		t.Fatalf("the tour did not begin: %v: %s", err, errs.String())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// using returns the command lines of what has to do with the directory: agents
// name their configuration, daemons have a /run that is in it, and the demo
// itself has it in its environment.
func using(dir string) []string {
	var out []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		line, _ := os.ReadFile(p + "/cmdline")
		env, _ := os.ReadFile(p + "/environ")
		mounts, _ := os.ReadFile(p + "/mountinfo")
		if bytes.Contains(slices.Concat(line, env, mounts), []byte(dir)) {
			out = append(out, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return out
}
