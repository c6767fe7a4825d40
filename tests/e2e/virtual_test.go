package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

const (
	virtualMAC  = "00:00:5e:00:01:0a"
	virtualName = "tv0-eth0"
)

// bootVirtual starts a pair whose first group has a virtual hardware address. The
// client believes in that address for good and in no announcement, and the
// switch counts what comes from it at each node's port.
func bootVirtual(t *testing.T) *rig {
	t.Helper()
	l, err := lab.New(lab.Options{
		Binary: binary, Profile: "slow", IPv6: true, Extra: looking,
		Group: fmt.Sprintf("virtual_mac = %q\n", virtualMAC),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, Lab: l, slow: lab.WatchStalls(nil)}
	t.Cleanup(r.end)
	for node := range 2 {
		port := r.Nodes[node].Name
		_, err := r.LAN.Run("nft", fmt.Sprintf("add table netdev %[1]s; add chain netdev %[1]s in { type filter hook ingress device %[1]s priority 0; }; "+
			"add rule netdev %[1]s in ether saddr %[2]s counter", port, virtualMAC))
		r.try(err)
	}
	_, err = r.Client.Run("ip", "-6", "addr", "add", "fd77::100/64", "dev", "eth0", "nodad")
	r.try(err)
	for _, ip := range []string{lab.VIP(0).String(), "fd77::1:1"} {
		_, err := r.Client.Run("ip", "neigh", "replace", ip, "lladdr", virtualMAC, "nud", "permanent", "dev", "eth0")
		r.try(err)
	}
	if err := l.Boot(); err != nil {
		t.Fatal(err)
	}
	r.await("fw1 owns the group, fw2 is ARMED", 60*time.Second, func() bool { return r.states(0, "ACTIVE", "ARMED") })
	if r.probe, err = l.Probe(lab.VIP(0), 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return r
}

// spoken is how many frames came from the virtual hardware address at a node's port.
func (r *rig) spoken(node int) int {
	r.Helper()
	out, err := r.LAN.Run("nft", "list", "table", "netdev", r.Nodes[node].Name)
	r.try(err)
	_, rest, _ := strings.Cut(out, "counter packets ")
	n, err := strconv.Atoi(strings.Fields(rest + " x")[0])
	r.try(err)
	return n
}

// served waits until the client reaches both addresses at a node, which alone
// speaks from the virtual hardware address.
func (r *rig) served(owner int) {
	r.Helper()
	r.await("the client reaches the address", 30*time.Second, r.reached)
	r.await("and the other one", 30*time.Second, r.reached6)
	other := r.spoken(1 - owner)
	time.Sleep(time.Second)
	if r.spoken(owner) == 0 {
		r.Errorf("fw%d serves, and nothing comes from the virtual hardware address", owner+1)
	}
	if n := r.spoken(1 - owner); n != other {
		r.Errorf("fw%d does not own the group: %d frames came from the virtual hardware address", 2-owner, n-other)
	}
}

// rattle makes a box that does not own the group want to speak.
func (r *rig) rattle(node int) {
	r.Helper()
	before := r.spoken(node)
	box := r.Nodes[node].Space
	for _, line := range []string{
		"ip link set " + virtualName + " down", "ip link set " + virtualName + " up",
		"ip address replace fe80::7777/64 dev " + virtualName,
		"ip address replace 10.77.9.9/16 dev " + virtualName,
		"ping -c 1 -W 1 -I " + virtualName + " 10.77.0.250",
		"ping -c 1 -W 1 -I " + virtualName + " fe80::1234",
		"ip address del 10.77.9.9/16 dev " + virtualName,
		"ip address del fe80::7777/64 dev " + virtualName,
	} {
		words := strings.Fields(line)
		if out, err := box.Run(words[0], words[1:]...); err != nil && words[0] == "ip" {
			r.Errorf("%s: %v: %s", line, err, out)
		}
	}
	if n := r.spoken(node) - before; n != 0 {
		r.Errorf("fw%d: %d frames left from the virtual hardware address with the gate closed", node+1, n)
	}
}

func (r *rig) virtualUp(node int) bool {
	out, err := r.Nodes[node].Space.Run("ip", "link", "show", "dev", virtualName, "up")
	return err == nil && strings.Contains(out, virtualName)
}

func TestAVirtualHardwareAddressMovesWithTheGroupAndIsNeverTwice(t *testing.T) {
	r := bootVirtual(t)
	r.served(0)
	if r.virtualUp(1) {
		t.Error("the standby's device is up")
	}
	r.rattle(1)
	seen := r.during(func() {
		r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
		r.await("fw2 owns the group", 30*time.Second, func() bool { return r.owns(1, 0) })
		r.await("the client reaches the address", 30*time.Second, r.reached)
	})
	t.Logf("handover: outage %v for a client that heeds no announcement", seen.Outage)
	r.served(1)
	r.await("fw1's device is down", 10*time.Second, func() bool { return !r.virtualUp(0) })
	r.await("fw1 is ARMED", 60*time.Second, func() bool { return r.in(0, 0, "ARMED") })

	r.Nodes[1].Freeze()
	r.await("fw1 owns the group", 60*time.Second, func() bool { return r.owns(0, 0) })
	r.served(0)
	r.rattle(1) // stopped, its device up, its lease lapsed
	r.served(0)
	r.Nodes[1].Thaw()
	r.await("fw2 is ARMED", 60*time.Second, func() bool { return r.in(1, 0, "ARMED") })
	r.await("fw2's device is down", 10*time.Second, func() bool { return !r.virtualUp(1) })

	time.Sleep(6 * time.Second) // a look of the standby
	for node := range 2 {
		if text := r.upstream(node); text != "" {
			t.Errorf("fw%d: %s", node+1, text)
		}
	}

	r.Nodes[0].Kill()
	r.await("fw2 owns the group", 60*time.Second, func() bool { return r.owns(1, 0) })
	r.served(1)
	r.rattle(0)
	r.try(r.Nodes[0].Run())
	r.await("fw1 is ARMED", 60*time.Second, func() bool { return r.in(0, 0, "ARMED") })
	if r.virtualUp(0) {
		t.Error("the device that a killed agent left is up")
	}
	r.served(1)

	since := r.mark()
	seen = r.during(func() {
		r.Nodes[1].Keep()
		r.start(1)
	}, func() {
		r.await("both are as they were, in a new session", 60*time.Second, func() bool {
			s, err := r.Nodes[1].Status()
			return err == nil && s.Peer.TwoWay && r.states(0, "ARMED", "ACTIVE")
		})
	})
	t.Logf("restart of the owner: outage %v", seen.Outage)
	if seen.Outage > 100*time.Millisecond {
		t.Error("the next agent did not adopt the device as it was")
	}
	for _, c := range r.changes(since) {
		if strings.HasPrefix(c, "fw1") {
			t.Errorf("the standby moved: %s", c)
		}
	}
	r.served(1)

	r.try(r.Nodes[0].Stop(30 * time.Second))
	if out, err := r.Nodes[0].Space.Run("ip", "link", "show", "dev", virtualName); err == nil {
		t.Errorf("an orderly end left %s", out)
	}
	r.served(1)
}

// on says what of the first group's addresses is on a device of a node.
func (r *rig) on(node int, device string) (out []string) {
	r.Helper()
	text, err := r.Nodes[node].Space.Run("ip", "-o", "address", "show", "dev", device)
	if err != nil {
		return []string{"no device"}
	}
	for _, a := range []string{lab.VIP(0).String(), "fd77::1:1", linkLocal} {
		if strings.Contains(text, " "+a+"/") {
			out = append(out, a)
		}
	}
	return out
}

const linkLocal = "fe80::200:5eff:fe00:10a" // follows from virtualMAC

// again restarts an agent as an upgrade does, with another configuration.
func (r *rig) again(node int, text string) {
	r.Helper()
	r.rewrite(node, text)
	r.Nodes[node].Keep()
	r.start(node)
}

// The order that the README gives: the standby first, then the owner, in place.
// What watches the pair throughout holds that never two answer, nodes or devices.
func TestAVirtualHardwareAddressIsSwitchedOnInARunningPair(t *testing.T) {
	r := boot(t, lab.Options{Profile: "slow", IPv6: true})
	plain := r.file(0)
	virtual := strings.Replace(plain, "name = \"g1\"\n", fmt.Sprintf("name = \"g1\"\nvirtual_mac = %q\n", virtualMAC), 1)
	change := func(text string) lab.Report {
		t.Helper()
		return r.during(func() {
			r.again(1, text)
			r.await("fw2 waits while the files differ", 30*time.Second, func() bool { return !r.agree() && r.states(0, "ACTIVE", "STANDBY") })
			if _, err := r.Nodes[0].Order(control.Order{Command: control.OrderHandover, By: "test"}); err == nil {
				t.Error("a handover between them was not refused")
			}
			r.again(0, text)
		}, func() {
			r.await("both agree, one owns and one is armed", 60*time.Second, func() bool {
				return r.agree() && (r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE"))
			})
			r.await("the client reaches the address", 30*time.Second, r.reached)
		})
	}
	both := fmt.Sprint([]string{lab.VIP(0).String(), "fd77::1:1"})

	seen := change(virtual)
	t.Logf("switched on: outage %v, %d of %d probes lost", seen.Outage, seen.Lost, seen.Sent)
	if !r.owns(0, 0) || seen.Outage > time.Second {
		t.Errorf("the owner did not take its addresses along: fw1 %s, fw2 %s", r.show(0), r.show(1))
	}
	if got := r.on(0, "eth0"); got != nil {
		t.Errorf("left on the interface: %v", got)
	}
	if got := fmt.Sprint(r.on(0, virtualName)); got != fmt.Sprint([]string{lab.VIP(0).String(), "fd77::1:1", linkLocal}) {
		t.Errorf("on the virtual device: %v", got)
	}
	if e, v := r.on(1, "eth0"), r.on(1, virtualName); e != nil || v != nil {
		t.Errorf("the standby has %v and %v", e, v)
	}
	if out, err := r.Client.Run("ip", "neigh", "get", lab.VIP(0).String(), "dev", "eth0"); err != nil || !strings.Contains(out, virtualMAC) {
		t.Errorf("the client knows the address as %s, %v", out, err)
	}
	if _, err := r.Client.Run("ping", "-c", "1", "-W", "3", linkLocal+"%eth0"); err != nil {
		t.Errorf("the address of the link does not answer: %v", err)
	}

	seen = change(plain)
	t.Logf("switched off: outage %v, %d of %d probes lost", seen.Outage, seen.Lost, seen.Sent)
	for node := range 2 {
		want := "[]"
		if r.owns(node, 0) {
			want = both
		}
		if got, device := fmt.Sprint(r.on(node, "eth0")), r.on(node, virtualName); got != want || fmt.Sprint(device) != "[no device]" {
			t.Errorf("fw%d has %s on the interface, want %s, and %v on the virtual one", node+1, got, want, device)
		}
	}
}
