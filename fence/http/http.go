// Package http decides what power switches with a web interface say of an
// outlet: Digital Loggers, Tasmota, Shelly, and whatever has one URL each for
// off, on and status. It refuses to guess: only the family's own value for
// off, in an answer that is whole, of the outlet that was asked about, is off.
// Start reading at New, then outlet.Read.
//
// The families were built to the makers' documentation and to recorded
// answers; none was tried against the device itself.
package http

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twinbeat/twinbeat/fence"
)

// Families of a Config.
const (
	DigitalLoggers = "digitalloggers"
	Tasmota        = "tasmota"
	Shelly         = "shelly"
	Generic        = "http"
)

// maxOutlet bounds an outlet's number: no family has more.
const maxOutlet = 64

// A Config describes one unit.
type Config struct {
	Name    string // of the unit, for logs; Address if empty
	Family  string // one of the constants
	Address string // "host[:port]", or with "http://" or "https://" before it; http if it does not say
	Timeout time.Duration
	Trust   Trust // of https

	// User and Password are sent as the device asks for them: Digest, or Basic
	// where the family has nothing better. Without a User it is "admin".
	User, Password string

	// The URLs of Generic, with paths below Address, or whole with one and the
	// same host. "{outlet}" stands for the selector; without it in all three
	// the unit has one outlet, "1". The device must answer off and on with a
	// status of 200 to 299, and the status URL with 200.
	OffURL, OnURL, StatusURL string
	Method                   string   // of off and on; GET if empty
	OffBody, OnBody          string   // of off and on
	Headers                  []string // "Name: value", of all three

	// OffMatch and OnMatch are what Generic's status URL answers. A match that
	// starts with a slash is a JSON pointer (RFC 6901), "=", and the value there
	// as JSON (true, 0, "off"), or bare text for a string: "/POWER=OFF". Any
	// other is the whole text, without white space around it.
	OffMatch, OnMatch string
}

// A family knows how one kind of device is spoken to. Its methods run one at a
// time. An outlet is named by its index.
type family interface {
	word() string
	set(ctx context.Context, outlet int, on bool) error
	read(ctx context.Context, outlet int) (fence.Reading, error)
	list(ctx context.Context) ([]fence.Outlet, error)
	// identify tells of the unit, and of all its outlets as it knows them then.
	identify(ctx context.Context) (fence.Identity, []fence.Outlet, error)
	// warnings tells of settings by which the outlet would switch by itself.
	warnings(ctx context.Context, outlet int) ([]string, error)
}

// A Unit is one device.
type Unit struct {
	name   string
	client *Client
	family family
	first  int // index of the first outlet
}

var _ fence.Unit = (*Unit)(nil)

// New returns the unit, or says what is wrong with the Config. It does no I/O.
func New(c Config) (*Unit, error) {
	u, err := newUnit(c)
	if err != nil {
		return nil, fmt.Errorf("make %s switch %q: %w", c.Family, c.Name, err)
	}
	return u, nil
}

func newUnit(c Config) (*Unit, error) {
	u := &Unit{name: c.Name, first: 1}
	cc := ClientConfig{
		Address: c.Address, Scheme: "http", Timeout: c.Timeout, Trust: c.Trust, User: c.User, Password: c.Password, Basic: true,
	}
	if cc.User == "" && cc.Password != "" {
		cc.User = "admin" // the one user of Tasmota and Shelly gen2, the first of the others
	}
	var urls *generic
	var err error
	switch c.Family {
	case DigitalLoggers, Shelly:
	case Tasmota:
		cc.User = "" // it reads them in the query
	case Generic:
		urls, cc.Address, err = newGeneric(c)
	default:
		err = fmt.Errorf("%q is none of %s, %s, %s, %s", c.Family, DigitalLoggers, Tasmota, Shelly, Generic)
	}
	if err != nil {
		return nil, err
	}
	if u.client, err = NewClient(cc); err != nil {
		return nil, err
	}
	if u.name == "" {
		u.name = u.client.Host()
	}
	switch c.Family {
	case DigitalLoggers:
		u.family = &digitalLoggers{client: u.client, user: cc.User, password: c.Password}
	case Tasmota:
		u.family = newTasmota(u.client, c)
	case Shelly:
		u.family, u.first = &shelly{client: u.client}, 0
	case Generic:
		urls.client, u.family = u.client, urls
	}
	return u, nil
}

// Outlet returns an outlet by its number as the device counts (from 1; Shelly
// from 0), or by its name in the device.
func (u *Unit) Outlet(selector string) (fence.Switch, error) {
	o := &outlet{u: u, selector: selector, index: -1}
	n, err := strconv.Atoi(selector)
	numbered := err == nil && strconv.Itoa(n) == selector
	switch g, isGeneric := u.family.(*generic); {
	case selector == "":
		err = errors.New("no outlet is given")
	case isGeneric:
		o.index, err = g.add(selector)
	case numbered && (n < u.first || n > maxOutlet):
		err = fmt.Errorf("outlets are numbered from %d to %d", u.first, maxOutlet)
	case numbered:
		o.index, err = n, nil
	default:
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("outlet %q of %s: %w", selector, u.name, err)
	}
	return o, nil
}

// List reads all outlets.
func (u *Unit) List(ctx context.Context) ([]fence.Outlet, error) {
	if err := u.client.Begin(ctx); err != nil {
		return nil, err
	}
	defer u.client.End()
	return u.family.list(ctx)
}

// Identify asks the device what it is.
func (u *Unit) Identify(ctx context.Context) (fence.Identity, error) {
	if err := u.client.Begin(ctx); err != nil {
		return fence.Identity{}, err
	}
	defer u.client.End()
	id, _, err := u.family.identify(ctx)
	return id, err
}

// Close has nothing to give back: no connection outlives its request.
func (u *Unit) Close() error { return nil }

// An outlet is one switch of a unit.
type outlet struct {
	u        *Unit
	selector string
	index    int // less than 0: the selector is a name
}

var (
	_ fence.Switch     = (*outlet)(nil)
	_ fence.Identifier = (*outlet)(nil)
	_ fence.Warner     = (*outlet)(nil)
)

// Name returns "<unit>:<selector>".
func (o *outlet) Name() string { return o.u.name + ":" + o.selector }

// Word says whose word a reading is.
func (o *outlet) Word() string { return o.u.family.word() }

func (o *outlet) SwitchOff(ctx context.Context) error { return o.set(ctx, false) }

func (o *outlet) SwitchOn(ctx context.Context) error { return o.set(ctx, true) }

func (o *outlet) set(ctx context.Context, on bool) error {
	return o.do(ctx, func(n int) error { return o.u.family.set(ctx, n, on) })
}

// Read reads the relay, what waits in it, and its meter.
func (o *outlet) Read(ctx context.Context) (fence.Reading, error) {
	var r fence.Reading
	err := o.do(ctx, func(n int) (err error) {
		r, err = o.u.family.read(ctx, n)
		return err
	})
	if err != nil {
		r.Power = fence.PowerUnknown
	}
	return r, err
}

// Identify asks the device what it is, and what it calls this outlet.
func (o *outlet) Identify(ctx context.Context) (fence.Identity, error) {
	var id fence.Identity
	err := o.do(ctx, func(n int) (err error) {
		var all []fence.Outlet
		if id, all, err = o.u.family.identify(ctx); err != nil {
			return err
		}
		if _, blind := o.u.family.(*generic); blind {
			id.Outlet = o.selector
			return nil
		}
		for _, one := range all {
			if one.Index == strconv.Itoa(n) {
				id.Outlet, id.Name = one.Index, one.Name
				return nil
			}
		}
		return fmt.Errorf("%w: %s has %d", fence.ErrNoOutlet, o.u.name, len(all))
	})
	return id, err
}

// Warnings tells of settings in the device by which the outlet would come back
// or go off by itself, one sentence each.
func (o *outlet) Warnings(ctx context.Context) ([]string, error) {
	var out []string
	err := o.do(ctx, func(n int) (err error) {
		out, err = o.u.family.warnings(ctx, n)
		return err
	})
	return out, err
}

// do finds the outlet and runs f, alone at the device.
func (o *outlet) do(ctx context.Context, f func(index int) error) error {
	if err := o.u.client.Begin(ctx); err != nil {
		return err
	}
	defer o.u.client.End()
	index := o.index
	if index < 0 {
		var err error
		if index, err = o.find(ctx); err != nil {
			return fmt.Errorf("find outlet %q: %w", o.selector, err)
		}
	}
	if err := f(index); err != nil {
		return fmt.Errorf("outlet %s: %w", o.selector, err)
	}
	return nil
}

// find looks the name up: outlets get renamed, and names may repeat.
func (o *outlet) find(ctx context.Context) (int, error) {
	all, err := o.u.family.list(ctx)
	if err != nil {
		return 0, err
	}
	found := -1
	for _, one := range all {
		if one.Name != o.selector {
			continue
		}
		n, err := strconv.Atoi(one.Index)
		switch {
		case err != nil:
			return 0, fmt.Errorf("its index %q is no number", one.Index)
		case found >= 0:
			return 0, fmt.Errorf("outlets %d and %d both have this name", found, n)
		}
		found = n
	}
	if found < 0 {
		return 0, fmt.Errorf("%w: none of %d has this name", fence.ErrNoOutlet, len(all))
	}
	return found, nil
}

// power is on or off, as said.
func power(on bool) fence.Power {
	if on {
		return fence.PowerOn
	}
	return fence.PowerOff
}

// ask sends a GET and reads the JSON of a 200.
func ask(ctx context.Context, c *Client, r Request) (Tree, error) {
	if r.Method == "" {
		r.Method = "GET"
	}
	a, err := c.Do(ctx, r)
	if err == nil {
		err = a.Expect(200)
	}
	var t Tree
	if err == nil {
		t, err = ParseTree(a.Body)
	}
	if err != nil {
		return Tree{}, fmt.Errorf("%s: %w", r.Path, err)
	}
	return t, nil
}
