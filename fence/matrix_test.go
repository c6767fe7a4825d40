package fence_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

// fenceTime is what each case of the matrix has: more than the slowest outlet
// known needs, with a management controller as slow as they come.
const fenceTime = 60 * time.Second

// A kind is a family of devices by what they tell.
type kind struct {
	name string
	base fencetest.Behaviour
	draw fence.Load // known from an earlier off
}

var kinds = []kind{
	{name: "bare"},
	{name: "pending", base: fencetest.Behaviour{Tells: true}},
	{name: "outlet meter", base: fencetest.Behaviour{Meter: "outlet", Draw: 0.4}},
	{name: "bank meter", base: fencetest.Behaviour{Meter: "bank", Draw: 0.4, Other: 3.1}, draw: fence.Load{Scope: "bank", Value: 0.4, Unit: "A"}},
	{name: "pending+meter", base: fencetest.Behaviour{Meter: "outlet", Draw: 0.4, Tells: true}},
}

func (k kind) metered() bool { return k.base.Meter == "outlet" }

// A world is one unit with two outlets that feed the node, and one that feeds
// another box. Rows use as much of it as they need.
type world struct {
	t    *testing.T
	node fence.Chain
	kind kind
	unit *fencetest.Unit
	far  *fencetest.Unit // what feeds the second supply; the same unit, or another
	pins bool
}

// fake is the outlet of a supply, or the third of the unit.
func (w *world) fake(n int) *fencetest.Fake {
	if n == 2 {
		return w.far.Fake(2)
	}
	return w.unit.Fake(n)
}

// feed returns the device of an outlet by its selector.
func (w *world) feed(n int, selector string) fence.Device {
	unit, name := w.unit, "unit"
	if n == 2 && w.far != w.unit {
		unit, name = w.far, "far"
	}
	sw, err := unit.Outlet(selector)
	if err != nil {
		w.t.Fatal(err)
	}
	f := fence.Feed{Switch: sw, Unit: name, Draw: w.kind.draw}
	if w.pins {
		f.Pin = unit.Pin(n)
	}
	d, err := fence.NewFeed(f, fence.Timing{Holdup: time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// behave edits the behaviour of a socket.
func (w *world) behave(n int, edit func(*fencetest.Behaviour)) {
	b := w.kind.base
	edit(&b)
	w.fake(n).Behave(b)
}

// A row is one misbehaviour. A device that misbehaves in a way that no reading
// of it shows is beyond any prover: those rows are the limits, and the proof
// must not claim more than the device's word.
type row struct {
	name   string
	pinned bool
	two    bool              // the node has two supplies
	apart  bool              // on two units
	edit   func(*world)      // after a good check
	blind  bool              // no check came before
	must   bool              // it must be proven
	claim  bool              // and no meter tells of the load
	refuse string            // why it must not be proven though the relay may be open; empty: no reason
	reason string            // what the evidence must say then
	limit  func(k kind) bool // kinds that cannot see it
	back   bool              // power comes back after a proof
}

func one(edit func(*fencetest.Behaviour)) func(*world) {
	return func(w *world) { w.behave(1, edit) }
}

func both(edit func(*fencetest.Behaviour)) func(*world) {
	return func(w *world) { w.behave(1, edit); w.behave(2, edit) }
}

// offAlready is an outlet that somebody switched off a minute ago.
func offAlready(edit func(*fencetest.Behaviour)) func(*world) {
	return func(w *world) {
		_ = w.unit.Fake(1).SwitchOff(w.t.Context())
		time.Sleep(time.Minute)
		w.behave(1, edit)
	}
}

// justOn is one that somebody has switched on again just now, and whose
// readings lag behind by as much as the slowest outlet's known.
func justOn(edit func(*fencetest.Behaviour)) func(*world) {
	return func(w *world) {
		offAlready(func(*behaviour) {})(w)
		_ = w.unit.Fake(1).SwitchOn(w.t.Context())
		w.behave(1, func(b *behaviour) {
			b.ReadLag = 25 * time.Second
			edit(b)
		})
	}
}

func always(kind) bool      { return true }
func unmetered(k kind) bool { return !k.metered() }

func says(power fence.Power, err error) func(int, bool) (fence.Reading, error) {
	return func(int, bool) (fence.Reading, error) { return fence.Reading{Power: power}, err }
}

// alternates reads by turns what it is told, whatever the relay.
func alternates(powers ...fence.Power) func(int, bool) (fence.Reading, error) {
	return func(n int, _ bool) (fence.Reading, error) { return fence.Reading{Power: powers[n%len(powers)]}, nil }
}

const on, off, unknown = fence.PowerOn, fence.PowerOff, fence.PowerUnknown

type behaviour = fencetest.Behaviour

// rows is the matrix. Each is run on each kind.
var rows = []row{
	{name: "none", must: true, edit: one(func(b *behaviour) {})},
	{name: "none, pinned", must: true, pinned: true, edit: one(func(b *behaviour) {})},
	{name: "none, two supplies", must: true, two: true, edit: both(func(b *behaviour) {})},
	{name: "none, nothing known before", must: true, blind: true, edit: one(func(b *behaviour) {})},

	// Commands.
	{name: "command fails but acts (genErr)", must: true, edit: one(func(b *behaviour) { b.CommandFail = true })},
	{name: "command fails but acts after 25 s", edit: one(func(b *behaviour) { b.CommandFail, b.Lag = true, 25*time.Second })},
	{name: "relay lags by 0.7 s", edit: one(func(b *behaviour) { b.Lag = 700 * time.Millisecond })},
	{name: "relay lags by 2.7 s", edit: one(func(b *behaviour) { b.Lag = 2700 * time.Millisecond })},
	{name: "relay lags by 25 s", must: true, edit: one(func(b *behaviour) { b.Lag = 25 * time.Second })},
	{name: "relay lags by an hour", edit: one(func(b *behaviour) { b.Lag = time.Hour })},
	{name: "says success and does nothing", edit: one(func(b *behaviour) { b.Dead = true })},
	{name: "command is lost once", must: true, edit: one(func(b *behaviour) { b.Drop = 1 })},
	{name: "command is lost twice", must: true, edit: one(func(b *behaviour) { b.Drop = 2 })},
	{name: "command is lost always", edit: one(func(b *behaviour) { b.Drop = 1 << 20 })},
	{name: "no right to write", edit: one(func(b *behaviour) { b.Dead, b.CommandFail = true, true })},
	{name: "metered only, no relay", edit: one(func(b *behaviour) { b.MeteredOnly = true })},

	// Off already, or so it reads.
	{name: "off already", must: true, edit: offAlready(func(*behaviour) {})},
	{name: "off already, and the first answer to a command is an error", must: true, edit: func(w *world) {
		offAlready(func(b *behaviour) { b.CommandFail = true })(w)
		time.AfterFunc(time.Second, func() { w.behave(1, func(*behaviour) {}) })
	}},
	{
		name: "off already, and commands fail but act (genErr)", reason: "no order was acknowledged",
		refuse: "nothing tells it from a status that lags behind somebody's on", edit: offAlready(func(b *behaviour) { b.CommandFail = true }),
	},
	{name: "somebody's on is not read for 25 s", must: true, edit: justOn(func(*behaviour) {})},
	{name: "somebody's on is not read for 25 s, command is lost once", must: true, edit: justOn(func(b *behaviour) { b.Drop = 1 })},
	{name: "somebody's on is not read for 25 s, command is lost thrice", must: true, edit: justOn(func(b *behaviour) { b.Drop = 3 })},
	{name: "somebody's on is not read for 25 s, command is lost always", edit: justOn(func(b *behaviour) { b.Drop = 1 << 20 })},
	{name: "somebody's on is not read for 25 s, no right to write", edit: justOn(func(b *behaviour) { b.Dead, b.CommandFail = true, true })},

	// Restarts and outages.
	{name: "unreachable", edit: one(func(b *behaviour) { b.Unreachable = true })},
	{name: "restarts in mid-command for 8 s", must: true, edit: one(func(b *behaviour) { b.Restart = 8 * time.Second })},
	{name: "restarts in mid-command, relay off after it", edit: func(w *world) {
		w.behave(1, func(b *behaviour) {})
		_ = w.unit.Fake(1).SwitchOff(w.t.Context())
		w.behave(1, func(b *behaviour) { b.Restart = 8 * time.Second })
	}},
	{name: "restarts in mid-command and wakes with the relay on", must: true, edit: func(w *world) {
		_ = w.unit.Fake(1).SwitchOff(w.t.Context())
		w.behave(1, func(b *behaviour) { b.Restart, b.WakesOn = 8*time.Second, true })
	}},
	{name: "restarts for longer than there is time", edit: one(func(b *behaviour) { b.Restart = time.Hour })},
	{name: "answers after 1.5 s", edit: one(func(b *behaviour) { b.Slow = 1500 * time.Millisecond })},
	{name: "answers after 4 s, two supplies", two: true, edit: both(func(b *behaviour) { b.Slow = 4 * time.Second })},
	{name: "never answers", edit: one(func(b *behaviour) { b.Slow = time.Hour })},
	{name: "every third answer is lost", must: true, edit: one(func(b *behaviour) { b.Lost = 3 })},
	{name: "every third answer is lost, two supplies", two: true, edit: both(func(b *behaviour) { b.Lost = 3 })},
	{name: "every second answer is lost", refuse: "no two readings follow each other", edit: one(func(b *behaviour) { b.Lost = 2 })},
	{name: "garbled at first", edit: one(func(b *behaviour) { b.Garbled = 7 })},
	{name: "garbled for ever", refuse: "nothing can be read", edit: one(func(b *behaviour) { b.Garbled = 1 << 30 })},

	// Readings that lie or are none.
	{name: "off with an error", edit: one(func(b *behaviour) { b.Dead, b.Says = true, says(off, errors.New("checksum")) })},
	{name: "unknown without an error", edit: one(func(b *behaviour) { b.Dead, b.Says = true, says(unknown, nil) })},
	{name: "a value of no table", edit: one(func(b *behaviour) { b.Dead, b.Says = true, says(fence.Power(7), nil) })},
	{name: "off and on by turns", edit: one(func(b *behaviour) { b.Dead, b.Says = true, alternates(off, on) })},
	{name: "off and unknown by turns", edit: one(func(b *behaviour) { b.Dead, b.Says = true, alternates(off, unknown) })},
	{name: "off, off, on", edit: one(func(b *behaviour) { b.Dead, b.Says = true, alternates(off, off, on) })},
	{name: "off once, then the truth", edit: one(func(b *behaviour) {
		b.Dead, b.Says = true, func(n int, isOn bool) (fence.Reading, error) {
			return fence.Reading{Power: map[bool]fence.Power{true: on, false: off}[isOn && n > 2]}, nil
		}
	})},
	{name: "zero reading (all varbinds null)", edit: one(func(b *behaviour) { b.Dead, b.Says = true, alternates(unknown) })},
	{name: "readings are of another outlet, which is off", pinned: true, limit: always, edit: func(w *world) {
		_ = w.unit.Fake(3).SwitchOff(w.t.Context())
		w.behave(1, func(b *behaviour) { b.Dead, b.ReadsOf = true, w.unit.Fake(3) })
	}},
	{name: "readings are of another outlet, which is on", pinned: true, refuse: "it reads on", edit: func(w *world) {
		w.behave(1, func(b *behaviour) { b.ReadsOf = w.unit.Fake(3) })
	}},
	{name: "welded relay: the state follows, the contact does not", limit: unmetered, edit: one(func(b *behaviour) { b.Lie = true })},
	{name: "welded relay, and a neighbour draws a little less", limit: unmetered, edit: func(w *world) {
		w.behave(1, func(b *behaviour) { b.Lie = true })
		w.behave(3, func(b *behaviour) { b.Draw = 0.1 })
		time.AfterFunc(50*time.Millisecond, func() { _ = w.unit.Fake(3).SwitchOff(context.Background()) })
	}},
	{name: "one of two relays welded", two: true, limit: unmetered, edit: func(w *world) { w.behave(1, func(b *behaviour) { b.Lie = true }) }},
	{name: "one of two relays welded, answers after 50 ms", two: true, limit: unmetered, edit: func(w *world) {
		w.behave(1, func(b *behaviour) { b.Lie, b.Slow = true, 50*time.Millisecond })
		w.behave(2, func(b *behaviour) { b.Slow = 50 * time.Millisecond })
	}},

	// Only one of two outlets.
	{name: "both commands go to the first outlet", two: true, edit: func(w *world) {
		w.behave(2, func(b *behaviour) { b.Elsewhere = w.unit.Fake(1) })
	}},
	{name: "the second outlet does nothing", two: true, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Dead = true }) }},
	{name: "the second outlet is unreachable", two: true, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Unreachable = true }) }},
	{name: "the second outlet lags by 20 s", two: true, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Lag = 20 * time.Second }) }},
	{name: "the first comes back while the second lags", two: true, edit: func(w *world) {
		w.behave(1, func(b *behaviour) { b.FlipBack = 6 * time.Second })
		w.behave(2, func(b *behaviour) { b.Lag = 8 * time.Second })
	}},
	{name: "the first comes back and falls silent while the second lags", two: true, edit: func(w *world) {
		w.behave(2, func(b *behaviour) { b.Lag = 8 * time.Second })
		time.AfterFunc(4*time.Second, func() {
			w.behave(1, func(b *behaviour) { b.Unreachable, b.FlipBack = true, time.Second })
		})
	}},
	{name: "commands act on the neighbour", edit: func(w *world) { w.behave(1, func(b *behaviour) { b.Elsewhere = w.unit.Fake(3) }) }},

	// Two units.
	{name: "none, two units", apart: true, must: true, edit: both(func(b *behaviour) {})},
	{name: "none, two units, pinned", apart: true, pinned: true, must: true, edit: both(func(b *behaviour) {})},
	{name: "the far unit is unreachable", apart: true, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Unreachable = true }) }},
	{name: "the far unit restarts in mid-command", apart: true, must: true, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Restart = 9 * time.Second }) }},
	{name: "the far unit answers after 3 s", apart: true, must: true, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Slow = 3 * time.Second }) }},
	{name: "the far unit loses every third answer", apart: true, must: true, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Lost = 3 }) }},
	{name: "the far unit was replaced", apart: true, pinned: true, refuse: "it is not switched", edit: func(w *world) {
		w.far.Become(func(is *fence.Identity) { is.Serial = "another" })
	}},
	{name: "the far relay is welded", apart: true, limit: unmetered, edit: func(w *world) { w.behave(2, func(b *behaviour) { b.Lie = true }) }},

	// On again, by itself.
	{name: "off means reboot: on after 0.2 s", edit: one(func(b *behaviour) { b.FlipBack = 200 * time.Millisecond })},
	{name: "off means reboot: on after 0.6 s", edit: one(func(b *behaviour) { b.FlipBack = 600 * time.Millisecond })},
	{name: "off means reboot: on after 1 s", edit: one(func(b *behaviour) { b.FlipBack = time.Second })},
	{name: "a delayed on waits in it", edit: one(func(b *behaviour) { b.Delayed = time.Second })},
	{name: "a delayed on of 8 s waits in it and is told", refuse: "it is off only for a while", edit: func(w *world) {
		w.behave(1, func(b *behaviour) { b.Delayed, b.Tells = 8*time.Second, true })
	}},

	{name: "on during the hold-up, and the answer after it lost", edit: one(func(b *behaviour) {
		b.FlipBack, b.Says = 800*time.Millisecond, func(n int, isOn bool) (fence.Reading, error) {
			if n == 4 { // one before the command, two of the proof
				return fence.Reading{}, fencetest.ErrTimeout
			}
			return fence.Reading{Power: map[bool]fence.Power{true: on, false: off}[isOn]}, nil
		}
	})},
	{name: "comes on by itself after 20 s", back: true, edit: one(func(b *behaviour) { b.FlipBack = 20 * time.Second })},
	{name: "our own on of just before is still on its way", edit: func(w *world) {
		_ = w.unit.Fake(1).SwitchOff(w.t.Context())
		w.behave(1, func(b *behaviour) { b.Queue, b.Lag = true, 12*time.Second })
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
		defer cancel()
		if w.node.On(ctx) == nil {
			w.t.Error("on was read back before the relay moved")
		}
	}},

	// Pending commands.
	{name: "a command is pending for ever", refuse: "it may be an on", edit: one(func(b *behaviour) { b.Tells, b.Stuck = true, true })},
	{name: "pending is unknown", refuse: "it may be an on", edit: one(func(b *behaviour) { b.Tells, b.Unsure = true, true })},
	{name: "pending for 6 s, then none", edit: one(func(b *behaviour) { b.Tells, b.Lag = true, 6*time.Second })},

	// Meters.
	{name: "meter lags by 6 s", edit: one(func(b *behaviour) { b.MeterLag = 6 * time.Second })},
	{name: "meter shows -1", must: true, claim: true, edit: one(func(b *behaviour) { b.Shows = &fence.Load{Scope: "outlet", Value: -1, Unit: "A"} })},
	{name: "meter shows no number", must: true, claim: true, edit: one(func(b *behaviour) { b.Shows = &fence.Load{Scope: "outlet", Value: math.NaN(), Unit: "A"} })},
	{name: "meter shows nothing, ever", blind: true, must: true, claim: true, edit: one(func(b *behaviour) { b.Shows = &fence.Load{Scope: "outlet", Unit: "A"} })},
	{name: "meter vanishes", must: true, claim: true, edit: one(func(b *behaviour) { b.Meter = "" })},
	{name: "meter changes its unit", edit: one(func(b *behaviour) { b.Shows = &fence.Load{Scope: "outlet", Unit: "W"} })},
	{name: "a neighbour draws more just then", edit: one(func(b *behaviour) { b.Other = 9 })},
	{name: "outlet's meter is stuck", refuse: "nobody can tell it from a welded relay", edit: one(func(b *behaviour) {
		b.Shows = &fence.Load{Scope: "outlet", Value: 0.4, Unit: "A"}
	})},

	// Who is it.
	{name: "another device at the address", pinned: true, refuse: "it is not switched", edit: func(w *world) {
		w.unit.Become(func(is *fence.Identity) { is.Serial = "another" })
	}},
	{name: "another device while nobody looked", pinned: true, blind: true, refuse: "it is not switched", edit: func(w *world) {
		w.unit.Become(func(is *fence.Identity) { is.Model = "another" })
	}},
	{name: "outlets renumbered", pinned: true, refuse: "it is not switched", edit: func(w *world) { w.unit.Renumber(1) }},
	{name: "outlet renamed", pinned: true, refuse: "it is not switched", edit: func(w *world) { w.unit.Rename(1, "spare") }},
	{name: "fewer outlets", pinned: true, refuse: "it is not switched", edit: func(w *world) {
		w.unit.Become(func(is *fence.Identity) { is.Outlets = 2 })
	}},
	{name: "does not say who it is, said so just before", pinned: true, edit: func(w *world) { w.unit.KeepsSilentOnItself() }},
	{name: "does not say who it is, never did", pinned: true, blind: true, refuse: "it is not switched", edit: func(w *world) { w.unit.KeepsSilentOnItself() }},
	{name: "outlets renumbered by a restart in mid-command", pinned: true, refuse: "it is another outlet", edit: func(w *world) {
		_ = w.unit.Fake(3).SwitchOff(w.t.Context())
		w.behave(1, func(b *behaviour) { b.Dead = true })
		go func() {
			time.Sleep(20 * time.Millisecond)
			w.unit.Renumber(1) // selector 1 is socket 3 now, which is off
		}()
	}},
	{name: "name moved to another outlet, selected by number", pinned: true, refuse: "it is not switched", edit: func(w *world) {
		w.unit.Rename(1, "x")
		w.unit.Rename(3, "socket 1")
	}},
}

// A cell is the outcome of one row on one kind.
type cell struct {
	proof   fence.Proof
	err     error
	live    bool // a supply of the node had power when Off returned
	later   bool // or within a minute after
	verdict string
}

// play runs one row on one kind.
func (r row) play(t *testing.T, k kind) (c cell) {
	w := &world{t: t, kind: k, unit: fencetest.NewUnit("unit", 3), pins: r.pinned}
	w.far = w.unit
	if r.apart {
		w.far = fencetest.NewUnit("far", 3)
	}
	nodes := []int{1}
	if r.two || r.apart {
		nodes = append(nodes, 2)
	}
	for n := range 3 {
		w.behave(n+1, func(*behaviour) {})
	}
	for _, n := range nodes {
		w.node.Devices = append(w.node.Devices, w.feed(n, fmt.Sprint(n)))
	}
	if !r.blind {
		if found, err := w.node.Check(t.Context()); err != nil || len(found) > 0 {
			t.Fatalf("a good device: %v, %v", found, err)
		}
	}
	r.edit(w)
	ctx, cancel := context.WithTimeout(t.Context(), fenceTime)
	defer cancel()
	c.proof, c.err = w.node.Off(ctx)
	powered := func() (any bool) {
		for _, n := range nodes {
			any = w.fake(n).HasPower() || any
		}
		return any
	}
	c.live = powered()
	for range 60 {
		time.Sleep(time.Second)
		c.later = c.later || powered()
	}
	c.verdict = r.judge(k, c)
	return c
}

// judge holds the proof against the truth. Capitals are mistakes.
func (r row) judge(k kind, c cell) string {
	limit := r.limit != nil && r.limit(k)
	proven, claim := c.proof.Proven, c.proof.Grade == fence.GradeClaim
	switch {
	case proven != (c.err == nil), !proven && !errors.Is(c.err, fence.ErrUnproven), r.must && !proven:
		return "WRONG"
	case proven && (r.refuse != "" || r.claim && !claim), !strings.Contains(c.proof.Evidence, r.reason):
		return "WRONG"
	case proven && c.live && limit && claim:
		return "limit"
	case proven && c.live:
		return "LIE"
	case proven && c.later && r.back:
		return "back later"
	case proven && c.later:
		return "BACK LATER"
	case proven:
		return "ok"
	case !c.live && r.refuse == "":
		return "MISS"
	}
	return "refused"
}

// TestNoMisbehaviourMakesAFalseProofOrAMiss prints the matrix with -v.
func TestNoMisbehaviourMakesAFalseProofOrAMiss(t *testing.T) {
	if len(rows) < 40 {
		t.Fatalf("%d misbehaviours", len(rows))
	}
	count := map[string]int{}
	var b strings.Builder
	fmt.Fprintf(&b, "%-60s", "misbehaviour")
	for _, k := range kinds {
		fmt.Fprintf(&b, " %-16s", k.name)
	}
	for _, r := range rows {
		fmt.Fprintf(&b, "\n%-60s", r.name)
		for _, k := range kinds {
			var c cell
			synctest.Test(t, func(t *testing.T) { c = r.play(t, k) })
			text := fmt.Sprintf("%s %.1fs", c.verdict, c.proof.Took.Seconds())
			if c.proof.Proven && c.proof.Grade == fence.GradeLoad {
				text += " load"
			}
			fmt.Fprintf(&b, " %-16s", text)
			count[c.verdict]++
			if strings.ToUpper(c.verdict) == c.verdict {
				t.Errorf("%s, %s: %s: %+v, %v", r.name, k.name, c.verdict, c.proof, c.err)
			}
		}
	}
	t.Logf("%d misbehaviours on %d kinds: %v\n%s", len(rows), len(kinds), count, b.String())
}
