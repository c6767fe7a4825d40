package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A mutant whose text is no longer in the sources would kill nothing, and
// nobody would see it.
func TestEveryMutantStillApplies(t *testing.T) {
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all() {
		if _, err := m.apply(root); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryMutantNamesItsRuleAndItsRings(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, m := range all() {
		switch {
		case !name.MatchString(m.name) || seen[m.name]:
			t.Errorf("%q: not a name, or used twice", m.name)
		case !strings.HasSuffix(m.rule, "."):
			t.Errorf("%s: the rule is no sentence: %q", m.name, m.rule)
		case len(strings.Fields(m.rings)) == 0:
			t.Errorf("%s: no ring", m.name)
		}
		if _, err := regexp.Compile(m.by); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		for _, r := range strings.Fields(m.rings) {
			if !slices.Contains(ringNames(), r) {
				t.Errorf("%s: there is no ring %q", m.name, r)
			}
		}
		seen[m.name] = true
	}
}

func TestATextThatIsNotThereOnceIsAnError(t *testing.T) {
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]edit{
		"absent":    {"fence/fence.go", "no such text in it", ""},
		"often":     {"fence/fence.go", "return", ""},
		"unchanged": {"fence/fence.go", "package fence", "package fence"},
		"no file":   {"fence/none.go", "package fence", ""},
	} {
		if _, err := (mutant{name: name, edits: edits{e}}).apply(root); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
}

// The runner itself must be able to see a survivor, a kill and a mistake.
func TestTheRunnerTellsKillsFromSurvivorsAndMistakes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs a ring three times")
	}
	root, err := lab.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	l, err := newWorkshop(t.Context(), root, false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	word := in("agent/pair/names.go")
	for new, want := range map[string]string{"\"STANDBY\" ": "survives", "\"STANDBI\"": "killed", "STANDBY": "error"} {
		o := l.judgeOne(mutant{name: "test", rings: "transcripts", edits: edits{word(`"STANDBY"`, new)}})
		got := "survives"
		if o.killed() {
			got = "killed"
		}
		if o.err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", new, got, o.err, want)
		}
	}
}
