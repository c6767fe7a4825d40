package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

const (
	maxDeviceName = 15        // IFNAMSIZ less its zero byte (linux/if.h)
	maxTable      = 1<<31 - 1 // the kernel's table ids are 32 bits wide; we keep to int on every architecture
	maxMetric     = 1<<31 - 1 // RTA_PRIORITY is 32 bits wide, same reason
	maxPriority   = 32765     // 32766 and 32767 are the kernel's own main and default rules
	defaultWord   = "default" // as in iproute2
	scopeGlobal   = "global"  // RT_SCOPE_UNIVERSE
	scopeLink     = "link"    // RT_SCOPE_LINK
	scopeHost     = "host"    // RT_SCOPE_HOST
	addressForm   = "want ADDRESS/LENGTH@DEVICE, such as 192.0.2.1/24@eth0"
	noBroadcast   = 31      // prefixes of 31 and 32 bits have neither network nor broadcast address (RFC 3021)
	solicitedBits = 128 - 1 // same limit for IPv6: /127 (RFC 6164) and /128 have no subnet-router anycast address
)

// String is the form that ParseAddress reads: 192.0.2.1/24@eth0, followed by
// the label and by the scope where it is not the usual one.
func (a Address) String() string {
	text := a.Prefix.String() + "@" + a.Device
	if a.Label != "" {
		text += " label " + a.Label
	}
	if a.Scope != "" && a.Scope != a.usualScope() {
		text += " scope " + a.Scope
	}
	return text
}

// ParseAddress reads ADDRESS[/LENGTH]@DEVICE [label LABEL] [scope SCOPE].
// Without a length the address stands alone (/32 or /128).
func ParseAddress(text string) (Address, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Address{}, fmt.Errorf("parse address %q: %s", text, addressForm)
	}
	ip, device, ok := strings.Cut(words[0], "@")
	if !ok {
		return Address{}, fmt.Errorf("parse address %q: no @DEVICE; %s", text, addressForm)
	}
	prefix, err := ParsePrefix(ip)
	if err != nil {
		return Address{}, fmt.Errorf("parse address %q: %w", text, err)
	}
	a := Address{Prefix: prefix, Device: device}
	for rest := words[1:]; len(rest) > 0; rest = rest[2:] {
		if len(rest) == 1 {
			return Address{}, fmt.Errorf("parse address %q: %q has no value", text, rest[0])
		}
		switch rest[0] {
		case "label":
			a.Label = rest[1]
		case "scope":
			a.Scope = rest[1]
		default:
			return Address{}, fmt.Errorf("parse address %q: unknown word %q, want label or scope", text, rest[0])
		}
	}
	if err := a.Check(); err != nil {
		return Address{}, err
	}
	return a, nil
}

// ParsePrefix reads an address with or without its prefix length and keeps its
// host bits. A zone is refused: the device says the same.
func ParsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is not an address with a prefix length", text)
		}
		return p, nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address", text)
	}
	if ip.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q has a zone; name the device instead", text)
	}
	return netip.PrefixFrom(ip, ip.BitLen()), nil
}

// ParseDestination reads a route's destination, or a rule's selector. The word
// default means everything of the family of via, IPv4 if via is zero.
func ParseDestination(text string, via netip.Addr) (netip.Prefix, error) {
	if text == defaultWord {
		if via.Is6() {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0), nil
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	p, err := ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has host bits set; did you mean %s?", p, p.Masked())
	}
	return p, nil
}

// EffectiveScope is the scope the kernel will show for the address.
func (a Address) EffectiveScope() string {
	if a.Scope != "" {
		return a.Scope
	}
	return a.usualScope()
}

func (a Address) usualScope() string {
	if a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() {
		return scopeLink // fe80::/10, RFC 4291 section 2.5.6
	}
	return scopeGlobal
}

// Check says what keeps the address from being a VIP, if anything.
func (a Address) Check() error {
	if reason := a.fault(); reason != "" {
		return fmt.Errorf("check address %s: %s", a, reason)
	}
	return nil
}

func (a Address) fault() string {
	ip := a.Prefix.Addr()
	switch {
	case !a.Prefix.IsValid():
		return "no address; " + addressForm
	case ip.Is4In6():
		return "an IPv4-mapped IPv6 address is never on the wire; write it as IPv4"
	case ip.Zone() != "":
		return "it has a zone; name the device instead"
	case ip.IsUnspecified(), ip.IsMulticast(), ip.IsLoopback():
		return "it is unspecified, multicast or loopback, and no node can answer for it"
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "it is the broadcast address"
	}
	if reason := edgeFault(a.Prefix); reason != "" {
		return reason
	}
	if reason := deviceFault(a.Device); reason != "" {
		return reason
	}
	return a.attributeFault()
}

// edgeFault catches the subnet written in place of an address in it.
func edgeFault(p netip.Prefix) string {
	limit := noBroadcast
	if p.Addr().Is6() {
		limit = solicitedBits
	}
	if p.Bits() >= limit {
		return ""
	}
	if p.Addr() == p.Masked().Addr() {
		return "it is the address of the subnet itself, not of a host in it"
	}
	if b := Broadcast(p); b.IsValid() && b == p.Addr() {
		return "it is the broadcast address of its subnet"
	}
	return ""
}

func (a Address) attributeFault() string {
	switch {
	case a.Label != "" && a.Prefix.Addr().Is6():
		return "labels exist for IPv4 only"
	case len(a.Label) > maxDeviceName:
		return fmt.Sprintf("label %q is longer than %d bytes", a.Label, maxDeviceName)
	case a.Label != "" && a.Label != a.Device && !strings.HasPrefix(a.Label, a.Device+":"):
		return fmt.Sprintf("label %q does not start with the device's name and a colon", a.Label)
	}
	switch a.Scope {
	case "", scopeGlobal, scopeLink, scopeHost:
	default:
		return fmt.Sprintf("scope %q is not global, link or host", a.Scope)
	}
	if a.Prefix.Addr().Is6() && a.EffectiveScope() != a.usualScope() {
		return fmt.Sprintf("the scope of an IPv6 address follows from the address: it is %s", a.usualScope())
	}
	return ""
}

func deviceFault(name string) string {
	switch {
	case name == "":
		return "no device"
	case len(name) > maxDeviceName:
		return fmt.Sprintf("device %q is longer than %d bytes", name, maxDeviceName)
	case name == ".", name == "..", strings.ContainsAny(name, "/ \t\n\x00:@"):
		return fmt.Sprintf("%q cannot be the name of a device", name) // dev_valid_name, plus the two characters of our own syntax
	}
	return ""
}

// Broadcast is the broadcast address of an IPv4 prefix, as `ip addr add` with
// `brd +` sets it. It is zero for IPv6 and for prefixes longer than 30 bits,
// which have none (RFC 3021).
func Broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() >= noBroadcast {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	for i := range b {
		host := min(max(8*(i+1)-p.Bits(), 0), 8) // host bits in this byte
		b[i] |= byte(1<<host - 1)
	}
	return netip.AddrFrom4(b)
}

// String is the route as `ip route` would be told it.
func (r Route) String() string {
	var b strings.Builder
	if r.Dst.Bits() == 0 {
		b.WriteString(defaultWord)
	} else {
		b.WriteString(r.Dst.String())
	}
	word := func(set bool, key string, value any) {
		if set {
			fmt.Fprintf(&b, " %s %v", key, value)
		}
	}
	word(r.Via.IsValid(), "via", r.Via)
	word(r.Device != "", "dev", r.Device)
	word(r.Src.IsValid(), "src", r.Src)
	word(r.Table != 0, "table", r.Table)
	word(r.Metric != 0, "metric", r.Metric)
	word(r.Scope != "", "scope", r.Scope)
	if r.OnLink {
		b.WriteString(" onlink")
	}
	return b.String()
}

// Check says what keeps the route from being set, if anything.
func (r Route) Check() error {
	if reason := r.fault(); reason != "" {
		return fmt.Errorf("check route %s: %s", r, reason)
	}
	return nil
}

func (r Route) fault() string {
	six := r.Dst.Addr().Is6()
	switch {
	case !r.Dst.IsValid():
		return "no destination"
	case r.Dst != r.Dst.Masked():
		return fmt.Sprintf("the destination has host bits set; did you mean %s?", r.Dst.Masked())
	case r.Via.IsValid() && r.Via.Is6() != six, r.Src.IsValid() && r.Src.Is6() != six:
		return "destination, gateway and source are not of one family"
	case !r.Via.IsValid() && r.Device == "":
		return "neither a gateway nor a device"
	case r.OnLink && (!r.Via.IsValid() || r.Device == ""):
		return "onlink needs a gateway and a device"
	case r.Via.Is6() && r.Via.IsLinkLocalUnicast() && r.Device == "":
		return "a link-local gateway needs a device"
	case r.Table < 0 || r.Table > maxTable, r.Metric < 0 || r.Metric > maxMetric:
		return "table or metric is out of range"
	}
	switch r.Scope {
	case "", scopeGlobal, scopeLink, scopeHost:
	default:
		return fmt.Sprintf("scope %q is not global, link or host", r.Scope)
	}
	if six && r.Scope != "" && r.Scope != scopeGlobal {
		return "IPv6 routes have no scope"
	}
	if r.Device != "" {
		return deviceFault(r.Device)
	}
	return ""
}

// String is the rule as `ip rule` would be told it.
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "priority %d", r.Priority)
	word := func(set bool, format string, value any) {
		if set {
			fmt.Fprintf(&b, format, value)
		}
	}
	if !r.From.IsValid() {
		b.WriteString(" from all")
	}
	word(r.From.IsValid(), " from %v", r.From)
	word(r.To.IsValid(), " to %v", r.To)
	word(r.IIf != "", " iif %s", r.IIf)
	word(r.OIf != "", " oif %s", r.OIf)
	word(r.FwMark != 0, " fwmark %#x", r.FwMark)
	word(true, " table %d", r.Table)
	if r.IPv6 {
		b.WriteString(" (ipv6)")
	}
	return b.String()
}

// Check says what keeps the rule from being set, if anything.
func (r Rule) Check() error {
	if reason := r.fault(); reason != "" {
		return fmt.Errorf("check rule %s: %s", r, reason)
	}
	return nil
}

func (r Rule) fault() string {
	for _, p := range []netip.Prefix{r.From, r.To} {
		if p == (netip.Prefix{}) {
			continue
		}
		switch {
		case !p.IsValid():
			return "it has a prefix that is none"
		case p.Addr().Is6() != r.IPv6:
			return fmt.Sprintf("%s is not of the rule's family", p)
		case p != p.Masked():
			return fmt.Sprintf("%s has host bits set; did you mean %s?", p, p.Masked())
		}
	}
	switch {
	case r.Priority <= 0 || r.Priority > maxPriority:
		// Without one the kernel picks a new priority at every add, so that
		// adding twice would leave two rules and removing would find neither.
		return fmt.Sprintf("the priority is not within 1 and %d", maxPriority)
	case r.Table <= 0 || r.Table > maxTable:
		return "it has no table"
	case r.IIf != "" && deviceFault(r.IIf) != "":
		return deviceFault(r.IIf)
	case r.OIf != "" && deviceFault(r.OIf) != "":
		return deviceFault(r.OIf)
	}
	return ""
}

// Check says everything that is wrong with the set. The same address twice on
// one device is an error, because the kernel holds it only once.
func (s Set) Check() error {
	var errs []error
	type place struct {
		ip     netip.Addr
		device string
	}
	seen := make(map[place]bool, len(s.Addresses))
	for _, a := range s.Addresses {
		errs = append(errs, a.Check())
		at := place{a.Prefix.Addr(), a.Device}
		if seen[at] {
			errs = append(errs, fmt.Errorf("check address %s: it is in the set twice", a))
		}
		seen[at] = true
	}
	for _, r := range s.Routes {
		errs = append(errs, r.Check())
	}
	for _, r := range s.Rules {
		errs = append(errs, r.Check())
	}
	return errors.Join(errs...)
}
