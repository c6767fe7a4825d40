package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A feed is an outlet, or a box behind a BMC, as one device reaches it.
type feed struct {
	node int
	path string // of the device that named it first
}

// feeds finds what is switched off for both nodes, or twice for one.
type feeds struct {
	*parser
	of    map[string]feed
	fed   [2]bool                  // whether anything switches the node off
	proof [maxFenceLevels + 1]bool // whether all devices of the level can prove anything
	level [maxFenceLevels + 1]string
	weak  [maxFenceLevels + 1]string // path of a device of the level that cannot
	own   [maxFenceLevels + 1]bool   // a device of the level has power of its own
}

// add notes what a device switches.
func (f *feeds) add(t table, d FenceDevice, rule fenceRule, addresses [2]string, outlets [2][]string) {
	if d.Level < 1 {
		return // reported
	}
	if f.level[d.Level] == "" {
		f.level[d.Level] = t.path
	}
	if rule.weak {
		f.weak[d.Level] = t.path
	} else {
		f.proof[d.Level] = true
	}
	f.own[d.Level] = f.own[d.Level] || !rule.oneBox
	if f.alone {
		return
	}
	if rule.oneBox && addresses[0] != "" && addresses[0] == addresses[1] {
		t.report("address", fmt.Sprintf("both nodes have %s", addresses[0]), "each box has its own: write { fw1 = \"...\", fw2 = \"...\" }")
	}
	for node := range 2 {
		f.fed[node] = f.fed[node] || !t.has("outlets") || len(outlets[node]) > 0
		for i, outlet := range outlets[node] {
			at := element(join(join(t.path, "outlets"), t.config.Nodes[node].Name), i)
			f.outlet(at, node, addresses[node], outlet)
		}
	}
}

// outlet reports one that stands in two places. Devices without an address
// are programs, which are told apart by nothing that we know.
func (f *feeds) outlet(at string, node int, address, outlet string) {
	if address == "" {
		return
	}
	key := address + " outlet " + outlet
	first, twice := f.of[key]
	f.of[key] = feed{node, at}
	switch {
	case twice && first.node != node:
		f.report(at, fmt.Sprintf("outlet %q feeds both nodes", outlet), fmt.Sprintf("line %d gives it to the other: a node that fences would switch itself off", f.lines.line(first.path)))
	case twice && strings.HasPrefix(at, first.path[:strings.LastIndexByte(first.path, '[')]):
		f.report(at, fmt.Sprintf("outlet %q is here a second time", outlet), "name each power supply's own outlet")
	}
}

// judge reports levels that cannot do what they are for.
func (f *feeds) judge(t table, c *Fence) {
	for i, n := range f.config.Nodes {
		if !f.fed[i] {
			t.report("device", "nothing switches "+n.Name+" off", "name its outlets, or leave [fence] out")
		}
	}
	proven := false
	for level := 1; level <= c.Levels(); level++ {
		switch {
		case f.level[level] == "":
			t.report("device", fmt.Sprintf("no device has level %d, although one has level %d", level, c.Levels()), "count the levels from 1")
		case f.weak[level] != "" && f.proof[level]:
			f.report(f.weak[level]+".level", "ssh proves nothing, so the whole level could not", fmt.Sprintf("give it a level of its own, after the others: level = %d", c.Levels()+1))
		}
		proven = proven || f.proof[level]
	}
	if !proven && len(c.Devices) > 0 {
		f.report(f.weak[1], "ssh is the only way, and proves nothing: no takeover could rest on it", "add a device that can be read back, or choose mode silence without [fence]")
	}
}

// namesPerNode reads a list of outlets, or of their names, for each node.
func (t table) namesPerNode(name string) [2][]string {
	return t.arrayPerNode(name, func(at string, list []any) (out []string) {
		if len(list) > maxOutlets {
			t.report(at, fmt.Sprintf("has %d elements", len(list)), fmt.Sprintf("%d at most", maxOutlets))
			return nil
		}
		for j, e := range list {
			out = append(out, t.outletName(element(at, j), e))
		}
		return out
	})
}

func (t table) outletName(at string, v any) string {
	s, ok := v.(string)
	switch {
	case !ok:
		t.report(at, "is "+describe(v)+", not text", "put the outlet in quotes, its index, too")
	case strings.TrimSpace(s) == "":
		t.report(at, "is empty", "an outlet's index or its name in the device")
	case len(s) > maxOutletName || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		t.report(at, fmt.Sprintf("%.70q is not an outlet", s), fmt.Sprintf("its index, or its name in the device: at most %d bytes that can be printed", maxOutletName))
	}
	return s
}

// reserved are options of fence-agents that other keys stand for.
var reserved = map[string]string{
	"action": "twinbeat gives it", "method": "twinbeat needs a state that lasts: off and on, never cycle",
	"plug": "outlets says it", "port": "outlets says it", "ip": "address says it", "ipaddr": "address says it", "ipport": "address says it",
	"username": "user says it", "login": "user says it", "password": "password_file keeps it", "passwd": "password_file keeps it",
}

// options reads a table of another program's options.
func (t table) options(name string) map[string]string {
	v, k := t.value(name)
	if v == nil {
		return nil
	}
	values, ok := v.(map[string]any)
	if !ok {
		t.wrongType(name, k, v, "a table")
		return nil
	}
	if len(values) > maxOptions {
		t.report(name, fmt.Sprintf("has %d options", len(values)), fmt.Sprintf("%d at most", maxOptions))
		return nil
	}
	out := map[string]string{}
	for _, option := range slices.Sorted(maps.Keys(values)) {
		s, ok := values[option].(string)
		switch hint, taken := reserved[option]; {
		case taken:
			t.report(join(name, option), "is not for agent_options", hint)
		case option == "" || len(option) > maxName || !onlyOf(option, "abcdefghijklmnopqrstuvwxyz0123456789_-"):
			t.report(name, fmt.Sprintf("%.40q is not the name of an option", option), "as the program's metadata has it, such as login_timeout")
		case !ok:
			t.wrongType(join(name, option), k, values[option], "text in quotes")
		case strings.ContainsAny(s, "\n\r\x00"):
			t.report(join(name, option), "text has a line end or a zero byte", "write it on one line")
		}
		out[option] = s
	}
	return out
}

// texts reads an array of text.
func (t table) texts(name string) []string {
	v, k := t.value(name)
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > maxOptions {
		t.wrongType(name, k, v, fmt.Sprintf("an array of text, of %d elements at most", maxOptions))
		return nil
	}
	var out []string
	for i, e := range list {
		s, ok := e.(string)
		if !ok || strings.ContainsAny(s, "\r\n\x00") {
			t.report(element(name, i), "is not one line of text", "write "+k.example(name))
		}
		out = append(out, s)
	}
	return out
}

// url reads a URL, or a path below the address.
func (t table) url(name string) string {
	s := t.text(name)
	bare := strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	if s != "" && (bare == "" || bare == s && s[0] != '/' || strings.ContainsAny(s, " \t")) {
		t.report(name, fmt.Sprintf("%q is not a URL", s), "it starts with http://, https:// or, below address, with / and has no blank")
	}
	return s
}

// isFenceURL accepts an address with http:// or https:// before it, too.
func isFenceURL(s string) (hint string, ok bool) {
	_, bare, found := strings.Cut(s, "://")
	if !found {
		return isFenceAddress(s)
	}
	if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		return "http:// or https://, or neither", false
	}
	return isFenceAddress(strings.TrimSuffix(bare, "/"))
}

// isFenceAddress accepts a host name or an IP address, with or without a port.
func isFenceAddress(s string) (hint string, ok bool) {
	host := s
	if colon := strings.LastIndexByte(s, ':'); strings.Count(s, ":") == 1 || strings.HasPrefix(s, "[") && colon > strings.IndexByte(s, ']') {
		if n, err := strconv.Atoi(s[colon+1:]); err != nil || n < 1 || n > 65535 {
			return "a port is a number from 1 to 65535", false
		}
		host = s[:colon]
	}
	if bare, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(bare, "]"); !ok || !strings.Contains(host, ":") {
			return "an IPv6 address with a port is written [2001:db8::20]:161", false
		}
	}
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return "an IPv6 address such as 2001:db8::20", err == nil
	}
	return "a host name or an IP address, such as 192.0.2.20", isHostName(host)
}

// isFingerprint accepts a SHA-256 in hexadecimal, with or without colons.
func isFingerprint(s string) (hint string, ok bool) {
	digits := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(s), "sha256:"), ":", "")
	return "SHA-256 in hexadecimal, as `openssl x509 -noout -fingerprint -sha256` prints it", len(digits) == 64 && onlyOf(digits, "0123456789abcdef")
}

// isHostKey accepts a line of known_hosts, a public key or its fingerprint; the
// driver knows what is in them.
func isHostKey(s string) (hint string, ok bool) {
	hint = "type and key, as `ssh-keyscan HOST` prints them: ssh-ed25519 AAAAC3Nz..., or the fingerprint: SHA256:..."
	return hint, strings.HasPrefix(s, "SHA256:") && len(s) >= 7+43 || strings.Contains(s, " AAAA")
}

// isObjectID accepts numbers joined by dots.
func isObjectID(s string) bool {
	numbers := strings.Split(s, ".")
	return len(numbers) > 6 && !slices.Contains(numbers, "") && onlyOf(s, "0123456789.")
}

// twoReadings is what a proof of power off takes apart from the commands: the
// wait for the outlet to obey, and two readings 300 ms apart (package fence).
const twoReadings = 550 * time.Millisecond

// levelTime is what one level needs by default.
const levelTime = 10 * time.Second

// levelShare is the least part of fence_time that a level has, as a divisor:
// each but the last may take half of what is left (package fence).
func levelShare(level, levels int) time.Duration {
	return 1 << max(0, min(level, levels-1))
}

// defaultFenceTime gives each level levelTime at least, and a program of
// fence-agents its own.
func defaultFenceTime(f *Fence) time.Duration {
	levels := f.Levels()
	whole := levelTime * levelShare(levels, levels)
	for i := range levels {
		if slices.ContainsFunc(f.Devices, func(d FenceDevice) bool { return d.Level == i+1 && d.Driver == "agent" }) {
			whole = max(whole, defaultAgent*levelShare(i+1, levels))
		}
	}
	return whole
}

// fenceTimes are the inequalities of the devices.
func fenceTimes(c Config) []inequality {
	if c.Fence == nil {
		return nil
	}
	var out []inequality
	for i, d := range c.Fence.Devices {
		at := element("fence.device", i)
		q := inequality{name: "fence_time", have: c.Timing.FenceTime / levelShare(d.Level, c.Fence.Levels())}
		if c.Fence.Levels() > 1 {
			q.name = fmt.Sprintf("share of level %d in fence_time %s,", d.Level, show(c.Timing.FenceTime))
		}
		q.key, q.hint = at+".timeout", "lengthen fence_time (and race) or shorten timeout"
		q.why = "a program or request is cut off with the fence operation it is part of"
		q.sum, q.need = sum(term{"timeout of " + d.Name, d.Timeout})
		out = append(out, q)
		q.key, q.hint = at+".holdup", "lengthen fence_time (and race) or shorten holdup"
		q.why = "the proof is read after holdup"
		q.sum, q.need = sum(term{"holdup of " + d.Name, d.Holdup}, term{"two readings", twoReadings}, term{"reserve", c.Timing.Reserve})
		out = append(out, q)
	}
	return out
}

// fenceWarnings tells what a fence cannot see, or believes.
func (p *parser) fenceWarnings() {
	c := &p.config
	if c.Fence == nil {
		return
	}
	ownPower := false
	for i, d := range c.Fence.Devices {
		at := element("fence.device", i)
		rule := fenceByDriver[d.Driver]
		ownPower = ownPower || !rule.oneBox
		if d.Insecure {
			p.warn(at+".insecure", "whoever is between this node and the device can learn its password, and lie", "give its tls_fingerprint: `twinbeat fence identify` prints it")
		}
		if rule.outlet && strings.Contains(rule.takes, "serial") && d.Pin.Serial == "" && len(d.Pin.OutletNames) == 0 {
			p.warn(at, "is not pinned: another device at its address, or a cable moved to another outlet, would go unnoticed",
				"`twinbeat fence identify --device "+d.Name+"` prints the pins")
		}
	}
	if !ownPower {
		p.warn("fence", "every device shares the power of the box that it switches: one that lost its power cannot be proven off, so nobody takes over from it",
			"add a switched PDU as level 1")
	}
}
