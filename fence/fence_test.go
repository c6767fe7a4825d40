package fence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

func TestOffIsProvenOnlyByWhatIsReadBack(t *testing.T) {
	cases := []struct {
		name     string
		b        fencetest.Behaviour
		proven   bool
		power    bool // the truth afterwards
		evidence string
	}{
		{"good", fencetest.Behaviour{}, true, false, "off, relay claim only: by the word of a fake, read twice 300ms apart and again after 1s of hold-up; no meter"},
		{"command fails but acts", fencetest.Behaviour{CommandFail: true}, true, false, "off, relay claim only: by the word"},
		{"state lags the command", fencetest.Behaviour{Lag: 2700 * time.Millisecond}, true, false, "off, relay claim only: by the word"},
		{"slow", fencetest.Behaviour{Slow: 900 * time.Millisecond}, true, false, "off, relay claim only: by the word"},
		{"garbled at first", fencetest.Behaviour{Garbled: 5}, true, false, "off, relay claim only: by the word"},
		{"says success and does nothing", fencetest.Behaviour{Dead: true}, false, true, "unproven: last read on"},
		{"unreachable", fencetest.Behaviour{Unreachable: true}, false, true, "device is unreachable"},
		{"too slow", fencetest.Behaviour{Slow: time.Hour}, false, true, "unproven"},
		{"too late", fencetest.Behaviour{Lag: 25 * time.Second}, false, true, "last read on"},
		{"garbled for ever", fencetest.Behaviour{Garbled: 1 << 20}, false, false, "garbled"},
		{"reboots: off for a moment", fencetest.Behaviour{FlipBack: 200 * time.Millisecond}, false, true, "last read on"},
		{"flips back during hold-up", fencetest.Behaviour{FlipBack: time.Second}, false, true, "read on after it was off twice"},
		{"in flight when time is up", fencetest.Behaviour{Lag: 9900 * time.Millisecond}, false, false, "unproven"},
		// The limit of any reading: the evidence must not claim more than a word.
		{"lies consistently", fencetest.Behaviour{Lie: true}, true, true, "by the word of"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := fencetest.New("plug")
				f.Behave(c.b)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				proof, err := f.Device(time.Second).Off(ctx)
				if proof.Proven != c.proven || (err == nil) != c.proven {
					t.Fatalf("proven %v, err %v; want %v", proof.Proven, err, c.proven)
				}
				if !c.proven && !errors.Is(err, fence.ErrUnproven) {
					t.Errorf("error %v does not wrap ErrUnproven", err)
				}
				if got := f.HasPower(); got != c.power {
					t.Errorf("the relay has power: %v, want %v", got, c.power)
				}
				if !strings.Contains(proof.Evidence, c.evidence) {
					t.Errorf("evidence %q, want it to hold %q", proof.Evidence, c.evidence)
				}
				if strings.Contains(proof.Evidence, "\n") {
					t.Errorf("evidence %q is more than a line", proof.Evidence)
				}
				if proof.Took > 10*time.Second {
					t.Errorf("took %v of 10 s", proof.Took)
				}
			})
		})
	}
}

func TestAHangingOffCommandLeavesTimeToReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hangingOff{Fake: fencetest.New("plug")}
		d, _ := fence.New(s, fence.Timing{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		proof, err := d.Off(ctx)
		if err != nil || s.HasPower() {
			t.Fatalf("proof %+v, err %v", proof, err)
		}
		if !strings.Contains(proof.Detail, "deadline") {
			t.Errorf("detail %q does not tell of the command that hung", proof.Detail)
		}
	})
}

// hangingOff switches and then does not come back.
type hangingOff struct{ *fencetest.Fake }

func (h *hangingOff) SwitchOff(ctx context.Context) error {
	_ = h.Fake.SwitchOff(ctx)
	<-ctx.Done()
	return ctx.Err()
}

func TestOffCommandsAnOutletThatReadsOffAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fencetest.New("plug")
		d := f.Device(0)
		for range 2 {
			if _, err := d.Off(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.Commands(); len(got) != 2 {
			t.Errorf("commands %v, want off twice", got)
		}
	})
}

func TestOffWaitsForAnOnThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fencetest.New("plug")
		f.Behave(fencetest.Behaviour{Slow: 2 * time.Second})
		d := f.Device(0)
		on := make(chan error, 1)
		go func() { on <- d.On(t.Context()) }()
		synctest.Wait()
		if _, err := d.Off(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-on; err != nil {
			t.Error(err)
		}
		if got := f.Commands(); got[0] != "on" || got[1] != "off" || f.HasPower() {
			t.Errorf("commands %v, power %v", got, f.HasPower())
		}
	})
}

func TestOnFailsUntilTheOutletReadsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fencetest.New("plug")
		d := f.Device(0)
		if _, err := d.Off(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Behave(fencetest.Behaviour{Dead: true})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := d.On(ctx); err == nil {
			t.Error("on succeeded, but the relay is open")
		}
		f.Behave(fencetest.Behaviour{Lag: time.Second})
		if err := d.On(t.Context()); err != nil || !f.HasPower() {
			t.Errorf("err %v, power %v", err, f.HasPower())
		}
	})
}

func TestChainIsProvenOnlyIfEverySupplyIs(t *testing.T) {
	bad := []fencetest.Behaviour{{Dead: true}, {Unreachable: true}, {FlipBack: 100 * time.Millisecond}}
	for _, b := range bad {
		synctest.Test(t, func(t *testing.T) {
			one, two := fencetest.New("psu1"), fencetest.New("psu2")
			two.Behave(b)
			c := fence.Chain{Devices: []fence.Device{one.Device(0), two.Device(0)}}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			proof, err := c.Off(ctx)
			if proof.Proven || !errors.Is(err, fence.ErrUnproven) {
				t.Errorf("%+v: proof %+v, err %v", b, proof, err)
			}
			if len(one.Commands()) != 1 {
				t.Error("the good outlet was not switched")
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		one, two := fencetest.New("psu1"), fencetest.New("psu2")
		c := fence.Chain{Devices: []fence.Device{one.Device(0), two.Device(0)}}
		proof, err := c.Off(t.Context())
		if err != nil || !proof.Proven || !strings.HasPrefix(proof.Evidence, "off, relay claim only: psu1 by the word") || !strings.Contains(proof.Evidence, "; psu2 by the word") {
			t.Errorf("proof %+v, err %v", proof, err)
		}
		if c.Name() != "psu1+psu2" {
			t.Errorf("name %q", c.Name())
		}
	})
}

func TestChainNoticesASupplyThatComesBackWhileAnotherIsProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := fencetest.New("quick"), fencetest.New("slow")
		quick.Behave(fencetest.Behaviour{FlipBack: 2 * time.Second})
		slow.Behave(fencetest.Behaviour{Lag: 3 * time.Second})
		c := fence.Chain{Devices: []fence.Device{quick.Device(0), slow.Device(0)}}
		proof, err := c.Off(t.Context())
		if proof.Proven || !errors.Is(err, fence.ErrUnproven) || !strings.Contains(err.Error(), "quick reads on") {
			t.Errorf("proof %+v, err %v", proof, err)
		}
	})
}

func TestChainWithoutDevicesProvesNothing(t *testing.T) {
	if p, err := (fence.Chain{}).Off(t.Context()); p.Proven || !errors.Is(err, fence.ErrUnproven) {
		t.Errorf("proof %+v, err %v", p, err)
	}
	if p, _ := (fence.Chain{}).Status(t.Context()); p != fence.PowerUnknown {
		t.Errorf("power %v", p)
	}
}

func TestChainDistrustsADeviceThatReturnsNoErrorAndNoProof(t *testing.T) {
	c := fence.Chain{Devices: []fence.Device{sloppy{}}}
	if p, err := c.Off(t.Context()); p.Proven || !errors.Is(err, fence.ErrUnproven) {
		t.Errorf("proof %+v, err %v", p, err)
	}
}

type sloppy struct{ fence.Device }

func (sloppy) Name() string                             { return "sloppy" }
func (sloppy) Off(context.Context) (fence.Proof, error) { return fence.Proof{}, nil }

func TestChainStatusIsOnIfAnySupplyIsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := fencetest.New("psu1"), fencetest.New("psu2")
		c := fence.Chain{Devices: []fence.Device{one.Device(0), two.Device(0)}}
		_ = one.SwitchOff(t.Context())
		if p, _ := c.Status(t.Context()); p != fence.PowerOn {
			t.Errorf("one of two on: %v", p)
		}
		_ = two.SwitchOff(t.Context())
		if p, _ := c.Status(t.Context()); p != fence.PowerOff {
			t.Errorf("both off: %v", p)
		}
		two.Behave(fencetest.Behaviour{Unreachable: true})
		if p, err := c.Status(t.Context()); p != fence.PowerUnknown || !errors.Is(err, fencetest.ErrUnreachable) {
			t.Errorf("one unreachable: %v, %v", p, err)
		}
	})
}

// script reads what it is told to, with an error for each reading that has one.
type script struct {
	readings []fence.Power
	err      error
}

func (s *script) Name() string                    { return "script" }
func (s *script) Word() string                    { return "of a script" }
func (s *script) SwitchOff(context.Context) error { return nil }
func (s *script) SwitchOn(context.Context) error  { return nil }

func (s *script) Read(context.Context) (fence.Reading, error) {
	if len(s.readings) == 0 {
		return fence.Reading{Power: fence.PowerOn}, s.err
	}
	p := s.readings[0]
	s.readings = s.readings[1:]
	return fence.Reading{Power: p}, s.err
}

func TestReadingsThatContradictOrFailProveNothing(t *testing.T) {
	const on, off = fence.PowerOn, fence.PowerOff
	for name, s := range map[string]*script{
		"on between two offs":         {readings: []fence.Power{off, on, off, off, on, on}},
		"unknown between two offs":    {readings: []fence.Power{off, fence.PowerUnknown, off, off, on, on}},
		"off twice, then on":          {readings: []fence.Power{on, off, off, on}},
		"off, each time with a fault": {readings: []fence.Power{off, off, off, off, off, off}, err: errors.New("checksum")},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, err := fence.New(s, fence.Timing{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if p, err := d.Off(ctx); p.Proven || !errors.Is(err, fence.ErrUnproven) {
				t.Errorf("%s: proof %+v, err %v", name, p, err)
			}
		})
	}
}

// Somebody switched on a while ago, and the outlet still reads off. Our order
// is lost, once or more often.
func TestAnOffReadingFromBeforeASwitchingOnIsNoProof(t *testing.T) {
	proven := 0
	for lag := time.Duration(0); lag <= 25*time.Second; lag += 2500 * time.Millisecond {
		for lost := range 6 {
			synctest.Test(t, func(t *testing.T) {
				f := fencetest.New("plug")
				_ = f.SwitchOff(t.Context())
				time.Sleep(time.Minute)
				_ = f.SwitchOn(t.Context())
				f.Behave(fencetest.Behaviour{ReadLag: lag, Drop: lost})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				proof, err := f.Device(time.Second).Off(ctx)
				if proof.Proven && f.HasPower() {
					t.Errorf("readings lag by %v, %d orders lost: proven, and it has power: %+v", lag, lost, proof)
				}
				if lag > 20*time.Second && lost > 4 && !strings.Contains(proof.Evidence, "no order was acknowledged") {
					t.Errorf("readings lag by %v, %d orders lost: %v", lag, lost, err)
				}
				if n := len(f.Commands()); n > 2+4 {
					t.Errorf("%d orders", n-2)
				}
				if proof.Proven {
					proven++
				}
			})
		}
	}
	if proven < 30 {
		t.Errorf("only %d are proven", proven)
	}
}

// refusing answers the order as a controller does whose box is off.
type refusing struct{ *fencetest.Fake }

func (r refusing) SwitchOff(ctx context.Context) error {
	return errors.Join(r.Fake.SwitchOff(ctx), fmt.Errorf("HTTP 409: %w", fence.ErrAlreadyOff))
}

func TestADeviceThatRefusesTheOrderAsItIsOffAlreadyHasHeardIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fencetest.New("bmc")
		_ = f.SwitchOff(t.Context())
		d, _ := fence.New(refusing{f}, fence.Timing{})
		if proof, err := d.Off(t.Context()); err != nil || proof.Took > time.Second {
			t.Errorf("proof %+v, err %v", proof, err)
		}
		_ = f.SwitchOn(t.Context())
		f.Behave(fencetest.Behaviour{Dead: true})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if proof, err := d.Off(ctx); err == nil {
			t.Errorf("it says that it is off and reads on: %+v", proof)
		}
	})
}
