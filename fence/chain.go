package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of reading all feeds together.
const (
	// maxRounds is how many rounds there are at most. Another follows one in
	// which an answer was lost and that took too long.
	maxRounds = 8
	// roundTime is how long a round may take in which an answer was lost.
	roundTime = 5 * time.Second
)

// A Chain is one node with several power supplies, on several outlets or
// devices. It is off only if all are proven off, together.
type Chain struct {
	Devices []Device
}

var _ Device = Chain{}

// Name joins the names of the devices.
func (c Chain) Name() string { return names(c.Devices, "+") }

// names joins the names of devices.
func names[D Device](devices []D, between string) string {
	all := make([]string, len(devices))
	for i, d := range devices {
		all[i] = d.Name()
	}
	return strings.Join(all, between)
}

// Off switches all devices off at once. When each is proven, all are read once
// more: the node never had power from one while another was being proven.
func (c Chain) Off(ctx context.Context) (Proof, error) { return switchOff(ctx, c) }

// On switches all devices on at once and joins the errors.
func (c Chain) On(ctx context.Context) error { return switchOn(ctx, c) }

// Reboot switches nothing on before all devices are proven off.
func (c Chain) Reboot(ctx context.Context, hold time.Duration) (Proof, error) {
	return reboot(ctx, c, hold)
}

func (c Chain) parts() []part {
	parts := make([]part, len(c.Devices))
	for i, d := range c.Devices {
		var ok bool
		if parts[i], ok = d.(part); !ok {
			parts[i] = foreign{d}
		}
	}
	return parts
}

func (c Chain) provers() []*Prover {
	var all []*Prover
	for _, d := range c.parts() {
		all = append(all, d.provers()...)
	}
	return all
}

// atOnce does something with all devices at the same time and joins the errors.
func (c Chain) atOnce(do func(i int, d part) error) error {
	errs := make([]error, len(c.Devices))
	var all sync.WaitGroup
	for i, d := range c.parts() {
		all.Go(func() { errs[i] = do(i, d) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (c Chain) off(ctx context.Context) (Proof, error) {
	proofs := make([]Proof, len(c.Devices))
	err := c.atOnce(func(i int, d part) (err error) {
		proofs[i], err = d.off(ctx)
		// A device's own claim counts for nothing here without its Proven.
		if err == nil && !proofs[i].Proven {
			err = errors.New("there is no proof")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name(), err)
		}
		return nil
	})
	switch {
	case len(c.Devices) == 0:
		err = errors.New("no device")
	case err == nil && len(c.Devices) > 1:
		err = c.together(ctx)
		if err == nil {
			sharing(proofs, c.parts())
		}
	}
	proof := Proof{Proven: err == nil, Grade: GradeLoad}
	for i, p := range proofs {
		proof.Grade = min(proof.Grade, p.Grade)
		if i > 0 {
			proof.Evidence += "; "
			proof.Detail += "; "
		}
		if len(proofs) > 1 {
			proof.Evidence += c.Devices[i].Name() + " "
		}
		proof.Evidence += p.Evidence
		proof.Detail += p.Detail
	}
	if len(proofs) == 1 {
		proof.meter = proofs[0].meter
	}
	return proof, err
}

// together reads all devices at once until each reads off in one round. A
// device whose answer is lost must read off twice more; if that takes long, the
// others are read anew.
func (c Chain) together(ctx context.Context) error {
	for range maxRounds {
		var lost atomic.Bool
		began := time.Now()
		err := c.atOnce(func(_ int, d part) error {
			power, err := d.confirm(ctx)
			switch power {
			case PowerOff:
				return nil
			case PowerOn:
				return errors.Join(fmt.Errorf("%s reads on after all were off", d.Name()), err)
			}
			lost.Store(true)
			if again := d.reprove(ctx); again != nil {
				return fmt.Errorf("%s: once more after all were off: %w", d.Name(), errors.Join(err, again))
			}
			return nil
		})
		if err != nil || !lost.Load() || time.Since(began) < roundTime {
			return err
		}
	}
	return fmt.Errorf("in none of %d rounds did all read off together", maxRounds)
}

func (c Chain) on(ctx context.Context) error {
	return c.atOnce(func(_ int, d part) error {
		if err := d.on(ctx); err != nil {
			return fmt.Errorf("%s: %w", d.Name(), err)
		}
		return nil
	})
}

func (c Chain) confirm(ctx context.Context) (Power, error) {
	return powerOf(c.parts(), func(d part) (Power, error) { return d.confirm(ctx) })
}

func (c Chain) reprove(ctx context.Context) error {
	return c.atOnce(func(_ int, d part) error { return d.reprove(ctx) })
}

func (c Chain) inFlight() (what string, left time.Duration) {
	for _, d := range c.parts() {
		if w, l := d.inFlight(); l > left {
			what, left = w, l
		}
	}
	return what, left
}

// silent says that a device did not answer when it was last asked.
func (c Chain) silent() bool {
	return slices.ContainsFunc(c.provers(), (*Prover).silent)
}

// Status is on if any device reads on, off if all read off, else unknown.
func (c Chain) Status(ctx context.Context) (Power, error) {
	return powerOf(c.parts(), func(d part) (Power, error) { return d.Status(ctx) })
}

func powerOf(parts []part, read func(part) (Power, error)) (Power, error) {
	var errs []error
	off, on := 0, 0
	for _, d := range parts {
		power, err := read(d)
		switch power {
		case PowerOn:
			on++
		case PowerOff:
			off++
		default:
			errs = append(errs, errors.Join(fmt.Errorf("read %s: unknown", d.Name()), err))
		}
	}
	switch {
	case on > 0:
		return PowerOn, nil
	case off > 0 && off == len(parts):
		return PowerOff, nil
	default:
		return PowerUnknown, errors.Join(errs...)
	}
}

// Check checks all devices at once.
func (c Chain) Check(ctx context.Context) ([]Finding, error) {
	found := make([][]Finding, len(c.Devices))
	err := c.atOnce(func(i int, d part) (err error) {
		found[i], err = d.Check(ctx)
		return err
	})
	var all []Finding
	for _, f := range found {
		all = append(all, f...)
	}
	return all, err
}

// foreign is a Device of another package as a part. It keeps its own locks.
type foreign struct{ Device }

func (f foreign) provers() []*Prover                         { return nil }
func (f foreign) off(ctx context.Context) (Proof, error)     { return f.Off(ctx) }
func (f foreign) on(ctx context.Context) error               { return f.On(ctx) }
func (f foreign) confirm(ctx context.Context) (Power, error) { return f.Status(ctx) }
func (f foreign) inFlight() (string, time.Duration)          { return "", 0 }

func (f foreign) reprove(ctx context.Context) error {
	_, err := f.Off(ctx)
	return err
}
