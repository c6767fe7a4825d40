//go:build !lite && !no_virtual

package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// maxKept bounds what is remembered of a device that is set down.
	maxKept = 4096
	// Setting it up again is tried so often, while the kernel refuses.
	upTries = 5
	upPause = 200 * time.Millisecond
	// A route may need another one first: so often is what was refused tried again.
	backRounds = 3
)

// Why a port is not set down.
var (
	// ErrDown says that the device is down already.
	ErrDown = errors.New("it is down already")
	// ErrVLAN says that VLANs stand on the device: the kernel sets them down and
	// up with it, also those that were down, and forgets their routes.
	ErrVLAN = errors.New("VLANs stand on it")
	// ErrNexthops says that routes of the device use nexthop objects, which the
	// kernel deletes with the link and which are not put back.
	ErrNexthops = errors.New("its routes use nexthop objects (ip nexthop), which would be lost")
	// ErrUnmanageable says that more hangs on the device than is remembered.
	ErrUnmanageable = fmt.Errorf("it has more than %d routes and addresses to put back", maxKept)
)

// A Port is a device that can be set down and up again, so that the switch at
// the other end of the cable flushes what it learned there.
type Port struct {
	s     *socket
	index uint32
	kept  []kept

	mu         sync.Mutex
	fell, down bool
}

// OpenPort finds a device that is up, and reads what the kernel will forget with
// the link: IPv6 addresses and routes. Those that a person or a DHCP client has
// set are put back. What routing daemons, the kernel or a router's advertisement
// has set comes back from there. Whoever opened it closes it.
func OpenPort(name string) (*Port, error) {
	s, err := newAsker()
	if err != nil {
		return nil, err
	}
	p := &Port{s: s}
	if err := p.look(name); err != nil {
		s.close()
		return nil, err
	}
	return p, nil
}

func (p *Port) look(name string) error {
	all, err := listLayers(p.s)
	if err != nil {
		return err
	}
	l, err := bouncable(all, name)
	if err != nil {
		return err
	}
	p.index = l.index
	p.kept, err = keep(p.s, l.index)
	return err
}

func bouncable(all []*layer, name string) (*layer, error) {
	l := named(all, name)
	switch {
	case l == nil:
		return nil, unix.ENODEV
	case !l.up:
		return nil, ErrDown
	}
	for _, o := range all {
		if o.kind == "vlan" && o.lower == l.index {
			return nil, ErrVLAN
		}
	}
	return l, nil
}

// Down sets it down.
func (p *Port) Down() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fell, p.down = true, true // perhaps: the kernel may say no afterwards
	return wrap(setState(p.s, p.index, false), "set it down")
}

// Up sets it up, if Down has set it down. It tries once, and may be called by
// another goroutine than Restore.
func (p *Port) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.down {
		return nil
	}
	err := unless(setState(p.s, p.index, true), unix.ENODEV)
	p.down = err != nil
	return wrap(err, "set it up again")
}

// Close ends the use of a port. It leaves it as it is.
func (p *Port) Close() { p.s.close() }

// Restore sets it up and puts back what was lost.
func (p *Port) Restore() (err error) {
	if !p.fell {
		return nil
	}
	for range upTries {
		if err = p.Up(); err == nil {
			return wrap(putBack(p.s, p.kept), "put back what it had")
		}
		time.Sleep(upPause)
	}
	return err
}

// Raise sets a device up and says whether it was down.
func Raise(name string) (was bool, err error) {
	s, err := newAsker()
	if err != nil {
		return false, err
	}
	defer s.close()
	all, err := listLayers(s)
	if err != nil {
		return false, err
	}
	l := named(all, name)
	if l == nil || l.up {
		return false, nil
	}
	return true, setState(s, l.index, true)
}

func setState(s *socket, index uint32, up bool) error {
	header := linkHeader(index)
	header.Change = unix.IFF_UP
	if up {
		header.Flags = unix.IFF_UP
	}
	return several(s, request(unix.RTM_SETLINK, 0, header))
}

// several sends requests in one write and returns the first that the kernel
// refused.
func several(s *socket, list ...*nl.NetlinkRequest) (answer error) {
	err := s.do(context.Background(), work{
		n: len(list), build: func(i int) *nl.NetlinkRequest { return list[i] },
		fail: func(_ int, err error) {
			if answer == nil {
				answer = err
			}
		},
	})
	if err != nil {
		return err
	}
	return answer
}

// A kept is an address or a route as the kernel told it, which is also how it is
// asked for.
type kept struct {
	kind   int // RTM_NEWADDR or RTM_NEWROUTE
	header []byte
	parts  []*nl.RtAttr
}

// Serialize and Len make a header of it; the library aligns both.
func (h rawHeader) Serialize() []byte { return h }

// Len is the length of the header.
func (h rawHeader) Len() int { return len(h) }

type rawHeader []byte

func (k kept) request() *nl.NetlinkRequest {
	r := request(k.kind, create, rawHeader(k.header))
	for _, p := range k.parts {
		r.AddData(p)
	}
	return r
}

// keepProtocols are those whose routes nobody else puts back.
var keepProtocols = []uint8{unix.RTPROT_BOOT, unix.RTPROT_STATIC, protDHCP}

// Numbers that x/sys does not name.
const (
	protDHCP  = 16 // RTPROT_DHCP, linux/rtnetlink.h
	rtaExpire = 23 // RTA_EXPIRES
	rtaNexth  = 30 // RTA_NH_ID
)

// keep reads what of a device would be lost with the link.
func keep(s *socket, device uint32) ([]kept, error) {
	var bad error
	all, err := list(s, unix.RTM_GETADDR, func(m []byte) (kept, bool) { return keepAddress(m, device) }, nl.NewIfAddrmsg(unix.AF_INET6))
	if err != nil {
		return nil, wrap(err, "list addresses")
	}
	for _, protocol := range keepProtocols {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Protocol: protocol}}
			found, err := list(s, unix.RTM_GETROUTE, func(m []byte) (kept, bool) {
				k, ok := keepRoute(m, protocol, device)
				if ok && slices.ContainsFunc(k.parts, func(a *nl.RtAttr) bool { return a.Type == rtaNexth }) {
					bad = ErrNexthops
				}
				return k, ok
			}, header)
			if err != nil {
				return nil, wrap(err, "list routes")
			}
			all = append(all, found...)
		}
	}
	if len(all) > maxKept {
		bad = ErrUnmanageable
	}
	return all, bad
}

// keepAddress keeps a permanent IPv6 address. Duplicate address detection was
// done when it was set first.
func keepAddress(m []byte, device uint32) (kept, bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return kept{}, false
	}
	header := nl.DeserializeIfAddrmsg(m)
	k := kept{kind: unix.RTM_NEWADDR, header: slices.Clone(m[:unix.SizeofIfAddrmsg])}
	flags := uint32(header.Flags)
	attributes(m[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_FLAGS:
			flags = number(value)
		case unix.IFA_CACHEINFO:
		default:
			k.parts = append(k.parts, nl.NewRtAttr(int(kind), slices.Clone(value)))
		}
	})
	const lasting, not = unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_HOMEADDRESS, unix.IFA_F_DADFAILED
	k.parts = append(k.parts, nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags&lasting|unix.IFA_F_NODAD)))
	k.header[2] = 0 // ifa_flags: they are in the attribute
	return k, header.Family == unix.AF_INET6 && flags&unix.IFA_F_PERMANENT != 0 && flags&not == 0 && header.Index == device
}

// keepRoute keeps a route of that protocol that leaves by the device.
func keepRoute(m []byte, protocol uint8, device uint32) (kept, bool) {
	if len(m) < unix.SizeofRtMsg {
		return kept{}, false
	}
	header := nl.DeserializeRtMsg(m)
	k := kept{kind: unix.RTM_NEWROUTE, header: slices.Clone(m[:unix.SizeofRtMsg])}
	here := false
	attributes(m[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_CACHEINFO, rtaExpire:
			return
		case unix.RTA_OIF:
			here = here || number(value) == device
		case unix.RTA_MULTIPATH:
			here = here || anyHop(value, device)
		}
		k.parts = append(k.parts, nl.NewRtAttr(int(kind), slices.Clone(value)))
	})
	flags := header.Flags & unix.RTNH_F_ONLINK // the others are the kernel's remarks
	native.PutUint32(k.header[8:], flags)
	return k, here && header.Protocol == protocol && header.Flags&unix.RTM_F_CLONED == 0
}

// anyHop says whether a hop of RTA_MULTIPATH leaves by the device.
func anyHop(hops []byte, device uint32) bool {
	for len(hops) >= unix.SizeofRtNexthop { // each turn uses up a hop
		size := int(binary.NativeEndian.Uint16(hops))
		if native.Uint32(hops[4:]) == device {
			return true
		}
		if size < unix.SizeofRtNexthop || align(size) > len(hops) {
			return false
		}
		hops = hops[align(size):]
	}
	return false
}

// putBack asks for all again; what is there already is well. A device that went
// meanwhile took its own with it.
func putBack(s *socket, all []kept) error {
	var f faults
	for round := range backRounds {
		var again []kept
		err := s.do(context.Background(), work{
			n:     len(all),
			build: func(i int) *nl.NetlinkRequest { return all[i].request() },
			fail: func(i int, err error) {
				switch {
				case refused(err, unix.EEXIST, unix.ENODEV):
				case round == backRounds-1:
					f.add(err)
				default:
					again = append(again, all[i])
				}
			},
		})
		if err != nil {
			return err
		}
		if all = again; len(all) == 0 {
			break
		}
	}
	return f.join()
}
