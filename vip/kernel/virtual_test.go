//go:build !lite && !no_virtual

package kernel

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/tests/lab"
	"github.com/twinbeat/twinbeat/vip"
)

func virtualOn(parent string) vip.Virtual {
	return vip.Virtual{Device: vip.VirtualName(3, parent), Parent: parent, MAC: [6]byte{0, 0, 0x5e, 0, 1, 7}}
}

func TestAVirtualDeviceIsMadeDownAndReadyToCarryAddresses(t *testing.T) {
	parent, _ := veth(t)
	k, _ := newKernel(t)
	v := virtualOn(parent)
	sysctl(t, "ipv4/conf/"+parent+"/forwarding", "1")
	must(t, k.EnsureVirtual("office", []vip.Virtual{v}))
	t.Cleanup(func() { must(t, k.EnsureVirtual("office", nil)) })
	shows := ip(t, "-d link show dev "+v.Device)
	for _, want := range []string{v.Device + "@" + parent, "00:00:5e:00:01:07", "macvlan mode private", "addrgenmode none", "alias twinbeat office", "state DOWN"} {
		if !strings.Contains(shows, want) {
			t.Errorf("%q is not in %s", want, shows)
		}
	}
	for path, want := range map[string]string{
		"ipv4/conf/" + parent + "/arp_ignore": "1", "ipv4/conf/" + parent + "/arp_announce": "2",
		"ipv4/conf/" + v.Device + "/arp_ignore": "1", "ipv4/conf/" + v.Device + "/arp_announce": "2",
		"ipv4/conf/" + v.Device + "/rp_filter": "2", "ipv4/conf/" + v.Device + "/forwarding": "1", "ipv6/conf/" + v.Device + "/accept_ra": "0",
	} {
		if got := sysctlOf(t, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	must(t, k.SetVirtual([]vip.Virtual{v}, true))
	set := setOf(t, "10.84.0.1/24@"+v.Device, "2001:db8:84::1/64@"+v.Device)
	must(t, k.Take(t.Context(), set, 0))
	for address, o := range shown(t, v.Device, "") {
		if !o.usable() || !strings.HasPrefix(address, "10.84.0.1") && !strings.HasPrefix(address, "2001:db8:84::1") {
			t.Errorf("%s: %+v", address, o)
		}
	}
	for _, want := range []string{"10.84.0.0/24", "2001:db8:84::/64"} {
		routes := ip(t, "-4 route show dev "+v.Device+" metric 32000") + ip(t, "-6 route show dev "+v.Device+" metric 32000")
		if !strings.Contains(routes, want) {
			t.Errorf("no route %s with the metric that gives way: %s", want, routes)
		}
	}
	must(t, k.Renew(t.Context(), set.Addresses, time.Minute))
	must(t, k.EnsureVirtual("office", []vip.Virtual{v})) // as an agent after a restart
	if held, err := k.Held(t.Context(), set); len(held) != 2 || err != nil {
		t.Errorf("after the next agent came: %v, %v", held, err)
	}
	must(t, k.Drop(t.Context(), set))
	if routes := ip(t, "-6 route show dev "+v.Device); strings.Contains(routes, "2001:db8:84::/64") {
		t.Errorf("after the drop: %s", routes)
	}
	must(t, k.SetVirtual([]vip.Virtual{v}, false))
	if shows := ip(t, "link show dev "+v.Device); !strings.Contains(shows, "state DOWN") {
		t.Error(shows)
	}
}

func TestVirtualDevicesThatAreOtherwiseGoAndStrangersStay(t *testing.T) {
	parent, other := veth(t)
	k, _ := newKernel(t)
	v := virtualOn(parent)
	moved, unwanted := v, virtualOn(other)
	moved.MAC[5] = 9
	must(t, k.EnsureVirtual("office", []vip.Virtual{v, unwanted}))
	t.Cleanup(func() { must(t, k.EnsureVirtual("office", nil)) })
	index := byName(t, v.Device).Attrs().Index
	must(t, k.EnsureVirtual("another", nil))
	if byName(t, v.Device).Attrs().Index != index {
		t.Error("another pair's agent took the device away")
	}
	must(t, k.EnsureVirtual("office", []vip.Virtual{moved}))
	if l := byName(t, v.Device); l.Attrs().Index == index || l.Attrs().HardwareAddr[5] != 9 {
		t.Errorf("not made anew: %+v", l.Attrs())
	}
	if _, err := netlink.LinkByName(unwanted.Device); err == nil {
		t.Error("what nobody wants stays")
	}
	ip(t, "link delete "+v.Device)
	ip(t, "link add link "+parent+" name "+v.Device+" type macvlan mode private")
	if err := k.EnsureVirtual("office", []vip.Virtual{v}); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a stranger's device: %v", err)
	}
	ip(t, "link delete "+v.Device)
	ip(t, fmt.Sprintf("link add link %s name %s address %s type macvlan mode private", parent, v.Device, net.HardwareAddr(v.MAC[:])))
	must(t, k.EnsureVirtual("office", []vip.Virtual{v})) // its alias was refused, say
	if shows := ip(t, "link show dev "+v.Device); !strings.Contains(shows, "alias twinbeat office") {
		t.Error(shows)
	}
	ip(t, "link delete "+v.Device)
	absent := virtualOn("tbnone")
	if err := k.EnsureVirtual("office", []vip.Virtual{absent, v}); !errors.Is(err, unix.ENODEV) {
		t.Errorf("a device on nothing: %v", err)
	}
	byName(t, v.Device) // made all the same
	if err := k.SetVirtual([]vip.Virtual{absent}, true); !errors.Is(err, unix.ENODEV) {
		t.Errorf("set up what is not there: %v", err)
	}
	must(t, k.SetVirtual([]vip.Virtual{absent}, false))
}

func TestAHardwareAddressThatADeviceHasIsNotShared(t *testing.T) {
	parent, other := veth(t)
	k, _ := newKernel(t)
	v := virtualOn(parent)
	t.Cleanup(func() { must(t, k.EnsureVirtual("office", nil)) })
	for _, device := range []string{parent, other} {
		v.MAC = [6]byte(byName(t, device).Attrs().HardwareAddr)
		if err := k.EnsureVirtual("office", []vip.Virtual{v}); !errors.Is(err, ErrNotShared) || !strings.Contains(err.Error(), device+" has the hardware address") {
			t.Errorf("%s: %v", device, err)
		}
		if _, err := netlink.LinkByName(v.Device); err == nil {
			t.Error("it was made")
		}
	}
	one, two := virtualOn(parent), virtualOn(other) // one address on each interface of a group
	must(t, k.EnsureVirtual("office", []vip.Virtual{one, two}))
	must(t, k.EnsureVirtual("office", []vip.Virtual{one, two}))
}

// endIn gives a namespace one end of a cable, with an address.
func endIn(t *testing.T, s *lab.Space, end, address string) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	must(t, s.Start(cmd))
	ip(t, fmt.Sprintf("link set %s netns %d", end, cmd.Process.Pid))
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, line := range []string{"link set " + end + " up", "-6 address add " + address + " nodad dev " + end} {
		_, err := s.Run("ip", strings.Fields(line)...)
		must(t, err)
	}
}

// Who forwards IPv6 asks for its neighbours by the address of the link.
func TestForwardedIPv6LeavesByAVirtualDevice(t *testing.T) {
	far, host, err := lab.NewLAN()
	must(t, err)
	defer far.Close()
	defer host.Close()
	parent, hostEnd := veth(t)
	wan, farEnd := veth(t)
	endIn(t, host, hostEnd, "2001:db8:84::9/64")
	endIn(t, far, farEnd, "2001:db8:85::9/64")
	_, err = host.Run("ip", "-6", "route", "add", "default", "via", "2001:db8:84::1")
	must(t, err)
	_, err = far.Run("ip", "-6", "route", "add", "2001:db8:84::/64", "via", "2001:db8:85::1")
	must(t, err)
	sysctl(t, "ipv6/conf/all/forwarding", "1")
	ip(t, "-6 address add 2001:db8:85::1/64 nodad dev "+wan)
	k, _ := newKernel(t)
	v := virtualOn(parent)
	must(t, k.EnsureVirtual("office", []vip.Virtual{v}))
	t.Cleanup(func() { must(t, k.EnsureVirtual("office", nil)) })
	must(t, k.SetVirtual([]vip.Virtual{v}, true))
	pings := func() bool {
		_, err := far.Run("ping", "-c", "1", "-W", "1", "2001:db8:84::9")
		return err == nil
	}
	for i, c := range []struct {
		set  vip.Set
		want bool
	}{
		{setOf(t, "2001:db8:84::1/64@"+v.Device), false},
		{setOf(t, "2001:db8:84::1/64@"+v.Device, v.LinkLocal().String()+"/64@"+v.Device), true},
	} {
		must(t, k.Take(t.Context(), c.set, 0))
		got := pings() || c.want && pings() // the first may be lost to the question
		if got != c.want {
			t.Errorf("%d: forwarded %v, want %v", i, got, c.want)
		}
	}
	if got := shown(t, v.Device, "inet6")["fe80::200:5eff:fe00:107/64"]; !got.usable() {
		t.Errorf("%+v", got)
	}
}
