package predict

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math"
)

// What a box has learned is kept across a restart as one blob: a magic word with
// the version, the number of series, what each has learned, a CRC-32. It is less
// than [MaxState] bytes, under 1 KB for a series, and worth writing once a day:
// what was learned since then is learned again.
const (
	stateMagic = "TWBP\x02" // the last byte is the version
	// maxSeriesState bounds the record of one series or counter.
	maxSeriesState = 1400
	// recordHead is its key and its length.
	recordHead = 8 + 2
	// MaxState is the longest state there is, in bytes.
	MaxState = len(stateMagic) + 2 + MaxSeries*maxSeriesState + 4
)

// ErrState is the error of [Box.Restore] for a blob that is none of ours, or is
// damaged. The box is then as it was.
var ErrState = errors.New("not a state of this version, or a damaged one")

// Save returns what the box has learned, and what it was given of series that
// have not appeared yet, as far as there is room.
func (b *Box) Save() []byte {
	w := writer(stateMagic)
	live := len(b.series) + len(b.counts)
	room := min(len(b.unclaimed), MaxSeries-live)
	w.u16(uint16(live + room))
	for _, s := range b.series {
		w.record(key(s.spec.Name, s.spec.Kind), s.save)
	}
	for _, c := range b.counts {
		w.record(key(c.name, 0), c.save)
	}
	for id, rec := range b.unclaimed {
		if room--; room < 0 {
			break
		}
		w.record(id, func(w *writer) { *w = append(*w, rec...) })
	}
	return binary.BigEndian.AppendUint32(w, crc32.ChecksumIEEE(w))
}

// Restore takes what [Box.Save] returned, for the series that the box watches
// by now; a series that it holds no record of is left alone, and a record of a
// series that it does not know waits for it. On an error nothing has changed.
func (b *Box) Restore(state []byte) error {
	n := len(state)
	switch {
	case n > MaxState || n < len(stateMagic)+6 || string(state[:len(stateMagic)]) != stateMagic:
		return fmt.Errorf("restore state of %d bytes: %w", n, ErrState)
	case crc32.ChecksumIEEE(state[:n-4]) != binary.BigEndian.Uint32(state[n-4:]):
		return fmt.Errorf("restore state: checksum: %w", ErrState)
	}
	r := reader{b: state[len(stateMagic) : n-4]}
	records := map[uint64][]byte{}
	for range min(int(r.u16()), MaxSeries) {
		id := r.u64()
		records[id] = r.take(int(r.u16()))
	}
	if r.short || len(r.b) > 0 {
		return fmt.Errorf("restore state: length: %w", ErrState)
	}
	return b.apply(records)
}

// apply reads all records before it changes anything.
func (b *Box) apply(records map[uint64][]byte) error {
	series, counts := make([]*Series, len(b.series)), make([]*Counter, len(b.counts))
	for i, s := range b.series {
		fresh := newSeries(s.spec)
		if rec, ok := records[key(s.spec.Name, s.spec.Kind)]; !ok {
			fresh = s
		} else if !fresh.restore(rec) {
			return fmt.Errorf("restore state of %q: %w", s.spec.Name, ErrState)
		}
		series[i] = fresh
		delete(records, key(s.spec.Name, s.spec.Kind))
	}
	for i, c := range b.counts {
		fresh := &Counter{name: c.name, fatal: c.fatal}
		if rec, ok := records[key(c.name, 0)]; !ok {
			fresh = c
		} else if !fresh.restore(rec) {
			return fmt.Errorf("restore state of %q: %w", c.name, ErrState)
		}
		counts[i] = fresh
		delete(records, key(c.name, 0))
	}
	b.series, b.counts, b.unclaimed = series, counts, map[uint64][]byte{}
	for id, rec := range records {
		if len(rec) <= maxSeriesState-recordHead {
			b.unclaimed[id] = append([]byte(nil), rec...)
		}
	}
	return nil
}

// claimSeries makes a series of what was learned of it, if anything was.
func (b *Box) claimSeries(spec Spec) *Series {
	s, id := newSeries(spec), key(spec.Name, spec.Kind)
	rec, ok := b.unclaimed[id]
	delete(b.unclaimed, id)
	if ok && !s.restore(rec) {
		return newSeries(spec) // half of a damaged record is none
	}
	return s
}

// claimCounter does the same for a counter. Its next reading is its first one:
// what appears late counts from zero.
func (b *Box) claimCounter(name string, fatal bool) *Counter {
	c, id := &Counter{name: name, fatal: fatal}, key(name, 0)
	rec, ok := b.unclaimed[id]
	delete(b.unclaimed, id)
	if ok && !c.restore(rec) {
		return &Counter{name: name, fatal: fatal}
	}
	c.seen = false
	return c
}

func key(name string, k Kind) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	_, _ = h.Write([]byte{byte(k)})
	return h.Sum64()
}

func (s *Series) save(w *writer) {
	given, _ := s.spec.Limits.Accept(s.spec.Kind)
	dropped := func(given, now float64) bool { return math.IsNaN(now) && !math.IsNaN(given) }
	w.bits(s.judged, s.ever, dropped(given.Low, s.limits.Low), dropped(given.High, s.limits.High), dropped(given.Crit, s.limits.Crit))
	on := uint16(0)
	for c := range causes {
		if s.flags.on[c] {
			on |= 1 << c
		}
	}
	w.u16(on)
	w.f32(s.changes)
	w.f32(s.lived)
	s.base.save(w)
	if s.spec.Kind == Fan {
		w.f32(s.fan.ratio)
		for i := range pwmBins {
			w.f32(float64(s.fan.mean[i]))
			w.f32(float64(s.fan.drive[i]))
			w.u16(s.fan.n[i])
		}
	}
	if s.spec.Kind == Voltage {
		w.f32(s.supply.usual)
		w.f32(s.supply.room)
	}
	if s.spec.Kind == Temperature {
		w.u16(uint16(min(s.model.n, math.MaxUint16)))
		for i := range s.model.w {
			w.f64(s.model.w[i])
			for j := range s.model.p[i] {
				w.f64(s.model.p[i][j])
			}
		}
	}
}

// befalls reports whether a series of that kind can have the cause.
func (c Cause) befalls(k Kind) bool {
	switch c {
	case FanStalled, FanSlow:
		return k == Fan
	case VoltageOff, VoltageDrift:
		return k == Voltage
	}
	return true
}

func (s *Series) restore(rec []byte) bool {
	r := reader{b: rec}
	var low, high, crit bool
	r.bits(&s.judged, &s.ever, &low, &high, &crit)
	on := r.u16()
	for c := range causes {
		s.flags.on[c] = on&(1<<c) != 0 && levels[c] < Move && c.befalls(s.spec.Kind) // a move is judged anew
	}
	s.changes, s.lived = r.f32(), r.f32()
	s.base.restore(&r)
	if s.spec.Kind == Fan {
		s.fan.ratio = r.f32()
		for i := range pwmBins {
			s.fan.mean[i], s.fan.drive[i], s.fan.n[i] = float32(r.f32()), float32(r.f32()), min(r.u16(), fanLearns)
		}
	}
	if s.spec.Kind == Voltage {
		s.supply = supply{r.f32(), r.f32()}
	}
	if s.spec.Kind == Temperature {
		s.model.n = int(r.u16())
		for i := range s.model.w {
			s.model.w[i] = r.f64()
			for j := range s.model.p[i] {
				s.model.p[i][j] = r.f64()
			}
		}
	}
	if s.judged { // limits that its first minute was beyond stay dropped
		s.drop(&s.limits.Low, low)
		s.drop(&s.limits.High, high)
		s.drop(&s.limits.Crit, crit)
	}
	return !r.short && len(r.b) == 0
}

func (s *Series) drop(limit *float64, was bool) {
	if was && !math.IsNaN(*limit) && s.spec.Kind != Other && !s.spec.Trusted {
		*limit, s.limit = math.NaN(), AlwaysOver
	}
}

// save writes the hours oldest first, as 16 bits between the lowest and the
// highest.
func (b *baseline) save(w *writer) {
	low, high := math.Inf(1), math.Inf(-1)
	for i := range b.n {
		v, _ := b.age(i)
		low, high = min(low, float64(v)), max(high, float64(v))
	}
	w.u16(uint16(b.n))
	if b.n > 0 {
		w.f32(low)
		w.f32(high)
	}
	for i := b.n - 1; i >= 0; i-- {
		v, hour := b.age(i)
		share := 0.0
		if high > low {
			share = min((float64(v)-low)/(high-low), 1)
		}
		w.u16(uint16(math.Round(share * math.MaxUint16)))
		w.u8(hour)
	}
	w.u8(uint8(b.days))
	for i := range b.days {
		w.f32(float64(b.most[i]))
		w.f32(float64(b.least[i]))
	}
	w.u8(uint8(b.dayPos))
	w.f32(b.up)
	w.f32(b.down)
	w.u8(b.odd)
}

func (b *baseline) restore(r *reader) {
	n := int(r.u16())
	var low, high float64
	if n > hoursKept {
		r.short = true
		return
	}
	if n > 0 {
		low, high = r.f32(), r.f32()
	}
	for range n {
		v := low + (high-low)*float64(r.u16())/math.MaxUint16
		b.hours[b.next], b.clock[b.next] = float32(v), r.u8()%hoursADay
		b.next = (b.next + 1) % hoursKept
	}
	b.n = n
	days := int(r.u8())
	if days > daysKept {
		r.short = true
		return
	}
	for i := range days {
		b.most[i], b.least[i] = float32(r.f32()), float32(r.f32())
	}
	b.days, b.dayPos = days, int(r.u8())%daysKept
	if days > 0 {
		b.extremes()
	}
	b.up, b.down, b.odd = r.f32(), r.f32(), r.u8()
	b.settle()
}

func (c *Counter) save(w *writer) {
	w.bits(c.seen)
	w.f64(c.last)
	w.f32(c.hour)
	w.u8(uint8(c.n))
	w.u8(uint8(c.next))
	for _, v := range c.past {
		w.f32(v)
	}
}

func (c *Counter) restore(rec []byte) bool {
	r := reader{b: rec}
	r.bits(&c.seen)
	c.last, c.hour = r.f64(), r.f32()
	c.n, c.next = min(int(r.u8()), hoursADay), int(r.u8())%hoursADay
	for i := range c.past {
		c.past[i] = max(r.f32(), 0)
	}
	return !r.short && len(r.b) == 0
}

// A writer appends numbers, big end first.
type writer []byte

func (w *writer) u8(v uint8)    { *w = append(*w, v) }
func (w *writer) u16(v uint16)  { *w = binary.BigEndian.AppendUint16(*w, v) }
func (w *writer) u64(v uint64)  { *w = binary.BigEndian.AppendUint64(*w, v) }
func (w *writer) f64(v float64) { w.u64(math.Float64bits(v)) }

func (w *writer) f32(v float64) {
	*w = binary.BigEndian.AppendUint32(*w, math.Float32bits(float32(v)))
}

// record appends what save writes, behind its key and its length.
func (w *writer) record(key uint64, save func(*writer)) {
	w.u64(key)
	at := len(*w)
	w.u16(0)
	save(w)
	binary.BigEndian.PutUint16((*w)[at:], uint16(len(*w)-at-2))
}

func (w *writer) bits(bits ...bool) {
	var v uint8
	for i, bit := range bits {
		if bit {
			v |= 1 << i
		}
	}
	w.u8(v)
}

// A reader takes numbers off; short says that there were too few bytes, or a
// number that is none. What it returns then is 0.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.short = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) unsigned(n int) (v uint64) {
	for _, b := range r.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *reader) u8() uint8    { return uint8(r.unsigned(1)) }
func (r *reader) u16() uint16  { return uint16(r.unsigned(2)) }
func (r *reader) u64() uint64  { return r.unsigned(8) }
func (r *reader) f32() float64 { return r.finite(float64(math.Float32frombits(uint32(r.unsigned(4))))) }
func (r *reader) f64() float64 { return r.finite(math.Float64frombits(r.unsigned(8))) }

func (r *reader) finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		r.short = true
		return 0
	}
	return v
}

func (r *reader) bits(to ...*bool) {
	v := r.u8()
	for i, bit := range to {
		*bit = v&(1<<i) != 0
	}
}
