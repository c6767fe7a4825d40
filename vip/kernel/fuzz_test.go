package kernel

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// kernelOf returns a Kernel that asks nobody, and holds what is wanted.
func kernelOf(as ...vip.Address) *Kernel {
	k := &Kernel{devices: map[string]device{"eth0": {name: "eth0", index: 2}}, wanted: map[place]*wanted{}}
	for _, a := range as {
		k.wanted[placeOf(a)] = &wanted{address: a}
	}
	return k
}

// failure is the kernel's refusal of a request that it says was n bytes long.
func failure(n uint32) []byte {
	text := nl.NewRtAttr(nl.NLMSGERR_ATTR_MSG, nl.ZeroTerminated("no")).Serialize()
	size := uint32(unix.SizeofNlMsghdr + 4 + unix.SizeofNlMsghdr + len(text))
	b := native.AppendUint32(nil, size)
	b = native.AppendUint16(b, unix.NLMSG_ERROR)
	b = native.AppendUint16(b, unix.NLM_F_ACK_TLVS)
	b = append(b, make([]byte, 8)...)
	b = append(b, 0xf0, 0xff, 0xff, 0xff)
	b = native.AppendUint32(b, n)
	b = append(b, make([]byte, unix.SizeofNlMsghdr-4)...)
	return append(b, text...)
}

// FuzzNews reads bytes as a datagram of rtnetlink, to the watcher and to every
// parser. The kernel sends none of it, but nothing may panic.
func FuzzNews(f *testing.F) {
	as := parse(f, "192.0.2.1/24@eth0 label eth0:x", "2001:db8::1/64@eth0")
	a, b := as[0], as[1]
	one, other := setRequest(a, 2, 30, refresh), setRequest(b, 2, 30, refresh)
	f.Add(append(one.Serialize(), other.Serialize()...))
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	f.Add(request(unix.RTM_NEWLINK, 0, header, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("eth0"))).Serialize())
	route := nl.NewRtMsg()
	route.Protocol = Protocol
	f.Add(request(unix.RTM_NEWROUTE, 0, route, nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(5))).Serialize())
	f.Add(failure(unix.SizeofNlMsghdr))
	f.Add(failure(1 << 31)) // negative where an int has 32 bits
	f.Fuzz(func(t *testing.T, data []byte) {
		w := &watcher{
			k: kernelOf(a, b), report: func(Event) {}, links: map[uint32]device{}, own: map[ownID]bool{},
			gone: map[place]*wanted{}, seen: map[place]bool{}, lost: map[routeID]*vip.Route{}, started: true,
		}
		list, err := syscall.ParseNetlinkMessage(bytes.Clone(data))
		if err != nil {
			return
		}
		for _, m := range list {
			w.note(m.Header.Type, m.Data)
			if err := refusal(m); err != nil && err.Error() == "" {
				t.Error("a refusal without a word")
			}
			if e, ok := parseAddress(m.Data); ok && !e.prefix.IsValid() {
				t.Errorf("address %+v", e)
			}
			if r, ok := parseRoute(m.Data); ok && !r.dst.IsValid() {
				t.Errorf("route %+v", r)
			}
			if d, ok := parseDevice(m.Data); ok && d.name == "" {
				t.Errorf("device %+v", d)
			}
		}
		for _, e := range w.events {
			if e.Kind.String() == "" {
				t.Errorf("event %+v", e)
			}
		}
	})
}

// FuzzAddressMessage holds that what is asked of the kernel for an address is
// read back as that address.
func FuzzAddressMessage(f *testing.F) {
	f.Add("192.0.2.1/24@eth0", uint32(2), uint32(30))
	f.Add("192.0.2.1/31@eth0 label eth0:web scope link", uint32(1), forever)
	f.Add("fe80::1/64@eth0", uint32(9), uint32(0))
	f.Fuzz(func(t *testing.T, text string, index, valid uint32) {
		a, err := vip.ParseAddress(text)
		if err != nil {
			return
		}
		list, err := syscall.ParseNetlinkMessage(setRequest(a, index, valid, refresh).Serialize())
		if err != nil || len(list) != 1 || list[0].Header.Type != unix.RTM_NEWADDR {
			t.Fatalf("%v became %+v, %v", a, list, err)
		}
		e, ok := parseAddress(list[0].Data)
		e.device = a.Device
		if !ok || e.index != index || e.valid != valid || !e.ours() || !e.matches(a) {
			t.Fatalf("%v is read as %+v", a, e)
		}
	})
}
