package wire

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// Bounds of a fuzzed handshake.
const (
	programMost = 400  // bytes
	tapeMost    = 2000 // frames that the attacker keeps
	callMost    = 200  // frames of one story that are opened without a session of their own
)

// FuzzHandshake reads bytes as a story of two nodes and an attacker who records
// all and can send what he recorded, to anybody, as often as he likes, whole
// or damaged. Nobody has a session without proof that the peer lives, no frame
// but a HELLO is accepted twice, and when the attacker ends they meet.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte{0x00, 0x10, 0x00, 0x20, 0x30})                                           // two HELLOs, beats
	f.Add([]byte{0x00, 0x10, 0x00, 0x20, 0x30, 0x40, 0x50, 1, 0x50, 2, 0x50, 3})          // and a restart, replays
	f.Add([]byte{0x00, 0x10, 0x00, 0x20, 0x60, 0x00, 0x10, 0x20, 0x30, 0x70, 0x00, 0x10}) // and a new session, keys
	f.Add([]byte{0x00, 0x10, 0x00, 0x20, 0x30, 0x41, 0x50, 0, 0x51, 0, 0x58, 1, 0x90, 4, 9, 0x20})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > programMost {
			return
		}
		w := newStory(t)
		for p := program; len(p) > 0; {
			p = w.step(p)
			w.judge()
		}
		w.end()
	})
}

// A told is a recorded frame, and what its sender knew when it made it.
type told struct {
	frame []byte
	from  int           // node
	life  life          // of that node
	heard map[life]bool // lives of the receiver that the sender's life had heard
}

// life counts the lives of a node.
type life int

type story struct {
	t       *testing.T
	nodes   [2]*node
	lives   [2]life
	heard   [2]map[life]bool // lives of the peer that this node's present life heard
	proven  [2]bool          // this life was told a frame by somebody who had heard it
	tape    []told
	taken   [2]map[string]bool
	keys    int // which keyring both have or are about to have
	random  byte
	replays int
}

// rings of one rotation, in their order; each step is safe for a node whose
// peer is one step ahead or behind.
func (w *story) ring(n int) *Keyring {
	old, next := 1+n/3%200, 2+n/3%200
	switch n % 3 {
	case 0:
		return ring(w.t, old, old)
	case 1:
		return ring(w.t, old, old, next)
	}
	return ring(w.t, next, old, next)
}

func newStory(t *testing.T) *story {
	w := &story{t: t}
	for i := range w.nodes {
		w.taken[i] = map[string]bool{}
		w.born(i)
	}
	return w
}

// born starts a node anew, with a nonce that was never used.
func (w *story) born(i int) {
	w.random++
	w.lives[i]++
	w.heard[i], w.proven[i] = map[life]bool{}, false
	w.nodes[i] = newNode(w.t, uint8(1+i), 2, nonce{w.random, byte(i), 7}, w.ring(w.keys))
}

// step takes one instruction off the program: four bits of what, one of who,
// one of which link.
func (w *story) step(p []byte) []byte {
	op, who, link := p[0]>>4, int(p[0]&1), int(p[0]>>1&1)
	p = p[1:]
	arg := func() int {
		if len(p) == 0 {
			return 0
		}
		b := p[0]
		p = p[1:]
		return int(b)
	}
	switch op {
	case 0, 1:
		w.say((who+int(op))%2, link, Hello, true)
	case 2, 3:
		w.say((who+int(op))%2, link, Kind(2+len(p)%8), true)
	case 4:
		w.born(who)
	case 5:
		w.replay(who, link, arg(), nil)
	case 6:
		w.random++
		w.nodes[who].Restart(nonce{w.random, 99})
	case 7: // both, one after the other, as an operator turns keys
		w.keys++
		for k := range w.nodes {
			w.nodes[(who+k)%2].SetKeys(w.ring(w.keys))
		}
	case 8: // lost on the way, but recorded
		w.say(who, link, Kind(1+arg()%9), false)
	case 9:
		at := arg()
		w.replay(who, link, at, []byte{byte(arg()), byte(arg())})
	default: // a turn as agent/loop makes it
		for i := range w.nodes {
			w.say(i, link, Hello, true)
			w.say(i, link, Beat, true)
		}
	}
	return p
}

// say lets a node send a frame, which arrives or is only recorded.
func (w *story) say(i, link int, k Kind, arrives bool) {
	n := w.nodes[i]
	if k > Data {
		k = Beat
	}
	if k != Hello && n.session() == 0 {
		return
	}
	m := Message{Kind: k, GroupIndex: AllGroups}
	if k == Data {
		_ = m.Items.Add(1, nil)
	}
	f := told{frame: n.seal(w.t, link, m), from: i, life: w.lives[i], heard: maps.Clone(w.heard[i])}
	if len(w.tape) < tapeMost {
		w.tape = append(w.tape, f)
	}
	if arrives {
		w.give(1-i, link, f)
	}
}

// replay gives a node what was recorded, whoever it was from and whatever link
// it took, or a damaged copy of it.
func (w *story) replay(to, link, which int, damage []byte) {
	if len(w.tape) == 0 || w.replays > callMost {
		return
	}
	w.replays++
	f := w.tape[len(w.tape)-1-which%len(w.tape)]
	if damage != nil {
		f.frame = bytes.Clone(f.frame)
		f.frame[int(damage[0])%len(f.frame)] ^= damage[1]
		if damage[1] != 0 {
			if d, _ := w.nodes[to].open(link, f.frame); d == Accepted {
				w.t.Fatalf("a damaged frame is accepted: %x", f.frame)
			}
			return
		}
	}
	w.give(to, link, f)
}

// give hands a frame to a node and keeps what it proves.
func (w *story) give(to, link int, f told) {
	d, _ := w.nodes[to].open(link, f.frame)
	if d != Accepted {
		return
	}
	if f.from == to {
		w.t.Fatal("a node believes what it said itself")
	}
	if Kind(f.frame[0]&15) != Hello {
		if w.taken[to][string(f.frame)] {
			w.t.Fatalf("accepted twice: %x", f.frame)
		}
		w.taken[to][string(f.frame)] = true
	}
	w.heard[to][f.life] = true
	w.proven[to] = w.proven[to] || f.heard[w.lives[to]]
}

// judge holds that a session rests on a frame whose sender had heard this very
// life of the node.
func (w *story) judge() {
	for i, n := range w.nodes {
		if n.session() != 0 && !w.proven[i] {
			w.t.Fatalf("node %d has a session without proof", i+1)
		}
	}
}

// meetMost is how many turns two nodes may need when nothing is lost.
const meetMost = 12

// end lets both live on without the attacker: they must meet, and what was
// recorded is worth nothing.
func (w *story) end() {
	for turn := 0; !together(w.nodes[0], w.nodes[1]) || turn < 2; turn++ {
		if turn == meetMost {
			w.t.Fatalf("not met: %06x and %06x", w.nodes[0].session(), w.nodes[1].session())
		}
		for i := range w.nodes {
			w.say(i, 0, Hello, true)
			w.say(i, 0, Beat, true)
		}
		w.judge()
	}
	session := w.nodes[0].session()
	for _, f := range slices.Backward(w.tape) {
		for to := range w.nodes {
			w.give(to, int(f.frame[2]&15), f)
		}
	}
	w.judge()
	if w.nodes[0].session() != session || w.nodes[1].session() != session {
		w.t.Fatal("a recording has replaced the session")
	}
}
