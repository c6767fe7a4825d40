package fence_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

// levels returns two levels of one device each.
func levels(first, second *fencetest.Fake) fence.Levels {
	return fence.Levels{Chains: []fence.Chain{
		{Devices: []fence.Device{first.Device(0)}},
		{Devices: []fence.Device{second.Device(0)}},
	}}
}

// within runs a bubble with a context of d.
func within(t *testing.T, d time.Duration, do func(t *testing.T, ctx context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		do(t, ctx)
	})
}

func TestALevelThatIsProvenEndsTheOff(t *testing.T) {
	within(t, 20*time.Second, func(t *testing.T, ctx context.Context) {
		pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
		proof, err := levels(pdu, bmc).Off(ctx)
		if err != nil || proof.Level != 1 || len(bmc.Commands()) != 0 || !strings.HasPrefix(proof.Evidence, "off, relay claim only: level 1: ") {
			t.Errorf("proof %+v, err %v, second level %v", proof, err, bmc.Commands())
		}
	})
}

func TestALevelThatIsNotProvenLeavesHalfOfTheTimeToTheNext(t *testing.T) {
	for _, c := range []struct {
		name string
		b    fencetest.Behaviour
		seen bool // it was already silent while all was well
		took time.Duration
	}{
		{"dead", fencetest.Behaviour{Dead: true}, false, 10 * time.Second},
		{"never answers", fencetest.Behaviour{Slow: time.Hour}, false, 10 * time.Second},
		{"was silent before", fencetest.Behaviour{Unreachable: true}, true, 20 * time.Second / 6},
	} {
		within(t, 20*time.Second, func(t *testing.T, ctx context.Context) {
			pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
			l := levels(pdu, bmc)
			pdu.Behave(c.b)
			if c.seen {
				if found, _ := l.Check(ctx); len(found) == 0 {
					t.Error("the check found nothing")
				}
			}
			proof, err := l.Off(ctx)
			if err != nil || proof.Level != 2 || bmc.HasPower() {
				t.Fatalf("%s: proof %+v, err %v", c.name, proof, err)
			}
			if proof.Took < c.took || proof.Took > c.took+time.Second {
				t.Errorf("%s: took %v, want %v", c.name, proof.Took, c.took)
			}
			if !strings.Contains(proof.Detail, "level 1: pdu: ") {
				t.Errorf("%s: detail %q does not tell of the first level", c.name, proof.Detail)
			}
		})
	}
}

func TestNoLevelIsProvenWithoutAProof(t *testing.T) {
	within(t, 20*time.Second, func(t *testing.T, ctx context.Context) {
		pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
		pdu.Behave(fencetest.Behaviour{Dead: true})
		bmc.Behave(fencetest.Behaviour{Unreachable: true})
		proof, err := levels(pdu, bmc).Off(ctx)
		if proof.Proven || !errors.Is(err, fence.ErrUnproven) || !strings.Contains(proof.Evidence, "level 1: pdu: last read on") || !strings.Contains(proof.Evidence, "level 2: bmc: ") {
			t.Errorf("proof %+v, err %v", proof, err)
		}
	})
	if p, err := (fence.Levels{}).Off(t.Context()); p.Proven || !errors.Is(err, fence.ErrUnproven) {
		t.Errorf("without levels: %+v, %v", p, err)
	}
	if p, _ := (fence.Levels{}).Status(t.Context()); p != fence.PowerUnknown {
		t.Errorf("without levels: %v", p)
	}
}

// gradeless says that it is proven, but not by what.
type gradeless struct{ sloppy }

func (gradeless) Off(context.Context) (fence.Proof, error) { return fence.Proof{Proven: true}, nil }

func TestADeviceThatSaysProvenAndNotByWhatIsNotBelieved(t *testing.T) {
	c := fence.Chain{Devices: []fence.Device{gradeless{}}}
	for _, d := range []fence.Device{c, fence.Levels{Chains: []fence.Chain{c}}} {
		if p, err := d.Off(t.Context()); p.Proven || !errors.Is(err, fence.ErrUnproven) || strings.Contains(err.Error(), "%!") {
			t.Errorf("proof %+v, err %v", p, err)
		}
	}
}

// The strip acts and falls silent; the controller has no power to answer.
func TestTheFirstLevelIsTriedAgainAfterTheLast(t *testing.T) {
	within(t, 20*time.Second, func(t *testing.T, ctx context.Context) {
		pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
		time.AfterFunc(10*time.Millisecond, func() {
			pdu.Behave(fencetest.Behaviour{Unreachable: true})
			bmc.Behave(fencetest.Behaviour{Slow: time.Hour})
		})
		time.AfterFunc(12*time.Second, func() { pdu.Behave(fencetest.Behaviour{}) })
		proof, err := levels(pdu, bmc).Off(ctx)
		if err != nil || proof.Level != 1 || pdu.HasPower() {
			t.Errorf("proof %+v, err %v", proof, err)
		}
	})
}

// An outlet with a command pending could give the box power again after its
// controller has switched it off.
func TestNoLevelBeginsWhileACommandOfAnEarlierOneIsPending(t *testing.T) {
	within(t, 100*time.Second, func(t *testing.T, ctx context.Context) {
		pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
		pdu.Behave(fencetest.Behaviour{Tells: true, Stuck: true})
		proof, err := levels(pdu, bmc).Off(ctx)
		if proof.Proven || !errors.Is(err, fence.ErrUnproven) || len(bmc.Commands()) != 0 {
			t.Errorf("proof %+v, err %v, second level %v", proof, err, bmc.Commands())
		}
		if !strings.Contains(proof.Evidence, "level 2 was not tried: pdu has a command pending") {
			t.Errorf("evidence %q", proof.Evidence)
		}
	})
}

func TestALevelWaitsForOurOwnOnInAnEarlierOne(t *testing.T) {
	within(t, 100*time.Second, func(t *testing.T, ctx context.Context) {
		pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
		l := levels(pdu, bmc)
		_ = pdu.SwitchOff(ctx)
		pdu.Behave(fencetest.Behaviour{Unreachable: true}) // the on may have arrived
		short, cancel := context.WithTimeout(ctx, time.Second)
		_ = l.Chains[0].On(short)
		cancel()
		began := time.Now()
		short, cancel = context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		proof, err := l.Off(short)
		if err != nil || proof.Level != 2 {
			t.Fatalf("proof %+v, err %v", proof, err)
		}
		if took := time.Since(began); took < fence.InFlight-2*time.Second {
			t.Errorf("the second level was proven after %v, while the on could be carried out", took)
		}
	})
}

// weak is a switch whose orders nobody can read back.
type weak struct{ *fencetest.Fake }

func (weak) BestGrade() fence.Grade { return fence.GradeWeak }

func TestAnOrderThatNobodyCanReadBackIsNoProof(t *testing.T) {
	within(t, 20*time.Second, func(t *testing.T, ctx context.Context) {
		f := fencetest.New("ssh")
		d, err := fence.New(weak{f}, fence.Timing{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []fence.Device{d, fence.Levels{Chains: []fence.Chain{{Devices: []fence.Device{d}}}}} {
			proof, err := d.Off(ctx)
			if proof.Proven || !errors.Is(err, fence.ErrUnproven) || proof.Grade != fence.GradeWeak || proof.Took > time.Second {
				t.Errorf("proof %+v, err %v", proof, err)
			}
		}
		if len(f.Commands()) != 2 {
			t.Errorf("commands %v", f.Commands())
		}
	})
}

func TestRebootHoldsTheNodeOffAndSwitchesOnOnlyAfterAProof(t *testing.T) {
	within(t, 100*time.Second, func(t *testing.T, ctx context.Context) {
		one, two := fencetest.New("psu1"), fencetest.New("psu2")
		c := fence.Chain{Devices: []fence.Device{one.Device(0), two.Device(0)}}
		var down, most time.Duration
		done := make(chan struct{})
		go func() {
			for range 1000 {
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
				}
				down += 100 * time.Millisecond
				if one.HasPower() || two.HasPower() {
					down = 0
				}
				most = max(most, down)
			}
		}()
		proof, err := c.Reboot(ctx, time.Second)
		close(done)
		synctest.Wait()
		if err != nil || !proof.Proven || !one.HasPower() || !two.HasPower() {
			t.Fatalf("proof %+v, err %v", proof, err)
		}
		if most < fence.MinHold {
			t.Errorf("without power for %v, want %v", most, fence.MinHold)
		}
	})
	within(t, 100*time.Second, func(t *testing.T, ctx context.Context) {
		one, two := fencetest.New("psu1"), fencetest.New("psu2")
		two.Behave(fencetest.Behaviour{Dead: true})
		c := fence.Chain{Devices: []fence.Device{one.Device(0), two.Device(0)}}
		proof, err := c.Reboot(ctx, time.Second)
		if proof.Proven || !errors.Is(err, fence.ErrUnproven) || slices.Contains(one.Commands(), "on") || slices.Contains(two.Commands(), "on") {
			t.Errorf("proof %+v, err %v, commands %v %v", proof, err, one.Commands(), two.Commands())
		}
	})
}

func TestRebootSwitchesNothingIfTheTimeIsShort(t *testing.T) {
	for name, c := range map[string]struct{ time, hold time.Duration }{
		"deadline": {15 * time.Second, 10 * time.Second}, "hold": {time.Hour, 10 * time.Minute},
	} {
		within(t, c.time, func(t *testing.T, ctx context.Context) {
			f := fencetest.New("plug")
			proof, err := f.Device(0).Reboot(ctx, c.hold)
			if proof.Proven || !errors.Is(err, fence.ErrUnproven) || len(f.Commands()) != 0 {
				t.Errorf("%s: proof %+v, err %v, commands %v", name, proof, err, f.Commands())
			}
		})
	}
}

func TestRebootTellsOfAnOutletThatCameOnByItself(t *testing.T) {
	within(t, 100*time.Second, func(t *testing.T, ctx context.Context) {
		f := fencetest.New("plug")
		f.Behave(fencetest.Behaviour{FlipBack: 5 * time.Second})
		proof, err := f.Device(0).Reboot(ctx, 0)
		if !proof.Proven || err == nil || !strings.Contains(err.Error(), "before it was switched on") || !f.HasPower() {
			t.Errorf("proof %+v, err %v", proof, err)
		}
	})
}

func TestLevelsAreSwitchedOnInTheirOrderAndOneThatIsOnIsLeft(t *testing.T) {
	within(t, 100*time.Second, func(t *testing.T, ctx context.Context) {
		pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
		l := levels(pdu, bmc)
		if _, err := l.Reboot(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if len(bmc.Commands()) != 0 {
			t.Errorf("a controller that reads on was told %v", bmc.Commands())
		}
		_ = bmc.SwitchOff(ctx)
		pdu.Behave(fencetest.Behaviour{Unreachable: true})
		if err := l.On(ctx); err != nil || !bmc.HasPower() {
			t.Errorf("one level unreachable, the other on: %v", err)
		}
		_ = bmc.SwitchOff(ctx)
		bmc.Behave(fencetest.Behaviour{Dead: true})
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := l.On(short); err == nil {
			t.Error("on succeeded, but the node is off")
		}
	})
}

func TestAnOnOfOneLevelWaitsForAnOffOfAll(t *testing.T) {
	within(t, 100*time.Second, func(t *testing.T, ctx context.Context) {
		pdu, bmc := fencetest.New("pdu"), fencetest.New("bmc")
		pdu.Behave(fencetest.Behaviour{Dead: true})
		l := levels(pdu, bmc)
		var proof fence.Proof
		done := make(chan error, 1)
		go func() {
			short, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			var err error
			proof, err = l.Off(short)
			if bmc.HasPower() {
				t.Error("power came back before the proof was returned")
			}
			done <- err
		}()
		synctest.Wait()
		for _, d := range []fence.Device{l.Chains[1].Devices[0], l.Chains[1], l} {
			if err := d.On(ctx); err != nil {
				t.Error(err)
			}
			select {
			case err := <-done:
				if err != nil || !proof.Proven {
					t.Errorf("proof %+v, err %v", proof, err)
				}
				done <- nil
			default:
				t.Error("an on overtook the off")
			}
		}
	})
}

func TestAWithdrawnOffCommandsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := fencetest.NewUnit("pdu", 2)
		u.Fake(1).Behave(fencetest.Behaviour{Slow: 500 * time.Millisecond})
		d, err := fence.NewFeed(fence.Feed{Switch: u.Fake(1), Pin: u.Pin(1)}, fence.Timing{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		proof, err := d.Off(ctx)
		if proof.Proven || err == nil || len(u.Fake(1).Commands()) != 0 || !strings.Contains(proof.Detail, "nothing was switched") {
			t.Errorf("proof %+v, err %v", proof, err)
		}
	})
}

func TestALevelWithoutTheOutletIsGivenUpAtOnceAndNothingIsSent(t *testing.T) {
	for name, selector := range map[string]string{"no such outlet": "9", "metered only": "1"} {
		within(t, 20*time.Second, func(t *testing.T, ctx context.Context) {
			u, bmc := fencetest.NewUnit("pdu", 2), fencetest.New("bmc")
			u.Fake(1).Behave(fencetest.Behaviour{MeteredOnly: true})
			sw, err := u.Outlet(selector)
			if err != nil {
				t.Fatal(err)
			}
			pdu, err := fence.New(sw, fence.Timing{})
			if err != nil {
				t.Fatal(err)
			}
			l := fence.Levels{Chains: []fence.Chain{{Devices: []fence.Device{pdu}}, {Devices: []fence.Device{bmc.Device(0)}}}}
			proof, err := l.Off(ctx)
			if err != nil || proof.Level != 2 || proof.Took > time.Second || bmc.HasPower() {
				t.Errorf("%s: proof %+v, err %v", name, proof, err)
			}
			if got := u.Fake(1).Commands(); len(got) != 0 || !strings.Contains(proof.Detail, "nothing was switched") {
				t.Errorf("%s: commands %v, detail %q", name, got, proof.Detail)
			}
		})
	}
}
