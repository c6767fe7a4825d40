package announce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// maxAnswers is how many hardware addresses of each sort are told of an address.
const maxAnswers = 4

// Heard is what the network says of one address.
type Heard struct {
	// Answered are the hardware addresses that answered for it or announced it.
	Answered []MAC
	// Misled sent frames for it to this node, which did not say that it has it:
	// they believe a former owner, whatever was announced since.
	Misled []MAC
}

// answers are all that is heard, where Probe stops at the first foreign one.
type answers struct {
	of map[netip.Addr]*Heard // the addresses for which a question went out
}

// Ask asks the neighbours for up to three of the addresses as Probe does, and
// listens until n*spacing has passed. What it hears of this node's own hardware
// addresses does not count. An address is missing from the map if no question
// went out for it, and why is the error, but for a device that is down or has no
// carrier: that is seen elsewhere.
func (a *Announcer) Ask(ctx context.Context, addrs []vip.Address, n int, spacing time.Duration) (map[netip.Addr]*Heard, error) {
	p := &probe{a: a, asked: map[netip.Addr]bool{}, all: &answers{of: map[netip.Addr]*Heard{}}}
	defer p.close()
	for _, e := range earsFor(addrs[:min(len(addrs), maxSamples)]) {
		p.open(e)
		p.openMisled(e)
	}
	next := time.Now()
	for range min(max(n, 1), maxProbes) {
		if len(p.ears) == 0 {
			break
		}
		p.ask()
		next = later(next.Add(spacing), time.Now().Add(spacing/2))
		if err := p.listen(ctx, next); err != nil {
			return nil, err // nobody listened long enough
		}
	}
	p.errs = slices.DeleteFunc(p.errs, func(err error) bool { return errors.Is(err, errNoCarrier) })
	if reason := reasonOf(p.errs); reason != "" {
		return p.all.of, fmt.Errorf("ask the neighbours: %s", reason)
	}
	return p.all.of, nil
}

// openMisled hears what is sent to this node for the addresses of an ear. It
// asks for nothing.
func (p *probe) openMisled(e ear) {
	port, err := lookup(p.a.fd, e.device)
	if err != nil {
		return // the ear itself could not be opened either
	}
	fd, err := listener(port, unix.ETH_P_ALL, toThisNode(e.ips))
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	p.ears = append(p.ears, ear{fd: fd, device: e.device})
}

// asked notes that a question went out.
func (a *answers) asked(ip netip.Addr) {
	if a != nil && a.of[ip] == nil {
		a.of[ip] = &Heard{}
	}
}

// hear notes an answer, or a frame of somebody who is misled.
func (a *answers) hear(p *probe, frame []byte) {
	if c, ok := parseClaim(frame); ok && a.of[c.ip] != nil {
		h := a.of[c.ip]
		h.Answered = p.note(h.Answered, c.mac)
		return
	}
	if to, ok := addressee(frame); ok && a.of[to] != nil {
		h := a.of[to]
		h.Misled = p.note(h.Misled, MAC(frame[6:12]))
	}
}

// note adds a hardware address that is new and not of this node.
func (p *probe) note(macs []MAC, mac MAC) []MAC {
	if len(macs) >= maxAnswers || slices.Contains(macs, mac) || !p.foreign(mac) {
		return macs
	}
	return append(macs, mac)
}

// addressee returns whom a frame that came to this node's own hardware address
// is meant for: the receiver of a packet, or the target of an ARP request. One
// to all is no sign of anything.
func addressee(frame []byte) (netip.Addr, bool) {
	if len(frame) < arpLength || frame[0]&1 == 1 {
		return netip.Addr{}, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		return netip.AddrFrom4([4]byte(frame[ipv4To : ipv4To+4])), true
	case etherIPv6:
		if len(frame) < ipv6To+16 {
			return netip.Addr{}, false
		}
		return netip.AddrFrom16([16]byte(frame[ipv6To : ipv6To+16])), true
	case etherARP:
		return netip.AddrFrom4([4]byte(frame[38:42])), string(frame[14:20]) == arpHeader && frame[21] == arpRequest
	}
	return netip.Addr{}, false
}

// Where packets in Ethernet frames say whom they are for (RFC 791, RFC 8200).
const (
	etherIPv4 = 0x0800
	ipv4To    = 30
	ipv6To    = ipv6At + 24
)

// toThisNode passes frames that came to the hardware address of the device, and
// that are packets for one of the addresses, or ARP for one.
func toThisNode(ips []netip.Addr) []unix.SockFilter {
	var program []unix.SockFilter
	for _, ip := range ips {
		if ip.Is6() {
			program = append(program, passIf(etherIPv6, ipv6To, ip.AsSlice())...)
			continue
		}
		program = append(program, passIf(etherIPv4, ipv4To, ip.AsSlice())...)
		program = append(program, passIf(etherARP, 38, ip.AsSlice())...)
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K})
}

// passIf passes a frame to this node of that type with those bytes at an offset;
// any other one goes on to what stands behind.
func passIf(ether uint32, at uint32, bytes []byte) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	)
	code := []unix.SockFilter{{Code: load | unix.BPF_H, K: 12}, {Code: equal, K: ether}}
	for i := 0; i < len(bytes); i += 4 {
		code = append(code, unix.SockFilter{Code: load | unix.BPF_W, K: at + uint32(i)}, unix.SockFilter{Code: equal, K: binary.BigEndian.Uint32(bytes[i:])})
	}
	code = append(code, unix.SockFilter{Code: load | unix.BPF_B, K: packetType}, unix.SockFilter{Code: equal, K: unix.PACKET_HOST})
	for i := range code {
		if code[i].Code == equal {
			code[i].Jf = uint8(len(code) - i) // behind the verdict
		}
	}
	return append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: frameBuffer})
}

// Hardware returns the hardware address with which Announce speaks on a device
// now. It fails for a device that is down, or has none.
func (a *Announcer) Hardware(device string) (MAC, error) {
	p, err := lookup(a.fd, device)
	return p.mac, err
}
