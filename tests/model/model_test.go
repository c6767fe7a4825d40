package model

import (
	"bytes"
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

// A world is a setting of pair.pml: what may go wrong, and how often.
type world struct {
	name  string
	says  string // what holds in it
	flags string
}

// small is the timing of mode fence where only who owns is asked: nothing of
// that rests on the boot wait or the race.
const small = " -DINIT=2 -DRACE=1"

// worlds are explored exhaustively: every state, every order of every fault
// within the budget. In each, no state has two owners of a group.
var worlds = []world{
	{"fence-links", "links cut in any direction and mended", "-DMODE=1 -DCUTS=1 -DFAULTS=2" + small},
	{"fence-crash", "and power, kills, a device that fails or does not answer", "-DMODE=1 -DPOWER=1 -DKILL=1 -DDEVICE=1 -DCUTS=1 -DFAULTS=2" + small},
	{"fence-stall", "a cut, and stalls at any point of a turn", "-DMODE=1 -DSTALL=1 -DCUT=1 -DFAULTS=2" + small},
	{"fence-orders", "a cut, and handover, maintenance, stop, confirm-dead", "-DMODE=1 -DORDERS=1 -DCUT=1 -DFAULTS=2" + small},
	{"fence-groups", "two groups, a cut and a stall", "-DMODE=1 -DG=2 -DCUT=1 -DSTALL=1 -DFAULTS=1" + small},
	{"fence-both", "one cut of a working pair never switches both off", "-DMODE=1 -DCUT=1 -DBOTHOFF=1 -DFAULTS=1"},
	{"fence-both-groups", "nor with an owner on each side", "-DMODE=1 -DG=2 -DCUT=1 -DBOTHOFF=1 -DFAULTS=1"},
	{"fence-heal", "a healed world has one owner, and keeps it", "-DMODE=1 -DHEAL=1 -DCUT=1 -DSTALL=1 -DPOWER=1 -DFAULTS=1"},

	{"silence-crash", "links whole, no LAN; stalls, kills, power", "-DMODE=2 -DSTALL=1 -DKILL=1 -DPOWER=1 -DNOLAN=1 -DFAULTS=2"},
	{"silence-links", "links cut, and the LAN, not at once; stalls", "-DMODE=2 -DCUTS=1 -DLANCUT=1 -DSTALL=1 -DFAULTS=2"},
	{"silence-loss", "any frame lost or late, always; LAN whole", "-DMODE=2 -DLOSS=1"},
	{"silence-orders", "a cut, and orders", "-DMODE=2 -DORDERS=1 -DCUT=1 -DFAULTS=2"},
	{"silence-groups", "two groups, a stall", "-DMODE=2 -DG=2 -DSTALL=1 -DNOLAN=1 -DFAULTS=1"},
	{"silence-heal", "a healed world has one owner, and keeps it", "-DMODE=2 -DHEAL=1 -DCUTS=1 -DSTALL=1 -DPOWER=1 -DKILL=1 -DFAULTS=1"},

	{"lease-stall", "a cut, no LAN; stalls", "-DMODE=3 -DSTALL=1 -DCUT=1 -DNOLAN=1 -DFAULTS=2"},
	{"lease-crash", "links cut, no LAN; stalls, kills, power", "-DMODE=3 -DCUTS=1 -DSTALL=1 -DKILL=1 -DPOWER=1 -DNOLAN=1 -DFAULTS=2"},
	{"lease-orders", "a cut, no LAN, orders", "-DMODE=3 -DORDERS=1 -DCUT=1 -DNOLAN=1 -DFAULTS=2"},
	{"lease-groups", "two groups, a cut, a stall", "-DMODE=3 -DG=2 -DCUT=1 -DSTALL=1 -DNOLAN=1 -DFAULTS=1"},
	{"lease-fence", "a device as well", "-DMODE=3 -DHASFENCE=1 -DCUT=1 -DPOWER=1 -DKILL=1 -DFAULTS=2"},
	{"lease-heal", "a healed world has one owner, and keeps it", "-DMODE=3 -DHEAL=1 -DCUTS=1 -DSTALL=1 -DPOWER=1 -DKILL=1 -DFAULTS=1"},
}

const (
	// maxDepth is the longest path that pan follows; a longer one fails the test.
	maxDepth = 4_000_000
	// maxMemory is what one exploration may use, in MiB; pan gives up beyond.
	maxMemory = 2000
	// maxTime ends an exploration that goes on and on.
	maxTime = 4 * time.Minute
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

// compile makes the explorer of a world in a folder of its own.
func compile(t *testing.T, flags string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range []string{"pair.pml", "rules.pml"} {
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	do := func(name string, args ...string) {
		c := exec.Command(name, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "Error:") {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	do("spin", slices.Concat([]string{"-a"}, strings.Fields(flags), []string{"pair.pml"})...)
	do("gcc", "-O2", "-w", "-DSAFETY", "-DNOREDUCE", "-DVECTORSZ=512", fmt.Sprintf("-DMEMLIM=%d", maxMemory), "-o", "pan", "pan.c")
	return dir
}

// A finding is what pan says in the end.
type finding struct {
	errors, states, depth int
	memory                float64 // MiB
	took                  time.Duration
	text                  string
}

var said = map[string]*regexp.Regexp{
	"errors": regexp.MustCompile(`errors: (\d+)`),
	"states": regexp.MustCompile(`(\d+) states, stored`),
	"depth":  regexp.MustCompile(`depth reached (\d+)`),
	"memory": regexp.MustCompile(`([\d.]+)\s+total actual memory usage`),
}

// explore runs pan and refuses whatever is not the end of a complete search,
// or the first error. DROP is the number of the guard to be left out; 0: none.
func explore(t *testing.T, dir string, drop int) finding {
	t.Helper()
	c := exec.Command("timeout", fmt.Sprint(int(maxTime.Seconds())), "./pan", fmt.Sprintf("-m%d", maxDepth))
	c.Dir = dir
	c.Env = append(os.Environ(), fmt.Sprintf("DROP=%d", drop))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	start := time.Now()
	err := c.Run()
	f := finding{took: time.Since(start), text: out.String()}
	number := func(name string) float64 {
		m := said[name].FindStringSubmatch(f.text)
		if m == nil {
			t.Fatalf("pan did not end as it should (%v): no %s in\n%s", err, name, f.text)
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	f.errors, f.states, f.depth, f.memory = int(number("errors")), int(number("states")), int(number("depth")), number("memory")
	for _, bad := range []string{"search depth too small", "out of memory", "memory limit", "Search not completed"} {
		if f.errors == 0 && strings.Contains(f.text, bad) {
			t.Fatalf("the search is not complete: %s", bad)
		}
	}
	return f
}

// fewest is the least that an exploration must have seen to mean anything.
const fewest = 10_000

// TestEveryStateKeepsThePromise explores each world to its end.
func TestEveryStateKeepsThePromise(t *testing.T) {
	needSpin(t)
	var table strings.Builder
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			f := explore(t, compile(t, w.flags), 0)
			if f.errors != 0 {
				t.Errorf("%s: broken\n%s", w.says, f.text)
			}
			if f.states < fewest {
				t.Errorf("only %d states", f.states)
			}
			fmt.Fprintf(&table, "%-18s %9d states, depth %7d, %4.0f MiB, %5.1f s  %s\n", w.name, f.states, f.depth, f.memory, f.took.Seconds(), w.says)
		})
	}
	t.Logf("\n%s", &table)
}

// wrongs are worlds in which something of the kernel, the device, the timing or
// the assumption is wrong: the model must find the harm, or it proves nothing.
var wrongs = []world{
	{"no turn mark", "the kernel grants and renews for a turn of any age", "-DMODE=2 -DSTALL=1 -DNOLAN=1 -DFAULTS=2 -DMUT_NO_MARK=1"},
	{"a lapsed lease comes back", "the kernel revives what has ended", "-DMODE=2 -DSTALL=1 -DNOLAN=1 -DFAULTS=2 -DMUT_REVIVE=1 -DMUT_NO_MARK=1"},
	{"frames before gates", "RELEASED leaves before the gate closes", "-DMODE=2 -DORDERS=1 -DSTALL=1 -DFAULTS=2 -DMUT_SAY_FIRST=1"},
	{"the takeover is early", "silence shorter than lease and window", "-DMODE=2 -DSTALL=1 -DNOLAN=1 -DFAULTS=2 -DTAKE=3"},
	{"the takeover is early, mode lease", "and shorter than the acknowledgement", "-DMODE=3 -DSTALL=1 -DCUT=1 -DNOLAN=1 -DFAULTS=2 -DTAKE=5"},
	{"the hold is short", "a GRANT may be used after its promise ended", "-DMODE=2 -DCUTS=1 -DSTALL=1 -DNOLAN=1 -DAPART=0 -DFAULTS=2 -DHOLD=0"},
	{"probes do not hear probes", "two that boot apart both take", "-DMODE=2 -DCUTS=1 -DSTALL=1 -DKILL=1 -DFAULTS=3 -DMUT_DEAF_PROBE=1 -DLONGPROBE=2"},
	{"the device lies", "off, and nothing was done", "-DMODE=1 -DCUTS=1 -DFAULTS=1 -DMUT_LIAR=1" + small},
	{"the race is short", "one cut switches both off", "-DMODE=1 -DCUT=1 -DBOTHOFF=1 -DFAULTS=1 -DRACE=3"},

	{"links and LAN cut at once", "what mode silence does not promise", "-DMODE=2 -DCUTS=1 -DLANCUT=1 -DAPART=0 -DFAULTS=2"},
}

// TestWhatIsWrongIsFound proves that the model can fail.
func TestWhatIsWrongIsFound(t *testing.T) {
	needSpin(t)
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			f := explore(t, compile(t, w.flags), 0)
			if f.errors == 0 {
				t.Errorf("%s: not found in %d states", w.says, f.states)
			}
			t.Logf("%s: found after %d states", w.says, f.states)
		})
	}
}
