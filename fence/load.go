package fence

import (
	"fmt"
	"math"
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
	wasOn  bool // the newest reading of the power, but for off, was on
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
// that the outlet went off.
func (m *meter) learnFall() {
	fell := m.before.Value - m.now.Value
	if m.wasOn && m.now.like(m.before) && !m.now.outlet() && fell > m.now.zero() {
		m.draw = m.now
		m.draw.Value = fell
	}
	m.wasOn = false
}

// wantsBefore says whether a reading just before the command is worth its time.
func (m *meter) wantsBefore() bool {
	switch {
	case !m.now.sound():
		return false
	case m.now.outlet():
		return !m.draw.outlet()
	}
	return true // others draw by the same meter, and change
}

// present says that the outlet's own meter shows a load.
func (l Load) present() bool { return l.outlet() && l.sound() && l.Value > l.zero() }

// gone says that the meter showed the load and shows that it is gone.
func (m *meter) gone() bool {
	if m.now.outlet() {
		d := m.draw
		return m.now.like(d) && d.Value > d.zero() && m.now.Value <= min(d.zero(), d.Value/2)
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
	return fmt.Sprintf("meter %v tells nothing", m.now)
}

// together lowers the grade of feeds whose coarse meter is one and the same
// unless it fell by what all of them drew: each alone would take the others'
// fall for its own.
func together(proofs []Proof) {
	for i := range proofs {
		own := proofs[i].meter
		if proofs[i].Grade != GradeLoad || own.now.outlet() {
			continue
		}
		before, sum, least, n := own.before, 0.0, own.draw.Value, 0
		known := true
		for _, p := range proofs {
			if p.meter.unit != own.unit || !p.meter.now.like(own.now) {
				continue
			}
			n++
			sum += p.meter.draw.Value
			least = min(least, p.meter.draw.Value)
			before.Value = max(before.Value, p.meter.before.Value)
			known = known && p.meter.draw.like(own.now)
		}
		if n > 1 && !fallen(before, own.now, sum, least, known) {
			proofs[i].Grade = GradeClaim
			proofs[i].Evidence += fmt.Sprintf("; the fall does not tell of all %d outlets of this meter", n)
		}
	}
}
