package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// serviceKeysByDriver lists the keys that say how a driver reaches a service.
var serviceKeysByDriver = map[string][]string{
	"auto":      {"unit"},
	"systemd":   {"unit"},
	"sysv":      {"unit"},
	"openrc":    {"unit"},
	"procd":     {"unit"},
	"runit":     {"unit"},
	"ocf":       {"unit", "params", "promote", "depth"},
	"heartbeat": {"unit", "args"},
	"command":   {"start", "stop", "status"},
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
		s.second("service", service.Name, first)
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
		Args:           t.texts("args"),
		Promote:        t.boolean("promote"),
		Depth:          t.int31("depth"),
		Line:           p.lines.line(join(t.path, "driver")),
	}
	s.Params, s.ParamLines = t.params()
	own, ok := serviceKeysByDriver[s.Driver]
	if !ok {
		return s
	}
	for _, name := range []string{"unit", "start", "stop", "status", "params", "promote", "depth", "args"} {
		if t.has(name) && !slices.Contains(own, name) {
			t.report(name, "does not go with driver "+s.Driver, "this driver takes "+strings.Join(own, ", "))
		}
	}
	if s.OnTake == "reload" && slices.Contains([]string{"command", "ocf", "heartbeat"}, s.Driver) {
		t.report("on_take", "driver "+s.Driver+" cannot reload", "use restart, or the driver of an init system")
	}
	switch {
	case s.Driver == "command":
		t.commands(s)
	case t.needs("unit"):
		t.unit(s)
	}
	if s.Driver == "ocf" { // the agent's metadata may know better than our defaults
		for name, d := range map[string]*time.Duration{"start_timeout": &s.StartTimeout, "stop_timeout": &s.StopTimeout, "status_timeout": &s.StatusTimeout} {
			if !t.has(name) {
				*d = 0
			}
		}
	}
	return s
}

// params reads the parameters of an OCF agent, and where they stand.
func (t table) params() (values map[string]string, lines map[string]int) {
	v, k := t.value("params")
	if v == nil {
		return nil, nil
	}
	in, ok := v.(map[string]any)
	if !ok || len(in) > maxOptions {
		t.wrongType("params", k, v, fmt.Sprintf("a table of %d parameters at most", maxOptions))
		return nil, nil
	}
	values, lines = map[string]string{}, map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		at := join("params", name)
		lines[name] = t.lines.line(join(t.path, at))
		switch p := in[name].(type) {
		case string:
			values[name] = p
		case int64, bool:
			values[name] = fmt.Sprint(p)
		default:
			t.report(at, "is "+describe(p)+", not text", "put it in quotes")
		}
		switch {
		case !onlyOf(name, alphanumeric+"_") || len(name) > 2*maxName:
			t.report(at, fmt.Sprintf("%.40q is not the name of a parameter", name), "as the agent's meta-data has it, such as cidr_netmask")
		case strings.ContainsAny(values[name], "\n\r\x00"):
			t.report(at, "text has a line end or a zero byte", "write it on one line")
		}
	}
	return values, lines
}

// commands checks that a service of commands has those that it will need.
func (t table) commands(s Service) {
	if s.OnTake == "none" { // a takeover leaves it alone: a status is enough
		if !t.has("status") {
			t.needs("start")
		}
		return
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
	case (s.Driver == "sysv" || s.Driver == "heartbeat") && !isScript(s.Unit):
		t.report("unit", fmt.Sprintf("%q is not a script", s.Unit), "its name in /etc/init.d"+
			map[bool]string{true: " or /etc/ha.d/resource.d"}[s.Driver == "heartbeat"]+", or its full path without .. or //")
	case s.Driver == "ocf" && !isOCF(s.Unit):
		t.report("unit", fmt.Sprintf("%q is not an OCF agent", s.Unit), "PROVIDER:AGENT, such as heartbeat:IPaddr2, or its full path")
	case s.Driver == "runit" && !isScript(s.Unit), slices.Contains([]string{"auto", "openrc", "procd"}, s.Driver) && !isService(s.Unit):
		t.report("unit", fmt.Sprintf("%q is not the name of a service", s.Unit), "as the init system calls it, such as dnsmasq"+
			map[bool]string{true: ", or the full path of its folder"}[s.Driver == "runit"])
	}
}
