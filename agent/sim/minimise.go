package sim

import (
	"slices"
	"time"
)

// maxTries bounds how many runs a minimisation takes; what is shortest until
// then is returned.
const maxTries = 400

// Minimise cuts a failing schedule down: to the faults that matter (delta
// debugging, Zeller and Hildebrandt 2002), then to a shorter run and shorter
// faults. The result fails by the same rule. It says how many runs that took.
func Minimise(c Config, s Schedule) (Config, Schedule, int) {
	first := Run(c, s)
	if first.Violation == nil {
		return c, s, 1
	}
	m := minimiser{c: c, rule: first.Violation.Rule, tries: 1}
	m.c.Trace = nil
	s = slices.DeleteFunc(slices.Clone(s), func(f Fault) bool { return f.At > time.Duration(first.Violation.At) })
	if !m.fails(m.c, s) { // what came later ended a fault, or the heal
		return c, s, m.tries
	}
	s = m.split(s)
	s = m.shrink(s)
	m.simplify(s)
	return m.c, s, m.tries
}

type minimiser struct {
	c     Config
	rule  string
	tries int
}

func (m *minimiser) fails(c Config, s Schedule) bool {
	if m.tries >= maxTries {
		return false
	}
	m.tries++
	v := Run(c, s).Violation
	return v != nil && v.Rule == m.rule
}

// split leaves out ever smaller parts of the list as long as the rest fails.
func (m *minimiser) split(s Schedule) Schedule {
	for n := 2; len(s) > 0 && n <= 2*len(s); {
		size := (len(s) + n - 1) / n
		cut := false
		for i := 0; i < len(s); i += size {
			rest := slices.Delete(slices.Clone(s), i, min(i+size, len(s)))
			if m.fails(m.c, rest) {
				s, cut = rest, true
				break
			}
		}
		switch {
		case cut:
			n = max(n-1, 2)
		case size == 1:
			return s
		default:
			n *= 2
		}
	}
	return s
}

// shrink makes what is left shorter and rounder.
func (m *minimiser) shrink(s Schedule) Schedule {
	for i := range s {
		for _, grain := range []time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond} {
			t := slices.Clone(s)
			t[i].For = t[i].For.Truncate(grain)
			if t[i].For > 0 && t[i].For != s[i].For && m.fails(m.c, t) {
				s = t
				break
			}
		}
		t := slices.Clone(s)
		t[i].At = t[i].At.Truncate(10 * time.Millisecond)
		if t[i].At != s[i].At && m.fails(m.c, t) {
			s = t
		}
	}
	return s
}

// simplify turns off what the failure does not need.
func (m *minimiser) simplify(s Schedule) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Groups = 1 },
		func(c *Config) { c.Drift = [2]int{} },
		func(c *Config) { c.Wire = false },
		func(c *Config) { c.Hiccup = 0 },
		func(c *Config) { c.Trouble = 0 },
		func(c *Config) { c.Slow = false },
		func(c *Config) { c.Lines = false },
		func(c *Config) { c.NoServices = true },
	} {
		c := m.c
		change(&c)
		if c != m.c && m.fails(c, s) {
			m.c = c
		}
	}
}
