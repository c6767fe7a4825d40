package wire

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync/atomic"
)

// A nonce is chosen by one node for one session; zero means none.
type nonce = [16]byte

// macKeySize is the length of derived keys: that of the hash (RFC 2104
// section 3).
const macKeySize = 32

// An identity is what never changes while a node runs.
type identity struct {
	cluster    string
	hash       [2]byte // of the cluster, in every header
	node, peer uint8
	links      int
}

// sessionInfo is the context from which a session is derived. Both nodes come
// to the same bytes: the lower node id goes first, every part has one length.
func (id *identity) sessionInfo(mine, peer nonce) string {
	a, na, b, nb := id.node, mine, id.peer, peer
	if a > b {
		a, na, b, nb = b, nb, a, na
	}
	return fmt.Sprintf("twinbeat1%c%s%c%s%c%s", rune(len(id.cluster)), id.cluster, rune(a), na[:], rune(b), nb[:])
}

// helloInfo is the context of the key that signs HELLO frames.
func (id *identity) helloInfo() string {
	a, b := min(id.node, id.peer), max(id.node, id.peer)
	return fmt.Sprintf("twinbeat1 hello%c%s%c%c", rune(len(id.cluster)), id.cluster, rune(a), rune(b))
}

// A keyed is one derived key, ready to sign and to verify. Each hash belongs to
// one goroutine: send to the one that seals, recv[i] to the reader of link i.
type keyed struct {
	id     uint8
	secret []byte // the pre-shared key, to notice that an id got another one
	send   hash.Hash
	recv   []hash.Hash
}

// newHash returns a keyed hash whose Reset and Sum no longer allocate: the
// first Reset of crypto/hmac stores the state after the key.
func newHash(key []byte) hash.Hash {
	h := hmac.New(sha256.New, key)
	h.Reset()
	return h
}

// derive makes the keys of a context, one per key of the ring, and keeps those
// of old that are the same: their hashes may be in use by other goroutines.
func derive(ring *Keyring, old []keyed, info string, links int) []keyed {
	keys := make([]keyed, 0, len(ring.keys))
	for _, k := range ring.keys {
		if o := find(old, k.id); o != nil && bytes.Equal(o.secret, k.secret) {
			keys = append(keys, *o)
			continue
		}
		mac, err := hkdf.Key(sha256.New, k.secret, nil, info, macKeySize)
		if err != nil {
			// Only a length beyond 255 hashes can fail (RFC 5869 section 2.3).
			panic("wire: derive key: " + err.Error())
		}
		n := keyed{id: k.id, secret: k.secret, send: newHash(mac)}
		for range links {
			n.recv = append(n.recv, newHash(mac))
		}
		keys = append(keys, n)
	}
	return keys
}

func find(keys []keyed, id uint8) *keyed {
	for i := range keys {
		if keys[i].id == id {
			return &keys[i]
		}
	}
	return nil
}

// A scratch holds what a tag is computed from and into, outside of the stack so
// that calls through hash.Hash do not allocate.
type scratch struct {
	prefix [3]byte
	sum    [sha256.Size]byte
}

// tag returns the tag of a frame that goes from one node to the other over a
// link. The result is valid until the next call.
func (s *scratch) tag(h hash.Hash, from, to, link uint8, frame []byte) []byte {
	s.prefix = [3]byte{from, to, link}
	h.Reset()
	h.Write(s.prefix[:])
	h.Write(frame)
	return h.Sum(s.sum[:0])[:tagSize]
}

// The life of a session goes from fresh to either proven or retired and then
// never changes, so that two goroutines cannot judge it differently.
const (
	fresh   uint32 = iota // no frame was read yet
	proven                // a frame was read: the peer knows our nonce
	retired               // given up before any frame was read
)

// A core is what a session is, whatever keys are listed. There is never more
// than one core of a pair of nonces that has accepted a frame; otherwise its
// frames could be replayed into the other.
type core struct {
	id         uint32 // 24 bits, not 0
	mine, peer nonce
	rekey      bool          // replaces a session that both nodes still use
	life       atomic.Uint32 // fresh, proven or retired
	series                   // of all kinds but DATA
	data       series        // of DATA: however many are sent, no heartbeat looks old
}

// A series is what was read of one run of counters.
type series struct {
	newest  atomic.Uint32 // on any link
	windows [MaxLinks]window
}

// of returns the counters to which a kind belongs.
func (c *core) of(k Kind) *series {
	if k == Data {
		return &c.data
	}
	return &c.series
}

func newCore(id *identity, mine, peer nonce) *core {
	// The id is public: it only tells sessions apart before the tag does.
	sum := sha256.Sum256([]byte("id " + id.sessionInfo(mine, peer)))
	c := &core{id: binary.BigEndian.Uint32(sum[:]) >> 8, mine: mine, peer: peer}
	if c.id == 0 {
		c.id = 1
	}
	return c
}

// retire ends a session no frame of which was read; it fails if one was.
func (c *core) retire() bool {
	return c.life.CompareAndSwap(fresh, retired) || c.life.Load() == retired
}

// staleAfter is how far a counter may lag behind the newest one of any link: as
// far as within a link. A frame that waited longer in some buffer says nothing
// about the peer of today.
const staleAfter = windowSize

// admit judges the counter of an authentic frame and remembers it. Only the
// reader of the link calls it.
func (c *core) admit(link uint8, k Kind, counter uint32) Drop {
	s := c.of(k)
	if newest := s.newest.Load(); counter+staleAfter <= newest {
		return DropReplay
	}
	if d := s.windows[link].check(counter); d != Accepted {
		return d
	}
	if !c.life.CompareAndSwap(fresh, proven) && c.life.Load() == retired {
		return DropSession
	}
	s.windows[link].mark(counter)
	for { // lost only to the reader of another link, which raised newest
		newest := s.newest.Load()
		if counter <= newest || s.newest.CompareAndSwap(newest, counter) {
			return Accepted
		}
	}
}

// A session is a core with the keys of the present ring.
type session struct {
	*core
	keys []keyed
}

// windowSize is the length of the replay window in counters (RFC 4303 section
// 3.4.3 asks for 32 and prefers 64).
const windowSize = 64

// A window remembers which of the last counters of a link were seen. Bit i of
// seen stands for top-i. The zero value has seen nothing.
type window struct {
	top  uint32
	seen uint64
}

func (w *window) check(c uint32) Drop {
	switch {
	case c > w.top:
		return Accepted
	case w.top-c >= windowSize:
		return DropReplay
	case w.seen>>(w.top-c)&1 == 1:
		return DropDuplicate
	}
	return Accepted
}

// mark records a counter that check accepted.
func (w *window) mark(c uint32) {
	if c > w.top {
		w.seen <<= c - w.top // a shift by 64 or more leaves zero
		w.top = c
	}
	w.seen |= 1 << (w.top - c)
}
