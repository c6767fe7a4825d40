package redfish

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/http"
)

// A system is one server behind a BMC.
type system struct {
	u  *Unit
	id string // empty: the only one
}

var (
	_ fence.Switch     = (*system)(nil)
	_ fence.Identifier = (*system)(nil)
)

// Name returns "<unit>" or "<unit>:<id>".
func (s *system) Name() string {
	if s.id == "" {
		return s.u.c.Name
	}
	return s.u.c.Name + ":" + s.id
}

// Word says whose word a reading is.
func (s *system) Word() string { return "of the BMC by Redfish" }

// SwitchOff orders ForceOff.
func (s *system) SwitchOff(ctx context.Context) error { return s.reset(ctx, "ForceOff") }

// SwitchOn orders On, or ForceOn of a BMC that knows this alone.
func (s *system) SwitchOn(ctx context.Context) error { return s.reset(ctx, "On", "ForceOn") }

// Read reads PowerState, and the meter of the server's chassis if it has one.
func (s *system) Read(ctx context.Context) (r fence.Reading, err error) {
	err = s.u.turn(ctx, func() error {
		t, path, _, err := s.get(ctx)
		if err != nil {
			return err
		}
		if r, err = s.u.reading(t); err != nil {
			return err
		}
		r.Load = s.u.load(ctx, path, t)
		return nil
	})
	return r, err
}

// Identify tells what the server is. HostName is what its operating system told
// the BMC, and changes with it; the serial number does not.
func (s *system) Identify(ctx context.Context) (id fence.Identity, err error) {
	err = s.u.turn(ctx, func() error {
		t, path, _, err := s.get(ctx)
		if err != nil {
			return err
		}
		id = fence.Identity{
			Family: "redfish", Model: strings.TrimSpace(t.At("Manufacturer").Or("") + " " + t.At("Model").Or("")),
			Serial: t.At("SerialNumber").Or(""), Firmware: t.At("BiosVersion").Or(""), Outlets: 1,
			Outlet: idOf(path), Name: t.At("HostName").Or(""),
		}
		if s.u.legacy {
			id.Family = "ilo-rest"
			id.Firmware = t.At("Bios", "Current", "VersionString").Or(id.Firmware)
		}
		if id.Serial == "" {
			id.Serial = t.At("UUID").Or("")
		}
		return nil
	})
	return id, err
}

// get reads the system.
func (s *system) get(ctx context.Context) (http.Tree, string, http.Answer, error) {
	path, known := s.u.paths[s.id]
	delete(s.u.paths, s.id) // until it was read: another BMC or firmware may answer by now
	if !known {
		var err error
		if path, err = s.find(ctx); err != nil {
			return http.Tree{}, "", http.Answer{}, err
		}
	}
	t, a, err := s.u.get(ctx, path)
	if err != nil {
		return t, path, a, err
	}
	kind := t.At("@odata.type").Or(t.At("Type").Or(""))
	if !strings.Contains(kind, "ComputerSystem.") {
		return t, path, a, fmt.Errorf("%s: it is %q, not a ComputerSystem", path, kind)
	}
	s.u.paths[s.id] = path
	return t, path, a, nil
}

func (s *system) find(ctx context.Context) (string, error) {
	paths, err := s.u.members(ctx)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, p := range paths {
		if id := idOf(p); id == s.id && s.id != "" {
			return p, nil
		}
		ids = append(ids, idOf(p))
	}
	switch {
	case s.id != "":
		return "", fmt.Errorf("system %q: %w: there is %s", s.id, fence.ErrNoOutlet, strings.Join(ids, ", "))
	case len(paths) > 1:
		return "", fmt.Errorf("%w: the BMC has several systems, say which: %s", fence.ErrNoOutlet, strings.Join(ids, ", "))
	}
	return paths[0], nil
}

// reading judges PowerState. What is neither On nor Off is on its way there.
func (u *Unit) reading(t http.Tree) (fence.Reading, error) {
	state, name := t.At("PowerState"), "PowerState"
	if u.legacy && !t.Has(name) {
		state, name = t.At("Power"), "Power"
	}
	r := fence.Reading{Raw: fmt.Sprintf("%s %v", name, state)}
	switch state.Or("") {
	case "On":
		r.Power = fence.PowerOn
		return r, nil
	case "Off":
		r.Power = fence.PowerOff
		return r, nil
	case "PoweringOn", "PoweringOff", "Paused":
		r.Pending = fence.PendingYes
	}
	return r, fmt.Errorf("%s is neither On nor Off", r.Raw)
}

// reset orders the first of the types that the BMC allows. That it accepts
// proves nothing, not even that it has a task for it (202).
func (s *system) reset(ctx context.Context, types ...string) error {
	return s.u.turn(ctx, func() error {
		t, path, got, err := s.get(ctx)
		if err != nil {
			return err
		}
		target, allowed, err := s.u.action(ctx, path, t)
		if err != nil {
			return err
		}
		what := types[0]
		if len(allowed) > 0 {
			i := slices.IndexFunc(types, func(t string) bool { return slices.Contains(allowed, t) })
			if i < 0 {
				return fmt.Errorf("reset: the BMC allows %s now, not %s", strings.Join(allowed, ", "), types[0])
			}
			what = types[i]
		}
		return s.u.order(ctx, target, what, got.Header.Get("ETag"))
	})
}

// action returns where to post a reset, and what may be posted if it says so.
func (u *Unit) action(ctx context.Context, path string, t http.Tree) (target string, allowed []string, err error) {
	if u.legacy {
		for _, a := range t.At("AvailableActions").List() {
			if a.At("Action").Or("") == "Reset" {
				return path, values(a.At("Capabilities"), "PropertyName"), nil
			}
		}
		return "", nil, fmt.Errorf("%s: %w: it offers no Reset", path, fence.ErrNotSwitchable)
	}
	a := t.At("Actions", "#ComputerSystem.Reset")
	link := a.At("target").Or("")
	if link == "" {
		return "", nil, fmt.Errorf("%s: %w: it offers no ComputerSystem.Reset", path, fence.ErrNotSwitchable)
	}
	if target, err = u.client.Local(link); err != nil {
		return "", nil, fmt.Errorf("%s: reset: %w", path, err)
	}
	for _, v := range a.At("ResetType@Redfish.AllowableValues").List() {
		allowed = append(allowed, v.Or(""))
	}
	info := a.At("@Redfish.ActionInfo").Or("")
	if len(allowed) > 0 || info == "" {
		return target, allowed, nil
	}
	if info, err = u.client.Local(info); err == nil {
		var about http.Tree
		if about, _, err = u.get(ctx, info); err == nil {
			allowed = values(about.At("Parameters"), "Name")
		}
	}
	return target, allowed, ctx.Err() // without the list the BMC itself refuses
}

// values returns the AllowableValues of ResetType in a list of parameters.
func values(parameters http.Tree, name string) (out []string) {
	for _, p := range parameters.List() {
		if p.At(name).Or("") != "ResetType" {
			continue
		}
		for _, v := range p.At("AllowableValues").List() {
			out = append(out, v.Or(""))
		}
	}
	return out
}

// order posts a reset. A BMC that wants to know which version of the system is
// meant (412, 428) gets it.
func (u *Unit) order(ctx context.Context, target, what, etag string) error {
	body := map[string]string{"ResetType": what}
	if u.legacy {
		body["Action"] = "Reset"
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	r := http.Request{Method: "POST", Path: target, Body: string(text)}
	a, err := u.send(ctx, r)
	if err == nil && (a.Status == 412 || a.Status == 428) {
		if etag == "" {
			etag = "*"
		}
		r.Header = map[string]string{"If-Match": etag}
		a, err = u.send(ctx, r)
	}
	if err == nil {
		err = a.Expect(200, 202, 204)
	}
	if err == nil && len(a.Body) > 0 {
		_, err = http.ParseTree(a.Body) // a login page comes with 200, too
	}
	if err != nil {
		return fmt.Errorf("reset %s: %w", what, said(a, err))
	}
	return nil
}

// offAlready says whether a BMC refuses ForceOff as the server is off. The
// readings must agree, so the words of a refused On do no harm.
func offAlready(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "already powered off") || strings.Contains(text, "invalidoperationforsystemstate")
}

// said shortens an error to the BMC's own message, if there is one: "Server is
// already powered OFF" (iDRAC, 409), "InvalidOperationForSystemState" (iLO, 400).
func said(a http.Answer, err error) error {
	t, bad := http.ParseTree(a.Body)
	if a.Status < 400 || bad != nil {
		return err
	}
	e := t.At("error")
	first := e.At("@Message.ExtendedInfo", "0")
	for _, text := range []http.Tree{first.At("Message"), first.At("MessageId"), first.At("MessageID"), e.At("message")} {
		if s := text.Or(""); s != "" {
			err = fmt.Errorf("HTTP %d: %s", a.Status, http.Shown([]byte(s)))
			if offAlready(s) {
				err = fmt.Errorf("%w: %w", err, fence.ErrAlreadyOff)
			}
			return err
		}
	}
	return err
}
