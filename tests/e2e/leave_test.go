package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// wireBoth lets the switch obey off and on until the test ends.
func (p pdu) wireBoth(r *rig) {
	p.On = func(_ int, n *lab.Node) {
		p.Set(n.Name, "on")
		if n.Powered() {
			return
		}
		if err := n.PowerOn(); err != nil {
			r.Errorf("power on %s: %v", n.Name, err)
			return
		}
		if err := n.Run(); err != nil {
			r.Errorf("start %s: %v", n.Name, err)
		}
	}
	p.wire(r)
}

// peerFence is what a node says of the device that switches its peer off.
func (r *rig) peerFence(node int) report.FenceView {
	s, err := r.Nodes[node].Status()
	if err != nil || s.Peer.Fence == nil {
		return report.FenceView{}
	}
	return *s.Peer.Fence
}

func TestFenceTakesOverFromACrash(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	seen := r.during(func() { r.Nodes[0].Kill() }, func() { r.moved(1) })
	r.outage(seen, 6*time.Second)
	r.took(1, "fence")
	f := r.peerFence(1)
	if f.LastFence == nil || !f.LastFence.Proven || f.LastFence.Grade == "" || !strings.Contains(f.LastFence.Why, "silent") {
		t.Errorf("status shows the fence as %+v", f.LastFence)
	}
	r.Nodes[1].Kill() // who, when, why and the evidence outlive the agent
	r.start(1)
	r.await("the fence is still shown", soon, func() bool { return r.peerFence(1).LastFence != nil })
	if now := r.peerFence(1).LastFence; now.Evidence != f.LastFence.Evidence || !now.At.Equal(f.LastFence.At) {
		t.Errorf("it was %+v and is %+v", f.LastFence, now)
	}
}

func TestFenceThatIsSlowTakesOverLater(t *testing.T) {
	p := newPDU(t)
	o := p.options()
	o.Timing = "fence_time = \"4s\"\nrace = \"4700ms\""
	r := boot(t, o)
	p.wire(r)
	r.try(p.Spoil("slow"))
	r.Nodes[0].Freeze()
	r.await("fw2 takes over", 4*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	r.took(1, "fence")
}

func TestFenceThatIsDeadAllowsNoTakeoverAndIsUsedWhenItComesBack(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	r.try(p.Spoil("dead"))
	r.Nodes[0].Kill()
	r.await("fw2 tells that the fence failed", 2*soon, func() bool { return r.alarmed(1, "fence-failed") })
	r.never("takeover without proof", 3*time.Second, func() bool { return r.owns(1, 0) })
	r.try(p.Mend("dead"))
	r.await("fw2 takes over", 4*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	if r.Nodes[0].Powered() {
		t.Error("fw1 still has power")
	}
}

// A welded relay reads off and conducts. No driver can know; the kernel lease
// keeps a frozen owner dark all the same, and it steps down when it wakes.
func TestFenceThatIsWeldedStillLeavesOneOwnerOfAFrozenPeer(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	r.try(p.Spoil("welded"))
	r.Nodes[0].Freeze()
	r.await("fw2 takes over", 2*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	if !r.Nodes[0].Powered() {
		t.Fatal("fw1 lost its power")
	}
	r.Nodes[0].Thaw()
	r.await("fw1 steps down", 2*soon, func() bool { return !r.owns(0, 0) && r.owns(1, 0) })
	time.Sleep(time.Second)
	if r.owns(0, 0) {
		t.Error("fw1 took it back")
	}
}

func TestFenceThatWasNeverVerifiedIsNotUsedUntilItIs(t *testing.T) {
	p := newPDU(t)
	p.Verify = true
	r := bootTo(t, p.options(), "STANDBY")
	p.wireBoth(r)
	r.await("both tell that the wiring is not verified", soon, func() bool { return r.alarmed(0, "fence-unverified") && r.alarmed(1, "fence-unverified") })
	if _, err := r.Nodes[0].Order(control.Order{Command: control.OrderFenceVerify, By: "test"}); err == nil || !strings.Contains(err.Error(), "maintenance") {
		t.Errorf("verification of a peer in service: %v", err)
	}
	r.Nodes[0].Kill()
	r.never("takeover by a fence that nobody verified", 4*time.Second, func() bool { return r.owns(1, 0) || p.Asked("fw1") || !r.Nodes[0].Powered() })
	r.start(0)
	r.await("fw1 owns the group again", 3*soon, func() bool { return r.owns(0, 0) && r.in(1, 0, "STANDBY") })

	r.verify(0, 1)
	r.await("fw1 is content", soon, func() bool { return !r.alarmed(0, "fence-unverified") })
	r.order(1, control.Order{Command: control.OrderMaintenanceOff})
	r.await("fw2 takes the group", 2*soon, func() bool { // it has just booted
		_, err := r.Nodes[0].Order(control.Order{Command: control.OrderHandover, Group: "g1", By: "test"})
		return err == nil
	})
	r.await("fw1, which may fence, is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
	if v := r.peerFence(0).Verified; v == nil || v.OffMS <= 0 || v.Wiring == "" {
		t.Errorf("kept %+v", v)
	}
	r.verify(1, 0)
	r.order(0, control.Order{Command: control.OrderMaintenanceOff})
	r.await("fw1 knows its verification after its power was cut", 2*soon, func() bool { return r.in(0, 0, "ARMED") && r.peerFence(0).Verified != nil })
}

// verify takes the peer into maintenance and verifies the wiring.
func (r *rig) verify(node, peer int) {
	r.Helper()
	r.order(peer, control.Order{Command: control.OrderMaintenanceOn, Reason: "verify"})
	r.await("the peer is in maintenance", soon, func() bool {
		s, err := r.Nodes[node].Status()
		return err == nil && s.Groups[0].PeerState == "MAINTENANCE" && s.Groups[0].GateOpen
	})
	m := r.mark()
	r.Logf("%s", r.order(node, control.Order{Command: control.OrderFenceVerify, Reason: "new wiring"}))
	r.await("the peer is back, in maintenance", 3*soon, func() bool { return r.in(peer, 0, "MAINTENANCE") && r.owns(node, 0) })
	for _, e := range r.events(node, m[node]) {
		if e.Kind == "role" && e.From != "" && !strings.Contains("ACTIVE SOLO", e.To) {
			r.Errorf("the owner did not stay: %+v", e)
		}
	}
}

func TestFenceGivesThePeerItsPowerBackWhereItMay(t *testing.T) {
	p := newPDU(t)
	p.Repower, p.Budget = true, 3
	r := boot(t, p.options())
	p.wireBoth(r)
	r.both.localOnly()
	seen := r.during(func() { r.Nodes[0].Kill() }, func() { r.moved(1) })
	r.outage(seen, 6*time.Second)
	off := time.Now()
	r.await("fw1 has power again and is armed", 6*soon, func() bool { return r.Nodes[0].Powered() && r.states(0, "ARMED", "ACTIVE") })
	if d := time.Since(off); d < 10*time.Second {
		t.Errorf("it was switched on after %v", d)
	}
}

func TestFenceBeyondItsBudgetIsAnAlarmAndNoTakeover(t *testing.T) {
	p := newPDU(t)
	p.Budget = 1
	r := boot(t, p.options())
	p.wire(r)
	r.Nodes[0].Kill()
	r.moved(1)
	p.Set("fw1", "on")
	r.reboot(0)
	r.await("fw1 is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
	r.await("fw2 says that its budget is used up", soon, func() bool { return r.alarmed(1, "fence-budget") })
	r.order(1, control.Order{Command: control.OrderHandover, Group: "g1"})
	r.await("fw2 stands by, not armed", 2*soon, func() bool { return r.states(0, "ACTIVE", "STANDBY") })
	r.halt(1) // the count is kept over a restart
	r.start(1)
	r.await("fw2 stands by, not armed", 2*soon, func() bool { return r.states(0, "ACTIVE", "STANDBY") })
	r.Nodes[0].Kill()
	r.never("a fence beyond the budget", 4*time.Second, func() bool { return r.owns(1, 0) || !r.Nodes[0].Powered() })
	r.order(1, control.Order{Command: control.OrderResume})
	r.await("fw2 takes over once an operator allows it", 4*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
}
