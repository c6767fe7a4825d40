package pair

import "time"

// FenceTurn returns how long a fence operation may last that begins when the
// peer has been silent for so long; zero: it must not begin now.
//
// Two nodes that lost each other may both want to switch the other off, again
// and again, while the device is slow or away; the moment it obeys, both would
// be dead. So they take turns, race long each, counted from the moment they lost
// each other, which both know: first the owner, then the other one. What
// begins in a turn ends in it, whatever kept it waiting.
func FenceTurn(silence, dead, race time.Duration, first bool) time.Duration {
	if silence <= dead || race <= 0 {
		return 0
	}
	phase := (silence - dead) % (2 * race)
	if !first {
		phase -= race
	}
	if phase < 0 || phase >= race {
		return 0
	}
	return race - phase
}

// BudgetSpan is how long a fence counts in a Budget.
const BudgetSpan = time.Hour

// maxBudget bounds the fences that a Budget remembers; the newest count.
const maxBudget = 64

// A Budget bounds how often a node switches its peer off. One that comes back
// and is to be switched off again and again is a fault that no further fence
// mends. It holds no time of day: a router's clock may be decades wrong.
type Budget struct {
	Most int             // within BudgetSpan; 0: no bound
	Left []time.Duration // for each fence, until it is forgotten; the oldest first
}

// Spent says whether no fence is left.
func (b *Budget) Spent() bool { return b.Most > 0 && len(b.Left) >= b.Most }

// Take counts one fence.
func (b *Budget) Take() {
	b.Left = append(b.Left, BudgetSpan)
	b.Left = b.Left[max(0, len(b.Left)-maxBudget):]
}

// Pass lets time go by and says whether a fence was forgotten.
func (b *Budget) Pass(d time.Duration) bool {
	kept := b.Left[:0]
	for _, left := range b.Left {
		if left > d {
			kept = append(kept, left-d)
		}
	}
	forgot := len(kept) < len(b.Left)
	b.Left = kept
	return forgot
}
