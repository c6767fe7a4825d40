//go:build !lite

package cable

import "math/bits"

// A sequence yields the bits of PRBS-15 (ITU-T O.150 section 5.3), x^15 + x^14 + 1,
// eight at a time, the first as the highest.
type sequence uint16

const firstSequence sequence = 0x7fff // any but zero

func (s *sequence) next() byte {
	var out byte
	for range 8 {
		bit := (*s>>14 ^ *s>>13) & 1
		*s = (*s<<1 | bit) & 0x7fff
		out = out<<1 | byte(bit)
	}
	return out
}

// slipAfter is how many wrong bytes in a row mean that bytes are missing, or were
// added, and not that bits were damaged.
const slipAfter = 4

// A count compares what came in with the sequence. It finds its place in the
// sequence by any two bytes of it.
type count struct {
	Bytes  int // that came in
	Errors int // bits that were wrong
	Slips  int // how often the place was lost

	at      sequence
	recent  [2]byte
	wrong   int // bytes in a row
	pending int // bit errors in them
	seen    int
}

func (c *count) write(p []byte) {
	for _, b := range p {
		c.Bytes++
		c.seen++
		switch diff := 0; {
		case c.seen <= 2: // two bytes tell the place
		default:
			if diff = bits.OnesCount8(c.at.next() ^ b); diff == 0 {
				c.wrong, c.pending = 0, 0
				break
			}
			c.Errors += diff
			c.wrong, c.pending = c.wrong+1, c.pending+diff
		}
		c.recent[0], c.recent[1] = c.recent[1], b
		if c.seen == 2 {
			c.place()
		}
		if c.wrong >= slipAfter {
			c.Slips++
			c.Errors -= c.pending
			c.wrong, c.pending = 0, 0
			c.place()
		}
	}
}

// place takes the place in the sequence from the last two bytes.
func (c *count) place() { c.at = sequence(uint16(c.recent[0])<<8|uint16(c.recent[1])) & 0x7fff }
