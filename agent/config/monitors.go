package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Monitor watches something that the service needs on this node.
type Monitor struct {
	Name       string
	Line       int    // in the file, of its type
	Type       string // see monitorRules
	Interval   time.Duration
	Timeout    time.Duration
	Rise, Fall int
	Weight     int // points of health that it takes
	Critical   bool
	Missing    string // alarm or fail

	Interface          string
	UpDelay, DownDelay time.Duration
	MinSpeed           int // Mbit/s; 0: any
	MaxErrors          int // a second; 0: any
	Targets            []netip.Addr
	Need               string // any or all
	Process            string
	Command            []string
	Path               string
	MaxAge             time.Duration // 0: any
	Contains           string
}

// A monitorRule says which keys go with a type, beside monitorCommon, and its
// defaults.
type monitorRule struct {
	needs, takes string // separated by blanks
	rise, fall   int
	timeout      time.Duration // 0: it has none
}

const monitorCommon = "name type interval rise fall weight critical missing"

var monitorRules = map[string]monitorRule{
	"interface": {needs: "interface", takes: "up_delay down_delay min_speed max_errors", rise: 1, fall: 1},
	"ping":      {needs: "targets", takes: "interface need timeout", rise: 2, fall: 3, timeout: time.Second},
	"neighbour": {needs: "interface targets", takes: "need timeout", rise: 2, fall: 3, timeout: time.Second},
	"process":   {needs: "process", rise: 2, fall: 2},
	"command":   {needs: "command", takes: "timeout", rise: 2, fall: 2, timeout: 5 * time.Second},
	"file":      {needs: "path", takes: "max_age contains timeout", rise: 2, fall: 2, timeout: 5 * time.Second},
}

var monitorKeys = []key{
	{path: "monitor", kind: sections, doc: "What the service needs on the node that owns it. What is down takes points from the node's health, of which it has 100, and each node tells the other; a group moves only to a healthier peer. Up to 32 monitors; what both nodes look at is the same, but for what is given by node.", more: `[[monitor]]
name = "gateway"
type = "ping"
targets = ["192.0.2.254", "2001:db8::fe"]
need = "any"
weight = 20

[[monitor]]
name = "uplink-hosts"
type = "neighbour"
interface = "eth1"
targets = ["198.51.100.7", "198.51.100.8"]
weight = 20

[[monitor]]
name = "dns"
type = "process"
process = "/usr/sbin/dnsmasq"
weight = 10

[[monitor]]
name = "conntrack"
type = "command"
command = ["/usr/local/sbin/conntrack-ok"]
weight = 10

[[monitor]]
name = "uplink-report"
type = "file"
path = "/run/uplink/state"
max_age = "5m"
contains = "up"
weight = 10`},
	{path: "monitor.name", kind: text, required: true, show: `"lan"`, doc: "Name in events, alarms and status."},
	{path: "monitor.type", kind: text, required: true, oneOf: []string{"interface", "ping", "neighbour", "process", "command", "file"}, show: `"interface"`, doc: "interface: carrier, speed, errors. ping: hosts that answer ICMP echo. neighbour: hosts of the LAN that answer ARP or neighbour discovery, for which the node needs no address of its own there. process: one that runs. command: a program that ends with exit code 0. file: one that is there. The lite build has the first three and command."},
	{path: "monitor.interval", kind: duration, def: `"1s"`, min: 20 * ms, max: hour, doc: "From one look to the next. Of a carrier that comes or goes the kernel tells at once."},
	{path: "monitor.rise", kind: number, min: 1, max: 1000, show: "1", doc: "Good looks in a row after which it is up again. Default: 2, interface 1."},
	{path: "monitor.fall", kind: number, min: 1, max: 1000, show: "1", doc: "Bad looks in a row after which it is down. Default: ping and neighbour 3, interface 1, else 2."},
	{path: "monitor.weight", kind: number, def: "30", min: 1, max: 100, doc: "Points of health that it takes when it is down. Less than the margin of [health] moves nothing alone."},
	{path: "monitor.critical", kind: boolean, def: "false", doc: "When it is down the node is about to fail: hand over at once."},
	{path: "monitor.missing", kind: text, def: `"alarm"`, oneOf: []string{"alarm", "fail"}, doc: "What cannot be looked at (no permission, no such program, no such interface to ask on) is unknown. alarm: no more than that. fail: it takes health as what is down. An interface that is not there has no carrier, and what is down stays down until it is seen to be up."},
	{path: "monitor.interface", kind: textByNode, show: `"eth0"`, doc: "interface, neighbour: the one. ping: ask over this one alone; without it by the routes."},
	{path: "monitor.up_delay", kind: duration, def: `"2s"`, orZero: true, min: ms, max: hour, doc: "interface: how long a carrier must be there to count. So a link that flaps stays down."},
	{path: "monitor.down_delay", kind: duration, def: `"500ms"`, orZero: true, min: ms, max: hour, doc: "interface: how long it must be gone to count."},
	{path: "monitor.min_speed", kind: number, def: "0", max: 10_000_000, doc: "interface: Mbit/s; a slower one is down. 0: not looked at."},
	{path: "monitor.max_errors", kind: number, def: "0", max: 1_000_000, doc: "interface: frames a second that come or go with errors; with more it is down, until they were less than half as many for up_delay. 0: not looked at."},
	{path: "monitor.targets", kind: textsByNode, hidden: true, show: `["192.0.2.254", "2001:db8::fe"]`, doc: "ping, neighbour: addresses of hosts, 16 at most. None of ours: an address of a group answers on its owner whatever the path is like."},
	{path: "monitor.need", kind: text, def: `"any"`, hidden: true, oneOf: []string{"any", "all"}, doc: "ping, neighbour: which of the targets must answer."},
	{path: "monitor.timeout", kind: duration, min: 10 * ms, max: minute, hidden: true, show: `"1s"`, doc: "ping, neighbour, command, file: a look that takes longer is a bad one. Default: 1s; command and file 5s."},
	{path: "monitor.process", kind: text, hidden: true, show: `"dnsmasq"`, doc: "process: its name, of which the kernel keeps 15 bytes, or the full path of its program. Zombies do not count."},
	{path: "monitor.command", kind: list, hidden: true, show: `["/usr/local/sbin/conntrack-ok"]`, doc: "command: program, by its full path, and arguments; no shell. What it leaves running is killed."},
	{path: "monitor.path", kind: text, hidden: true, show: `"/run/uplink/state"`, doc: "file: its full path."},
	{path: "monitor.max_age", kind: duration, def: `"0s"`, orZero: true, hidden: true, min: second, max: 1000 * 24 * hour, doc: "file: written longer ago is down, by the wall clock. \"0s\": any."},
	{path: "monitor.contains", kind: text, def: `""`, hidden: true, doc: "file: text that its first 64 KiB must hold."},
}

// monitors reads what is watched.
func (p *parser) monitors(t table) {
	tables := t.tables("monitor")
	if len(tables) > MaxMonitors {
		t.report("monitor", fmt.Sprintf("%d monitors", len(tables)), fmt.Sprintf("a pair has %d at most", MaxMonitors))
		return
	}
	first := map[string]string{}
	for _, m := range tables {
		monitor := p.monitor(m)
		p.config.Monitors = append(p.config.Monitors, monitor)
		m.second("monitor", monitor.Name, first)
	}
}

func (p *parser) monitor(t table) Monitor {
	m := Monitor{
		Name: t.name(), Type: t.text("type"), Line: p.lines.line(join(t.path, "type")),
		Interval: t.duration("interval"), Timeout: t.duration("timeout"), Rise: t.int31("rise"), Fall: t.int31("fall"),
		Weight: t.int31("weight"), Critical: t.boolean("critical"), Missing: t.text("missing"),
		UpDelay: t.duration("up_delay"), DownDelay: t.duration("down_delay"),
		MinSpeed: t.int31("min_speed"), MaxErrors: t.int31("max_errors"),
		Need: t.text("need"), Process: t.text("process"), Command: t.list("command"),
		Path: t.absolute("path"), MaxAge: t.duration("max_age"), Contains: t.text("contains"),
	}
	m.Interface = t.perNode("interface", isDevice)[p.config.Self]
	m.Targets = t.targets(m)
	rule, ok := monitorRules[m.Type]
	if !ok {
		return m
	}
	t.keysOf("type", m.Type, monitorCommon, rule.needs, rule.takes)
	if t.has("process") && (m.Process == "" || strings.HasSuffix(m.Process, "/")) {
		t.report("process", fmt.Sprintf("%q is not the name of a process", m.Process), "such as dnsmasq or /usr/sbin/dnsmasq")
	}
	if !t.has("rise") {
		m.Rise = rule.rise
	}
	if !t.has("fall") {
		m.Fall = rule.fall
	}
	if !t.has("timeout") {
		m.Timeout = rule.timeout
	}
	return m
}

// targets reads hosts, the same for both nodes or by node.
func (t table) targets(m Monitor) []netip.Addr {
	texts := t.textsPerNode("targets", func(at string, list []any) []string {
		if len(list) == 0 || len(list) > MaxTargets {
			t.report(at, fmt.Sprintf("has %d elements", len(list)), fmt.Sprintf("from 1 to %d addresses", MaxTargets))
			return nil
		}
		var out []string
		for i, e := range list {
			s, ok := e.(string)
			if !ok {
				t.report(element(at, i), "is "+describe(e)+", not text", "put each address in quotes")
				continue
			}
			if t.target(element(at, i), s, m) {
				out = append(out, s)
			}
		}
		return out
	})
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// target checks the address of a host.
func (t table) target(at, s string, m Monitor) bool {
	before := t.errors
	a := t.address(at, s)
	if t.errors > before {
		return false
	}
	why, hint := "", "the address of one host beyond the interface, such as the router upstream"
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		why = "is not the address of one host"
	case a.IsLoopback():
		why = "is this node itself"
	case a.IsLinkLocalUnicast() && m.Interface == "":
		why, hint = "is known on one link only", "add interface"
	case t.ours(a):
		why = "is an address of ours: it answers on its owner whatever the path is like"
	default:
		return true
	}
	t.report(at, s+" "+why, hint)
	return false
}

// ours says whether a group has the address.
func (t table) ours(a netip.Addr) bool {
	for _, g := range t.config.Groups {
		for _, v := range g.VIP.Addresses {
			if v.Prefix.Addr() == a {
				return true
			}
		}
	}
	return false
}

// monitorWarnings report monitors that work, but not as one may think.
func (p *parser) monitorWarnings() {
	c := &p.config
	sum := 0
	for i, m := range c.Monitors {
		at := element("monitor", i)
		sum += m.Weight
		if m.Interval < 100*time.Millisecond {
			p.warn(at+".interval", fmt.Sprintf("a look every %s costs this node more than a heartbeat", show(m.Interval)),
				"100ms or more; a carrier that goes is told by the kernel at once")
		}
		if m.Timeout > m.Interval && slices.Contains([]string{"ping", "neighbour"}, m.Type) {
			p.warn(at+".timeout", fmt.Sprintf("a host that is silent is found out after %d x timeout %s = %s, not by the interval %s", m.Fall, show(m.Timeout), show(time.Duration(m.Fall)*m.Timeout), show(m.Interval)),
				"a shorter timeout, or a longer interval")
		}
		for _, l := range c.Links {
			if slices.Contains(m.Targets, l.Remote) {
				p.warn(at+".targets", fmt.Sprintf("%s is the peer: when it dies, the node that is left counts as sick", l.Remote), "a host that both nodes need, such as the router upstream")
			}
		}
	}
	if sum > 100 {
		p.warn("monitor[0].weight", fmt.Sprintf("the weights add up to %d, health is 100: the last that fail take nothing", sum), "smaller weights, if which node is worse shall still show then")
	}
	p.unwatched()
}

// unwatched warns of interfaces of addresses that no monitor looks at, where
// there are monitors at all.
func (p *parser) unwatched() {
	c := &p.config
	if len(c.Monitors) == 0 {
		return
	}
	for _, d := range c.devices() {
		if !slices.ContainsFunc(c.Monitors, func(m Monitor) bool { return m.Interface == d }) {
			p.warn("monitor[0]", "no monitor names "+d+", which has addresses of a group", "add a [[monitor]] of type interface or neighbour for it")
		}
	}
}
