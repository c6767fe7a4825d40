package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// The links of every pair.
const (
	linkUDP = iota
	linkTTY
	linkCount
)

const (
	// ttyFrames is how many frames wait in a tty before a writer drops: the
	// serial path sends nothing while more than one waits.
	ttyFrames = 2
	// recorded is how many frames of each direction a tap remembers.
	recorded = 64
	// ttyLatency is how long a UART and n_tty may hold bytes back.
	ttyLatency = 2 * time.Millisecond
)

// link is one path between the nodes; index 0 of a pair is the direction from node 0.
type link struct {
	serial   bool
	byteTime time.Duration
	delay    time.Duration
	cut      [2]bool
	loss     int // percent
	burst    int // percent of the frames that begin a burst of loss
	burstFor int // frames
	burstNow [2]int
	ber      int           // bit errors: one in 10^ber; 0: none
	dup      int           // percent
	wild     time.Duration // extra random delay: reorders
	clog     [2]pair.Instant
	busy     [2]pair.Instant // the line is free again
	tap      [2]tap
	taps     bool
}

// tap remembers the newest frames of one direction.
type tap struct {
	frames []frame
	oldest int
}

func (t *tap) add(f *frame) {
	if len(t.frames) < recorded {
		t.frames = append(t.frames, frame{})
		t.put(len(t.frames)-1, f)
		return
	}
	t.put(t.oldest, f)
	t.oldest = (t.oldest + 1) % recorded
}

// put keeps a frame in a place whose bytes are used again.
func (t *tap) put(i int, f *frame) {
	raw := append(t.frames[i].raw[:0], f.raw...)
	t.frames[i] = *f
	t.frames[i].raw = nil
	if f.raw != nil {
		t.frames[i].raw = raw
	}
}

// at returns the i-th frame from the oldest on.
func (t *tap) at(i int) frame { return t.frames[(t.oldest+i)%len(t.frames)] }

// clean reports whether nothing is wrong with the link.
func (l *link) clean() bool {
	return l.cut == [2]bool{} && l.loss == 0 && l.burst == 0 && l.ber == 0 && l.wild == 0 && l.clog == [2]pair.Instant{}
}

// mend makes the link whole.
func (l *link) mend() {
	l.cut, l.loss, l.burst, l.ber, l.dup, l.wild, l.clog = [2]bool{}, 0, 0, 0, 0, 0, [2]pair.Instant{}
}

// pool holds the frames under way.
type pool struct {
	frames []frame
	bytes  [][]byte // of the frames that are real, used again
	unused []int32
}

func (p *pool) get() (int32, *frame) {
	if n := len(p.unused); n > 0 {
		ref := p.unused[n-1]
		p.unused = p.unused[:n-1]
		p.frames[ref].raw = nil
		return ref, &p.frames[ref]
	}
	p.frames = append(p.frames, frame{})
	p.bytes = append(p.bytes, nil)
	return int32(len(p.frames) - 1), &p.frames[len(p.frames)-1]
}

func (p *pool) free(ref int32) { p.unused = append(p.unused, ref) }

// frameSize is the length on a serial line of a frame that was not sealed.
const frameSize = 57

// transmit puts a frame on its link.
func (w *World) transmit(f *frame) {
	l := w.links[f.link]
	if l.taps {
		l.tap[f.from].add(f)
	}
	if l.cut[f.from] || w.lost(l, int(f.from)) {
		return
	}
	copies := 1
	if l.dup > 0 && w.rng.IntN(100) < l.dup {
		copies = 2
	}
	for range copies {
		at, ok := w.route(l, f)
		if !ok {
			return
		}
		ref, c := w.pool.get()
		*c = *f
		if f.raw != nil && !w.rawFrame(l, ref, f.raw) || f.raw == nil && w.spoilt(l) {
			w.pool.free(ref)
			continue
		}
		w.push(at, event{kind: evArrive, ref: ref})
	}
}

// lost decides on independent loss and on bursts.
func (w *World) lost(l *link, dir int) bool {
	if l.burstNow[dir] > 0 {
		l.burstNow[dir]--
		return true
	}
	if l.burst > 0 && w.rng.IntN(100) < l.burst {
		l.burstNow[dir] = 1 + w.rng.IntN(max(l.burstFor, 1))
		return true
	}
	return l.loss > 0 && w.rng.IntN(100) < l.loss
}

// route is when a frame arrives; a serial line takes its time, and no more
// than its queue holds.
func (w *World) route(l *link, f *frame) (pair.Instant, bool) {
	d := l.delay + w.chance(l.delay/2+l.wild)
	if f.kind != 0 && f.kind == w.holdKind {
		d += w.chance(w.holdFor)
	}
	start := max(w.now, l.clog[f.from])
	if !l.serial {
		return start.Add(d), true
	}
	n := time.Duration(frameSize)
	if f.raw != nil {
		n = time.Duration(len(f.raw) + 4)
	}
	start = max(start, l.busy[f.from])
	if start.Since(w.now) > ttyFrames*n*l.byteTime {
		return 0, false
	}
	l.busy[f.from] = start.Add(n * l.byteTime)
	return l.busy[f.from].Add(d + w.chance(ttyLatency)), true
}

// rawFrame makes the bytes as they arrive: framed and bit by bit at risk on a
// serial line. Ethernet drops what its checksum refuses.
func (w *World) rawFrame(l *link, ref int32, payload []byte) bool {
	c, buf := &w.pool.frames[ref], &w.pool.bytes[ref]
	if !l.serial {
		*buf = append((*buf)[:0], payload...)
		c.raw = *buf
		return l.ber == 0 || !w.spoilt(l)
	}
	*buf = wire.AppendSerial((*buf)[:0], payload)
	c.raw = *buf
	if l.ber > 0 {
		rate := pow10(l.ber)
		for bit := w.rng.IntN(2 * rate); bit < len(c.raw)*8; bit += 1 + w.rng.IntN(2*rate) {
			c.raw[bit/8] ^= 1 << (bit % 8)
		}
	}
	return true
}

// spoilt is whether bit errors touch a frame that is not carried bit by bit.
func (w *World) spoilt(l *link) bool {
	return l.ber > 0 && w.rng.IntN(2*pow10(l.ber)) < frameSize*8*2
}

func pow10(n int) int {
	k := 1
	for range n {
		k *= 10
	}
	return k
}

// arrive hands a frame to the node at the other end.
func (w *World) arrive(ref int32) {
	f := &w.pool.frames[ref]
	l, to := w.links[f.link], w.nodes[1-f.from]
	if l.cut[f.from] || !to.powered || to.proc == nil {
		w.pool.free(ref)
		return
	}
	w.read(to.proc, ref)
}

// replay sends recorded frames again, on a link that may be another one.
func (w *World) replay(link, n int) {
	from := w.links[n%linkCount]
	for dir := range 2 {
		tap := &from.tap[dir]
		for i := range min(len(tap.frames), n) {
			f := tap.at((i * 7) % len(tap.frames))
			f.link = uint8(link % linkCount)
			if n%3 == 0 && w.cfg.Wire {
				f.from = 1 - f.from // reflected; without a tag nobody could tell
			}
			if w.cfg.Wire && w.links[f.link].serial {
				f.raw = wire.AppendSerial(nil, f.raw)
			}
			w.result.Replayed++
			ref, c := w.pool.get()
			*c = f
			c.raw = append([]byte(nil), f.raw...)
			if f.raw == nil {
				c.raw = nil
			}
			w.push(w.now.Add(w.chance(w.timing.Beat)), event{kind: evArrive, ref: ref})
		}
	}
}

// garbage is noise on the serial line: the reader must find the next frame.
func (w *World) garbage(dir, n int) {
	if !w.cfg.Wire {
		w.links[linkTTY].burstNow[dir%2] = 1
		return
	}
	ref, f := w.pool.get()
	*f = frame{from: uint8(dir % 2), link: linkTTY}
	f.raw = make([]byte, 1+n)
	for i := range f.raw {
		f.raw[i] = byte(w.rng.Uint32())
	}
	w.push(w.now, event{kind: evArrive, ref: ref})
}
