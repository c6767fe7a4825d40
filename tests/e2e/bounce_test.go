package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// The port of the node that gave the group up falls once; that of the owner, and
// what the client sees, is left alone.
func TestTheLosersPortIsBouncedOnceTheOtherOwns(t *testing.T) {
	l, err := lab.New(lab.Options{Binary: binary, Profile: "slow", Extra: `
[bounce]
interfaces = ["eth0"]
down = "1s"
[[monitor]]
name = "lan"
type = "interface"
interface = "eth0"
weight = 40
`})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, Lab: l, slow: lab.WatchStalls(nil)}
	t.Cleanup(r.end)
	r.try(l.Boot())
	r.await("fw1 owns the group, fw2 is ARMED", 60*time.Second, func() bool { return r.states(0, "ACTIVE", "ARMED") })
	if r.probe, err = l.Probe(lab.VIP(0), 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	r.await("the client reaches the address", 30*time.Second, r.reached)
	box := r.Nodes[0].Space
	_, err = box.Run("ip", "route", "add", "198.51.100.0/24", "via", lab.ClientIP, "dev", "eth0")
	r.try(err)
	up := func(node int) bool {
		out, err := r.Nodes[node].Space.Run("ip", "link", "show", "dev", "eth0", "up")
		return err == nil && strings.Contains(out, "eth0")
	}
	since := r.mark()
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.await("fw1's port falls", 10*time.Second, func() bool { return !up(0) })
	if !r.owns(1, 0) {
		t.Error("it fell before the other one owned the group")
	}
	seen := r.during(func() { r.await("it is up again", 20*time.Second, func() bool { return up(0) }) })
	if seen.Lost > 0 || !up(1) {
		t.Errorf("the owner's client lost %d of %d probes", seen.Lost, seen.Sent)
	}
	r.await("its route is back", 5*time.Second, func() bool {
		out, err := box.Run("ip", "route", "show", "198.51.100.0/24")
		return err == nil && strings.Contains(out, lab.ClientIP)
	})
	r.await("fw1 tells of it", 5*time.Second, func() bool {
		for _, e := range r.events(0, since[0]) {
			if strings.HasPrefix(e.Decided, "set eth0 down and up again") && e.Group == "g1" {
				return true
			}
		}
		return false
	})
	time.Sleep(2500 * time.Millisecond) // until the monitor calls it up
	for _, e := range r.events(0, since[0]) {
		if strings.Contains(e.Seen+e.Decided, "monitor/lan") {
			t.Errorf("fw1 counts it against itself: %+v", e)
		}
	}
	r.never("it falls again", 3*time.Second, func() bool { return !up(0) || !up(1) })
}
