package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// Format of a state file: magic, version, length and payload, then the CRC-32
// (IEEE) of everything before it. Numbers are big-endian; the payload is JSON,
// so that an operator can read the file with cat.
const (
	magic        = "TWBJ"
	version      = 1
	headerSize   = len(magic) + 2 + 4
	maxState     = 64 << 10 // bytes of a state file; a longer one is refused
	maxEntries   = 64       // of each map; far above config.MaxGroups
	maxStateText = 1 << 10  // bytes of one text in the state; the rest is cut off
	maxFenceAge  = time.Hour
)

// A State is what a node must remember across a restart of the agent or the box.
type State struct {
	Boot        uint32            // kernel boots counted by this journal
	Token       bool              // the one fence without contact is unspent; see SpendToken
	Terms       map[string]uint32 // by group: the highest term seen
	Unfit       map[string]string // by group: why its services failed here for good
	Maintenance *Maintenance      // nil: in service
	LastFence   *report.Fence     // the newest fence operation of this node
	FencedBy    string            // who said last that it switches this node off; empty since contact
	Verified    *report.Verified  // the newest verification of the fence's wiring
	Fences      []time.Duration   // for each fence of the budget, until it is forgotten; time with the power off does not count
	Clean       bool              // the agent said that it ended in order
}

// A Maintenance takes the node out of service.
//
// Its end is counted in time left, not as a time of day: a router without a
// battery-backed clock boots in 1970 and jumps by decades when NTP answers,
// and maintenance that ends at the wrong moment puts a box that is being
// worked on back into service. So time with the power off does not count.
type Maintenance struct {
	Reason    string
	By        string
	SinceWall time.Time     // for the operator's eyes only; nothing is computed from it
	Left      time.Duration // until it ends by itself; 0: not before an operator says so
}

// A record is a State with what only the journal needs.
type record struct {
	State
	Seq    uint64        // of the save; the newest valid copy wins
	BootID string        // kernel boot the record was written in
	Uptime time.Duration // CLOCK_BOOTTIME at the save, within that boot
}

// encode returns the bytes of a state file.
func encode(r record) ([]byte, error) {
	payload, err := json.Marshal(bounded(r))
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	b := make([]byte, 0, headerSize+len(payload)+crc32.Size)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	if len(b) > maxState {
		return nil, fmt.Errorf("encode state: %d bytes, at most %d", len(b), maxState)
	}
	return b, nil
}

// Reasons why a state file is not used.
var (
	errShort   = errors.New("shorter or longer than its header says")
	errMagic   = errors.New("not a state file")
	errSum     = errors.New("checksum is wrong")
	errVersion = errors.New("written by another version")
)

// decode reads a state file. It takes nothing from a file that is not whole.
func decode(b []byte) (record, error) {
	var r record
	if len(b) < headerSize+crc32.Size || len(b) > maxState {
		return r, errShort
	}
	if string(b[:len(magic)]) != magic {
		return r, errMagic
	}
	body, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.ChecksumIEEE(body) != sum {
		return r, errSum
	}
	if v := binary.BigEndian.Uint16(b[len(magic):]); v != version {
		return r, fmt.Errorf("%w: %d, this is %d", errVersion, v, version)
	}
	payload := body[headerSize:]
	if uint32(len(payload)) != binary.BigEndian.Uint32(b[len(magic)+2:]) {
		return r, errShort
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := d.Decode(&r); err != nil {
		return record{}, fmt.Errorf("decode state: %w", err)
	}
	return bounded(r), nil
}

// bounded returns the record in its one form: maps made and within their
// bounds, texts within theirs, times in UTC without a monotonic reading.
func bounded(r record) record {
	r.State = r.clone()
	trim(r.Terms)
	trim(r.Unfit)
	for k, v := range r.Unfit {
		r.Unfit[k] = clip(v, maxStateText)
	}
	if m := r.Maintenance; m != nil {
		m.Reason, m.By = clip(m.Reason, maxStateText), clip(m.By, maxStateText)
		m.SinceWall = plain(m.SinceWall)
		m.Left = max(m.Left, 0)
	}
	if f := r.LastFence; f != nil {
		f.At = plain(f.At)
		for _, text := range []*string{&f.By, &f.Why, &f.Target, &f.Node, &f.Action, &f.Grade, &f.Evidence, &f.Detail} {
			*text = clip(*text, maxStateText)
		}
	}
	if v := r.Verified; v != nil {
		v.At = plain(v.At)
		for _, text := range []*string{&v.By, &v.Wiring, &v.Cable, &v.Grade} {
			*text = clip(*text, maxStateText)
		}
	}
	r.Fences = r.Fences[max(0, len(r.Fences)-maxEntries):]
	for i, left := range r.Fences {
		r.Fences[i] = min(max(left, 0), maxFenceAge)
	}
	return r
}

// clone returns a copy that shares nothing with s.
func (s State) clone() State {
	terms, unfit := map[string]uint32{}, map[string]string{}
	maps.Copy(terms, s.Terms)
	maps.Copy(unfit, s.Unfit)
	s.Terms, s.Unfit = terms, unfit
	if s.Maintenance != nil {
		m := *s.Maintenance
		s.Maintenance = &m
	}
	if s.LastFence != nil {
		f := *s.LastFence
		s.LastFence = &f
	}
	if s.Verified != nil {
		v := *s.Verified
		if v.LinesMS != nil {
			ms := *v.LinesMS
			v.LinesMS = &ms
		}
		s.Verified = &v
	}
	s.Fences = slices.Clone(s.Fences)
	return s
}

// trim drops entries beyond the bound. A configuration cannot have so many
// groups, so which ones go does not matter.
func trim[V any](m map[string]V) {
	for k := range m {
		if len(m) <= maxEntries {
			return
		}
		delete(m, k)
	}
}

// plain makes a wall clock time comparable. Years that JSON cannot hold, of a
// clock gone mad, become the zero time.
func plain(t time.Time) time.Time {
	t = t.UTC().Round(0)
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return t
}

// clip cuts a text to n bytes and makes it valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return string(bytes.ToValidUTF8([]byte(s), nil))
}
