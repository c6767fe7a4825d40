package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// maxProblems bounds the list that Parse returns. A file with more faults
// than this gets a last line that counts the rest.
const maxProblems = 100

// A Problem is one thing that is wrong, or risky, in a file.
type Problem struct {
	File    string // as given to Parse
	Line    int    // starts at 1
	Key     string // such as group[0].addresses[2], counted from 0; empty for the file as a whole
	Text    string // what is wrong
	Hint    string // what to do about it
	Warning bool   // the file works, but the operator should know
}

// String returns the problem as one line in the form compilers use, with the
// hint on a second line.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}

// Error makes a Problem an error, for callers that give up at the first.
func (p Problem) Error() string { return p.String() }

// Refused says whether one of the problems is more than a warning. A
// configuration that came with such a problem must not be used.
func Refused(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// sortProblems orders problems as a reader meets them in the file.
func sortProblems(problems []Problem) []Problem {
	sortBy(problems, byLine)
	if len(problems) <= maxProblems {
		return problems
	}
	// Warnings give way first: a refusal must never be cut off by them.
	sortBy(problems, func(a, b Problem) int { return cmp.Compare(severity(a), severity(b)) })
	rest := problems[maxProblems:]
	problems = problems[:maxProblems:maxProblems]
	sortBy(problems, byLine)
	last := problems[maxProblems-1]
	return append(problems, Problem{
		File: last.File, Line: last.Line, Warning: !Refused(rest),
		Text: fmt.Sprintf("%d more problems are not shown", len(rest)),
		Hint: "repair those above first",
	})
}

// sortBy is slices.SortStableFunc without its copy for each type.
func sortBy(problems []Problem, compare func(a, b Problem) int) {
	sort.SliceStable(problems, func(i, k int) bool { return compare(problems[i], problems[k]) < 0 })
}

func byLine(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
}

func severity(p Problem) int {
	if p.Warning {
		return 1
	}
	return 0
}

// maxGuess is the longest name for which closest looks for a likeness: no key
// of ours is longer, and the cost grows with the square.
const maxGuess = 40

// closest returns the candidate that is most like name, if any is like
// enough that a slip of the fingers explains it.
func closest(name string, candidates []string) (string, bool) {
	if len(name) > maxGuess {
		return "", false
	}
	best, bestCost := "", len(name)/3+2
	for _, c := range candidates {
		cost := distance(strings.ToLower(name), c)
		if cost < bestCost && cost < len(c) {
			best, bestCost = c, cost
		}
	}
	return best, best != ""
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours cost one each.
func distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
