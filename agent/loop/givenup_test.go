//go:build !lite && !no_virtual

package loop

import (
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// told counts what each node was told of a group that it gave up.
type told struct {
	mu sync.Mutex
	n  [2]int
}

func (c *told) count(i int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[i]
}

func countsGivenUp(t *testing.T, mode pair.Mode, fn func(r *rig, a, b *node, c *told)) {
	t.Helper()
	c := &told{}
	bubble(t, setup{mode: mode, change: func(i int, o *Options) {
		o.GivenUp = func(int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.n[i]++
		}
	}}, func(r *rig, a, b *node) { fn(r, a, b, c) })
}

func TestWhoGaveAGroupUpIsToldOnceThePeerOwnsIt(t *testing.T) {
	countsGivenUp(t, pair.ModeSilence, func(r *rig, a, b *node, c *told) {
		time.Sleep(3 * time.Second)
		if c.count(0)+c.count(1) != 0 {
			t.Error("told before anything moved")
		}
		if _, err := order1(t, a, Order{Command: OrderHandover}); err != nil {
			t.Fatal(err)
		}
		r.await("the loser is told", 3*time.Second, func() bool { return c.count(0) == 1 && b.owns(0) })
		time.Sleep(5 * time.Second)
		if _, err := order1(t, b, Order{Command: OrderHandover}); err != nil {
			t.Fatal(err)
		}
		r.await("and so is the other one", 3*time.Second, func() bool { return c.count(1) == 1 && a.owns(0) })
		time.Sleep(time.Minute)
		if c.count(0) != 1 || c.count(1) != 1 {
			t.Errorf("told %d and %d times, want once each", c.count(0), c.count(1))
		}
	})
}

func TestWhoHadAGroupForAMomentIsTold(t *testing.T) {
	countsGivenUp(t, pair.ModeSilence, func(r *rig, a, b *node, c *told) {
		r.await("a owns the group", 5*time.Second, func() bool { return a.owns(0) })
		for i, n := range []*node{a, b, a, b} {
			if _, err := order1(t, n, Order{Command: OrderHandover}); err != nil {
				t.Fatal(err)
			}
			r.await("the loser is told", 3*time.Second, func() bool { return c.count(i%2) == i/2+1 })
		}
	})
}

// A port that is bounced while nobody is known to own the group could be missed
// by the next takeover.
func TestWhoGaveAGroupUpAndHearsNobodyIsNotTold(t *testing.T) {
	countsGivenUp(t, pair.ModeLease, func(r *rig, a, b *node, c *told) {
		time.Sleep(3 * time.Second) // mode lease: the standby arms
		a.cutAll(true)
		b.cutAll(true)
		r.await("the group moved", 30*time.Second, func() bool { return b.owns(0) && !a.owns(0) })
		time.Sleep(10 * time.Second)
		if n := c.count(0); n != 0 {
			t.Errorf("told %d times of a peer that was not heard", n)
		}
		a.cutAll(false)
		b.cutAll(false)
		r.await("told once the peer is heard", 5*time.Second, func() bool { return c.count(0) == 1 })
		if c.count(1) != 0 {
			t.Error("the owner was told")
		}
	})
}
