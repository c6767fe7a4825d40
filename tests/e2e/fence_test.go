package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A pdu is the laboratory's power switch, for the length of a test.
type pdu struct{ *lab.PDU }

func newPDU(t *testing.T) pdu {
	t.Helper()
	p, err := lab.NewPDU(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return pdu{p}
}

// options are those of a pair that is fenced by the switch.
func (p pdu) options() lab.Options { return p.Options(300 * time.Millisecond) }

// wire lets the switch obey until the test ends: before the boxes are taken apart,
// one of which may still have the other one switched off.
func (p pdu) wire(r *rig) {
	r.Cleanup(p.Stop)
	p.Wire(r.Lab, func(_ int, n *lab.Node) {
		if err := n.PowerOff(); err != nil {
			r.Errorf("power off %s: %v", n.Name, err)
		}
		p.Set(n.Name, "off")
	})
}

func TestFenceTakesOverOnlyWithProof(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	seen := r.during(func() { r.Nodes[0].Freeze() }, func() { r.await("fw2 is alone", 2*soon, func() bool { return r.states(0, "", "SOLO") }) }, func() { r.moved(1) })
	r.outage(seen, 6*time.Second)
	r.took(1, "fence")
	if r.Nodes[0].Powered() {
		t.Error("fw1 still has power")
	}
	p.Set("fw1", "on")
	r.reboot(0)
	r.await("fw1 is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
}

func TestFenceThatDoesNotSwitchAllowsNoTakeover(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options()) // not wired: off succeeds, and the outlet stays on
	r.Nodes[0].Kill()
	r.await("fw2 tells that the fence failed", 2*soon, func() bool { return r.alarmed(1, "fence-failed") })
	r.never("takeover without proof", 1500*time.Millisecond, func() bool { return r.owns(1, 0) })
	if !p.Asked("fw1") {
		t.Error("nobody gave the off command")
	}
	p.wire(r) // now it obeys
	r.await("fw2 takes over with proof", 3*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	r.took(1, "fence")
}

func TestFenceThatIsUnreachableIsAnAlarmBeforeItIsNeeded(t *testing.T) {
	p := newPDU(t)
	if err := p.Spoil("broken"); err != nil {
		t.Fatal(err)
	}
	r := boot(t, p.options())
	r.await("both tell that the device does not answer", soon, func() bool { return r.alarmed(0, "fence-device") && r.alarmed(1, "fence-device") })
	r.Nodes[0].Kill()
	r.await("fw2 tells that the fence failed", 2*soon, func() bool { return r.alarmed(1, "fence-failed") })
	r.never("takeover without proof", time.Second, func() bool { return r.owns(1, 0) })
}

func TestFenceWiredToTheWrongOutletIsAnAlarm(t *testing.T) {
	p := newPDU(t)
	p.Set("fw2", "off")
	r := boot(t, p.options())
	r.await("fw1 tells that the outlet reads off while fw2 beats", soon, func() bool { return r.alarmed(0, "fence-wiring") })
}

func TestFenceLeavesOneNodeWhenAllLinksAreCut(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	since := r.mark()
	seen := r.during(func() {
		r.CutSerial()
		r.try(r.CutEthernet())
	}, func() { r.await("fw1 is alone", 2*soon, func() bool { return r.states(0, "SOLO") }) })
	r.outage(seen, 20*time.Millisecond)
	if r.Nodes[1].Powered() || !r.Nodes[0].Powered() {
		t.Error("the owner should have switched its standby off, and nobody else")
	}
	for _, e := range r.events(0, since[0]) {
		if e.Kind == "role" && !strings.Contains("ACTIVE SOLO", e.To) {
			t.Errorf("the owner did not stay: %+v", e)
		}
	}
}

func TestFenceOfADeadStandbyCostsTheOwnerNothing(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	seen := r.during(func() { r.try(r.Nodes[1].PowerOff()) }, func() {
		r.await("fw1 is alone", 2*soon, func() bool { return r.states(0, "SOLO") })
	})
	r.outage(seen, 20*time.Millisecond)
}
