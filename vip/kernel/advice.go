package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/vip"
)

// Advice reads the kernel settings that stand in the way of the set, and says
// in sentences what is wrong and which setting would cure it. It changes
// nothing. transit says whether the node is to route for others.
func Advice(set vip.Set, transit bool) []string {
	return adviceFrom("/proc/sys/net", set, transit)
}

// An adviser reads settings below a root, so that tests can make one up.
type adviser struct {
	root string
	out  []string
}

func adviceFrom(root string, set vip.Set, transit bool) []string {
	a := &adviser{root: root}
	devices := set.Devices()
	var four, six bool
	for _, name := range devices {
		v4, v6 := families(set, name)
		four, six = four || v4, six || v6
		a.device(name, v4, v6, len(devices))
		if transit {
			a.forwarding(name, v4, v6)
		}
	}
	if transit && four && len(set.Rules) > 0 {
		a.reversePath(devices)
	}
	if transit && six && a.value("ipv6/conf/all/forwarding") == "0" {
		a.say("IPv6 is not forwarded (net.ipv6.conf.all.forwarding=0) and announcements will carry no Router flag: set it to 1")
	}
	return a.out
}

func families(set vip.Set, device string) (four, six bool) {
	for _, a := range set.Addresses {
		if a.Device == device {
			four = four || a.Prefix.Addr().Is4()
			six = six || a.Prefix.Addr().Is6()
		}
	}
	return four, six
}

func (a *adviser) say(format string, args ...any) {
	a.out = append(a.out, fmt.Sprintf(format, args...))
}

// value is a setting's text, empty if it cannot be read.
func (a *adviser) value(path string) string {
	b, err := os.ReadFile(filepath.Join(a.root, path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// highest is the larger of the setting for all devices and for one: so the
// kernel reads arp_ignore and rp_filter (ip-sysctl.rst).
func (a *adviser) highest(setting, device string) int {
	all, _ := strconv.Atoi(a.value("ipv4/conf/all/" + setting))
	one, _ := strconv.Atoi(a.value("ipv4/conf/" + device + "/" + setting))
	return max(all, one)
}

func (a *adviser) device(name string, four, six bool, devices int) {
	if a.value("ipv4/conf/"+name+"/forwarding") == "" && a.value("ipv6/conf/"+name+"/forwarding") == "" {
		a.say("device %s does not exist", name)
		return
	}
	if four {
		a.arp(name, devices)
	}
	if six && a.value("ipv6/conf/"+name+"/disable_ipv6") != "0" {
		a.say("IPv6 is off on %s and its IPv6 addresses cannot be set: set net.ipv6.conf.%s.disable_ipv6 to 0", name, name)
	}
}

func (a *adviser) arp(name string, devices int) {
	switch ignore := a.highest("arp_ignore", name); {
	case ignore == 0 && devices > 1:
		a.say("ARP requests on %s are answered for the addresses of every device: set net.ipv4.conf.%s.arp_ignore to 1", name, name)
	case ignore >= 3:
		a.say("ARP requests on %s may go unanswered (arp_ignore=%d): set net.ipv4.conf.%s.arp_ignore to 1", name, ignore, name)
	}
	if a.value("ipv4/conf/"+name+"/promote_secondaries") == "0" && a.value("ipv4/conf/all/promote_secondaries") == "0" {
		a.say("removing the first address of a subnet on %s would remove the others: net.ipv4.conf.%s.promote_secondaries is 0 and is set to 1 before addresses are taken", name, name)
	}
}

func (a *adviser) forwarding(name string, four, six bool) {
	if four && a.value("ipv4/conf/"+name+"/forwarding") == "0" {
		a.say("IPv4 from %s is not forwarded: set net.ipv4.ip_forward to 1 (net.ipv4.conf.%s.forwarding is 0)", name, name)
	}
	if six && a.value("ipv6/conf/"+name+"/forwarding") == "0" && a.value("ipv6/conf/all/forwarding") != "0" {
		a.say("announcements on %s will carry no Router flag and hosts drop their default route: set net.ipv6.conf.%s.forwarding to 1", name, name)
	}
}

func (a *adviser) reversePath(devices []string) {
	for _, name := range devices {
		if a.highest("rp_filter", name) == 1 {
			a.say("the strict reverse path filter on %s drops what policy rules route asymmetrically: set net.ipv4.conf.%s.rp_filter to 2", name, name)
		}
	}
}
