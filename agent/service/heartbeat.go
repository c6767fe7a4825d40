//go:build !lite

package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// resourceDir is where Heartbeat looks for a script first; initDir is next.
const resourceDir = "/etc/ha.d/resource.d"

func init() {
	extras["heartbeat"] = extra{
		check:   func(s Spec) error { return checkScriptName(s.Driver, s.Unit) },
		unit:    func(s Spec) Unit { return &heartbeat{name: s.Unit, args: s.Args, env: s.env()} },
		examine: examineResource,
	}
}

// A heartbeat is a resource script of Heartbeat: its arguments come first,
// then the verb.
//
// Its status is the text on standard output, whatever the exit code: "OK" or
// "running" is running, "not running" or "stopped" is stopped. Heartbeat takes
// everything else for stopped; here it is unknown, and so is a text that says
// both, one beside an exit code of the shell's (126 and up), and "running"
// beside the exit code of a failure.
type heartbeat struct {
	name string
	args []string
	env  []string
}

func (h *heartbeat) Start(ctx context.Context) error   { return h.act(ctx, "start") }
func (h *heartbeat) Stop(ctx context.Context) error    { return h.act(ctx, "stop") }
func (h *heartbeat) Restart(ctx context.Context) error { return stopThenStart(ctx, h) }

func (h *heartbeat) act(ctx context.Context, verb string) error {
	c, err := h.command(verb)
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return act(ctx, verb, c)
}

func (h *heartbeat) command(verb string) (Command, error) {
	script, err := findResource(h.name)
	if err != nil {
		return Command{}, err
	}
	argv := append(append([]string{script}, h.args...), verb)
	return Command{Argv: argv, Env: h.env}, nil
}

// findResource returns the path of a script.
func findResource(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range []string{resourceDir, initDir} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s is no program of %s or %s: %w", name, resourceDir, initDir, fs.ErrNotExist)
}

func (h *heartbeat) Status(ctx context.Context) (State, error) {
	c, err := h.command("status")
	if err != nil {
		return Unknown, err
	}
	c.Sweep = true
	res, err := c.Run(ctx)
	if err != nil {
		return Unknown, err
	}
	return h.judge(res)
}

func (h *heartbeat) judge(res Result) (State, error) {
	what := h.name + " status"
	running, stopped := statusWords(res.Stdout)
	const shell = 126 // and up: the shell could not run something, or a signal ended it
	switch {
	case res.Code >= shell, !running && !stopped, running && res.Code != 0 && !stopped:
		return Unknown, exitError(what, res)
	case running && stopped:
		return Unknown, fmt.Errorf("%s: says both: %s", what, res.Output())
	case !res.Whole:
		return Unknown, fmt.Errorf("%s: says more than %d bytes", what, MaxOutput)
	case stopped:
		return Stopped, nil
	}
	return Running, nil
}

// notReach is how many words after a "not" a "running" is still denied by it:
// "is not currently running".
const notReach = 2

// doubts are words that make a line say nothing: it tells of an error, and
// what runs or does not is the error's subject.
const doubts = "error cannot unable unknown failed whether"

// statusWords says whether a text claims that something runs, and whether it
// claims that something does not. A "running" that a "not" stands before is no
// claim that it runs, and a "stopped" after a "not" is none that it does not.
func statusWords(text string) (running, stopped bool) {
	for line := range strings.Lines(text) {
		words := strings.FieldsFunc(line, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' })
		if !slices.ContainsFunc(words, func(w string) bool { return isOneOf(strings.ToLower(w), doubts) }) {
			r, s := claims(words)
			running, stopped = running || r, stopped || s
		}
	}
	return running, stopped
}

// claims reads one line.
func claims(words []string) (running, stopped bool) {
	last := -notReach - 1 // place of the last "not"
	for i, word := range words {
		denied := i-last <= notReach
		switch lower := strings.ToLower(word); {
		case lower == "not" || strings.HasSuffix(lower, "n't"):
			last = i
		case lower == "running" && denied, lower == "stopped" && last < 0:
			stopped = true
		case lower == "running", word == "OK" && !denied:
			running = true
		}
	}
	return running, stopped
}

func examineResource(_ context.Context, s Spec) []Finding {
	script, err := findResource(s.Unit)
	if err != nil {
		return elsewhere("unit", err.Error())
	}
	return examineScript(script)
}
