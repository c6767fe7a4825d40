package smart

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twinbeat/twinbeat/sensors"
)

// pageSize is the length of every page that is read here.
const pageSize = 512

// kelvin is 0 C, as NVMe counts: it knows whole kelvins only.
const kelvin = 273

// An NVMe is the SMART / health information log (log page 02h) of an NVMe
// drive: NVM Express base specification 2.0, section 5.16.1.3.
type NVMe struct {
	Warning      uint8     // critical warning bits, see the constants
	Temperature  float64   // composite, C; NaN where the drive tells none
	Spare        uint8     // available spare, %
	Threshold    uint8     // of the spare, %
	Used         uint8     // of the life that the vendor expects, %; 255 is 255 or more
	Written      uint64    // units of 512,000 bytes
	PowerCycles  uint64    // counts
	PowerOnHours uint64    // hours
	Unsafe       uint64    // shutdowns without notice
	MediaErrors  uint64    // data that could not be brought back
	ErrorEntries uint64    // entries of the error log in its life
	Sensors      []float64 // further temperatures, C, in the drive's order
}

// Critical warning bits.
const (
	WarnSpare       = 1 << iota // the spare is below its threshold
	WarnTemperature             // beyond a temperature threshold
	WarnDegraded                // reliability is degraded
	WarnReadOnly                // the media went read-only
	WarnBackup                  // the volatile memory's backup failed
)

// ParseNVMe reads a health log. It refuses a page that is short, that nobody
// has written (all of one byte), or whose percentages are none.
func ParseNVMe(page []byte) (NVMe, error) {
	if len(page) < pageSize {
		return NVMe{}, fmt.Errorf("%w: %d bytes of health log, not %d", ErrShort, len(page), pageSize)
	}
	page = page[:pageSize]
	if blank(page) {
		return NVMe{}, fmt.Errorf("%w: health log of nothing but %02xh", ErrBlank, page[0])
	}
	h := NVMe{
		Warning: page[0], Temperature: kelvins(page[1:]), Spare: page[3], Threshold: page[4], Used: page[5],
		Written: saturated(page[48:]), PowerCycles: saturated(page[112:]), PowerOnHours: saturated(page[128:]),
		Unsafe: saturated(page[144:]), MediaErrors: saturated(page[160:]), ErrorEntries: saturated(page[176:]),
	}
	if h.Spare > 100 || h.Threshold > 100 {
		return NVMe{}, fmt.Errorf("%w: spare %d %%, its threshold %d %%", ErrNonsense, h.Spare, h.Threshold)
	}
	for i := range 8 {
		if t := kelvins(page[200+2*i:]); !math.IsNaN(t) {
			h.Sensors = append(h.Sensors, t)
		}
	}
	return h, nil
}

// kelvins reads a temperature in C. 0 K is a sensor that does not exist, and
// beyond what a chip survives is no temperature.
func kelvins(b []byte) float64 {
	k := float64(binary.LittleEndian.Uint16(b))
	if k < kelvin-55 || k > kelvin+150 {
		return math.NaN()
	}
	return k - kelvin
}

// saturated reads a counter of 128 bits; what 64 do not hold is all of them.
func saturated(b []byte) uint64 {
	if binary.LittleEndian.Uint64(b[8:]) != 0 {
		return math.MaxUint64
	}
	return binary.LittleEndian.Uint64(b)
}

// A Controller is what the data structure of Identify Controller (section
// 5.17.2.1) says of a drive.
type Controller struct {
	Serial, Model, Firmware string
	Warning, Critical       float64 // composite temperature thresholds WCTEMP and CCTEMP, C; NaN where there is none
}

// identifySize is the length of every Identify data structure.
const identifySize = 4096

// ParseController reads an Identify Controller data structure.
func ParseController(page []byte) (Controller, error) {
	if len(page) < identifySize {
		return Controller{}, fmt.Errorf("%w: %d bytes of Identify, not %d", ErrShort, len(page), identifySize)
	}
	if blank(page) {
		return Controller{}, fmt.Errorf("%w: Identify of nothing but %02xh", ErrBlank, page[0])
	}
	return Controller{
		Serial: sensors.Plain(string(page[4:24])), Model: sensors.Plain(string(page[24:64])), Firmware: sensors.Plain(string(page[64:72])),
		Warning: kelvins(page[266:]), Critical: kelvins(page[268:]),
	}, nil
}

// blank says whether a page is all of one byte: a bridge that answers without
// having asked its drive leaves the buffer as it was.
func blank(page []byte) bool {
	for _, b := range page {
		if b != page[0] {
			return false
		}
	}
	return true
}
