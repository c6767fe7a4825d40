package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxScript is how much of an init script is read to see whose it is.
const maxScript = 64 << 10

// A procd is a service of OpenWrt's procd: its script in /etc/init.d acts, and
// procd's list, over ubus, tells the state.
//
// A service that is not in the list is stopped: procd takes an instance out
// when its process has ended. One with an instance that runs is running; one
// whose instances do not all run, or that has none, is failed, because procd
// may start it again at any time. A script that does not say USE_PROCD starts
// daemons that procd knows nothing of: its state is unknown.
type procd struct {
	script string
	env    []string
}

func (p *procd) Start(ctx context.Context) error {
	if err := usesProcd(p.script); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return p.act(ctx, "start")
}

func (p *procd) Stop(ctx context.Context) error    { return p.act(ctx, "stop") }
func (p *procd) Restart(ctx context.Context) error { return p.act(ctx, "restart") }
func (p *procd) Reload(ctx context.Context) error  { return p.act(ctx, "reload") }

func (p *procd) act(ctx context.Context, verb string) error {
	return act(ctx, verb, Command{Argv: []string{p.script, verb}, Env: p.env})
}

func (p *procd) Status(ctx context.Context) (State, error) {
	if err := usesProcd(p.script); err != nil {
		return Unknown, err
	}
	name := serviceOf(p.script)
	question, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return Unknown, err
	}
	res, err := Command{
		Argv: []string{"ubus", "-S", "call", "service", "list", string(question)}, Env: p.env, Sweep: true, Keep: MaxKeep,
	}.Run(ctx)
	switch {
	case err != nil:
		return Unknown, absent(err, "procd")
	case res.Code != 0:
		return Unknown, exitError("ubus call service list", res)
	case !res.Whole:
		return Unknown, fmt.Errorf("ubus call service list: more than %d bytes", MaxKeep)
	}
	return procdState(name, res.Stdout)
}

// procdState reads the list of one service.
func procdState(name, list string) (State, error) {
	var services map[string]struct {
		Instances map[string]struct {
			Running *bool `json:"running"`
		} `json:"instances"`
	}
	if err := json.Unmarshal([]byte(list), &services); err != nil || services == nil {
		return Unknown, fmt.Errorf("ubus call service list: no list of services: %.80q", list)
	}
	s, listed := services[name]
	if !listed && len(services) > 0 {
		return Unknown, fmt.Errorf("ubus call service list: lists others than %s", name)
	}
	if !listed {
		return Stopped, nil
	}
	running := 0
	for instance, i := range s.Instances {
		if i.Running == nil {
			return Unknown, fmt.Errorf("ubus call service list: instance %s says nothing of running", instance)
		}
		if *i.Running {
			running++
		}
	}
	if running == 0 || running < len(s.Instances) {
		return Failed, fmt.Errorf("%d of %d instances run", running, len(s.Instances))
	}
	return Running, nil
}

// serviceOf returns the name under which procd knows a script: that of the
// file itself, as rc.common has it.
func serviceOf(script string) string {
	if target, err := os.Readlink(script); err == nil {
		script = target
	}
	return filepath.Base(script)
}

// usesProcd says why procd does not know the daemons of a script, if so.
func usesProcd(script string) error {
	text, err := head(script)
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "USE_PROCD="); ok && strings.Trim(value, `"'`) != "" {
			return nil
		}
	}
	return fmt.Errorf("%s does not say USE_PROCD, so that procd does not know what it starts: use driver sysv or command", script)
}

// head returns the first maxScript bytes of a file.
func head(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxScript))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(b), nil
}
