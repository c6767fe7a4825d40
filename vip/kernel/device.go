package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// A device is what we keep about a network device between calls, so that Take
// need not ask. Watch keeps it fresh; without Watch a stale index is noticed
// by the kernel's refusal.
type device struct {
	index    uint32
	name     string
	running  bool // administratively up and with carrier (IFF_RUNNING)
	loopback bool
	promotes bool // net.ipv4.conf.DEVICE.promote_secondaries
}

// parseDevice reads an RTM_NEWLINK or RTM_DELLINK. Bridges send messages of
// their own family about their ports; those are not about devices. The
// library's own Link knows a hundred things of a device, but not promotes.
func parseDevice(m []byte) (device, bool) {
	if len(m) < unix.SizeofIfInfomsg || m[0] != unix.AF_UNSPEC {
		return device{}, false
	}
	header := nl.DeserializeIfInfomsg(m)
	d := device{
		index:    uint32(header.Index),
		running:  header.Flags&unix.IFF_UP != 0 && header.Flags&unix.IFF_RUNNING != 0,
		loopback: header.Flags&unix.IFF_LOOPBACK != 0,
	}
	attributes(m[header.Len():], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			d.name = unix.ByteSliceToString(value)
		case unix.IFLA_AF_SPEC:
			d.promotes = devconf(value, promoteSecondaries) != 0
		}
	})
	return d, d.name != ""
}

// devconf reads an IPv4 setting of a device out of IFLA_AF_SPEC.
func devconf(spec []byte, setting int) (result uint32) {
	attributes(spec, func(kind uint16, value []byte) {
		if kind != unix.AF_INET {
			return
		}
		attributes(value, func(kind uint16, conf []byte) {
			at := 4 * (setting - 1) // the array starts with setting 1
			if kind == unix.IFLA_INET_CONF && len(conf) >= at+4 {
				result = native.Uint32(conf[at:])
			}
		})
	})
	return result
}

func (k *Kernel) readDevices() error {
	devices, err := k.listDevices()
	if err != nil {
		return err
	}
	k.devices = make(map[string]device, len(devices))
	for _, d := range devices {
		k.devices[d.name] = d
	}
	return nil
}

func (k *Kernel) listDevices() ([]device, error) {
	found, err := list(k.s, unix.RTM_GETLINK, parseDevice, nl.NewIfInfomsg(unix.AF_UNSPEC),
		nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats))) // most of a dump is counters
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return found, nil
}

// Answers asks the kernel for its loopback device, whose index is always 1, and
// returns nil if it answered: the least that netlink must do.
func (k *Kernel) Answers() error {
	lo := nl.NewIfInfomsg(unix.AF_UNSPEC)
	lo.Index = 1
	r := request(unix.RTM_GETLINK, 0, lo, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
	r.Sockets = k.pulse.handles
	if _, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK); err != nil {
		return fmt.Errorf("ask the kernel for its loopback device: %w", said(err))
	}
	return nil
}

// index is the device's number, or 0 if there is no such device.
func (k *Kernel) index(name string) uint32 { return k.devices[name].index }

// promote switches promote_secondaries on for the devices of IPv4 addresses on
// which it is off, and reports it.
func (k *Kernel) promote(ctx context.Context, addresses []vip.Address) error {
	var off []device
	last := ""
	for _, a := range addresses {
		if a.Device == last || !a.Prefix.Addr().Is4() {
			continue
		}
		last = a.Device // sets are sorted by device, so this asks once a device
		d, ok := k.devices[a.Device]
		if ok && !d.promotes && !slices.Contains(off, d) {
			off = append(off, d)
		}
	}
	if len(off) == 0 {
		return nil
	}
	var f faults
	err := k.s.do(ctx, work{
		n:     len(off),
		build: func(i int) *nl.NetlinkRequest { return promoteRequest(off[i].index) },
		fail: func(i int, err error) {
			f.add(fmt.Errorf("set promote_secondaries of %s: %w", off[i].name, err))
			off[i].promotes = true // marks it as not done
		},
	})
	f.add(err)
	for _, d := range off {
		if err != nil || d.promotes {
			continue
		}
		d.promotes = true
		k.devices[d.name] = d
		k.found(Finding{
			Kind: Promoted, Device: d.name,
			Text: "set net.ipv4.conf." + d.name + ".promote_secondaries to 1: it was 0, and removing one address could have removed others of its subnet",
		})
	}
	return f.join()
}

func promoteRequest(index uint32) *nl.NetlinkRequest {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, nil).AddRtAttr(promoteSecondaries, nl.Uint32Attr(1))
	return request(unix.RTM_SETLINK, 0, header, spec)
}

// OwnAddresses lists the addresses of the devices that are not VIPs (see
// Know), sorted and without repetition. Host bits are kept. No devices means
// all devices.
func (k *Kernel) OwnAddresses(devices []string) ([]netip.Prefix, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, err := k.listAddresses()
	if err != nil {
		return nil, err
	}
	var own []netip.Prefix
	for _, e := range all {
		if len(devices) > 0 && !slices.Contains(devices, e.device) {
			continue
		}
		if !k.isVIP(e) {
			own = append(own, e.prefix)
		}
	}
	sort.Slice(own, func(i, k int) bool {
		if c := own[i].Addr().Compare(own[k].Addr()); c != 0 {
			return c < 0
		}
		return own[i].Bits() < own[k].Bits()
	})
	return slices.Compact(own), nil
}

// isVIP says whether the entry is a VIP of any group. One that sits on a device
// where it does not belong is still none of our own addresses; only link-local
// addresses are another address on another device.
func (k *Kernel) isVIP(e entry) bool {
	ip := e.prefix.Addr()
	if ip.Is6() && ip.IsLinkLocalUnicast() {
		_, ok := k.known[place{ip, e.device}]
		return ok
	}
	return k.knownIPs[ip]
}
