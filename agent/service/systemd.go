package service

import (
	"context"
	"fmt"
	"strings"
)

// maxUnitName is systemd's own limit (systemd.unit(5), UNIT_NAME_MAX).
const maxUnitName = 255

// A systemd is a unit of systemd, through systemctl. A job that systemctl was
// killed waiting for goes on inside systemd; Stop ends it.
type systemd struct {
	unit string
	env  []string
}

// checkUnitName takes the characters of systemd.unit(5), so no glob, which
// systemctl would expand, and no template without its instance.
func checkUnitName(name string) error {
	const special = ":_.-\\@"
	bad := func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		return !letter && !strings.ContainsRune(special, c)
	}
	template, instance, isInstance := strings.Cut(name, "@")
	switch {
	case len(name) == 0, len(name) > maxUnitName, strings.ContainsFunc(name, bad), name[0] == '-':
		return fmt.Errorf("check unit: %q is no name of a systemd unit", name)
	case isInstance && (template == "" || instance == "" || instance[0] == '.' || strings.Contains(instance, "@")):
		return fmt.Errorf("check unit: %q is a template without an instance", name)
	}
	return nil
}

func (s *systemd) Start(ctx context.Context) error {
	if err := s.loaded(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return s.act(ctx, "start")
}

// Stop of a unit that does not exist is no error: Status shows it inactive.
func (s *systemd) Stop(ctx context.Context) error { return s.act(ctx, "stop") }

func (s *systemd) Restart(ctx context.Context) error {
	if err := s.loaded(ctx); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return s.act(ctx, "restart")
}

func (s *systemd) Reload(ctx context.Context) error { return s.act(ctx, "reload-or-restart") }

func (s *systemd) act(ctx context.Context, verb string) error {
	return absent(act(ctx, verb, s.systemctl(verb)), "systemd")
}

func (s *systemd) systemctl(verb string, options ...string) Command {
	argv := append([]string{"systemctl", "--no-ask-password", "--no-pager", verb}, options...)
	return Command{Argv: append(argv, "--", s.unit), Env: s.env, Sweep: true}
}

// loaded says why the unit cannot be started, if so.
func (s *systemd) loaded(ctx context.Context) error {
	p, err := s.show(ctx)
	if err != nil {
		return err
	}
	switch load := p["LoadState"]; load {
	case "loaded", "merged", "stub":
		return nil
	case "masked":
		return fmt.Errorf("unit %s is masked: run systemctl unmask", s.unit)
	case "not-found":
		return fmt.Errorf("unit %s is not installed", s.unit)
	default: // bad-setting, error
		return fmt.Errorf("unit %s is not loaded: %s", s.unit, load)
	}
}

// Status waits for a unit on its way (activating, deactivating) until it has
// arrived or ctx ends; then it is unknown. The state "failed" is stopped.
func (s *systemd) Status(ctx context.Context) (State, error) { return settled(ctx, s.look) }

func (s *systemd) look(ctx context.Context) (State, error) {
	p, err := s.show(ctx)
	if err != nil {
		return Unknown, err
	}
	state, known := unitState(p)
	switch {
	case state != Unknown:
		return state, nil
	case !known:
		return Unknown, fmt.Errorf("unit %s: unknown state %q", s.unit, p["ActiveState"])
	}
	return Unknown, &onItsWay{fmt.Sprintf("unit %s is %s (%s)", s.unit, p["ActiveState"], p["SubState"])}
}

// unitState reads the state of a unit; one on its way is Unknown but known.
func unitState(p map[string]string) (state State, known bool) {
	switch p["ActiveState"] {
	case "active", "reloading", "refreshing":
		return Running, true
	case "inactive", "failed":
		return Stopped, true
	case "activating", "deactivating", "maintenance":
		return Unknown, true
	}
	return Unknown, false
}

func (s *systemd) show(ctx context.Context) (map[string]string, error) {
	res, err := s.systemctl("show", "--property=LoadState,ActiveState,SubState").Run(ctx)
	if err != nil {
		return nil, absent(err, "systemd")
	}
	if res.Code != 0 {
		return nil, exitError("systemctl show "+s.unit, res)
	}
	return properties(res.Stdout), nil
}

// properties reads lines of KEY=VALUE.
func properties(text string) map[string]string {
	p := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			p[key] = value
		}
	}
	return p
}
