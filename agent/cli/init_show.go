//go:build !lite

package cli

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/survey"
)

// factsIndent is where the text of a fact begins.
const factsIndent = 12

// factsText shows what was found, one thing a line.
func factsText(f survey.Facts) string {
	var b strings.Builder
	put := func(name, text string) { b.WriteString(report.Paragraph("  "+name, factsIndent, report.Clean(text))) }
	init := f.Init
	if init == "" {
		init = "none that twinbeat knows"
	}
	put("init", init)
	for _, s := range f.Serials {
		put("serial", serialText(s))
	}
	if len(f.Serials) == 0 {
		put("serial", "none")
	}
	for _, n := range f.Nets {
		put("interface", netText(n))
	}
	for _, w := range f.Watchdogs {
		put("watchdog", w.String())
	}
	for _, s := range f.Services {
		put("service", s.Unit+", driver "+s.Driver)
	}
	return b.String()
}

func serialText(s survey.Serial) string {
	text := s.Device
	if s.Kind == "usb" {
		text += ", USB"
	}
	for _, more := range []string{s.Text, s.Stable} {
		if more != "" {
			text += ", " + more
		}
	}
	if s.Most > 0 {
		text += fmt.Sprintf(", up to %d baud", s.Most)
	}
	if len(s.Taken) > 0 {
		return text + "; taken: " + strings.Join(s.Taken, ", ")
	}
	return text + ", free"
}

func netText(n survey.Net) string {
	state := "no carrier"
	switch {
	case !n.Up:
		state = "down"
	case n.Carrier && n.Mbit > 0:
		state = fmt.Sprintf("carrier, %d Mbit/s", n.Mbit)
	case n.Carrier:
		state = "carrier"
	}
	text := n.Name + ", " + state
	for _, a := range n.Addresses {
		if !a.Addr().IsLinkLocalUnicast() {
			text += ", " + a.String()
		}
	}
	if n.Master != "" {
		text += ", port of " + n.Master
	}
	if n.Default {
		text += ", default route"
	}
	return text
}

// cautions are what an operator must know of the answers so far.
func (s *setup) cautions() []string {
	var out []string
	for _, p := range s.plan.serials {
		out = append(out, s.serialCautions(p)...)
	}
	names := []string{s.plan.lan}
	for _, h := range s.plan.heartbeats {
		names = append(names, h.on[:]...)
	}
	_, isHere := s.isHere()
	for i, name := range names {
		if name == "" || slices.Contains(names[:i], name) {
			continue
		}
		switch n := s.net(name); {
		case n.Name == "" && isHere:
			out = append(out, "this box has no interface "+name)
		case n.Name == "":
		case n.Master != "":
			out = append(out, name+" is a port of "+n.Master+": what it receives goes there")
		case !n.Up:
			out = append(out, name+" is down; it has to come up at boot on both boxes, with or without an address")
		}
	}
	for _, w := range s.facts.Watchdogs {
		if w.Path == s.plan.watchdog && w.Holder != "" {
			out = append(out, w.Path+" is held by "+w.Holder+"; a watchdog has one owner")
		}
	}
	return append(out, s.strangers()...)
}

// strangers are virtual addresses of networks that their interface is not in.
func (s *setup) strangers() (out []string) {
	for _, v := range s.plan.vips {
		address, dev, _ := strings.Cut(v, "@")
		p, err := netip.ParsePrefix(address)
		if err != nil {
			continue
		}
		n := s.net(dev)
		family := func(a netip.Prefix) bool { return a.Addr().Is4() == p.Addr().Is4() && !a.Addr().IsLinkLocalUnicast() }
		inside := func(a netip.Prefix) bool { return a.Contains(p.Addr()) }
		if slices.ContainsFunc(n.Addresses, family) && !slices.ContainsFunc(n.Addresses, inside) {
			out = append(out, p.Addr().String()+" is in no network that "+dev+" has now")
		}
	}
	return out
}

func (s *setup) serialCautions(p path) (out []string) {
	for _, known := range s.facts.Serials {
		if !slices.Contains(p.on[:], known.Device) {
			continue
		}
		for _, why := range known.Taken {
			out = append(out, known.Device+" is taken: "+why+"; heartbeats need the port for themselves")
		}
		if known.Most > 0 && s.plan.baud > known.Most {
			out = append(out, fmt.Sprintf("%s can do %d baud at most, says its driver", known.Device, known.Most))
		}
	}
	return out
}

// done says what was written.
func (t *pairFiles) done() string {
	text := t.config + ": written"
	if t.replace {
		text += "; the old one is " + t.backup
	}
	text += "\n" + t.keys
	if t.keysThere {
		return text + ": was there, and is kept\n"
	}
	return text + ": written, mode 0600\n"
}

// starts is how each init system starts the agent, now and at boot.
var starts = map[string]string{
	"systemd": "systemctl enable --now twinbeat",
	"openrc":  "rc-update add twinbeat && rc-service twinbeat start",
	"procd":   "/etc/init.d/twinbeat enable && /etc/init.d/twinbeat start",
	"sysv":    "/etc/init.d/twinbeat start",
}

// next says what is left to do, as commands to copy.
func (s *setup) next(t *pairFiles) string {
	var b strings.Builder
	para := func(text string) {
		b.WriteByte('\n')
		for line := range strings.Lines(report.Paragraph("", 0, text)) {
			b.WriteString(strings.TrimPrefix(line, " "))
		}
	}
	here, isHere := s.isHere()
	home := filepath.Dir(defaultConfig)
	for _, c := range s.cautions() {
		para("Before you start: " + report.Clean(c) + ".")
	}
	if secret := s.plan.fence.secret(); secret != "" {
		para("The fence device's secret goes into a file that only root reads, on both boxes; type it, then ctrl-D twice:")
		fmt.Fprintf(&b, "  (umask 077; cat >%s)\n", secret)
	}
	if isHere && t.dir != home {
		para("Put both files in their place on this box:")
		fmt.Fprintf(&b, "  mkdir -p -m 700 %s && cp -p %s %s %[1]s/\n", home, t.keys, t.config)
	}
	para("Copy both to the same place on the other box. Who has the key commands the pair: by ssh, or on a stick that is wiped afterwards; not by mail, ftp or http.")
	for i, n := range s.plan.nodes {
		if !isHere || i != here {
			fmt.Fprintf(&b, "  ssh root@%s mkdir -p -m 700 %s\n", n, home)
			fmt.Fprintf(&b, "  scp -p %s %s root@%s:%s/\n", t.keys, t.config, n, home)
		}
	}
	if t.replace {
		para("An agent that runs goes on with the old configuration until it is started again.")
	}
	para("Then on both boxes:")
	b.WriteString("  twinbeat check\n")
	for _, u := range s.plan.services {
		if off := ownStart(u); off != "" {
			b.WriteString(off)
		}
	}
	if start := starts[s.facts.Init]; start != "" {
		b.WriteString("  " + start + "\n")
	} else {
		b.WriteString("  twinbeat run\n")
	}
	b.WriteString("  twinbeat status\n")
	if s.plan.fence.driver != "" {
		para("At last prove the wiring: twinbeat fence identify, add the pins that it prints, then, with the peer in maintenance, twinbeat fence verify.")
	}
	return b.String()
}

// ownStart is how a service is kept from starting at boot on both boxes.
func ownStart(u planService) string {
	how := map[string]string{
		"systemd": "systemctl disable %s", "openrc": "rc-update del %s", "procd": "/etc/init.d/%s disable", "sysv": "update-rc.d %s disable",
	}[u.driver]
	if how == "" {
		return ""
	}
	return fmt.Sprintf("  "+how+"\n", u.unit)
}
