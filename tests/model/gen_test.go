package model

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/twinbeat/twinbeat/agent/pair"
)

var rewrite = flag.Bool("rewrite", false, "write rules.pml anew")

// TestRulesPmlIsPrintedFromTheTable keeps the model and the checker on one table.
func TestRulesPmlIsPrintedFromTheTable(t *testing.T) {
	want := Promela()
	if *rewrite {
		if err := os.WriteFile("rules.pml", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("rules.pml")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("rules.pml differs from the table (%v); go test ./tests/model -run RulesPml -rewrite", err)
	}
}

var (
	ruleIn   = regexp.MustCompile(`(?m)^  :: .* -> seen\((\d+)\); .*/\* (\w+) \*/$`)
	atomIn   = regexp.MustCompile(`(?m)^#define ([a-z_0-9]+) .*$`)
	effectIn = regexp.MustCompile(`(?m)^inline do_(\w+)\(`)
	stateIn  = regexp.MustCompile(`(?m)^#define ([A-Z]+) (\d+)$`)
)

// names returns the distinct first groups of all matches.
func names(re *regexp.Regexp, group int, text []byte) []string {
	var all []string
	for _, m := range re.FindAllSubmatch(text, -1) {
		all = append(all, string(m[group]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestRulesOfTheModelAndOfTheCheckerAreTheSame reads what spin will read, and
// not what printed it: every rule, atom and effect has its row in Go and the
// other way round, and the states have one name and number in all three places.
func TestRulesOfTheModelAndOfTheCheckerAreTheSame(t *testing.T) {
	rules, err := os.ReadFile("rules.pml")
	if err != nil {
		t.Fatal(err)
	}
	world, err := os.ReadFile("pair.pml")
	if err != nil {
		t.Fatal(err)
	}
	var want, atoms, effects []string
	for _, r := range rows { // what the checker judges by
		if !r.Only {
			want = append(want, r.Name)
			effects = append(effects, r.effects...)
		}
	}
	for _, a := range atomsByName {
		atoms = append(atoms, a.Name)
	}
	for _, list := range []*[]string{&want, &atoms, &effects} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for what, d := range map[string]string{
		"rules":   cmp.Diff(want, names(ruleIn, 2, rules)),
		"atoms":   cmp.Diff(atoms, names(atomIn, 1, rules)),
		"effects": cmp.Diff(effects, names(effectIn, 1, world)),
	} {
		if d != "" {
			t.Errorf("%s of the checker (-) and of the model (+) differ:\n%s", what, d)
		}
	}
	for _, m := range ruleIn.FindAllSubmatch(rules, -1) {
		if i, _ := strconv.Atoi(string(m[1])); rows[i].Name != string(m[2]) {
			t.Errorf("rule %s has the number of %s", m[2], rows[i].Name)
		}
	}
	number := map[string]string{}
	for _, m := range stateIn.FindAllSubmatch(world, -1) {
		number[string(m[1])] = string(m[2])
	}
	for s := pair.Boot; s <= pair.Failed; s++ {
		if number[s.String()] != strconv.Itoa(int(s)) {
			t.Errorf("state %v is %d in agent/pair and %q in pair.pml", s, s, number[s.String()])
		}
	}
}
