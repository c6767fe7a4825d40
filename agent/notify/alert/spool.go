package alert

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// MaxSpool is the longest spool, in bytes: MaxWaiting alerts of 4 KiB for each of
// eight targets. A longer one is not read.
const MaxSpool = 4 << 20

// magic begins a spool, and names its form.
const magic = "twinbeat alerts 1\n"

// A Spool is what survives a restart: what every target is owed, and the newest
// event that was looked at.
type Spool struct {
	Boot uint32    // count of kernel boots in which it was written
	Seq  uint64    // of the newest event that was looked at
	At   time.Time // of that event: tells it from another of that number
	Owed []Backlog
}

// stored is a spool's form: an alert that several targets wait for stands once.
type stored struct {
	Boot   uint32    `json:"boot"`
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Alerts []Alert   `json:"alerts"`
	Owed   []owed    `json:"owed"`
}

type owed struct {
	Name    string `json:"name"`
	Dropped uint64 `json:"dropped,omitempty"`
	Waiting []int  `json:"waiting"` // indices of Alerts
}

// Empty says whether nobody is owed anything.
func (s Spool) Empty() bool {
	for _, b := range s.Owed {
		if len(b.Waiting) > 0 || b.Dropped > 0 {
			return false
		}
	}
	return true
}

// Encode returns the bytes of a spool: magic, length, text, checksum.
func (s Spool) Encode() ([]byte, error) {
	out := stored{Boot: s.Boot, Seq: s.Seq, At: s.At, Alerts: []Alert{}}
	known := map[Alert]int{}
	for _, b := range s.Owed {
		o := owed{Name: b.Name, Dropped: b.Dropped, Waiting: []int{}}
		for _, a := range b.Waiting {
			i, ok := known[a]
			if !ok {
				i = len(out.Alerts)
				known[a] = i
				out.Alerts = append(out.Alerts, a)
			}
			o.Waiting = append(o.Waiting, i)
		}
		out.Owed = append(out.Owed, o)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode spool: %w", err)
	}
	b := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(text)))
	b = append(b, text...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)), nil
}

// errTorn says that a spool is not whole.
var errTorn = errors.New("it is torn or damaged")

// Decode reads a spool. One that is not whole gives an error and nothing.
func Decode(b []byte) (Spool, error) {
	const head, tail = len(magic) + 4, crc32.Size
	switch {
	case len(b) > MaxSpool || len(b) < head+tail || string(b[:len(magic)]) != magic:
		return Spool{}, errTorn
	case uint64(binary.BigEndian.Uint32(b[len(magic):])) != uint64(len(b)-head-tail):
		return Spool{}, errTorn
	case binary.BigEndian.Uint32(b[len(b)-tail:]) != crc32.ChecksumIEEE(b[:len(b)-tail]):
		return Spool{}, errTorn
	}
	var in stored
	if err := json.Unmarshal(b[head:len(b)-tail], &in); err != nil {
		return Spool{}, fmt.Errorf("read spool: %w", err)
	}
	s := Spool{Boot: in.Boot, Seq: in.Seq, At: in.At}
	for _, o := range in.Owed {
		b := Backlog{Name: o.Name, Dropped: o.Dropped}
		for _, i := range o.Waiting {
			if i < 0 || i >= len(in.Alerts) || in.Alerts[i].Severity == 0 || len(b.Waiting) == MaxWaiting+MaxTopics {
				return Spool{}, errTorn
			}
			b.Waiting = append(b.Waiting, in.Alerts[i])
		}
		s.Owed = append(s.Owed, b)
	}
	return s, nil
}
