package wire

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const testCluster = "office"

func secret(n byte) (s [32]byte) {
	for i := range s {
		s[i] = n + byte(i)*7
	}
	return s
}

// ring returns a keyring with the given ids, key i having the secret secret(i).
func ring(t testing.TB, active int, ids ...int) *Keyring {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "active %d\n", active)
	for _, id := range ids {
		b.WriteString(GenerateKey(secret(byte(id)), uint8(id)))
	}
	r, problems := ParseKeys("keys", []byte(b.String()))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return r
}

// A node is an endpoint with its openers and the life it is in.
type node struct {
	*Endpoint
	openers []*Opener
	msg     Message
}

func newNode(t testing.TB, id uint8, links int, random nonce, keys *Keyring) *node {
	t.Helper()
	n := &node{Endpoint: NewEndpoint(Config{
		Cluster: testCluster, Node: id, Peer: 3 - id, Nonce: random,
		BootID: uint32(id) * 100, Keys: keys, Links: links,
	})}
	for l := range links {
		n.openers = append(n.openers, n.Opener(uint8(l)))
	}
	return n
}

func randomNonce(r *rand.Rand) (n nonce) {
	for i := range n {
		n[i] = byte(r.Uint32())
	}
	return n
}

// seal returns a fresh frame of a kind.
func (n *node) seal(t testing.TB, link int, m Message) []byte {
	t.Helper()
	if m.Kind != Hello && m.Counter == 0 {
		m.Counter = n.next(m.Kind)
	}
	f, err := n.Seal(nil, uint8(link), &m)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// next issues the counter for a frame of a kind.
func (n *node) next(k Kind) uint32 {
	if k == Data {
		return n.NextData()
	}
	return n.NextCounter()
}

// open feeds a frame and hands an accepted HELLO on to Accept.
func (n *node) open(link int, f []byte) (Drop, bool) {
	d := n.openers[link].Open(f, &n.msg)
	if d != Accepted || n.msg.Kind != Hello {
		return d, false
	}
	return d, n.Accept(&n.msg)
}

func (n *node) session() uint32 {
	id, ok := n.Established()
	if !ok {
		return 0
	}
	return id
}

// meet lets two nodes exchange HELLOs and beats without loss until neither
// wants more.
func meet(t testing.TB, a, b *node) {
	t.Helper()
	for range 10 {
		for l := range a.links {
			b.open(l, a.seal(t, l, Message{Kind: Hello}))
			a.open(l, b.seal(t, l, Message{Kind: Hello}))
		}
		for l := range a.links {
			exchange(t, a, b, l)
			exchange(t, b, a, l)
		}
		if !a.WantsHello() && !b.WantsHello() {
			break
		}
	}
	if a.session() == 0 || a.session() != b.session() || a.WantsHello() || b.WantsHello() {
		t.Fatalf("no common session: %06x and %06x", a.session(), b.session())
	}
}

// exchange sends a beat if there is a session to send it in.
func exchange(t testing.TB, from, to *node, link int) {
	t.Helper()
	if from.session() != 0 {
		to.open(link, from.seal(t, link, Message{Kind: Beat}))
	}
}

// pairUp returns two nodes with a common session.
func pairUp(t testing.TB, links int) (a, b *node) {
	t.Helper()
	return pairUpSeed(t, links, 1)
}

func pairUpSeed(t testing.TB, links int, seed uint64) (a, b *node) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	keys := ring(t, 1, 1)
	a = newNode(t, 1, links, randomNonce(r), keys)
	b = newNode(t, 2, links, randomNonce(r), keys)
	meet(t, a, b)
	return a, b
}

// fullMessage has a value in every field a frame of its kind carries.
func fullMessage(k Kind) Message {
	if k == Data {
		m := Message{Kind: k, GroupIndex: AllGroups, TimeToCritical: NoTimeToCritical}
		for _, v := range []string{"", "one", "longer than the others"} {
			_ = m.Items.Add(uint8(1+len(v)), []byte(v))
		}
		return m
	}
	m := Message{
		Kind: k, Echo: 77, EchoAge: 31 * time.Millisecond, LinkEcho: 75,
		LinkEchoAge: 120 * time.Millisecond, HearsLinks: 3, GroupIndex: AllGroups,
		NGroups: 2, Mode: 2, Flags: 0xa5, Health: 93, TimeToCritical: 400,
		Lease: 325 * time.Millisecond, Digest: 0xdeadbeef, Version: 0x0102,
	}
	m.Groups[0] = Group{5, Passive, 41}
	m.Groups[1] = Group{3, Unfit | FenceMe, 1 << 31}
	if k.hasIndex() {
		m.GroupIndex = 1
	}
	return m
}
