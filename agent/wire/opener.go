package wire

import (
	"crypto/subtle"
	"fmt"
	"sync/atomic"
)

// version is the number of the frame format in the first four bits.
const version = 1

// A Drop is the reason why a frame was not accepted. Only DropOwn, DropReplay,
// DropDuplicate and DropMalformed are about frames a holder of the key made;
// anybody can cause the others.
type Drop uint8

// The reasons, in the order in which a frame is judged.
const (
	Accepted      Drop   = iota // authentic, new on this link and well formed
	DropLength                  // shorter than any frame, or longer than MaxFrame
	DropVersion                 // another version of the format
	DropCluster                 // of another cluster
	DropNode                    // from neither this node nor its peer
	DropLink                    // made for another link: crossed cables, or replayed here
	DropKey                     // signed with a key that is not listed
	DropOwn                     // this node made it: a loop in the cable or the network
	DropDirection               // claims to be from this node, which did not make it: two nodes with one id, or forged
	DropSession                 // of a session that is not in use: from before a restart, or replayed
	DropMAC                     // the tag is wrong
	DropMalformed               // authentic, but not what this version sends
	DropReplay                  // too old: 64 counters behind the newest
	DropDuplicate               // seen on this link before
	NDrops        = iota        // number of reasons, Accepted among them
)

var dropNames = [NDrops]string{
	"accepted", "length", "version", "cluster", "node", "link", "key", "own", "direction",
	"session", "mac", "malformed", "replay", "duplicate",
}

// String returns the reason in one lower-case word, as status pages show it.
func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "unknown"
}

// An Opener judges the frames of one link. Open belongs to the one goroutine
// that reads the link; Stats may be called from any.
type Opener struct {
	e       *Endpoint
	link    uint8
	scratch scratch
	counts  [NDrops]atomic.Uint64
}

// Opener returns the opener of a link. Call it once a link: the replay window
// belongs to its goroutine.
func (e *Endpoint) Opener(link uint8) *Opener {
	if int(link) >= e.links {
		panic(fmt.Sprintf("wire: link %d of %d", link, e.links))
	}
	return &Opener{e: e, link: link}
}

// Stats returns how many frames were judged how; index 0 counts the accepted.
func (o *Opener) Stats() (n [NDrops]uint64) {
	for i := range n {
		n[i] = o.counts[i].Load()
	}
	return n
}

// Open judges a payload and decodes it into m if it is accepted; else m holds
// nothing of use. It allocates nothing either way and looks at nothing but the
// header before the tag is verified. HELLO frames have no counter: the same one
// may be accepted again, which Accept is made for.
func (o *Opener) Open(payload []byte, m *Message) Drop {
	d := o.open(payload, m)
	o.counts[d].Add(1)
	return d
}

func (o *Opener) open(p []byte, m *Message) Drop {
	if len(p) < minFrame || len(p) > MaxFrame {
		return DropLength
	}
	node := p[2] >> 4
	switch {
	case p[0]>>4 != version:
		return DropVersion
	case p[3] != o.e.hash[0] || p[4] != o.e.hash[1]:
		return DropCluster
	case node != o.e.node && node != o.e.peer:
		return DropNode
	case p[2]&15 != o.link:
		return DropLink
	}
	st := o.e.state.Load()
	key := find(st.hello, p[1])
	if key == nil {
		return DropKey
	}
	frame, hello := p[:len(p)-tagSize], Kind(p[0]&15) == Hello
	if node == o.e.node {
		return o.reflected(st, key, p, hello)
	}
	if !hello {
		return o.openSession(st, p, m)
	}
	if !o.authentic(key, p, node, o.e.node) {
		return DropMAC
	}
	if !m.decode(frame) {
		return DropMalformed
	}
	return Accepted
}

// A tries holds the sessions a frame may belong to; those that are not there
// are nil.
type tries [2 + MaxLinks]*session

func (st *state) sessions() (t tries) {
	t[0], t[1] = st.cur, st.prev
	copy(t[2:], st.next[:])
	return t
}

// openSession tries every session with the frame's id: ids are short and may
// collide, tags do not.
func (o *Opener) openSession(st *state, p []byte, m *Message) Drop {
	id, d := sessionOf(p), DropSession
	var tried *core
	for _, s := range st.sessions() {
		if s == nil || s.id != id || s.core == tried {
			continue
		}
		d, tried = DropMAC, s.core
		if !o.authentic(find(s.keys, p[1]), p, o.e.peer, o.e.node) {
			continue
		}
		if !m.decode(p[:len(p)-tagSize]) {
			return DropMalformed
		}
		return s.admit(o.link, m.Kind, m.Counter)
	}
	return d
}

// reflected tells frames of our own that came back from others that carry our
// node id. It verifies the tag, so that nobody can fake a loop.
func (o *Opener) reflected(st *state, key *keyed, p []byte, hello bool) Drop {
	if hello {
		if len(p) != headerSize+helloSize+tagSize || !o.authentic(key, p, o.e.node, o.e.peer) {
			return DropDirection
		}
		n := nonce(p[headerSize : headerSize+16])
		if n == st.proposal || n == st.before || st.cur != nil && n == st.cur.mine {
			return DropOwn
		}
		return DropDirection
	}
	for _, s := range st.sessions() {
		if s != nil && s.id == sessionOf(p) && o.authentic(find(s.keys, p[1]), p, o.e.node, o.e.peer) {
			return DropOwn
		}
	}
	return DropDirection
}

// authentic verifies the tag in constant time.
func (o *Opener) authentic(k *keyed, p []byte, from, to uint8) bool {
	n := len(p) - tagSize
	tag := o.scratch.tag(k.recv[o.link], from, to, o.link, p[:n])
	return subtle.ConstantTimeCompare(tag, p[n:]) == 1
}
