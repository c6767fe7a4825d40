package i2c

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/d2r2/go-i2c"
	"github.com/d2r2/go-logger"
	"golang.org/x/sys/unix"
)

// A conn is a chip at its address, for as long as nobody else has it.
type conn interface {
	// register reads a register of 8 bits, or of 16 with the higher byte first.
	register(at uint8, wide bool) (uint16, error)
	write(b []byte) error
	read(b []byte) error
	pause(d time.Duration)
	Close() error
}

// Why an address is not touched, or does not answer.
var (
	errDriver = errors.New("a kernel driver has the address")
	errPlain  = errors.New("the adapter speaks SMBus only, and the chip does not")
	errNoBus  = errors.New("no such bus: modprobe i2c-dev; i2cdetect -l lists them")
)

// Requests of i2c-dev: include/uapi/linux/i2c-dev.h.
const (
	reqSlave = 0x0703 // I2C_SLAVE, which fails with EBUSY where a driver is bound
	reqFuncs = 0x0705 // I2C_FUNCS
	reqSMBus = 0x0720 // I2C_SMBUS
)

// What an adapter can do: include/uapi/linux/i2c.h.
const (
	canPlain    = 0x00000001
	canSMBus    = canByteData | canWordData
	canByteData = 0x00080000 // I2C_FUNC_SMBUS_READ_BYTE_DATA
	canWordData = 0x00200000 // I2C_FUNC_SMBUS_READ_WORD_DATA
)

// Of struct i2c_smbus_ioctl_data.
const (
	smbusWrite    = 0
	smbusRead     = 1
	smbusByte     = 1
	smbusByteData = 2
	smbusWordData = 3
	smbusRoom     = 34 // union i2c_smbus_data
)

// A device is a chip by i2c-dev. Registers are read by SMBus transactions, which
// every adapter has or the kernel makes up: one transfer with a repeated start,
// in which no other master and no other program can move the chip's pointer.
// go-i2c, whose register calls are write, stop and read, carries plain bytes.
type device struct {
	plain *i2c.I2C // nil: the adapter has no plain I2C
	dev   *os.File
	smbus bool
}

// open opens a chip of the bus with a number. sys is where sysfs is mounted.
func open(sys string, bus int, addr uint8) (conn, error) {
	if err := claimed(sys, bus, addr); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(fmt.Sprintf("/dev/i2c-%d", bus), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNoBus
	}
	if err != nil {
		return nil, err
	}
	d := &device{dev: f}
	if err := d.claim(bus, addr); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// claim takes the address, unless a driver has it.
func (d *device) claim(bus int, addr uint8) error {
	err := ioctl(d.dev, reqSlave, uintptr(addr))
	if errors.Is(err, unix.EBUSY) {
		return errDriver
	}
	if err != nil {
		return err
	}
	var can uintptr // an unsigned long
	if err := ioctl(d.dev, reqFuncs, uintptr(unsafe.Pointer(&can))); err != nil {
		return err
	}
	d.smbus = can&canSMBus == canSMBus
	if can&canPlain == 0 {
		return nil
	}
	// It logs every byte unless told otherwise.
	if err := logger.ChangePackageLogLevel("i2c", logger.InfoLevel); err != nil {
		return err
	}
	d.plain, err = i2c.NewI2C(addr, bus)
	return err
}

// claimed says whether a driver is bound to an address, and which.
func claimed(sys string, bus int, addr uint8) error {
	link, err := os.Readlink(fmt.Sprintf("%s/bus/i2c/devices/%d-%04x/driver", sys, bus, addr))
	if err != nil {
		return nil // neither a device there, nor a driver for it
	}
	return fmt.Errorf("%w: %s; its readings are in hwmon", errDriver, filepath.Base(link))
}

// Close gives the address back.
func (d *device) Close() error {
	err := d.dev.Close()
	if d.plain != nil {
		err = errors.Join(err, d.plain.Close())
	}
	return err
}

func (d *device) pause(t time.Duration) { time.Sleep(t) }

func (d *device) register(at uint8, wide bool) (uint16, error) {
	size := uint32(smbusByteData)
	if wide {
		size = smbusWordData
	}
	if d.smbus {
		w, err := d.transfer(smbusRead, at, size)
		if wide {
			w = w<<8 | w>>8 // SMBus sends the lower byte first, these chips the higher
		}
		return w, err
	}
	if d.plain == nil {
		return 0, errPlain
	}
	b, n, err := d.plain.ReadRegBytes(at, int(size)-1)
	switch {
	case err != nil:
		return 0, err
	case n != int(size)-1:
		return 0, fmt.Errorf("register %02xh: %d bytes came", at, n)
	case wide:
		return uint16(b[0])<<8 | uint16(b[1]), nil
	}
	return uint16(b[0]), nil
}

func (d *device) write(b []byte) error {
	if d.plain == nil && len(b) == 1 {
		_, err := d.transfer(smbusWrite, b[0], smbusByte)
		return err
	}
	if d.plain == nil {
		return errPlain
	}
	n, err := d.plain.WriteBytes(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("%d of %d bytes were taken", n, len(b))
	}
	return err
}

func (d *device) read(b []byte) error {
	if d.plain == nil {
		for i := range b {
			w, err := d.transfer(smbusRead, 0, smbusByte)
			if err != nil {
				return err
			}
			b[i] = uint8(w)
		}
		return nil
	}
	n, err := d.plain.ReadBytes(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("%d of %d bytes came", n, len(b))
	}
	return err
}

// smbusRequest is struct i2c_smbus_ioctl_data.
type smbusRequest struct {
	direction, command uint8
	size               uint32
	data               unsafe.Pointer
}

// transfer makes one SMBus transaction.
func (d *device) transfer(direction, command uint8, size uint32) (uint16, error) {
	var room [smbusRoom]byte
	err := d.send(&smbusRequest{direction: direction, command: command, size: size}, &room)
	if size == smbusWordData { // a __u16 of this machine
		return binary.NativeEndian.Uint16(room[:]), err
	}
	return uint16(room[0]), err
}

func (d *device) send(request *smbusRequest, room *[smbusRoom]byte) error {
	var pin runtime.Pinner // the kernel writes through an address within a struct
	defer pin.Unpin()
	pin.Pin(room)
	request.data = unsafe.Pointer(room)
	return ioctl(d.dev, reqSMBus, uintptr(unsafe.Pointer(request)))
}

//go:uintptrescapes
func ioctl(f *os.File, request uint, arg uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), arg)
	if errno != 0 {
		return errno
	}
	return nil
}

// maxBuses bounds the search for an adapter's name.
const maxBuses = 256

// number finds a bus by its number ("1", "i2c-1") or by the whole name of its
// adapter, which stays when buses are numbered anew: i2cdetect -l shows both.
func number(sys, name string) (int, error) {
	if n, err := strconv.ParseUint(strings.TrimPrefix(name, "i2c-"), 10, 16); err == nil {
		return int(n), nil
	}
	files, err := filepath.Glob(sys + "/bus/i2c/devices/i2c-*/name")
	if err != nil {
		return 0, err
	}
	found := -1
	for _, file := range files[:min(len(files), maxBuses)] {
		text, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(text)) != name {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(file)), "i2c-"))
		if err != nil {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("both bus %d and bus %d are called %q: give the number", found, n, name)
		}
		found = n
	}
	if found < 0 {
		return 0, fmt.Errorf("no adapter is called %q: %w", name, errNoBus)
	}
	return found, nil
}
