package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

func TestLeaseModeTakesOverFromADeadOwner(t *testing.T) {
	r := boot(t, lab.Options{Mode: "lease"})
	seen := r.during(func() { r.try(r.Nodes[0].PowerOff()) }, func() { r.moved(1) })
	r.outage(seen, 2*time.Second)
	r.took(1, "lease")
}

func TestLeaseModeOwnerThatIsNotAcknowledgedStepsDown(t *testing.T) {
	r := boot(t, lab.Options{Mode: "lease"})
	seen := r.during(func() {
		r.CutSerial()
		r.try(r.CutEthernet())
	}, func() {
		r.await("fw1 gave up", soon, func() bool { return r.in(0, 0, "ISOLATED") })
		r.moved(1)
	})
	r.outage(seen, 2*time.Second)
	r.took(1, "lease")
	r.HealSerial()
	r.try(r.HealEthernet())
	r.await("fw1 is armed", soon, func() bool { return r.states(0, "ARMED", "") && r.owns(1, 0) })
	r.await("all alarms are over", soon, func() bool { return r.quiet(0) && r.quiet(1) })
}

// The price of mode lease: a standby that dies takes the service with it.
func TestLeaseModeDeadStandbyCostsTheService(t *testing.T) {
	r := boot(t, lab.Options{Mode: "lease"})
	r.try(r.Nodes[1].PowerOff())
	r.await("fw1 gave up", soon, func() bool { return r.in(0, 0, "ISOLATED") })
	r.reboot(1)
	r.await("one of the two serves again", 2*soon, func() bool { return r.owns(0, 0) != r.owns(1, 0) })
	r.await("the client reaches the address", soon, r.reached)
}

func TestThousandAddressesMoveTogether(t *testing.T) {
	const n = 1000
	r := boot(t, lab.Options{VIPs: n})
	r.await("fw1 answers for all addresses", soon, func() bool { return r.sweep(n) == n })
	began := time.Now()
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.moved(1)
	r.await("fw2 answers for all addresses", soon, func() bool { return r.sweep(n) == n })
	t.Logf("handover: all answer after %v", time.Since(began))
	last, err := r.Observe(lab.VIP(n-1), time.Millisecond)
	r.try(err)
	defer last.Stop()
	began = time.Now()
	r.try(r.Nodes[1].PowerOff())
	r.await("fw1 answers for all addresses", soon, func() bool { return r.sweep(n) == n })
	t.Logf("power-off: all answer after %v", time.Since(began))
	if both, asked := last.BothActive(0, last.Now()); both != 0 || asked == 0 {
		t.Errorf("both nodes answered for the last address for %v of %d questions", both, asked)
	}
}

func TestIPv6AddressMovesToo(t *testing.T) {
	r := boot(t, lab.Options{IPv6: true})
	if _, err := r.Client.Run("ip", "-6", "addr", "add", "fd77::100/64", "dev", "eth0", "nodad"); err != nil {
		t.Skip("this kernel has no IPv6:", err)
	}
	r.await("the client reaches fw1 by IPv6", soon, r.reached6)
	mac := r.neighbour6()
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.moved(1)
	took := r.await("the client reaches fw2 by IPv6", soon, func() bool { return r.reached6() && r.neighbour6() == r.Nodes[1].MAC.String() })
	t.Logf("moved from %s within %v", mac, took)
	r.Nodes[1].Kill()
	r.moved(0)
	r.await("the client reaches fw1 by IPv6", soon, func() bool { return r.reached6() && r.neighbour6() == r.Nodes[0].MAC.String() })
}

func TestKeysRotateUnderTraffic(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	file := r.Dir + "/keys"
	rotate := func(what string, args ...string) {
		at := r.mark()
		out, err := r.Client.Run(r.Binary, append([]string{"keygen", "--out", file}, args...)...)
		if err != nil {
			t.Fatal(out, err)
		}
		r.await(what+" is taken up by both", 2*soon, func() bool { return r.rekeyed(0, at[0]) && r.rekeyed(1, at[1]) })
	}
	seen := r.during(func() {
		rotate("a second key", "--add")
		rotate("its use", "--activate", "2")
		rotate("the end of the first", "--remove", "1")
		time.Sleep(time.Second)
	})
	r.outage(seen, 20*time.Millisecond)
	r.unmoved(since)
	for i := range r.Nodes {
		for _, e := range r.events(i, since[i]) {
			if e.Kind == "alarm" || e.Kind == "link" {
				t.Errorf("fw%d noticed the rotation: %+v", i+1, e)
			}
		}
		for _, kind := range []string{"serial", "multicast"} {
			if d := r.drops(i, kind); d["key"]+d["mac"] > 0 {
				t.Errorf("fw%d refused frames on %s: %v", i+1, kind, d)
			}
		}
	}
}

// rekeyed says whether a node took up a changed key file.
func (r *rig) rekeyed(node int, after uint64) bool {
	events, err := r.Nodes[node].Events(after)
	if err != nil {
		return false
	}
	for _, e := range events {
		if strings.Contains(e.Seen, "key file changed") {
			return true
		}
	}
	return false
}

func TestBrokenKeyFileKeepsTheKeysInUse(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	good, err := os.ReadFile(r.Dir + "/keys")
	r.try(err)
	r.try(os.WriteFile(r.Dir+"/keys", []byte("active 1\nkey 1 short\n"), 0o600))
	r.await("both tell of it", soon, func() bool { return r.alarmed(0, "key-file") && r.alarmed(1, "key-file") })
	if r.alarmed(0, "link/") || r.alarmed(1, "link/") {
		t.Error("a link suffers from it")
	}
	r.try(os.WriteFile(r.Dir+"/keys", good, 0o600))
	r.await("the alarm is over", soon, func() bool { return r.quiet(0) && r.quiet(1) })
	r.unmoved(since)
}

func TestConfigurationsThatDifferAreAnAlarmAndNoTakeover(t *testing.T) {
	r := boot(t, lab.Options{})
	file := r.Nodes[1].ConfigPath()
	good, err := os.ReadFile(file)
	r.try(err)
	r.halt(1)
	other := strings.Replace(string(good), `"10.77.1.1/16@eth0",`, `"10.77.1.1/16@eth0", "10.77.1.2/16@eth0",`, 1)
	r.try(os.WriteFile(file, []byte(other), 0o600))
	r.start(1)
	r.await("both tell of it", soon, func() bool { return r.alarmed(0, "config-mismatch") && r.alarmed(1, "config-mismatch") })
	if !r.owns(0, 0) {
		t.Errorf("the owner lost the group by it: %s", r.show(0))
	}
	s, err := r.Nodes[1].Status()
	if err != nil || s.Peer.DigestOK || s.Groups[0].CanTakeOver {
		t.Errorf("fw2 says config_agrees %v, can_take_over %v, %v", s.Peer.DigestOK, s.Groups[0].CanTakeOver, err)
	}
	r.halt(1)
	r.try(os.WriteFile(file, good, 0o600))
	r.start(1)
	r.await("the alarm is over", soon, func() bool {
		return r.states(0, "ACTIVE", "ARMED") && !r.alarmed(0, "config") && !r.alarmed(1, "config")
	})
}
