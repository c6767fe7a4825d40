package service

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

const initDir = "/etc/init.d"

// A sysv is an init script by the LSB's rules (Linux Standard Base Core 5.0,
// section 22.2, "Init Script Actions").
//
// Its status action decides by exit code: 0 running; 3 stopped; 1 and 2 dead
// with a pid or lock file left behind, which is stopped, too; anything else
// unknown. Scripts that lie are met halfway: a usage text means that there is
// no status action, whatever the code (the Debian skeleton then exits with 3,
// others with 0 or 1), and code 0 with the words "not running" is a
// contradiction, so unknown. A script that says 0 and nothing else for a dead
// daemon cannot be seen through: use the command driver with a status command
// of your own, such as pidof.
type sysv struct {
	script string
	env    []string
}

func checkScriptName(driver, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("check unit: the %s driver needs a script name or path", driver)
	case strings.ContainsAny(name, "\x00\n"), name == ".", name == "..":
		return fmt.Errorf("check unit: %q is no script name", name)
	case strings.Contains(name, "/") && (!filepath.IsAbs(name) || filepath.Clean(name) != name):
		return fmt.Errorf("check unit: %q is neither a name in %s nor a clean absolute path", name, initDir)
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("check unit: %q starts with a dash", name)
	}
	return nil
}

// inInitDir returns the path of a script.
func inInitDir(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(initDir, name)
}

func (s *sysv) Start(ctx context.Context) error   { return s.act(ctx, "start") }
func (s *sysv) Stop(ctx context.Context) error    { return s.act(ctx, "stop") }
func (s *sysv) Restart(ctx context.Context) error { return s.act(ctx, "restart") }

// Reload uses force-reload: the LSB makes it mandatory, reload is optional.
func (s *sysv) Reload(ctx context.Context) error { return s.act(ctx, "force-reload") }

func (s *sysv) act(ctx context.Context, action string) error {
	return act(ctx, action, Command{Argv: []string{s.script, action}, Env: s.env})
}

func (s *sysv) Status(ctx context.Context) (State, error) {
	res, err := Command{Argv: []string{s.script, "status"}, Env: s.env, Sweep: true}.Run(ctx)
	if err != nil {
		return Unknown, err
	}
	return s.judge(res)
}

// judge makes a state of what the script's status action said: its exit code
// (LSB 5.0, Init Script Actions), unless its text says otherwise.
func (s *sysv) judge(res Result) (State, error) {
	text := strings.ToLower(res.Stdout + "\n" + res.Stderr)
	if strings.Contains(text, "usage:") {
		return Unknown, fmt.Errorf("%s status: prints its usage: %w", s.script, ErrNoStatus)
	}
	switch res.Code {
	case 0:
		if strings.Contains(text, "not running") {
			return Unknown, fmt.Errorf("%s status: exit code 0, but it says: %s", s.script, res.Output())
		}
		return Running, nil
	case 1, 2, 3:
		return Stopped, nil
	default:
		return Unknown, exitError(s.script+" status", res)
	}
}
