package ipmi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Limits of reading an inventory.
const (
	readSize = 16  // bytes of one Read FRU Data: every BMC can do that many
	maxArea  = 512 // bytes of one area; a longer one is not read
)

// errInventory is of a box without an inventory that can be read.
var errInventory = errors.New("no inventory")

// A inventory is what FRU device 0 says of the box; empty fields are not told.
type inventory struct{ maker, product, serial string }

// inventory reads FRU device 0, IPMI 2.0 section 34: its product area, or the
// board's if there is none.
func (s *session) inventory(ctx context.Context) (inventory, error) {
	info, err := s.do(ctx, getFRUInfo, []byte{0})
	if err != nil {
		return inventory{}, err
	}
	if len(info) < 3 || info[2]&1 != 0 { // accessed by words: no BMC has that any more
		return inventory{}, errInventory
	}
	size := int(binary.LittleEndian.Uint16(info))
	head, err := s.fru(ctx, 0, 8, size)
	if err != nil {
		return inventory{}, err
	}
	board, product, err := areas(head)
	if err != nil {
		return inventory{}, err
	}
	var all inventory
	for _, area := range []struct{ at, skip int }{{product, 3}, {board, 6}} {
		if area.at == 0 || all.serial != "" {
			continue
		}
		data, err := s.area(ctx, area.at, size)
		if err != nil {
			return inventory{}, err
		}
		all = all.or(describe(data, area.skip))
	}
	return all, nil
}

// or fills the empty fields of i from other.
func (i inventory) or(other inventory) inventory {
	for _, f := range []struct{ to, from *string }{
		{&i.maker, &other.maker},
		{&i.product, &other.product},
		{&i.serial, &other.serial},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	return i
}

// area reads a whole area; its second byte is its length in units of 8 bytes.
func (s *session) area(ctx context.Context, at, size int) ([]byte, error) {
	head, err := s.fru(ctx, at, 2, size)
	if err != nil {
		return nil, err
	}
	length := 8 * int(head[1])
	if length < 8 || length > maxArea {
		return nil, fmt.Errorf("%w: an area of %d bytes", errInventory, length)
	}
	return s.fru(ctx, at, length, size)
}

// fru reads length bytes at an offset, IPMI 2.0 section 34.2.
func (s *session) fru(ctx context.Context, at, length, size int) ([]byte, error) {
	if at+length > size {
		return nil, fmt.Errorf("%w: %d bytes at %d of %d", errInventory, length, at, size)
	}
	var out []byte
	for len(out) < length {
		from, want := at+len(out), min(readSize, length-len(out))
		in, err := s.do(ctx, readFRU, []byte{0, byte(from), byte(from >> 8), byte(want)})
		if err != nil {
			return nil, err
		}
		if len(in) < 2 || int(in[0]) != len(in)-1 || len(in)-1 > want {
			return nil, fmt.Errorf("%w: % x in answer to a read of %d bytes", errInventory, in, want)
		}
		out = append(out, in[1:]...)
	}
	return out, nil
}

// areas returns where the areas of board and product begin, 0 for none, by the
// common header (Platform Management FRU Information Storage Definition 1.0,
// section 8).
func areas(head []byte) (board, product int, err error) {
	if len(head) < 8 || head[0]&0x0f != 1 || checksum(head[:8]) != 0 {
		return 0, 0, fmt.Errorf("%w: header % x", errInventory, head)
	}
	return 8 * int(head[3]), 8 * int(head[4]), nil
}

// describe makes an inventory of a product area, whose fields begin after 3
// bytes, or a board area, whose fields begin after 6 (same text, sections 11
// and 12). What does not fit gives empty fields.
func describe(area []byte, skip int) inventory {
	if len(area) < skip || checksum(area) != 0 {
		return inventory{}
	}
	var fields [5]string
	rest := area[skip:]
	for i := range fields {
		if len(rest) == 0 || rest[0] == 0xc1 || int(rest[0]&0x3f) >= len(rest) {
			break // the end, or a field that leaves the area
		}
		size := 1 + int(rest[0]&0x3f)
		fields[i] = text(rest[0]>>6, rest[1:size])
		rest = rest[size:]
	}
	if skip == 3 {
		return inventory{maker: fields[0], product: fields[1], serial: fields[4]}
	}
	return inventory{maker: fields[0], product: fields[1], serial: fields[2]}
}

// text decodes a field by its type, same text, section 13: binary (shown in
// hex), BCD plus, packed 6-bit ASCII, or Latin 1.
func text(kind byte, field []byte) string {
	var b strings.Builder
	switch kind {
	case 0:
		if len(bytes.Trim(field, "\x00")) > 0 {
			fmt.Fprintf(&b, "%x", field)
		}
	case 1:
		for _, c := range field {
			b.WriteByte("0123456789 -.   "[c>>4])
			b.WriteByte("0123456789 -.   "[c&0x0f])
		}
	case 2:
		for bit := 0; bit+6 <= 8*len(field); bit += 6 {
			c := uint(field[bit/8]) >> (bit % 8)
			if bit%8 > 2 {
				c |= uint(field[bit/8+1]) << (8 - bit%8)
			}
			b.WriteByte(byte(c&0x3f) + ' ')
		}
	default:
		for _, c := range field {
			if c >= ' ' && c < 0x7f || c >= 0xa0 {
				b.WriteRune(rune(c))
			}
		}
	}
	return strings.TrimSpace(b.String())
}
