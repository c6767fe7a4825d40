package wire

import (
	"math/rand/v2"
	"testing"
)

func TestASessionIsReplacedWithoutLosingAFrame(t *testing.T) {
	for seed := range uint64(20) {
		a, b := pairUp(t, 2)
		r := rand.New(rand.NewPCG(seed, 13))
		old, lost := a.session(), 0
		a.counter, b.counter = wornAt, wornAt-3
		beat := func(from, to *node) {
			c := from.NextCounter()
			for l := range 2 {
				if d, _ := to.open(l, from.seal(t, l, Message{Kind: Beat, Counter: c})); d != Accepted {
					lost++
				}
			}
		}
		if !a.Worn() {
			t.Fatal("a worn counter is not told")
		}
		a.Restart(randomNonce(r))
		if seed%2 == 0 {
			b.Restart(randomNonce(r)) // both at once
		}
		for i := 0; i < 40; i++ {
			beat(a, b)
			beat(b, a)
			if i%4 == 0 && a.WantsHello() || b.WantsHello() {
				if f := a.seal(t, 0, Message{Kind: Hello}); r.IntN(2) == 0 {
					b.open(0, f)
				}
			}
			if i%4 == 2 {
				if f := b.seal(t, 1, Message{Kind: Hello}); r.IntN(2) == 0 {
					a.open(1, f)
				}
			}
		}
		if lost != 0 || !together(a, b) || a.session() == old {
			t.Fatalf("seed %d: %d frames lost, together %v, replaced %v", seed, lost, together(a, b), a.session() != old)
		}
		if a.counter > 1000 || b.counter > 1000 || a.Worn() {
			t.Fatalf("seed %d: the counters did not start anew: %d, %d", seed, a.counter, b.counter)
		}
	}
}

// What was sent just before the session was replaced may arrive just after.
func TestFramesUnderWayDuringRekeyingAreRead(t *testing.T) {
	a, b := pairUp(t, 1)
	late := a.seal(t, 0, Message{Kind: Beat})
	old := a.session()
	a.Restart(nonce{1})
	meet(t, a, b)
	if a.session() == old {
		t.Fatal("the session was not replaced")
	}
	if d, _ := b.open(0, late); d != Accepted || b.msg.Session != old {
		t.Fatalf("late frame: %v", d)
	}
	if d, _ := b.open(0, late); d != DropDuplicate {
		t.Fatalf("late frame again: %v", d)
	}
}

func TestAnExhaustedCounterSealsNothing(t *testing.T) {
	a, b := pairUp(t, 1)
	a.counter = MaxCounter - 1
	if d, _ := b.open(0, a.seal(t, 0, Message{Kind: Beat})); d != Accepted {
		t.Fatalf("the last counter: %v", d)
	}
	c := a.NextCounter()
	if _, err := a.Seal(nil, 0, &Message{Kind: Beat, Counter: c}); err != ErrCounter || c != 0 {
		t.Fatalf("counter %d: %v", c, err)
	}
	a.Restart(nonce{1})
	h := a.seal(t, 0, Message{Kind: Hello})
	b.open(0, h)
	a.open(0, b.seal(t, 0, Message{Kind: Hello}))
	if d, _ := b.open(0, a.seal(t, 0, Message{Kind: Beat})); d != Accepted {
		t.Fatalf("the first frame after the restart: %v", d)
	}
}

func TestAHundredKeyRotationsLoseNothing(t *testing.T) {
	a, b := pairUp(t, 2)
	session := a.session()
	nodes := [2]*node{a, b}
	beats := func() {
		t.Helper()
		for i, from := range nodes {
			c := from.NextCounter()
			for l := range 2 {
				if d, _ := nodes[1-i].open(l, from.seal(t, l, Message{Kind: Beat, Counter: c})); d != Accepted {
					t.Fatalf("node %d link %d: %v", i+1, l, d)
				}
				if d, _ := nodes[1-i].open(l, from.seal(t, l, Message{Kind: Hello})); d != Accepted {
					t.Fatalf("node %d link %d: hello: %v", i+1, l, d)
				}
			}
		}
	}
	old := 1
	for i := range 100 {
		next := 1 + (i+1)%255
		for _, ids := range [][]int{{old, old, next}, {next, old, next}, {next, next}} {
			r := ring(t, ids[0], ids[1:]...)
			for k := range nodes {
				nodes[(i+k)%2].SetKeys(r)
				beats()
			}
		}
		old = next
	}
	if a.session() != session || b.session() != session {
		t.Fatal("a rotation replaced the session")
	}
	// The removed key is worthless.
	c := newNode(t, 1, 2, nonce{5}, ring(t, 1, 1))
	if d, _ := b.open(0, c.seal(t, 0, Message{Kind: Hello})); d != DropKey {
		t.Fatalf("a hello with a removed key: %v", d)
	}
}

func TestAKeyRotatedDuringAHandshakeCountsToo(t *testing.T) {
	a := newNode(t, 1, 1, nonce{1}, ring(t, 1, 1, 2))
	b := newNode(t, 2, 1, nonce{2}, ring(t, 1, 1, 2))
	b.open(0, a.seal(t, 0, Message{Kind: Hello}))
	a.open(0, b.seal(t, 0, Message{Kind: Hello}))
	a.SetKeys(ring(t, 2, 2))
	b.SetKeys(ring(t, 2, 1, 2, 3))
	if d, _ := b.open(0, a.seal(t, 0, Message{Kind: Beat})); d != Accepted {
		t.Fatalf("a beat in the session to come: %v", d)
	}
	meet(t, a, b)
}
