package fencetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/twinbeat/twinbeat/fence"
)

// A Unit is a power switch with outlets, one line for all requests.
type Unit struct {
	name string
	line chan struct{} // held by the one request under way

	mu       sync.Mutex
	identity fence.Identity
	outlets  []*Fake
	shift    int // outlet n is now addressed as n + shift
	silent   bool
}

var _ fence.Unit = (*Unit)(nil)

// NewUnit returns a unit whose outlets are all on, named "socket 1" and so on.
func NewUnit(name string, outlets int) *Unit {
	u := &Unit{name: name, line: make(chan struct{}, 1)}
	u.identity = fence.Identity{Family: "fake", ObjectID: "1.3.6.1.4.1.99999.1", Model: "FAKE8", Serial: "serial of " + name, Outlets: outlets}
	for n := range outlets {
		u.outlets = append(u.outlets, &Fake{name: "socket " + strconv.Itoa(n+1), unit: u, on: true, said: true})
	}
	return u
}

// Fake returns the outlet behind the n-th socket, from 1, however it is
// addressed now.
func (u *Unit) Fake(n int) *Fake { return u.outlets[n-1] }

// Pin returns what a good unit's outlet would be pinned to.
func (u *Unit) Pin(n int) fence.Pin {
	u.mu.Lock()
	defer u.mu.Unlock()
	is := u.identity
	return fence.Pin{ObjectID: is.ObjectID, Family: is.Family, Model: is.Model, Serial: is.Serial, Name: u.outlets[n-1].name, Outlets: is.Outlets}
}

// Renumber makes outlet n answer to n + by, round the end.
func (u *Unit) Renumber(by int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.shift += by
}

// Rename gives an outlet another name.
func (u *Unit) Rename(n int, name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.outlets[n-1].name = name
}

// Become changes what the unit says it is, as after it was replaced.
func (u *Unit) Become(edit func(*fence.Identity)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	edit(&u.identity)
}

// KeepsSilentOnItself makes the unit answer everything but who it is.
func (u *Unit) KeepsSilentOnItself() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.silent = true
}

func (u *Unit) who(f *Fake) fence.Identity {
	is := u.identity
	is.Name = f.name
	for n, o := range u.outlets {
		if o == f {
			is.Outlet = strconv.Itoa(u.address(n))
		}
	}
	return is
}

// address is by which number the n-th outlet, from 0, is addressed now.
func (u *Unit) address(n int) int {
	return (n+u.shift%len(u.outlets)+len(u.outlets))%len(u.outlets) + 1
}

// find returns the outlet that a selector means now.
func (u *Unit) find(selector string) (*Fake, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for n, f := range u.outlets {
		if selector == strconv.Itoa(u.address(n)) || selector == f.name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("find outlet %q: %w", selector, fence.ErrNoOutlet)
}

// Identify says what the unit is.
func (u *Unit) Identify(context.Context) (fence.Identity, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.silent {
		return fence.Identity{}, ErrTimeout
	}
	return u.identity, nil
}

// Outlet returns the switch of an outlet by number or name, looked up anew for
// each operation.
func (u *Unit) Outlet(selector string) (fence.Switch, error) {
	return socket{u, selector}, nil
}

// List reads all outlets in their order of now.
func (u *Unit) List(ctx context.Context) ([]fence.Outlet, error) {
	all := make([]fence.Outlet, len(u.outlets))
	for n, f := range u.outlets {
		r, err := f.Read(ctx)
		if err != nil {
			return nil, err
		}
		u.mu.Lock()
		at := u.address(n)
		u.mu.Unlock()
		all[at-1] = fence.Outlet{Index: strconv.Itoa(at), Name: f.name, Reading: r}
	}
	return all, nil
}

// A socket is an outlet as a driver addresses it.
type socket struct {
	unit     *Unit
	selector string
}

func (s socket) Name() string { return s.unit.name + ":" + s.selector }
func (s socket) Word() string { return "of a fake" }

func (s socket) with(do func(*Fake) error) error {
	f, err := s.unit.find(s.selector)
	if err != nil {
		return err
	}
	return do(f)
}

func (s socket) SwitchOff(ctx context.Context) error {
	return s.with(func(f *Fake) error { return f.SwitchOff(ctx) })
}

func (s socket) SwitchOn(ctx context.Context) error {
	return s.with(func(f *Fake) error { return f.SwitchOn(ctx) })
}

func (s socket) Read(ctx context.Context) (r fence.Reading, err error) {
	err = s.with(func(f *Fake) error {
		r, err = f.Read(ctx)
		return err
	})
	return r, err
}

func (s socket) Identify(ctx context.Context) (is fence.Identity, err error) {
	s.unit.mu.Lock()
	silent := s.unit.silent
	s.unit.mu.Unlock()
	if silent {
		return is, ErrTimeout
	}
	err = s.with(func(f *Fake) error {
		is, err = f.Identify(ctx)
		return err
	})
	return is, err
}
