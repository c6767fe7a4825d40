package pair

import (
	"testing"
	"time"
)

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
