package accord

import (
	"encoding/binary"
	"fmt"
)

// A MAC is an Ethernet hardware address.
type MAC [6]byte

// String writes the address as in 02:00:5e:10:00:00.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// A Holder is the owner's word on which hardware address must answer for an
// address of a group.
type Holder struct {
	Group uint8
	Index uint16 // of the address in the configuration of the group
	MAC   MAC
}

const (
	holderSize  = 9
	findingSize = 11
)

// Append encodes the holder as the value of an item.
func (h Holder) Append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(b, h.Group), h.Index), h.MAC[:]...)
}

// ParseHolder is the inverse of Append.
func ParseHolder(b []byte) (Holder, bool) {
	if len(b) != holderSize {
		return Holder{}, false
	}
	return Holder{b[0], binary.BigEndian.Uint16(b[1:]), MAC(b[3:])}, true
}

// A Verdict is what the LAN says of an address.
type Verdict uint8

// The verdicts, worse ones later.
const (
	Right   Verdict = 1 + iota // the owner's hardware address answers, and no other
	Misled                     // so it does, but somebody sends to the standby what is for the address
	Nobody                     // nobody answers
	Foreign                    // another hardware address answers
)

// A Finding is what the standby saw when it asked the LAN.
type Finding struct {
	Holder        // what it asked about; the MAC is whose it is about: who answered, or is misled; zero for nobody
	Round   uint8 // number of the look; copies of a finding have the same
	Verdict Verdict
}

// Append encodes the finding as the value of an item.
func (f Finding) Append(b []byte) []byte {
	return append(f.Holder.Append(b), f.Round, uint8(f.Verdict))
}

// ParseFinding is the inverse of Append.
func ParseFinding(b []byte) (Finding, bool) {
	if len(b) != findingSize || Verdict(b[10]) < Right || Verdict(b[10]) > Foreign {
		return Finding{}, false
	}
	h, ok := ParseHolder(b[:holderSize])
	return Finding{h, b[9], Verdict(b[10])}, ok
}

// Judge compares the hardware addresses that answered with the owner's word.
// One that is not the owner's counts even if the owner's answers, too: hosts
// believe the last they heard. misled are those who sent to the standby.
func Judge(told Holder, answered, misled []MAC) Finding {
	f := Finding{Holder: told, Verdict: Nobody}
	f.MAC = MAC{}
	for _, m := range answered {
		if m != told.MAC {
			f.MAC, f.Verdict = m, Foreign
			return f
		}
		f.MAC, f.Verdict = m, Right
	}
	if f.Verdict == Right && len(misled) > 0 {
		f.MAC, f.Verdict = misled[0], Misled
	}
	return f
}

// Text says what is wrong, for a person; address is the one asked for, asker
// who asked.
func (f Finding) Text(address, asker string) string {
	switch f.Verdict {
	case Misled:
		return fmt.Sprintf("%s still sends to %s what is for %s: it does not believe what was announced", f.MAC, asker, address)
	case Nobody:
		return fmt.Sprintf("%s asked the LAN for %s and nobody answered", asker, address)
	case Foreign:
		return fmt.Sprintf("%s asked the LAN for %s and %s answered, which is not this node", asker, address, f.MAC)
	}
	return fmt.Sprintf("%s answers for %s", f.MAC, address)
}
