package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// chaosTime is how long each random story lasts. Their seeds are of the hour,
// so that every run tells another one.
const chaosTime = 4 * time.Second

// TestRandomPausesAndCutsNeverMakeTwoOwners stops, continues and cuts at
// random, but never all links while both nodes run: that is what mode silence
// does not promise. The rig judges that never two boxes served.
func TestRandomPausesAndCutsNeverMakeTwoOwners(t *testing.T) {
	for name, o := range map[string]lab.Options{"default": {}, "fast": fast} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, o)
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			for end := time.Now().Add(chaosTime); time.Now().Before(end); {
				r.trouble(rng)
			}
			r.Serial.Restore()
			r.try(r.HealEthernet())
			r.await("one owns, the other is armed", 2*soon, func() bool { return r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE") })
			r.await("the client reaches the address", soon, r.reached)
		})
	}
}

// trouble is one fault of a random kind and length.
func (r *rig) trouble(rng *rand.Rand) {
	n := r.Nodes[rng.IntN(2)]
	pause := func(most int) { time.Sleep(time.Duration(rng.IntN(most)) * time.Millisecond) }
	switch rng.IntN(6) {
	case 0, 1: // around the lease, where it matters
		n.Freeze()
		pause(700)
		n.Thaw()
	case 2: // both, one after the other
		r.Nodes[0].Freeze()
		pause(300)
		r.Nodes[1].Freeze()
		pause(300)
		r.Nodes[rng.IntN(2)].Thaw()
		pause(300)
		r.Nodes[0].Thaw()
		r.Nodes[1].Thaw()
	case 3:
		r.Serial.Cut(linktest.Direction(1 + rng.IntN(3)))
		pause(500)
		r.Serial.Restore()
	case 4:
		r.try(r.CutEthernet())
		pause(500)
		r.try(r.HealEthernet())
	case 5: // refused where the node does not own the group
		_, _ = n.Order(control.Order{Command: control.OrderHandover, By: "test", Reason: "test"})
	}
	pause(300)
}

func TestAgentsThatDieAndComeBackAtRandomNeverShareTheAddress(t *testing.T) {
	r := boot(t, lab.Options{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	for end := time.Now().Add(chaosTime); time.Now().Before(end); {
		i := rng.IntN(2)
		r.Nodes[i].Kill()
		time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond)
		r.start(i)
		time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond)
	}
	r.await("one owns, the other is armed", 2*soon, func() bool { return r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE") })
	r.await("the client reaches the address", soon, r.reached)
}

func TestBothNodesLosePowerAndServeAgain(t *testing.T) {
	r := boot(t, lab.Options{})
	r.try(r.Nodes[0].PowerOff())
	r.try(r.Nodes[1].PowerOff())
	r.reboot(1)
	r.await("fw2 serves alone", 2*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	r.reboot(0)
	r.await("fw1 is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
}

// Two boxes that boot with every heartbeat link cut see each other only by the
// address itself.
func TestNodesThatBootApartHaveOneOwner(t *testing.T) {
	r := boot(t, lab.Options{})
	r.try(r.Nodes[0].PowerOff())
	r.try(r.Nodes[1].PowerOff())
	r.try(r.Nodes[0].PowerOn())
	r.try(r.Nodes[1].PowerOn())
	r.CutSerial()
	r.try(r.CutEthernet())
	r.start(0)
	r.start(1)
	for _, n := range r.Nodes {
		r.both.aim(r, n)
	}
	r.await("somebody serves", 2*soon, func() bool { return r.owns(0, 0) || r.owns(1, 0) })
	r.never("both serve", 2*time.Second, func() bool { return r.owns(0, 0) && r.owns(1, 0) })
	r.HealSerial()
	r.try(r.HealEthernet())
	r.await("one owns, the other is armed", soon, func() bool { return r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE") })
	r.await("the client reaches the address", soon, r.reached)
}

func TestPeerThatDiesDuringAHandoverCostsNotTheService(t *testing.T) {
	s := newServices(t)
	r := boot(t, lab.Options{Group: s.config("")})
	go func() {
		_, _ = r.Nodes[0].Order(control.Order{Command: control.OrderHandover, By: "test", Reason: "test"})
	}()
	time.Sleep(3 * time.Millisecond) // services are being stopped
	r.try(r.Nodes[1].PowerOff())
	r.await("fw1 serves", 3*soon, func() bool { return r.owns(0, 0) })
	r.moved(0)
	r.await("services run on fw1", soon, func() bool { return s.runs("fw1.dns") && s.runs("fw1.web") })
}

func TestHandoverWithOneLinkLeftIsAHandover(t *testing.T) {
	r := boot(t, lab.Options{})
	r.try(r.CutEthernet())
	r.await("the link is told to be down", soon, func() bool { return r.alarmed(0, "link/multicast") })
	seen := r.during(func() { r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"}) }, func() { r.moved(1) })
	r.outage(seen, 300*time.Millisecond)
	r.took(1, "released")
	r.try(r.HealEthernet())
	r.await("all alarms are over", soon, func() bool { return r.quiet(0) && r.quiet(1) })
}
