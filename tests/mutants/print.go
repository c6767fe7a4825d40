package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// printOutcome is one line of a run.
func printOutcome(w io.Writer, o outcome) {
	if o.err != nil {
		fmt.Fprintf(w, "ERROR     %-44s %v\n", o.name, o.err)
		return
	}
	for _, v := range o.verdicts {
		if v.killed {
			fmt.Fprintf(w, "%-11s %5.1fs %-44s %s\n", v.ring, v.took.Seconds(), o.name, v.by)
			return
		}
	}
	fmt.Fprintf(w, "SURVIVED           %-44s %s\n", o.name, o.rule)
}

// printMatrix prints mutant x ring: X killed, - not killed, a blank where the
// ring does not contain what is broken, ! where it ought to have killed.
func printMatrix(w io.Writer, outcomes []outcome) {
	fmt.Fprintf(w, "\n%-44s", "")
	for _, name := range ringNames() {
		fmt.Fprintf(w, " %-4.4s", name)
	}
	fmt.Fprintln(w)
	for _, o := range outcomes {
		fmt.Fprintf(w, "%-44s", o.name)
		for _, name := range ringNames() {
			fmt.Fprintf(w, " %-4s", o.mark(name))
		}
		fmt.Fprintln(w)
	}
}

func (o outcome) mark(ring string) string {
	for _, v := range o.verdicts {
		switch {
		case v.ring != ring:
		case v.killed:
			return "X"
		case o.oughtTo(ring):
			return "!"
		default:
			return "-"
		}
	}
	return ""
}

// summary counts the kills by ring, and fails if anything is left alive.
func summary(w io.Writer, outcomes []outcome, full bool, took time.Duration) error {
	kills := map[string]int{}
	var alive, missed []string
	for _, o := range outcomes {
		if !o.killed() {
			alive = append(alive, o.name)
		}
		for _, v := range o.verdicts {
			if v.killed {
				kills[v.ring]++
			} else if full && o.oughtTo(v.ring) {
				missed = append(missed, o.name+" by "+v.ring)
			}
		}
	}
	fmt.Fprintf(w, "\n%d mutants, %d killed in %v:", len(outcomes), len(outcomes)-len(alive), took.Round(time.Second))
	for _, name := range ringNames() {
		if kills[name] > 0 {
			fmt.Fprintf(w, " %s %d", name, kills[name])
		}
	}
	fmt.Fprintln(w)
	switch {
	case len(alive) > 0:
		return fmt.Errorf("%d not killed: %s", len(alive), strings.Join(alive, ", "))
	case len(missed) > 0:
		return fmt.Errorf("not killed by a ring that ought to: %s", strings.Join(missed, ", "))
	}
	return nil
}
