package model

import (
	"maps"
	"slices"
	"testing"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// A doctor makes one step a lie; false if it has nothing to do there.
type doctor func(*Step) bool

// doctors break what rules rest on: the step loses the fact that a guard asks for.
var doctors = map[string]doctor{
	"acts without its cause": func(s *Step) bool {
		_, first := s.In.(pair.Start)
		s.In = pair.ForeignMAC{}
		return !first && len(s.Out) > 0
	},
	"the frame echoes nothing": heard(func(h *pair.Heard) { h.EchoSentAt = 0 }),
	"the echo is old":          heard(func(h *pair.Heard) { h.EchoSentAt = min(h.EchoSentAt, 1) }),
	"the peer is idle":         heard(func(h *pair.Heard) { h.State = pair.Standby }),
	"the peer owns":            heard(func(h *pair.Heard) { h.State = pair.Active }),
	"the frame is a beat":      heard(func(h *pair.Heard) { h.Kind = pair.Beat }),
	"the peer disagrees":       heard(func(h *pair.Heard) { h.Accept = false }),
	"the frame is overtaken":   heard(func(h *pair.Heard) { h.Counter = 1 }),
	"the probe was answered":   func(s *Step) bool { return swap(s, func(p *pair.ProbeDone) { p.Foreign = true }) },
	"the probe is not ours":    func(s *Step) bool { return swap(s, func(p *pair.ProbeDone) { p.Ticket += 77 }) },
	"nothing was proven":       func(s *Step) bool { return swap(s, func(p *pair.FenceDone) { p.Proven = false }) },
	"the proof is not ours":    func(s *Step) bool { return swap(s, func(p *pair.FenceDone) { p.Ticket += 77 }) },
	"the gate was refused":     func(s *Step) bool { return swap(s, func(p *pair.GateOpened) { p.OK = !p.OK }) },
	"the stall was short":      func(s *Step) bool { return swap(s, func(p *pair.Stalled) { p.Gap = 1 }) },
	"no lease was held":        func(s *Step) bool { return swap(s, func(p *pair.Start) { p.LeaseHeld = !p.LeaseHeld }) },
	"no maintenance":           func(s *Step) bool { return swap(s, func(p *pair.Start) { p.Maintenance = !p.Maintenance }) },
	"nothing is said":          drop[pair.Send],
	"another order":            func(s *Step) bool { return swap(s, func(p *pair.Command) { p.Op = pair.OpTake }) },
	"a second earlier":         func(s *Step) bool { s.Now = max(1, s.Now-1e9); return true },
	"a second later":           func(s *Step) bool { s.Now += 1e9; return len(s.Out) == 0 },
	"other evidence": func(s *Step) bool {
		return change(s, func(r *pair.Record) bool { r.Evidence ^= 3; return r.Evidence != 3 })
	},
	"the token is not spent": func(s *Step) bool {
		return change(s, func(f *pair.FencePeer) bool { f.Token = !f.Token; return true })
	},
}

// breakers break what a step must do, whatever led to it.
var breakers = map[string]doctor{
	"CloseGate is left out": drop[pair.CloseGate],
	"CloseGate comes last": func(s *Step) bool {
		i := slices.Index(s.Out, pair.Action(pair.CloseGate{}))
		if i < 0 || len(s.Out) < 2 {
			return false
		}
		s.Out = append(slices.Delete(slices.Clone(s.Out), i, i+1), pair.CloseGate{})
		return true
	},
	"the record is left out": func(s *Step) bool {
		n := len(s.Out)
		s.Out = slices.DeleteFunc(slices.Clone(s.Out), func(a pair.Action) bool { r, ok := a.(pair.Record); return ok && r.From != r.To })
		return len(s.Out) < n
	},
	"a GRANT slips in":    slip(pair.Send{Kind: pair.Grant}),
	"a RELEASED slips in": slip(pair.Send{Kind: pair.Released}),
	"a CLAIM slips in":    slip(pair.Send{Kind: pair.Claim}),
	"a grant is asked":    slip(pair.OpenGate{Ticket: 99}),
	"a fence slips in":    slip(pair.FencePeer{Ticket: 99}),
	"it renews":           func(s *Step) bool { s.Renew = !s.Renew; return s.Renew },
	"the gate is open":    func(s *Step) bool { s.After.GateOpen = !s.After.GateOpen; return true },
}

func heard(lie func(*pair.Heard)) doctor {
	return func(s *Step) bool { return swap(s, lie) }
}

// swap changes the input if it is of the type.
func swap[T pair.Input](s *Step, lie func(*T)) bool {
	in, ok := s.In.(T)
	if ok {
		lie(&in)
		s.In = in
	}
	return ok
}

// change changes the first action of the type.
func change[T pair.Action](s *Step, lie func(*T) bool) bool {
	s.Out = slices.Clone(s.Out)
	for i, a := range s.Out {
		if x, ok := a.(T); ok && lie(&x) {
			s.Out[i] = x
			return true
		}
	}
	return false
}

func drop[T pair.Action](s *Step) bool {
	n := len(s.Out)
	s.Out = slices.DeleteFunc(slices.Clone(s.Out), func(a pair.Action) bool { _, ok := a.(T); return ok })
	return len(s.Out) < n
}

func slip(a pair.Action) doctor {
	return func(s *Step) bool {
		s.Out = append(slices.Clone(s.Out), a)
		return true
	}
}

// treated is how many simulated runs are lied about.
const treated = 40

// unbreakable are rules that no lie about one step can contradict, with the reason.
var unbreakable = map[string]string{}

// TestDoctoredTracesAreRefused breaks each rule where it was used: in good
// traces the step that it explained is made a lie. Each rule must be missed by
// some lie, and each lie must be refused somewhere.
func TestDoctoredTracesAreRefused(t *testing.T) {
	broken, refused := map[string]int{}, map[string]int{}
	used := map[string]int{}
	for _, story := range stories(t) {
		c := &Checker{Fired: used}
		for _, s := range story {
			if err := treat(c, s, broken, refused); err != nil {
				t.Fatal(err)
			}
		}
	}
	for seed := range uint64(treated) {
		if err := treatRun(seed+1, used, broken, refused); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range Rules {
		if used[r.Name] > 0 && broken[r.Name] == 0 && unbreakable[r.Name] == "" {
			t.Errorf("rule %s, used %d times: no doctored trace was refused", r.Name, used[r.Name])
		}
		if used[r.Name] == 0 {
			t.Logf("rule %s is not used here", r.Name)
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(doctors)), slices.Collect(maps.Keys(breakers))) {
		if refused[name] == 0 {
			t.Errorf("%q was never refused", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		t.Logf("%-26s refused %6d times", name, refused[name])
	}
}

// treat judges the step, and every lie about it.
func treat(c *Checker, s Step, broken, refused map[string]int) error {
	before := *c
	if err := c.Step(s); err != nil {
		return err
	}
	for name, lie := range doctors {
		if lied(before, s, lie) {
			refused[name]++
			for _, r := range c.why {
				broken[r]++
			}
		}
	}
	for name, lie := range breakers {
		if lied(before, s, lie) {
			refused[name]++
		}
	}
	return nil
}

// lied reports whether the checker refuses the lie.
func lied(c Checker, s Step, lie doctor) bool {
	c.Fired = map[string]int{}
	return lie(&s) && c.Step(s) != nil
}

// treatRun does so for a simulated run, for the steps that did something.
func treatRun(seed uint64, used, broken, refused map[string]int) error {
	_, err := follow(seed, used, func(c *Checker, s Step) error {
		if len(s.Out) == 0 {
			return c.Step(s)
		}
		return treat(c, s, broken, refused)
	})
	return err
}
