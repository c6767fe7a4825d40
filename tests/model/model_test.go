package model

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var full = flag.Bool("full", false, "explore the larger worlds, too")

// fewest is the least that an exploration must have seen to mean anything.
const fewest = 10_000

// A tally collects what the worlds had to tell.
type tally struct {
	sync.Mutex
	lines    []string
	worlds   int
	followed map[int]bool
}

// note adds a world.
func (y *tally) note(i int, w world, f finding) {
	y.Lock()
	defer y.Unlock()
	y.worlds++
	y.lines = append(y.lines, fmt.Sprintf("%02d %-20s %9d states, depth %6d, %4.0f MiB, %5.1f s  %s", i, w.name, f.states, f.depth, f.memory, f.took.Seconds(), w.says))
	for _, r := range f.rules {
		y.followed[r] = true
	}
}

// TestEveryStateKeepsThePromise explores each world to its end.
func TestEveryStateKeepsThePromise(t *testing.T) {
	needSpin(t)
	y, all, start := &tally{followed: map[int]bool{}}, 0, time.Now()
	t.Run("worlds", func(t *testing.T) {
		for i, w := range worlds {
			if w.full && !*full {
				continue
			}
			all++
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				keepsThePromise(t, i, w, y)
			})
		}
	})
	slices.Sort(y.lines)
	t.Logf("%d worlds, %v\n%s", y.worlds, time.Since(start).Round(time.Second), strings.Join(y.lines, "\n"))
	if y.worlds < all {
		return // a part was asked for, or something failed
	}
	for i, r := range Rules {
		if !r.Only && !y.followed[i] {
			t.Errorf("rule %s was followed in no state of any world", r.Name)
		}
	}
}

func keepsThePromise(t *testing.T, i int, w world, y *tally) {
	t.Helper()
	b, how := usual, "-O1"
	if w.full {
		b, how = wide, "-O2"
	}
	dir := compile(t, w.flags, b, how)
	f, err := explore(dir, b, 0)
	switch {
	case err != nil:
		t.Fatal(err)
	case f.errors != 0:
		t.Fatalf("%s: broken: %s\n%s", w.says, f.broken, story(dir))
	case f.states < fewest:
		t.Fatalf("only %d states", f.states)
	}
	y.note(i, w, f)
}

// A wrong is a world in which one rule, effect, time or part is broken: the
// model must find the harm, or it proves nothing. The world itself is sound.
type wrong struct {
	name, world string
	flags       string // what is broken
	drop        string // or the guard that is left out
	breaks      string // the promise that falls
}

// TestWhatIsWrongIsFound proves that the model can fail.
func TestWhatIsWrongIsFound(t *testing.T) {
	needSpin(t)
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(worlds, func(x world) bool { return x.name == w.world && !x.full })
			if i < 0 {
				t.Fatalf("no world %s", w.world)
			}
			flags, drop := worlds[i].flags+" "+w.flags, 0
			if w.drop != "" {
				flags += " -DMUTANTS"
				if drop = slices.Index(Drops(), "DROP_"+w.drop) + 1; drop == 0 {
					t.Fatalf("no guard %s", w.drop)
				}
			}
			f, err := explore(compile(t, flags, usual, "-O0"), usual, drop)
			if err != nil {
				t.Fatal(err)
			}
			if f.broken != w.breaks {
				t.Errorf("broken: %q, want %q", f.broken, w.breaks)
			}
			t.Logf("%s: found after %d states", f.broken, f.states)
		})
	}
}

// TestATruncatedSearchIsNoPass cuts a sound exploration short in each way.
func TestATruncatedSearchIsNoPass(t *testing.T) {
	needSpin(t)
	flags := worlds[slices.IndexFunc(worlds, func(w world) bool { return w.name == "silence-crash" })].flags
	for name, b := range map[string]bounds{
		"depth":  {1000, usual.memory, usual.time},
		"memory": {100_000, 180, usual.time},
		"time":   {usual.depth, usual.memory, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := explore(compile(t, flags, b, "-O0"), b, 0)
			if err == nil {
				t.Errorf("%d states, depth %d, %v: passed", f.states, f.depth, f.took)
			}
			t.Log(strings.SplitN(fmt.Sprint(err), "\n", 2)[0])
		})
	}
}
