package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// Sizes of the parts of a frame, see the package documentation.
const (
	headerSize = 8
	tagSize    = 16
	helloSize  = 43
	bodySize   = 24 // without groups and group index
	groupSize  = 5
	minFrame   = headerSize + dataHead + itemHead + tagSize // the shortest is DATA
)

const (
	noLinkEcho   = 15  // code in the four bits of the difference
	noCritical   = 255 // code of no time to critical
	maxCritical  = 239 // largest code whose value fits the 16 bits of Message
	criticalUnit = 4   // seconds
)

// pack rounds a number down to one that fits a byte; 255 stands for anything
// from 31744 on.
func pack(v uint32) uint8 {
	if v < 128 {
		return uint8(v)
	}
	exp := bits.Len32(v) - 8
	if exp > 7 {
		return 255
	}
	return uint8(128 + exp<<4 + int(v>>(exp+3)&15))
}

// unpack is the inverse of pack: pack(unpack(c)) == c for every c.
func unpack(c uint8) uint32 {
	if c < 128 {
		return uint32(c)
	}
	return uint32(16+c&15) << ((c-128)>>4 + 3)
}

// ceilMillis rounds up, since an age or lease that looks too short is unsafe.
func ceilMillis(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return (d-1)/time.Millisecond + 1
}

// check refuses what the body cannot carry.
func (m *Message) check() error {
	switch {
	case m.Kind < Hello || m.Kind > Data:
		return fmt.Errorf("seal frame: kind %d cannot be sent", m.Kind)
	case m.Kind == Hello:
		return nil
	case m.Kind == Data:
		return m.checkData()
	case m.NGroups < 0 || m.NGroups > MaxGroups:
		return fmt.Errorf("seal %v: %d groups do not fit", m.Kind, m.NGroups)
	case m.Mode > MaxMode:
		return fmt.Errorf("seal %v: mode %d does not fit", m.Kind, m.Mode)
	case m.Lease < 0 || m.Lease > MaxLease:
		return fmt.Errorf("seal %v: lease %v is not within 0..%v", m.Kind, m.Lease, MaxLease)
	case m.Echo > MaxCounter:
		return fmt.Errorf("seal %v: echo %d is no counter", m.Kind, m.Echo)
	case m.Kind.hasIndex() && m.GroupIndex != AllGroups && int(m.GroupIndex) >= m.NGroups:
		return fmt.Errorf("seal %v: group %d of %d", m.Kind, m.GroupIndex, m.NGroups)
	}
	for i, g := range m.Groups[:m.NGroups] {
		if g.State > MaxState || g.Flags > MaxFlags {
			return fmt.Errorf("seal %v: group %d: state %d or flags %d do not fit", m.Kind, i, g.State, g.Flags)
		}
	}
	return nil
}

// appendBody encodes a checked message of any kind but HELLO and DATA.
func (m *Message) appendBody(b []byte) []byte {
	be := binary.BigEndian
	age, delta, linkAge := time.Duration(0), uint32(noLinkEcho), uint8(0)
	if m.Echo != 0 {
		age = min(ceilMillis(m.EchoAge), 65535)
	}
	// A link echo that is newer than the echo cannot be; it counts as none.
	if m.LinkEcho != 0 && m.LinkEcho <= m.Echo && m.Echo-m.LinkEcho < noLinkEcho {
		delta = m.Echo - m.LinkEcho
		linkAge = pack(uint32(min(max(m.LinkEchoAge, 0), MaxLinkEchoAge) / time.Millisecond))
	}
	critical := uint8(noCritical)
	if m.TimeToCritical != NoTimeToCritical {
		critical = pack(uint32(m.TimeToCritical / criticalUnit))
	}
	b = be.AppendUint32(b, m.Counter)
	b = be.AppendUint32(b, m.Echo)
	b = be.AppendUint16(b, uint16(age))
	b = append(b, uint8(m.NGroups)<<4|uint8(delta), linkAge, m.HearsLinks, m.Flags, m.Health, critical)
	b = be.AppendUint16(b, uint16(m.Mode)<<14|uint16(ceilMillis(m.Lease)))
	b = be.AppendUint32(b, m.Digest)
	b = be.AppendUint16(b, m.Version)
	for _, g := range m.Groups[:m.NGroups] {
		b = be.AppendUint32(append(b, g.State<<4|g.Flags), g.Term)
	}
	if m.Kind.hasIndex() {
		b = append(b, m.GroupIndex)
	}
	return b
}

// decodeBody is the strict inverse of appendBody: it accepts exactly the bytes
// appendBody makes, hence no two bodies mean the same.
func (m *Message) decodeBody(b []byte) bool {
	if m.Kind < Beat || m.Kind >= Data || len(b) < bodySize {
		return false
	}
	be := binary.BigEndian
	m.Counter, m.Echo = be.Uint32(b), be.Uint32(b[4:])
	age, delta, linkAge := be.Uint16(b[8:]), uint32(b[10]&15), b[11]
	m.NGroups = int(b[10] >> 4)
	m.HearsLinks, m.Flags, m.Health = b[12], b[13], b[14]
	lease := be.Uint16(b[16:])
	m.Mode, m.Lease = uint8(lease>>14), time.Duration(lease&0x3fff)*time.Millisecond
	m.Digest, m.Version = be.Uint32(b[18:]), be.Uint16(b[22:])
	if m.Counter == 0 || m.Counter > MaxCounter || m.Echo > MaxCounter {
		return false
	}
	if m.Echo == 0 && (age != 0 || delta != noLinkEcho) {
		return false
	}
	m.EchoAge = time.Duration(age) * time.Millisecond
	if delta != noLinkEcho {
		if delta >= m.Echo {
			return false
		}
		m.LinkEcho = m.Echo - delta
		m.LinkEchoAge = time.Duration(unpack(linkAge)) * time.Millisecond
	} else if linkAge != 0 {
		return false
	}
	if c := b[15]; c <= maxCritical {
		m.TimeToCritical = uint16(unpack(c) * criticalUnit)
	} else if c != noCritical {
		return false
	}
	return m.decodeGroups(b[bodySize:])
}

func (m *Message) decodeGroups(b []byte) bool {
	want := m.NGroups * groupSize
	if m.Kind.hasIndex() {
		want++
	}
	if m.NGroups > MaxGroups || len(b) != want {
		return false
	}
	for i := range m.NGroups {
		m.Groups[i] = Group{b[0] >> 4, b[0] & 15, binary.BigEndian.Uint32(b[1:])}
		b = b[groupSize:]
	}
	if !m.Kind.hasIndex() {
		return true
	}
	m.GroupIndex = b[0]
	return m.GroupIndex == AllGroups || int(m.GroupIndex) < m.NGroups
}

func (m *Message) appendHello(b []byte) []byte {
	b = append(append(b, m.Nonce[:]...), m.PeerNonce[:]...)
	b = binary.BigEndian.AppendUint32(b, m.BootID)
	b = binary.BigEndian.AppendUint32(b, m.Digest)
	b = binary.BigEndian.AppendUint16(b, m.Version)
	if m.Rekey {
		return append(b, 1)
	}
	return append(b, 0)
}

func (m *Message) decodeHello(b []byte) bool {
	if len(b) != helloSize || b[42] > 1 {
		return false
	}
	copy(m.Nonce[:], b)
	copy(m.PeerNonce[:], b[16:])
	m.BootID = binary.BigEndian.Uint32(b[32:])
	m.Digest = binary.BigEndian.Uint32(b[36:])
	m.Version = binary.BigEndian.Uint16(b[40:])
	m.Rekey = b[42] == 1
	return m.Nonce != [16]byte{} // a zero nonce means that none is known
}

// decode fills m from an authentic frame without its tag.
func (m *Message) decode(b []byte) bool {
	*m = Message{
		Kind: Kind(b[0] & 15), KeyID: b[1], Node: b[2] >> 4, Link: b[2] & 15,
		Session: sessionOf(b), GroupIndex: AllGroups, TimeToCritical: NoTimeToCritical,
	}
	switch b = b[headerSize:]; m.Kind {
	case Hello:
		return m.decodeHello(b)
	case Data:
		return m.decodeData(b)
	}
	return m.decodeBody(b)
}

// appendRest encodes what comes after the header of a checked message.
func (m *Message) appendRest(b []byte) []byte {
	switch m.Kind {
	case Hello:
		return m.appendHello(b)
	case Data:
		return m.appendData(b)
	}
	return m.appendBody(b)
}

// sessionOf reads the session field of a header.
func sessionOf(b []byte) uint32 {
	return uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7])
}
