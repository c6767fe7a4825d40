// Package fencetest decides how badly a fence device behaves in a test: it
// lies, lags, hangs, flips back or cannot be reached, by script. It refuses to
// be used outside tests only by convention. Start reading at Fake and Unit;
// Program is the same misbehaviour as a command.
package fencetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/fence"
)

// Errors of a Fake.
var (
	// ErrUnreachable is what an unreachable Fake returns.
	ErrUnreachable = errors.New("device is unreachable")
	// ErrTimeout is what a Fake returns whose answer is lost.
	ErrTimeout = errors.New("request timeout")
)

// A Behaviour says how a Fake deviates from a good device. The zero Behaviour
// is a good device without a meter that does not tell of pending commands.
type Behaviour struct {
	Unreachable bool // every call fails and does nothing
	CommandFail bool // commands return an error, but act
	Dead        bool // commands return success, but the relay never moves
	Lie         bool // as Dead, and readings say what was commanded: a welded relay
	MeteredOnly bool // has no relay: every call says so
	Queue       bool // commands wait for the one before; without it a new one replaces it

	Lag      time.Duration // from command to relay: in flight until then
	Slow     time.Duration // each call takes so long, or until its context ends
	FlipBack time.Duration // so long after going off the relay is on again, as after a reboot
	Delayed  time.Duration // so long from now the relay goes on, whatever is commanded
	ReadLag  time.Duration // readings are of the relay as it was so long ago
	Restart  time.Duration // at the next off command it restarts for so long and forgets the command
	WakesOn  bool          // a restart ends with the relay on

	Garbled int                                         // so many readings from now on are unknown
	Drop    int                                         // so many commands from now on never arrive
	Lost    int                                         // each so many-th answer to a reading is lost
	Says    func(n int, on bool) (fence.Reading, error) // the n-th reading from now on, in place of the truth

	Tells   bool // tells of pending commands
	Stuck   bool // tells that one is pending, always
	Unsure  bool // tells that it does not know
	Forgets bool // stops telling

	Meter    string        // scope of its meter: "outlet", "bank"; empty: none
	Draw     float64       // what the node draws by this outlet, in A
	Other    float64       // what others draw by the meter of a bank, in A
	MeterLag time.Duration // from relay to meter
	Shows    *fence.Load   // what the meter shows, in place of the truth

	Elsewhere *Fake // commands act on that outlet of the unit
	ReadsOf   *Fake // readings are of that outlet of the unit
}

// A Fake is one outlet with a relay. Its zero value is of no use; see New and
// NewUnit.
type Fake struct {
	name string
	unit *Unit

	// Guarded by unit.mu.
	b         Behaviour
	on        bool    // the contact
	said      bool    // the newest command was on
	moves     []order // of the contact, so far
	orders    []order
	delayed   time.Time
	downUntil time.Time
	wentOff   time.Time
	wentOn    time.Time
	commands  []string
	reads     int
	since     int // readings since Behave
}

// An order is a command in flight.
type order struct {
	at time.Time
	on bool
}

var (
	_ fence.Switch     = (*Fake)(nil)
	_ fence.Identifier = (*Fake)(nil)
)

// New returns a Fake whose relay is on, the only outlet of its unit.
func New(name string) *Fake {
	f := NewUnit(name, 1).Fake(1)
	f.name = name
	return f
}

// Behave sets the behaviour from now on.
func (f *Fake) Behave(b Behaviour) {
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	f.advance(time.Now()) // what was, was by the old one
	f.b, f.since = b, 0
	if !f.on {
		f.wentOff = time.Now() // nothing new has an effect on the past
	}
	if b.Delayed > 0 {
		f.delayed = time.Now().Add(b.Delayed)
	}
}

// Device returns a proving device on the fake, with the given hold-up.
func (f *Fake) Device(holdup time.Duration) fence.Device {
	d, err := fence.New(f, fence.Timing{Holdup: holdup, Poll: 50 * time.Millisecond})
	if err != nil {
		panic("fencetest: " + err.Error())
	}
	return d
}

// HasPower tells the truth: whether the contact is closed now.
func (f *Fake) HasPower() bool {
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	f.advance(time.Now())
	return f.on
}

// PoweredFor tells for how long the contact has been closed; zero if it is open.
func (f *Fake) PoweredFor() time.Duration {
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	f.advance(time.Now())
	if !f.on {
		return 0
	}
	return time.Since(f.wentOn)
}

// Commands returns the commands given so far, "off" and "on".
func (f *Fake) Commands() []string {
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	return append([]string(nil), f.commands...)
}

// Reads returns how often the outlet was read.
func (f *Fake) Reads() int {
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	return f.reads
}

// Name returns the name given to New.
func (f *Fake) Name() string { return f.name }

// Word says that a reading is the fake's.
func (f *Fake) Word() string { return "of a fake" }

// SwitchOff opens the relay, as far as the behaviour lets it.
func (f *Fake) SwitchOff(ctx context.Context) error { return f.command(ctx, "off") }

// SwitchOn closes the relay, as far as the behaviour lets it.
func (f *Fake) SwitchOn(ctx context.Context) error { return f.command(ctx, "on") }

// Identify says what the fake's unit is, and which outlet the fake.
func (f *Fake) Identify(ctx context.Context) (fence.Identity, error) {
	if err := f.wait(ctx); err != nil {
		return fence.Identity{}, err
	}
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	return f.unit.who(f), nil
}

// Read reads the relay, or what the behaviour makes of it.
func (f *Fake) Read(ctx context.Context) (fence.Reading, error) {
	if err := f.wait(ctx); err != nil {
		return fence.Reading{}, err
	}
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	f.reads++
	f.since++
	of := f
	if f.b.ReadsOf != nil {
		of = f.b.ReadsOf
	}
	of.advance(time.Now())
	switch {
	case f.b.MeteredOnly:
		return fence.Reading{}, fence.ErrNotSwitchable
	case f.b.Lost > 0 && f.reads%f.b.Lost == 0:
		return fence.Reading{}, ErrTimeout
	case f.b.Garbled > 0:
		f.b.Garbled--
		return fence.Reading{}, errors.New("reading is garbled")
	case f.b.Says != nil:
		return f.b.Says(f.since, of.on)
	}
	return of.reading(), nil
}

// reading is what the outlet says, without any trouble on the way.
func (f *Fake) reading() fence.Reading {
	on := f.was(time.Now().Add(-f.b.ReadLag))
	if f.b.Lie {
		on = f.said
	}
	r := fence.Reading{Power: fence.PowerOff, Pending: f.pending(), Load: f.load()}
	if on {
		r.Power = fence.PowerOn
	}
	r.Raw = fmt.Sprintf("outlet %s = %v", f.name, r.Power)
	return r
}

func (f *Fake) pending() fence.Pending {
	switch {
	case !f.b.Tells, f.b.Forgets:
		return fence.PendingUntold
	case f.b.Unsure:
		return fence.PendingUnknown
	case f.b.Stuck, len(f.orders) > 0, !f.delayed.IsZero():
		return fence.PendingYes
	}
	return fence.PendingNone
}

func (f *Fake) load() fence.Load {
	if f.b.Shows != nil {
		return *f.b.Shows
	}
	l := fence.Load{Scope: f.b.Meter, Unit: "A"}
	switch f.b.Meter {
	case "":
		return fence.Load{}
	case "outlet":
		l.Value = f.draw()
	default:
		l.Value = f.b.Other
		for _, o := range f.unit.outlets {
			l.Value += o.draw()
		}
	}
	return l
}

// draw is what the meter sees of this outlet.
func (f *Fake) draw() float64 {
	f.advance(time.Now())
	if f.on || time.Since(f.wentOff) < f.b.MeterLag {
		return f.b.Draw
	}
	return 0
}

func (f *Fake) command(ctx context.Context, word string) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	f.unit.mu.Lock()
	defer f.unit.mu.Unlock()
	now := time.Now()
	f.commands = append(f.commands, word)
	switch {
	case f.b.MeteredOnly:
		return fence.ErrNotSwitchable
	case f.b.Drop > 0:
		f.b.Drop--
		return ErrTimeout
	case f.b.Restart > 0 && word == "off":
		f.advance(now)
		f.downUntil = now.Add(f.b.Restart)
		f.orders, f.b.Restart = nil, 0
		if f.b.WakesOn {
			f.move(now, true)
		}
		return ErrTimeout
	}
	to := f
	if f.b.Elsewhere != nil {
		to = f.b.Elsewhere
	}
	to.order(now, word == "on", f.b)
	if f.b.CommandFail {
		return errors.New("command failed")
	}
	return nil
}

// order takes a command in.
func (f *Fake) order(now time.Time, on bool, b Behaviour) {
	f.advance(now)
	f.said = on
	if b.Dead || b.Lie {
		return
	}
	o := order{now.Add(b.Lag), on}
	if !b.Queue {
		f.orders = nil
	}
	f.orders = append(f.orders, o)
	f.advance(now)
}

// wait takes the time of a slow device, one call after the other, and fails
// for an unreachable one.
func (f *Fake) wait(ctx context.Context) error {
	select {
	case f.unit.line <- struct{}{}:
		defer func() { <-f.unit.line }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f.unit.mu.Lock()
	b := f.b
	down := time.Now().Before(f.downUntil)
	f.unit.mu.Unlock()
	t := time.NewTimer(b.Slow)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.Unreachable || down {
		return ErrUnreachable
	}
	return ctx.Err()
}

// advance brings the relay to the present.
func (f *Fake) advance(now time.Time) {
	for len(f.orders) > 0 && !now.Before(f.orders[0].at) {
		o := f.orders[0]
		f.orders = f.orders[1:]
		f.move(o.at, o.on)
	}
	if !f.delayed.IsZero() && !now.Before(f.delayed) {
		f.move(f.delayed, true)
		f.delayed = time.Time{}
	}
	if f.b.FlipBack > 0 && !f.on && !f.wentOff.IsZero() && now.Sub(f.wentOff) >= f.b.FlipBack {
		f.move(f.wentOff.Add(f.b.FlipBack), true)
	}
}

// was says whether the contact was closed at a time.
func (f *Fake) was(at time.Time) bool {
	on := f.on
	for i := len(f.moves) - 1; i >= 0 && f.moves[i].at.After(at); i-- {
		on = !f.moves[i].on
	}
	return on
}

func (f *Fake) move(at time.Time, on bool) {
	if f.on != on {
		f.moves = append(f.moves, order{at, on})
	}
	switch {
	case f.on && !on:
		f.wentOff = at
	case on && !f.on:
		f.wentOn = at
	}
	f.on = on
}
