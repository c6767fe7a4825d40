package lab

import (
	"net"
	"slices"
	"time"
)

// A span is a time, by the observer's clock, in which a box surely answered.
type span struct{ from, to time.Duration }

// pauseMost is how many intervals may pass between two answers within a span.
const pauseMost = 3

// spans finds the times in which a box surely answered: from the arrival of an
// answer to the moment of a later question that it answered, too, while answers
// came without a pause. A box that is slow to answer, or answers what waited in
// its queue while it stood still, makes its spans shorter and never longer.
func (o *Observer) spans(mac net.HardwareAddr) []span {
	var came []span // of each answer: its question, its arrival
	for i, at := range o.asked {
		k := slices.IndexFunc(o.answers[i][:], func(a net.HardwareAddr) bool { return a.String() == mac.String() })
		if k >= 0 {
			came = append(came, span{at, o.came[i][k]})
		}
	}
	slices.SortFunc(came, func(a, b span) int { return int(a.to - b.to) })
	var all []span
	for i, c := range came {
		if i == 0 || c.to-came[i-1].to > pauseMost*o.every {
			all = append(all, span{from: c.to, to: c.to})
		}
		s := &all[len(all)-1]
		s.to = max(s.to, c.from)
	}
	return all
}

// Overlap returns for how long two boxes surely answered at the same time,
// between two moments of the observer's clock. Unlike BothActive it holds no
// question against two boxes that answered it one after the other, which slow
// boxes do: it is a lower bound, and needs no allowance.
func (o *Observer) Overlap(a, b net.HardwareAddr, from, to time.Duration) (both time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range o.spans(a) {
		for _, y := range o.spans(b) {
			both += max(0, min(x.to, y.to, to)-max(x.from, y.from, from))
		}
	}
	return both
}
