package accord

import (
	"encoding/binary"
	"math"
	"time"
)

// An Ending is what one node saw of the other's last end: it tells it to that
// node, once that is back.
type Ending struct {
	Ago       time.Duration // since its last word
	Lines     bool          // its modem lines could be seen all the time
	Fell      bool          // they fell with that word or after it; else they stayed up
	FellAfter time.Duration // that word
	Down      time.Duration // until they rose, or it was heard again
	Off       bool          // it was proven off meanwhile
	OffLater  bool          // by an order that came when the lines had fallen
	Grade     string        // what the proof rests on, in words; empty: not told
}

// An item: flags (1), then Ago, FellAfter and Down in ms (4 each), then Grade.
const (
	endingSize = 13
	maxGrade   = 40
)

const (
	flagLines = 1 << iota
	flagFell
	flagOff
	flagOffLater
	knownFlags = 1<<iota - 1
)

// Append encodes the ending as the value of an item. What is longer than 49
// days is told as that.
func (e Ending) Append(b []byte) []byte {
	var flags byte
	for i, on := range []bool{e.Lines, e.Fell, e.Off, e.OffLater} {
		if on {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	for _, d := range []time.Duration{e.Ago, e.FellAfter, e.Down} {
		b = binary.BigEndian.AppendUint32(b, uint32(min(max(d.Milliseconds(), 0), math.MaxUint32)))
	}
	return append(b, e.Grade[:min(len(e.Grade), maxGrade)]...)
}

// ParseEnding is the inverse of Append. What contradicts itself is refused.
func ParseEnding(b []byte) (Ending, bool) {
	if len(b) < endingSize || len(b) > endingSize+maxGrade || b[0] > knownFlags {
		return Ending{}, false
	}
	at := func(i int) time.Duration {
		return time.Duration(binary.BigEndian.Uint32(b[i:])) * time.Millisecond
	}
	has := func(flag byte) bool { return b[0]&flag != 0 }
	e := Ending{
		Ago: at(1), FellAfter: at(5), Down: at(9), Grade: string(b[endingSize:]),
		Lines: has(flagLines), Fell: has(flagFell), Off: has(flagOff), OffLater: has(flagOffLater),
	}
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
		(e.Fell || e.FellAfter == 0 && e.Down == 0) &&
		(e.Off || !e.OffLater && e.Grade == "") &&
		(e.Fell || !e.OffLater) &&
		e.FellAfter <= e.Ago && e.Down <= e.Ago
}
