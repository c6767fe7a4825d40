//go:build !lite && !no_virtual

package agent

import (
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/gate"
	"github.com/twinbeat/twinbeat/vip/kernel"
)

const virtualConfig = `cluster = "office"
[[node]]
name = "fw1"
[[node]]
name = "fw2"
[[link]]
type = "multicast"
interface = "ha0"
group = "239.255.77.1"
[[group]]
name = "g"
virtual_mac = "00:00:5e:00:01:0a"
addresses = ["192.0.2.1/24@tbv0"]
`

// virtualHands are the hands of a node whose group has a virtual device on tbv0.
func virtualHands(t *testing.T) *agent {
	t.Helper()
	cfg, problems := config.Parse("t.toml", []byte(virtualConfig), "fw1")
	if config.Refused(problems) {
		t.Fatal(problems)
	}
	k, err := kernel.New(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	a := &agent{cfg: cfg, hands: &hands{cfg: cfg, kernel: k, adopted: make([]bool, 1), groups: []*handful{newHandful(cfg.Groups[0])}}}
	if err := a.hands.ensureVirtual(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", "tv0-tbv0").Run() })
	return a
}

// Who cannot gate what leaves must not share a hardware address: the lifetime of
// an address keeps no frame back.
func TestWithoutAGateThereIsNoVirtualDevice(t *testing.T) {
	newPort(t, "tbv0")
	a := virtualHands(t)
	if _, err := netlink.LinkByName("tv0-tbv0"); err != nil {
		t.Fatal(err)
	}
	// A gate that cannot be opened: the window is longer than it allows.
	a.cfg.Timing.Window = 10_000_000_000_000
	_, _, err := a.openLease(t.Context())
	if err == nil || !strings.Contains(err.Error(), "virtual_mac") || a.lease != nil {
		t.Errorf("opened %v: %v", a.lease, err)
	}
	if _, err := netlink.LinkByName("tv0-tbv0"); err == nil {
		t.Error("the device is left")
	}
}

func TestATakeoverMakesAVirtualDeviceThatAStrangerDeleted(t *testing.T) {
	newPort(t, "tbv0")
	a := virtualHands(t)
	h := a.hands
	run(t, "ip link delete tv0-tbv0")
	if err := h.TakeAddresses(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	held, err := h.kernel.Held(t.Context(), h.groups[0].group().Placed())
	if err != nil || len(held) != 1 || held[0].Device != "tv0-tbv0" {
		t.Errorf("held %v, %v", held, err)
	}
	if on, _ := h.kernel.Held(t.Context(), h.groups[0].group().VIP); len(on) != 0 {
		t.Errorf("on the interface itself: %v", on)
	}
	up := func() bool {
		out, _ := exec.Command("ip", "link", "show", "dev", "tv0-tbv0", "up").Output()
		return strings.Contains(string(out), "tv0-tbv0")
	}
	if !up() {
		t.Error("the device is down")
	}
	if err := h.DropAddresses(t.Context(), 0); err != nil || up() {
		t.Errorf("after the drop: up %v, %v", up(), err)
	}
}

// A configuration that is accepted has no more interfaces than the gate guards.
func TestTheGateGuardsAllThatTheConfigurationTakes(t *testing.T) {
	const most = gate.MaxDevices / 2
	for _, n := range []int{most, most + 1} {
		text := strings.TrimSuffix(virtualConfig, "]\n")
		for i := range n - 1 {
			text += fmt.Sprintf(", \"198.51.%d.1/24@lan%d\"", i, i)
		}
		cfg, problems := config.Parse("t.toml", []byte(text+"]\n"), "fw1")
		if config.Refused(problems) != (n > most) {
			t.Errorf("%d interfaces: %v", n, problems)
		}
		if g := gateGroups(cfg)[0]; len(g.Devices)+len(g.Virtual) != 2*n {
			t.Errorf("the gate gets %d and %d", len(g.Devices), len(g.Virtual))
		}
	}
}

// placesOf says where a group's addresses are: on the interface, on the virtual device.
func (h *hands) placesOf(t *testing.T) (interfaces, virtual int) {
	t.Helper()
	g := h.groups[0].group()
	on, err := h.kernel.Held(t.Context(), g.VIP)
	if err != nil {
		t.Fatal(err)
	}
	at, err := h.kernel.Held(t.Context(), g.Placed())
	if err != nil {
		t.Fatal(err)
	}
	return len(on), len(at)
}

// An owner that gets virtual_mac by a restart takes its addresses along, if its
// lease runs; else nothing of them is left.
func TestAddressesMoveToANewVirtualDevice(t *testing.T) {
	for _, c := range []struct {
		name    string
		lease   int    // looks that it lasts
		held    string // before, with a rule
		adopted bool
		rule    bool // is left
	}{
		{"held", 9, "tbv0", true, false},
		{"lapsed", 0, "tbv0", false, false},
		{"lapsed meanwhile", 1, "tbv0", false, false},
		{"nothing there", 9, "", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			newPort(t, "tbv0")
			a := virtualHands(t)
			a.lease = &heldFor{looks: c.lease}
			a.hands.log = slog.New(slog.DiscardHandler)
			if c.held != "" {
				run(t, "ip address add 192.0.2.1/24 dev "+c.held)
			}
			run(t, "ip rule add iif tbv0 table 77 priority 77")
			t.Cleanup(func() { _ = exec.Command("ip", "rule", "delete", "priority", "77").Run() })
			a.hands.groups[0].group().VIP.Rules = []vip.Rule{{IIf: "tbv0", Table: 77, Priority: 77}}
			if got := a.composeGroup(t.Context(), 0, a.cfg.Timing).Start.LeaseHeld; got != c.adopted {
				t.Errorf("adopted: %v, want %v", got, c.adopted)
			}
			on, at := a.hands.placesOf(t)
			if on != 0 || (at == 1) != c.adopted {
				t.Errorf("%d addresses on the interface, %d on the virtual device", on, at)
			}
			if out, err := exec.Command("ip", "rule", "show", "priority", "77").Output(); err != nil || (len(out) > 0) != c.rule {
				t.Errorf("rules: %s, %v", out, err)
			}
			if err := a.hands.DropAddresses(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// heldFor is a lease that runs for so many looks.
type heldFor struct {
	leaseholder
	looks int
}

func (l *heldFor) Held(uint8) (bool, time.Duration, error) {
	l.looks--
	return l.looks >= 0, time.Second, nil
}

func TestATakeoverLeavesNoAddressOnTheInterface(t *testing.T) {
	newPort(t, "tbv0")
	a := virtualHands(t)
	run(t, "ip address add 192.0.2.1/24 dev tbv0") // by hand, say
	if err := a.hands.TakeAddresses(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if on, at := a.hands.placesOf(t); on != 0 || at != 1 {
		t.Errorf("%d addresses on the interface, %d on the virtual device", on, at)
	}
}

func TestTheGateKnowsVirtualDevices(t *testing.T) {
	cfg, _ := config.Parse("t.toml", []byte(virtualConfig), "fw1")
	g := gateGroups(cfg)[0]
	want := vip.Virtual{Device: "tv0-tbv0", Parent: "tbv0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 10}}
	if len(g.Virtual) != 1 || g.Virtual[0] != want || len(g.Devices) != 1 || g.Devices[0] != "tbv0" {
		t.Errorf("%+v", g)
	}
	if got := onParents(&cfg.Groups[0], cfg.Groups[0].Placed().Addresses); len(got) != 1 || got[0] != cfg.Groups[0].VIP.Addresses[0] {
		t.Errorf("asked for %v", got)
	}
	if got := everywhere(&cfg.Groups[0]); len(got) != 2 || speaks(&cfg.Groups[0], "tbv0") != "tv0-tbv0" || speaks(&cfg.Groups[0], "x") != "x" {
		t.Errorf("%v", got)
	}
}
