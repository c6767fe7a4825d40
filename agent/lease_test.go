package agent

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/gate"
	"github.com/twinbeat/twinbeat/vip/kernel"
)

// weakLease returns a lease by lifetimes over one address that was just taken.
func weakLease(t *testing.T) (*lifetimeLease, vip.Set) {
	t.Helper()
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "tbweak"}, PeerName: "tbfar"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Skipf("cannot add a device here: %v", err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	set := vip.Set{Addresses: []vip.Address{{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Device: "tbweak"}}}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Know(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	c := config.Config{Groups: []config.Group{{Name: "g", VIP: set}}}
	c.Timing.Lifetime, c.Timing.Window = lifetimeShort, 100*time.Millisecond
	if err := k.Take(t.Context(), set, c.Timing.Lifetime); err != nil {
		t.Fatal(err)
	}
	return newLifetimeLease(c, k), set
}

func TestLifetimeLeaseNeedsATurn(t *testing.T) {
	l, _ := weakLease(t)
	if err := l.Grant(0); !errors.Is(err, gate.ErrRefused) {
		t.Errorf("granted without a turn: %v", err)
	}
	if err := l.Turn(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(l.window + 10*time.Millisecond)
	if err := l.Grant(0); !errors.Is(err, gate.ErrRefused) {
		t.Errorf("granted in an old turn: %v", err)
	}
	if err := l.Renew(0); !errors.Is(err, gate.ErrRefused) {
		t.Errorf("renewed what was not granted: %v", err)
	}
	if held, _, err := l.Held(0); held || err != nil {
		t.Errorf("held %v, %v", held, err)
	}
}

func TestLifetimeLeaseRunsWhileItIsRenewedAndThenEnds(t *testing.T) {
	l, set := weakLease(t)
	_ = l.Turn()
	if err := l.Grant(0); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		time.Sleep(100 * time.Millisecond)
		_ = l.Turn()
		err := l.Renew(0)
		if time.Since(l.turn) > l.window {
			continue // this machine stood still: refused or not, both are right
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if held, left, err := l.Held(0); !held || left <= 0 || err != nil {
		t.Fatalf("held %v for %v, %v", held, left, err)
	}
	last := time.Now()
	for time.Since(last) < lifetimeShort+2*lifetimeGrain {
		there, err := l.kernel.Held(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		if len(there) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(last); took > lifetimeShort+lifetimeGrain {
		t.Errorf("the kernel held the address for %v after the last renewal", took)
	}
	_ = l.Turn()
	if err := l.Renew(0); !errors.Is(err, gate.ErrRefused) {
		t.Errorf("a lapsed lease was renewed: %v", err)
	}
}

func TestCloseOfALifetimeLeaseTakesTheAddressAway(t *testing.T) {
	l, set := weakLease(t)
	_ = l.Turn()
	if err := l.Grant(0); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(0); err != nil {
		t.Fatal(err)
	}
	if there, err := l.kernel.Held(t.Context(), set); err != nil || len(there) > 0 {
		t.Errorf("%v, %v", there, err)
	}
	if held, _, _ := l.Held(0); held {
		t.Error("still held")
	}
	a := &agent{cfg: config.Config{Groups: []config.Group{{VIP: set}}}, hands: &hands{kernel: l.kernel, groups: []*handful{newHandful(config.Group{VIP: set})}}, lease: l}
	if a.adopts(0) {
		t.Error("a closed lease is adopted")
	}
	if left := a.left(); left != "" {
		t.Errorf("left: %s", left)
	}
	if err := l.kernel.Take(t.Context(), set, time.Minute); err != nil {
		t.Fatal(err)
	}
	if left := a.left(); left == "" {
		t.Error("an address that is there is not told")
	}
}

func TestAddressThatAStrangerTookIsNotRenewed(t *testing.T) {
	l, set := weakLease(t)
	_ = l.Turn()
	if err := l.Grant(0); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName("tbweak")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrDel(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}}); err != nil {
		t.Fatal(err)
	}
	if held, _, _ := l.Held(0); held {
		t.Error("held without the address")
	}
	time.Sleep(l.life / 4)
	var refused error
	for range 20 {
		time.Sleep(50 * time.Millisecond)
		_ = l.Turn()
		if refused = l.Renew(0); refused != nil {
			break
		}
	}
	if refused == nil {
		t.Error("renewed")
	}
	if there, _ := l.kernel.Held(t.Context(), set); len(there) > 0 {
		t.Error("the renewal put the address back")
	}
}

// The loader cannot know the machine's constants, and has one of its own.
func TestTheLoaderKnowsTheProbesGrace(t *testing.T) {
	if config.ProbeGrace != pair.ProbeGrace {
		t.Errorf("config has %v, pair %v", config.ProbeGrace, pair.ProbeGrace)
	}
}
