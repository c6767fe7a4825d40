package model

import (
	"fmt"
	"slices"
	"strings"
)

// Promela prints the atoms and the rules as pair.pml includes them. Each
// conjunct of a guard has a switch, DROP_rule_atom, that leaves it out: see
// [Drops].
func Promela() []byte {
	var b strings.Builder
	b.WriteString("/* rules.pml: printed from rules.go and atoms.go by go test ./tests/model -run RulesPml -rewrite; do not edit. */\n\n")
	for _, a := range Atoms {
		fmt.Fprintf(&b, "#define %s %s\n", a.Name, a.Pml)
	}
	b.WriteString("#ifdef MUTANTS\n")
	for i, d := range Drops() {
		fmt.Fprintf(&b, "#define %s c_expr { dropped[%d] }\n", d, i+1)
	}
	b.WriteString("#else\n")
	for _, d := range Drops() {
		fmt.Fprintf(&b, "#define %s 0\n", d)
	}
	b.WriteString("#endif\n")
	for _, e := range events {
		rules := slices.DeleteFunc(slices.Clone(Rules), func(r Rule) bool { return r.On != e || r.Only })
		fmt.Fprintf(&b, "\ninline on_%s() {\n  if\n", e)
		if twofold(rules) {
			b.WriteString("  :: w.alt ->\n  if\n")
			for _, r := range slices.Backward(rules) {
				b.WriteString(r.promela())
			}
			b.WriteString("  :: else\n  fi\n  :: !w.alt ->\n  if\n")
		}
		for _, r := range rules {
			b.WriteString(r.promela())
		}
		b.WriteString("  :: else\n  fi\n")
		if twofold(rules) {
			b.WriteString("  fi\n")
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}

// Drops returns the switches in the order of their numbers, which begin at 1: a
// model made with -DMUTANTS leaves out the conjunct whose number the
// environment's DROP says.
func Drops() []string {
	var all []string
	for _, r := range Rules {
		for _, g := range r.guards() {
			if !r.Only && !strings.HasPrefix(strings.TrimPrefix(g, "!"), "mode_") {
				all = append(all, r.drop(g))
			}
		}
	}
	return all
}

// twofold reports whether two of the rules may be enabled at once for an owner.
// Then the model tries them in both orders; a node takes the first.
func twofold(rules []Rule) bool {
	n := 0
	for _, r := range rules {
		if r.To != 0 && slices.Contains(r.From, owning[2]) {
			n++
		}
	}
	return n > 1
}

// number is what pan calls the rule by: its place in the table.
func (r Rule) number() int {
	return slices.IndexFunc(Rules, func(x Rule) bool { return x.Name == r.Name })
}

// guards splits the guard.
func (r Rule) guards() []string { return strings.Fields(r.If) }

// drop is the switch that leaves a conjunct out.
func (r Rule) drop(guard string) string {
	return "DROP_" + r.Name + "_" + strings.TrimPrefix(guard, "!")
}

func (r Rule) promela() string {
	from := make([]string, len(r.From))
	for i, s := range r.From {
		from[i] = "gr[k].st==" + s.String()
	}
	guard := "(" + strings.Join(from, " || ") + ")"
	for _, g := range r.guards() {
		if strings.HasPrefix(strings.TrimPrefix(g, "!"), "mode_") { // no mutant: the mode is not a fact
			guard += " && " + g
			continue
		}
		guard += fmt.Sprintf(" && (%s || %s)", g, r.drop(g))
	}
	if r.May {
		guard += " && !w.lazy"
	}
	do := []string{"skip"}
	if r.To != 0 {
		keeps := 0
		if r.By != 0 {
			keeps = 1
		}
		do = []string{fmt.Sprintf("become(%v,%d)", r.To, keeps)}
	}
	for _, e := range strings.Fields(r.Do) {
		do = append(do, "do_"+e+"()")
	}
	return fmt.Sprintf("  :: %s -> seen(%d); %s  /* %s */\n", guard, r.number(), strings.Join(do, "; "), r.Name)
}
