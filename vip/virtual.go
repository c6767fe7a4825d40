package vip

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Virtual is a device of type macvlan that carries a group's addresses under a
// hardware address which both nodes use.
type Virtual struct {
	Device string // its name
	Parent string // the device it stands on
	MAC    [6]byte
}

// LinkLocal is the IPv6 address that follows from the hardware address (RFC 4291,
// appendix A). Without one the kernel asks for no neighbour of what it forwards.
func (v Virtual) LinkLocal() netip.Addr {
	m := v.MAC
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// VirtualName names the virtual device of a group, by its place, on a device.
// What is too long for the kernel is cut.
func VirtualName(group int, parent string) string {
	return fmt.Sprintf("tv%d-%.11s", group, parent)
}

// IsVirtual says whether a device has the name of a virtual one. Its hardware
// address is not this node's alone.
func IsVirtual(name string) bool {
	return len(name) > 4 && strings.HasPrefix(name, "tv") && name[2] >= '0' && name[2] <= '7' && name[3] == '-'
}
