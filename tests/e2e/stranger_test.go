package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// in runs a program inside a node's box, as a stranger with root's rights.
func (r *rig) at(node int, name string, args ...string) string {
	r.Helper()
	out, err := r.Nodes[node].Space.Run(name, args...)
	r.try(err)
	return out
}

// holds says whether a box's kernel has the address.
func (r *rig) holds(node, vip int) bool {
	out, err := r.Nodes[node].Space.Run("ip", "-o", "addr", "show", "dev", "eth0", "to", lab.VIP(vip).String())
	return err == nil && out != ""
}

func TestDeletedAddressIsPutBack(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	seen := r.during(func() { r.at(0, "ip", "addr", "del", lab.VIP(0).String()+"/16", "dev", "eth0") }, func() {
		took := r.await("the address is back", soon, func() bool { return r.holds(0, 0) })
		t.Logf("back after %v", took)
		r.await("the client reaches it", soon, r.reached)
	})
	r.outage(seen, 500*time.Millisecond)
	r.unmoved(since)
	told := false
	for _, e := range r.events(0, since[0]) {
		told = told || e.Kind == "address" && strings.Contains(e.Seen, lab.VIP(0).String())
	}
	if !told {
		t.Error("no event tells of it")
	}
	r.await("no alarm stays", soon, func() bool { return r.quiet(0) })
}

func TestAddressThatAStrangerGivesTheStandbyStaysDark(t *testing.T) {
	r := boot(t, lab.Options{})
	r.at(1, "ip", "addr", "add", lab.VIP(0).String()+"/16", "dev", "eth0")
	time.Sleep(500 * time.Millisecond) // the rig's observer judges
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.moved(1)
}

func TestDeviceThatGoesDownAndUpServesAgain(t *testing.T) {
	r := boot(t, lab.Options{IPv6: true})
	r.at(0, "ip", "link", "set", "eth0", "down")
	time.Sleep(200 * time.Millisecond)
	r.at(0, "ip", "link", "set", "eth0", "up")
	r.await("one node serves", 2*soon, func() bool { return r.owns(0, 0) != r.owns(1, 0) && r.reached() })
}

// gateBack says whether the gate's rules are in a box's kernel.
func (r *rig) gateBack(node int) bool {
	out, err := r.Nodes[node].Space.Run("nft", "list", "ruleset")
	return err == nil && strings.Contains(out, "hook ingress")
}

func TestFlushedGateIsRestored(t *testing.T) {
	for _, c := range []struct {
		name string
		node int
	}{{"owner", 0}, {"standby", 1}} {
		t.Run(c.name, func(t *testing.T) {
			r := boot(t, lab.Options{})
			if !r.gateBack(c.node) {
				t.Fatal("there is no gate to flush")
			}
			seen := r.during(func() { r.at(c.node, "nft", "flush", "ruleset") }, func() {
				took := r.await("the gate is back", soon, func() bool { return r.gateBack(c.node) })
				t.Logf("back after %v", took)
				r.await("one owner, one armed", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE") })
				r.await("the client reaches the address", soon, r.reached)
			})
			r.outage(seen, 500*time.Millisecond)
			// What was restored must still be a gate: a frozen owner is dark.
			owner := 0
			if r.owns(1, 0) {
				owner = 1
			}
			r.Nodes[owner].Freeze()
			r.moved(1 - owner)
			r.Nodes[owner].Thaw()
			r.await("the frozen one is armed", 2*soon, func() bool { return r.in(owner, 0, "ARMED") })
		})
	}
}

func TestRulesOfOthersSurviveTheGate(t *testing.T) {
	r := boot(t, lab.Options{})
	r.at(0, "nft", "add table inet firewall; add chain inet firewall in { type filter hook input priority 0; policy accept; }")
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.moved(1)
	r.halt(0)
	if out := r.at(0, "nft", "list", "ruleset"); !strings.Contains(out, "table inet firewall") {
		t.Errorf("the firewall's table is gone:\n%s", out)
	}
}

func TestForeignMACForTheAddressIsAnAlarm(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	tap, err := r.Client.Tap("eth0")
	r.try(err)
	defer tap.Close()
	dev, err := r.clientDevice()
	r.try(err)
	vip := lab.VIP(0).As4()
	claim := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	claim = append(claim, dev.HardwareAddr...)
	claim = append(claim, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2)
	claim = append(claim, dev.HardwareAddr...)
	claim = append(claim, vip[:]...)
	claim = append(claim, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	claim = append(claim, vip[:]...)
	r.try(tap.Send(claim))
	r.await("the owner tells of it", soon, func() bool { return r.alarmed(0, "foreign-mac") })
	r.unmoved(since)
}
