package wire

import (
	"math/rand/v2"
	"testing"
)

// A medium carries frames between two nodes with loss, delay and reordering,
// and records all of them for an attacker.
type medium struct {
	r      *rand.Rand
	loss   [2][]float64 // by receiver (0 for node 1) and link
	queues [2][][]byte  // by receiver; the link is in the header
	record [2][][]byte
	taken  [2]map[string]bool // frames accepted before, by any life of the receiver
	delay  bool
}

func newMedium(seed uint64, links int, loss float64) *medium {
	m := &medium{r: rand.New(rand.NewPCG(seed, 99)), delay: true}
	for to := range m.loss {
		m.taken[to] = map[string]bool{}
		m.loss[to] = make([]float64, links)
		for l := range m.loss[to] {
			m.loss[to][l] = loss
		}
	}
	return m
}

func (m *medium) send(to int, f []byte) {
	m.record[to] = append(m.record[to], f)
	if m.r.Float64() >= m.loss[to][f[2]&15] {
		m.queues[to] = append(m.queues[to], f)
	}
}

// deliver hands some or all waiting frames over, sometimes in another order.
func (m *medium) deliver(t *testing.T, to int, n *node) (reply bool) {
	t.Helper()
	q := m.queues[to]
	m.queues[to] = nil
	if m.delay && m.r.IntN(4) == 0 {
		m.r.Shuffle(len(q), func(i, j int) { q[i], q[j] = q[j], q[i] })
	}
	for _, f := range q {
		if m.delay && m.r.IntN(5) == 0 {
			m.queues[to] = append(m.queues[to], f)
			continue
		}
		d, again := n.open(int(f[2]&15), f)
		reply = reply || again
		if d == Accepted && Kind(f[0]&15) != Hello {
			if m.taken[to][string(f)] {
				t.Fatal("a frame was accepted twice")
			}
			m.taken[to][string(f)] = true
		}
	}
	return reply
}

// turn is one turn of a node's loop as agent/loop makes it: HELLOs at most
// every fourth turn, a beat on every link if there is a session.
func (m *medium) turn(t *testing.T, i int, self int, n *node, asked *bool) {
	if n == nil {
		m.queues[self] = nil
		return
	}
	*asked = m.deliver(t, self, n) || *asked
	hello := i%4 == 0 && (*asked || n.WantsHello())
	c := n.NextCounter()
	for l := range n.links {
		if hello {
			m.send(1-self, n.seal(t, l, Message{Kind: Hello}))
		}
		if n.session() != 0 {
			m.send(1-self, n.seal(t, l, Message{Kind: Beat, Counter: c}))
		}
	}
	if hello {
		*asked = false
	}
}

func together(a, b *node) bool {
	return a != nil && b != nil && a.session() != 0 && a.session() == b.session() && !a.WantsHello() && !b.WantsHello()
}

func TestTwoNodesMeetWhateverIsLost(t *testing.T) {
	keys := ring(t, 1, 1)
	worst := 0
	for seed := range uint64(400) {
		links := 1 + int(seed%3)
		m := newMedium(seed, links, float64(seed%7)/10)
		var nodes [2]*node
		var asked [2]bool
		start := [2]int{m.r.IntN(10), m.r.IntN(10)}
		i := 0
		for ; i < 2000 && !together(nodes[0], nodes[1]); i++ {
			for s := range nodes {
				if i == start[s] {
					nodes[s] = newNode(t, uint8(1+s), links, randomNonce(m.r), keys)
				}
				m.turn(t, i, s, nodes[s], &asked[s])
			}
		}
		if !together(nodes[0], nodes[1]) {
			t.Fatalf("seed %d: not met after %d turns", seed, i)
		}
		worst = max(worst, i)
	}
	t.Logf("worst seed: %d turns", worst)
}

// Restarts, rekeyings, cuts and a replaying attacker at random; when all that
// ends, the nodes must find each other, and no frame is ever accepted twice.
func TestTwoNodesFindEachOtherAgainAfterAnything(t *testing.T) {
	keys := ring(t, 1, 1)
	worst := 0
	for seed := range uint64(80) {
		m := newMedium(seed, 2, 0.2)
		var nodes [2]*node
		var asked [2]bool
		life := func(s int) {
			nodes[s] = newNode(t, uint8(1+s), 2, randomNonce(m.r), keys)
		}
		life(0)
		life(1)
		for i := range 400 {
			s := m.r.IntN(2)
			switch m.r.IntN(60) {
			case 0:
				life(s)
			case 1:
				nodes[s].Restart(randomNonce(m.r))
			case 2:
				m.loss[s][m.r.IntN(2)] = []float64{0.1, 0.5, 1}[m.r.IntN(3)]
			case 3, 4, 5:
				for range 20 {
					if n := len(m.record[s]); n > 0 {
						m.queues[s] = append(m.queues[s], m.record[s][m.r.IntN(n)])
					}
				}
			}
			for s := range nodes {
				m.turn(t, i, s, nodes[s], &asked[s])
			}
		}
		for s := range m.loss {
			m.loss[s] = []float64{0, 0}
		}
		i := 0
		for ; i < 60 && (i < 8 || !together(nodes[0], nodes[1])); i++ {
			for s := range nodes {
				m.turn(t, i, s, nodes[s], &asked[s])
			}
		}
		if !together(nodes[0], nodes[1]) {
			t.Fatalf("seed %d: %06x (wants %v) and %06x (wants %v)", seed,
				nodes[0].session(), nodes[0].WantsHello(), nodes[1].session(), nodes[1].WantsHello())
		}
		worst = max(worst, i)
		m.delay = false
		for s := range nodes { // what was under way settles
			m.turn(t, 1, s, nodes[s], &asked[s])
		}
		for s, n := range nodes {
			replayAll(t, n, m.record[s], m.taken[s])
		}
	}
	t.Logf("worst seed: %d turns after the heal", worst)
}

// replayAll feeds every recorded frame twice: what is accepted now was lost
// before, and is not accepted again.
func replayAll(t *testing.T, n *node, frames [][]byte, taken map[string]bool) {
	t.Helper()
	var m Message
	for range 2 {
		for _, f := range frames {
			if Kind(f[0]&15) == Hello || n.openers[f[2]&15].Open(f, &m) != Accepted {
				continue
			}
			if taken[string(f)] {
				t.Fatal("a replayed frame was accepted again")
			}
			taken[string(f)] = true
		}
	}
}

func TestNodesMeetOverLinksThatWorkOneWayOnly(t *testing.T) {
	keys := ring(t, 1, 1)
	m := newMedium(1, 2, 0)
	m.loss[0][0], m.loss[1][1] = 1, 1 // link 0 leads to node 2, link 1 to node 1
	var asked [2]bool
	nodes := [2]*node{newNode(t, 1, 2, nonce{1}, keys), newNode(t, 2, 2, nonce{2}, keys)}
	for round := range 3 {
		i := 0
		for ; i < 100 && !together(nodes[0], nodes[1]); i++ {
			for s := range nodes {
				m.turn(t, i, s, nodes[s], &asked[s])
			}
		}
		if !together(nodes[0], nodes[1]) {
			t.Fatalf("round %d: not met", round)
		}
		nodes[0] = newNode(t, 1, 2, nonce{byte(round), 9}, keys)
	}
}

func TestAReplayedHelloChangesNothing(t *testing.T) {
	keys := ring(t, 1, 1)
	r := rand.New(rand.NewPCG(7, 8))
	b := newNode(t, 2, 1, randomNonce(r), keys)
	var hellos [][]byte // all that node 1 ever said to this very life of node 2
	record := func(a *node) []byte {
		f := a.seal(t, 0, Message{Kind: Hello})
		hellos = append(hellos, f)
		return f
	}
	var a *node
	for range 50 {
		a = newNode(t, 1, 1, randomNonce(r), keys)
		for i := 0; i < 10 && !together(a, b); i++ {
			b.open(0, record(a))
			a.open(0, b.seal(t, 0, Message{Kind: Hello}))
			b.open(0, record(a))
			exchange(t, a, b, 0)
			exchange(t, b, a, 0)
		}
		if !together(a, b) {
			t.Fatal("not met")
		}
	}
	session := b.session()
	for round := range 3 {
		for i, f := range hellos {
			_, reply := b.open(0, f)
			if b.session() != session || b.WantsHello() {
				t.Fatalf("round %d: hello %d replaced the session", round, i)
			}
			if reply { // and what it makes node 2 say must not fool node 1
				if _, again := a.open(0, b.seal(t, 0, Message{Kind: Hello})); again || a.session() != session {
					t.Fatalf("round %d: the answer to hello %d started a handshake", round, i)
				}
			}
		}
		if d, _ := b.open(0, a.seal(t, 0, Message{Kind: Beat})); d != Accepted {
			t.Fatalf("a beat after the replay: %v", d)
		}
	}
}

func TestFramesOfAThousandEarlierSessionsAreWorthless(t *testing.T) {
	keys := ring(t, 1, 1)
	r := rand.New(rand.NewPCG(9, 10))
	b := newNode(t, 2, 1, randomNonce(r), keys)
	var beats [][]byte
	for range 1000 {
		a := newNode(t, 1, 1, randomNonce(r), keys)
		if r.IntN(10) == 0 {
			b = newNode(t, 2, 1, randomNonce(r), keys)
		}
		meet(t, a, b)
		for range 5 { // half of them lost: never seen by node 2
			f := a.seal(t, 0, Message{Kind: Beat})
			beats = append(beats, f)
			if r.IntN(2) == 0 {
				b.open(0, f)
			}
		}
	}
	a := newNode(t, 1, 1, randomNonce(r), keys)
	meet(t, a, b)
	session, accepted := b.session(), 0
	var m Message
	total := 0
	for total < 1_000_000 {
		for _, f := range beats {
			total++
			if b.openers[0].Open(f, &m) == Accepted {
				accepted++
			}
		}
	}
	if accepted != 0 || b.session() != session {
		t.Fatalf("%d of %d replayed frames accepted", accepted, total)
	}
	// Nor does a node that has just started believe any of it.
	b = newNode(t, 2, 1, randomNonce(r), keys)
	for _, f := range beats {
		if d, _ := b.open(0, f); d != DropSession {
			t.Fatalf("after a restart: %v", d)
		}
	}
}

func TestAnOldSessionStaysUntilThePeerHasReturnedOurNonce(t *testing.T) {
	a, b := pairUp(t, 1)
	old := b.session()
	a2 := newNode(t, 1, 1, nonce{42}, ring(t, 1, 1))
	h1 := a2.seal(t, 0, Message{Kind: Hello})
	if d, reply := b.open(0, h1); d != Accepted || !reply || b.session() != old {
		t.Fatalf("first hello: %v, reply %v, session replaced %v", d, reply, b.session() != old)
	}
	if d, _ := b.open(0, a.seal(t, 0, Message{Kind: Beat})); d != Accepted {
		t.Fatalf("a beat of the old session: %v", d)
	}
	h2 := b.seal(t, 0, Message{Kind: Hello})
	if _, reply := a2.open(0, h2); !reply || a2.session() == 0 {
		t.Fatal("the returned nonce did not establish the session")
	}
	if b.session() != old {
		t.Fatal("node 2 replaced the session before its nonce came back")
	}
	// The first frame of the new session is as good as a hello: it may be lost.
	if d, _ := b.open(0, a2.seal(t, 0, Message{Kind: Beat})); d != Accepted || b.session() != a2.session() {
		t.Fatalf("the first beat of the new session: %v", d)
	}
	if d, _ := b.open(0, a.seal(t, 0, Message{Kind: Beat})); d != DropSession {
		t.Fatalf("a beat of the dead: %v", d)
	}
}

// Old HELLOs fill one link in both directions, always the last to be heard; the
// other link loses a tenth. What is flooded must not disturb what is not.
func TestAFloodOnOneLinkDoesNotKeepNodesApart(t *testing.T) {
	keys := ring(t, 1, 1)
	r := rand.New(rand.NewPCG(11, 12))
	var flood [2][][]byte
	for range 100 {
		for to := range flood {
			from := newNode(t, uint8(2-to), 2, randomNonce(r), keys)
			flood[to] = append(flood[to], from.seal(t, 0, Message{Kind: Hello}))
		}
	}
	for seed := range uint64(20) {
		m := newMedium(seed, 2, 0.1)
		nodes := [2]*node{newNode(t, 1, 2, randomNonce(r), keys), newNode(t, 2, 2, randomNonce(r), keys)}
		var asked [2]bool
		i := 0
		for ; i < 200 && !together(nodes[0], nodes[1]); i++ {
			for s := range nodes {
				m.queues[s] = append(m.queues[s], flood[s]...)
				m.turn(t, i, s, nodes[s], &asked[s])
			}
		}
		if !together(nodes[0], nodes[1]) {
			t.Fatalf("seed %d: not met in %d turns", seed, i)
		}
	}
}

// Link 1 told a proposal of a life that is over and has been dumb since; link 0
// tells the present one but cannot carry the answer.
func TestAProposalOfTheDeadIsNotReturnedForEver(t *testing.T) {
	keys := ring(t, 1, 1)
	m := newMedium(1, 2, 0)
	m.loss[0] = []float64{1, 1}
	var asked [2]bool
	nodes := [2]*node{newNode(t, 1, 2, nonce{1}, keys), newNode(t, 2, 2, nonce{2}, keys)}
	turns := func(n int) {
		for i := range n {
			for s := range nodes {
				m.turn(t, i, s, nodes[s], &asked[s])
			}
		}
	}
	turns(20)
	nodes[0] = newNode(t, 1, 2, nonce{3}, keys)
	m.queues = [2][][]byte{}
	m.loss[0][1], m.loss[1][1] = 0, 1
	turns(60)
	if !together(nodes[0], nodes[1]) {
		t.Fatal("not met")
	}
}

// A session has one window a link, whichever way the session came about.
func TestLinksThatExpectTheSameSessionShareIt(t *testing.T) {
	keys := ring(t, 1, 1)
	a, b := newNode(t, 1, 2, nonce{1}, keys), newNode(t, 2, 2, nonce{2}, keys)
	for l := range 2 {
		b.open(l, a.seal(t, l, Message{Kind: Hello}))
	}
	a.open(1, b.seal(t, 1, Message{Kind: Hello}))
	f := a.seal(t, 1, Message{Kind: Beat})
	if d := b.openers[1].Open(f, &b.msg); d != Accepted {
		t.Fatal(d)
	}
	b.seal(t, 0, Message{Kind: Hello}) // now link 0 expects it too
	if d := b.openers[1].Open(f, &b.msg); d != DropDuplicate {
		t.Fatalf("the same frame again: %v", d)
	}
	if st := b.state.Load(); st.next[0].core != st.next[1].core {
		t.Fatal("two sessions of one pair of nonces")
	}
}

func TestAHelloReturnsThePeersNonceUntilThePeerWasHeard(t *testing.T) {
	keys := ring(t, 1, 1)
	a, b := newNode(t, 1, 1, nonce{1}, keys), newNode(t, 2, 1, nonce{2}, keys)
	old := newNode(t, 1, 1, nonce{9}, keys).seal(t, 0, Message{Kind: Hello})
	a.open(0, b.seal(t, 0, Message{Kind: Hello}))
	h := a.seal(t, 0, Message{Kind: Hello})
	if _, reply := b.open(0, h); !reply || b.session() == 0 {
		t.Fatal("not established")
	}
	b.open(0, old)
	a.state.Store(func() *state { st := *a.state.Load(); st.next = [MaxLinks]*session{}; return &st }())
	a.open(0, b.seal(t, 0, Message{Kind: Hello}))
	if a.session() != b.session() || a.session() == 0 {
		t.Fatal("an old hello kept the peer from the session")
	}
	exchange(t, a, b, 0)
	exchange(t, b, a, 0)
	if !together(a, b) {
		t.Fatal("not together")
	}
	if _, reply := b.open(0, h); reply {
		t.Fatal("the hello of this session, replayed, is answered")
	}
}

func TestASessionGivenUpBeforeItsFirstFrameStaysGivenUp(t *testing.T) {
	keys := ring(t, 1, 1)
	a, b := newNode(t, 1, 1, nonce{1}, keys), newNode(t, 2, 1, nonce{2}, keys)
	a.open(0, b.seal(t, 0, Message{Kind: Hello}))
	b.open(0, a.seal(t, 0, Message{Kind: Hello}))
	first := b.state.Load().cur
	a2 := newNode(t, 1, 1, nonce{3}, keys) // node 1 dies before it says a word
	a2.open(0, b.seal(t, 0, Message{Kind: Hello}))
	b.open(0, a2.seal(t, 0, Message{Kind: Hello}))
	if b.state.Load().cur.core == first.core {
		t.Fatal("the session of the dead was kept")
	}
	// A reader that looked at the state a moment ago holds the old one.
	if d := first.admit(0, Beat, 1); d != DropSession {
		t.Fatalf("a frame of the session given up: %v", d)
	}
	a2.open(0, b.seal(t, 0, Message{Kind: Hello}))
	exchange(t, a2, b, 0)
	if cur := b.state.Load().cur; cur.retire() || cur.admit(0, Beat, 60) != Accepted {
		t.Fatal("a session whose frames were read was given up")
	}
}

// A reader may prove a session while the loop is about to expect another one.
func TestASessionJustProvenIsNotForgottenForAnotherProposal(t *testing.T) {
	keys := ring(t, 1, 1)
	a, b := newNode(t, 1, 1, nonce{1}, keys), newNode(t, 2, 1, nonce{2}, keys)
	b.open(0, a.seal(t, 0, Message{Kind: Hello}))
	a.open(0, b.seal(t, 0, Message{Kind: Hello}))
	b.open(0, newNode(t, 1, 1, nonce{9}, keys).seal(t, 0, Message{Kind: Hello}))
	if d := b.openers[0].Open(a.seal(t, 0, Message{Kind: Beat}), &b.msg); d != Accepted {
		t.Fatal(d)
	}
	b.seal(t, 0, Message{Kind: Hello})
	if b.session() == 0 || b.session() != a.session() {
		t.Fatal("forgotten")
	}
}

func TestOurHelloFromBeforeARestartOfTheSessionIsOurs(t *testing.T) {
	a, b := pairUp(t, 1)
	h := b.seal(t, 0, Message{Kind: Hello})
	b.Restart(nonce{8})
	if d, _ := b.open(0, h); d != DropOwn {
		t.Fatal(d)
	}
	if d, _ := a.open(0, h); d != Accepted {
		t.Fatal(d)
	}
}

func TestWithoutASessionOnlyHellosAreSealed(t *testing.T) {
	a := newNode(t, 1, 1, nonce{1}, ring(t, 1, 1))
	if _, err := a.Seal(nil, 0, &Message{Kind: Beat, Counter: a.NextCounter()}); err != ErrNoSession {
		t.Fatal(err)
	}
	if a.session() != 0 || !a.WantsHello() {
		t.Fatal("a new endpoint believes in a session")
	}
}
