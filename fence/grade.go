package fence

import "fmt"

// A Grade says what a proof of off rests on. A higher one is better.
type Grade uint8

// The grades. The zero Grade is of no evidence at all.
const (
	GradeNone  Grade = iota
	GradeWeak        // an order that nobody can read back: never a proof by itself
	GradeClaim       // the device says twice that it is off
	GradeLoad        // and a meter that showed the node's load shows that it is gone
)

// grades are the words of history and status.
var grades = [...]string{"none", "order given", "off, relay claim only", "off, relay and load"}

// String returns the words that are logged.
func (g Grade) String() string {
	if int(g) < len(grades) {
		return grades[g]
	}
	return fmt.Sprintf("Grade(%d)", uint8(g))
}

// MarshalText writes the words of String.
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the words of String and refuses any other.
func (g *Grade) UnmarshalText(text []byte) error {
	for i, word := range grades {
		if word == string(text) {
			*g = Grade(i)
			return nil
		}
	}
	return fmt.Errorf("read grade: %q is none", text)
}

// A Grader is a Switch whose evidence can never be better than a grade. One of
// GradeWeak is commanded, but never proven; see Prover.Off. A Switch that is
// no Grader may reach GradeLoad.
type Grader interface {
	BestGrade() Grade
}
