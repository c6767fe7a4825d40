package fencetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// programArg marks a start of the test binary as a start of the program.
const programArg = "fencetest-program"

// A Program is a fake device as a command: the test binary, started again. Its
// state is a folder, one file for each thing it remembers.
type Program struct{ dir string }

// Main must be called first in TestMain of a test that uses a Program. In a
// process that was started as the program it acts and exits.
func Main() {
	if len(os.Args) == 4 && os.Args[1] == programArg {
		os.Exit(program(os.Args[2], os.Args[3]))
	}
}

// NewProgram returns a program with its relay on, its state kept in dir.
func NewProgram(dir string) (*Program, error) {
	p := &Program{dir}
	return p, p.set("relay", "on")
}

// Argv returns the command for a verb: off, on or status.
func (p *Program) Argv(verb string) []string {
	self, err := os.Executable()
	if err != nil {
		panic("fencetest: " + err.Error())
	}
	return []string{self, programArg, p.dir, verb}
}

// HasPower tells the truth.
func (p *Program) HasPower() bool { return p.get("relay") == "on" }

// Dead makes commands succeed and do nothing.
func (p *Program) Dead() error { return p.set("dead", "1") }

// Print makes status print a text, and exit with a code, whatever the relay.
func (p *Program) Print(text string, code int) error {
	if err := p.set("code", strconv.Itoa(code)); err != nil {
		return err
	}
	return p.set("text", text)
}

// Hang makes one verb hang for d before it acts.
func (p *Program) Hang(verb string, d time.Duration) error { return p.set("hang-"+verb, d.String()) }

func (p *Program) set(key, value string) error {
	if err := os.WriteFile(filepath.Join(p.dir, key), []byte(value), 0o600); err != nil {
		return fmt.Errorf("set %s: %w", key, err)
	}
	return nil
}

func (p *Program) get(key string) string {
	b, _ := os.ReadFile(filepath.Join(p.dir, key))
	return string(b)
}

func program(dir, verb string) int {
	p := &Program{dir}
	if d, err := time.ParseDuration(p.get("hang-" + verb)); err == nil {
		time.Sleep(d)
	}
	switch verb {
	case "off", "on":
		if p.get("dead") == "" && p.set("relay", verb) != nil {
			return 1
		}
		fmt.Println("Success: Powered " + verb) // what it says proves nothing
		return 0
	case "status":
		fmt.Fprintln(os.Stderr, "warning: a line that must not matter")
		if text := p.get("text"); text != "" {
			fmt.Print(text)
			code, _ := strconv.Atoi(p.get("code"))
			return code
		}
		fmt.Println(p.get("relay"))
		return 0
	}
	return 2
}
