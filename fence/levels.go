package fence

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The part of the time that is left that each level but the last may take.
const (
	// levelShare is half of it: an outlet whose relay moves late needs most.
	levelShare = 2
	// silentShare is that of a level that did not answer when it was last
	// asked, while all was well. It may be back, but the service waits.
	silentShare = 6
)

// Levels are ways to switch one node off, the best first: its outlets, then
// its management controller, then an order to the node itself. One that is
// proven ends an Off; the next is tried only if it is not. After the last the
// first is tried again: an outlet that went off unread takes the controller,
// which it feeds, along.
type Levels struct {
	Chains []Chain
}

var _ Device = Levels{}

// Name names the levels in their order.
func (l Levels) Name() string { return names(l.Chains, ", then ") }

// Off tries level by level. No level begins while something in an earlier one
// could still give the node power: a pending command, or our own "on".
func (l Levels) Off(ctx context.Context) (Proof, error) { return switchOff(ctx, l) }

// On switches every level on, in their order, as an outlet feeds the
// controller. It returns nil if one of them reads on and none reads off.
func (l Levels) On(ctx context.Context) error { return switchOn(ctx, l) }

// Reboot switches off by the first level that can prove it, and all on again.
func (l Levels) Reboot(ctx context.Context, hold time.Duration) (Proof, error) {
	return reboot(ctx, l, hold)
}

func (l Levels) provers() []*Prover {
	var all []*Prover
	for _, c := range l.Chains {
		all = append(all, c.provers()...)
	}
	return all
}

// share runs one try of a level with its part of the time.
func (l Levels) share(ctx context.Context, i int, last bool, do func(context.Context)) {
	bound := remaining(ctx)
	switch {
	case last:
	case l.Chains[i].silent():
		bound /= silentShare
	default:
		bound /= levelShare
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	do(ctx)
}

func (l Levels) off(ctx context.Context) (proof Proof, err error) {
	tries := len(l.Chains)
	if tries == 0 {
		return Proof{}, errors.New("no device")
	}
	if tries > 1 {
		tries++ // the first again
	}
	var errs []error
	detail := ""
	grade := GradeNone
	for n := range tries {
		i := n % len(l.Chains)
		if err := l.landed(ctx, i); err != nil {
			errs = append(errs, fmt.Errorf("level %d was not tried: %w", i+1, err))
			break
		}
		l.share(ctx, i, n == tries-1, func(ctx context.Context) { proof, err = l.Chains[i].off(ctx) })
		detail += fmt.Sprintf("level %d: %s; ", i+1, proof.Detail)
		if err == nil && proof.Proven && proof.Grade >= GradeClaim {
			proof.Level, proof.Detail = i+1, detail
			if tries > 1 {
				proof.Evidence = fmt.Sprintf("level %d: %s", i+1, proof.Evidence)
			}
			return proof, nil
		}
		if err == nil {
			err = errors.New("there is no proof")
		}
		grade = max(grade, min(proof.Grade, GradeWeak))
		errs = append(errs, fmt.Errorf("level %d: %w", i+1, err))
	}
	return Proof{Grade: grade, Detail: detail}, errors.Join(errs...)
}

// landed waits until nothing in the levels before i could give power any more.
func (l Levels) landed(ctx context.Context, i int) error {
	for _, c := range l.Chains[:i] {
		end := time.Now().Add(InFlight)
		for what, left := c.inFlight(); left > 0; what, left = c.inFlight() {
			if time.Now().After(end) {
				return errors.New(what)
			}
			if err := sleep(ctx, min(left, Poll)); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			_, _ = c.confirm(ctx) // a reading may say that it is over
		}
	}
	return nil
}

func (l Levels) on(ctx context.Context) error {
	var errs []error
	for i, c := range l.Chains {
		l.share(ctx, i, i == len(l.Chains)-1, func(ctx context.Context) {
			if power, _ := c.Status(ctx); power == PowerOn && i > 0 {
				return // the level before it was enough to start it
			}
			if err := c.on(ctx); err != nil {
				errs = append(errs, fmt.Errorf("level %d: %w", i+1, err))
			}
		})
	}
	if len(l.Chains) == 0 {
		return errors.New("no device")
	}
	if len(errs) == 0 {
		return nil
	}
	power, err := l.Status(ctx)
	if power == PowerOn {
		return nil
	}
	return errors.Join(append(errs, err)...)
}

func (l Levels) confirm(ctx context.Context) (Power, error) {
	return l.power(func(c Chain) (Power, error) { return c.confirm(ctx) })
}

func (l Levels) reprove(ctx context.Context) error {
	for _, c := range l.Chains {
		if c.reprove(ctx) == nil {
			return nil
		}
	}
	return ErrUnproven
}

func (l Levels) inFlight() (what string, left time.Duration) {
	for _, c := range l.Chains {
		if w, t := c.inFlight(); t > left {
			what, left = w, t
		}
	}
	return what, left
}

// Status is off if any level reads off, on if one reads on and none off.
func (l Levels) Status(ctx context.Context) (Power, error) {
	return l.power(func(c Chain) (Power, error) { return c.Status(ctx) })
}

func (l Levels) power(read func(Chain) (Power, error)) (Power, error) {
	var errs []error
	on := false
	for _, c := range l.Chains {
		power, err := read(c)
		if power == PowerOff {
			return PowerOff, nil
		}
		on = on || power == PowerOn
		errs = append(errs, err)
	}
	if on {
		return PowerOn, nil
	}
	return PowerUnknown, errors.Join(errs...)
}

// Check checks all levels, one after the other.
func (l Levels) Check(ctx context.Context) ([]Finding, error) {
	var all []Finding
	var errs []error
	for i, c := range l.Chains {
		l.share(ctx, i, i == len(l.Chains)-1, func(ctx context.Context) {
			found, err := c.Check(ctx)
			all = append(all, found...)
			errs = append(errs, err)
		})
	}
	return all, errors.Join(errs...)
}
