package pair

import (
	"testing"
	"time"
)

// Whenever one node may begin a fence, the other one may not, and what the first
// begins is over before the other's turn.
func TestTheFencesOfTwoNodesNeverOverlap(t *testing.T) {
	const dead, race, step = 250 * time.Millisecond, 1300 * time.Millisecond, 7 * time.Millisecond
	began := [2]int{}
	for s := time.Duration(0); s < 10*race; s += step {
		one, two := FenceTurn(s, dead, race, true), FenceTurn(s, dead, race, false)
		if one > 0 && two > 0 {
			t.Fatalf("after %v both may fence", s)
		}
		for i, left := range [...]time.Duration{one, two} {
			if left == 0 {
				continue
			}
			began[i]++
			if left > race {
				t.Fatalf("after %v a fence may last %v", s, left)
			}
			for u := s; u < s+left; u += step {
				if FenceTurn(u, dead, race, i == 1) > 0 {
					t.Fatalf("a fence begun after %v lasts into the other one's turn at %v", s, u)
				}
			}
		}
	}
	if began[0] == 0 || began[1] == 0 {
		t.Errorf("turns %v: one node never has one", began)
	}
}

func TestTheOwnersTurnIsFirstAndNobodysComesInContact(t *testing.T) {
	const dead, race = 250 * time.Millisecond, time.Second
	if FenceTurn(dead, dead, race, true) != 0 || FenceTurn(dead, dead, race, false) != 0 {
		t.Error("a turn before the peer counts as silent")
	}
	if FenceTurn(dead+1, dead, race, true) == 0 || FenceTurn(dead+race+1, dead, race, false) == 0 {
		t.Error("the owner is not first, or the standby not second")
	}
	if FenceTurn(time.Hour, dead, 0, true) != 0 {
		t.Error("a turn without a race time")
	}
}

func TestABudgetForgetsAFenceAfterItsSpan(t *testing.T) {
	b := Budget{Most: 2}
	b.Take()
	if b.Spent() {
		t.Error("spent after one of two")
	}
	b.Pass(20 * time.Minute)
	b.Take()
	if !b.Spent() {
		t.Error("not spent after two of two")
	}
	if b.Pass(39*time.Minute) || !b.Spent() {
		t.Error("forgotten too early")
	}
	if !b.Pass(time.Minute) || b.Spent() || len(b.Left) != 1 {
		t.Errorf("not forgotten after %v: %v", BudgetSpan, b.Left)
	}
}

func TestABudgetOfZeroHasNoBoundAndStaysBounded(t *testing.T) {
	b := Budget{}
	for range 1000 {
		b.Take()
	}
	if b.Spent() || len(b.Left) != maxBudget {
		t.Errorf("spent %v, remembers %d", b.Spent(), len(b.Left))
	}
}
