package config

import (
	"fmt"
	"slices"
	"strings"
)

// serviceKeysByDriver lists the keys that say how a driver reaches a service.
var serviceKeysByDriver = map[string][]string{
	"systemd": {"unit"},
	"sysv":    {"unit"},
	"command": {"start", "stop", "status"},
}

func (p *parser) services(t table) []Service {
	tables := t.tables("service")
	if len(tables) > MaxServices {
		t.report("service", fmt.Sprintf("%d services", len(tables)), fmt.Sprintf("a group has %d at most", MaxServices))
		return nil
	}
	first := map[string]string{}
	var out []Service
	for _, s := range tables {
		service := p.service(s)
		out = append(out, service)
		if at, twice := first[service.Name]; twice && service.Name != "" {
			s.report("name", fmt.Sprintf("a second service is called %q", service.Name), fmt.Sprintf("the first is on line %d", p.lines.line(at)))
		}
		first[service.Name] = join(s.path, "name")
	}
	return out
}

func (p *parser) service(t table) Service {
	s := Service{
		Name:           t.name(),
		Driver:         t.text("driver"),
		Unit:           t.text("unit"),
		Start:          t.list("start"),
		Stop:           t.list("stop"),
		Status:         t.list("status"),
		OnTake:         t.text("on_take"),
		StartTimeout:   t.duration("start_timeout"),
		StopTimeout:    t.duration("stop_timeout"),
		StatusTimeout:  t.duration("status_timeout"),
		CheckInterval:  t.duration("check_interval"),
		Restarts:       t.int31("restarts"),
		RestartWindow:  t.duration("restart_window"),
		OnStartFailure: t.text("on_start_failure"),
		OnStopFailure:  t.text("on_stop_failure"),
		KeepOnStop:     t.boolean("keep_on_stop"),
	}
	own, ok := serviceKeysByDriver[s.Driver]
	if !ok {
		return s
	}
	for _, name := range []string{"unit", "start", "stop", "status"} {
		if t.has(name) && !slices.Contains(own, name) {
			t.report(name, "does not go with driver "+s.Driver, "this driver takes "+strings.Join(own, ", "))
		}
	}
	if s.Driver == "command" {
		t.commands(s)
	} else if t.needs("unit") {
		t.unit(s)
	}
	return s
}

// commands checks that a service of commands has those that it will need.
func (t table) commands(s Service) {
	switch s.OnTake {
	case "none": // a takeover leaves it alone: a status is enough
		if !t.has("status") {
			t.needs("start")
		}
		return
	case "reload":
		t.report("on_take", "a command cannot be reloaded", "use restart, or driver systemd or sysv")
	}
	t.needs("start")
	if !s.KeepOnStop {
		t.needs("stop")
	}
}

// unit checks the name of a unit or script.
func (t table) unit(s Service) {
	switch {
	case s.Unit == "": // reported, unless it is there and empty
		t.report("unit", "is empty", "write "+t.key("unit").example("unit"))
	case s.Driver == "systemd" && !isUnit(s.Unit):
		t.report("unit", fmt.Sprintf("%q is not the name of a unit", s.Unit), "such as dnsmasq.service; an instance is named: getty@tty1")
	case s.Driver == "sysv" && !isScript(s.Unit):
		t.report("unit", fmt.Sprintf("%q is not a script", s.Unit), "its name in /etc/init.d, or its full path without .. or //")
	}
}
