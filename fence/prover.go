package fence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Intervals and bounds of one prover.
const (
	// PinFresh is how old the newest good check of a pin may be for an Off
	// whose device does not say who it is just then. The watch checks every
	// 30 s while all is well, so two checks may be lost. With none so new the
	// Off commands nothing: it could hit another box.
	PinFresh = 90 * time.Second
	// beforeTime bounds what an Off may ask before it commands, where it can
	// do without the answer.
	beforeTime = time.Second
	// again is how long after a command that failed, or that a device's
	// restart may have lost, it is given anew.
	again = 3 * time.Second
	// maxCommands bounds the off commands of one Off.
	maxCommands = 4
)

// Timing of a Prover.
type Timing struct {
	Gap    time.Duration // between the two readings; less than Gap is raised to it
	Poll   time.Duration // while waiting for the outlet; 0 means Poll
	Holdup time.Duration // from proof until the power supply has run dry
}

// A Prover makes a Device of a Feed.
type Prover struct {
	feed   Feed
	timing Timing
	number uint64        // in order of making, for the order of locks
	busy   chan struct{} // held by the one operation that switches

	mu   sync.Mutex
	past memory
}

// memory is what readings taught.
type memory struct {
	pinned   time.Time // when the pin was last seen to fit; zero: it does not, or never was
	identity Identity  // newest
	known    bool      // identity is
	read     bool      // has ever been read
	tells    bool      // has told of commands: from then on it must tell that there is none
	pending  bool      // the newest reading could not rule a command out
	sent     time.Time // when our newest "on" was sent, or failed to be
	flying   time.Time // until then it may be carried out
	mute     bool      // the newest reading failed
	meter    meter
}

var provers atomic.Uint64

var _ Device = (*Prover)(nil)

// New returns the Device of a Switch.
func New(sw Switch, t Timing) (*Prover, error) { return NewFeed(Feed{Switch: sw}, t) }

// NewFeed returns the Device of a Feed. It refuses a pin that nobody can check.
func NewFeed(f Feed, t Timing) (*Prover, error) {
	if t.Holdup < 0 || t.Holdup > MaxHoldup {
		return nil, fmt.Errorf("make fence device %s: holdup %v is not within 0..%v", f.Switch.Name(), t.Holdup, MaxHoldup)
	}
	if _, ok := f.Switch.(Identifier); !ok && !f.Pin.Empty() {
		return nil, fmt.Errorf("make fence device %s: it is pinned, but its driver cannot say what it is", f.Switch.Name())
	}
	t.Gap = max(t.Gap, Gap)
	if t.Poll <= 0 {
		t.Poll = Poll
	}
	p := &Prover{feed: f, timing: t, number: provers.Add(1), busy: make(chan struct{}, 1)}
	p.past.meter = meter{unit: f.Unit, draw: f.Draw}
	return p, nil
}

// Name returns the name of the switch.
func (p *Prover) Name() string { return p.feed.Switch.Name() }

// Status reads the power.
func (p *Prover) Status(ctx context.Context) (Power, error) {
	said, err := p.ask(ctx)
	return said.Power, err
}

// Off gives the command, always, even to an outlet that reads off already: a
// delayed "on" may be pending in it. It then reads until "off" was read twice,
// Gap apart, with nothing else in between, no command pending and no load on
// the outlet's meter; waits for the power supply to run dry; and reads once
// more, as an outlet that was told to reboot comes back. A command that fails
// may have worked all the same, so the readings decide: but what reads off
// counts only if a command was acknowledged, or the outlet was read on when the
// first one was sent or later. Else it may be a reading that lags behind
// somebody's "on", and the command lost.
func (p *Prover) Off(ctx context.Context) (Proof, error) { return switchOff(ctx, p) }

// On switches on and polls until the device reads on.
func (p *Prover) On(ctx context.Context) error { return switchOn(ctx, p) }

// Reboot is off, proof, hold, on.
func (p *Prover) Reboot(ctx context.Context, hold time.Duration) (Proof, error) {
	return reboot(ctx, p, hold)
}

func (p *Prover) provers() []*Prover { return []*Prover{p} }

func (p *Prover) off(ctx context.Context) (Proof, error) {
	r := readings{}
	err := p.prove(ctx, &r)
	proof := Proof{Detail: p.Name() + ": " + r.String(), meter: r.meter}
	if err != nil {
		if r.ordered {
			proof.Grade = GradeWeak
		}
		return proof, err
	}
	proof.Proven = true
	proof.Grade = min(r.meter.grade(), p.best())
	proof.Evidence = fmt.Sprintf("by the word %s, read twice %v apart and again after %v of hold-up; %s",
		p.feed.Switch.Word(), r.apart.Round(time.Millisecond), p.timing.Holdup, r.meter)
	return proof, nil
}

// prove returns nil only if the outlet is off.
func (p *Prover) prove(ctx context.Context, r *readings) error {
	if err := p.rightBox(ctx, r); err != nil {
		return err
	}
	if err := p.before(ctx, r); err != nil {
		return fmt.Errorf("nothing was switched: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("withdrawn before anything was switched: %w", err)
	}
	p.command(ctx, r)
	if p.best() <= GradeWeak {
		return errors.Join(fmt.Errorf("an order by the word %s is no proof", p.feed.Switch.Word()), r.command)
	}
	err := p.untilDry(ctx, r)
	if err == nil {
		err = p.untilLight(ctx, r)
	}
	if err != nil && r.command != nil {
		return fmt.Errorf("%w; command: %w", err, r.command)
	}
	return err
}

// untilDry reads until the outlet is off, and still is after the hold-up.
func (p *Prover) untilDry(ctx context.Context, r *readings) error {
	err := p.untilOff(ctx, r)
	for err == nil {
		if err := p.holdup(ctx, r); err != nil {
			return err
		}
		// Without a hold-up this is a third reading, and costs next to nothing.
		power := p.read(ctx, r)
		switch power {
		case PowerOff:
			return nil
		case PowerOn:
			return fmt.Errorf("read %v after it was off twice", power)
		}
		// An answer that is lost is none: two more. If power was on among
		// them, the supply runs dry anew.
		commands, on := r.commands, r.count[PowerOn]
		err = p.untilOff(ctx, r)
		if err == nil && r.commands == commands && r.count[PowerOn] == on {
			return nil
		}
	}
	return err
}

// best is the best grade that the switch allows.
func (p *Prover) best() Grade {
	if g, ok := p.feed.Switch.(Grader); ok {
		return g.BestGrade()
	}
	return GradeLoad
}

// rightBox refuses to go on with an outlet that is not the pinned one. Where
// the device does not say, the newest good check counts for PinFresh.
func (p *Prover) rightBox(ctx context.Context, r *readings) error {
	if p.feed.Pin.Empty() {
		return nil
	}
	p.mu.Lock()
	age := time.Since(p.past.pinned)
	p.mu.Unlock()
	bound := remaining(ctx) / 2
	if age < PinFresh {
		bound = min(bound, beforeTime)
	}
	short, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	_, err := p.identify(short)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrPin), errors.Is(err, ErrNoOutlet):
		return err
	case age < PinFresh:
		r.note = fmt.Sprintf("identity not read now, but right %v ago: %v", age.Round(time.Second), err)
		return nil
	}
	return fmt.Errorf("nothing was switched, as nobody knows whether it is the right device: %w", err)
}

// identify asks who the device is, remembers it, and holds it against the pin.
func (p *Prover) identify(ctx context.Context) (Identity, error) {
	who, ok := p.feed.Switch.(Identifier)
	if !ok {
		return Identity{}, nil
	}
	is, err := who.Identify(ctx)
	if err != nil {
		return is, fmt.Errorf("identify %s: %w", p.Name(), err)
	}
	err = p.feed.Pin.Check(is)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past.identity, p.past.known = is, true
	p.past.pinned = time.Now()
	if err != nil {
		p.past.pinned = time.Time{}
		return is, fmt.Errorf("identify %s: %w", p.Name(), err)
	}
	return is, nil
}

// before reads the outlet just before the command. Of one that is off already
// no meter can show the fall. An error says that no command can have an effect:
// the time is the next level's.
func (p *Prover) before(ctx context.Context, r *readings) error {
	if p.best() < GradeClaim {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, min(beforeTime, remaining(ctx)/4))
	defer cancel()
	said, err := p.ask(short)
	switch hopeless := errors.Is(err, ErrNoOutlet) || errors.Is(err, ErrNotSwitchable); {
	case hopeless && short.Err() == nil:
		return err
	case err != nil:
		return nil // only evidence that is missing
	}
	r.wasOn = said.Power == PowerOn
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past.meter.wasOn = r.wasOn
	return nil
}

// command gives the off command half of the time that is left: one that hangs
// may have switched all the same, and reading needs time, too.
func (p *Prover) command(ctx context.Context, r *readings) {
	short, cancel := context.WithTimeout(ctx, remaining(ctx)/2)
	defer cancel()
	err := p.feed.Switch.SwitchOff(short)
	r.commanded, r.commands, r.silent = time.Now(), r.commands+1, false
	r.command = err
	r.ordered = r.ordered || err == nil || errors.Is(err, ErrAlreadyOff)
}

// untilOff reads until two readings of off lie Gap apart, or ctx ends.
func (p *Prover) untilOff(ctx context.Context, r *readings) error {
	var first time.Time // of the first reading of off since anything else
	for {
		before := time.Now()
		power := p.read(ctx, r)
		switch {
		case power == PowerOn && r.final:
			return errors.New("it read on after it was proven off")
		case power != PowerOff:
			first = time.Time{}
		case !r.counts():
			r.err = errStale
		case first.IsZero():
			first = time.Now() // its end: the second must begin Gap later
		case before.Sub(first) >= p.timing.Gap:
			r.apart = before.Sub(first)
			return nil
		}
		if r.lost() {
			p.command(ctx, r)
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

// holdup waits for the power supply to run dry. Meanwhile a pinned device is
// asked once more who it is: it may have been another since the command.
func (p *Prover) holdup(ctx context.Context, r *readings) error {
	began := time.Now()
	if !p.feed.Pin.Empty() {
		short, cancel := context.WithTimeout(ctx, min(beforeTime, remaining(ctx)/4))
		_, err := p.identify(short)
		cancel()
		if errors.Is(err, ErrPin) || errors.Is(err, ErrNoOutlet) {
			return fmt.Errorf("after the command: %w", err)
		}
	}
	if err := sleep(ctx, p.timing.Holdup-time.Since(began)); err != nil {
		return fmt.Errorf("wait out hold-up of %v: %w", p.timing.Holdup, err)
	}
	return nil
}

// untilLight gives a coarse meter that could show the fall the time to do so.
// Each of its readings must be off; that none shows a fall only costs a grade.
func (p *Prover) untilLight(ctx context.Context, r *readings) error {
	end := time.Now().Add(coarseWait)
	for r.meter.mayFall() && time.Now().Before(end) && remaining(ctx) > coarseWait {
		if err := sleep(ctx, p.timing.Poll); err != nil {
			return r.last(err)
		}
		switch p.read(ctx, r) {
		case PowerOn:
			return errors.New("read on while its meter was awaited")
		case PowerUnknown:
			r.final = true
			if err := p.untilOff(ctx, r); err != nil {
				return err
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past.meter.learnFall()
	return nil
}

// ask reads the outlet and learns from it.
func (p *Prover) ask(ctx context.Context) (Reading, error) {
	began := time.Now()
	said, err := p.feed.Switch.Read(ctx)
	if err == nil && said.Power > PowerOff {
		err = fmt.Errorf("power %d is none", said.Power)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past.mute = err != nil
	if err != nil {
		return Reading{Raw: said.Raw}, err
	}
	p.past.read = true
	p.past.tells = p.past.tells || said.Pending != PendingUntold
	p.past.pending = said.Pending == PendingYes || said.Pending == PendingUnknown
	if said.Power == PowerOn && said.Pending != PendingYes && !began.Before(p.past.sent) {
		p.past.flying = time.Time{} // it has landed
	}
	p.past.meter.learn(said)
	return said, nil
}

// judge says off only of a reading that may be part of a proof.
func (p *Prover) judge(said Reading, err error) (Power, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil || said.Power != PowerOff:
		return said.Power, err
	case said.Pending == PendingYes:
		err = errors.New("it reads off, but a command is pending in it")
	case said.Pending != PendingNone && p.past.tells:
		err = fmt.Errorf("it reads off, but whether a command is pending in it is %v", said.Pending)
	case time.Now().Before(p.past.flying):
		err = errors.New("it reads off, but our own on command may still be carried out")
	case said.Load.present():
		err = fmt.Errorf("it reads off, but its meter still shows %v: the relay is welded, or the meter lags", said.Load)
	default:
		return PowerOff, nil
	}
	return PowerUnknown, err
}

func (p *Prover) read(ctx context.Context, r *readings) Power {
	said, fault := p.ask(ctx)
	power, err := p.judge(said, fault)
	if ctx.Err() != nil && fault != nil {
		return PowerUnknown // cut short by our own deadline: no reading at all
	}
	r.power, r.err, r.raw = power, err, said.Raw
	r.mute = fault != nil
	r.silent = r.silent || r.mute
	r.count[power]++
	p.mu.Lock()
	r.meter = p.past.meter
	p.mu.Unlock()
	return power
}

func (p *Prover) confirm(ctx context.Context) (Power, error) { return p.judge(p.ask(ctx)) }

func (p *Prover) reprove(ctx context.Context) error {
	return p.untilOff(ctx, &readings{final: true})
}

func (p *Prover) on(ctx context.Context) error {
	r := readings{}
	if err := p.rightBox(ctx, &r); err != nil {
		return err
	}
	p.launched(MaxOff + InFlight) // until the command has returned
	r.command = p.feed.Switch.SwitchOn(ctx)
	p.launched(InFlight)
	for {
		if p.read(ctx, &r) == PowerOn {
			return nil
		}
		if r.command != nil {
			return r.command
		}
		if err := sleep(ctx, p.timing.Poll); err != nil {
			return r.last(err)
		}
	}
}

// launched notes an on command that may be carried out until d from now.
func (p *Prover) launched(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past.sent = time.Now()
	p.past.flying = p.past.sent.Add(d)
}

func (p *Prover) silent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.past.mute
}

func (p *Prover) inFlight() (string, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch left := time.Until(p.past.flying); {
	case p.past.pending:
		return p.Name() + " has a command pending", InFlight
	case left > 0:
		return "an on command of ours to " + p.Name() + " was never read back", left
	}
	return "", 0
}

// readings are what an operation read, for Proof.Detail.
type readings struct {
	command   error     // of the newest command
	commanded time.Time // when it returned
	commands  int
	ordered   bool // one of them was acknowledged
	wasOn     bool // it read on just before the first
	silent    bool // a reading failed since
	mute      bool // the newest failed
	final     bool // off was proven: what is on now came back
	note      string
	count     [3]int // by Power
	apart     time.Duration
	power     Power // the newest
	err       error // why it is unknown
	raw       string
	meter     meter
}

// errStale is why an outlet that reads off may have power.
var errStale = errors.New("no order was acknowledged and it was not read on since the first: it may be a reading of before somebody's on")

// counts says whether a reading of off may be part of a proof.
func (r *readings) counts() bool {
	return r.ordered || r.wasOn || r.count[PowerOn] > 0 || r.final
}

// lost says whether the command is to be given again: as long as off would not
// count, if the device answers; and if the outlet reads on, and the newest
// command failed or the device was silent since and may have restarted.
func (r *readings) lost() bool {
	doubtful := !r.counts() && !r.mute || r.power == PowerOn && (r.command != nil || r.silent)
	return doubtful && r.commands < maxCommands && time.Since(r.commanded) >= again
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
	switch {
	case r.commands == 0:
		s += "; nothing was switched"
	case r.commands > 1:
		s += fmt.Sprintf("; commanded %d times", r.commands)
	}
	if r.command != nil {
		s += "; command: " + r.command.Error()
	}
	if r.err != nil {
		s += "; reading: " + r.err.Error()
	}
	if r.raw != "" {
		s += "; last: " + r.raw
	}
	if r.note != "" {
		s += "; " + r.note
	}
	return s
}

// remaining is the time until the deadline of ctx, which all callers have set.
func remaining(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return MaxOff
	}
	return time.Until(end)
}
