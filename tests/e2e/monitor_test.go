package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// Sections of a pair whose health is compared every moment. The standby must
// look better for healthHold before anything moves.
const (
	healthHold = 300 * time.Millisecond

	watchedLAN = `
[health]
hold = "300ms"
[[monitor]]
name = "lan"
type = "interface"
interface = "eth0"
interval = "30s" # of the carrier the kernel tells
down_delay = "100ms"
up_delay = "1s"
weight = 40
`
	watchedHost = `
[health]
hold = "300ms"
[[monitor]]
name = "client"
type = %q
interface = "eth0"
targets = ["` + lab.ClientIP + `"]
interval = "100ms"
timeout = "100ms"
weight = 30
`
)

// health is what a node says of itself, 0 if it does not answer.
func (r *rig) health(node int) int {
	s, err := r.Nodes[node].Status()
	if err != nil || s.Self.Health == nil {
		return 0
	}
	return s.Self.Health.Score
}

// monitor is what a node shows of a monitor.
func (r *rig) monitor(node int, name string) string {
	s, err := r.Nodes[node].Status()
	if err != nil {
		return "does not answer"
	}
	for _, m := range s.Monitors {
		if m.Name == name {
			return m.State
		}
	}
	return "is not there"
}

// watched boots a pair and waits until both nodes have looked.
func watched(t *testing.T, o lab.Options, name string) *rig {
	t.Helper()
	r := boot(t, o)
	r.await("both nodes have looked", soon, func() bool { return r.monitor(0, name) == "up" && r.monitor(1, name) == "up" })
	return r
}

// owners counts how often a node took the first group since the mark.
func (r *rig) owners(m mark) int {
	return len(slices.DeleteFunc(r.changes(m), func(c string) bool { return !strings.Contains(c, "-> ACTIVE") }))
}

func TestOwnerThatLosesItsLANCableHandsOver(t *testing.T) {
	r := watched(t, lab.Options{Extra: watchedLAN}, "lan")
	seen := r.during(func() { r.try(r.Nodes[0].CutLAN()) }, func() { r.moved(1) })
	r.outage(seen, healthHold+1200*time.Millisecond)
	r.await("fw1 says why", soon, func() bool { return r.health(0) == 60 && r.alarmed(0, "monitor/lan") })
	if got := r.monitor(0, "lan"); got != "down" {
		t.Errorf("the monitor of fw1 is %s", got)
	}
	if r.health(1) != 100 || r.alarmed(1, "monitor/") {
		t.Errorf("fw2 has health %d", r.health(1))
	}
	since := r.mark()
	r.try(r.Nodes[0].HealLAN())
	r.await("fw1 is well again", soon, func() bool { return r.health(0) == 100 && !r.alarmed(0, "monitor/") && r.in(0, 0, "ARMED") })
	r.never("the group goes back", time.Second, func() bool { return !r.owns(1, 0) })
	if n := r.owners(since); n > 0 {
		t.Errorf("the group moved %d times after the heal", n)
	}
}

// With the links to the peer that are left, over the serial line.
func TestOwnerThatLosesAllItsEthernetHandsOverBySerial(t *testing.T) {
	r := watched(t, lab.Options{Extra: watchedLAN}, "lan")
	r.try(r.CutEthernet())
	r.await("only the serial line is left", soon, func() bool { return r.alarmed(0, "link") })
	seen := r.during(func() { r.try(r.Nodes[0].CutLAN()) }, func() { r.moved(1) })
	r.outage(seen, healthHold+1200*time.Millisecond)
	r.try(r.HealEthernet())
	r.try(r.Nodes[0].HealLAN())
	r.await("all is well", 2*soon, func() bool { return r.health(0) == 100 && r.quiet(0) && r.quiet(1) })
}

// The wire carries, but the host answers only one of the nodes.
func TestHostThatAnswersOnlyTheStandbyMovesTheGroup(t *testing.T) {
	r := watched(t, lab.Options{Extra: fmt.Sprintf(watchedHost, "ping")}, "client")
	own := "10.77.0.11/32" // fw1's address on the LAN
	seen := r.during(func() {
		_, err := r.Client.Run("ip", "route", "add", "blackhole", own)
		r.try(err)
	}, func() { r.moved(1) })
	r.outage(seen, 500*time.Millisecond) // the address itself was served all the time
	if h := r.health(0); h != 70 {
		t.Errorf("fw1 has health %d, want 70", h)
	}
	_, err := r.Client.Run("ip", "route", "del", "blackhole", own)
	r.try(err)
	r.await("fw1 is well again", soon, func() bool { return r.health(0) == 100 && r.quiet(0) && r.quiet(1) })
}

// A host that is dead for both is no reason to move anything.
func TestHostThatIsDeadForBothMovesNothing(t *testing.T) {
	for _, kind := range []string{"ping", "neighbour"} {
		t.Run(kind, func(t *testing.T) {
			r := watched(t, lab.Options{Extra: fmt.Sprintf(watchedHost, kind)}, "client")
			silence := map[string]string{"ping": "net.ipv4.icmp_echo_ignore_all", "neighbour": "net.ipv4.conf.eth0.arp_ignore"}[kind]
			since := r.mark()
			seen := r.during(func() {
				_, err := r.Client.Run("sysctl", "-w", silence+"="+map[string]string{"ping": "1", "neighbour": "8"}[kind])
				r.try(err)
				r.await("both are as sick", soon, func() bool {
					return r.health(0) == 70 && r.health(1) == 70 && r.alarmed(0, "monitor/client") && r.alarmed(1, "monitor/client")
				})
				time.Sleep(4 * healthHold)
				_, err = r.Client.Run("sysctl", "-w", silence+"=0")
				r.try(err)
			}, func() {
				r.await("both are well", soon, func() bool { return r.health(0) == 100 && r.health(1) == 100 && r.quiet(0) && r.quiet(1) })
			})
			r.unmoved(since)
			r.outage(seen, 50*time.Millisecond)
		})
	}
}

// A cable with a loose contact: the delays make one long fault of it.
func TestLANThatFlapsMovesTheGroupOnceAtMost(t *testing.T) {
	r := watched(t, lab.Options{Extra: watchedLAN}, "lan")
	since := r.mark()
	for range 20 {
		r.try(r.Nodes[0].CutLAN())
		time.Sleep(200 * time.Millisecond)
		r.try(r.Nodes[0].HealLAN())
		time.Sleep(100 * time.Millisecond)
	}
	r.await("fw1 is well again", soon, func() bool { return r.health(0) == 100 && r.quiet(0) && r.quiet(1) })
	if n := r.owners(since); n > 1 {
		t.Errorf("the group moved %d times:\n%s", n, strings.Join(r.changes(since), "\n"))
	} else {
		t.Logf("%d moves in 20 flaps", n)
	}
	r.await("the client reaches the address", soon, r.reached)
}

// Two cables that fail by turns, slowly enough for the delays: the flap limit
// ends it.
func TestLANsThatFailByTurnsStopAtTheFlapLimit(t *testing.T) {
	r := watched(t, lab.Options{Extra: watchedLAN, Group: "flap_max = 2"}, "lan")
	since := r.mark()
	for i := range 6 {
		n := r.Nodes[i%2]
		r.try(n.CutLAN())
		r.await("it is noticed", soon, func() bool { return r.health(i%2) == 60 })
		time.Sleep(4 * healthHold)
		r.try(n.HealLAN())
		r.await("it is well again", soon, func() bool { return r.health(i%2) == 100 })
	}
	if n := r.owners(since); n == 0 || n > 2 {
		t.Errorf("the group moved %d times, want 1 or 2:\n%s", n, strings.Join(r.changes(since), "\n"))
	}
	r.await("one owns, the client reaches it", soon, func() bool { return r.owns(0, 0) != r.owns(1, 0) && r.reached() })
}
