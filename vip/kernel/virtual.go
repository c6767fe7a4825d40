//go:build !lite && !no_virtual

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/vip"
)

// Numbers of if_link.h and ip.h that neither x/sys nor the library names.
const (
	macvlanPrivate = 1 // MACVLAN_MODE_PRIVATE
	genNone        = 1 // IN6_ADDR_GEN_MODE_NONE
	confForwarding = 1 // IPV4_DEVCONF_FORWARDING
	confRPFilter   = 8
	confAnnounce   = 18
	confIgnore     = 19
)

var (
	// ErrNotOurs says that a device has the name of a virtual one and was made by
	// somebody else.
	ErrNotOurs = errors.New("it was not made by twinbeat: delete or rename it")
	// ErrNotShared says that a real device has the virtual hardware address.
	ErrNotShared = errors.New("both nodes use virtual_mac: choose one that no device has")
)

// aliasOf is the alias by which a virtual device is known as ours.
func aliasOf(owner string) string { return "twinbeat " + owner }

// EnsureVirtual makes the devices that are missing, down, and leaves those that
// are as wanted. What an earlier agent of this owner made otherwise, or made and
// nobody wants, is deleted. The mode is private, so that each frame passes what
// the device stands on, and its gate.
//
// IPv4 settings that the two devices of one subnet need are set on both: each
// answers ARP for its own addresses alone, and asks in their name
// (arp_ignore 1, arp_announce 2); the virtual one checks sources loosely
// (rp_filter 2), forwards as what it stands on does, makes no IPv6 address of its
// own and hears no router's advertisement.
//
// Nothing is touched if a device that is missing cannot be: a stranger's has its
// name, or any has its hardware address or was built with it. What fails does not
// keep the others from being made. The error is ENODEV if all that is wrong is that
// what a device stands on is not there (yet).
func (k *Kernel) EnsureVirtual(owner string, want []vip.Virtual) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, err := listLayers(k.s)
	if err != nil {
		return err
	}
	missing, err := sift(all, aliasOf(owner), want)
	if err != nil {
		return err
	}
	var f faults
	for _, d := range all {
		if d.alias == aliasOf(owner) && !d.stays && vip.IsVirtual(d.name) {
			f.add(k.delete(d.name))
		}
	}
	var absent error
	for _, v := range missing {
		parent := named(all, v.Parent)
		if parent == nil {
			absent = unix.ENODEV
			continue
		}
		f.add(wrap(k.makeVirtual(aliasOf(owner), v, parent), "make virtual device "+v.Device+" on "+v.Parent))
	}
	f.add(k.readDevices())
	if err := f.join(); err != nil {
		return err
	}
	return wrap(absent, "make virtual devices")
}

// sift marks the devices that are as wanted and returns what is missing, if
// nothing is in its way. One that was made without its alias is made again.
func sift(all []*layer, alias string, want []vip.Virtual) (missing []vip.Virtual, err error) {
	for _, v := range want {
		mac, d, parent := string(v.MAC[:]), named(all, v.Device), named(all, v.Parent)
		if d != nil {
			same := d.kind == "macvlan" && d.mode == macvlanPrivate && d.macs[0] == mac && parent != nil && parent.index == d.lower
			if same && d.alias == alias {
				d.stays = true
				continue
			}
			if same && d.alias == "" {
				d.alias = alias
			}
			if d.alias != alias {
				return nil, wrap(ErrNotOurs, "use device "+d.name)
			}
		}
		for _, o := range all {
			if (o.macs[0] == mac || o.macs[1] == mac) && !vip.IsVirtual(o.name) {
				return nil, wrap(ErrNotShared, o.name+" has the hardware address of "+v.Device)
			}
		}
		missing = append(missing, v)
	}
	return missing, nil
}

// SetVirtual sets virtual devices up or down. One that is not there is down.
func (k *Kernel) SetVirtual(list []vip.Virtual, up bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var f faults
	for _, v := range list {
		err := error(unix.ENODEV)
		if index := k.index(v.Device); index != 0 {
			err = setState(k.s, index, up)
		}
		if up || !refused(err, gone...) {
			f.add(wrap(err, "set virtual device "+v.Device))
		}
	}
	return f.join()
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (k *Kernel) delete(name string) error {
	err := several(k.s, request(unix.RTM_DELLINK, 0, linkHeader(0), nameOf(name)))
	return wrap(unless(err, gone...), "delete virtual device "+name)
}

func linkHeader(index uint32) *nl.IfInfomsg {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	return header
}

func nameOf(device string) *nl.RtAttr {
	return nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(device))
}

// makeVirtual makes a device with its alias, and sets what it and its parent need
// before it is up. The kernel works one write off before it heeds a signal, so
// that no device without alias outlives an agent that is killed.
func (k *Kernel) makeVirtual(alias string, v vip.Virtual, parent *layer) error {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("macvlan"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_MACVLAN_MODE, nl.Uint32Attr(macvlanPrivate))
	own := settings(1, 2, 2, parent.forwards)
	if parent.six {
		own.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, nl.Uint8Attr(genNone))
	}
	err := several(k.s,
		request(unix.RTM_NEWLINK, create, linkHeader(0), nameOf(v.Device), nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(parent.index)),
			nl.NewRtAttr(unix.IFLA_ADDRESS, v.MAC[:]), info),
		request(unix.RTM_SETLINK, 0, linkHeader(0), nameOf(v.Device), nl.NewRtAttr(unix.IFLA_IFALIAS, nl.NonZeroTerminated(alias)), own),
		request(unix.RTM_SETLINK, 0, linkHeader(parent.index), settings(1, 2)))
	switch {
	case refused(err, unix.EEXIST): // a stranger was faster
		return err
	case err != nil: // it never was up
		return errors.Join(err, k.delete(v.Device))
	}
	// There is no netlink for these two, and no such file without IPv6.
	_ = os.WriteFile(conf6(v.Device, "accept_ra"), []byte("0"), 0o644)
	if b, err := os.ReadFile(conf6(v.Parent, "forwarding")); err == nil {
		_ = os.WriteFile(conf6(v.Device, "forwarding"), bytes.TrimSpace(b), 0o644)
	}
	return nil
}

func conf6(device, setting string) string {
	return "/proc/sys/net/ipv6/conf/" + device + "/" + setting
}

// settings are arp_ignore, arp_announce, rp_filter and forwarding, as many as
// there are values.
func settings(values ...uint32) *nl.RtAttr {
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	list := spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, nil)
	for i, v := range values {
		list.AddRtAttr([...]int{confIgnore, confAnnounce, confRPFilter, confForwarding}[i], nl.Uint32Attr(v))
	}
	return spec
}
