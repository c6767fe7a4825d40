// Package fence decides whether a node is proven to be without power. It
// refuses to take a device's success for proof: only what is read back counts,
// and anything but the exact answer "off", twice, is unproven. Start reading
// at Device, then Prover.Off, Chain and Levels.
package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Intervals of a proof.
const (
	// Gap is the least time between the two readings of "off". Outlets lag
	// their command by up to 2.7 s and a reboot command passes through "off",
	// so one reading may be of a moment.
	Gap = 300 * time.Millisecond
	// Poll is the pause between readings while the outlet is not yet off.
	Poll = 250 * time.Millisecond
	// MaxOff bounds one Off whose context has no deadline.
	MaxOff = 2 * time.Minute
	// MaxHoldup bounds Timing.Holdup; New refuses a longer one.
	MaxHoldup = time.Minute
	// MinHold is the least time that Reboot keeps a node off: the capacitors
	// of a power supply carry it for seconds.
	MinHold = 10 * time.Second
	// MaxHold is the longest; Reboot refuses a longer one.
	MaxHold = 5 * time.Minute
	// InFlight is how long an "on" of ours that was never read back may still
	// be carried out. The slowest outlet known lags by 25 s.
	InFlight = 30 * time.Second
)

// ErrUnproven says that the peer may have power. No takeover rests on it.
var ErrUnproven = errors.New("power off is not proven")

// A Proof is the outcome of an Off.
type Proof struct {
	Proven   bool
	Grade    Grade  // what it rests on; of several feeds the least
	Level    int    // that proved it, from 1; 0: there are no levels
	Evidence string // what it rests on, or why it does not hold: one line for the journal
	Detail   string // device, readings and the command's own error
	Took     time.Duration

	meter meter // of one feed
}

// A Device switches one node off, with all of its power supplies. Its
// operations that switch wait for each other, so no On falls into an Off.
type Device interface {
	// Name names the device for logs and status.
	Name() string
	// Off switches off and proves it. The error is nil only with
	// Proof.Proven, and wraps ErrUnproven otherwise.
	Off(ctx context.Context) (Proof, error)
	// On switches on and returns nil only if the device then reads on.
	On(ctx context.Context) error
	// Reboot switches off, proves it, keeps the node off for hold (at least
	// MinHold), and switches on. The error is nil only if all of that worked;
	// nothing is switched on unless off was proven, as the Proof then says.
	Reboot(ctx context.Context, hold time.Duration) (Proof, error)
	// Status reads the power; an error comes only with PowerUnknown.
	Status(ctx context.Context) (Power, error)
	// Check reads the power and who the device is, and returns what would
	// make an Off fail or doubtful. It switches nothing. An error says that
	// the check was cut short.
	Check(ctx context.Context) ([]Finding, error)
}

// A part is a Device whose operation can be one step of a longer one. The
// steps leave the locks to their caller.
type part interface {
	Device
	provers() []*Prover
	off(ctx context.Context) (Proof, error)
	on(ctx context.Context) error
	confirm(ctx context.Context) (Power, error) // one more reading, judged as a proof judges it
	reprove(ctx context.Context) error          // two more, after one that failed
	inFlight() (string, time.Duration)          // what of it could still give power, and for how long
}

// exclusively locks the provers of a part and runs what is to be done. The
// order of locking is the same for everyone, so two never wait for each other.
func exclusively(ctx context.Context, d part, do func(context.Context) error) error {
	all := d.provers()
	sort.Slice(all, func(i, k int) bool { return all[i].number < all[k].number })
	all = slices.Compact(all)
	for i, p := range all {
		select {
		case p.busy <- struct{}{}:
			defer func() { <-p.busy }()
		case <-ctx.Done():
			return fmt.Errorf("wait for another operation of %s: %w", all[i].Name(), ctx.Err())
		}
	}
	return do(ctx)
}

// switchOff is Off of any part.
func switchOff(ctx context.Context, d part) (Proof, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, MaxOff)
	defer cancel()
	var proof Proof
	err := exclusively(ctx, d, func(ctx context.Context) (err error) {
		proof, err = d.off(ctx)
		return err
	})
	proof, err = sealed(proof, d.Name(), err)
	proof.Took = time.Since(began)
	return proof, err
}

// sealed completes a proof: Proven, the error and the evidence agree.
func sealed(proof Proof, name string, err error) (Proof, error) {
	if err == nil && (!proof.Proven || proof.Grade < GradeClaim) {
		err = errors.New("there is no proof")
	}
	if err == nil {
		proof.Evidence = proof.Grade.String() + ": " + proof.Evidence
		return proof, nil
	}
	proof.Proven = false
	proof.Grade = min(proof.Grade, GradeWeak)
	proof.Evidence = "unproven: " + oneLine(err)
	return proof, fmt.Errorf("switch off by %s: %w: %w", name, ErrUnproven, err)
}

// oneLine is the text of joined errors without their line breaks.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// switchOn is On of any part.
func switchOn(ctx context.Context, d part) error {
	ctx, cancel := context.WithTimeout(ctx, MaxOff)
	defer cancel()
	if err := exclusively(ctx, d, d.on); err != nil {
		return fmt.Errorf("switch on by %s: %w", d.Name(), err)
	}
	return nil
}

// reboot is Reboot of any part.
func reboot(ctx context.Context, d part, hold time.Duration) (Proof, error) {
	began := time.Now()
	hold = max(hold, MinHold)
	ctx, cancel := context.WithTimeout(ctx, hold+2*MaxOff)
	defer cancel()
	var proof Proof
	err := exclusively(ctx, d, func(ctx context.Context) (err error) {
		proof, err = offAndOn(ctx, d, hold)
		return err
	})
	if err != nil && !proof.Proven {
		proof, err = sealed(proof, d.Name(), err)
	}
	proof.Took = time.Since(began)
	return proof, err
}

// offAndOn switches nothing unless the time suffices to end with on.
func offAndOn(ctx context.Context, d part, hold time.Duration) (Proof, error) {
	end, _ := ctx.Deadline() // reboot has set one
	spare := time.Until(end) - hold
	if hold > MaxHold || spare < MinHold {
		return Proof{}, fmt.Errorf("%v of time is not enough for off, a hold of %v (at most %v) and on; nothing was switched",
			time.Until(end).Round(time.Second), hold, MaxHold)
	}
	short, cancel := context.WithTimeout(ctx, spare/2)
	proof, err := d.off(short)
	cancel()
	if err != nil {
		return proof, fmt.Errorf("%w; nothing was switched on", err)
	}
	if proof, err = sealed(proof, d.Name(), nil); err != nil {
		return proof, err
	}
	if err := sleep(ctx, hold); err != nil {
		return proof, fmt.Errorf("hold %s off: %w", d.Name(), err)
	}
	var came error
	if power, _ := d.confirm(ctx); power == PowerOn {
		came = fmt.Errorf("hold %s off: it read on before it was switched on", d.Name())
	}
	if err := d.on(ctx); err != nil {
		return proof, errors.Join(came, fmt.Errorf("switch on by %s: %w", d.Name(), err))
	}
	return proof, came
}

// sleep waits for d or for the end of ctx, and says which by its error.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
