package pair

import "time"

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
