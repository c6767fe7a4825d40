package i2c

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/sensors"
)

// golden are rows of the data sheets' own tables: what a register holds, and what
// that means. with are the registers that decide.
var golden = []struct {
	chip, value string
	raw         uint16
	with        []uint8
	want        float64
	why         string
}{
	{chip: "lm75", raw: 0x0fa << 7, want: 125},
	{chip: "lm75", raw: 0x032 << 7, want: 25},
	{chip: "lm75", raw: 0x001 << 7, want: 0.5},
	{chip: "lm75", raw: 0, want: 0},
	{chip: "lm75", raw: 0x1ff << 7, want: -0.5},
	{chip: "lm75", raw: 0x1ce << 7, want: -25},
	{chip: "lm75", raw: 0x192 << 7, want: -55},
	{chip: "lm75", raw: 0x032<<7 | 0x7f, want: 25}, // the other bits are undefined
	{chip: "lm75", raw: 0xffff, why: allOnes},
	{chip: "lm75b", raw: 0x3f8 << 5, want: 127},
	{chip: "lm75b", raw: 0x3f7 << 5, want: 126.875},
	{chip: "lm75b", raw: 0x0c8 << 5, want: 25},
	{chip: "lm75b", raw: 0x001 << 5, want: 0.125},
	{chip: "lm75b", raw: 0x7ff << 5, want: -0.125},
	{chip: "lm75b", raw: 0x649 << 5, want: -54.875},
	{chip: "lm75b", raw: 0x648 << 5, want: -55},
	{chip: "tmp102", raw: 0x7ff << 4, want: 127.9375},
	{chip: "tmp102", raw: 0x640 << 4, want: 100},
	{chip: "tmp102", raw: 0x190 << 4, want: 25},
	{chip: "tmp102", raw: 0x004 << 4, want: 0.25},
	{chip: "tmp102", raw: 0xffc << 4, want: -0.25},
	{chip: "tmp102", raw: 0xc90 << 4, want: -55},
	{chip: "tmp102", raw: 0x0960<<3 | 1, want: 150},
	{chip: "tmp102", raw: 0x0800<<3 | 1, want: 128},
	{chip: "tmp102", raw: 0x1c90<<3 | 1, want: -55},
	{chip: "tmp112", raw: 0x0960<<3 | 1, want: 150},
	{chip: "tmp100", raw: 0x6400, want: 100},
	{chip: "tmp105", raw: 0xe700, want: -25},
	{chip: "tmp175", raw: 0x0040, want: 0.25},
	{chip: "tmp1075", raw: 0x7ff0, want: 127.9375},
	{chip: "tmp1075", raw: 0x4b00, want: 75},
	{chip: "tmp1075", raw: 0x0010, want: 0.0625},
	{chip: "tmp1075", raw: 0xfff0, want: -0.0625},
	{chip: "tmp1075", raw: 0x8000, want: -128},
	{chip: "tmp117", raw: 0x0c80, want: 25},
	{chip: "tmp117", raw: 0x3200, want: 100},
	{chip: "tmp117", raw: 0xf380, want: -25},
	{chip: "tmp117", raw: 0x0001, want: 0.0078125},
	{chip: "tmp117", raw: 0x8000, why: notYet},
	{chip: "adt7410", raw: 0x1d80 << 3, want: -40},
	{chip: "adt7410", raw: 0x1fff << 3, want: -0.0625},
	{chip: "adt7410", raw: 0x0190 << 3, want: 25},
	{chip: "adt7410", raw: 0x0690 << 3, want: 105},
	{chip: "adt7410", raw: 0x0960 << 3, want: 150},
	{chip: "adt7410", raw: 0x0190<<3 | 7, want: 25}, // flags of the limits
	{chip: "mcp9808", raw: 0xc194, want: 25.25},
	{chip: "mcp9808", raw: 0x1e6f, want: -25.0625},
	{chip: "mcp9808", raw: 0xffff, why: allOnes},
	{chip: "emc1413", value: "internal", raw: 0x0020, with: []uint8{0}, want: 0.125},
	{chip: "emc1413", value: "internal", raw: 0x7fe0, with: []uint8{0}, want: 127.875},
	{chip: "emc1413", value: "internal", raw: 0xc020, with: []uint8{0}, want: -63.875},
	{chip: "emc1413", value: "internal", raw: 0xff00, with: []uint8{0}, want: -1},
	{chip: "emc1413", value: "internal", raw: 0x4000, with: []uint8{4}, want: 0},
	{chip: "emc1413", value: "internal", raw: 0xffe0, with: []uint8{4}, want: 191.875},
	{chip: "emc1413", value: "internal", raw: 0x0020, with: []uint8{4}, want: -63.875},
	{chip: "emc1413", value: "diode1", raw: 0x8000, with: []uint8{0, 2}, why: noDiode},
	{chip: "emc1413", value: "diode1", raw: 0x2000, with: []uint8{0, 4}, want: 32},
	{chip: "emc1413", value: "diode2", raw: 0x8000, with: []uint8{0, 4}, why: noDiode},
	{chip: "tmp421", value: "internal", raw: 0x1900, with: []uint8{0}, want: 25},
	{chip: "tmp421", value: "internal", raw: 0xc000, with: []uint8{0}, want: -64},
	{chip: "tmp421", value: "internal", raw: 0x5900, with: []uint8{4}, want: 25},
	{chip: "tmp421", value: "diode1", raw: 0x1901, with: []uint8{0}, why: noDiode},
	{chip: "max6639", value: "diode1", raw: 0xfa00, want: 250},
	{chip: "max6639", value: "diode1", raw: 0x1920, want: 25.125},
	{chip: "max6639", value: "diode2", raw: 0x0001, why: noDiode},
	{chip: "max6639", value: "fan1", raw: 120, with: []uint8{2}, want: 2000},
	{chip: "max6639", value: "fan1", raw: 255, with: []uint8{2}, want: 0},
	{chip: "max6639", value: "fan2", raw: 30, with: []uint8{0xff}, want: 16000},
	{chip: "max6639", value: "fan2", raw: 0, with: []uint8{1}, why: notYet},
	{chip: "ina219", value: "voltage", raw: 0x1f40 << 3, want: 32},
	{chip: "ina219", value: "voltage", raw: 0x0fa0<<3 | 2, want: 16},
	{chip: "ina219", value: "voltage", raw: 0x0fa0<<3 | 1, why: overflow},
	{chip: "ina219", value: "current", raw: 0x7d00, want: 0.32},
	{chip: "ina219", value: "current", raw: 0x8300, want: -0.32},
	{chip: "ina219", value: "current", raw: 0x0fa0, want: 0.04},
	{chip: "ina226", value: "voltage", raw: 0x2570, want: 11.98},
	{chip: "ina226", value: "current", raw: 0x1f40, want: 0.02},
	{chip: "ina226", value: "current", raw: 0xffff, want: -2.5e-6},
	{chip: "ina3221", value: "current1", raw: 0xc180, want: -0.08},
	{chip: "ina3221", value: "voltage3", raw: 0x2ee0, want: 12},
}

func TestDecodersAgreeWithTheDataSheets(t *testing.T) {
	covered := map[string]bool{}
	for _, g := range golden {
		ch, err := find(g.chip)
		if err != nil {
			t.Fatal(err)
		}
		if g.value == "" {
			g.value = "temperature"
		}
		for _, v := range ch.values {
			if v.name != g.value {
				continue
			}
			covered[g.chip] = true
			if got, why := v.decode(g.raw, g.with); why != g.why || math.Abs(got-g.want) > 1e-9 {
				t.Errorf("%s %s %04xh: %v %q, not %v %q", g.chip, g.value, g.raw, got, why, g.want, g.why)
			}
		}
	}
	for _, c := range chips {
		if !covered[c.name] && c.talk == nil {
			t.Errorf("%s has no row", c.name)
		}
	}
}

func TestSHT3xIsCheckedByItsChecksum(t *testing.T) {
	if got := crc8([]byte{0xbe, 0xef}); got != 0x92 { // the data sheet's example
		t.Errorf("CRC of BEEFh is %02xh", got)
	}
	frame := func(hot, wet uint16) (b [6]byte) {
		copy(b[:], []byte{byte(hot >> 8), byte(hot), 0, byte(wet >> 8), byte(wet), 0})
		b[2], b[5] = crc8(b[:2]), crc8(b[3:5])
		return b
	}
	for _, c := range []struct {
		hot, wet uint16
		want     [2]float64
	}{{0, 0, [2]float64{-45, 0}}, {0xffff, 0xffff, [2]float64{130, 100}}, {0x6666, 0x8000, [2]float64{25, 50}}} {
		got, err := decodeSHT(frame(c.hot, c.wet))
		if err != nil || math.Abs(got[0]-c.want[0]) > 0.01 || math.Abs(got[1]-c.want[1]) > 0.01 {
			t.Errorf("%v, %v, not %v", got, err, c.want)
		}
	}
	bad := frame(0x6666, 0x8000)
	bad[4] ^= 1
	if _, err := decodeSHT(bad); !errors.Is(err, errCRC) {
		t.Errorf("a damaged word: %v", err)
	}
}

func TestTheTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range chips {
		if seen[c.name] || c.sheet == "" || len(c.values) == 0 || c.first > c.last {
			t.Errorf("%s: twice, without a data sheet, a value or an address", c.name)
		}
		seen[c.name] = true
		if c.first < 0x08 || c.last > 0x7c {
			t.Errorf("%s: %02xh to %02xh are reserved addresses", c.name, c.first, c.last)
		}
		for _, v := range c.values {
			if c.talk == nil && v.decode == nil {
				t.Errorf("%s %s cannot be decoded", c.name, v.name)
			}
		}
	}
}

// A bus holds chips by address, with registers, and a multiplexer.
type bus struct {
	chips  map[uint8]map[uint8]uint16
	bytes  map[uint8][]byte // what a plain read gives
	mux    uint8
	behind map[uint8]uint8 // address -> mask of its channel
	bound  map[uint8]bool  // a driver has it
	fail   func(addr uint8) error
	writes []string
	open   int
	clock  time.Time
	takes  time.Duration // of each transfer
}

func (b *bus) connect(_ string, _ int, addr uint8) (conn, error) {
	if b.bound[addr] {
		return nil, errDriver
	}
	b.open++
	return &fake{b, addr}, nil
}

type fake struct {
	*bus
	addr uint8
}

func (f *fake) Close() error        { f.open--; return nil }
func (f *fake) pause(time.Duration) {}

func (f *fake) there() error {
	f.clock = f.clock.Add(f.takes)
	if f.fail != nil {
		if err := f.fail(f.addr); err != nil {
			return err
		}
	}
	if mask, hidden := f.behind[f.addr]; hidden && f.mux&mask == 0 {
		return unix.ENXIO
	}
	return nil
}

func (f *fake) register(at uint8, _ bool) (uint16, error) {
	if err := f.there(); err != nil {
		return 0, err
	}
	regs, ok := f.chips[f.addr]
	if !ok {
		return 0, unix.ENXIO
	}
	return regs[at], nil
}

func (f *fake) write(b []byte) error {
	if err := f.there(); err != nil {
		return err
	}
	f.writes = append(f.writes, fmt.Sprintf("%02x:%x", f.addr, b))
	if f.addr >= muxFirst {
		f.mux = b[0]
	}
	return nil
}

func (f *fake) read(b []byte) error {
	if err := f.there(); err != nil {
		return err
	}
	if f.addr >= muxFirst {
		b[0] = f.mux
		return nil
	}
	copy(b, f.bytes[f.addr])
	return nil
}

func probeAt(t *testing.T, b *bus, c Config) *probe {
	t.Helper()
	if c.Name, c.Bus = "board", "1"; c.Every == 0 {
		c.Every = time.Second
	}
	p, err := newProbe(c)
	if err != nil {
		t.Fatal(err)
	}
	p.sys, p.dev, p.open, p.now = t.TempDir(), t.TempDir(), b.connect, func() time.Time { return b.clock }
	return p
}

func readings(p *probe) []sensors.Reading {
	r, _ := p.ask(time.Unix(1_800_000_000, 0))
	return r
}

func TestAChipBecomesReadings(t *testing.T) {
	b := &bus{chips: map[uint8]map[uint8]uint16{
		0x40: {0x02: 0x2570, 0x01: 0x1f40, 0xfe: 0x5449, 0xff: 0x2260},
		0x4c: {0x00: 0x19, 0x29: 0x20, 0x01: 0x80, 0x23: 0x2d, 0x24: 0xe0, 0x1b: 2, 0xfd: 0x21, 0xfe: 0x5d},
	}}
	r := readings(probeAt(t, b, Config{Chip: "ina226", Address: 0x40, Shunt: 0.002}))
	if len(r) != 2 || math.Abs(r[0].Value-11.98) > 1e-9 || math.Abs(r[1].Value-10) > 1e-9 || r[1].ID != "i2c/board/current" || r[1].Kind != sensors.Current {
		t.Errorf("%+v", r)
	}
	r = readings(probeAt(t, b, Config{Chip: "emc1413", Address: 0x4c}))
	if len(r) != 3 || r[0].Value != 25.125 || r[1].State != sensors.Absent || r[2].Value != 45.875 {
		t.Errorf("%+v", r)
	}
	if len(b.writes) != 0 || b.open != 0 {
		t.Errorf("wrote %v, left %d open", b.writes, b.open)
	}
}

func TestChipsWithoutRegistersAreAskedInTheirWords(t *testing.T) {
	hot := []byte{0x66, 0x66, 0, 0x80, 0x00, 0}
	hot[2], hot[5] = crc8(hot[:2]), crc8(hot[3:5])
	b := &bus{bytes: map[uint8][]byte{0x44: hot, 0x48: {99, 128}}}
	r := readings(probeAt(t, b, Config{Chip: "sht3x", Address: 0x44}))
	if len(r) != 2 || math.Abs(r[0].Value-25) > 0.01 || math.Abs(r[1].Value-50) > 0.01 {
		t.Errorf("%+v", r)
	}
	r = readings(probeAt(t, b, Config{Chip: "pcf8591", Address: 0x48, Vref: 5}))
	if len(r) != 4 || r[3].Value != 2.5 {
		t.Errorf("%+v", r)
	}
	if got := strings.Join(b.writes, " "); got != "44:2400 48:00 48:01 48:02 48:03" {
		t.Errorf("wrote %s", got)
	}
	hot[0]++
	for _, r := range readings(probeAt(t, b, Config{Chip: "sht3x", Address: 0x44})) {
		if r.State != sensors.Unreadable || !strings.Contains(r.Why, "checksum") {
			t.Errorf("%+v", r)
		}
	}
}

func TestAMultiplexerIsOpenedForOneReadAndClosed(t *testing.T) {
	b := &bus{chips: map[uint8]map[uint8]uint16{0x48: {0: 0x1900}}, behind: map[uint8]uint8{0x48: 1 << 3}}
	p := probeAt(t, b, Config{Chip: "tmp105", Address: 0x48, Mux: 0x70, Channel: 3})
	if r := readings(p); r[0].Value != 25 {
		t.Errorf("%+v", r)
	}
	if got := strings.Join(b.writes, " "); got != "70:08 70:00" || b.open != 0 {
		t.Errorf("wrote %s, %d open", got, b.open)
	}
	b.fail = func(addr uint8) error {
		if addr == 0x48 {
			return unix.EIO
		}
		return nil
	}
	b.writes = nil
	readings(p)
	if got := strings.Join(b.writes, " "); got != "70:08 70:00" {
		t.Errorf("after a failure: wrote %s", got)
	}
	p.Channel = 2
	b.fail = nil
	if r := readings(p); r[0].State != sensors.Unreadable {
		t.Errorf("on another channel: %+v", r)
	}
	b.bound = map[uint8]bool{0x70: true}
	b.writes = nil
	if r := readings(p); r[0].State != sensors.Absent || !strings.Contains(r[0].Why, "name the bus") || len(b.writes) != 0 {
		t.Errorf("a kernel's multiplexer: %+v, wrote %v", r, b.writes)
	}
}

// The agent reads while somebody runs twinbeat check: neither may move the
// multiplexer under the other.
func TestABusIsHeldAgainstOtherPrograms(t *testing.T) {
	b := &bus{chips: map[uint8]map[uint8]uint16{0x48: {0: 0x1900}}}
	p := probeAt(t, b, Config{Chip: "tmp105", Address: 0x48, Mux: 0x70})
	path := filepath.Join(p.dev, "i2c-1")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(path) // of another program: locks belong to what was opened
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	fd := int(other.Fd())
	lock := func(how int) error { return unix.Flock(fd, how|unix.LOCK_NB) }
	held := false
	p.open = func(sys string, n int, addr uint8) (conn, error) {
		held = errors.Is(lock(unix.LOCK_EX), unix.EWOULDBLOCK)
		return b.connect(sys, n, addr)
	}
	if r := readings(p); !held || r[0].State != sensors.OK {
		t.Errorf("held %v, %+v", held, r)
	}
	if err := lock(unix.LOCK_EX); err != nil {
		t.Fatalf("it is held on: %v", err)
	}
	if r := readings(p); r[0].State != sensors.Unreadable || !r[0].Named || !strings.Contains(r[0].Why, "another program") {
		t.Errorf("%+v", r)
	}
	let := make(chan error, 1)
	time.AfterFunc(50*time.Millisecond, func() { let <- lock(unix.LOCK_UN) })
	if r := readings(p); r[0].State != sensors.OK {
		t.Errorf("not waited for: %+v", r)
	}
	if err := <-let; err != nil {
		t.Error(err)
	}
}

func TestEveryWayToFailHasAName(t *testing.T) {
	times := func(n int, err error) func(uint8) error {
		return func(uint8) error {
			if n--; n < 0 {
				return nil
			}
			return err
		}
	}
	good := map[uint8]map[uint8]uint16{0x48: {0: 0x1900, 0x0b: 0xcb}}
	for name, c := range map[string]struct {
		bus  *bus
		chip string
		want sensors.State
		why  string
	}{
		"well":                        {&bus{chips: good}, "adt7410", sensors.OK, ""},
		"two lost arbitrations":       {&bus{chips: good, fail: times(2, unix.EAGAIN)}, "adt7410", sensors.OK, ""},
		"three":                       {&bus{chips: good, fail: times(3, unix.EAGAIN)}, "adt7410", sensors.Unreadable, "temporarily unavailable"},
		"nobody there":                {&bus{}, "lm75", sensors.Unreadable, "nothing answers at the address"},
		"not to be tried again":       {&bus{chips: good, fail: times(1, unix.EOPNOTSUPP)}, "lm75", sensors.Unreadable, "not supported"},
		"a driver's":                  {&bus{bound: map[uint8]bool{0x48: true}}, "lm75", sensors.Absent, "kernel driver"},
		"another chip":                {&bus{chips: map[uint8]map[uint8]uint16{0x48: {0: 0x1900, 0x0b: 0x10}}}, "adt7410", sensors.Unreadable, "this is no adt7410"},
		"data line hangs high":        {&bus{chips: map[uint8]map[uint8]uint16{0x48: {0: 0xffff}}}, "tmp105", sensors.Unreadable, "nothing but ones"},
		"slow":                        {&bus{chips: good, takes: 3 * time.Second}, "adt7410", sensors.Unreadable, "slow"},
		"has not measured since boot": {&bus{chips: map[uint8]map[uint8]uint16{0x48: {0: 0x8000, 0x0f: 0x1117}}}, "tmp117", sensors.Unreadable, "not measured yet"},
	} {
		if name == "slow" {
			c.bus.chips[0x40] = map[uint8]uint16{0xfe: 0x5449, 0xff: 0x3220}
			r := readings(probeAt(t, c.bus, Config{Chip: "ina3221", Address: 0x40}))
			if last := r[len(r)-1]; last.State != c.want || !strings.Contains(last.Why, c.why) {
				t.Errorf("%s: %+v", name, last)
			}
			continue
		}
		r := readings(probeAt(t, c.bus, Config{Chip: c.chip, Address: 0x48}))[0]
		if r.State != c.want || !strings.Contains(r.Why, c.why) || (r.State != sensors.OK) != math.IsNaN(r.Value) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestAConfigurationThatCannotBeIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"chip":        {Config{Chip: "lm76", Address: 0x48}, `"lm76" is not in the table`},
		"address":     {Config{Chip: "lm75", Address: 0x50}, "may be at 0x48 to 0x4f"}, // memory of a DIMM
		"no such pin": {Config{Chip: "emc1413", Address: 0x50}, "address 0x50 is none of a emc1413"},
		"multiplexer": {Config{Chip: "lm75", Address: 0x48, Mux: 0x50}, "may be at 0x70 to 0x77"},
		"channel":     {Config{Chip: "lm75", Address: 0x48, Mux: 0x70, Channel: 8}, "0 to 7"},
	} {
		if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := New(Config{Name: "board", Chip: "lm75", Address: 0x48}); err != nil || s.Name() != "chip board" {
		t.Errorf("%v, %v", s, err)
	}
}

func TestABusIsFoundByNumberOrByItsAdapter(t *testing.T) {
	sys := t.TempDir()
	for n, name := range map[int]string{0: "SMBus I801 adapter at efa0", 3: "i915 gmbus dpb", 4: "twin", 5: "twin"} {
		dir := filepath.Join(sys, fmt.Sprintf("bus/i2c/devices/i2c-%d", n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/name", []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int{"1": 1, "i2c-7": 7, "SMBus I801 adapter at efa0": 0, "i915 gmbus dpb": 3, "twin": -1, "none": -1, "i2c--1": -1, "": -1} {
		got, err := number(sys, name)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", name, got, err)
		}
	}
}

func TestADriversAddressIsKnownBeforeTheBusIsOpened(t *testing.T) {
	sys := t.TempDir()
	dir := sys + "/bus/i2c/devices/1-0048"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := claimed(sys, 1, 0x48); err != nil { // a device that no driver has taken
		t.Error(err)
	}
	if err := os.Symlink("../../../bus/i2c/drivers/lm75", dir+"/driver"); err != nil {
		t.Fatal(err)
	}
	if _, err := open(sys, 1, 0x48); !errors.Is(err, errDriver) || !strings.Contains(err.Error(), "lm75") {
		t.Errorf("%v", err)
	}
}

func FuzzDecoders(f *testing.F) {
	f.Add(uint16(0x1900), uint8(0), uint8(4))
	f.Fuzz(func(t *testing.T, raw uint16, a, b uint8) {
		for _, c := range chips {
			for _, v := range c.values {
				if v.decode == nil {
					continue
				}
				if got, _ := v.decode(raw, []uint8{a, b}); math.IsNaN(got) || math.Abs(got) > 500_000 {
					t.Errorf("%s %s: %v of %04xh", c.name, v.name, got, raw)
				}
			}
		}
	})
}
