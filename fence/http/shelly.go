package http

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twinbeat/twinbeat/fence"
)

// shelly speaks to Shelly's first generation (/relay/N, Basic) and to all
// after it (/rpc, Digest with SHA-256). Checked against shelly-api-docs and
// recorded answers only.
type shelly struct {
	client *Client
	gen    int    // 0: not asked yet, or to be asked again
	kind   string // of the first generation: "SHPLG-S"
}

// unmetered are those of the first generation that answer as power what their
// owner has entered.
var unmetered = []string{"SHSW-1", "SHSW-L"}

func (s *shelly) word() string { return "of the relay by HTTP (Shelly)" }

// probe asks which generation answers at the address. /shelly needs no
// password in any of them.
func (s *shelly) probe(ctx context.Context) (Tree, error) {
	t, err := ask(ctx, s.client, Request{Path: "/shelly"})
	if err != nil {
		return Tree{}, err
	}
	s.gen, s.kind = 0, ""
	if gen, ok := t.At("gen").Number(); ok && gen >= 2 {
		s.gen = 2
	} else if kind, ok := t.At("type").Text(); ok && kind != "" && !t.Has("gen") {
		s.gen, s.kind = 1, kind
	} else {
		return Tree{}, errors.New("/shelly: this is no Shelly")
	}
	return t, nil
}

// as makes sure that the generation is known, and forgets it if it turns out
// to be wrong: another device may have got the address.
func (s *shelly) as(ctx context.Context, first, later func() error) error {
	if s.gen == 0 {
		if _, err := s.probe(ctx); err != nil {
			return err
		}
	}
	do := later
	if s.gen == 1 {
		do = first
	}
	err := do()
	if err != nil {
		s.gen = 0
	}
	return err
}

func (s *shelly) set(ctx context.Context, n int, on bool) error {
	return s.as(ctx, func() error {
		turn := map[bool]string{true: "on", false: "off"}[on]
		t, err := ask(ctx, s.client, Request{Path: fmt.Sprintf("/relay/%d?turn=%s", n, turn)})
		if err != nil {
			return err
		}
		if is, ok := t.At("ison").Bool(); !ok || is != on {
			return fmt.Errorf("told %s, it answers ison %v", turn, t.At("ison"))
		}
		return nil
	}, func() error {
		t, err := ask(ctx, s.client, Request{Path: fmt.Sprintf("/rpc/Switch.Set?id=%d&on=%t", n, on)})
		if err != nil {
			return err
		}
		if _, ok := t.At("was_on").Bool(); !ok {
			return fmt.Errorf("Switch.Set answers was_on %v", t.At("was_on"))
		}
		return nil
	})
}

func (s *shelly) read(ctx context.Context, n int) (r fence.Reading, err error) {
	err = s.as(ctx, func() error {
		t, err := ask(ctx, s.client, Request{Path: "/status"})
		if err == nil {
			r, err = relay1(t, n, slices.Contains(unmetered, s.kind))
		}
		return err
	}, func() error {
		t, err := ask(ctx, s.client, Request{Path: fmt.Sprintf("/rpc/Switch.GetStatus?id=%d", n)})
		if err == nil {
			r, err = relay2(t, n)
		}
		return err
	})
	return r, err
}

// relay1 reads a relay in /status of the first generation.
func relay1(t Tree, n int, unmetered bool) (fence.Reading, error) {
	relay := t.At("relays", strconv.Itoa(n))
	if relay.Absent() {
		return fence.Reading{}, fmt.Errorf("/status: %w: it has %d relays", fence.ErrNoOutlet, len(t.At("relays").List()))
	}
	r := fence.Reading{Raw: fmt.Sprintf("relays/%d/ison %v, has_timer %v, source %v", n, relay.At("ison"), relay.At("has_timer"), relay.At("source"))}
	if hot, ok := t.At("overtemperature").Bool(); ok && hot {
		r.Raw += ", overtemperature"
	}
	if over, ok := relay.At("overpower").Bool(); ok && over {
		r.Raw += ", overpower"
	}
	switch timer, ok := relay.At("has_timer").Bool(); {
	case ok && timer:
		r.Pending = fence.PendingYes
	case ok:
		r.Pending = fence.PendingNone
	case relay.Has("has_timer"):
		r.Pending = fence.PendingUnknown
	}
	on, ok := relay.At("ison").Bool()
	if valid, given := relay.At("is_valid").Bool(); !ok || given && !valid {
		return r, fmt.Errorf("/status: relays/%d/ison is %v, is_valid %v", n, relay.At("ison"), relay.At("is_valid"))
	}
	r.Power = power(on)
	meters, scope := t.At("meters").List(), "outlet"
	i := n
	if len(meters) == 1 && len(t.At("relays").List()) > 1 {
		i, scope = 0, "device" // Shelly 2: one meter for both
	}
	if i < len(meters) && !unmetered {
		watts, ok := meters[i].At("power").Number()
		if valid, _ := meters[i].At("is_valid").Bool(); ok && valid {
			r.Load = fence.Load{Scope: scope, Value: watts, Unit: "W"}
		}
	}
	return r, nil
}

// relay2 reads the status of a switch component of the later generations, by
// itself or out of the status of the whole.
func relay2(t Tree, n int) (fence.Reading, error) {
	r := fence.Reading{Raw: fmt.Sprintf("switch:%d output %v, source %v", n, t.At("output"), t.At("source"))}
	if id, ok := t.At("id").Number(); !ok || id != float64(n) {
		return r, fmt.Errorf("asked for switch %d, it answers of id %v", n, t.At("id"))
	}
	r.Pending = fence.PendingNone
	if !t.At("timer_started_at").Absent() {
		r.Pending = fence.PendingYes
		r.Raw += fmt.Sprintf(", timer_started_at %v for %v s", t.At("timer_started_at"), t.At("timer_duration"))
	}
	for _, e := range t.At("errors").List() {
		r.Raw += fmt.Sprintf(", error %v", e)
		if what := e.Or(""); what == "overvoltage" || what == "undervoltage" {
			r.Pending = fence.PendingYes // autorecover_voltage_errors would put it back
		}
	}
	on, ok := t.At("output").Bool()
	if !ok {
		return r, fmt.Errorf("switch %d: output is %v", n, t.At("output"))
	}
	r.Power = power(on)
	if watts, ok := t.At("apower").Number(); ok {
		r.Load = fence.Load{Scope: "outlet", Value: max(watts, -watts), Unit: "W"} // wired backwards it is negative
	}
	return r, nil
}

func (s *shelly) list(ctx context.Context) (all []fence.Outlet, err error) {
	err = s.as(ctx, func() error {
		status, err := ask(ctx, s.client, Request{Path: "/status"})
		if err != nil {
			return err
		}
		settings, err := ask(ctx, s.client, Request{Path: "/settings"})
		if err != nil {
			return err
		}
		for i := range status.At("relays").List() {
			n := strconv.Itoa(i)
			o := fence.Outlet{Index: n, Name: settings.At("relays", n, "name").Or("")}
			o.Reading, _ = relay1(status, i, slices.Contains(unmetered, s.kind)) // unknown is shown as unknown
			all = append(all, o)
		}
		return nil
	}, func() error {
		status, err := ask(ctx, s.client, Request{Path: "/rpc/Shelly.GetStatus"})
		if err != nil {
			return err
		}
		config, err := ask(ctx, s.client, Request{Path: "/rpc/Shelly.GetConfig"})
		if err != nil {
			return err
		}
		for i := range maxOutlet {
			key := fmt.Sprintf("switch:%d", i)
			if !status.Has(key) {
				continue
			}
			o := fence.Outlet{Index: strconv.Itoa(i), Name: config.At(key, "name").Or("")}
			o.Reading, _ = relay2(status.At(key), i)
			all = append(all, o)
		}
		return nil
	})
	return all, err
}

func (s *shelly) identify(ctx context.Context) (fence.Identity, []fence.Outlet, error) {
	t, err := s.probe(ctx)
	if err != nil {
		return fence.Identity{}, nil, err
	}
	id := fence.Identity{Serial: t.At("mac").Or("")}
	if s.gen == 1 {
		id.Family, id.Model, id.Firmware = "shelly-gen1", s.kind, t.At("fw").Or("")
	} else {
		id.Family, id.Model, id.Firmware = "shelly-gen2", t.At("model").Or(""), t.At("ver").Or("")
	}
	all, err := s.list(ctx)
	id.Outlets = len(all)
	return id, all, err
}

func (s *shelly) warnings(ctx context.Context, n int) (out []string, err error) {
	warn := func(bad bool, text string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(text, args...))
		}
	}
	err = s.as(ctx, func() error {
		t, err := ask(ctx, s.client, Request{Path: fmt.Sprintf("/settings/relay/%d", n)})
		if err != nil {
			return err
		}
		on, _ := t.At("auto_on").Number()
		off, _ := t.At("auto_off").Number()
		schedule, _ := t.At("schedule").Bool()
		warn(on > 0, "auto_on: it switches itself on %v s after it was switched off", on)
		warn(off > 0, "auto_off: it switches itself off %v s after it was switched on", off)
		warn(schedule, "schedule: it switches by the clock")
		warn(t.At("default_state").Or("") == "on", "default_state on: it comes back when its own power does")
		return nil
	}, func() error {
		t, err := ask(ctx, s.client, Request{Path: fmt.Sprintf("/rpc/Switch.GetConfig?id=%d", n)})
		if err != nil {
			return err
		}
		on, _ := t.At("auto_on").Bool()
		off, _ := t.At("auto_off").Bool()
		recover, _ := t.At("autorecover_voltage_errors").Bool()
		warn(on, "auto_on: it switches itself on %v s after it was switched off", t.At("auto_on_delay"))
		warn(off, "auto_off: it switches itself off %v s after it was switched on", t.At("auto_off_delay"))
		warn(recover, "autorecover_voltage_errors: it comes back after a voltage error")
		warn(t.At("initial_state").Or("") == "on", "initial_state on: it comes back when its own power does")
		return nil
	})
	return out, err
}
