package snmp

import (
	"context"
	"errors"
	"fmt"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
)

// An outlet is one outlet of a Unit. Its fields but the first two belong to
// whoever holds the unit.
type outlet struct {
	unit     *Unit
	selector string

	plan  *plan // how to read it; nil: not learnt
	named bool  // the selector is its name
}

var (
	_ fence.Switch     = (*outlet)(nil)
	_ fence.Identifier = (*outlet)(nil)
)

// Name is the unit's name and the selector.
func (o *outlet) Name() string { return o.unit.config.Name + ":" + o.selector }

// Word says whose word a reading is.
func (o *outlet) Word() string { return "of the outlet table by SNMP" }

// SwitchOff gives the immediate off command.
func (o *outlet) SwitchOff(ctx context.Context) error {
	return o.command(ctx, "off", func(f *family) order { return f.off })
}

// SwitchOn gives the immediate on command.
func (o *outlet) SwitchOn(ctx context.Context) error {
	return o.command(ctx, "on", func(f *family) order { return f.on })
}

// command gives an order of the family, to an outlet that is seen to be the
// one that is meant just before.
func (o *outlet) command(ctx context.Context, what string, which func(*family) order) error {
	if err := o.unit.begin(ctx); err != nil {
		return err
	}
	defer o.unit.end()
	if err := o.sure(ctx); err != nil {
		return fmt.Errorf("switch %s outlet %s of %s: nothing sent: %w", what, o.selector, o.unit.config.Name, err)
	}
	c := which(o.plan.family)
	oid := c.column + "." + o.plan.index
	bind := gosnmp.SnmpPDU{Name: "." + oid, Type: gosnmp.Integer, Value: c.value}
	vars, err := o.unit.session.ask(ctx, set, []gosnmp.SnmpPDU{bind})
	if err == nil {
		err = answers([]string{oid}, vars)
	}
	var refused *statusError
	if errors.As(err, &refused) && refused.readOnly() {
		err = fmt.Errorf("%w: %w", fence.ErrNotSwitchable, err)
	}
	if err != nil {
		return fmt.Errorf("switch %s: set %s to %d: %w", what, short(oid), c.value, err)
	}
	return nil
}

// readOnly says that the user or community may not write. A card answers so
// for objects that do not exist, too, but this one was read before.
func (e *statusError) readOnly() bool {
	switch e.status {
	case gosnmp.NoSuchName, gosnmp.ReadOnly, gosnmp.NoAccess, gosnmp.NotWritable, gosnmp.AuthorizationError:
		return true
	}
	return false
}

// Read reads the outlet in one request.
func (o *outlet) Read(ctx context.Context) (fence.Reading, error) {
	if err := o.unit.begin(ctx); err != nil {
		return fence.Reading{}, err
	}
	defer o.unit.end()
	r, err := o.read(ctx)
	if err != nil {
		r.Power = fence.PowerUnknown
		err = fmt.Errorf("read outlet %s of %s: %w", o.selector, o.unit.config.Name, err)
	}
	return r, err
}

// sure makes certain that the plan is right now. An outlet whose state is
// strange is still the right one, and off is off.
func (o *outlet) sure(ctx context.Context) error {
	_, err := o.read(ctx)
	if errors.As(err, new(*stateError)) {
		return nil
	}
	return err
}

// read reads the outlet. What proves to be no longer so is learnt anew, once,
// but for another device or outlet where an index was given: that must be seen.
func (o *outlet) read(ctx context.Context) (fence.Reading, error) {
	if !o.known() {
		return o.learn(ctx)
	}
	r, err := o.once(ctx)
	if err == nil || o.known() || errors.As(err, new(*strangerError)) && !o.named {
		return r, err
	}
	r, again := o.learn(ctx)
	if again != nil {
		return r, fmt.Errorf("%w; then: %w", err, again)
	}
	return r, nil
}

// known says whether the plan holds.
func (o *outlet) known() bool {
	return o.plan != nil && o.unit.facts != nil && o.plan.era == o.unit.era
}

// once reads the outlet by its plan. An answer that does not fit the plan ends it.
func (o *outlet) once(ctx context.Context) (fence.Reading, error) {
	vars, err := o.unit.session.get(ctx, o.plan.oids)
	var refused *statusError
	if errors.As(err, &refused) && refused.status == gosnmp.NoSuchName {
		o.unit.forget() // by version 1, all objects are missing if one is
		return fence.Reading{}, err
	}
	if err != nil {
		return fence.Reading{}, err
	}
	r, err := o.plan.judge(vars)
	if errors.As(err, new(*goneError)) || errors.As(err, new(*strangerError)) {
		o.unit.forget()
	}
	return r, err
}

// learn finds the outlet, and reads it by the way.
func (o *outlet) learn(ctx context.Context) (fence.Reading, error) {
	o.plan = nil
	p, said, named, err := o.unit.find(ctx, o.selector)
	if err != nil {
		return fence.Reading{}, err
	}
	o.plan, o.named = p, named
	return p.judge(p.pick(said))
}

// Identify says what the device is, and the outlet. For a selector that is a
// name, the name is looked up anew.
func (o *outlet) Identify(ctx context.Context) (fence.Identity, error) {
	if err := o.unit.begin(ctx); err != nil {
		return fence.Identity{}, err
	}
	defer o.unit.end()
	id, err := o.identify(ctx)
	if err != nil {
		return id, fmt.Errorf("identify outlet %s of %s: %w", o.selector, o.unit.config.Name, err)
	}
	return id, nil
}

func (o *outlet) identify(ctx context.Context) (fence.Identity, error) {
	id, err := o.unit.identify(ctx)
	if err != nil {
		return id, err
	}
	if !o.known() || o.named {
		_, err = o.learn(ctx)
	} else {
		_, err = o.once(ctx)
	}
	if err != nil && !errors.As(err, new(*stateError)) {
		return id, err
	}
	id.Outlet, id.Name = o.plan.label(), o.plan.name
	return id, nil
}
