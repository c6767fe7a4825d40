package kernel

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Numbers of the rtnetlink interface that x/sys does not name.
const (
	ifaProto           = 11         // IFA_PROTO, linux/if_addr.h, since 5.18
	iflaAFSpec         = 26         // IFLA_AF_SPEC, linux/if_link.h
	iflaExtMask        = 29         // IFLA_EXT_MASK
	skipStats          = 8          // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h
	promoteSecondaries = 20         // IPV4_DEVCONF_PROMOTE_SECONDARIES, linux/ip.h
	forever            = ^uint32(0) // INFINITY_LIFE_TIME, net/addrconf.h
	attributeMask      = 0x3fff     // NLA_TYPE_MASK: without the nested and byte order bits

	addressHeader = 8  // struct ifaddrmsg
	linkHeader    = 16 // struct ifinfomsg
	routeHeader   = 12 // struct rtmsg, and struct fib_rule_hdr
)

var native = binary.NativeEndian

// A builder lays several netlink messages one after the other into a buffer
// that is kept, so that building them allocates nothing.
type builder struct {
	b     []byte
	start int // of the message being built
}

func (w *builder) reset() { w.b = w.b[:0] }

func (w *builder) begin(kind, flags uint16, seq uint32) {
	w.start = len(w.b)
	w.b = native.AppendUint32(w.b, 0) // length, see end
	w.b = native.AppendUint16(w.b, kind)
	w.b = native.AppendUint16(w.b, flags|unix.NLM_F_REQUEST)
	w.b = native.AppendUint32(w.b, seq)
	w.b = native.AppendUint32(w.b, 0) // port: the kernel knows it
}

func (w *builder) end() {
	native.PutUint32(w.b[w.start:], uint32(len(w.b)-w.start))
}

// acknowledge asks for an answer to the message built last.
func (w *builder) acknowledge() {
	flags := native.Uint16(w.b[w.start+6:])
	native.PutUint16(w.b[w.start+6:], flags|unix.NLM_F_ACK)
}

func (w *builder) attribute(kind uint16, value []byte) {
	at := w.open(kind)
	w.b = append(w.b, value...)
	w.shut(at)
}

func (w *builder) number(kind uint16, value uint32) {
	at := w.open(kind)
	w.b = native.AppendUint32(w.b, value)
	w.shut(at)
}

func (w *builder) text(kind uint16, value string) {
	at := w.open(kind)
	w.b = append(w.b, value...)
	w.b = append(w.b, 0)
	w.shut(at)
}

func (w *builder) address(kind uint16, ip netip.Addr) {
	if ip.Is4() {
		b := ip.As4()
		w.attribute(kind, b[:])
		return
	}
	b := ip.As16()
	w.attribute(kind, b[:])
}

// open starts an attribute, nested or not, that shut closes.
func (w *builder) open(kind uint16) int {
	at := len(w.b)
	w.b = native.AppendUint16(w.b, 0)
	w.b = native.AppendUint16(w.b, kind)
	return at
}

func (w *builder) shut(at int) {
	native.PutUint16(w.b[at:], uint16(len(w.b)-at))
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
}

// attributes calls each for every attribute in b. It stops at the first one
// whose length cannot be, which the kernel never sends.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= 4 {
		n := int(native.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		each(native.Uint16(b[2:])&attributeMask, b[4:n])
		b = b[min(align(n), len(b)):]
	}
}

// messages calls each for every netlink message in b.
func messages(b []byte, each func(m message)) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(native.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return
		}
		each(message{
			kind:  native.Uint16(b[4:]),
			flags: native.Uint16(b[6:]),
			seq:   native.Uint32(b[8:]),
			body:  b[unix.SizeofNlMsghdr:n],
		})
		b = b[min(align(n), len(b)):]
	}
}

type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte
}

func align(n int) int { return (n + 3) &^ 3 }

func family(ip netip.Addr) uint8 {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// seconds is a lifetime as the kernel counts it: whole seconds, rounded up. No
// lifetime means forever.
func seconds(lifetime time.Duration) uint32 {
	if lifetime <= 0 {
		return forever
	}
	s := (lifetime + time.Second - 1) / time.Second
	return uint32(min(s, time.Duration(forever-1)))
}

func number(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return native.Uint32(value)
}

func text(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}

func address(value []byte) netip.Addr {
	ip, _ := netip.AddrFromSlice(value)
	return ip
}
