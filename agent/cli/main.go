// Package cli decides what an operator's command line means and how the answer
// reads; it refuses to decide anything about the pair, which is asked over the
// control socket, or built and run by package agent.
//
// Start reading at [Main], then the table in commands.go.
//
// Manners: what was asked for goes to stdout, all else to stderr. An error is
// one line, "twinbeat: ...", without capital or full stop, and "hint:" lines say
// what to do about it. There is no colour. Exit codes are those below.
package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

// Exit codes.
const (
	exitWell     = 0
	exitFailed   = 1 // it could not be done, or is not known to be done
	exitUsage    = 2 // the command line makes no sense; nothing was done
	exitDegraded = 3 // the answer is complete, and one more fault could cost the service
)

// version is set by the build: -ldflags "-X <this package>.version=v1.2.3".
var version = "dev"

// A shell is what one command runs in.
type shell struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// A usageError is a command line that makes no sense.
type usageError struct {
	text string
	hint string // empty: the synopsis of the command
}

func (e *usageError) Error() string { return e.text }

// Hint returns what to type instead.
func (e *usageError) Hint() string { return e.hint }

// errDegraded ends a command that gave its answer with exitDegraded.
var errDegraded = errors.New("degraded")

// Main runs the command that args name, without the program's name, and returns
// the exit code. It is the whole program but for os.Exit.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	sh := &shell{stdin: stdin, stdout: stdout, stderr: stderr}
	err := sh.dispatch(args)
	if err != nil && !errors.Is(err, errDegraded) {
		sh.complain(err)
	}
	return exitOf(err)
}

// complain prints an error and what to do about it. Its text may come from the
// other end of a socket, so it is cleaned.
func (sh *shell) complain(err error) {
	for i, line := range strings.Split(strings.TrimSpace(err.Error()), "\n") {
		if i == 0 {
			line = "twinbeat: " + line
		}
		fmt.Fprintln(sh.stderr, report.Clean(line))
	}
	if hint := control.Hint(err); hint != "" {
		for line := range strings.Lines(hint) {
			fmt.Fprintln(sh.stderr, "hint: "+report.Clean(strings.TrimRight(line, "\n")))
		}
	}
}

// print writes an answer; an answer that did not arrive is an error.
func (sh *shell) print(text string) error {
	if _, err := io.WriteString(sh.stdout, text); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func (sh *shell) dispatch(args []string) error {
	if len(args) == 0 {
		fmt.Fprint(sh.stderr, overview())
		return &usageError{text: "no command given", hint: "twinbeat status shows the pair, twinbeat help lists all"}
	}
	name := args[0]
	switch name {
	case "help", "-h", "-help", "--help":
		return sh.help(args[1:])
	case "-version", "--version":
		name = "version"
	}
	if strings.HasPrefix(name, "-") {
		return &usageError{text: fmt.Sprintf("%s stands before the command", name), hint: "flags follow the command: twinbeat status --json"}
	}
	c, words, err := match(append([]string{name}, args[1:]...))
	if err != nil {
		return err
	}
	o, rest, err := c.parse(words)
	if errors.Is(err, errHelp) {
		return sh.print(c.help())
	}
	if err == nil {
		err = c.run(sh, o, rest)
	}
	return c.advise(err)
}

// advise gives every error a hint, so that nobody is left with the bare fact.
func (c *command) advise(err error) error {
	var usage *usageError
	if errors.As(err, &usage) && usage.hint == "" {
		usage.hint = "usage: " + c.synopsis()
	}
	if err == nil || errors.Is(err, errDegraded) || control.Hint(err) != "" {
		return err
	}
	return &advised{err, c.advice(err)}
}

func (c *command) advice(err error) string {
	var file *fs.PathError
	switch {
	case errors.As(err, &file) && errors.Is(err, fs.ErrNotExist):
		return "is the path right? nothing is there"
	case errors.As(err, &file) && errors.Is(err, fs.ErrPermission):
		return "run it as root, or as the owner of " + file.Path
	case errors.As(err, &file):
		return "look at " + file.Path
	case slices.Contains(c.flags, "socket"):
		return "twinbeat status shows both nodes, twinbeat events what happened"
	}
	return "twinbeat help " + c.name
}

// advised is an error whose hint comes from the command it ended.
type advised struct {
	error
	hint string
}

func (e *advised) Unwrap() error { return e.error }

// Hint returns what to do about it.
func (e *advised) Hint() string { return e.hint }

func (sh *shell) help(args []string) error {
	if len(args) == 0 {
		return sh.print(overview())
	}
	c, _, err := match(args)
	if err != nil {
		return err
	}
	return sh.print(c.help())
}

// unknown is the error for a word that is none of those known.
func unknown(what, word string, known []string) error {
	hint := "known: " + strings.Join(known, ", ")
	if near := nearest(word, known); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return &usageError{text: fmt.Sprintf("unknown %s %q", what, word), hint: hint}
}

// maxSlip is how many keystrokes a word may be wrong and still be recognised.
const maxSlip = 2

// nearest returns the known word that is most like the given one, "" if none is
// like it.
func nearest(word string, known []string) string {
	best, bestCost := "", maxSlip+1
	if len(word) > 40 { // no word of ours; the cost grows with the square
		return ""
	}
	for _, k := range known {
		cost := slips(strings.ToLower(word), k)
		if len(word) >= 3 && strings.HasPrefix(k, word) {
			cost = 0
		}
		if cost < bestCost && cost < len(k) {
			best, bestCost = k, cost
		}
	}
	return best
}

// slips counts the letters to insert, drop or replace to make a of b (Levenshtein).
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
