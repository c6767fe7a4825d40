//go:build !lite && !no_virtual

package config

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/twinbeat/twinbeat/vip"
)

// maxGated is how many interfaces the gate guards: each of them is a chain of
// its own, a virtual device and what it stands on are two.
const maxGated = 32

// virtual reads the virtual hardware addresses of the groups, and says where
// their addresses, routes and rules are then.
func (p *parser) virtual(groups []table) {
	all := p.config.Groups
	n, some := len(p.config.devices()), false
	for i, t := range groups {
		g := &all[i]
		mac, ok := t.virtualMAC()
		if !ok {
			continue
		}
		some = true
		t.virtualDevices(g, i, mac)
		n += len(g.Virtual)
		for k := range all[:i] {
			t.apart(g, &all[k])
		}
	}
	if some && n > maxGated {
		p.report("group", fmt.Sprintf("%d interfaces with addresses, virtual ones counted", n),
			fmt.Sprintf("the gate guards %d: each interface of a group with virtual_mac counts twice", maxGated))
	}
}

// apart holds that a group shares neither hardware address nor subnet with
// another one that has virtual devices.
func (t table) apart(g, other *Group) {
	if len(other.Virtual) == 0 || len(g.Virtual) == 0 {
		return
	}
	if other.Virtual[0].MAC == g.Virtual[0].MAC {
		t.report("virtual_mac", "is the one of group "+other.Name+", too", "each group needs its own: it moves alone")
	}
	for i := range g.VIP.Addresses {
		for k := range other.VIP.Addresses {
			a, b := &g.VIP.Addresses[i], &other.VIP.Addresses[k]
			if a.Device == b.Device && a.Prefix.Overlaps(b.Prefix) {
				t.report("virtual_mac", a.Prefix.String()+" is in a subnet of group "+other.Name+", which has a virtual_mac, too",
					"what one sends could leave by the other's device, which may be closed: put both in one group, or write both with /32 or /128 and give the interface an address of its own there")
				return
			}
		}
	}
}

// virtualDevices gives a group, by its place, a device on each of its interfaces.
func (t table) virtualDevices(g *Group, place int, mac [6]byte) {
	if len(g.VIP.Addresses) == 0 {
		t.report("virtual_mac", "there is no address to carry", "add addresses, or leave it out")
	}
	if g.Announce.Refresh == 0 {
		t.report("virtual_mac", "announce.refresh is off", "a switch forgets after five minutes where the address is: leave refresh at its default")
	}
	on := &g.OnVirtual
	on.Addresses = append(on.Addresses, g.VIP.Addresses...)
	on.Routes = append(on.Routes, g.VIP.Routes...)
	on.Rules = append(on.Rules, g.VIP.Rules...)
	names := map[string]bool{}
	for _, parent := range g.VIP.Devices() {
		v := vip.Virtual{Device: vip.VirtualName(place, parent), Parent: parent, MAC: mac}
		if vip.IsVirtual(parent) || names[v.Device] {
			t.report("virtual_mac", parent+" would get the device "+v.Device, "which is another's: rename the interface; its first 11 bytes must be its own")
		}
		names[v.Device] = true
		g.Virtual = append(g.Virtual, v)
		move(on, v)
	}
}

// virtualMAC reads the address; there may be none.
func (t table) virtualMAC() (mac [6]byte, ok bool) {
	s := t.text("virtual_mac")
	if s == "" {
		return mac, false
	}
	good := len(s) == len("00:00:5e:00:01:0a")
	for i := 0; good && i < len(mac); i++ {
		n, err := strconv.ParseUint(s[3*i:3*i+2], 16, 8)
		good, mac[i] = err == nil && (i == 5 || s[3*i+2] == ':'), byte(n)
	}
	const vrrp = "\x00\x00\x5e\x00"
	own := mac[0]&3 == 2 || string(mac[:4]) == vrrp && (mac[4] == 1 || mac[4] == 2) && mac[5] != 0
	if !good || !own {
		t.report("virtual_mac", fmt.Sprintf("%q is no hardware address that two nodes may share", s),
			"VRRP's, 00:00:5e:00:01:xx or 00:00:5e:00:02:xx, if no VRRP router xx is on the LAN, or one whose second digit is 2, 6, a or e, as 02:00:00:00:00:0a")
		return mac, false
	}
	return mac, true
}

// move puts what a set has on an interface onto its virtual device. Who forwards
// IPv6 there needs an address of the link.
func move(s *vip.Set, v vip.Virtual) {
	local := vip.Address{Prefix: netip.PrefixFrom(v.LinkLocal(), 64), Device: v.Device}
	six, has := false, false
	for i := range s.Addresses {
		if a := &s.Addresses[i]; a.Device == v.Parent {
			a.Device = v.Device
			six, has = six || a.Prefix.Addr().Is6(), has || a.Prefix.Addr() == local.Prefix.Addr()
		}
	}
	if six && !has {
		s.Addresses = append(s.Addresses, local)
	}
	for i := range s.Routes {
		replace(v, &s.Routes[i].Device)
	}
	for i := range s.Rules {
		replace(v, &s.Rules[i].IIf)
		replace(v, &s.Rules[i].OIf)
	}
}

func replace(v vip.Virtual, device *string) {
	if *device == v.Parent {
		*device = v.Device
	}
}
