package smart

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A fake answers as it was told to, or lies.
type fake struct {
	identity, data, limits []byte
	controller, log        []byte
	mode                   uint8 // power mode
	failing                bool  // SMART status
	registers              bool  // whether they come back

	lie    func(cdb []byte, r *reply) error // after the answer was made
	asked  []uint8                          // ATA commands, in order
	long   bool                             // knows the CDB of 16 bytes
	short  bool                             // and that of 12
	closed int
}

func (d *fake) Close() error { d.closed++; return nil }

func (d *fake) admin(opcode uint8, _, cdw10 uint32, page []byte) error {
	switch {
	case opcode == opIdentify && cdw10 == getController && d.controller != nil:
		copy(page, d.controller)
	case opcode == opGetLog && cdw10 == 0x7f0002 && d.log != nil:
		copy(page, d.log)
	default:
		return unix.EIO
	}
	return nil
}

// illegal is the sense of a command that a bridge does not know.
var illegal = []byte{0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0}

func (d *fake) scsi(cdb, data []byte) (reply, error) {
	var op, feature uint8
	switch {
	case cdb[0] == passThrough16 && d.long && len(cdb) == 16:
		op, feature = cdb[14], cdb[4]
	case cdb[0] == passThrough12 && d.short && len(cdb) == 12:
		op, feature = cdb[9], cdb[3]
	default:
		return reply{status: checkCondition, driver: 8, got: 0, sense: illegal}, nil
	}
	d.asked = append(d.asked, op)
	r := reply{got: len(data)}
	regs := registers{status: 0x50}
	switch {
	case op == 0xec:
		copy(data, d.identity)
	case op == 0xe5:
		regs.count = d.mode
	case op == 0xb0 && feature == 0xd0:
		copy(data, d.data)
	case op == 0xb0 && feature == 0xd1 && d.limits != nil:
		copy(data, d.limits)
	case op == 0xb0 && feature == 0xda:
		regs.mid, regs.high = 0x4f, 0xc2
		if d.failing {
			regs.mid, regs.high = failingMid, failingHigh
		}
	default:
		regs.status, regs.errors = 0x51, 4 // aborted
		r.status, r.driver, r.got = checkCondition, 8, 0
		r.sense = ataSense(0x0b, regs)
	}
	if cdb[2]&wantRegisters != 0 && d.registers {
		r.status, r.driver, r.sense = checkCondition, 8, ataSense(keyRecovered, regs)
	}
	if d.lie != nil {
		return r, d.lie(cdb, &r)
	}
	return r, nil
}

// ataSense is sense data with the ATA status return descriptor, SAT-3 table 137.
func ataSense(key uint8, r registers) []byte {
	return []byte{
		0x72, key, 0, 0x1d, 0, 0, 0, 14,
		ataReturn, 12, 0, r.errors, 0, r.count, 0, 0, 0, r.mid, 0, r.high, 0, r.status,
	}
}

// identityPage is an IDENTIFY DEVICE of a drive with SMART switched on.
func identityPage(model, serial string, solid bool) []byte {
	p := make([]byte, pageSize)
	text := func(word, words int, s string) {
		for i := range 2 * words {
			c := byte(' ')
			if i < len(s) {
				c = s[i]
			}
			p[2*word+i^1] = c
		}
	}
	text(wordSerial, 10, serial)
	text(wordFirmware, 4, "1.0")
	text(wordModel, 20, model)
	word := func(n int, v uint16) { binary.LittleEndian.PutUint16(p[2*n:], v) }
	word(wordSupported, 1)
	word(wordSupported+1, 1<<14)
	word(wordEnabled, 1)
	if solid {
		word(wordRotation, 1)
	}
	word(wordIntegrity, 0xa5)
	return summed(p)
}

// summed sets the last byte so that the sum is zero.
func summed(p []byte) []byte {
	p[pageSize-1] = 0
	p[pageSize-1] = -sum(p)
	return p
}

// attributes makes a page of SMART data.
func attributes(rows ...Attribute) []byte {
	p := make([]byte, pageSize)
	p[0] = 16
	for i, a := range rows {
		r := p[rowsAt+i*rowSize:]
		r[0], r[3], r[4] = a.ID, a.Value, a.Worst
		if a.Prefail {
			r[1] = 1
		}
		for b := range 6 {
			r[5+b] = byte(a.Raw >> (8 * b))
		}
	}
	return summed(p)
}

// limitsOf makes the page of their thresholds.
func limitsOf(rows ...Attribute) []byte {
	p := make([]byte, pageSize)
	p[0] = 16
	for i, a := range rows {
		p[rowsAt+i*rowSize], p[rowsAt+i*rowSize+1] = a.ID, a.Threshold
	}
	return summed(p)
}
