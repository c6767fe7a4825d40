package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// cutAlone cuts one path for a while and holds that this costs nothing but an
// alarm on both nodes, which goes with its cause.
func cutAlone(t *testing.T, link string, cut, heal func(r *rig)) {
	t.Helper()
	r := boot(t, lab.Options{})
	since := r.mark()
	seen := r.during(func() { cut(r) }, func() {
		took := r.await("both nodes raise the alarm", 1250*time.Millisecond, func() bool { return r.alarmed(0, "link/"+link) && r.alarmed(1, "link/"+link) })
		t.Logf("alarm after %v", took)
		time.Sleep(500 * time.Millisecond)
		heal(r)
		r.await("all alarms are over", soon, func() bool { return r.quiet(0) && r.quiet(1) })
	})
	r.outage(seen, 20*time.Millisecond)
	r.unmoved(since)
}

func TestSerialCutAloneIsOnlyAnAlarm(t *testing.T) {
	cutAlone(t, "serial", func(r *rig) { r.CutSerial() }, func(r *rig) { r.HealSerial() })
}

func TestEthernetCutAloneIsOnlyAnAlarm(t *testing.T) {
	cutAlone(t, "multicast", func(r *rig) { r.try(r.CutEthernet()) }, func(r *rig) { r.try(r.HealEthernet()) })
}

func TestSerialAdapterThatVanishesAndComesBackIsOnlyAnAlarm(t *testing.T) {
	cutAlone(t, "serial", func(r *rig) { r.Serial.Vanish(0) }, func(r *rig) { r.try(r.Serial.Appear(0)) })
}

func TestOneDeadWireOfTheSerialCableIsToldApart(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	r.Serial.Cut(linktest.AToB)
	r.await("fw1 is not heard on serial", soon, func() bool { return r.link(0, "serial") == "one-way-in" })
	r.await("fw2 does not hear on serial", soon, func() bool { return r.link(1, "serial") == "one-way-out" })
	r.Serial.Restore()
	r.await("all alarms are over", soon, func() bool { return r.quiet(0) && r.quiet(1) })
	r.unmoved(since)
}

// link returns the state of a node's link of that type.
func (r *rig) link(node int, kind string) string {
	s, err := r.Nodes[node].Status()
	if err != nil {
		return ""
	}
	for _, l := range s.Links {
		if l.Type == kind {
			return l.State
		}
	}
	return ""
}

func TestNoisySerialLineDisturbsNobody(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	seen := r.during(func() {
		r.Serial.Corrupt(0.003, 1) // three frames of four are broken
		time.Sleep(2 * time.Second)
		r.Serial.Restore()
	}, func() { r.await("all alarms are over", soon, func() bool { return r.quiet(0) && r.quiet(1) }) })
	r.outage(seen, 20*time.Millisecond)
	r.unmoved(since)
	if n := r.drops(0, "serial")["unreadable"]; n == 0 {
		t.Error("no broken frame was counted")
	}
}

// drops returns what a node counted as refused on its link of that type.
func (r *rig) drops(node int, kind string) map[string]uint64 {
	s, err := r.Nodes[node].Status()
	if err != nil {
		return nil
	}
	for _, l := range s.Links {
		if l.Type == kind {
			return l.Drops
		}
	}
	return nil
}

func TestBothLinksCutWhileBothServeTheLANMovesNothing(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	seen := r.during(func() {
		r.CutSerial()
		r.try(r.CutEthernet())
		r.await("the address probe vetoes", soon, func() bool { return r.alarmed(1, "probe-veto") })
		time.Sleep(2 * time.Second)
		r.HealSerial()
		r.try(r.HealEthernet())
	}, func() {
		r.await("fw1 owns, fw2 is armed, all alarms are over", soon, func() bool {
			return r.states(0, "ACTIVE", "ARMED") && r.quiet(0) && r.quiet(1)
		})
	})
	r.outage(seen, 20*time.Millisecond)
	for _, c := range r.changes(since) {
		if strings.Contains(c, "fw1/") || strings.Contains(c, "-> ACTIVE") {
			t.Errorf("the owner changed: %s", c)
		}
	}
}

// A box that is cut off from everything keeps what nobody else can see; when
// its cables are plugged in again, one of the two gives way before the LAN
// hears both.
func TestNodeCutFromEverythingHealsToOneOwner(t *testing.T) {
	r := boot(t, lab.Options{})
	r.CutSerial()
	r.try(r.CutEthernet())
	r.try(r.Nodes[0].CutLAN())
	began := time.Now()
	r.moved(1)
	t.Logf("fw2 serves after %v", time.Since(began))
	r.HealSerial()
	r.try(r.HealEthernet())
	r.await("one owner", soon, func() bool { return r.owns(0, 0) != r.owns(1, 0) })
	r.try(r.Nodes[0].HealLAN())
	r.await("the other one is armed", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE") })
	took := r.await("the client reaches the address", soon, r.reached)
	t.Logf("reached %v after the heal", took)
}

// An owner that still hears but is not heard must be dark before the other
// takes the group.
func TestOwnerThatIsNotHeardGivesWay(t *testing.T) {
	r := boot(t, lab.Options{})
	var heal func() error
	seen := r.during(func() {
		var err error
		r.Serial.Cut(linktest.AToB)
		heal, err = r.Deafen(r.HA, "fw1")
		r.try(err)
	}, func() { r.moved(1) })
	r.outage(seen, 1500*time.Millisecond)
	if !r.alarmed(0, "one-way") && !r.alarmed(1, "one-way") && r.link(0, "multicast") != "one-way-in" {
		t.Errorf("one-way loss is not told: fw1 %s, fw2 %s", r.show(0), r.show(1))
	}
	r.Serial.Restore()
	r.try(heal())
	r.await("one owns, the other is armed", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE") })
	r.await("all alarms are over", soon, func() bool { return r.quiet(0) && r.quiet(1) })
}

func TestStandbyThatIsNotHeardMovesNothing(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	var heal func() error
	seen := r.during(func() {
		var err error
		r.Serial.Cut(linktest.BToA)
		heal, err = r.Deafen(r.HA, "fw2")
		r.try(err)
		time.Sleep(1500 * time.Millisecond)
		r.Serial.Restore()
		r.try(heal())
	}, func() {
		r.await("fw2 is armed, all alarms are over", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") && r.quiet(0) && r.quiet(1) })
	})
	r.outage(seen, 20*time.Millisecond)
	for _, c := range r.changes(since) {
		if strings.Contains(c, "fw1/") || strings.Contains(c, "-> ACTIVE") {
			t.Errorf("the owner changed: %s", c)
		}
	}
}

func TestOwnerWithoutLANDoesNotShareTheAddress(t *testing.T) {
	r := boot(t, lab.Options{})
	r.try(r.Nodes[0].CutLAN())
	time.Sleep(time.Second)
	r.try(r.Nodes[0].HealLAN())
	took := r.await("the client reaches the address", soon, r.reached)
	t.Logf("reached %v after the heal", took)
}
