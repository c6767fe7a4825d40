package ipmi

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// Payload types of RMCP+, IPMI 2.0 table 13-16.
const (
	payloadIPMI         = 0x00
	payloadOpenRequest  = 0x10
	payloadOpenResponse = 0x11
	payloadRAKP1        = 0x12
	payloadRAKP2        = 0x13
	payloadRAKP3        = 0x14
	payloadRAKP4        = 0x15

	payloadAuthenticated = 0x40
	payloadEncrypted     = 0x80
	payloadType          = 0x3f
)

// Sizes of the wire, IPMI 2.0 section 13.
const (
	rmcpSize    = 4  // version, reserved, sequence, class
	headerSize  = 12 // of an RMCP+ session, without OEM fields
	legacySize  = 10 // of an IPMI 1.5 session without authentication code
	requestSize = 7  // of an IPMI request without data
	answerSize  = 8  // of an IPMI answer without data
	maxPacket   = 1024
)

// Formats of a session, IPMI 2.0 table 13-8.
const (
	formatNone = 0x00
	formatPlus = 0x06
	nextHeader = 0x07
)

// Addresses on the wire, IPMI 2.0 section 5.5: the BMC, and a remote console.
const (
	bmcAddress     = 0x20
	consoleAddress = 0x81
)

// rmcp is the header of every datagram: version 1.0, no acknowledgement asked
// for, class IPMI.
var rmcp = []byte{0x06, 0x00, 0xff, 0x07}

// A suite is a set of algorithms, IPMI 2.0 table 22-20. Both encrypt with
// AES-CBC-128; suites that prove or hide less are not here.
type suite struct {
	id        int
	auth      byte // RAKP-HMAC, table 13-17
	integrity byte // table 13-18
	hash      func() hash.Hash
	icv       int // bytes that are left of a hash at the end of a packet
}

const confidentialityAES = 0x01 // table 13-19

// suites are tried in this order.
var suites = []suite{
	{id: 17, auth: 0x03, integrity: 0x04, hash: sha256.New, icv: 16},
	{id: 3, auth: 0x01, integrity: 0x01, hash: sha1.New, icv: 12},
}

func (s suite) mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(s.hash, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// errForeign is of a datagram that is no answer to what was asked.
var errForeign = errors.New("foreign datagram")

func foreign(why string) error { return fmt.Errorf("%w: %s", errForeign, why) }

// outside packs a payload that belongs to no session yet.
func outside(kind byte, payload []byte) []byte {
	p := append(bytes.Clone(rmcp), formatPlus, kind, 0, 0, 0, 0, 0, 0, 0, 0)
	p = binary.LittleEndian.AppendUint16(p, uint16(len(payload)))
	return append(p, payload...)
}

// fromOutside is the reverse of outside.
func fromOutside(packet []byte, kind byte) ([]byte, error) {
	head, payload, _, err := split(packet)
	switch {
	case err != nil:
		return nil, err
	case head[1] != kind:
		return nil, foreign("another payload")
	case binary.LittleEndian.Uint32(head[2:]) != 0:
		return nil, foreign("within a session")
	}
	return payload, nil
}

// split cuts an RMCP+ packet into its session header, payload and trailer.
func split(packet []byte) (head, payload, trailer []byte, err error) {
	if len(packet) < rmcpSize+headerSize || packet[0] != rmcp[0] || packet[3] != rmcp[3] {
		return nil, nil, nil, foreign("not RMCP of class IPMI")
	}
	head, rest := packet[rmcpSize:rmcpSize+headerSize], packet[rmcpSize+headerSize:]
	size := int(binary.LittleEndian.Uint16(head[10:]))
	if head[0] != formatPlus || size > len(rest) {
		return nil, nil, nil, foreign("not RMCP+, or cut short")
	}
	return head, rest[:size], rest[size:], nil
}

// legacy packs an IPMI message in the format of IPMI 1.5, without a session.
func legacy(message []byte) []byte {
	p := append(bytes.Clone(rmcp), formatNone, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(message)))
	return append(p, message...)
}

// fromLegacy is the reverse of legacy.
func fromLegacy(packet []byte) ([]byte, error) {
	if len(packet) < rmcpSize+legacySize || packet[0] != rmcp[0] || packet[3] != rmcp[3] || packet[rmcpSize] != formatNone {
		return nil, foreign("not IPMI 1.5 without a session")
	}
	size, rest := int(packet[rmcpSize+legacySize-1]), packet[rmcpSize+legacySize:]
	if size > len(rest) {
		return nil, foreign("cut short")
	}
	return rest[:size], nil
}

// A seal encrypts and authenticates the packets of one session.
type seal struct {
	suite suite
	k1    []byte
	block cipher.Block // keyed with the start of K2
}

// newSeal derives the keys of a session from its integrity key, IPMI 2.0
// section 13.32.
func newSeal(s suite, sik []byte) (*seal, error) {
	k2 := s.mac(sik, bytes.Repeat([]byte{2}, 20))
	block, err := aes.NewCipher(k2[:aes.BlockSize])
	if err != nil {
		return nil, err
	}
	return &seal{suite: s, k1: s.mac(sik, bytes.Repeat([]byte{1}, 20)), block: block}, nil
}

// pack makes a packet of an IPMI message. The iv must be fresh.
func (s *seal) pack(session, sequence uint32, message, iv []byte) []byte {
	// IPMI 2.0 table 13-20: the pad counts up from 1, then its length.
	plain := bytes.Clone(message)
	for i := byte(1); (len(plain)+1)%aes.BlockSize != 0; i++ {
		plain = append(plain, i)
	}
	plain = append(plain, byte(len(plain)-len(message)))
	cipher.NewCBCEncrypter(s.block, iv).CryptBlocks(plain, plain)

	p := append(bytes.Clone(rmcp), formatPlus, payloadIPMI|payloadAuthenticated|payloadEncrypted)
	p = binary.LittleEndian.AppendUint32(p, session)
	p = binary.LittleEndian.AppendUint32(p, sequence)
	p = binary.LittleEndian.AppendUint16(p, uint16(len(iv)+len(plain)))
	p = append(append(p, iv...), plain...)
	pad := 0
	for (len(p)-rmcpSize+2)%4 != 0 {
		p = append(p, 0xff)
		pad++
	}
	p = append(p, byte(pad), nextHeader)
	return append(p, s.suite.mac(s.k1, p[rmcpSize:])[:s.suite.icv]...)
}

// unpack returns the IPMI message of a packet that is authentic and belongs to
// the session; anything else is foreign. What is not encrypted and
// authenticated is not read at all.
func (s *seal) unpack(session uint32, packet []byte) ([]byte, error) {
	head, payload, trailer, err := split(packet)
	switch {
	case err != nil:
		return nil, err
	case head[1] != payloadIPMI|payloadAuthenticated|payloadEncrypted:
		return nil, foreign("not encrypted and authenticated")
	case binary.LittleEndian.Uint32(head[2:]) != session:
		return nil, foreign("another session")
	case len(trailer) < 2+s.suite.icv:
		return nil, foreign("no authentication code")
	}
	signed := packet[rmcpSize : len(packet)-s.suite.icv]
	if !hmac.Equal(s.suite.mac(s.k1, signed)[:s.suite.icv], packet[len(packet)-s.suite.icv:]) {
		return nil, foreign("wrong authentication code")
	}
	if len(payload) < 2*aes.BlockSize || len(payload)%aes.BlockSize != 0 {
		return nil, foreign("not whole blocks")
	}
	plain := bytes.Clone(payload[aes.BlockSize:])
	cipher.NewCBCDecrypter(s.block, payload[:aes.BlockSize]).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	if pad >= aes.BlockSize {
		return nil, foreign("impossible padding")
	}
	return plain[:len(plain)-1-pad], nil
}

// request packs a command, IPMI 2.0 section 13.8.
func request(cmd command, number byte, data []byte) []byte {
	m := []byte{bmcAddress, cmd.netFn << 2, 0, consoleAddress, number << 2, cmd.code}
	m[2] = checksum(m[:2])
	m = append(m, data...)
	return append(m, checksum(m[3:]))
}

// answer returns completion code and data of the answer to a request; any
// other message is foreign.
func answer(cmd command, number byte, m []byte) (code byte, data []byte, err error) {
	switch {
	case len(m) < answerSize:
		return 0, nil, foreign("message cut short")
	case checksum(m[:3]) != 0 || checksum(m[3:]) != 0:
		return 0, nil, foreign("wrong checksum")
	case m[1]>>2 != cmd.netFn|1 || m[4]>>2 != number || m[5] != cmd.code:
		return 0, nil, foreign("answer to another request")
	}
	return m[6], m[7 : len(m)-1], nil
}

// checksum makes the sum of all bytes with it zero.
func checksum(b []byte) byte {
	var sum byte
	for _, c := range b {
		sum -= c
	}
	return sum
}
