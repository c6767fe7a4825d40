package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
)

// MaxCluster is the longest name of a cluster in bytes.
const MaxCluster = 32

// wornAt is the counter from which a session should be replaced: 23 hours
// before its end at 200 beats a second.
const wornAt = MaxCounter - 1<<24

// Errors of [Endpoint.Seal] a caller may wait out.
var (
	// ErrNoSession means that the handshake is not done; only HELLO can be sent.
	ErrNoSession = errors.New("seal frame: no session")
	// ErrCounter means that the counter was not given by NextCounter or, for DATA,
	// by NextData for this session, or that the session has no more; see Restart.
	ErrCounter = errors.New("seal frame: counter not issued in this session")
)

// Config says who an endpoint is.
type Config struct {
	Cluster    string   // 1..MaxCluster bytes, the same on both nodes
	Node, Peer uint8    // 1..MaxNode, different
	Nonce      [16]byte // random, new at every start of the process
	BootID     uint32   // told to the peer
	Keys       *Keyring
	Links      int // 1..MaxLinks
}

// An Endpoint is one node's end of the pair: its keys, its session with the
// peer and its counter. One goroutine, the loop, calls its methods; SetKeys
// alone may be called from any. Each link's reader has an [Opener].
type Endpoint struct {
	identity
	state atomic.Pointer[state]

	// All below belongs to the loop.
	bootID  uint32
	seed    nonce           // proposals are hashes of it and rolls
	rolls   uint32          // proposals made from this seed
	settled *core           // session whose nonce of ours is used up
	heard   [MaxLinks]heard // by link, so that noise on one disturbs no other
	last    uint8           // link on which a proposal was heard last
	rekey   bool            // we want to replace the session
	counter uint32          // last one issued
	data    uint32          // last one issued for DATA
	scratch scratch
}

// A heard is a proposal of the peer that waits to be returned.
type heard struct {
	nonce    nonce
	replaces uint32 // session the peer wants to replace by it, or 0
}

// A state is what readers need. It never changes; a new one is published.
type state struct {
	ring     *Keyring
	hello    []keyed
	proposal nonce // ours for the next session
	before   nonce // the proposal before it, to know reflections
	cur      *session
	prev     *session           // replaced by rekeying; frames may be under way
	next     [MaxLinks]*session // may come of a proposal we returned on that link
}

// NewEndpoint returns an endpoint without a session. It panics on a Config
// that agent/config would not have let through.
func NewEndpoint(c Config) *Endpoint {
	switch {
	case c.Node == 0 || c.Peer == 0 || c.Node > MaxNode || c.Peer > MaxNode || c.Node == c.Peer:
		panic(fmt.Sprintf("wire: node %d and peer %d", c.Node, c.Peer))
	case c.Cluster == "" || len(c.Cluster) > MaxCluster:
		panic(fmt.Sprintf("wire: cluster name of %d bytes", len(c.Cluster)))
	case c.Links < 1 || c.Links > MaxLinks:
		panic(fmt.Sprintf("wire: %d links", c.Links))
	case c.Keys == nil:
		panic("wire: no keys")
	}
	sum := sha256.Sum256([]byte("twinbeat1 cluster " + c.Cluster))
	e := &Endpoint{
		identity: identity{
			cluster: c.Cluster, hash: [2]byte(sum[:2]),
			node: c.Node, peer: c.Peer, links: c.Links,
		},
		bootID: c.BootID, seed: c.Nonce,
	}
	e.state.Store(&state{ring: c.Keys, hello: derive(c.Keys, nil, e.helloInfo(), e.links)})
	e.roll()
	return e
}

// update publishes a changed copy of the state. A try is lost only to another
// update, and those are as rare as operators turning keys.
func (e *Endpoint) update(change func(*state)) {
	for {
		old := e.state.Load()
		st := *old
		change(&st)
		if e.state.CompareAndSwap(old, &st) {
			return
		}
	}
}

// SetKeys replaces the keyring. The session goes on: both nodes derive its keys
// from every listed key, so nothing is lost if keys are added on both nodes
// first, then made active, and removed last.
func (e *Endpoint) SetKeys(ring *Keyring) {
	if ring == nil {
		panic("wire: no keys")
	}
	e.update(func(st *state) {
		st.ring = ring
		st.hello = derive(ring, st.hello, e.helloInfo(), e.links)
		st.cur, st.prev = e.rederive(ring, st.cur), e.rederive(ring, st.prev)
		for i, s := range st.next {
			st.next[i] = e.rederive(ring, s)
		}
	})
}

func (e *Endpoint) rederive(ring *Keyring, s *session) *session {
	if s == nil {
		return nil
	}
	return &session{s.core, derive(ring, s.keys, e.sessionInfo(s.mine, s.peer), e.links)}
}

// roll makes a new proposal. It must not have been used before, but may be
// guessed: only the peer can return it in an authentic frame, and does so only
// after an authentic frame told it.
func (e *Endpoint) roll() {
	var in [32]byte
	copy(in[:], "proposal")
	copy(in[8:], e.seed[:])
	binary.BigEndian.PutUint32(in[24:], e.rolls)
	e.rolls++
	sum := sha256.Sum256(in[:])
	e.update(func(st *state) {
		st.before, st.proposal = st.proposal, nonce(sum[:16])
	})
}

// settle takes note of what readers have proven since the last call: a session
// that may come of a returned proposal has come, or the peer was heard in the
// session it returned ours for. Either way our proposal is used up.
func (e *Endpoint) settle() {
	st := e.state.Load()
	for _, s := range st.next {
		if s != nil && s.life.Load() == proven {
			e.install(s)
			break
		}
	}
	cur := e.state.Load().cur
	if cur != nil && cur.core != e.settled && cur.life.Load() == proven {
		e.settled = cur.core
		e.rekey = false
		e.roll()
	}
}

// install makes a session the current one.
func (e *Endpoint) install(s *session) {
	e.update(func(st *state) {
		st.prev = nil
		if s.rekey {
			st.prev = st.cur
		}
		st.cur = e.rederive(st.ring, s)
		st.next = [MaxLinks]*session{}
	})
	if s.rekey {
		e.counter, e.data = 0, 0
	}
	e.heard = [MaxLinks]heard{}
}

// lookup returns the session of our proposal and a peer's nonce if there is
// one, so that no pair of nonces ever has two.
func (st *state) lookup(peer nonce) *session {
	for _, s := range st.next {
		if s != nil && s.mine == st.proposal && s.peer == peer {
			return s
		}
	}
	if s := st.cur; s != nil && s.mine == st.proposal && s.peer == peer {
		return s
	}
	return nil
}

// open derives the session of our proposal and a peer's nonce.
func (e *Endpoint) open(st *state, peer nonce, rekey bool) *session {
	if s := st.lookup(peer); s != nil {
		return s
	}
	c := newCore(&e.identity, st.proposal, peer)
	c.rekey = rekey
	return &session{c, derive(st.ring, nil, e.sessionInfo(c.mine, c.peer), e.links)}
}

// Accept feeds an authentic HELLO. It takes up a session if the HELLO returns
// our proposal, and only then. If reply is true the peer lacks something that
// our next HELLO gives it; the caller sends one on every link, at most five
// times a second. Other kinds are ignored.
func (e *Endpoint) Accept(m *Message) (reply bool) {
	if m.Kind != Hello || int(m.Link) >= e.links {
		return false
	}
	e.settle()
	cur := e.state.Load().cur
	if cur != nil && m.Nonce == cur.peer && m.PeerNonce == cur.mine {
		return cur.core != e.settled && m.Session != cur.id
	}
	if m.PeerNonce == e.state.Load().proposal && e.establish(m) {
		return true
	}
	cur = e.state.Load().cur
	if cur != nil && m.Session == cur.id && !m.Rekey {
		return false // all is well; an old HELLO of somebody made it speak
	}
	h := heard{nonce: m.Nonce}
	if cur != nil && m.Rekey {
		h.replaces = m.Session
	}
	e.heard[m.Link], e.last = h, m.Link
	return true
}

// establish takes up the session of our proposal, which the peer returned, and
// its nonce. It declines if a reader has just proven that the proposal went to
// another session.
func (e *Endpoint) establish(m *Message) bool {
	st := e.state.Load()
	rekey := st.cur != nil && m.Session == st.cur.id && (e.rekey || m.Rekey)
	s := e.open(st, m.Nonce, rekey)
	for _, o := range append(st.next[:], st.cur) {
		if o == nil || o.core == s.core || o.core == e.settled {
			continue
		}
		if !o.retire() {
			e.settle()
			return false
		}
	}
	e.install(s)
	return true
}

// Established returns the current session, whose frames Seal makes. It is
// established once the peer has returned our nonce; WantsHello tells whether
// the peer has been heard in it. When the session changes, the counters of the
// peer start anew, and so may ours.
func (e *Endpoint) Established() (session uint32, ok bool) {
	e.settle()
	if cur := e.state.Load().cur; cur != nil {
		return cur.id, true
	}
	return 0, false
}

// WantsHello tells whether a HELLO should be sent on every link at the next
// tick of the handshake (at most five a second) without being asked: there is
// no session, the peer was not yet heard in it, or it is to be replaced. The
// caller also sends one when it has heard nothing for long.
func (e *Endpoint) WantsHello() bool {
	e.settle()
	cur := e.state.Load().cur
	return cur == nil || cur.core != e.settled || e.rekey
}

// NextCounter issues the counter of a turn, which all links share. It returns 0
// when the session has no more, and Seal will refuse that.
func (e *Endpoint) NextCounter() uint32 {
	e.settle()
	if e.counter == MaxCounter {
		return 0
	}
	e.counter++
	return e.counter
}

// NextData issues the counter of a DATA frame: a run of its own, since such
// frames go out on some links only and must not look lost on the others. It
// returns 0 when the session has no more, and Seal will refuse that.
func (e *Endpoint) NextData() uint32 {
	e.settle()
	if e.data == MaxCounter {
		return 0
	}
	e.data++
	return e.data
}

// issued returns the last counter given out for frames of a kind.
func (e *Endpoint) issued(k Kind) uint32 {
	if k == Data {
		return e.data
	}
	return e.counter
}

// Worn tells that the counter nears its end and Restart is due.
func (e *Endpoint) Worn() bool { return e.counter >= wornAt }

// Restart replaces the session by one with a new random nonce. The present one
// stays in use until the peer has agreed; nothing is lost in between. Without a
// session it only changes the proposal. Call it once; WantsHello then asks for
// HELLOs until it is done.
func (e *Endpoint) Restart(random [16]byte) {
	e.settle()
	cur := e.state.Load().cur
	e.seed, e.rolls = random, 0
	if cur != nil && cur.core != e.settled {
		return // a handshake is under way: its nonces are new anyway
	}
	for _, s := range e.state.Load().next {
		if s != nil && !s.retire() {
			e.settle() // the peer has just replaced the session itself
			return
		}
	}
	e.update(func(st *state) { st.next = [MaxLinks]*session{} })
	e.rekey = cur != nil
	e.roll()
}

// Seal appends the frame of m for a link to dst. It fills in what m says of the
// sender (Node, Link, KeyID, Session and, in a HELLO, the nonces); all else, the
// counter too, is the caller's. It does not allocate if dst has room for
// MaxFrame bytes, unless it returns a new proposal in a HELLO.
func (e *Endpoint) Seal(dst []byte, link uint8, m *Message) ([]byte, error) {
	if int(link) >= e.links {
		return dst, fmt.Errorf("seal frame: link %d of %d", link, e.links)
	}
	if err := m.check(); err != nil {
		return dst, err
	}
	st := e.state.Load()
	keys := st.hello
	m.Node, m.Link, m.Session = e.node, link, 0
	if st.cur != nil {
		m.Session = st.cur.id
	}
	switch {
	case m.Kind == Hello:
		e.introduce(st, m)
	case st.cur == nil:
		return dst, ErrNoSession
	case m.Counter == 0 || m.Counter > e.issued(m.Kind):
		return dst, ErrCounter
	default:
		keys = st.cur.keys
	}
	m.KeyID = st.ring.active
	start := len(dst)
	dst = append(dst, version<<4|uint8(m.Kind), m.KeyID, m.Node<<4|m.Link, e.hash[0], e.hash[1],
		byte(m.Session>>16), byte(m.Session>>8), byte(m.Session))
	dst = m.appendRest(dst)
	h := find(keys, m.KeyID).send
	return append(dst, e.scratch.tag(h, e.node, e.peer, link, dst[start:])...), nil
}

// introduce fills in the nonces of a HELLO. While the peer was not heard in the
// current session they are that session's, whatever else was heard, so that old
// HELLOs cannot keep the peer from learning it.
func (e *Endpoint) introduce(st *state, m *Message) {
	m.BootID, m.Counter = e.bootID, 0
	if cur := st.cur; cur != nil && cur.core != e.settled {
		m.Nonce, m.PeerNonce, m.Rekey = cur.mine, cur.peer, false
		return
	}
	m.Nonce, m.PeerNonce, m.Rekey = st.proposal, nonce{}, e.rekey
	h := e.heard[m.Link]
	if h.nonce == (nonce{}) {
		h = e.heard[e.last] // links may work one way only
	}
	if h.nonce != (nonce{}) && e.expect(st, m.Link, h) {
		m.PeerNonce = h.nonce
	}
}

// expect makes readers able to read the session that may come of returning a
// proposal on a link. It fails if the one expected there so far has come.
func (e *Endpoint) expect(st *state, link uint8, h heard) bool {
	rekey := st.cur != nil && (e.rekey || h.replaces == st.cur.id)
	s := e.open(st, h.nonce, rekey)
	old := st.next[link]
	if old != nil && old.core == s.core {
		return true
	}
	shared := false // another link expects the same: it stays
	for i, o := range st.next {
		shared = shared || old != nil && o != nil && i != int(link) && o.core == old.core
	}
	if old != nil && !shared && !old.retire() {
		return false
	}
	e.update(func(st *state) { st.next[link] = e.rederive(st.ring, s) })
	return true
}
