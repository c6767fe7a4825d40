package wire

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// replays is how many recorded frames each clock of the test below sees, by each node.
const replays = 170_000

// Everything a pair said in both directions, in older sessions and in this one,
// of every kind and on every link, is replayed to both nodes while the wall
// clock stands where it stood, in the year 2000 and in 2060. Nothing in this
// package has a clock to be fooled by (tests/arch_test.go holds that); the
// bubbles of testing/synctest show it, as their clock is all the time there is.
func TestAMillionReplayedFramesAreRefusedWhateverTheClockSays(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	keys := ring(t, 1, 1)
	var frames [][]byte
	var a, b *node
	for range 200 {
		a, b = newNode(t, 1, 2, randomNonce(r), keys), newNode(t, 2, 2, randomNonce(r), keys)
		for l := range 2 {
			frames = append(frames, a.seal(t, l, Message{Kind: Hello}), b.seal(t, l, Message{Kind: Hello}))
		}
		meet(t, a, b)
		for k := Beat; k <= Data; k++ {
			for i, from := range []*node{a, b} {
				l := int(k) % 2
				f := from.seal(t, l, fullMessage(k))
				if d, _ := []*node{b, a}[i].open(l, f); d != Accepted {
					t.Fatalf("%v: %v", k, d)
				}
				frames = append(frames, f)
			}
		}
	}
	session := a.session()
	total, accepted, hellos := 0, 0, 0
	replay := func() {
		t.Logf("%v", time.Now().Year())
		for range replays {
			f := frames[r.IntN(len(frames))]
			for _, n := range []*node{a, b} {
				total++
				d, _ := n.open(r.IntN(2), f)
				switch {
				case d == Accepted && Kind(f[0]&15) == Hello:
					hellos++ // authentic for ever, and without effect: see below
				case d == Accepted:
					accepted++
				}
			}
		}
		if accepted != 0 {
			t.Fatalf("%d of %d replayed frames accepted", accepted, total)
		}
		if a.session() != session || b.session() != session || a.WantsHello() || b.WantsHello() {
			t.Fatal("a replayed HELLO touched the session")
		}
	}
	replay()
	synctest.Test(t, func(*testing.T) {
		replay()
		time.Sleep(60 * 365 * 24 * time.Hour)
		replay()
	})
	if total < 1_000_000 || hellos == 0 {
		t.Fatalf("%d frames, %d of them HELLOs", total, hellos)
	}
	for l := range 2 {
		if d, _ := b.open(l, a.seal(t, l, fullMessage(Beat))); d != Accepted {
			t.Fatalf("a new beat on link %d: %v", l, d)
		}
	}
}
