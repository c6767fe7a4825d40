package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// A row is a rule made ready for the checker.
type row struct {
	Rule
	tests   []test
	effects []string
	states  uint16
	claim   bool // it answers a CLAIM
	must    bool // a node must follow it
}

// A test is one conjunct of a guard.
type test struct {
	holds func(*facts) bool
	not   bool
}

func (r *row) from(s pair.State) bool  { return r.states&(1<<s) != 0 }
func (r *row) does(effect string) bool { return slices.Contains(r.effects, effect) }

var (
	rows        []row
	atomsByName = map[string]Atom{}
)

func init() {
	for _, a := range Atoms {
		if atomsByName[a.Name].Go != nil {
			panic("model: two atoms " + a.Name)
		}
		atomsByName[a.Name] = a
	}
	for _, r := range Rules {
		rows = append(rows, r.row())
	}
}

func (r Rule) row() row {
	w := row{Rule: r, effects: strings.Fields(r.Do), must: !r.May && !r.Only && r.To != 0 && !causes[r.Name]}
	for _, s := range r.From {
		w.states |= 1 << s
	}
	for _, g := range r.guards() {
		name, not := strings.CutPrefix(g, "!")
		a, ok := atomsByName[name]
		if !ok {
			panic(fmt.Sprintf("model: rule %s asks for %q", r.Name, g))
		}
		w.tests = append(w.tests, test{a.Go, not})
		w.claim = w.claim || g == "rx_claim"
	}
	return w
}
