package smart

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of Linux: include/uapi/linux/nvme_ioctl.h and include/scsi/sg.h. MIPS
// and PowerPC put the direction of an _IOWR elsewhere, but both bits are set in
// each, so that the number is the same.
const (
	nvmeAdmin = 0xc0484e41 // NVME_IOCTL_ADMIN_CMD, _IOWR('N', 0x41, 72 bytes)
	sgIO      = 0x2285     // SG_IO
)

// kernelWait is what the kernel gives a SCSI command. Beyond it the kernel
// resets the device, and then the bus, with whatever else is on it: so this is
// far more than any drive needs, and patience ends elsewhere (rounds leaves a
// source behind that does not return). smartmontools waits as long. NVMe
// commands keep the kernel's own wait for the same reason.
const kernelWait = 60 * 1000 // ms

// A file is an open device.
type file struct{ *os.File }

func openDevice(name string) (file, error) {
	// Not to wait for a medium; and read-only, since no command of ours writes.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	return file{f}, err
}

// nvmeCommand is struct nvme_passthru_cmd.
type nvmeCommand struct {
	opcode, flags uint8
	_             uint16
	nsid          uint32
	_, _          uint32 // cdw2, cdw3
	_             uint64 // metadata
	addr          uint64
	_, length     uint32 // of metadata, of data
	cdw10         uint32
	_             [5]uint32 // cdw11 to 15
	timeout       uint32    // ms; 0: the kernel's own
	_             uint32    // result
}

// admin sends an NVMe admin command that reads.
func (f file) admin(opcode uint8, nsid, cdw10 uint32, page []byte) error {
	var pin runtime.Pinner // the kernel writes through an address that is a number here
	defer pin.Unpin()
	pin.Pin(&page[0])
	c := nvmeCommand{
		opcode: opcode, nsid: nsid, cdw10: cdw10, length: uint32(len(page)),
		addr: uint64(uintptr(unsafe.Pointer(&page[0]))),
	}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), nvmeAdmin, uintptr(unsafe.Pointer(&c)))
	switch {
	case errno != 0:
		return fmt.Errorf("NVMe admin command %02xh: %w", opcode, errno)
	case status != 0: // what the drive itself answered
		return fmt.Errorf("NVMe admin command %02xh: the drive answers status %03xh", opcode, status)
	}
	return nil
}

// sgHeader is struct sg_io_hdr.
type sgHeader struct {
	interfaceID    int32
	direction      int32
	cmdLen, mxSB   uint8
	_              uint16 // iovec_count
	length         uint32
	data, cdb      uintptr
	sense          uintptr
	timeout        uint32
	_, _           uint32 // flags, pack_id
	_              uintptr
	status, _      uint8 // masked_status
	_, senseLen    uint8 // msg_status
	host, driver   uint16
	resid          int32
	duration, info uint32
}

// Of sg_io_hdr.
const (
	sgNone       = -1
	sgFromDevice = -3
	senseSize    = 32
)

// scsi sends a SCSI command that reads, or that moves no data.
func (f file) scsi(cdb, data []byte) (reply, error) {
	var sense [senseSize]byte
	h := sgHeader{
		interfaceID: 'S', direction: sgNone, cmdLen: uint8(len(cdb)), mxSB: senseSize, timeout: kernelWait,
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&cdb[0])
	pin.Pin(&sense)
	h.cdb, h.sense = uintptr(unsafe.Pointer(&cdb[0])), uintptr(unsafe.Pointer(&sense))
	if len(data) > 0 {
		pin.Pin(&data[0])
		h.direction, h.length, h.data = sgFromDevice, uint32(len(data)), uintptr(unsafe.Pointer(&data[0]))
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), sgIO, uintptr(unsafe.Pointer(&h))); errno != 0 {
		return reply{}, errno
	}
	return reply{
		status: h.status, host: h.host, driver: h.driver,
		got: len(data) - int(h.resid), sense: sense[:min(int(h.senseLen), senseSize)],
	}, nil
}
