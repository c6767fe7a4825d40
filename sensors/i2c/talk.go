package i2c

import (
	"errors"
	"fmt"
	"time"
)

// errCRC says that what came was damaged on its way.
var errCRC = errors.New("checksum is wrong")

// PCF8591's control byte: the input in the two lowest bits, single-ended, the
// output off.
const pcfInputs = 4

// pcf8591 asks for each input in turn. The first byte that a read gives is the
// conversion before it, the second is the one that was asked for.
func pcf8591(c conn, p params) ([]float64, error) {
	var out []float64
	for input := range uint8(pcfInputs) {
		if err := c.write([]byte{input}); err != nil {
			return nil, err
		}
		var b [2]byte
		if err := c.read(b[:]); err != nil {
			return nil, err
		}
		out = append(out, float64(b[1])*p.vref/256)
	}
	return out, nil
}

// SHT3x: one measurement of high repeatability without clock stretching, and
// the longest time it takes (table 4).
var shtMeasure = []byte{0x24, 0x00}

const shtTakes = 16 * time.Millisecond

func sht3x(c conn, _ params) ([]float64, error) {
	if err := c.write(shtMeasure); err != nil {
		return nil, err
	}
	c.pause(shtTakes)
	var b [6]byte
	if err := c.read(b[:]); err != nil {
		return nil, err
	}
	return decodeSHT(b)
}

// decodeSHT reads two words, each with its checksum.
func decodeSHT(b [6]byte) ([]float64, error) {
	for i := 0; i < len(b); i += 3 {
		if got := crc8(b[i : i+2]); got != b[i+2] {
			return nil, fmt.Errorf("word %d: %w", i/3, errCRC)
		}
	}
	word := func(i int) float64 { return float64(uint16(b[i])<<8 | uint16(b[i+1])) }
	return []float64{-45 + 175*word(0)/65535, 100 * word(3) / 65535}, nil
}

// crc8 is that of SHT3x, table 20: polynomial 31h, initial value FFh.
func crc8(b []byte) uint8 {
	crc := uint8(0xff)
	for _, v := range b {
		crc ^= v
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x31
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
