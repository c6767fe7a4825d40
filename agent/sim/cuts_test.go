package sim

import (
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// cuts is how many cuts the test plays; a release run plays 100,000.
const cuts = 3600

// TestNoCutSwitchesBothOff plays cuts of all links with fence devices of every
// kind: invariant 11, and no false proof but by a liar.
func TestNoCutSwitchesBothOff(t *testing.T) {
	var proven, deceived [deviceBehaviours]int
	for seed := uint64(1); seed <= cuts; seed++ {
		c, s := DrawCut(seed)
		r := Run(c, s)
		if v := r.Violation; v != nil {
			small, faults, _ := Minimise(c, s)
			t.Fatalf("seed %d at %v: %s: %s\n%s", seed, time.Duration(v.At), v.Rule, v.Text, Format(small, faults))
		}
		how := s[0].N
		proven[how] += r.Evidence[1]
		deceived[how] += r.Deceived
	}
	for how, name := range deviceNames {
		switch {
		case how == deviceTruths:
		case how < deviceTruths && deceived[how] > 0:
			t.Errorf("a device that is %s deceived %d times", name, deceived[how])
		case how > deviceTruths && deceived[how] == 0:
			t.Errorf("a device that is %s deceived nobody: the checker does not see it", name)
		}
	}
	for _, how := range []int{deviceGood, deviceSlow, deviceErrs, deviceReboots} {
		if proven[how] == 0 {
			t.Errorf("no proof by a device that is %s", deviceNames[how])
		}
	}
	t.Logf("entries by proof %v, deceived %v", proven, deceived)
}

// The checker of false proofs can fail: a device that is counted among the
// honest ones and reads off with power on.
func TestAFalseProofIsNoticed(t *testing.T) {
	for seed := uint64(1); seed <= 60; seed++ {
		c, s := DrawCut(seed)
		c.Mutant, s[0].N = FenceLies, deviceGood
		if v := Run(c, s).Violation; v != nil && v.Rule == rule12 {
			return
		}
	}
	t.Error("no run shows it")
}

// Invariant 11 is held by the turns: without the race time between them both
// nodes go off.
func TestWithoutTurnsACutSwitchesBothOff(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		c, s := DrawCut(seed)
		r := run(c, s, func(w *World) { w.timing.Race = time.Millisecond })
		if v := r.Violation; v != nil && v.Rule == rule11 {
			return
		}
	}
	t.Error("no run shows it")
}

// Nor do the turns hold if an order goes out after one: an owner that stands
// still between its wish and the order must not send it when it goes on.
func TestAnOrderOfATurnThatIsOverSwitchesBothOff(t *testing.T) {
	caught := 0
	for seed := uint64(1); seed <= 300; seed++ {
		c := plain(seed, pair.ModeFence)
		c.Cuts, c.Length = true, 20*time.Second
		w := newWorld(c)
		at := 3 * time.Second
		s := Schedule{
			{Kind: FaultDevice, For: c.Length, N: deviceLate},
			{At: at, Kind: FaultCutAll, For: 3 * w.timing.Race, M: 2},
			{At: at + w.timing.Dead + w.chance(100*time.Millisecond), Kind: FaultStop, For: w.timing.Race + w.chance(w.fenceT/2)},
		}
		if v := Run(c, s).Violation; v != nil {
			t.Fatalf("seed %d: %+v", seed, v)
		}
		c.Mutant = TurnsForgotten
		if v := Run(c, s).Violation; v != nil && v.Rule == rule11 {
			caught++
		}
	}
	if caught == 0 {
		t.Error("no run shows it")
	}
	t.Logf("both are off in %d of 300", caught)
}
