package pair

import "time"

// minWait bounds how soon the machine asks for a tick again: a wait that is
// over but could not end yet (a fence not granted, a hold) must not spin.
const minWait = time.Millisecond

// Next returns the latest instant at which a Tick is needed. It is at most one
// beat away, because the driver sends a beat then anyway.
func (m *Machine) Next() Instant {
	p, c := &m.peer, &m.cfg
	n := m.now.Add(c.Beat)
	soonest := m.now.Add(minWait)
	at := func(t Instant) {
		if t > m.now && t < n {
			n = max(t, soonest)
		}
	}
	at(p.listen)
	at(p.heardAt.Add(c.Dead + 1))
	if c.Mode == ModeFence {
		at(m.nextTurn())
	}
	at(p.heardAt.Add(c.Init + 1))
	if p.ackAt != 0 {
		at(p.ackAt.Add(c.Ack + 1))
	}
	if t, ok := m.takeAt(); ok {
		at(t)
		at(t.Add(-m.probeLasts()))
		at(t.Add(-(m.takeAfter() - c.Dead)))
	}
	for _, t := range [...]Instant{
		m.bid.next, m.bid.rest, m.prob.next, m.fenc.next, m.hold.until,
		m.rel.next, m.rel.askNext, m.rel.byeNext, m.own.retryAt, m.healthNext,
	} {
		at(t)
	}
	if m.own.doubtAt != 0 {
		at(m.own.doubtAt.Add(m.doubtFor()))
	}
	if m.stableFrom != 0 {
		at(m.stableFrom.Add(max(c.Takeover, c.FailbackHold)))
	}
	return n
}
