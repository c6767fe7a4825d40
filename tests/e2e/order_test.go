package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

func TestHandoverBothWays(t *testing.T) {
	for name, o := range map[string]lab.Options{"default": {}, "fast": fast, "fence": newPDU(t).options()} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, o)
			seen := r.during(func() { t.Log(r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})) }, func() { r.moved(1) })
			r.outage(seen, 200*time.Millisecond)
			r.took(1, "released")
			r.await("fw1 is armed", soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
			seen = r.during(func() { t.Log(r.order(0, control.Order{Command: control.OrderTake, Reason: "test"})) }, func() { r.moved(0) })
			r.outage(seen, 200*time.Millisecond)
			r.took(0, "released")
			r.await("fw2 is armed", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") })
		})
	}
}

func TestHandoverIsTheOwnersToGive(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	if text, err := r.Nodes[1].Order(control.Order{Command: control.OrderHandover, By: "test"}); err == nil {
		t.Errorf("the standby handed over what it does not own: %s", text)
	}
	if text, err := r.Nodes[0].Order(control.Order{Command: control.OrderTake, By: "test"}); err == nil {
		t.Logf("take on the owner: %s", text)
	}
	r.unmoved(since)
}

func TestStoppedAgentHandsOver(t *testing.T) {
	r := boot(t, lab.Options{})
	seen := r.during(func() { r.halt(0) }, func() { r.moved(1) })
	r.outage(seen, 200*time.Millisecond)
	if r.holds(0, 0) {
		t.Error("fw1 still has the address")
	}
	if got := r.evidence(1, 0); got != "released" && got != "goodbye" {
		t.Errorf("fw2 took over by evidence %q", got)
	}
	r.start(0)
	r.await("fw1 is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
}

func TestStoppedStandbyLeavesTheOwnerAlone(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	seen := r.during(func() {
		r.halt(1)
		time.Sleep(time.Second)
	})
	r.outage(seen, 20*time.Millisecond)
	for _, e := range r.events(0, since[0]) {
		if e.Kind == "role" && e.To != "ACTIVE" && e.To != "SOLO" {
			t.Errorf("the owner changed its role: %+v", e)
		}
	}
	if !r.owns(0, 0) {
		t.Errorf("fw1 does not own the group any more: %s", r.show(0))
	}
}

func (r *rig) events(node int, after uint64) []report.Event {
	r.Helper()
	events, err := r.Nodes[node].Events(after)
	r.try(err)
	return events
}

func TestMaintenanceHandsOverAndLasts(t *testing.T) {
	r := boot(t, lab.Options{})
	seen := r.during(func() {
		t.Log(r.order(0, control.Order{Command: control.OrderMaintenanceOn, Reason: "new fan"}))
	}, func() { r.moved(1) })
	r.outage(seen, 200*time.Millisecond)
	r.await("fw1 is in maintenance", soon, func() bool { return r.in(0, 0, "MAINTENANCE") })
	r.halt(0)
	r.start(0)
	r.await("maintenance outlives a restart", soon, func() bool { return r.in(0, 0, "MAINTENANCE") })
	s, err := r.Nodes[0].Status()
	if err != nil || s.Self.Maintenance == nil || s.Self.Maintenance.Reason != "new fan" || s.Self.Maintenance.By == "" {
		t.Errorf("maintenance is not told: %+v %v", s.Self.Maintenance, err)
	}
	if s.Groups[0].CanTakeOver {
		t.Error("a node in maintenance says that it could take over")
	}
	r.Nodes[1].Kill()
	r.never("a node in maintenance takes a group", 1500*time.Millisecond, func() bool { return r.owns(0, 0) })
	r.order(0, control.Order{Command: control.OrderMaintenanceOff})
	r.await("fw1 serves again", 2*soon, func() bool { return r.owns(0, 0) })
	r.moved(0)
}

func TestMaintenanceEndsByItself(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	r.order(1, control.Order{Command: control.OrderMaintenanceOn, Reason: "test", For: 2 * time.Second})
	r.await("fw2 is in maintenance", soon, func() bool { return r.in(1, 0, "MAINTENANCE") })
	r.await("fw2 is armed again", soon, func() bool { return r.in(1, 0, "ARMED") })
	for _, c := range r.changes(since) {
		if strings.Contains(c, "fw1/") && !strings.Contains(c, "ACTIVE -> SOLO") && !strings.Contains(c, "SOLO -> ACTIVE") {
			t.Errorf("the owner's role changed: %s", c)
		}
	}
}

func TestMaintenanceNeedsAReason(t *testing.T) {
	r := boot(t, lab.Options{})
	if text, err := r.Nodes[1].Order(control.Order{Command: control.OrderMaintenanceOn, By: "test"}); err == nil {
		t.Errorf("began without a reason: %s", text)
	}
}

func TestFailbackAutoBringsTheGroupHome(t *testing.T) {
	r := boot(t, lab.Options{Group: `failback = "auto"`})
	r.Nodes[0].Kill()
	r.moved(1)
	r.start(0)
	seen := r.during(func() { r.moved(0) })
	r.outage(seen, 200*time.Millisecond)
	r.took(0, "released")
	r.await("fw2 is armed", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") })
}

func TestFlapLimitKeepsTheGroupWhereItIs(t *testing.T) {
	r := boot(t, lab.Options{Group: "failback = \"auto\"\nflap_max = 1"})
	fail := func() {
		r.Nodes[0].Kill()
		r.moved(1)
		r.start(0)
	}
	fail()
	r.moved(0) // the one move that is allowed
	r.await("fw2 is armed", soon, func() bool { return r.in(1, 0, "ARMED") })
	fail()
	r.await("the alarm says so", 2*soon, func() bool { return r.alarmed(0, "flap-frozen") || r.alarmed(1, "flap-frozen") })
	r.never("the group moves", time.Second, func() bool { return r.owns(0, 0) })
	// The limit is for moves that nobody ordered.
	r.order(0, control.Order{Command: control.OrderTake, Reason: "test"})
	r.moved(0)
}

func TestTwoGroupsLiveOnTheirOwnNodes(t *testing.T) {
	r := boot(t, lab.Options{Groups: 2})
	r.await("fw2 owns the second group", soon, func() bool { return r.states(1, "ARMED", "ACTIVE") })
	seen := r.during(func() { r.try(r.Nodes[0].PowerOff()) }, func() { r.moved(1) })
	r.outage(seen, 1500*time.Millisecond)
	if !r.owns(1, 1) {
		t.Errorf("fw2 lost its own group: %s", r.show(1))
	}
	r.reboot(0)
	r.await("fw1 is armed for both", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") && r.states(1, "ARMED", "ACTIVE") })
	r.order(0, control.Order{Command: control.OrderTake, Group: "g1", Reason: "home"})
	r.await("each owns its own", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") && r.states(1, "ARMED", "ACTIVE") })
	r.moved(0)
	r.Nodes[1].Kill()
	r.await("fw1 owns both", soon, func() bool { return r.owns(0, 0) && r.owns(0, 1) })
}

// TestCommandLineTellsTheState runs the program as an operator does.
func TestCommandLineTellsTheState(t *testing.T) {
	r := boot(t, lab.Options{})
	r.await("no alarm", soon, func() bool { return r.quiet(0) && r.quiet(1) })
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	status := func() (string, int) {
		cmd := exec.CommandContext(ctx, r.Binary, "status", "--socket", r.Dir+"/fw1/run/twinbeat.sock")
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	text, code := status()
	if code != 0 {
		t.Errorf("exit code %d of a healthy pair:\n%s", code, text)
	}
	for _, want := range []string{"fw1", "fw2", "ACTIVE", "ARMED", "silence"} {
		if !strings.Contains(text, want) {
			t.Errorf("status does not say %q:\n%s", want, text)
		}
	}
	r.Nodes[1].Kill()
	r.await("the owner misses its peer", soon, func() bool { return r.alarmed(0, "peer-silent") })
	if text, code = status(); code != 3 {
		t.Errorf("exit code %d of a degraded pair:\n%s", code, text)
	}
}
