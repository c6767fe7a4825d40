package announce

import (
	"encoding/binary"
	"net/netip"
)

const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	arpLength   = 42 // Ethernet and ARP for IPv4 (RFC 826)
	naLength    = 86 // Ethernet, IPv6, neighbour advertisement, one option
	nsLength    = 78 // Ethernet, IPv6, neighbour solicitation without option
	ipv6At      = 14
	icmpAt      = ipv6At + 40
	targetAt    = icmpAt + 8
	optionAt    = targetAt + 16
	ipv6Headers = 40

	arpRequest = 1
	arpReply   = 2

	icmpv6        = 58
	solicitation  = 135
	advertisement = 136
	hopLimit      = 255 // anything less was routed and is ignored, RFC 4861 section 7.1.2

	flagRouter   = 0x80
	flagOverride = 0x20

	optionSource = 1 // source link-layer address, RFC 4861 section 4.6.1
	optionTarget = 2 // target link-layer address, the same

	arpHeader = "\x00\x01\x08\x00\x06\x04" // for Ethernet and IPv4
)

// A MAC is an Ethernet address.
type MAC [6]byte

// String is the usual form with colons.
func (m MAC) String() string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 17)
	for i, b := range m {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}

var (
	broadcast    = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodesMAC  = MAC{0x33, 0x33, 0, 0, 0, 1}
	allNodesIPv6 = netip.MustParseAddr("ff02::1")

	solicitedNode = netip.MustParseAddr("ff02::1:ff00:0") // RFC 4291 section 2.7.1
)

func appendEthernet(b []byte, dst, src MAC, kind uint16) []byte {
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	return binary.BigEndian.AppendUint16(b, kind)
}

// appendGratuitousARP appends an ARP announcement: sender and target are both
// the VIP (RFC 5227 section 2.3). Some hosts learn only from requests and some
// only from replies. A reply names the new hardware address as target too, a
// request leaves it zero (RFC 5944 section 4.6).
func appendGratuitousARP(b []byte, src MAC, ip netip.Addr, op uint16) []byte {
	var target MAC
	if op == arpReply {
		target = src
	}
	return appendARP(b, arp{op: op, sender: src, senderIP: ip.As4(), target: target, targetIP: ip.As4()})
}

// appendARPProbe appends an ARP probe: it asks for the VIP without claiming
// any address, so that nobody changes a table for it (RFC 5227 section 2.1.1).
func appendARPProbe(b []byte, src MAC, ip netip.Addr) []byte {
	return appendARP(b, arp{op: arpRequest, sender: src, targetIP: ip.As4()})
}

type arp struct {
	op                 uint16
	sender, target     MAC
	senderIP, targetIP [4]byte
}

func appendARP(b []byte, a arp) []byte {
	b = appendEthernet(b, broadcast, a.sender, etherARP)
	b = append(b, 0, 1, 0x08, 0x00, 6, 4) // Ethernet, IPv4, their lengths
	b = binary.BigEndian.AppendUint16(b, a.op)
	b = append(b, a.sender[:]...)
	b = append(b, a.senderIP[:]...)
	b = append(b, a.target[:]...)
	return append(b, a.targetIP[:]...)
}

// appendAdvertisement appends an unsolicited neighbour advertisement to all
// nodes, which overrides what they know (RFC 4861 section 7.2.6). The Router
// flag must be set exactly when the interface forwards: hosts drop a default
// router that says that it is none (RFC 4861 section 7.2.5).
func appendAdvertisement(b []byte, src MAC, ip netip.Addr, router bool) []byte {
	start := len(b)
	flags := byte(flagOverride)
	if router {
		flags |= flagRouter
	}
	b = appendEthernet(b, allNodesMAC, src, etherIPv6)
	b = appendIPv6(b, ip, allNodesIPv6, naLength-icmpAt)
	b = append(b, advertisement, 0, 0, 0, flags, 0, 0, 0)
	b = appendAddress(b, ip)
	b = append(b, optionTarget, 1) // in units of 8 bytes
	b = append(b, src[:]...)
	setChecksum(b[start:])
	return b
}

// appendSolicitation appends a neighbour solicitation as duplicate address
// detection sends it: from no address, to the solicited-node group, without a
// link-layer option (RFC 4862 section 5.4.2, RFC 4861 section 4.3).
func appendSolicitation(b []byte, src MAC, ip netip.Addr) []byte {
	group := solicitedNode.As16()
	target := ip.As16()
	copy(group[13:], target[13:])
	return appendProbe6(b, src, solicitedMAC(ip), netip.AddrFrom16(group), ip)
}

// appendRivalSolicitation appends the same to all nodes. Hosts ignore it (RFC
// 4861 section 7.1.1), the owner among them; it is for a rival. A switch that
// snoops MLD passes a solicited-node group only to those who have joined it,
// and a node that does not have the address yet has not.
func appendRivalSolicitation(b []byte, src MAC, ip netip.Addr) []byte {
	return appendProbe6(b, src, allNodesMAC, allNodesIPv6, ip)
}

// solicitedMAC is the Ethernet group of the address's solicited-node group.
func solicitedMAC(ip netip.Addr) MAC {
	target := ip.As16()
	return MAC{0x33, 0x33, 0xff, target[13], target[14], target[15]}
}

func appendProbe6(b []byte, src, dst MAC, group, ip netip.Addr) []byte {
	start := len(b)
	b = appendEthernet(b, dst, src, etherIPv6)
	b = appendIPv6(b, netip.IPv6Unspecified(), group, nsLength-icmpAt)
	b = append(b, solicitation, 0, 0, 0, 0, 0, 0, 0)
	b = appendAddress(b, ip)
	setChecksum(b[start:])
	return b
}

func appendIPv6(b []byte, src, dst netip.Addr, payload uint16) []byte {
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, payload)
	b = append(b, icmpv6, hopLimit)
	b = appendAddress(b, src)
	return appendAddress(b, dst)
}

func appendAddress(b []byte, ip netip.Addr) []byte {
	a := ip.As16()
	return append(b, a[:]...)
}

// setChecksum fills in the ICMPv6 checksum over the pseudo header and the
// message (RFC 4443 section 2.3, RFC 8200 section 8.1).
func setChecksum(frame []byte) {
	binary.BigEndian.PutUint16(frame[icmpAt+2:], ^sum(frame))
}

// sum is the ones' complement sum of pseudo header and message. It is 0xffff
// for a message whose checksum is right.
func sum(frame []byte) uint16 {
	total := uint32(len(frame)-icmpAt) + icmpv6
	for i := ipv6At + 8; i+1 < len(frame); i += 2 { // source and destination are part of both
		total += uint32(binary.BigEndian.Uint16(frame[i:]))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

// A claim is what a frame says about who has an address.
type claim struct {
	ip  netip.Addr
	mac MAC
}

// parseClaim reads an ARP message or a neighbour advertisement. ARP probes
// claim nothing. Anything that a host would ignore claims nothing either.
func parseClaim(frame []byte) (claim, bool) {
	if len(frame) < arpLength {
		return claim{}, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return parseARP(frame)
	case etherIPv6:
		return parseAdvertisement(frame)
	}
	return claim{}, false
}

func parseARP(frame []byte) (claim, bool) {
	if string(frame[14:20]) != arpHeader {
		return claim{}, false
	}
	c := claim{ip: netip.AddrFrom4([4]byte(frame[28:32])), mac: MAC(frame[22:28])}
	return c, !c.ip.IsUnspecified()
}

func parseAdvertisement(frame []byte) (claim, bool) {
	frame, ok := neighbourMessage(frame, advertisement)
	if !ok {
		return claim{}, false
	}
	c := claim{ip: netip.AddrFrom16([16]byte(frame[targetAt:optionAt])), mac: MAC(frame[6:12])}
	ok = eachOption(frame, func(kind byte, value []byte) {
		if kind == optionTarget && len(value) == 6 {
			c.mac = MAC(value)
		}
	})
	return c, ok
}

// parseProbe reads what a node sends that is about to take an address: an ARP
// probe (RFC 5227 section 2.1.1) or the solicitation of duplicate address
// detection (RFC 4862 section 5.4.3). Either claims nothing; two nodes that
// send one for the same address are rivals.
func parseProbe(frame []byte) (claim, bool) {
	if len(frame) < arpLength {
		return claim{}, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return parseARPProbe(frame)
	case etherIPv6:
		return parseSolicitation(frame)
	}
	return claim{}, false
}

func parseARPProbe(frame []byte) (claim, bool) {
	if string(frame[14:20]) != arpHeader || binary.BigEndian.Uint16(frame[20:]) != arpRequest || string(frame[28:32]) != "\x00\x00\x00\x00" {
		return claim{}, false
	}
	c := claim{ip: netip.AddrFrom4([4]byte(frame[38:42])), mac: MAC(frame[22:28])}
	return c, !c.ip.IsUnspecified()
}

// parseSolicitation believes only one from no address: any other asks for a
// neighbour.
func parseSolicitation(frame []byte) (claim, bool) {
	frame, ok := neighbourMessage(frame, solicitation)
	if !ok || netip.AddrFrom16([16]byte(frame[ipv6At+8:ipv6At+24])) != netip.IPv6Unspecified() {
		return claim{}, false
	}
	c := claim{ip: netip.AddrFrom16([16]byte(frame[targetAt:optionAt])), mac: MAC(frame[6:12])}
	ok = eachOption(frame, func(kind byte, _ []byte) {
		if kind == optionSource {
			c.ip = netip.Addr{} // RFC 4861 section 7.1.1
		}
	})
	return c, ok && c.ip.IsValid() && !c.ip.IsMulticast()
}

// neighbourMessage cuts the padding off a neighbour discovery message of the
// type. It refuses what a host would ignore (RFC 4861 sections 7.1.1 and 7.1.2).
func neighbourMessage(frame []byte, kind byte) ([]byte, bool) {
	if len(frame) < optionAt || frame[ipv6At]>>4 != 6 || frame[ipv6At+6] != icmpv6 || frame[ipv6At+7] != hopLimit {
		return nil, false
	}
	end := icmpAt + int(binary.BigEndian.Uint16(frame[ipv6At+4:]))
	if end < optionAt || end > len(frame) {
		return nil, false
	}
	frame = frame[:end]
	return frame, frame[icmpAt] == kind && frame[icmpAt+1] == 0 && sum(frame) == 0xffff
}

// eachOption walks the options of a neighbour discovery message. It is false
// if they are broken (RFC 4861 section 4.6).
func eachOption(frame []byte, each func(kind byte, value []byte)) bool {
	for options := frame[optionAt:]; len(options) >= 8; {
		size := 8 * int(options[1])
		if size == 0 || size > len(options) {
			return false
		}
		each(options[0], options[2:size])
		options = options[size:]
	}
	return true
}
