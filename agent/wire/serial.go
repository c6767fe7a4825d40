package wire

import (
	"fmt"
	"slices"
)

// MaxSerial is the longest a payload of MaxFrame bytes can become on a serial
// line: a checksum of 2, a COBS code byte per 254 bytes and the delimiter.
const MaxSerial = MaxFrame + 2 + (MaxFrame+2)/254 + 1 + 1

const delimiter = 0x00

// crcTable is CRC-16/X-25 (polynomial 0x1021 reflected), the FCS of PPP in
// HDLC-like framing: RFC 1662 appendix C.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i)
		for range 8 {
			crc = crc>>1 ^ crc&1*0x8408
		}
		t[i] = crc
	}
	return t
}()

// checksum returns the CRC-16/X-25 of p: 0x906e for "123456789".
func checksum(p []byte) uint16 {
	crc := ^uint16(0)
	for _, b := range p {
		crc = crc>>8 ^ crcTable[byte(crc)^b]
	}
	return ^crc
}

// AppendSerial appends a payload of at most MaxFrame bytes as it travels on a
// serial line: payload and CRC (low byte first) in COBS (Cheshire and Baker
// 1999), then 0x00, which appears nowhere else. It does not allocate if dst has
// room for MaxSerial bytes.
func AppendSerial(dst, payload []byte) []byte {
	if len(payload) > MaxFrame {
		panic(fmt.Sprintf("wire: payload of %d bytes", len(payload)))
	}
	dst = slices.Grow(dst, MaxSerial)
	crc := checksum(payload)
	code := len(dst) // where the length of the running block goes
	dst = append(dst, 1)
	put := func(b byte) {
		if dst[code] == 255 { // a full block: no zero is implied after it
			code = len(dst)
			dst = append(dst, 1)
		}
		if b == 0 {
			code = len(dst)
			dst = append(dst, 1)
			return
		}
		dst = append(dst, b)
		dst[code]++
	}
	for _, b := range payload {
		put(b)
	}
	put(byte(crc))
	put(byte(crc >> 8))
	return append(dst, delimiter)
}

// A Deframer finds payloads in the bytes of a serial line. It starts anew at
// every 0x00, so noise costs at most the one frame it touches and the next. The
// zero value is ready; it belongs to one goroutine and never allocates.
type Deframer struct {
	Good      uint64 // payloads handed on
	CRCErrors uint64 // frames with a wrong checksum or broken COBS
	Overlong  uint64 // runs of more than MaxSerial bytes without a delimiter
	Empty     uint64 // two delimiters in a row

	buf  [MaxSerial]byte
	n    int
	skip bool // the run was overlong: drop all up to the next delimiter
}

// Write takes in what was read and calls emit for every payload with a correct
// checksum. The payload is valid only during the call.
func (d *Deframer) Write(p []byte, emit func(payload []byte)) {
	for _, b := range p {
		switch {
		case b == delimiter:
			d.end(emit)
		case d.skip:
		case d.n == len(d.buf):
			d.skip = true
			d.Overlong++
		default:
			d.buf[d.n] = b
			d.n++
		}
	}
}

// Reset forgets a half-read frame but not the counters: for a reopened port.
func (d *Deframer) Reset() { d.n, d.skip = 0, false }

func (d *Deframer) end(emit func(payload []byte)) {
	n, skip := d.n, d.skip
	d.Reset()
	if skip {
		return
	}
	if n == 0 {
		d.Empty++
		return
	}
	p, ok := unstuff(d.buf[:n])
	if !ok || len(p) < 2 || len(p)-2 > MaxFrame {
		d.CRCErrors++
		return
	}
	p, sum := p[:len(p)-2], p[len(p)-2:]
	if crc := checksum(p); sum[0] != byte(crc) || sum[1] != byte(crc>>8) {
		d.CRCErrors++
		return
	}
	d.Good++
	emit(p)
}

// unstuff undoes COBS in place. It refuses the empty last block that a sloppy
// encoder puts after a full one: every payload has exactly one encoding.
func unstuff(b []byte) ([]byte, bool) {
	out := b[:0]
	full := false
	for len(b) > 0 {
		code := int(b[0])
		if code == 0 || code > len(b) || full && code == 1 && len(b) == 1 {
			return nil, false
		}
		out = append(out, b[1:code]...)
		b = b[code:]
		full = code == 255
		if !full && len(b) > 0 {
			out = append(out, 0)
		}
	}
	return out, true
}
