//go:build !lite && !no_virtual

package kernel

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A layer is a device with what it is and what it rests on.
type layer struct {
	device
	up          bool   // administratively
	lower       uint32 // IFLA_LINK: a VLAN's or macvlan's device; 0: none in this namespace
	master      uint32 // the bridge or bond it is part of
	kind, alias string
	mode        uint32    // of a macvlan
	macs        [2]string // its hardware address, and the one that it was built with
	forwards    uint32    // net.ipv4.conf.DEVICE.forwarding
	six         bool      // it has IPv6
	stays       bool      // see EnsureVirtual
}

const ifPermAddress = 54 // IFLA_PERM_ADDRESS, since 5.6

func parseLayer(m []byte) (*layer, bool) {
	d, ok := parseDevice(m)
	if !ok {
		return nil, false
	}
	header := nl.DeserializeIfInfomsg(m)
	l := &layer{device: d, up: header.Flags&unix.IFF_UP != 0}
	abroad := false
	attributes(m[header.Len():], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFLA_LINK:
			l.lower = number(value)
		case unix.IFLA_LINK_NETNSID:
			abroad = true
		case unix.IFLA_MASTER:
			l.master = number(value)
		case unix.IFLA_IFALIAS:
			l.alias = unix.ByteSliceToString(value)
		case unix.IFLA_ADDRESS:
			l.macs[0] = string(value)
		case ifPermAddress:
			l.macs[1] = string(value)
		case unix.IFLA_AF_SPEC:
			l.forwards = devconf(value, confForwarding)
			attributes(value, func(kind uint16, _ []byte) { l.six = l.six || kind == unix.AF_INET6 })
		case unix.IFLA_LINKINFO:
			l.info(value)
		}
	})
	if abroad || l.kind == "veth" { // it names the other end of a cable
		l.lower = 0
	}
	return l, true
}

func (l *layer) info(value []byte) {
	attributes(value, func(kind uint16, value []byte) {
		switch {
		case kind == nl.IFLA_INFO_KIND:
			l.kind = unix.ByteSliceToString(value)
		case kind == nl.IFLA_INFO_DATA && l.kind == "macvlan":
			attributes(value, func(kind uint16, value []byte) {
				if kind == nl.IFLA_MACVLAN_MODE {
					l.mode = number(value)
				}
			})
		}
	})
}

func listLayers(s *socket) ([]*layer, error) {
	found, err := list(s, unix.RTM_GETLINK, parseLayer, nl.NewIfInfomsg(unix.AF_UNSPEC),
		nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
	return found, wrap(err, "list devices")
}

// named finds a device; nil: there is none.
func named(all []*layer, name string) *layer {
	for _, l := range all {
		if l.name == name {
			return l
		}
	}
	return nil
}

// Above returns a device and all that rests on it: VLANs, the bridge or bond
// that it is part of.
func Above(name string) (map[string]bool, error) {
	s, err := newAsker()
	if err != nil {
		return nil, err
	}
	defer s.close()
	all, err := listLayers(s)
	if err != nil {
		return nil, err
	}
	found, out := map[uint32]bool{}, map[string]bool{}
	for range all { // each round but the last finds one more
		for _, l := range all {
			if l.name == name || found[l.index] || l.lower != 0 && found[l.lower] {
				found[l.index], out[l.name] = true, true
				found[l.master] = l.master != 0
			}
		}
	}
	return out, nil
}
