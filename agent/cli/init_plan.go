//go:build !lite

package cli

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// slowBaud is where profile slow begins: below it a line has no room for the
// heartbeats of profile default.
const slowBaud = 57600

// What every pair of init's has.
const (
	initGroup = "gateway"
	initPort  = 6940
	group4    = "239.255.77.1" // RFC 2365, administratively scoped
	group6    = "ff02::4d:1"   // of the link
)

// A plan is what the answers mean.
type plan struct {
	cluster    string
	nodes      [2]string
	serials    []path
	baud       int
	lan        string
	heartbeats []path
	vips       []string // as the file has them
	services   []planService
	watchdog   string // device; empty: none
	fence      planFence
	mode       string
}

// A path is one thing that may have another name on each node.
type path struct {
	on    [2]string
	group string // Ethernet: multicast group
}

type planService struct{ name, driver, unit string }

type planFence struct {
	driver  string // empty: none
	address [2]string
	outlets [2][]string
	user    string
}

// withStandIns fills in what is not answered yet, so that the rest can be judged.
func (p plan) withStandIns() plan {
	if p.cluster == "" {
		p.cluster = "pair"
	}
	if p.nodes[0] == "" {
		p.nodes = [2]string{"node1", "node2"}
	}
	if len(p.serials)+len(p.heartbeats) == 0 {
		p.heartbeats = []path{{on: [2]string{"not-yet", "not-yet"}, group: group4}}
	}
	if len(p.vips) == 0 {
		p.vips = []string{"192.0.2.1/24@" + cmp.Or(p.lan, "not-yet")}
	}
	if p.baud == 0 {
		p.baud = 115200
	}
	f := &p.fence
	if f.driver == "" {
		return p
	}
	if f.address[0] == "" {
		f.address = [2]string{"192.0.2.1", "192.0.2.1"}
		if f.isBMC() {
			f.address[1] = "192.0.2.2"
		}
	}
	if f.outlets[0] == nil {
		f.outlets = [2][]string{{"1"}, {"2"}}
	}
	if f.user == "" {
		f.user = "twinbeat"
	}
	return p
}

// draft is the configuration.
func (p plan) draft() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Made by twinbeat init. The same file belongs on both boxes; twinbeat.toml(5)\n# has every key.\n")
	line("cluster = %q", p.cluster)
	if p.mode != "" {
		line("mode = %-14s # %s", tomlText(p.mode), modeMeans[p.mode])
	}
	if len(p.serials) > 0 && p.baud < slowBaud {
		line("profile = %-11s # the serial line has no room for quicker heartbeats", tomlText("slow"))
	}
	line("\n[[node]]\nname = %-14s # its host name; it owns the group when both start", tomlText(p.nodes[0]))
	line("[[node]]\nname = %q", p.nodes[1])
	line("\n# Ways to the other box: the nodes beat on all of them.")
	for _, s := range p.serials {
		line("[[link]]\ntype = \"serial\"\ndevice = %s\nbaud = %d", p.perNode(s.on), p.baud)
	}
	for _, h := range p.heartbeats {
		line("[[link]]\ntype = \"multicast\"\ninterface = %s\ngroup = %q\nport = %d", p.perNode(h.on), h.group, initPort)
	}
	line("\n# What one box owns at a time.\n[[group]]\nname = %q", initGroup)
	if len(p.vips) > 0 {
		line("addresses = [%s]", tomlList(p.vips))
	}
	for _, s := range p.services {
		line("[[group.service]]\nname = %q\ndriver = %q\nunit = %q", s.name, s.driver, s.unit)
	}
	p.draftFence(line)
	if p.watchdog != "" {
		line("\n# Resets a box whose agent hangs; disarm it before the agent stays stopped.\n[watchdog]\ndevice = %q\ntimeout = \"5s\"", p.watchdog)
	}
	return b.String()
}

// modeMeans says in few words what a takeover needs.
var modeMeans = map[string]string{
	"fence":   "a takeover needs proof that the other box is off",
	"silence": "a takeover needs silence on every link",
	"lease":   "an owner that nobody hears steps down",
}

func (p plan) draftFence(line func(string, ...any)) {
	f := p.fence
	if f.driver == "" {
		return
	}
	line("\n# How a box is switched off; what is by node is of the box that goes off.\n# twinbeat fence identify prints pins to add, fence verify proves the wiring.")
	line("[[fence.device]]\nname = %q\ndriver = %q\naddress = %s", f.name(), f.driver, p.perNode(f.address))
	if !f.isBMC() {
		line("outlets = { %s = [%s], %s = [%s] }", tomlKey(p.nodes[0]), tomlList(f.outlets[0]), tomlKey(p.nodes[1]), tomlList(f.outlets[1]))
	}
	if f.isSNMP() {
		line("snmp_version = \"2c\"\ncommunity_file = %q", f.secret())
		return
	}
	if f.user != noAnswer {
		line("user = %q\npassword_file = %q", f.user, f.secret())
	}
}

// fenceDrivers are those that init can ask for: the others need programs, URLs
// or keys of their own.
var fenceDrivers = []string{
	"apc", "raritan", "eaton", "sentry", "cyberpower", "tripplite", "ibm", "snmp", "digitalloggers", "tasmota", "shelly", "ipmi", "redfish",
}

func (f planFence) isBMC() bool { return f.driver == "ipmi" || f.driver == "redfish" }
func (f planFence) isWeb() bool {
	return f.driver == "digitalloggers" || f.driver == "tasmota" || f.driver == "shelly"
}
func (f planFence) isSNMP() bool { return !f.isBMC() && !f.isWeb() }

func (f planFence) name() string {
	if f.isBMC() {
		return "bmc"
	}
	return "pdu"
}

// secret is the file that the device's secret must be put in; empty: none.
func (f planFence) secret() string {
	switch {
	case f.driver == "" || !f.isSNMP() && f.user == noAnswer:
		return ""
	case f.isSNMP():
		return "/etc/twinbeat/" + f.name() + ".community"
	}
	return "/etc/twinbeat/" + f.name() + ".password"
}

// perNode writes what both nodes have, once where it is the same.
func (p plan) perNode(on [2]string) string {
	if on[0] == on[1] {
		return tomlText(on[0])
	}
	return fmt.Sprintf("{ %s = %q, %s = %q }", tomlKey(p.nodes[0]), on[0], tomlKey(p.nodes[1]), on[1])
}

// tomlKey is a host name as a key of TOML: bare if it may be (TOML 1.0, "Keys").
func tomlKey(name string) string {
	if strings.Contains(name, ".") {
		return tomlText(name)
	}
	return name
}

// tomlText is for words that have nothing to escape; see take.
func tomlText(s string) string { return strconv.Quote(s) }

func tomlList(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, tomlText(w))
	}
	return strings.Join(out, ", ")
}
