package i2c

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/sensors"
)

const sys = "/sys"

// adapter returns the bus whose adapter's name starts so.
func adapter(t *testing.T, name string) int {
	t.Helper()
	for _, n := range adapters(name) {
		return n
	}
	t.Skipf("no adapter %q here; tests/vm has one", name)
	return 0
}

func adapters(name string) (all []int) {
	files, _ := filepath.Glob(sys + "/bus/i2c/devices/i2c-*/name")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if !strings.HasPrefix(string(b), name) {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(f)), "i2c-")); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// set writes a register of a stub, as no code but a test's does.
func set(t *testing.T, bus int, addr, at uint8, wide bool, v uint16) {
	t.Helper()
	c, err := open(sys, bus, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.(*device).put(at, wide, v); err != nil {
		t.Fatal(err)
	}
}

// compared are chips at addresses of the stub with what their registers hold,
// and what the kernel's own driver calls it: chip, driver and the values in
// hwmon's units. tests/vm/chips_test.go says where the stub has registers.
var compared = []struct {
	chip, driver string
	addr         uint8
	words        map[uint8]uint16 // registers of 16 bits
	bytes        map[uint8]uint16
	hwmon        map[string]string // our value -> file
	whole        bool              // the driver cuts degrees off behind the point
}{
	{"lm75", "lm75", 0x48, map[uint8]uint16{0: 0x1c80}, nil, map[string]string{"temperature": "temp1_input"}, false},
	{"lm75", "lm75", 0x49, map[uint8]uint16{0: 0xe700}, nil, map[string]string{"temperature": "temp1_input"}, false},
	{"lm75b", "lm75b", 0x4a, map[uint8]uint16{0: 0xffe0}, nil, map[string]string{"temperature": "temp1_input"}, false},
	{"tmp105", "tmp105", 0x4b, map[uint8]uint16{0: 0x3250}, nil, map[string]string{"temperature": "temp1_input"}, false},
	{"tmp1075", "tmp1075", 0x4e, map[uint8]uint16{0: 0xce10, 0x0f: 0x7500}, nil, map[string]string{"temperature": "temp1_input"}, false},
	{"tmp102", "tmp102", 0x48, map[uint8]uint16{0: 0x04b1<<3 | 1, 1: 0x60a0}, // the driver switches to 13 bits
		nil, map[string]string{"temperature": "temp1_input"}, false},
	{"mcp9808", "jc42", 0x18, map[uint8]uint16{0: 0x001d, 5: 0xc194, 6: 0x0054, 7: 0x0400}, nil, map[string]string{"temperature": "temp1_input"}, false},
	{
		"emc1413", "emc1413", 0x4c, nil,
		map[uint8]uint16{0x00: 0x19, 0x29: 0x20, 0x01: 0x2d, 0x10: 0xe0, 0x23: 0x50, 0x24: 0x40, 0xfd: 0x21, 0xfe: 0x5d, 0xff: 0x01},
		map[string]string{"internal": "temp1_input", "diode1": "temp2_input", "diode2": "temp3_input"},
		true,
	},
	{
		"max6639", "max6639", 0x2c, nil,
		map[uint8]uint16{0x00: 0x2a, 0x05: 0x40, 0x01: 0x50, 0x06: 0xe0, 0x20: 120, 0x21: 60, 0x3d: 0x58, 0x3e: 0x4d},
		map[string]string{"diode1": "temp1_input", "diode2": "temp2_input", "fan1": "fan1_input", "fan2": "fan2_input"},
		false,
	},
	{
		"tmp421", "tmp421", 0x4d, nil,
		map[uint8]uint16{0x00: 0x19, 0x10: 0x80, 0x01: 0x3c, 0x11: 0x40, 0xfe: 0x55, 0xff: 0x21},
		map[string]string{"internal": "temp1_input", "diode1": "temp2_input"},
		false,
	},
}

// TestRealDriversAgree compares each decoder with the kernel's driver on the same
// registers, and sees that an address is left alone once a driver has it.
func TestRealDriversAgree(t *testing.T) {
	bus := adapter(t, "SMBus stub driver")
	for _, c := range compared {
		t.Run(fmt.Sprintf("%s %02x", c.chip, c.addr), func(t *testing.T) {
			for at, v := range c.words {
				set(t, bus, c.addr, at, true, v)
			}
			for at, v := range c.bytes {
				set(t, bus, c.addr, at, false, v)
			}
			p, err := newProbe(Config{Name: "board", Chip: c.chip, Bus: strconv.Itoa(bus), Address: c.addr})
			if err != nil {
				t.Fatal(err)
			}
			dir := bind(t, bus, c.driver, c.addr)
			// Drivers set up a chip when they come, so ours reads after them.
			if r := readings(p); r[0].State != sensors.Absent || !strings.Contains(r[0].Why, "hwmon") {
				t.Errorf("with a driver: %+v", r[0])
			}
			c2 := &device{}
			if c2.dev, err = os.OpenFile(fmt.Sprintf("/dev/i2c-%d", bus), os.O_RDWR, 0); err != nil {
				t.Fatal(err)
			}
			if err := c2.claim(bus, c.addr); !errors.Is(err, errDriver) {
				t.Errorf("the kernel lets us have it beside its driver: %v", err)
			}
			_ = c2.Close()
			want := map[string]float64{}
			for name, file := range c.hwmon {
				want[name] = hwmon(t, dir, file)
			}
			release(t, bus, c.addr)
			for _, r := range readings(p) {
				name := strings.TrimPrefix(r.ID, "i2c/board/")
				if c.whole {
					r.Value = math.Trunc(r.Value)
				}
				if r.State != sensors.OK || math.Abs(r.Value-want[name]) > 0.001*math.Max(1, math.Abs(want[name])) {
					t.Errorf("%s: %v %s, the kernel's driver says %v", name, r.Value, r.Why, want[name])
				}
			}
		})
	}
	if p, err := newProbe(Config{Name: "board", Chip: "lm75", Bus: "SMBus stub driver", Address: 0x4f}); err != nil {
		t.Error(err)
	} else if r := readings(p); r[0].State != sensors.Unreadable {
		t.Errorf("nothing is at 4fh: %+v", r[0])
	}
}

// TestRealBytesOverSMBus reads a chip without registers by an adapter that can no
// more than SMBus.
func TestRealBytesOverSMBus(t *testing.T) {
	bus := adapter(t, "SMBus stub driver")
	for i := range uint8(5) {
		set(t, bus, 0x48, i, false, uint16(50*i))
	}
	p, err := newProbe(Config{Name: "board", Chip: "pcf8591", Bus: strconv.Itoa(bus), Address: 0x48, Vref: 2.56})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range readings(p) { // the stub gives the next register with each read
		if want := 0.5 * float64(i+1); r.State != sensors.OK || math.Abs(r.Value-want) > 1e-9 {
			t.Errorf("%+v, not %v", r, want)
		}
	}
	if p, err = newProbe(Config{Name: "board", Chip: "sht3x", Bus: strconv.Itoa(bus), Address: 0x44}); err != nil {
		t.Fatal(err)
	}
	if r := readings(p); r[0].State != sensors.Unreadable || !strings.Contains(r[0].Why, "SMBus only") {
		t.Errorf("%+v", r[0])
	}
}

// TestRealPlainTransfers reads a monitor's EDID, by go-i2c and by SMBus that the
// kernel makes up, from a graphics chip's bus.
func TestRealPlainTransfers(t *testing.T) {
	adapter(t, "radeonfb monid")
	const monitor = 0x50
	magic := []byte{0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00}
	found := false
	for _, name := range []string{"monid", "dvi", "vga", "crt2"} {
		for _, bus := range adapters("radeonfb " + name) {
			c, err := open(sys, bus, monitor)
			if err != nil {
				t.Errorf("bus %d: %v", bus, err)
				continue
			}
			defer c.Close()
			d := c.(*device)
			if d.plain == nil {
				t.Errorf("bus %d: no plain transfers", bus)
			}
			b := make([]byte, len(magic))
			if c.write([]byte{0}) != nil || c.read(b) != nil || string(b) != string(magic) {
				continue // no monitor there
			}
			found = true
			if w, err := c.register(0, true); err != nil || w != 0x00ff {
				t.Errorf("by SMBus: %04xh, %v", w, err)
			}
			d.smbus = false
			if w, err := c.register(6, true); err != nil || w != 0xff00 {
				t.Errorf("by go-i2c: %04xh, %v", w, err)
			}
			if none, err := open(sys, bus, 0x44); err == nil {
				if err := none.write(shtMeasure); !passing(err) {
					t.Errorf("nobody is at 44h: %v", err)
				}
				_ = none.Close()
			}
		}
	}
	if !found {
		t.Error("no monitor answered")
	}
}

// bind gives an address to a kernel driver, and returns the device's folder.
func bind(t *testing.T, bus int, driver string, addr uint8) string {
	t.Helper()
	file := fmt.Sprintf("%s/bus/i2c/devices/i2c-%d/new_device", sys, bus)
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s 0x%02x", driver, addr), 0o200); err != nil {
		t.Fatal(err)
	}
	dir := fmt.Sprintf("%s/bus/i2c/devices/%d-%04x", sys, bus, addr)
	if _, err := os.Stat(dir + "/driver"); err != nil {
		release(t, bus, addr)
		t.Fatalf("the kernel's driver %s does not take the address: %v", driver, err)
	}
	return dir
}

func release(t *testing.T, bus int, addr uint8) {
	t.Helper()
	file := fmt.Sprintf("%s/bus/i2c/devices/i2c-%d/delete_device", sys, bus)
	if err := os.WriteFile(file, fmt.Appendf(nil, "0x%02x", addr), 0o200); err != nil {
		t.Fatal(err)
	}
}

// hwmon reads a value of a driver, once it has one: tmp102 waits for a conversion.
func hwmon(t *testing.T, dir, file string) float64 {
	t.Helper()
	files, _ := filepath.Glob(dir + "/hwmon/hwmon*/" + file)
	if len(files) != 1 {
		t.Fatalf("%d files %s", len(files), file)
	}
	for range 20 {
		text, err := readOnce(files[0])
		if err == nil {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(file, "temp") {
				n /= 1000
			}
			return n
		}
		if !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s has no value", file)
	return 0
}

// readOnce reads a file of sysfs past Go's poller, which would wait for ever for
// one that says EAGAIN.
func readOnce(name string) (string, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var b [64]byte
	n, err := unix.Read(fd, b[:])
	return strings.TrimSpace(string(b[:max(n, 0)])), err
}

// put writes a register.
func (d *device) put(at uint8, wide bool, v uint16) error {
	request := smbusRequest{direction: smbusWrite, command: at, size: smbusByteData}
	var room [smbusRoom]byte
	room[0] = uint8(v)
	if wide {
		request.size = smbusWordData
		room[0], room[1] = uint8(v>>8), uint8(v) // the chip's order
	}
	return d.send(&request, &room)
}
