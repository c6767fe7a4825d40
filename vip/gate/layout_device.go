package gate

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A deviceLayout lays out the chains of one device.
type deviceLayout struct {
	*layout
	features features
	name     string
	home     []Group
	groups   []Group // all
	foreign  bool    // there are groups that are not at home here
}

// A family tells where IPv4 and IPv6 keep what we look at.
type family struct {
	digit          string
	etherType      uint16
	source, target uint32 // offsets of the addresses
	size           uint32
	vip, own, away string
	local          [][]expr.Any // destinations that are never forwarded
}

var (
	ipv4 = family{digit: "4", etherType: unix.ETH_P_IP, source: 12, target: 16, size: 4, vip: setVIP4, own: setOwn4, away: setAway4, local: [][]expr.Any{
		append(masked(16, 1, []byte{0xf0}), is([]byte{0xe0})),   // 224.0.0.0/4
		append(load(16, 4), is([]byte{0xff, 0xff, 0xff, 0xff})), // limited broadcast
	}}
	ipv6 = family{digit: "6", etherType: unix.ETH_P_IPV6, source: 8, target: 24, size: 16, vip: setVIP6, own: setOwn6, away: setAway6, local: [][]expr.Any{
		append(load(24, 1), is([]byte{0xff})),                             // ff00::/8
		append(masked(24, 2, []byte{0xff, 0xc0}), is([]byte{0xfe, 0x80})), // fe80::/10, RFC 4291 section 2.5.6
	}}
)

func masked(offset, size uint32, mask []byte) []expr.Any {
	return append(load(offset, size), &expr.Bitwise{
		SourceRegister: regKey, DestRegister: regKey, Len: size, Mask: mask, Xor: make([]byte, size),
	})
}

// ICMPv6 types of neighbour discovery (RFC 4861 sections 4.3 and 4.4); both
// carry the address in question at offset 8.
const (
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
	neighbourTarget        = 8
)

// ARP for Ethernet and IPv4 (RFC 826): offsets of the protocol addresses.
const (
	arpSender = 14
	arpTarget = 24
)

// away adds the sets of virtual addresses that are not at home here.
func (d deviceLayout) away(c Config) {
	if !d.routesPast() {
		return
	}
	four, six := setAway4+d.name, setAway6+d.name
	d.sets = append(d.sets, setSpec{name: four, keyType: typeIPv4, keyLen: 4}, setSpec{name: six, keyType: typeIPv6, keyLen: 16})
	for _, g := range c.Groups {
		if slices.Contains(g.Devices, d.name) {
			continue
		}
		for _, a := range g.VIPs {
			set := six
			if a.Is4() {
				set = four
			}
			d.content[set] = append(d.content[set], element{key: string(a.AsSlice())})
		}
	}
}

// routesPast tells whether packets of groups that are not at home here are to
// be let past, and can be told apart.
func (d deviceLayout) routesPast() bool { return d.foreign && d.features.fib }

// ingress drops what arrives for a closed group: questions for its addresses,
// packets to them, and frames that would be forwarded.
func (d deviceLayout) ingress() {
	base := "in_" + d.name
	for _, f := range []family{ipv4, ipv6} {
		chain, next := "in"+f.digit+"_"+d.name, d.transit(f)
		d.chain(chainSpec{name: chain})
		if f.digit == "6" {
			d.neighbour(chain, neighbourSolicitation)
		}
		d.addressed(chain, f, f.target, next)
		d.rule(chain, next)
	}
	d.chain(chainSpec{base, d.name, unix.NF_NETDEV_INGRESS})
	d.virtual(base, 0) // the receiver's hardware address
	d.enter(base, "in")
	d.arp(base, arpTarget)
}

// egress drops what would leave in the name of a closed group. It is the second
// wall: it also stops what a process sends by itself.
func (d deviceLayout) egress() {
	base := "out_" + d.name
	for _, f := range []family{ipv4, ipv6} {
		chain := "out" + f.digit + "_" + d.name
		d.chain(chainSpec{name: chain})
		if f.digit == "6" {
			d.neighbour(chain, neighbourAdvertisement)
		}
		d.addressed(chain, f, f.source, accept())
	}
	d.chain(chainSpec{base, d.name, unix.NF_NETDEV_EGRESS})
	d.virtual(base, 6) // the sender's
	d.enter(base, "out")
	d.arp(base, arpSender)
}

func (d deviceLayout) enter(base, prefix string) {
	for _, f := range []family{ipv4, ipv6} {
		d.rule(base, protocol(f.etherType), then(expr.VerdictGoto, prefix+f.digit+"_"+d.name))
	}
}

// arp drops ARP with a closed group's address at the offset, whatever else is
// in it. Other hardware or protocol types are left to the kernel's own checks.
func (d deviceLayout) arp(chain string, offset uint32) {
	d.rule(chain, protocol(unix.ETH_P_ARP), load(0, 6), equal([]byte{0, 1, 8, 0, 6, 4}),
		load(offset, 4), byGroup(setVIP4))
}

// neighbour drops neighbour discovery of a type about a closed group's address.
// The transport offset is the kernel's, so extension headers do not hide it.
func (d deviceLayout) neighbour(chain string, icmp byte) {
	d.rule(chain, one(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: regKey}, is([]byte{unix.IPPROTO_ICMPV6})),
		loadTransport(0, 1), equal([]byte{icmp}), loadTransport(neighbourTarget, 16),
		byGroup(setVIP6))
}

// addressed judges packets with a virtual address at the offset: next if the
// packet is only routed past, else by the group. Other packets go on.
func (d deviceLayout) addressed(chain string, f family, offset uint32, next []expr.Any) {
	if d.routesPast() {
		// A stopped node may still have the address configured: then the packet
		// is for itself and must die, whatever device it came by.
		local := binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)
		d.rule(chain, load(offset, f.size), one(
			contains(f.away+d.name),
			&expr.Fib{Register: regKey, ResultADDRTYPE: true, FlagDADDR: offset == f.target, FlagSADDR: offset == f.source},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: regKey, Data: local}), next)
	}
	d.rule(chain, load(offset, f.size), byGroup(f.vip))
}

// transit lays out the chain that drops what would be forwarded unless a group
// with transit gating is open, and returns the verdict that leads there.
func (d deviceLayout) transit(f family) []expr.Any {
	var gating []Group
	for _, g := range d.home {
		if g.Transit {
			gating = append(gating, g)
		}
	}
	if len(gating) == 0 {
		return accept()
	}
	chain := "transit" + f.digit + "_" + d.name
	d.chain(chainSpec{name: chain})
	for _, g := range gating { // first, because it is what an active node's traffic meets
		d.rule(chain, leased(g.ID), accept())
	}
	// Only unicast frames to our own MAC are forwarded (PACKET_HOST is 0).
	d.rule(chain, one(&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: regKey},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: regKey, Data: []byte{unix.PACKET_HOST}}), accept())
	d.rule(chain, load(f.target, f.size), one(contains(f.own)), accept())
	for _, match := range f.local {
		d.rule(chain, match, accept())
	}
	for _, tag := range []uint16{unix.ETH_P_8021Q, unix.ETH_P_8021AD} { // the VLAN device has an ingress of its own
		d.rule(chain, one(&expr.Payload{DestRegister: regKey, Base: expr.PayloadBaseLLHeader, Offset: 12, Len: 2},
			is(binary.BigEndian.AppendUint16(nil, tag))), accept())
	}
	d.rule(chain, drop())
	return then(expr.VerdictGoto, chain)
}
