package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of the rtnetlink interface that neither x/sys nor the library names.
const (
	ifaProto           = 11         // IFA_PROTO, linux/if_addr.h, since 5.18
	ifaRtPriority      = 9          // IFA_RT_PRIORITY, since 4.18
	skipStats          = 8          // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h
	promoteSecondaries = 20         // IPV4_DEVCONF_PROMOTE_SECONDARIES, linux/ip.h
	forever            = ^uint32(0) // INFINITY_LIFE_TIME, net/addrconf.h
	virtualMetric      = 32000      // of the prefix routes of virtual devices: worse than any usual one
	attributeMask      = 0x3fff     // NLA_TYPE_MASK: without the nested and byte order bits

	maxParts = 8 // of an address: header, two addresses, broadcast, label, flags, lifetimes, protocol
)

var native = binary.NativeEndian

// request is a message made of a header and attributes.
func request(kind, flags int, parts ...nl.NetlinkRequestData) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Data = append(make([]nl.NetlinkRequestData, 0, maxParts), parts...)
	return r
}

// attributes calls each for every attribute in b.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	// The library takes it for granted that the last one is padded, too.
	b = append(b[:len(b):len(b)], make([]byte, align(len(b))-len(b))...)
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return // a length that cannot be, which the kernel never sends
	}
	for _, a := range list {
		each(a.Attr.Type&attributeMask, a.Value)
	}
}

func family(ip netip.Addr) int {
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

func address(value []byte) netip.Addr {
	ip, _ := netip.AddrFromSlice(value)
	return ip
}

// refusal reads an acknowledgement, a struct nlmsgerr: the error, the request
// again, and the kernel's own words if it had any. Nil: the kernel agreed. It
// reads as from the library, which keeps its own to itself.
func refusal(m syscall.NetlinkMessage) error {
	errno := -int32(number(m.Data))
	if errno == 0 {
		return nil
	}
	var err error = unix.Errno(errno)
	if m.Header.Flags&unix.NLM_F_ACK_TLVS == 0 || len(m.Data) < 4+unix.SizeofNlMsghdr {
		return err
	}
	size := min(native.Uint32(m.Data[4:]), uint32(len(m.Data))) // an int of 32 bits would be negative beyond
	echo := min(4+align(int(size)), len(m.Data))
	attributes(m.Data[echo:], func(kind uint16, value []byte) {
		if kind == nl.NLMSGERR_ATTR_MSG {
			err = fmt.Errorf("%w: %s", err, unix.ByteSliceToString(value))
		}
	})
	return err
}

// refused says whether err is one of these answers of the kernel.
func refused(err error, errnos ...unix.Errno) bool {
	return slices.ContainsFunc(errnos, func(e unix.Errno) bool { return errors.Is(err, e) })
}

// unless is err, or nil if it is one of these answers.
func unless(err error, errnos ...unix.Errno) error {
	if refused(err, errnos...) {
		return nil
	}
	return err
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }
