package fence

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A Warner is a Switch that can tell of settings in its device by which the
// outlet would switch by itself, or obey no command: one sentence each.
type Warner interface {
	Warnings(ctx context.Context) ([]string, error)
}

// Check reads the outlet, who the device is, and its settings if all else is well.
func (p *Prover) Check(ctx context.Context) ([]Finding, error) {
	found := append(p.checkIdentity(ctx), p.checkReading(ctx)...)
	if w, ok := p.feed.Switch.(Warner); ok && len(found) == 0 {
		warnings, err := w.Warnings(ctx)
		for _, text := range warnings {
			found = append(found, p.finding(FindingSetting, text))
		}
		if err != nil {
			found = append(found, p.finding(kindOf(err), "read settings: "+err.Error()))
		}
	}
	if err := ctx.Err(); err != nil {
		return found, fmt.Errorf("check %s: %w", p.Name(), err)
	}
	return found, nil
}

func (p *Prover) finding(kind, detail string) Finding {
	return Finding{Device: p.Name(), Kind: kind, Detail: strings.ReplaceAll(detail, "\n", "; ")}
}

func (p *Prover) checkIdentity(ctx context.Context) []Finding {
	p.mu.Lock()
	before, known := p.past.identity, p.past.known
	p.mu.Unlock()
	is, err := p.identify(ctx)
	if err != nil {
		return []Finding{p.finding(kindOf(err), err.Error())}
	}
	if change := changes(before, is); known && change != "" {
		return []Finding{p.finding(FindingChanged, change)}
	}
	return nil
}

// kindOf sorts the errors of drivers and pins.
func kindOf(err error) string {
	switch {
	case errors.Is(err, ErrPin):
		return FindingIdentity
	case errors.Is(err, ErrNoOutlet):
		return FindingNoOutlet
	case errors.Is(err, ErrNotSwitchable):
		return FindingNotSwitchable
	}
	return FindingUnreachable
}

// changes tells what differs of two identities of one outlet. A new firmware
// is none: what it may have changed differs by itself.
func changes(was, is Identity) string {
	var all []string
	compare := func(what, was, is string) {
		if was != is {
			all = append(all, fmt.Sprintf("%s was %q and is %q", what, was, is))
		}
	}
	compare("object id", was.ObjectID, is.ObjectID)
	compare("family", was.Family, is.Family)
	compare("model", was.Model, is.Model)
	compare("serial", was.Serial, is.Serial)
	compare("outlet", was.Outlet, is.Outlet)
	compare("outlet name", was.Name, is.Name)
	if was.Outlets != is.Outlets {
		all = append(all, fmt.Sprintf("it had %d outlets and has %d", was.Outlets, is.Outlets))
	}
	return strings.Join(all, ", ")
}

func (p *Prover) checkReading(ctx context.Context) []Finding {
	p.mu.Lock()
	told := p.past.tells
	p.mu.Unlock()
	said, err := p.ask(ctx)
	if err != nil {
		return []Finding{p.finding(kindOf(err), "read: "+err.Error())}
	}
	var found []Finding
	switch {
	case said.Pending == PendingYes:
		found = append(found, p.finding(FindingPending, "a command waits in the outlet"))
	case said.Pending == PendingUnknown, told && said.Pending == PendingUntold:
		found = append(found, p.finding(FindingPending, "the device does not know whether a command waits in the outlet"))
	}
	if said.Power == PowerUnknown {
		found = append(found, p.finding(FindingPower, "it reads "+said.Raw))
	}
	if said.Power == PowerOff && said.Load.present() {
		found = append(found, p.finding(FindingLoad, "it reads off and draws "+said.Load.String()))
	}
	return found
}
