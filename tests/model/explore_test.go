package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bounds of one exploration; what reaches one of them is a failure, not a pass.
type bounds struct {
	depth  int           // the longest path that pan follows
	memory int           // MiB
	time   time.Duration // of a processor
}

// patience is how many times its processor time a search may take where others
// compute, too.
const patience = 5

var (
	usual = bounds{1_000_000, 2000, time.Minute}
	wide  = bounds{10_000_000, 8000, 20 * time.Minute} // with -full
)

// needSpin skips where there is no spin or no C compiler.
func needSpin(t *testing.T) {
	t.Helper()
	for _, p := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is missing: make deps installs it", p)
		}
	}
}

// compile makes the explorer of a world in a folder of its own. A search that
// takes seconds is worth optimising, one that fails at once is not.
func compile(t *testing.T, flags string, b bounds, optimise string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range []string{"pair.pml", "rules.pml"} {
		text, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	do := func(name string, args ...string) {
		c := exec.Command(name, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil || bytes.Contains(out, []byte("Error:")) {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	do("spin", slices.Concat([]string{"-a"}, strings.Fields(flags), []string{"pair.pml"})...)
	do("gcc", optimise, "-w", "-DSAFETY", "-DNOREDUCE", "-DVECTORSZ=512", fmt.Sprintf("-DMEMLIM=%d", b.memory), "-o", "pan", "pan.c")
	return dir
}

// A finding is what pan says in the end.
type finding struct {
	errors, states, depth int
	memory                float64 // MiB
	took                  time.Duration
	broken                string // the promise that the first error breaks
	rules                 []int  // that were followed in some state, by number
	text                  string
}

var said = map[string]*regexp.Regexp{
	"errors": regexp.MustCompile(`errors: (\d+)\n`),
	"states": regexp.MustCompile(`(\d+) states, stored`),
	"depth":  regexp.MustCompile(`depth reached (\d+)`),
	"memory": regexp.MustCompile(`([\d.]+)\s+total actual memory usage`),
}

var ruleSaid = regexp.MustCompile(`(?m)^followed (\d+)$`)

// incomplete is what pan says of a search that did not see everything.
var incomplete = []string{"max search depth too small", "out of memory", "memory limit", "Search not completed", "hash-compact", "Bit statespace", "pan: reached"}

// explore runs pan and refuses whatever is not the end of a complete search or
// the first error. drop is the number of the guard to be left out; 0: none.
func explore(dir string, b bounds, drop int) (finding, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience*b.time)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("ulimit -t %d && exec ./pan -m%d", max(1, int(b.time.Seconds())), b.depth))
	c.Dir = dir
	c.Env = append(os.Environ(), fmt.Sprintf("DROP=%d", drop))
	start := time.Now()
	out, err := c.CombinedOutput()
	f := finding{took: time.Since(start), text: string(out)}
	if used := c.ProcessState.UserTime(); ctx.Err() != nil || used >= b.time {
		return f, fmt.Errorf("the search took %v, %v of them computing", f.took, used)
	}
	n := map[string]float64{}
	for name, re := range said {
		m := re.FindStringSubmatch(f.text)
		if m == nil {
			return f, fmt.Errorf("pan did not end as it should (%v): no %s in\n%s", err, name, f.text)
		}
		if n[name], err = strconv.ParseFloat(m[1], 64); err != nil {
			return f, err
		}
	}
	f.errors, f.states, f.depth, f.memory = int(n["errors"]), int(n["states"]), int(n["depth"]), n["memory"]
	for _, m := range ruleSaid.FindAllStringSubmatch(f.text, -1) {
		i, _ := strconv.Atoi(m[1])
		f.rules = append(f.rules, i)
	}
	if f.errors != 0 {
		f.broken = promise(f.text)
		return f, nil
	}
	return f, f.whole()
}

// whole refuses a search that was cut short.
func (f finding) whole() error {
	if !strings.Contains(f.text, "Full statespace search for:") {
		return errors.New("not a full search")
	}
	for _, bad := range incomplete {
		if strings.Contains(f.text, bad) {
			return fmt.Errorf("the search is not complete: %s", bad)
		}
	}
	return nil
}

// The promises, as the assertions of pair.pml tell them apart.
const (
	oneOwner = "never two owners"
	notBoth  = "never both switched off by one cut"
	noLoop   = "no more fence orders than this"
	oneAgain = "a healed world has one owner"
	moving   = "time passes"
)

var asserted = regexp.MustCompile(`assertion violated (.*)\(at depth`)

// promise names what the first error breaks.
func promise(text string) string {
	m := asserted.FindStringSubmatch(text)
	switch {
	case strings.Contains(text, "invalid end state (at depth"):
		return moving
	case m == nil:
		return "?"
	case strings.Contains(m[1], "shots"):
		return noLoop
	case strings.Contains(m[1], "bothoff"):
		return notBoth
	case strings.Contains(m[1], "+"):
		return oneAgain
	case strings.Contains(m[1], "lease"):
		return oneOwner
	}
	return "?"
}

var (
	stepSaid = regexp.MustCompile(`pair\.pml:(\d+) \(state \d+\)\s+\[(.*)\]`)
	ruleTold = regexp.MustCompile(`^rule (\d+) node (\d) group (\d)`)
	plain    = regexp.MustCompile(`^\(1\)$|^else$|goto|healed\)\|\||w\.o = `)
)

// story replays the path to an error in short: what befell the nodes, by the
// line of pair.pml, and the rules that they followed.
func story(dir string) string {
	c := exec.Command("./pan", "-r")
	c.Dir = dir
	c.Env = append(os.Environ(), "STORY=1")
	out, _ := c.CombinedOutput() // an error is what it ends with
	model, _ := os.ReadFile(filepath.Join(dir, "pair.pml"))
	lines := strings.Split(string(model), "\n")
	from := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "inline strike()") })
	to := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "inline pass_node") })
	var b strings.Builder
	tick := 0
	for l := range strings.Lines(string(out)) {
		if m := ruleTold.FindStringSubmatch(l); m != nil {
			i, _ := strconv.Atoi(m[1])
			fmt.Fprintf(&b, "%4d   node %s, group %s: %s\n", tick, m[2], m[3], Rules[i].Name)
		}
		m := stepSaid.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		if strings.Contains(m[2], "w.phase==2") {
			tick++
		}
		if i, _ := strconv.Atoi(m[1]); i > from && i <= to && !plain.MatchString(m[2]) {
			fmt.Fprintf(&b, "%4d %s\n", tick, strings.TrimSpace(lines[i-1]))
		}
	}
	return b.String()
}
