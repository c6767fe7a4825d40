package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// buildTime bounds one compilation, runTime one run of a part. A mutant that
	// hangs is killed by the clock of the tests, or else by ours.
	buildTime = 3 * time.Minute
	runTime   = 2 * time.Minute
	backstop  = 20 * time.Second
	// maxOutput is how much of a run's output is kept.
	maxOutput = 1 << 18
)

// errBuild says that a mutant does not compile: a mistake of the table.
var errBuild = errors.New("it does not build")

// A workshop builds and runs rings.
type workshop struct {
	ctx   context.Context
	root  string
	full  bool
	dir   string                     // temporary
	deps  map[string]map[string]bool // of a part's package: folders that its tests are made of
	timed sync.Mutex                 // held by the one timed run
}

func newWorkshop(ctx context.Context, root string, full bool) (*workshop, error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	l := &workshop{ctx: ctx, root: root, full: full, dir: dir, deps: map[string]map[string]bool{}}
	for _, r := range rings {
		for _, p := range r.parts {
			if l.deps[p.pkg], err = l.graph(p.pkg); err != nil {
				l.close()
				return nil, err
			}
		}
	}
	return l, nil
}

func (l *workshop) close() { _ = os.RemoveAll(l.dir) }

// graph returns the folders of the module that the tests of a package contain.
func (l *workshop) graph(pkg string) (map[string]bool, error) {
	cmd := exec.CommandContext(l.ctx, "go", "list", "-deps", "-test", "-f", "{{.Dir}}", "./"+pkg)
	cmd.Dir = l.root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list dependencies of %s: %w", pkg, err)
	}
	folders := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if rel, err := filepath.Rel(l.root, strings.TrimSpace(line)); err == nil && !strings.HasPrefix(rel, "..") {
			folders[filepath.ToSlash(rel)] = true
		}
	}
	return folders, nil
}

// reaches says whether the mutant is in what the part tests.
func (l *workshop) reaches(p part, m mutant) bool {
	return slices.ContainsFunc(m.packages(), func(dir string) bool { return l.deps[p.pkg][dir] })
}

// plan returns the rings to ask about a mutant, in their order.
func (l *workshop) plan(m mutant) []ring {
	var out []ring
	for _, r := range rings {
		reached := slices.ContainsFunc(r.parts, func(p part) bool { return l.reaches(p, m) })
		if reached && (l.full || m.oughtTo(r.name)) {
			out = append(out, r)
		}
	}
	return out
}

// sound runs every ring that is needed without a mutant: a ring that fails by
// itself proves nothing.
func (l *workshop) sound(chosen []mutant) error {
	need := map[string]bool{}
	for _, m := range chosen {
		for _, r := range l.plan(m) {
			need[r.name] = true
		}
	}
	for _, r := range rings {
		if !need[r.name] {
			continue
		}
		v, err := l.try(r, mutant{name: "none"}, "")
		if err == nil && v.killed {
			err = fmt.Errorf("%s fails, %s", r.name, v.by)
		}
		if err != nil {
			return fmt.Errorf("run the rings without a mutant: %w", err)
		}
	}
	return nil
}

// A verdict is what one ring says of one mutant.
type verdict struct {
	ring   string
	killed bool
	by     string // the test that failed, or how it ended
	took   time.Duration
}

// An outcome is what became of a mutant.
type outcome struct {
	mutant
	verdicts []verdict
	err      error
}

func (o outcome) killed() bool {
	return slices.ContainsFunc(o.verdicts, func(v verdict) bool { return v.killed })
}

// judge judges the mutants, several at once, and prints each as it is done.
func (l *workshop) judge(chosen []mutant, workers int) []outcome {
	outcomes := make([]outcome, len(chosen))
	next := make(chan int)
	var all sync.WaitGroup
	var printing sync.Mutex
	for range workers {
		all.Go(func() {
			for i := range next {
				outcomes[i] = l.judgeOne(chosen[i])
				printing.Lock()
				printOutcome(os.Stdout, outcomes[i])
				printing.Unlock()
			}
		})
	}
	done := 0
	for i := range chosen {
		if l.ctx.Err() != nil {
			break
		}
		next <- i
		done = i + 1
	}
	close(next)
	all.Wait()
	return outcomes[:done]
}

func (l *workshop) judgeOne(m mutant) outcome {
	o := outcome{mutant: m}
	plan := l.plan(m)
	if len(plan) == 0 {
		o.err = errors.New("no ring is named that contains it")
	}
	for _, r := range plan {
		v, err := l.try(r, m, m.by)
		if err == nil && !v.killed && m.by != "" {
			v, err = l.try(r, m, "") // not those; perhaps others of the ring
		}
		if err != nil {
			o.err = err
			return o
		}
		o.verdicts = append(o.verdicts, v)
		if v.killed && !l.full {
			return o
		}
	}
	return o
}

// try builds and runs a ring against a mutant; only narrows it to tests.
func (l *workshop) try(r ring, m mutant, only string) (verdict, error) {
	began := time.Now()
	v := verdict{ring: r.name}
	for _, p := range r.parts {
		if len(m.edits) > 0 && !l.reaches(p, m) {
			continue
		}
		if err := l.ctx.Err(); err != nil {
			return v, err
		}
		bin, err := l.build(p, m)
		if err != nil {
			return v, err
		}
		v.by, v.killed = l.runPart(r, p, bin, only)
		_ = os.Remove(bin)
		if v.killed {
			break
		}
	}
	v.took = time.Since(began)
	return v, nil
}

// build compiles a part's tests with the doctored files in place.
func (l *workshop) build(p part, m mutant) (string, error) {
	dir, err := os.MkdirTemp(l.dir, "")
	if err != nil {
		return "", err
	}
	args := []string{"test", "-c", "-ldflags=-s -w", "-o", filepath.Join(dir, "test")}
	if len(m.edits) > 0 {
		overlay, err := l.overlay(dir, m)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	ctx, cancel := context.WithTimeout(l.ctx, buildTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+p.pkg)...)
	cmd.Dir = l.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %w\n%s", m.name, errBuild, err, out)
	}
	return filepath.Join(dir, "test"), nil
}

// overlay writes the doctored files and the list that puts them in place.
func (l *workshop) overlay(dir string, m mutant) (string, error) {
	files, err := m.apply(l.root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, src := range files {
		doctored := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(doctored, src, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(l.root, name)] = doctored
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, b, 0o600)
}

// runPart runs a part's tests. In a timed ring the test that failed must fail
// once more: the machine may have been busy.
func (l *workshop) runPart(r ring, p part, bin, only string) (by string, killed bool) {
	if r.timed {
		l.timed.Lock()
		defer l.timed.Unlock()
	}
	pattern := cmp.Or(only, p.run)
	for {
		failed, text := l.execute(p, bin, pattern)
		if !failed {
			return "", false
		}
		test := failedTest(text)
		top, _, _ := strings.Cut(test, "/")
		if !r.timed || test == "" || pattern == "^"+top+"$" {
			return cmp.Or(test, lastLine(text)), true
		}
		pattern = "^" + top + "$"
	}
}

// execute runs a test binary in its package's folder.
func (l *workshop) execute(p part, bin, pattern string) (failed bool, text string) {
	ctx, cancel := context.WithTimeout(l.ctx, runTime+backstop)
	defer cancel()
	args := []string{"-test.short", "-test.failfast", "-test.timeout", runTime.String()}
	if pattern != "" {
		args = append(args, "-test.run", pattern)
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = filepath.Join(l.root, p.pkg)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bounded
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return err != nil && l.ctx.Err() == nil, out.String()
}

// bounded keeps the first part of what is written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, maxOutput-b.Len()))])
	return len(p), nil
}

var failLine = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// failedTest names the first test that failed, with the first of its parts.
func failedTest(text string) string {
	found := failLine.FindAllStringSubmatch(text, 2)
	switch {
	case len(found) == 0:
		return ""
	case len(found) == 2 && strings.HasPrefix(found[1][1], found[0][1]+"/"):
		return found[1][1]
	}
	return found[0][1]
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return "ended: " + lines[len(lines)-1]
}
