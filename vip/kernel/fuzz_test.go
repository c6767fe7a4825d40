package kernel

import (
	"testing"

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

// FuzzNews reads bytes as a datagram of rtnetlink, to the watcher and to every
// parser. The kernel sends none of it, but nothing may panic, and no message is
// read beyond its end.
func FuzzNews(f *testing.F) {
	a, err := vip.ParseAddress("192.0.2.1/24@eth0 label eth0:x")
	if err != nil {
		f.Fatal(err)
	}
	b, err := vip.ParseAddress("2001:db8::1/64@eth0")
	if err != nil {
		f.Fatal(err)
	}
	var w builder
	buildAddress(&w, a, 2, 1, 30, refresh)
	buildAddress(&w, b, 2, 2, 30, refresh)
	f.Add(w.b)
	w.reset()
	buildRoute(&w, vip.Route{Dst: b.Prefix.Masked(), Via: b.Prefix.Addr(), Device: "eth0", Metric: 5, Table: 1000}, 2, 3, unix.RTM_NEWROUTE, 0)
	buildPromote(&w, 2, 4)
	f.Add(w.b)
	w.reset()
	w.begin(unix.RTM_NEWLINK, 0, 5)
	w.b = append(w.b, make([]byte, linkHeader)...)
	w.text(unix.IFLA_IFNAME, "eth0")
	w.end()
	w.begin(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, 6)
	w.b = append(w.b, 0xf0, 0xff, 0xff, 0xff)
	w.b = append(w.b, make([]byte, unix.SizeofNlMsghdr)...)
	w.text(unix.NLMSGERR_ATTR_MSG, "no")
	w.end()
	f.Add(w.b)
	f.Fuzz(func(t *testing.T, data []byte) {
		n := &watcher{
			k: kernelOf(a, b), report: func(Event) {}, links: map[uint32]device{}, own: map[ownID]bool{},
			gone: map[place]*wanted{}, seen: map[place]bool{}, lost: map[routeID]*vip.Route{}, started: true,
		}
		total := 0
		messages(data, func(m message) {
			total += unix.SizeofNlMsghdr + len(m.body)
			n.note(m)
			_ = answer(m)
			if e, ok := parseAddress(m.body); ok && !e.prefix.IsValid() {
				t.Errorf("address %+v", e)
			}
			if r, ok := parseRoute(m.body); ok && !r.dst.IsValid() {
				t.Errorf("route %+v", r)
			}
			if d, ok := parseDevice(m.body); ok && d.name == "" {
				t.Errorf("device %+v", d)
			}
		})
		if total > len(data) {
			t.Errorf("%d bytes read of %d", total, len(data))
		}
		for _, e := range n.events {
			_ = e.Kind.String()
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
		var w builder
		buildAddress(&w, a, index, 7, valid, refresh)
		n := 0
		messages(w.b, func(m message) {
			n++
			e, ok := parseAddress(m.body)
			e.device = a.Device
			if !ok || m.kind != unix.RTM_NEWADDR || m.seq != 7 || e.index != index || e.valid != valid || !e.ours() {
				t.Fatalf("%v is read as %+v", a, e)
			}
			if !e.matches(a) {
				t.Fatalf("%v is read as %v", a, e.address())
			}
		})
		if n != 1 {
			t.Fatalf("%d messages for one address", n)
		}
	})
}
