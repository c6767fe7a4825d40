package serial

import "hash/crc32"

// The tests frame by themselves, so that they do not depend on package wire:
// COBS with a CRC-32 and a final zero.

func testFrame(dst, payload []byte) []byte {
	sum := crc32.ChecksumIEEE(payload)
	body := append(append([]byte(nil), payload...), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	code := len(dst)
	dst = append(dst, 0)
	for _, b := range body { // payloads of the tests are shorter than 254 bytes
		if b == 0 {
			dst[code] = byte(len(dst) - code)
			code = len(dst)
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, b)
	}
	dst[code] = byte(len(dst) - code)
	return append(dst, 0)
}

type testDeframer struct {
	buf  []byte
	body []byte
	bad  uint64
}

func (d *testDeframer) Errors() uint64 { return d.bad }

func (d *testDeframer) Write(p []byte, emit func([]byte)) {
	for _, b := range p {
		if b != 0 {
			if len(d.buf) < 600 {
				d.buf = append(d.buf, b)
			}
			continue
		}
		if len(d.buf) > 0 {
			d.frame(emit)
		}
		d.buf = d.buf[:0]
	}
}

func (d *testDeframer) frame(emit func([]byte)) {
	d.body = d.body[:0]
	for i := 0; i < len(d.buf); {
		next := i + int(d.buf[i])
		if next > len(d.buf) {
			d.bad++
			return
		}
		d.body = append(d.body, d.buf[i+1:next]...)
		if i = next; i < len(d.buf) {
			d.body = append(d.body, 0)
		}
	}
	n := len(d.body) - 4
	if n < 0 {
		d.bad++
		return
	}
	t := d.body[n:]
	if crc32.ChecksumIEEE(d.body[:n]) != uint32(t[0])<<24|uint32(t[1])<<16|uint32(t[2])<<8|uint32(t[3]) {
		d.bad++
		return
	}
	emit(d.body[:n])
}
