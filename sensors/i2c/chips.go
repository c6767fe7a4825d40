package i2c

import (
	"fmt"
	"math"
	"slices"

	"github.com/twinbeat/twinbeat/sensors"
)

// A chip is one row of the table: where it may be, how it is known, and what
// its registers mean.
type chip struct {
	name        string
	first, last uint8   // addresses that its pins allow
	only        []uint8 // of those, if not all
	sheet       string
	ids         []id
	values      []value
	talk        func(c conn, p params) ([]float64, error) // instead of registers: a value each
}

// An id is a register that tells the chip from others.
type id struct {
	at   uint8
	wide bool
	mask uint16
	want uint16
}

// A value is one measurement.
type value struct {
	name string
	kind sensors.Kind
	at   uint8   // register
	wide bool    // of 16 bits, the higher byte first; else of 8
	low  uint8   // register of the lower byte of one of 8; 0: there is none
	with []uint8 // registers of 8 bits that decide what it means
	amps bool    // decode gives the volts across the shunt
	// decode returns the value, and why it is none.
	decode func(raw uint16, with []uint8) (float64, string)
}

// params are what the configuration says of a chip's surroundings.
type params struct {
	shunt float64 // ohms
	vref  float64 // volts
}

// fixed decodes a temperature in two's complement: its upper bits, each lsb
// degrees. A bus whose data line hangs high reads as ones, which would be a
// believable temperature just below zero.
func fixed(bits int, lsb float64) func(uint16, []uint8) (float64, string) {
	return func(raw uint16, _ []uint8) (float64, string) {
		if raw == math.MaxUint16 {
			return 0, allOnes
		}
		return float64(int16(raw)>>(16-bits)) * lsb, ""
	}
}

// Why a value is none.
const (
	allOnes  = "reads nothing but ones"
	noDiode  = "the chip says that no diode is connected"
	notYet   = "the chip has not measured yet"
	overflow = "the chip says that its range does not suffice"
)

func thermometer(decode func(uint16, []uint8) (float64, string)) []value {
	return []value{{name: "temperature", kind: sensors.Temperature, at: 0, wide: true, decode: decode}}
}

// chips is the table. Letters after the data sheet's number are left out where
// later revisions did not change the registers.
var chips = []chip{
	{name: "lm75", first: 0x48, last: 0x4f, sheet: "TI SNOS808 7.4.2, 9 bits", values: thermometer(fixed(9, 0.5))},
	{name: "lm75b", first: 0x48, last: 0x4f, sheet: "NXP LM75B 7.4.3, 11 bits", values: thermometer(fixed(11, 0.125))},
	{name: "tmp100", first: 0x48, last: 0x4f, sheet: "TI SBOS231 7.5.2, 12 bits", values: thermometer(fixed(12, 0.0625))},
	{name: "tmp102", first: 0x48, last: 0x4b, sheet: "TI SBOS397 6.5.2, 12 bits, or 13 as the lowest bit tells", values: thermometer(extended)},
	{name: "tmp105", first: 0x48, last: 0x4f, sheet: "TI SBOS648 7.5.2, 12 bits", values: thermometer(fixed(12, 0.0625))},
	{name: "tmp112", first: 0x48, last: 0x4b, sheet: "TI SBOS473 7.5.2, as tmp102", values: thermometer(extended)},
	{name: "tmp117", first: 0x48, last: 0x4b, sheet: "TI SNOSD82 7.6, 16 bits", ids: []id{{0x0f, true, 0x0fff, 0x0117}}, values: thermometer(tmp117)},
	{name: "tmp175", first: 0x28, last: 0x4f, sheet: "TI SBOS288 7.5.2, 12 bits", values: thermometer(fixed(12, 0.0625))},
	{name: "tmp1075", first: 0x48, last: 0x4f, sheet: "TI SBOS854 7.6, 12 bits", ids: []id{{0x0f, true, 0xff00, 0x7500}}, values: thermometer(fixed(12, 0.0625))},
	// The upper 13 bits are the same in both of its resolutions.
	{name: "adt7410", first: 0x48, last: 0x4b, sheet: "ADI ADT7410 tables 8 and 10, 13 bits", ids: []id{{0x0b, false, 0xf8, 0xc8}}, values: thermometer(fixed(13, 0.0625))},
	{name: "mcp9808", first: 0x18, last: 0x1f, sheet: "Microchip DS25095 5.1.3, 13 bits under three flags", ids: []id{{0x06, true, 0xffff, 0x0054}, {0x07, true, 0xff00, 0x0400}}, values: []value{
		{name: "temperature", kind: sensors.Temperature, at: 0x05, wide: true, decode: func(raw uint16, _ []uint8) (float64, string) {
			if raw == math.MaxUint16 {
				return 0, allOnes
			}
			return float64(int16(raw<<3)>>3) * 0.0625, ""
		}},
	}},
	{name: "emc1413", first: 0x1c, last: 0x7c, only: []uint8{0x1c, 0x3c, 0x4c, 0x4d, 0x5c, 0x6c, 0x7c}, sheet: "Microchip DS20005274 6.1 to 6.20, 11 bits, an offset of 64 by configuration bit 2", ids: []id{{0xfd, false, 0xff, 0x21}, {0xfe, false, 0xff, 0x5d}}, values: []value{
		{name: "internal", kind: sensors.Temperature, at: 0x00, low: 0x29, with: []uint8{0x03}, decode: emc(0)},
		{name: "diode1", kind: sensors.Temperature, at: 0x01, low: 0x10, with: []uint8{0x03, 0x1b}, decode: emc(1)},
		{name: "diode2", kind: sensors.Temperature, at: 0x23, low: 0x24, with: []uint8{0x03, 0x1b}, decode: emc(2)},
	}},
	{name: "tmp421", first: 0x1c, last: 0x4f, only: []uint8{0x1c, 0x1d, 0x1e, 0x1f, 0x2a, 0x4c, 0x4d, 0x4e, 0x4f}, sheet: "TI SBOS398 tables 3 to 6, 12 bits, an offset of 64 by configuration bit 2", ids: []id{{0xfe, false, 0xff, 0x55}, {0xff, false, 0xff, 0x21}}, values: []value{
		{name: "internal", kind: sensors.Temperature, at: 0x00, low: 0x10, with: []uint8{0x09}, decode: tmp421},
		{name: "diode1", kind: sensors.Temperature, at: 0x01, low: 0x11, with: []uint8{0x09}, decode: tmp421},
	}},
	{name: "max6639", first: 0x2c, last: 0x2f, sheet: "Maxim 19-3682 tables 1 to 8, 11 bits without a sign", ids: []id{{0x3d, false, 0xff, 0x58}, {0x3e, false, 0xff, 0x4d}}, values: []value{
		{name: "diode1", kind: sensors.Temperature, at: 0x00, low: 0x05, decode: max6639},
		{name: "diode2", kind: sensors.Temperature, at: 0x01, low: 0x06, decode: max6639},
		{name: "fan1", kind: sensors.Fan, at: 0x20, with: []uint8{0x10}, decode: max6639fan},
		{name: "fan2", kind: sensors.Fan, at: 0x21, with: []uint8{0x14}, decode: max6639fan},
	}},
	{name: "ina219", first: 0x40, last: 0x4f, sheet: "TI SBOS448 8.6.3: 10 uV and 4 mV", values: []value{
		{name: "voltage", kind: sensors.Voltage, at: 0x02, wide: true, decode: func(raw uint16, _ []uint8) (float64, string) {
			if raw&1 != 0 {
				return 0, overflow
			}
			return float64(raw>>3) * 4e-3, ""
		}},
		{name: "current", kind: sensors.Current, at: 0x01, wide: true, amps: true, decode: signed(0, 10e-6)},
	}},
	{name: "ina226", first: 0x40, last: 0x4f, sheet: "TI SBOS547 7.6.1: 2.5 uV and 1.25 mV", ids: []id{{0xfe, true, 0xffff, 0x5449}, {0xff, true, 0xfff0, 0x2260}}, values: []value{
		{name: "voltage", kind: sensors.Voltage, at: 0x02, wide: true, decode: signed(0, 1.25e-3)},
		{name: "current", kind: sensors.Current, at: 0x01, wide: true, amps: true, decode: signed(0, 2.5e-6)},
	}},
	{name: "ina3221", first: 0x40, last: 0x43, sheet: "TI SBOS576 8.6.2: 40 uV and 8 mV in the upper 13 bits", ids: []id{{0xfe, true, 0xffff, 0x5449}, {0xff, true, 0xffff, 0x3220}}, values: []value{
		{name: "voltage1", kind: sensors.Voltage, at: 0x02, wide: true, decode: signed(3, 8e-3)},
		{name: "current1", kind: sensors.Current, at: 0x01, wide: true, amps: true, decode: signed(3, 40e-6)},
		{name: "voltage2", kind: sensors.Voltage, at: 0x04, wide: true, decode: signed(3, 8e-3)},
		{name: "current2", kind: sensors.Current, at: 0x03, wide: true, amps: true, decode: signed(3, 40e-6)},
		{name: "voltage3", kind: sensors.Voltage, at: 0x06, wide: true, decode: signed(3, 8e-3)},
		{name: "current3", kind: sensors.Current, at: 0x05, wide: true, amps: true, decode: signed(3, 40e-6)},
	}},
	{name: "pcf8591", first: 0x48, last: 0x4f, sheet: "NXP PCF8591 7.2: four inputs of 8 bits, parts of the reference voltage", talk: pcf8591, values: []value{
		{name: "voltage0", kind: sensors.Voltage},
		{name: "voltage1", kind: sensors.Voltage},
		{name: "voltage2", kind: sensors.Voltage},
		{name: "voltage3", kind: sensors.Voltage},
	}},
	{name: "sht3x", first: 0x44, last: 0x45, sheet: "Sensirion SHT3x-DIS 4.3, 4.12 and 4.13", talk: sht3x, values: []value{
		{name: "temperature", kind: sensors.Temperature}, {name: "humidity", kind: sensors.Humidity},
	}},
}

// Names lists the chips, in the order of the table.
func Names() []string {
	var all []string
	for _, c := range chips {
		all = append(all, c.name)
	}
	return all
}

// mayBe says whether the chip can have an address.
func (c chip) mayBe(addr uint8) bool {
	return addr >= c.first && addr <= c.last && (c.only == nil || slices.Contains(c.only, addr))
}

func find(name string) (chip, error) {
	for _, c := range chips {
		if c.name == name {
			return c, nil
		}
	}
	return chip{}, fmt.Errorf("chip %q is not in the table of chips", name)
}

// signed decodes what stands above so many bits, each lsb volts.
func signed(above int, lsb float64) func(uint16, []uint8) (float64, string) {
	return func(raw uint16, _ []uint8) (float64, string) { return float64(int16(raw)>>above) * lsb, "" }
}

// extended is the temperature of a chip whose lowest bit tells that it has one
// more bit than 12.
func extended(raw uint16, with []uint8) (float64, string) {
	if raw&1 != 0 {
		return fixed(13, 0.0625)(raw, with)
	}
	return fixed(12, 0.0625)(raw, with)
}

func tmp117(raw uint16, with []uint8) (float64, string) {
	if raw == 0x8000 { // its value after reset
		return 0, notYet
	}
	return fixed(16, 0.0078125)(raw, with)
}

// offset is what chips with two diodes take off in their extended range.
const offset = 64

// emc decodes a channel of EMC1413: with are its configuration, and for a diode
// the register of those that are missing.
func emc(channel int) func(uint16, []uint8) (float64, string) {
	return func(raw uint16, with []uint8) (float64, string) {
		if len(with) > 1 && with[1]>>channel&1 != 0 {
			return 0, noDiode
		}
		if with[0]&4 != 0 {
			return float64(raw>>5)*0.125 - offset, ""
		}
		return float64(int16(raw)>>5) * 0.125, ""
	}
}

// tmp421 decodes a channel: the lowest bits of the lower byte tell of an open
// input and of an invalid value.
func tmp421(raw uint16, with []uint8) (float64, string) {
	if raw&3 != 0 {
		return 0, noDiode
	}
	if with[0]&4 != 0 {
		return float64(raw>>4)*0.0625 - offset, ""
	}
	return float64(int16(raw)>>4) * 0.0625, ""
}

// max6639 decodes a channel: the lowest bit of the extended byte is the diode's fault.
func max6639(raw uint16, _ []uint8) (float64, string) {
	if raw&1 != 0 {
		return 0, noDiode
	}
	return float64(raw>>5) * 0.125, ""
}

// ranges of MAX6639 by the two lowest bits of a fan's configuration, RPM.
var ranges = [...]float64{2000, 4000, 8000, 16000}

// max6639fan decodes a count of 8 bits between two pulses of a fan, which gives
// two a turn. 255 is a fan that stands or is slower than the range.
func max6639fan(raw uint16, with []uint8) (float64, string) {
	if raw == 0 {
		return 0, notYet
	}
	if raw == 255 {
		return 0, ""
	}
	return ranges[with[0]&3] * 30 / float64(raw), ""
}
