package http

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/twinbeat/twinbeat/fence"
)

// tasmota speaks to plugs and relays with the Tasmota firmware by its web
// commands. Checked against its documentation, its source and recorded answers
// only.
type tasmota struct {
	client *Client
	secret string // of the query
}

func newTasmota(client *Client, c Config) *tasmota {
	t := &tasmota{client: client}
	if c.Password != "" {
		user := c.User
		if user == "" {
			user = "admin"
		}
		t.secret = url.Values{"user": {user}, "password": {c.Password}}.Encode()
	}
	return t
}

func (t *tasmota) word() string { return "of the relay by HTTP (Tasmota)" }

// command runs one command. A refused password and an unknown command come
// with 200, too.
func (t *tasmota) command(ctx context.Context, text string) (Tree, error) {
	a, err := ask(ctx, t.client, Request{Path: "/cm?cmnd=" + url.PathEscape(text), Secret: t.secret})
	if err != nil {
		return Tree{}, err
	}
	for _, bad := range []string{"WARNING", "Command", "Error"} {
		if a.Has(bad) {
			return Tree{}, fmt.Errorf("%s: it answers %s %v", text, bad, a.At(bad))
		}
	}
	return a, nil
}

// relay returns the state of relay n where a device lists its relays: "POWERn",
// and a bare "POWER" if it has one alone. Both at once must agree.
func relay(t Tree, n int) (power fence.Power, raw string, err error) {
	keys := []string{"POWER" + strconv.Itoa(n)}
	if n == 1 {
		keys = append(keys, "POWER")
	}
	for _, key := range keys {
		if !t.Has(key) {
			continue
		}
		now := fence.PowerUnknown
		switch v := t.At(key); v.Or("") {
		case "ON":
			now = fence.PowerOn
		case "OFF":
			now = fence.PowerOff
		}
		raw = fmt.Sprintf("%s %v", key, t.At(key))
		switch {
		case now == fence.PowerUnknown:
			return now, raw, fmt.Errorf("%s is neither ON nor OFF", raw)
		case power != fence.PowerUnknown && power != now:
			return fence.PowerUnknown, raw, errors.New("POWER and POWER1 differ")
		}
		power = now
	}
	if power == fence.PowerUnknown {
		return power, raw, fmt.Errorf("%w: it tells of no %s", fence.ErrNoOutlet, keys[0])
	}
	return power, raw, nil
}

func (t *tasmota) set(ctx context.Context, n int, on bool) error {
	word := map[bool]string{true: "ON", false: "OFF"}[on]
	text := fmt.Sprintf("Power%d %s", n, word)
	a, err := t.command(ctx, text)
	if err != nil {
		return err
	}
	is, raw, err := relay(a, n)
	if err == nil && is != power(on) {
		err = fmt.Errorf("it answers %s", raw)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

func (t *tasmota) read(ctx context.Context, n int) (fence.Reading, error) {
	state, err := t.command(ctx, "Status 11")
	if err != nil {
		return fence.Reading{}, err
	}
	var r fence.Reading
	if r.Power, r.Raw, err = relay(state.At("StatusSTS"), n); err != nil {
		return r, err
	}
	r.Pending = t.pulse(ctx, n, &r)
	sensors, err := t.command(ctx, "Status 10")
	if err != nil {
		return r, nil // most have no meter, and the relay is known
	}
	if watts, ok := sensors.At("StatusSNS", "ENERGY", "Power").Number(); ok {
		r.Load = fence.Load{Scope: "device", Value: watts, Unit: "W"}
		if !state.At("StatusSTS").Has("POWER2") {
			r.Load.Scope = "outlet" // it has one relay alone
		}
	} else if phase, ok := sensors.At("StatusSNS", "ENERGY", "Power", strconv.Itoa(n-1)).Number(); ok {
		r.Load = fence.Load{Scope: "outlet", Value: phase, Unit: "W"}
	}
	return r, nil
}

// pulse reads the timer that switches a relay back: off again after a while
// (PulseTime), or on again with PowerOnState 5.
func (t *tasmota) pulse(ctx context.Context, n int, r *fence.Reading) fence.Pending {
	key := fmt.Sprintf("PulseTime%d", n)
	a, err := t.command(ctx, key)
	if err != nil {
		return fence.PendingUntold
	}
	left, ok := a.At(key, "Remaining").Number()
	switch {
	case !ok:
		return fence.PendingUntold // before version 6.6 it is a text
	case left > 0:
		r.Raw += fmt.Sprintf(", %s Remaining %v", key, left)
		return fence.PendingYes
	}
	return fence.PendingNone
}

func (t *tasmota) list(ctx context.Context) ([]fence.Outlet, error) {
	state, err := t.command(ctx, "Status 11")
	if err != nil {
		return nil, err
	}
	about, err := t.command(ctx, "Status")
	if err != nil {
		return nil, err
	}
	var all []fence.Outlet
	for n := 1; n <= maxOutlet; n++ {
		is, raw, err := relay(state.At("StatusSTS"), n)
		if err != nil && raw == "" {
			break
		}
		all = append(all, fence.Outlet{
			Index: strconv.Itoa(n), Name: about.At("Status", "FriendlyName", strconv.Itoa(n-1)).Or(""),
			Reading: fence.Reading{Power: is, Raw: raw},
		})
	}
	return all, nil
}

func (t *tasmota) identify(ctx context.Context) (fence.Identity, []fence.Outlet, error) {
	about, err := t.command(ctx, "Status 2")
	if err != nil {
		return fence.Identity{}, nil, err
	}
	network, err := t.command(ctx, "Status 5")
	if err != nil {
		return fence.Identity{}, nil, err
	}
	id := fence.Identity{
		Family: "tasmota", Model: about.At("StatusFWR", "Hardware").Or(""), Firmware: about.At("StatusFWR", "Version").Or(""),
		Serial: network.At("StatusNET", "Mac").Or(""),
	}
	if id.Firmware == "" || id.Serial == "" {
		return fence.Identity{}, nil, errors.New("this is no Tasmota")
	}
	all, err := t.list(ctx)
	id.Outlets = len(all)
	return id, all, err
}

func (t *tasmota) warnings(ctx context.Context, n int) ([]string, error) {
	about, err := t.command(ctx, "Status")
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("PulseTime%d", n)
	timer, err := t.command(ctx, key)
	if err != nil {
		return nil, err
	}
	var out []string
	set, _ := timer.At(key, "Set").Number()
	boot, _ := about.At("Status", "PowerOnState").Number()
	switch {
	case boot == 5 && set > 0:
		out = append(out, fmt.Sprintf("PowerOnState 5 and %s %v: it switches itself on again", key, set))
	case set > 0:
		out = append(out, fmt.Sprintf("%s %v: it switches itself off after it was switched on", key, set))
	}
	switch boot {
	case 1, 2:
		out = append(out, fmt.Sprintf("PowerOnState %v: it may come back when its own power does", boot))
	case 4:
		out = append(out, "PowerOnState 4: it stays on and obeys no command")
	}
	return out, nil
}
