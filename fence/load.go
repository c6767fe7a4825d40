package fence

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// What a meter shows without a load: noise, and what leaks past an open relay.
const (
	zeroAmps  = 0.05 // half of the usual resolution, 0.1 A
	zeroWatts = 1.0
)

// coarseWait is how long an Off that is proven waits for a coarse meter to
// show the fall that it knows should come. Meters of banks are read out once
// in a second or two.
const coarseWait = 2 * time.Second

// A meter is what the meter of one feed showed.
type meter struct {
	unit   string
	draw   Load // what the node draws by this outlet: an outlet's meter while on, or an earlier fall
	before Load // newest while the outlet read on
	now    Load // newest
	wasOn  bool // the outlet was seen on before it was switched off
}

func (l Load) outlet() bool { return l.Scope == "outlet" }

// sound says that there is a value that can be one.
func (l Load) sound() bool {
	return l.Metered() && (l.Unit == "A" || l.Unit == "W") && l.Value >= 0 && !math.IsInf(l.Value, 0)
}

// like says that two values can be compared.
func (l Load) like(o Load) bool {
	return l.Scope == o.Scope && l.Unit == o.Unit && l.sound() && o.sound()
}

// zero is the value that counts as none.
func (l Load) zero() float64 {
	if l.Unit == "W" {
		return zeroWatts
	}
	return zeroAmps
}

// learn takes a reading in. What a node draws is what its outlet's meter shows
// while it is on; a coarse meter tells that only by a fall.
func (m *meter) learn(said Reading) {
	m.now = Load{}
	if said.Load.sound() {
		m.now = said.Load
	}
	if said.Power != PowerOn {
		return
	}
	m.before, m.wasOn = m.now, true
	if m.now.outlet() {
		m.draw = m.now
	}
}

// learnFall takes the fall of a coarse meter for the draw, once it is proven
// that the outlet went off: the first one, or one that confirms what is known.
// A smaller one may be somebody else's.
func (m *meter) learnFall() {
	known := m.now.like(m.draw)
	if m.wasOn && m.now.like(m.before) && !m.now.outlet() && (!known || m.gone()) {
		m.fell(m.before.Value - m.now.Value)
	}
	m.wasOn = false
}

// fell takes a fall for the draw, if it is more than none.
func (m *meter) fell(by float64) {
	if by > m.now.zero() {
		m.draw = m.now
		m.draw.Value = by
	}
}

// present says that the outlet's own meter shows a load.
func (l Load) present() bool { return l.outlet() && l.sound() && l.Value > l.zero() }

// gone says that the meter showed the load and shows that it is gone.
func (m *meter) gone() bool {
	if m.now.outlet() {
		d := m.draw
		return m.wasOn && m.now.like(d) && d.Value > d.zero() && m.now.Value <= min(d.zero(), d.Value/2)
	}
	return m.wasOn && fallen(m.before, m.now, m.draw.Value, m.draw.Value, m.now.like(m.draw))
}

// fallen says that a coarse meter fell by all that was switched off, give or
// take half of the least of it, or to nothing.
func fallen(before, now Load, sum, least float64, known bool) bool {
	if !now.like(before) || before.Value <= before.zero() {
		return false
	}
	fell := before.Value - now.Value
	return now.Value <= now.zero() || known && least > now.zero() && fell >= sum-least/2
}

// mayFall says that a coarse meter could show the fall, and does not yet.
func (m *meter) mayFall() bool {
	return m.wasOn && !m.now.outlet() && m.now.like(m.before) && m.now.like(m.draw) && !m.gone()
}

func (m *meter) grade() Grade {
	if m.gone() {
		return GradeLoad
	}
	return GradeClaim
}

// String tells of the meter in the evidence.
func (m meter) String() string {
	switch {
	case !m.now.sound():
		return "no meter"
	case m.gone():
		before := m.before
		if m.now.outlet() {
			before = m.draw
		}
		return fmt.Sprintf("meter from %v to %v", before, m.now)
	}
	if m.mayFall() {
		return fmt.Sprintf("meter from %v to %v, although %v should be gone", m.before, m.now, m.draw)
	}
	return fmt.Sprintf("meter %v tells nothing", m.now)
}

// A shared is the one coarse meter of several feeds that were switched off
// together.
type shared struct {
	feeds       []int // their numbers in the chain
	before, now Load
	sum, least  float64 // of what they are known to draw
	known       bool    // of each
	on          bool    // each was seen on before
}

// share sorts feeds by the meters that they have in common.
func share(proofs []Proof) []shared {
	var all []shared
	for i, p := range proofs {
		m := p.meter
		if !m.now.sound() || m.now.outlet() {
			continue
		}
		n := slices.IndexFunc(all, func(s shared) bool {
			return proofs[s.feeds[0]].meter.unit == m.unit && s.now.like(m.now)
		})
		if n < 0 {
			n = len(all)
			all = append(all, shared{before: m.before, now: m.now, least: m.draw.Value, known: true, on: true})
		}
		s := &all[n]
		s.feeds = append(s.feeds, i)
		s.sum += m.draw.Value
		s.least = min(s.least, m.draw.Value)
		s.before.Value = max(s.before.Value, m.before.Value)
		s.now.Value = min(s.now.Value, m.now.Value)
		s.known = s.known && m.draw.like(m.now)
		s.on = s.on && m.wasOn
	}
	return all
}

// sharing lowers the grade of feeds that share a coarse meter unless it fell
// by what all of them drew: each alone would take the others' fall for its own.
func sharing(proofs []Proof, parts []part) {
	for _, s := range share(proofs) {
		if len(s.feeds) < 2 {
			continue
		}
		gone := s.on && fallen(s.before, s.now, s.sum, s.least, s.known)
		for _, i := range s.feeds {
			if !gone && proofs[i].Grade == GradeLoad {
				proofs[i].Grade = GradeClaim
				proofs[i].Evidence += fmt.Sprintf("; the fall does not tell of all %d outlets of this meter", len(s.feeds))
			}
			p, ok := parts[i].(*Prover)
			if !ok {
				continue
			}
			p.mu.Lock()
			p.past.meter.draw = proofs[i].meter.draw // the fall was not all its own
			if gone || s.on && !s.known {
				p.past.meter.fell((s.before.Value - s.now.Value) / float64(len(s.feeds)))
			}
			p.mu.Unlock()
		}
	}
}
