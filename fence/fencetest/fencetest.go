// Package fencetest decides how badly a fence device behaves in a test: it
// lies, lags, hangs, flips back or cannot be reached, by script. It refuses to
// be used outside tests only by convention. Start reading at Fake; Program is
// the same misbehaviour as a command.
package fencetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/fence"
)

// ErrUnreachable is what an unreachable Fake returns.
var ErrUnreachable = errors.New("device is unreachable")

// A Behaviour says how a Fake deviates from a good device.
type Behaviour struct {
	Unreachable bool // every call fails and does nothing
	CommandFail bool // commands return an error, but act
	Dead        bool // commands return success, but the relay never moves
	Lie         bool // as Dead, and readings say what was commanded: no reading can unmask it

	Lag      time.Duration // from command to relay: in flight until then
	Slow     time.Duration // each call takes so long, or until its context ends
	FlipBack time.Duration // so long after going off the relay is on again, as after a reboot
	Garbled  int           // so many readings from now on are unknown
}

// A Fake is a fence.Switch with a relay. Its zero value is of no use; see New.
type Fake struct {
	name string

	mu       sync.Mutex
	b        Behaviour
	on       bool // the relay
	said     bool // the newest command was on
	pending  time.Time
	target   bool
	wentOff  time.Time
	commands []string
	reads    int
}

var _ fence.Switch = (*Fake)(nil)

// New returns a Fake whose relay is on.
func New(name string) *Fake { return &Fake{name: name, on: true, said: true} }

// Behave sets the behaviour from now on.
func (f *Fake) Behave(b Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.b = b
}

// Device returns a proving device on the fake, with the given hold-up.
func (f *Fake) Device(holdup time.Duration) fence.Device {
	d, err := fence.New(f, fence.Timing{Holdup: holdup, Poll: 50 * time.Millisecond})
	if err != nil {
		panic("fencetest: " + err.Error())
	}
	return d
}

// HasPower tells the truth: whether the relay is closed now.
func (f *Fake) HasPower() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance(time.Now())
	return f.on
}

// Commands returns the commands given so far, "off" and "on".
func (f *Fake) Commands() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.commands...)
}

// Reads returns how often the outlet was read.
func (f *Fake) Reads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
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

// Read reads the relay, or what the behaviour makes of it.
func (f *Fake) Read(ctx context.Context) (fence.Reading, error) {
	if err := f.wait(ctx); err != nil {
		return fence.Reading{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	f.advance(time.Now())
	on := f.on
	if f.b.Lie {
		on = f.said
	}
	switch {
	case f.b.Garbled > 0:
		f.b.Garbled--
		return fence.Reading{}, errors.New("reading is garbled")
	case on:
		return fence.Reading{Power: fence.PowerOn}, nil
	}
	return fence.Reading{Power: fence.PowerOff}, nil
}

func (f *Fake) command(ctx context.Context, word string) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, word)
	f.said = word == "on"
	if !f.b.Dead && !f.b.Lie {
		f.target = f.said
		f.pending = time.Now().Add(f.b.Lag)
		f.advance(time.Now())
	}
	if f.b.CommandFail {
		return errors.New("command failed")
	}
	return nil
}

// wait takes the time of a slow device and fails for an unreachable one.
func (f *Fake) wait(ctx context.Context) error {
	f.mu.Lock()
	b := f.b
	f.mu.Unlock()
	t := time.NewTimer(b.Slow)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.Unreachable {
		return ErrUnreachable
	}
	return ctx.Err()
}

// advance brings the relay to the present.
func (f *Fake) advance(now time.Time) {
	if !f.pending.IsZero() && !now.Before(f.pending) {
		if f.on && !f.target {
			f.wentOff = f.pending
		}
		f.on = f.target
		f.pending = time.Time{}
	}
	if f.b.FlipBack > 0 && !f.on && !f.wentOff.IsZero() && now.Sub(f.wentOff) >= f.b.FlipBack {
		f.on = true
	}
}
