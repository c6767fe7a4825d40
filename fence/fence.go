// Package fence decides whether a node is proven to be without power. It
// refuses to take a device's success for proof: only what is read back counts,
// and anything but the exact answer "off", twice, is unproven. Start reading
// at Device, then Prover.Off.
package fence

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
}

// A Device switches one node off, with all of its power supplies.
type Device interface {
	// Name names the device for logs and status.
	Name() string
	// Off switches off and proves it. The error is nil only with
	// Proof.Proven, and wraps ErrUnproven otherwise.
	Off(ctx context.Context) (Proof, error)
	// On switches on and returns nil only if the device then reads on.
	On(ctx context.Context) error
	// Status reads the power; an error comes only with PowerUnknown.
	Status(ctx context.Context) (Power, error)
}

// Timing of a Prover.
type Timing struct {
	Gap    time.Duration // between the two readings; less than Gap is raised to it
	Poll   time.Duration // while waiting for the outlet; 0 means Poll
	Holdup time.Duration // from proof until the power supply has run dry
}

// A Prover makes a Device of a Switch.
type Prover struct {
	sw     Switch
	timing Timing
	busy   chan struct{} // held by the one operation that switches
}

var _ Device = (*Prover)(nil)

// New returns the Device of a Switch.
func New(sw Switch, t Timing) (*Prover, error) {
	if t.Holdup < 0 || t.Holdup > MaxHoldup {
		return nil, fmt.Errorf("make fence device %s: holdup %v is not within 0..%v", sw.Name(), t.Holdup, MaxHoldup)
	}
	t.Gap = max(t.Gap, Gap)
	if t.Poll <= 0 {
		t.Poll = Poll
	}
	return &Prover{sw: sw, timing: t, busy: make(chan struct{}, 1)}, nil
}

// Name returns the name of the switch.
func (p *Prover) Name() string { return p.sw.Name() }

// Status reads the power.
func (p *Prover) Status(ctx context.Context) (Power, error) {
	r, err := p.sw.Read(ctx)
	return r.Power, err
}

// Off gives the command, always, even to an outlet that reads off already: a
// delayed "on" may be pending in it. It then reads until "off" was read twice,
// Gap apart, with nothing else in between; waits for the power supply to run
// dry; and reads once more, as an outlet that was told to reboot comes back.
// A command that fails may have worked all the same, so the readings decide.
func (p *Prover) Off(ctx context.Context) (Proof, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, MaxOff)
	defer cancel()
	proof := Proof{}
	err := p.off(ctx, &proof)
	proof.Took = time.Since(began)
	if err != nil {
		proof.Evidence = "unproven: " + err.Error()
		return proof, fmt.Errorf("switch off by %s: %w: %w", p.Name(), ErrUnproven, err)
	}
	proof.Proven = true
	return proof, nil
}

func (p *Prover) off(ctx context.Context, proof *Proof) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	defer func() { <-p.busy }()
	cmdErr := p.command(ctx)
	r := readings{command: cmdErr}
	defer func() { proof.Detail = p.Name() + ": " + r.String() }()
	if err := p.untilOff(ctx, &r); err != nil {
		if cmdErr != nil {
			err = fmt.Errorf("%w; command: %w", err, cmdErr)
		}
		return err
	}
	if err := sleep(ctx, p.timing.Holdup); err != nil {
		return fmt.Errorf("wait out hold-up of %v: %w", p.timing.Holdup, err)
	}
	// Without a hold-up this is a third reading, and costs next to nothing.
	if power := p.read(ctx, &r); power != PowerOff {
		return fmt.Errorf("read %v after it was off twice", power)
	}
	proof.Evidence = fmt.Sprintf("off, by the word %s, read twice %v apart and again after %v of hold-up",
		p.sw.Word(), r.apart.Round(time.Millisecond), p.timing.Holdup)
	return nil
}

// command gives the off command half of the time that is left: one that hangs
// may have switched all the same, and reading needs time, too.
func (p *Prover) command(ctx context.Context) error {
	end, _ := ctx.Deadline() // Off has set one
	ctx, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	return p.sw.SwitchOff(ctx)
}

// untilOff reads until two readings of off lie Gap apart, or ctx ends.
func (p *Prover) untilOff(ctx context.Context, r *readings) error {
	var first time.Time // of the first reading of off since anything else
	for {
		before := time.Now()
		power := p.read(ctx, r)
		switch {
		case power != PowerOff:
			first = time.Time{}
		case first.IsZero():
			first = time.Now() // its end: the second must begin Gap later
		case before.Sub(first) >= p.timing.Gap:
			r.apart = before.Sub(first)
			return nil
		}
		pause := p.timing.Poll
		if !first.IsZero() {
			pause = p.timing.Gap
		}
		if err := sleep(ctx, pause); err != nil {
			return r.last(err)
		}
	}
}

func (p *Prover) read(ctx context.Context, r *readings) Power {
	said, err := p.sw.Read(ctx)
	power := said.Power
	if ctx.Err() != nil && err != nil {
		return PowerUnknown // cut short by our own deadline: no reading at all
	}
	if err != nil {
		power = PowerUnknown
	}
	r.power, r.err = power, err
	r.count[power%3]++
	return power
}

// On switches on and polls until the device reads on.
func (p *Prover) On(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, MaxOff)
	defer cancel()
	if err := p.begin(ctx); err != nil {
		return fmt.Errorf("switch on by %s: %w", p.Name(), err)
	}
	defer func() { <-p.busy }()
	cmdErr := p.sw.SwitchOn(ctx)
	r := readings{command: cmdErr}
	for {
		power := p.read(ctx, &r)
		if power == PowerOn {
			return nil
		}
		if cmdErr != nil {
			return fmt.Errorf("switch on by %s: %w", p.Name(), cmdErr)
		}
		if err := sleep(ctx, p.timing.Poll); err != nil {
			return fmt.Errorf("switch on by %s: %w", p.Name(), r.last(err))
		}
	}
}

// begin waits for another Off or On of this device: an On that lands after a
// proof of off would make it a lie.
func (p *Prover) begin(ctx context.Context) error {
	select {
	case p.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another operation: %w", ctx.Err())
	}
}

// readings are what an operation read, for Proof.Detail.
type readings struct {
	command error
	count   [3]int // by Power
	apart   time.Duration
	power   Power // the newest
	err     error // what the newest gave, if unknown
}

// last puts the newest reading and the reason for the end into one line.
func (r *readings) last(end error) error {
	if r.err != nil {
		return fmt.Errorf("last read %v (%w): %w", r.power, r.err, end)
	}
	return fmt.Errorf("last read %v: %w", r.power, end)
}

func (r *readings) String() string {
	s := fmt.Sprintf("read off %d times, on %d, unknown %d", r.count[PowerOff], r.count[PowerOn], r.count[PowerUnknown])
	if r.command != nil {
		s += "; command: " + r.command.Error()
	}
	if r.err != nil {
		s += "; reading: " + r.err.Error()
	}
	return s
}

// A Chain is one node with several power supplies, on several outlets or
// devices. It is off only if all are proven off, together.
type Chain struct {
	Devices []Device
}

var _ Device = Chain{}

// Name joins the names of the devices.
func (c Chain) Name() string {
	name := ""
	for i, d := range c.Devices {
		if i > 0 {
			name += "+"
		}
		name += d.Name()
	}
	return name
}

// Off switches all devices off at once. When each is proven, all are read once
// more: the node never had power from one while another was being proven.
func (c Chain) Off(ctx context.Context) (Proof, error) {
	began := time.Now()
	if len(c.Devices) == 0 {
		return Proof{Evidence: "unproven: no device"}, fmt.Errorf("switch off: no device: %w", ErrUnproven)
	}
	proofs := make([]Proof, len(c.Devices))
	errs := make([]error, len(c.Devices))
	var all sync.WaitGroup
	for i, d := range c.Devices {
		all.Go(func() { proofs[i], errs[i] = d.Off(ctx) })
	}
	all.Wait()
	err := errors.Join(errs...)
	if err == nil && len(c.Devices) > 1 {
		err = c.allOff(ctx)
	}
	proof := Proof{Proven: err == nil, Took: time.Since(began)}
	for i, p := range proofs {
		// A device's own claim counts for nothing here without its Proven.
		if !p.Proven {
			proof.Proven = false
		}
		if i > 0 {
			proof.Evidence += "; "
			proof.Detail += "; "
		}
		proof.Evidence += p.Evidence
		proof.Detail += p.Detail
	}
	switch {
	case proof.Proven:
		return proof, nil
	case err == nil:
		err = fmt.Errorf("switch off by %s: %w", c.Name(), ErrUnproven)
	default:
		proof.Evidence += "; together: " + err.Error()
	}
	return proof, err
}

func (c Chain) allOff(ctx context.Context) error {
	for _, d := range c.Devices {
		if power, err := d.Status(ctx); power != PowerOff {
			return errors.Join(fmt.Errorf("%s reads %v after all were off: %w", d.Name(), power, ErrUnproven), err)
		}
	}
	return nil
}

// On switches every device on and joins the errors.
func (c Chain) On(ctx context.Context) error {
	var errs []error
	for _, d := range c.Devices {
		errs = append(errs, d.On(ctx))
	}
	return errors.Join(errs...)
}

// Status is on if any device reads on, off if all read off, else unknown.
func (c Chain) Status(ctx context.Context) (Power, error) {
	var errs []error
	off, on := 0, 0
	for _, d := range c.Devices {
		power, err := d.Status(ctx)
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
	case off > 0 && off == len(c.Devices):
		return PowerOff, nil
	default:
		return PowerUnknown, errors.Join(errs...)
	}
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
