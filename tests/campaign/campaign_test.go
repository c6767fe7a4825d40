package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// testLabs is how many pairs the tests run at once.
const testLabs = 4

// program is the program under test. The environment may name one that was
// built before.
var program = os.Getenv("TWINBEAT_E2E_BINARY")

func TestMain(m *testing.M) { os.Exit(enter(m)) }

func enter(m *testing.M) int {
	dir, err := os.MkdirTemp("/tmp", "twinbeat-camp-")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	inner, code, err := lab.Enclose(dir)
	if os.Geteuid() != 0 && errors.Is(err, syscall.EPERM) {
		fmt.Fprintln(os.Stderr, "campaign: skipped, neither root nor user namespaces:", err)
		return 0
	}
	if err != nil {
		return failed(err)
	}
	if !inner {
		return code
	}
	keepDir = filepath.Join("/tmp", "twinbeat-campaign")
	openFiles()
	lab.StayOutside()
	if program == "" {
		if program, err = lab.Build(dir); err != nil {
			return failed(err)
		}
	}
	return m.Run()
}

// play plays plans and fails the test for each violation.
func play(t *testing.T, plans []plan) (all []result) {
	t.Helper()
	c := &campaign{binary: program, labs: testLabs, doneAll: func(growth) {}}
	c.done = func(r result) {
		t.Log(line(r))
		all = append(all, r)
	}
	if err := c.run(t.Context(), blocks(plans)); err != nil {
		t.Error(err)
	}
	return all
}

// TestEveryFaultIsHealedOnce is the campaign in short: each kind of fault, once.
func TestEveryFaultIsHealedOnce(t *testing.T) {
	var plans []plan
	for i, f := range catalogue {
		plans = append(plans, single(1, i, f))
	}
	slices.SortStableFunc(plans, func(a, b plan) int { return strings.Compare(a.Class, b.Class) })
	all := play(t, plans)
	var sum tally
	for _, r := range all {
		sum.add(r)
		if r.Missing != "" {
			t.Logf("%s: %s", r.Faults[0], r.Missing)
		}
	}
	t.Log(sum)
	if len(all) != len(plans) && !t.Failed() {
		t.Errorf("%d of %d faults were played", len(all), len(plans))
	}
}

func TestAPlanFollowsFromSeedAndNumber(t *testing.T) {
	seen := map[string]int{}
	doubles := 0
	const n = 4000
	for i := range n {
		p := newPlan(7, i)
		if !reflect.DeepEqual(p, newPlan(7, i)) {
			t.Fatalf("iteration %d is not the same twice", i)
		}
		for _, k := range p.Picks {
			seen[k.Fault]++
		}
		if len(p.Picks) > 1 {
			doubles++
		}
	}
	for _, f := range catalogue {
		if seen[f.name] == 0 {
			t.Errorf("%s never strikes in %d iterations", f.name, n)
		}
	}
	if doubles < n/10 {
		t.Errorf("only %d of %d iterations have two faults", doubles, n)
	}
	if reflect.DeepEqual(newPlan(7, 1), newPlan(8, 1)) {
		t.Error("another seed gives the same iteration")
	}
}

func TestFaultsBeyondWhatAModePromisesDoNotMeet(t *testing.T) {
	get := func(name string) fault {
		f, err := faultNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		class, a, b string
		want        bool
	}{
		{"silence", "cut-both", "cut-lan-owner", false},
		{"lease", "cut-both", "cut-lan-owner", true},
		{"silence", "cut-serial", "cut-lan-owner", true},
		{"silence", "nft-flushed-owner", "kill-owner", false},
		{"silence", "kill-owner", "power-off-owner", false},
		{"silence", "cut-both", "kill-owner", true},
	} {
		if got := goTogether(classNamed(c.class), get(c.a), get(c.b)); got != c.want {
			t.Errorf("mode of %s: %s with %s: %v, want %v", c.class, c.a, c.b, got, c.want)
		}
	}
}

func TestEveryCaseOfCTSHasAFault(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range cts {
		if len(c.list()) == 0 && c.note == "" {
			t.Errorf("%s is covered by nothing, and nothing says why", c.name)
		}
		for _, name := range c.list() {
			if _, err := faultNamed(name); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			covered[name] = true
		}
	}
	if len(covered) < 40 {
		t.Errorf("only %d faults stand for a case", len(covered))
	}
}

// TestTheWatchSeesTwoOwners makes two owners by hand, without agents: a watch
// that sees none would prove nothing.
func TestTheWatchSeesTwoOwners(t *testing.T) {
	l, err := lab.New(lab.Options{Binary: program, IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, n := range l.Nodes {
		for _, a := range [][]string{{vip4 + "/16"}, {"fd77::1:1/64", "nodad"}} {
			if _, err := n.Space.Run("ip", append([]string{"addr", "add", "dev", "eth0"}, a...)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	w, err := newWatch(l)
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	w.gated[0].Store(true)
	w.gated[1].Store(true)
	time.Sleep(500 * time.Millisecond)
	v := w.between(0, w.now()-settle)
	for kind, ms := range v.Both {
		if ms < v.Asked/2 {
			t.Errorf("%s: two owners were seen in %d of %d questions", kindNames[kind], ms, v.Asked)
		}
	}
	if _, err := l.Nodes[1].Space.Run("ip", "addr", "flush", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	w.gated[1].Store(false) // it routes as it likes
	time.Sleep(20 * time.Millisecond)
	from := w.now()
	time.Sleep(200 * time.Millisecond)
	if v := w.between(from, w.now()-settle); v.both() != 0 || v.Asked == 0 || w.serves(wellFor) != 0 {
		t.Errorf("one owner: %+v, seen %d", v, w.serves(wellFor))
	}
}

func TestResultsOfSlicesMakeOneRecord(t *testing.T) {
	file := t.TempDir() + "/results"
	f := flags{n: 3, iter: -1, seed: 5, results: file, record: t.TempDir() + "/record"}
	write := func(l row) {
		if err := appendLine(file, l); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		write(row{Head: &head{Commit: "c0ffee", Seed: 5, N: 3, Labs: 1, At: time.Unix(0, 0)}})
		p, err := readResults(file)
		if err != nil {
			t.Fatal(err)
		}
		left, err := f.plans(p)
		if err != nil || len(left) != 3-i || left[0].Index != i {
			t.Fatalf("after %d: %v left, %v", i, left, err)
		}
		write(row{Result: &result{Index: i, Class: "silence", Faults: []string{"kill-owner"}, OutageMS: float64(100 + i), HealMS: 600, Asked: 1000}})
		if i == 1 {
			if err := writeRecord(f); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(f.record); err == nil {
				t.Error("a record of a campaign that is not complete")
			}
		}
	}
	if err := writeRecord(f); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.record)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"iterations: 3", "both active: 0 ms", "| kill-owner | 3 | 3 | 101 / 102 | 600 / 600 | 0 |", "c0ffee", "NearQuorumPoint"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the record does not say %q:\n%s", want, text)
		}
	}
	other := flags{n: 3, seed: 6, results: file}
	write(row{Head: &head{Seed: other.seed}})
	if _, err := readResults(file); err == nil {
		t.Error("two seeds in one file")
	}
}

// A campaign that is told to stop plays no further iteration.
func TestACampaignEndsWhenItIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &campaign{binary: program, labs: 1, done: func(result) { t.Error("played") }, doneAll: func(growth) {}}
	if err := c.run(ctx, blocks([]plan{newPlan(1, 0)})); err != nil {
		t.Error(err)
	}
}

func TestAGroupThatGoesAndComesBackIsNotTwoOwners(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		asked       []question
		both, blind int
	}{
		"two owners":               {[]question{{at: 1 * ms, by: [kinds]uint8{2}}, {at: 2 * ms, by: [kinds]uint8{3}}}, 1, 0},
		"a move":                   {[]question{{at: 1 * ms, by: [kinds]uint8{1}}, {at: 2 * ms, by: [kinds]uint8{3}}, {at: 3 * ms, by: [kinds]uint8{2}}}, 0, 0},
		"a watch that stood still": {[]question{{at: 1 * ms, by: [kinds]uint8{2}}, {at: 800 * ms, took: 900 * ms, by: [kinds]uint8{3}}}, 0, 799},
	} {
		w := &watch{asked: c.asked}
		if v := w.between(0, time.Hour); v.Both[asksARP] != c.both || v.Blind != time.Duration(c.blind)*ms {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
