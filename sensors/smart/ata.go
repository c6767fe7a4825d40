package smart

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twinbeat/twinbeat/sensors"
)

// An Attribute is one row of the table that ATA drives keep. ATA never
// standardised its meaning (ATA-3 X3T10/2008D and smartmontools describe the
// layout): only the ids that nearly all vendors use alike are interpreted.
type Attribute struct {
	ID        uint8
	Prefail   bool   // failing means failure, else wear
	Value     uint8  // normalised, 1 to 253, less is worse
	Worst     uint8  // least Value ever
	Threshold uint8  // 0: none
	Raw       uint64 // 48 bits, whose meaning is the vendor's
}

// Failing says whether the drive's own table calls the attribute failed. 0, FEh
// and FFh are no normalised values, and as thresholds they are for tests.
func (a Attribute) Failing() bool {
	return a.Threshold != 0 && a.Threshold < 0xfe && a.Value != 0 && a.Value < 0xfe && a.Value <= a.Threshold
}

// Ids that are interpreted.
const (
	Reallocated   = 5   // sectors
	Uncorrectable = 187 // errors reported to the host
	Airflow       = 190 // temperature of some drives without 194
	Temperature   = 194 // C, in the lowest byte
	Pending       = 197 // sectors
	Offline       = 198 // sectors
)

// wear are the ids whose normalised value is the life left of an SSD, %:
// 169, 173 and 177 wear levelling, 202 lifetime remaining, 231 life left, 233
// media wearout.
var wear = [...]uint8{169, 173, 177, 202, 231, 233}

// maxAttributes is how many rows a table has.
const maxAttributes = 30

// An ATA is the table of an ATA drive.
type ATA struct {
	Attributes []Attribute // in the drive's order
}

// Find returns the row with an id.
func (a ATA) Find(id uint8) (Attribute, bool) {
	for _, row := range a.Attributes {
		if row.ID == id {
			return row, true
		}
	}
	return Attribute{}, false
}

// Raw returns the raw value of an id, 0 where the drive has none. Some vendors
// keep further counters in the upper 16 bits of these (smartmontools: raw16);
// no count of sectors of a drive that works needs more than 32.
func (a ATA) Raw(id uint8) uint64 {
	row, _ := a.Find(id)
	return row.Raw & math.MaxUint32
}

// Celsius returns the drive's temperature, NaN where it tells none.
func (a ATA) Celsius() float64 {
	for _, id := range [...]uint8{Temperature, Airflow} {
		row, ok := a.Find(id)
		// The lowest byte is the temperature, the others are minimum and maximum.
		if t := int8(row.Raw); ok && t > 0 && t < 100 {
			return float64(t)
		}
	}
	return math.NaN()
}

// Left returns how much of an SSD's rated life is left, 1 to 100 %, and false
// where the drive does not tell. 0 is what a drive shows that uses the id for
// something else (SandForce, 233).
func (a ATA) Left() (percent uint8, ok bool) {
	percent = 101
	for _, id := range wear {
		if row, has := a.Find(id); has && row.Value > 0 && row.Value <= 100 {
			percent = min(percent, row.Value)
		}
	}
	return percent, percent <= 100
}

// Failing returns the rows that the drive's own thresholds call failed.
func (a ATA) Failing() (rows []Attribute) {
	for _, row := range a.Attributes {
		if row.Failing() {
			rows = append(rows, row)
		}
	}
	return rows
}

// Where the tables begin, and how long a row of either is.
const (
	rowsAt  = 2
	rowSize = 12
)

// ParseATA reads the pages of SMART READ DATA and SMART READ THRESHOLDS. Pages
// that are short, blank or whose bytes do not add up to zero are refused:
// bridges answer with what was in their buffer. A drive whose thresholds cannot
// be read (nil) has none.
func ParseATA(data, thresholds []byte) (ATA, error) {
	if err := checkPage("SMART data", data); err != nil {
		return ATA{}, err
	}
	limits := map[uint8]uint8{}
	if thresholds != nil {
		if err := checkPage("SMART thresholds", thresholds); err != nil {
			return ATA{}, err
		}
		for i := range maxAttributes {
			row := thresholds[rowsAt+i*rowSize:]
			limits[row[0]] = row[1]
		}
	}
	var a ATA
	for i := range maxAttributes {
		row := data[rowsAt+i*rowSize:][:rowSize]
		if row[0] == 0 {
			continue
		}
		raw := binary.LittleEndian.Uint64(append(append(make([]byte, 0, 8), row[5:11]...), 0, 0))
		a.Attributes = append(a.Attributes, Attribute{
			ID: row[0], Prefail: row[1]&1 != 0, Value: row[3], Worst: row[4], Threshold: limits[row[0]], Raw: raw,
		})
	}
	if len(a.Attributes) == 0 {
		return ATA{}, fmt.Errorf("%w: SMART data without a row", ErrNonsense)
	}
	return a, nil
}

func checkPage(what string, page []byte) error {
	switch {
	case len(page) < pageSize:
		return fmt.Errorf("%w: %d bytes of %s, not %d", ErrShort, len(page), what, pageSize)
	case blank(page[:pageSize]):
		return fmt.Errorf("%w: %s of nothing but %02xh", ErrBlank, what, page[0])
	case sum(page[:pageSize]) != 0:
		return fmt.Errorf("%w: %s", ErrChecksum, what)
	}
	return nil
}

func sum(page []byte) (s uint8) {
	for _, b := range page {
		s += b
	}
	return s
}

// An Identity is what IDENTIFY DEVICE (ACS-3, section 7.12.7) says of a drive.
type Identity struct {
	Serial, Model, Firmware string
	SMART                   bool // supported and enabled
	Solid                   bool // no rotating media
}

// Words of IDENTIFY DEVICE.
const (
	wordSerial    = 10
	wordFirmware  = 23
	wordModel     = 27
	wordSupported = 82 // bit 0: SMART
	wordEnabled   = 85 // bit 0: SMART
	wordRotation  = 217
	wordIntegrity = 255 // A5h in the low byte: the high byte makes the sum zero
)

// ParseIdentity reads a page of IDENTIFY DEVICE.
func ParseIdentity(page []byte) (Identity, error) {
	if len(page) < pageSize {
		return Identity{}, fmt.Errorf("%w: %d bytes of IDENTIFY DEVICE, not %d", ErrShort, len(page), pageSize)
	}
	page = page[:pageSize]
	word := func(n int) uint16 { return binary.LittleEndian.Uint16(page[2*n:]) }
	switch {
	case blank(page):
		return Identity{}, fmt.Errorf("%w: IDENTIFY DEVICE of nothing but %02xh", ErrBlank, page[0])
	case word(wordIntegrity)&0xff == 0xa5 && sum(page) != 0:
		return Identity{}, fmt.Errorf("%w: IDENTIFY DEVICE", ErrChecksum)
	}
	// Words 82 to 87 are valid if bit 14 of word 83 is set and bit 15 is not.
	valid := word(wordSupported+1)>>14 == 1
	return Identity{
		Serial: swapped(page, wordSerial, 10), Firmware: swapped(page, wordFirmware, 4), Model: swapped(page, wordModel, 20),
		SMART: valid && word(wordSupported)&1 != 0 && word(wordEnabled)&1 != 0,
		Solid: word(wordRotation) == 1,
	}, nil
}

// swapped reads text of so many words, each with its first letter in the high byte.
func swapped(page []byte, at, words int) string {
	text := make([]byte, 0, 2*words)
	for n := at; n < at+words; n++ {
		text = append(text, page[2*n+1], page[2*n])
	}
	return sensors.Plain(string(text))
}
