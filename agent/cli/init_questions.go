//go:build !lite

package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/survey"
)

// noAnswer is what an operator says who does not want a thing.
const noAnswer = "none"

// A question is asked in the dialogue, and answered by a flag as well.
type question struct {
	flag, usage string
	ask         string
	offer       func(*setup) string // empty: none
	set         func(*setup, string) error
	skip        func(*setup) bool
}

// usageText is the usage without the marks of package flag.
func (q question) usageText() string { return strings.ReplaceAll(q.usage, "`", "") }

// questions are all, in the order in which they are asked: later ones build on
// earlier ones.
func questions() []question {
	return append([]question{
		{
			flag: "cluster", usage: "`NAME` of the pair: a-z, 0-9 and dash", ask: "Name of the pair", offer: always("pair"),
			set: func(s *setup, text string) error { s.plan.cluster = text; return nil },
		},
		{flag: "nodes", usage: "host `NAMES` of both boxes, the preferred owner first", ask: "Host names of both boxes, the preferred owner first", offer: offerNodes, set: setNodes},
		{flag: "serial", usage: "serial `DEVICE` of the null modem, or none", ask: "Serial port of the null modem, or none", offer: offerSerial, set: setSerial},
		{
			flag: "baud", usage: "`BAUD` of the serial line", ask: "Baud", offer: always("115200"), set: setBaud,
			skip: func(s *setup) bool { return len(s.plan.serials) == 0 },
		},
		{flag: "lan", usage: "`INTERFACE` of the virtual addresses", ask: "Interface of the virtual addresses", offer: offerLAN, set: func(s *setup, text string) error { s.plan.lan = text; return nil }},
		{flag: "heartbeat", usage: "`INTERFACES` between the boxes, or none", ask: "Interfaces for heartbeats, or none", offer: offerHeartbeat, set: setHeartbeat},
		{flag: "vip", usage: "virtual `ADDRESS`, as 192.0.2.1/24 or 192.0.2.1/24@eth0; may be repeated", ask: "Virtual addresses, as 192.0.2.1/24", set: setVIPs},
		{flag: "service", usage: "`UNIT` or DRIVER:UNIT that goes with the addresses, or none; may be repeated", ask: "Services that go with them, or none", offer: offerServices, set: setServices},
		{flag: "watchdog", usage: "`yes|no`: have the box reset by its watchdog when the agent hangs", ask: "Have the box reset by its watchdog when the agent hangs", offer: always("no"), set: setWatchdog, skip: noWatchdog},
	}, fenceQuestions()...)
}

func fenceQuestions() []question {
	without := func(s *setup) bool { return s.plan.fence.driver == "" }
	return []question{
		{flag: "fence", usage: "`DRIVER` of a power switch or BMC, or none: " + strings.Join(fenceDrivers, ", "), ask: "Driver of a fence device, or none", offer: always(noAnswer), set: setFence},
		{flag: "fence-address", usage: "`ADDRESS` of the device; of BMCs fw1=ADDRESS fw2=ADDRESS", ask: "Its address (BMC: fw1=ADDRESS fw2=ADDRESS)", set: setFenceAddress, skip: without},
		{
			flag: "fence-outlets", usage: "`OUTLETS` of each box, as fw1=1,5 fw2=2,6", ask: "Outlets of each box, as fw1=1,5 fw2=2,6", set: setOutlets,
			skip: func(s *setup) bool { return without(s) || s.plan.fence.isBMC() },
		},
		{
			flag: "fence-user", usage: "`USER` of a web switch (or none) or a BMC", ask: "User on the device", offer: offerUser, set: setUser,
			skip: func(s *setup) bool { return without(s) || s.plan.fence.isSNMP() },
		},
		{
			flag: "mode", usage: "`fence|silence|lease`: what a takeover needs", ask: "Mode: fence, silence or lease", offer: offerMode,
			set: func(s *setup, text string) error { s.plan.mode = text; return nil },
		},
	}
}

func always(word string) func(*setup) string { return func(*setup) string { return word } }

// offerNodes guesses the other name if this one ends as one of two does.
func offerNodes(s *setup) string {
	stem, last := s.host[:max(0, len(s.host)-1)], s.host[max(0, len(s.host)-1):]
	for _, ends := range [][2]string{{"1", "2"}, {"a", "b"}, {"A", "B"}} {
		if slices.Contains(ends[:], last) {
			return stem + ends[0] + " " + stem + ends[1]
		}
	}
	return ""
}

// words splits an answer at blanks and commas.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
}

func setNodes(s *setup, text string) error {
	names := words(text)
	if len(names) != 2 {
		return fmt.Errorf("%d names; a pair has two", len(names))
	}
	s.plan.nodes = [2]string(names)
	return nil
}

// paths reads names, each either the same on both nodes or by node.
func (s *setup) paths(text string) ([]path, error) {
	if text == noAnswer {
		return nil, nil
	}
	var out []path
	var half *path
	for _, w := range words(text) {
		node, name, split := strings.Cut(w, "=")
		if !split {
			out = append(out, path{on: [2]string{w, w}})
			continue
		}
		i := slices.Index(s.plan.nodes[:], node)
		if i < 0 {
			return nil, &control.Error{Text: w + ": no node is called " + node, Advice: "the nodes are " + strings.Join(s.plan.nodes[:], " and ")}
		}
		if half == nil {
			half = &path{}
		}
		half.on[i] = name
		if half.on[1-i] != "" {
			out, half = append(out, *half), nil
		}
	}
	if half != nil {
		return nil, errors.New("one node's is missing: NAME for both, or " + s.plan.nodes[0] + "=NAME " + s.plan.nodes[1] + "=NAME")
	}
	return out, nil
}

func offerSerial(s *setup) string {
	best := noAnswer
	for _, p := range s.facts.Serials {
		switch {
		case len(p.Taken) > 0:
		case p.Kind == "uart":
			return p.Device
		case best == noAnswer:
			best = p.Device
		}
	}
	return best
}

func setSerial(s *setup, text string) (err error) {
	s.plan.serials, err = s.paths(text)
	return err
}

func setBaud(s *setup, text string) (err error) {
	if s.plan.baud, err = strconv.Atoi(text); err != nil || s.plan.baud <= 0 {
		return errors.New("not a number of bits a second")
	}
	return nil
}

// global says whether an interface has an address that others may use.
func global(n survey.Net) bool {
	return slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return !p.Addr().IsLinkLocalUnicast() })
}

// suited returns the name of the first interface that suits the earliest of some
// wishes. Ports of a bridge or bond suit none: their master has the traffic.
func suited(nets []survey.Net, wishes ...func(survey.Net) bool) string {
	for _, wish := range wishes {
		for _, n := range nets {
			if n.Master == "" && wish(n) {
				return n.Name
			}
		}
	}
	return ""
}

func offerLAN(s *setup) string {
	return suited(
		s.facts.Nets,
		func(n survey.Net) bool { return n.Carrier && global(n) && !n.Default },
		func(n survey.Net) bool { return n.Carrier && global(n) },
		global,
	)
}

// offerHeartbeat prefers a cable of its own: a real port that carries no
// address that others use.
func offerHeartbeat(s *setup) string {
	other := func(n survey.Net) bool { return n.Name != s.plan.lan && !n.Default && !n.Virtual }
	own := suited(
		s.facts.Nets,
		func(n survey.Net) bool { return other(n) && n.Carrier && !global(n) },
		func(n survey.Net) bool { return other(n) && n.Carrier },
		func(n survey.Net) bool { return other(n) && !global(n) },
	)
	if own == "" {
		return s.plan.lan
	}
	return own
}

func setHeartbeat(s *setup, text string) error {
	paths, err := s.paths(text)
	if err != nil {
		return err
	}
	if len(paths)+len(s.plan.serials) == 0 {
		return errors.New("without a serial line there must be an interface, or the boxes do not hear each other")
	}
	for i, p := range paths {
		paths[i].group = group4
		for _, n := range s.facts.Nets { // multicast without an address of the family has no sender
			if slices.Contains(p.on[:], n.Name) && !n.IPv4() && n.IPv6 {
				paths[i].group = group6
			}
		}
	}
	s.plan.heartbeats = paths
	return nil
}

func setVIPs(s *setup, text string) error {
	s.plan.vips = nil
	for _, w := range words(text) {
		address, dev, named := strings.Cut(w, "@")
		if !named {
			dev = s.plan.lan
		}
		net := s.net(dev)
		ip, err := netip.ParseAddr(address)
		if err == nil {
			i := slices.IndexFunc(net.Addresses, func(p netip.Prefix) bool { return p.Contains(ip) })
			if i < 0 {
				return &control.Error{Text: address + ": how long is its prefix?", Advice: "such as " + address + "/24"}
			}
			address = fmt.Sprintf("%s/%d", ip, net.Addresses[i].Bits())
		}
		if p, err := netip.ParsePrefix(address); err == nil && s.mine(p.Addr()) {
			return &control.Error{Text: p.Addr().String() + " is this box's own address", Advice: "a virtual address belongs to neither box; each keeps one of its own"}
		}
		s.plan.vips = append(s.plan.vips, address+"@"+dev)
	}
	return nil
}

// mine says whether an address is this box's own already. One that an agent has
// here by the configuration that is replaced belongs to the pair.
func (s *setup) mine(ip netip.Addr) bool {
	for _, g := range s.old.Groups {
		for _, a := range g.VIP.Addresses {
			if a.Prefix.Addr() == ip {
				return false
			}
		}
	}
	return slices.ContainsFunc(s.facts.Nets, func(n survey.Net) bool {
		return slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr() == ip })
	})
}

// net returns what is known of an interface.
func (s *setup) net(name string) survey.Net {
	for _, n := range s.facts.Nets {
		if n.Name == name {
			return n
		}
	}
	return survey.Net{}
}

func offerServices(s *setup) string {
	var units []string
	for _, u := range s.facts.Services {
		units = append(units, u.Unit)
	}
	if len(units) == 0 {
		return noAnswer
	}
	return strings.Join(units, " ")
}

func setServices(s *setup, text string) error {
	s.plan.services = nil
	if text == noAnswer {
		return nil
	}
	for _, w := range words(text) {
		driver, unit, named := strings.Cut(w, ":")
		if !named {
			var err error
			unit = w
			if driver, err = thisBox.Driver(unit); err != nil {
				return &control.Error{Text: err.Error(), Advice: "name the driver, too: systemd:" + survey.Unit("systemd", unit) + ", sysv:" + unit}
			}
		}
		unit = survey.Unit(driver, unit)
		s.plan.services = append(s.plan.services, planService{name: strings.TrimSuffix(unit, ".service"), driver: driver, unit: unit})
	}
	return nil
}

// watchdogDevice is the box's first that is one: softdog dies with its kernel.
func (s *setup) watchdogDevice() string {
	for _, w := range s.facts.Watchdogs {
		if !strings.Contains(strings.ToLower(w.Identity), "software") {
			return w.Path
		}
	}
	return ""
}

func noWatchdog(s *setup) bool { return s.watchdogDevice() == "" && len(s.o.answers["watchdog"]) == 0 }

func setWatchdog(s *setup, text string) error {
	switch text {
	case "yes":
		if s.plan.watchdog = s.watchdogDevice(); s.plan.watchdog == "" {
			s.plan.watchdog = "/dev/watchdog"
		}
	case "no":
		s.plan.watchdog = ""
	default:
		return errors.New("yes or no")
	}
	return nil
}

func setFence(s *setup, text string) error {
	s.plan.fence = planFence{}
	switch {
	case text == noAnswer:
		return nil
	case !slices.Contains(fenceDrivers, text):
		hint := strings.Join(fenceDrivers, ", ") + "; the others need keys that reference.toml explains"
		return &control.Error{Text: text + " is no driver that init can set up", Advice: hint}
	}
	s.plan.fence.driver = text
	return nil
}

func setFenceAddress(s *setup, text string) error {
	paths, err := s.paths(text)
	if err == nil && len(paths) != 1 {
		err = errors.New("one address, or one by node")
	}
	if err == nil {
		s.plan.fence.address = paths[0].on
	}
	return err
}

func setOutlets(s *setup, text string) error {
	s.plan.fence.outlets = [2][]string{}
	for _, w := range strings.Fields(text) {
		node, list, _ := strings.Cut(w, "=")
		i := slices.Index(s.plan.nodes[:], node)
		if i < 0 || list == "" {
			return fmt.Errorf("%s is not NODE=OUTLET of %s or %s", w, s.plan.nodes[0], s.plan.nodes[1])
		}
		s.plan.fence.outlets[i] = strings.Split(list, ",")
	}
	for i, o := range s.plan.fence.outlets {
		if o == nil {
			return errors.New("the outlets of " + s.plan.nodes[i] + " are missing")
		}
	}
	return nil
}

func offerUser(s *setup) string {
	if s.plan.fence.isWeb() {
		return noAnswer
	}
	return "twinbeat"
}

func setUser(s *setup, text string) error {
	if text == noAnswer && s.plan.fence.isBMC() {
		return errors.New("a BMC wants a user")
	}
	s.plan.fence.user = text
	return nil
}

func offerMode(s *setup) string {
	if s.plan.fence.driver != "" {
		return "fence"
	}
	return "silence"
}
