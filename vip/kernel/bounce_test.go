//go:build !lite && !no_virtual

package kernel

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routesOf is what iproute2 shows of all tables for a device, sorted by it.
func routesOf(t *testing.T, device string) string {
	t.Helper()
	return ip(t, "-4 route show table all dev "+device) + ip(t, "-6 route show table all dev "+device+" proto static") + ip(t, "-6 route show table all dev "+device+" proto boot")
}

func TestBounceBringsBackWhatTheLinkTookAlong(t *testing.T) {
	name, peer := veth(t)
	for _, line := range []string{
		"address add 198.51.100.1/24 dev " + name,
		"-6 address add 2001:db8:1::1/64 nodad dev " + name,
		"-6 address add 2001:db8:2::1/64 nodad valid_lft 100 preferred_lft 100 dev " + name,
		"route add 203.0.113.7/32 dev " + name,
		"route add 203.0.113.0/24 via 203.0.113.7 onlink dev " + name,
		"route add default via 203.0.113.7 metric 5 dev " + name + " proto dhcp",
		"route add 192.0.2.0/24 via 198.51.100.9 table 77 dev " + name + " src 198.51.100.1 proto static",
		"route add 192.0.3.0/24 nexthop via 198.51.100.9 dev " + name + " nexthop via 198.51.100.8 dev " + name,
		"route add 192.0.4.0/24 via 198.51.100.9 dev " + name + " proto bird",
		"-6 route add 2001:db8:9::/48 via 2001:db8:1::9 dev " + name + " src 2001:db8:1::1 metric 9",
		"-6 route add default via fe80::9 dev " + name,
	} {
		ip(t, line)
	}
	was := routesOf(t, name) + ip(t, "route show 192.0.3.0/24")
	fell := make(chan time.Duration, 1)
	go func() { // what the switch at the other end sees
		var from time.Time
		for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
			link, err := netlink.LinkByName(peer)
			if err != nil {
				break
			}
			down := link.Attrs().OperState == netlink.OperDown || link.Attrs().OperState == netlink.OperLowerLayerDown
			switch {
			case down && from.IsZero():
				from = time.Now()
			case !down && !from.IsZero():
				fell <- time.Since(from)
				return
			}
		}
		fell <- 0
	}()
	p, err := OpenPort(name)
	must(t, err)
	defer p.Close()
	must(t, p.Down())
	time.Sleep(300 * time.Millisecond)
	must(t, p.Restore())
	if d := <-fell; d < 250*time.Millisecond {
		t.Errorf("the other end saw the carrier away for %v, want 300ms", d)
	}
	is := routesOf(t, name) + ip(t, "route show 192.0.3.0/24")
	want := ""
	for line := range strings.Lines(was) {
		if !strings.Contains(line, "proto bird") {
			want += line
		}
	}
	if is != want {
		t.Errorf("after the bounce:\n%s\nbefore, without what a daemon puts back:\n%s", is, want)
	}
	if got := shown(t, name, "inet6")["2001:db8:1::1/64"]; !got.usable() {
		t.Errorf("a static address: %+v", got)
	}
	if _, there := shown(t, name, "inet6")["2001:db8:2::1/64"]; there {
		t.Error("an address with a lifetime was put back: it is a router's or ours")
	}
}

// A takeover sets the port up at once; what it had is put back all the same.
func TestAPortThatIsNeededIsUpAtOnce(t *testing.T) {
	name, _ := veth(t)
	ip(t, "route add 203.0.113.7/32 dev "+name)
	p, err := OpenPort(name)
	must(t, err)
	defer p.Close()
	must(t, p.Up())
	must(t, p.Down())
	must(t, p.Up())
	if l := byName(t, name); l.Attrs().RawFlags&1 == 0 {
		t.Error("it is down")
	}
	must(t, p.Restore())
	if got := ip(t, "route show 203.0.113.7"); !strings.Contains(got, name) {
		t.Errorf("the route is %q", got)
	}
}

func TestBounceTouchesNothingWhereItCouldNotPutBack(t *testing.T) {
	down, _ := veth(t)
	ip(t, "link set "+down+" down")
	objects, _ := veth(t)
	ip(t, "address add 198.51.100.1/24 dev "+objects)
	ip(t, "nexthop add id 77 via 198.51.100.9 dev "+objects)
	ip(t, "route add 192.0.2.0/24 nhid 77")
	for _, c := range []struct {
		device string
		want   error
	}{{down, ErrDown}, {objects, ErrNexthops}, {"tbnone", unix.ENODEV}} {
		if _, err := OpenPort(c.device); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.device, err, c.want)
		}
	}
	if got := ip(t, "route show 192.0.2.0/24"); !strings.Contains(got, "nhid 77") {
		t.Errorf("the route went: %q", got)
	}
	was, err := Raise(down)
	must(t, err)
	if again, _ := Raise(down); !was || again {
		t.Errorf("raised: was down %v, then %v", was, again)
	}
}

func TestAPortUnderVLANsIsLeftAlone(t *testing.T) {
	name, _ := veth(t)
	if out, err := exec.Command("ip", "link", "add", "link", name, "name", "tbvlan", "type", "vlan", "id", "7").CombinedOutput(); err != nil {
		t.Skipf("this kernel has no VLANs: %s", out)
	}
	if _, err := OpenPort(name); !errors.Is(err, ErrVLAN) {
		t.Errorf("%v", err)
	}
}

func TestVLANsOfADeviceAreThoseAlone(t *testing.T) {
	l := func(index, lower uint32, kind string) *layer {
		return &layer{device: device{index: index, name: fmt.Sprint(index)}, up: true, lower: lower, kind: kind}
	}
	all := []*layer{l(1, 0, ""), l(2, 0, ""), l(3, 2, "vlan"), l(4, 1, "macvlan")}
	for name, want := range map[string]error{"1": nil, "2": ErrVLAN, "3": nil, "9": unix.ENODEV} {
		if got, err := bouncable(all, name); !errors.Is(err, want) || err == nil && got.name != name {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestAbove(t *testing.T) {
	port, other := veth(t)
	free, _ := veth(t)
	addLink(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "tbbr"}})
	ip(t, "link set "+port+" master tbbr")
	ip(t, "link add link tbbr name tbtop up type macvlan mode private") // not each kernel has VLANs
	t.Cleanup(func() { ip(t, "link delete tbtop") })
	got, err := Above(port)
	must(t, err)
	if !got["tbtop"] || !got["tbbr"] || !got[port] || got[other] || got[free] || len(got) != 3 {
		t.Errorf("above %s: %v", port, got)
	}
	for name, want := range map[string]int{free: 1, "tbtop": 1, "tbbr": 2, "tbnone": 0} {
		if got, err := Above(name); err != nil || len(got) != want || want > 0 && !got[name] {
			t.Errorf("above %s: %v, %v", name, got, err)
		}
	}
}
