package sim

import (
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// maxTries bounds how many runs a minimisation takes; what is shortest until
// then is returned.
const maxTries = 1500

// otherSeeds is how many other noises (delays, interruptions) a shorter
// schedule is tried with, since leaving a fault out shifts all that is drawn
// after it.
const otherSeeds = 6

// Minimise cuts a failing schedule down: to the faults that matter (delta
// debugging, Zeller and Hildebrandt 2002), then to a shorter run and shorter
// faults. The result fails by the same rule. It says how many runs that took.
func Minimise(c Config, s Schedule) (Config, Schedule, int) {
	first := Run(c, s)
	if first.Violation == nil {
		return c, s, 1
	}
	return minimise(c, s, first.Violation.At, func(r *Result) bool {
		return r.Violation != nil && r.Violation.Rule == first.Violation.Rule
	})
}

// minimise keeps what a run shows by a moment.
func minimise(c Config, s Schedule, by pair.Instant, shows func(*Result) bool) (Config, Schedule, int) {
	m := minimiser{c: c, shows: shows, tries: 1}
	m.c.Trace = nil
	early := slices.DeleteFunc(slices.Clone(s), func(f Fault) bool { return f.At > time.Duration(by) })
	if m.fails(m.c, early) {
		s = early // else what came later ended a fault
	}
	short := m.c
	short.Length = time.Duration(by).Truncate(time.Second) + newWorld(m.c).settle + 10*time.Second
	if short.Length < m.c.Length && m.fails(short, s) {
		m.c = short
	}
	s = m.split(s)
	s = m.prune(s)
	s = m.shrink(s)
	m.simplify(s)
	return m.c, s, m.tries
}

type minimiser struct {
	c     Config
	shows func(*Result) bool
	tries int
}

func (m *minimiser) fails(c Config, s Schedule) bool {
	if m.tries >= maxTries {
		return false
	}
	m.tries++
	r := Run(c, s)
	return m.shows(&r)
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

// prune leaves out single faults, under another noise if need be.
func (m *minimiser) prune(s Schedule) Schedule {
	for i := 0; i < len(s); {
		rest := slices.Delete(slices.Clone(s), i, i+1)
		if m.failsSomehow(rest) {
			s, i = rest, 0
			continue
		}
		i++
	}
	return s
}

func (m *minimiser) failsSomehow(s Schedule) bool {
	c := m.c
	for range otherSeeds {
		c.Seed++
		if m.fails(c, s) {
			m.c = c
			return true
		}
	}
	return false
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
