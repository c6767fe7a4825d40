package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// fast is the profile for a short failover, as the lab can carry it.
var fast = lab.Options{Profile: "fast", Baud: 230400}

func TestPowerOffIsTakenOver(t *testing.T) {
	for _, c := range []struct {
		name string
		o    lab.Options
		most time.Duration
	}{
		{"default", lab.Options{}, 1500 * time.Millisecond},
		{"fast", fast, time.Second},
		{"slow at 9600 baud", lab.Options{Profile: "slow", Baud: 9600}, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := boot(t, c.o)
			seen := r.during(func() { r.try(r.Nodes[0].PowerOff()) }, func() { r.moved(1) })
			r.outage(seen, c.most)
			r.took(1, "silence")
			if !r.alarmed(1, "peer-silent") {
				t.Error("the survivor does not tell that its peer is silent")
			}
		})
	}
}

func TestNodeThatComesBackLeavesTheGroupWhereItIs(t *testing.T) {
	r := boot(t, lab.Options{})
	r.try(r.Nodes[0].PowerOff())
	r.moved(1)
	since := r.mark()
	seen := r.during(func() { r.reboot(0) },
		func() { r.await("fw1 is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") }) },
		func() { r.await("all alarms are over", soon, func() bool { return r.quiet(0) && r.quiet(1) }) })
	r.outage(seen, 50*time.Millisecond)
	for _, c := range r.changes(since) {
		if c[:3] == "fw2" {
			t.Errorf("the owner's role changed: %s", c)
		}
	}
}

func TestKilledAgentIsTakenOver(t *testing.T) {
	for name, o := range map[string]lab.Options{"default": {}, "fast": fast} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, o)
			seen := r.during(func() { r.Nodes[0].Kill() }, func() { r.moved(1) })
			r.outage(seen, 1500*time.Millisecond)
			r.took(1, "silence")
			// The dead agent's kernel still has the address; only its lease is over.
			if !r.holds(0, 0) {
				t.Log("the dead agent's kernel has already removed the address")
			}
			r.start(0)
			r.await("fw1 comes back armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
		})
	}
}

func TestFrozenAgentNeverSharesTheAddress(t *testing.T) {
	for name, o := range map[string]lab.Options{"default": {}, "fast": fast} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, o)
			seen := r.during(func() { r.Nodes[0].Freeze() }, func() { r.moved(1) })
			r.outage(seen, 1500*time.Millisecond)
			time.Sleep(2 * time.Second)
			seen = r.during(func() { r.Nodes[0].Thaw() },
				func() {
					r.await("fw1 comes back armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
				})
			r.outage(seen, 50*time.Millisecond)
		})
	}
}

func TestFrozenStandbyDisturbsNobody(t *testing.T) {
	r := boot(t, lab.Options{})
	since := r.mark()
	seen := r.during(func() {
		r.Nodes[1].Freeze()
		time.Sleep(2 * time.Second)
		r.Nodes[1].Thaw()
	}, func() {
		r.await("fw2 is armed again", 2*soon, func() bool { return r.states(0, "ACTIVE", "ARMED") })
	})
	r.outage(seen, 50*time.Millisecond)
	for _, c := range r.changes(since) {
		if c[:3] == "fw1" {
			t.Errorf("the owner's role changed: %s", c)
		}
	}
}

func TestAgentRestartedWithinTheLeaseKeepsItsAddress(t *testing.T) {
	r := boot(t, lab.Options{Profile: "slow"})
	seen := r.during(func() {
		r.Nodes[0].Kill()
		r.start(0)
	}, func() {
		r.await("fw1 owns the group again", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") })
	})
	r.outage(seen, 50*time.Millisecond)
	r.took(0, "adopted")
	if !r.serves(0) {
		t.Error("the LAN does not see fw1")
	}
}

// An upgrade: the new agent keeps what the old one held, on the owner and on
// the standby, and the client notices nothing.
func TestAgentEndedForARestartMovesNothing(t *testing.T) {
	for _, profile := range []string{"default", "slow"} {
		t.Run(profile, func(t *testing.T) {
			r := boot(t, lab.Options{Profile: profile})
			for i := range r.Nodes {
				r.upgrade(i)
			}
			r.took(0, "adopted")
		})
	}
}

// A node that restarts is not missed: in mode fence nobody switches it off, in mode
// lease the owner goes on, and its restart is not called a crash.
func TestRestartIsNoSilence(t *testing.T) {
	p := newPDU(t)
	for name, o := range map[string]lab.Options{"fence": p.options(), "lease": {Mode: "lease"}} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, o)
			if name == "fence" {
				p.wire(r)
			}
			for _, i := range []int{1, 0, 1} {
				r.upgrade(i)
				if !r.Nodes[i].Powered() {
					t.Fatalf("fw%d was switched off for its restart", i+1)
				}
			}
			r.took(0, "adopted")
			for i := range r.Nodes {
				if s := r.story(i); strings.Contains(s, "agent-crash") || !strings.Contains(s, "agent-restart") {
					t.Errorf("fw%d tells of its restart:\n%s", i+1, s)
				}
			}
		})
	}
}

func (r *rig) upgrade(node int) {
	r.Helper()
	seen := r.during(func() {
		r.Nodes[node].Keep()
		r.start(node)
	}, func() {
		r.await("both are as they were, in a new session", 4*soon, func() bool {
			s, err := r.Nodes[node].Status()
			return err == nil && s.Peer.TwoWay && r.states(0, "ACTIVE", "ARMED")
		})
	})
	r.Logf("client: %d of %d probes lost, prober late by %v", seen.Lost, seen.Sent, seen.Late)
	if seen.Lost > 0 {
		r.Errorf("an upgrade lost %d of %d probes, outage %v", seen.Lost, seen.Sent, seen.Outage)
	}
}

// An upgrade in place: the file is replaced, and the process becomes the new program
// (SIGUSR2). Nothing is lost though every core is busy, in no mode; but of a
// hundred or so upgrades one does not get a core for as long as its lease. Then
// its peer has the group, with what that costs, and nothing is the matter
// afterwards: of five upgrades this may be one.
func TestUpgradesOfABusyPairLoseNothing(t *testing.T) {
	p := newPDU(t)
	for name, o := range map[string]lab.Options{"silence": {}, "lease": {Mode: "lease"}, "fence": p.options()} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, o)
			if name == "fence" {
				p.wire(r)
			}
			since, moved := r.mark(), 0
			burnWhile(func() {
				for _, i := range []int{0, 1, 0, 1, 0} {
					if r.became(i) {
						moved++
					}
				}
			})
			if moved > 1 {
				t.Errorf("%d of 5 upgrades moved the group", moved)
			}
			if moved > 0 {
				return
			}
			r.took(0, "adopted")
			for _, c := range r.changes(since) {
				if strings.Contains(c, "ISOLATED") {
					t.Errorf("role changed: %s", c)
				}
			}
			for i := range r.Nodes {
				if !r.Nodes[i].Powered() || strings.Contains(r.story(i), "agent-crash") {
					t.Errorf("fw%d did not come through:\n%s", i+1, r.story(i))
				}
			}
		})
	}
}

// becomes is how long the check of a new program may take where every core is busy;
// nothing is lost meanwhile.
const becomes = 90 * time.Second

// became upgrades the agent of a node in place, as dpkg does: by another file of the
// same name. It says whether that moved the group, and brings it back.
func (r *rig) became(node int) (moved bool) {
	r.Helper()
	text, err := os.ReadFile(r.Binary)
	r.try(err)
	next, err := os.OpenFile(r.Binary+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	r.try(err)
	_, err = next.Write(text)
	r.try(errors.Join(err, next.Sync(), next.Close(), os.Rename(r.Binary+".new", r.Binary)))
	n, pid := r.Nodes[node], r.Nodes[node].Pid()
	seen := r.during(func() { n.Signal(syscall.SIGUSR2) }, func() {
		r.await("the process is the new program", becomes, func() bool {
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			return err == nil && !strings.HasSuffix(exe, " (deleted)")
		})
		r.await("one owns, the other would take over", 4*soon, func() bool {
			s, err := n.Status()
			moved = r.states(0, "ARMED", "ACTIVE")
			return err == nil && s.Peer.TwoWay && (moved || r.states(0, "ACTIVE", "ARMED"))
		})
	})
	r.Logf("fw%d: %d of %d probes lost, prober late by %v; %s", node+1, seen.Lost, seen.Sent, seen.Late, r.lastLine(node, "in place of the agent before"))
	if seen.Lost > 0 && !moved || n.Pid() != pid {
		r.Errorf("an upgrade lost %d of %d probes, outage %v; process %d is now %d", seen.Lost, seen.Sent, seen.Outage, pid, n.Pid())
	}
	if moved {
		r.Logf("it had no core for as long as its lease: the group moved")
		r.order(1, control.Order{Command: control.OrderHandover, Reason: "test"})
		r.await("the group is back", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") })
	}
	return moved
}

// lastLine returns the end of the newest line of an agent's log that has a text.
func (r *rig) lastLine(node int, text string) string {
	log, err := os.ReadFile(r.Nodes[node].LogPath())
	if err != nil {
		return err.Error()
	}
	at := strings.LastIndex(string(log), text)
	line, _, _ := strings.Cut(string(log)[max(at, 0):], "\n")
	return line
}

func TestAgentRestartedAfterTheLeaseDoesNotKeepItsAddress(t *testing.T) {
	r := boot(t, lab.Options{})
	r.Nodes[0].Kill()
	r.await("fw2 owns the group", soon, func() bool { return r.owns(1, 0) })
	r.start(0)
	r.moved(1)
	r.await("fw1 is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
	r.await("fw1 no longer has the address", soon, func() bool { return !r.holds(0, 0) })
}

func TestBusyMachineIsNoReasonToMove(t *testing.T) {
	for name, o := range map[string]lab.Options{
		"default": {}, "fast": fast, "fast without serial": {Profile: "fast", NoSerial: true},
	} {
		t.Run(name, func(t *testing.T) {
			for try := 1; ; try++ {
				r := boot(t, o)
				since := r.mark()
				burn(3 * time.Second)
				stood := r.slow.Longest()
				if c := r.changes(since); len(c) == 0 || stood < standsStill || try == busyTries {
					r.unmoved(since)
					return
				}
				t.Logf("the whole machine stood still for %v, which is no busy one: once more", stood)
			}
		})
	}
}

// A machine that stands still for so long, as one that a busy host has put off,
// uses up what the lease of profile fast has beyond a few heartbeats; README says
// so. Then the story is told again.
const (
	standsStill = 12 * time.Millisecond
	busyTries   = 3
)
