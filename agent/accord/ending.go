package accord

import "encoding/binary"

// An Ending is what one node saw of the other's last end: it tells it to that
// node, once that is back.
type Ending struct {
	AgoMS    uint32 // since its last word
	FellMS   uint32 // how long after that word its modem lines fell
	DownMS   uint32 // until they rose, or it was heard again
	Lines    bool   // its modem lines could be seen all the time
	Fell     bool   // they fell with that word or after it; else they stayed up
	Off      bool   // it was proven off meanwhile
	OffLater bool   // by an order that came when the lines had fallen
	Grade    string // what the proof rests on, in words; empty: not told
}

// EndingSize is what an item takes without its Grade, which stands last and may
// be cut off: flags (1), then the times (4 each).
const EndingSize = 13

const maxGrade = 40 // bytes

// knownFlags are Lines, Fell, Off and OffLater, from the lowest bit.
const knownFlags = 1<<4 - 1

// Append encodes the ending as the value of an item.
func (e *Ending) Append(b []byte) []byte {
	var flags byte
	for i, on := range [...]bool{e.Lines, e.Fell, e.Off, e.OffLater} {
		if on {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	for _, ms := range [...]uint32{e.AgoMS, e.FellMS, e.DownMS} {
		b = binary.BigEndian.AppendUint32(b, ms)
	}
	return append(b, e.Grade[:min(len(e.Grade), maxGrade)]...)
}

// ParseEnding is the inverse of Append. What contradicts itself is refused.
func ParseEnding(b []byte) (e Ending, ok bool) {
	if len(b) < EndingSize || len(b) > EndingSize+maxGrade || b[0] > knownFlags {
		return e, false
	}
	for i, on := range [...]*bool{&e.Lines, &e.Fell, &e.Off, &e.OffLater} {
		*on = b[0]&(1<<i) != 0
	}
	for i, ms := range [...]*uint32{&e.AgoMS, &e.FellMS, &e.DownMS} {
		*ms = binary.BigEndian.Uint32(b[1+4*i:])
	}
	e.Grade = string(b[EndingSize:])
	return e, e.sound()
}

// sound says whether it could have been so.
func (e *Ending) sound() bool {
	for _, c := range []byte(e.Grade) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return (e.Lines || !e.Fell) &&
		(e.Fell || e.FellMS == 0 && e.DownMS == 0) &&
		(e.Off || !e.OffLater && e.Grade == "") &&
		(e.Fell || !e.OffLater) &&
		e.FellMS <= e.AgoMS && e.DownMS <= e.AgoMS
}
