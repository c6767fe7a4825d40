package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits of a DATA frame, which is never longer than 220 bytes (224 on a serial
// line).
const (
	MaxItems = 192          // bytes of all its items, with their types and lengths
	MaxValue = MaxItems - 2 // bytes of one value, if it is the only one
)

// SerialData is what a DATA frame takes on a serial line beside its items:
// header, counter and tag, then COBS, CRC and delimiter; in bytes.
const SerialData = headerSize + dataHead + tagSize + 4

const (
	dataHead = 4 // counter
	itemHead = 2 // type and length
)

// ErrItems means that an item does not fit into the frame; it may fit into the
// next.
var ErrItems = errors.New("add item: the frame has no room for it")

// Items are the contents of a DATA frame: type, length and value of each, one
// after the other. A type is 1..255; what the types mean is for the receiver to
// know, who skips those that it does not. The zero value is empty.
type Items struct {
	n     uint8
	bytes [MaxItems]byte // zero from n on
}

// Len returns the length of all items in bytes.
func (t *Items) Len() int { return int(t.n) }

// Add appends a copy of an item. It fails with ErrItems if there is no room, and
// for type 0, which is none.
func (t *Items) Add(kind uint8, value []byte) error {
	if kind == 0 {
		return errors.New("add item: type 0")
	}
	if len(value) > MaxItems-itemHead-t.Len() {
		return ErrItems
	}
	b := t.bytes[t.n:]
	b[0], b[1] = kind, uint8(len(value))
	t.n += uint8(itemHead + copy(b[itemHead:], value))
	return nil
}

// Each calls f for every item in the order in which they were added. The value
// is valid only during the call.
func (t *Items) Each(f func(kind uint8, value []byte)) {
	for b := t.bytes[:t.n]; len(b) > 0; {
		end := itemHead + int(b[1])
		f(b[0], b[itemHead:end])
		b = b[end:]
	}
}

// blindFrom is the sender in the tag of a blinded digest: no node has that id,
// so that no tag of a frame is ever one.
const blindFrom = 0

// Active returns the id of the key that Seal signs with.
func (e *Endpoint) Active() uint8 { return e.state.Load().ring.active }

// Blind returns what may stand for a secret in a DATA frame: both nodes come to
// the same number for the same digest, and nobody without the session's key can
// try out guesses. It is false without a session, or if the key is not listed.
func (e *Endpoint) Blind(keyID uint8, digest *[32]byte) (uint32, bool) {
	cur := e.state.Load().cur
	if cur == nil {
		return 0, false
	}
	k := find(cur.keys, keyID)
	if k == nil {
		return 0, false
	}
	return binary.BigEndian.Uint32(e.scratch.tag(k.send, blindFrom, blindFrom, 0, digest[:])), true
}

// checkData refuses a DATA frame that says nothing.
func (m *Message) checkData() error {
	if m.Items.n == 0 {
		return fmt.Errorf("seal %v: no items", m.Kind)
	}
	return nil
}

func (m *Message) appendData(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, m.Counter), m.Items.bytes[:m.Items.n]...)
}

// decodeData is the strict inverse of appendData: at least one item, each with
// a type, the last one ending with the frame.
func (m *Message) decodeData(b []byte) bool {
	if len(b) < dataHead+itemHead || len(b) > dataHead+MaxItems {
		return false
	}
	m.Counter = binary.BigEndian.Uint32(b)
	if m.Counter == 0 || m.Counter > MaxCounter {
		return false
	}
	b = b[dataHead:]
	m.Items.n = uint8(copy(m.Items.bytes[:], b))
	for len(b) > 0 {
		if len(b) < itemHead || b[0] == 0 || len(b) < itemHead+int(b[1]) {
			return false
		}
		b = b[itemHead+int(b[1]):]
	}
	return true
}
