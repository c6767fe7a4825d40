package smart

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A reply is what a SCSI device and the way to it said.
type reply struct {
	status       uint8  // of SCSI
	host, driver uint16 // of Linux's SCSI layer
	got          int    // bytes of data that came
	sense        []byte
}

// A bus carries SCSI commands to one device.
type bus interface {
	scsi(cdb, data []byte) (reply, error)
}

// A command is one of ATA, which reads 512 bytes or moves no data.
type command struct {
	op, feature uint8
	mid, high   uint8 // of the LBA
	reads       bool
	registers   bool // the answer is in the registers
}

// Commands of ATA (ACS-3, section 7), and SMART's key in the LBA.
var (
	identify   = command{op: 0xec, reads: true}
	powerMode  = command{op: 0xe5, registers: true}
	smartData  = command{op: 0xb0, feature: 0xd0, mid: 0x4f, high: 0xc2, reads: true}
	thresholds = command{op: 0xb0, feature: 0xd1, mid: 0x4f, high: 0xc2, reads: true}
	status     = command{op: 0xb0, feature: 0xda, mid: 0x4f, high: 0xc2, registers: true}
)

// Of the SCSI / ATA translation, SAT-3 section 12.2.
const (
	passThrough16 = 0x85
	passThrough12 = 0xa1

	protocolNone  = 3 << 1 // moves no data
	protocolPIOIn = 4 << 1
	lengthInCount = 0x02 // T_LENGTH: the sector count says how much
	inBlocks      = 0x04 // BYT_BLOK: it counts sectors
	fromDevice    = 0x08 // T_DIR
	wantRegisters = 0x20 // CK_COND
)

// cdb16 and cdb12 wrap a command.
func (c command) cdb16() []byte {
	protocol, flags, count := c.wrap()
	return []byte{passThrough16, protocol, flags, 0, c.feature, 0, count, 0, 0, 0, c.mid, 0, c.high, 0, c.op, 0}
}

func (c command) cdb12() []byte {
	protocol, flags, count := c.wrap()
	return []byte{passThrough12, protocol, flags, c.feature, count, 0, c.mid, c.high, 0, c.op, 0, 0}
}

func (c command) wrap() (protocol, flags, count uint8) {
	protocol = protocolNone
	if c.reads {
		protocol, flags, count = protocolPIOIn, lengthInCount|inBlocks|fromDevice, 1
	}
	if c.registers {
		flags |= wantRegisters
	}
	return protocol, flags, count
}

// Registers are what a drive leaves behind after a command.
type registers struct{ status, errors, count, mid, high uint8 }

// errNoRegisters: the way to the drive keeps them to itself, as most USB bridges
// do, and kernels before 6.11 that put them where SAT does not.
var errNoRegisters = errors.New("no registers came back")

// Sense data: SPC-4 section 4.5.
const (
	checkCondition = 0x02
	senseInBytes   = 0x72 // descriptor format, current
	senseFixed     = 0x70
	keyNone        = 0
	keyRecovered   = 1
	keyIllegal     = 5
	ataReturn      = 0x09 // descriptor with the registers
	ataReturnSize  = 14
)

// key returns the sense key, and the additional code.
func (r reply) key() (key, code uint8) {
	switch {
	case len(r.sense) >= 4 && r.sense[0]&0x7f == senseInBytes:
		return r.sense[1] & 0x0f, r.sense[2]
	case len(r.sense) >= 13 && r.sense[0]&0x7f == senseFixed:
		return r.sense[2] & 0x0f, r.sense[12]
	}
	return keyNone, 0
}

// registers finds them among the descriptors.
func (r reply) registers() (registers, error) {
	if len(r.sense) < 8 || r.sense[0]&0x7f != senseInBytes {
		return registers{}, errNoRegisters
	}
	for d := r.sense[8:]; len(d) >= 2; d = d[min(len(d), 2+int(d[1])):] {
		if d[0] == ataReturn && len(d) >= ataReturnSize && d[1] == ataReturnSize-2 {
			return registers{errors: d[3], count: d[5], mid: d[9], high: d[11], status: d[13]}, nil
		}
	}
	return registers{}, errNoRegisters
}

// err says what became of a command, nil if it was carried out.
func (r reply) err(c command) error {
	key, code := r.key()
	const driverSense, ataError = 0x08, 0x01
	switch {
	case r.host != 0 || r.driver&^driverSense != 0:
		return fmt.Errorf("%w: host status %02xh, driver status %02xh", unix.EIO, r.host, r.driver)
	case r.status == checkCondition && key == keyIllegal:
		return fmt.Errorf("%w (sense %x/%02x)", ErrNoPassThrough, key, code)
	case r.status == checkCondition && key != keyNone && key != keyRecovered:
		return fmt.Errorf("%w: ATA command %02xh failed (sense %x/%02x)", unix.EIO, c.op, key, code)
	case r.status != 0 && r.status != checkCondition:
		return fmt.Errorf("%w: SCSI status %02xh", unix.EIO, r.status)
	case r.status == checkCondition && !c.registers && key == keyNone:
		return fmt.Errorf("%w: check condition without a reason", unix.EIO)
	}
	if regs, err := r.registers(); err == nil && regs.status&ataError != 0 {
		return fmt.Errorf("%w: ATA command %02xh: status %02xh, error %02xh", unix.EIO, c.op, regs.status, regs.errors)
	}
	return nil
}

// A disk is an ATA drive behind a bus.
type disk struct {
	bus
	twelve bool // the bridge knows only the short form
}

// do sends a command, and falls back to the short form where the long one is
// not known. 12 bytes mean something else to a CD drive; none comes here.
func (d *disk) do(c command) (page []byte, regs registers, err error) {
	if c.reads {
		page = make([]byte, pageSize)
	}
	r, err := d.send(c, page)
	if errors.Is(err, ErrNoPassThrough) && !d.twelve && c.op == identify.op {
		d.twelve = true
		if r, err = d.send(c, page); err != nil {
			d.twelve = false
		}
	}
	if err != nil {
		return nil, regs, err
	}
	if c.reads {
		if r.got < pageSize {
			return nil, regs, fmt.Errorf("%w: %d bytes came", ErrShort, r.got)
		}
		return page, regs, nil
	}
	regs, err = r.registers()
	return nil, regs, err
}

func (d *disk) send(c command, page []byte) (reply, error) {
	cdb := c.cdb16()
	if d.twelve {
		cdb = c.cdb12()
	}
	r, err := d.scsi(cdb, page)
	switch {
	case errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP):
		return r, fmt.Errorf("%w (%w)", ErrNoPassThrough, err) // mmcblk, virtio: no SCSI behind it
	case err != nil:
		return r, err
	}
	return r, r.err(c)
}

// Power modes: ACS-3, table 42.
const (
	modeStandby  = 0x00
	modeStandbyY = 0x01
)

// asleep says whether reading would wake the drive. One that does not tell is awake.
func (d *disk) asleep() bool {
	_, regs, err := d.do(powerMode)
	return err == nil && (regs.count == modeStandby || regs.count == modeStandbyY)
}

// The LBA after SMART RETURN STATUS: unchanged, or turned into this.
const (
	failingMid  = 0xf4
	failingHigh = 0x2c
)

// failing is the drive's own verdict; false where it does not tell.
func (d *disk) failing() bool {
	_, regs, err := d.do(status)
	return err == nil && regs.mid == failingMid && regs.high == failingHigh
}
