//go:build !lite && !no_chips

package config

import (
	"fmt"
	"strings"
)

// ChipNames are the chips of sensors/i2c.
var ChipNames = []string{
	"lm75", "lm75b", "tmp100", "tmp102", "tmp105", "tmp112", "tmp117", "tmp175", "tmp1075", "adt7410", "mcp9808", "emc1413", "tmp421",
	"max6639", "ina219", "ina226", "ina3221", "pcf8591", "sht3x",
}

var chipKeys = []key{
	{path: "sensors.smart", kind: sections, doc: "Drives that are asked for their own health: the log of NVMe, the SMART attributes of ATA, also behind a bridge that passes ATA commands. One that sleeps is left asleep. Up to 32.", more: "[[sensors.smart]]\ndevice = \"/dev/nvme0\""},
	{path: "sensors.smart.device", kind: textByNode, required: true, show: `{ fw1 = "/dev/sda", fw2 = "/dev/sda" }`, doc: "The drive; /dev/disk/by-id/... stays the same. Empty: not on this node."},
	{path: "sensors.smart.every", kind: duration, def: `"10m"`, min: minute, max: 24 * hour, doc: "Between two looks."},
	{path: "sensors.i2c", kind: sections, doc: "Chips on an I2C bus for which the kernel has no driver. An address that a driver has is not touched, and no bus is searched. Up to 32."},
	{path: "sensors.i2c.name", kind: text, required: true, show: `"board"`, doc: "What it is called, 1 to 32 of a-z, 0-9, dash and underscore; its readings are i2c/NAME/VALUE."},
	{path: "sensors.i2c.chip", kind: text, required: true, oneOf: ChipNames, show: `"tmp105"`, doc: "Which chip it is. Most tell by a register, and are not read if they tell otherwise."},
	{path: "sensors.i2c.bus", kind: textByNode, required: true, show: `{ fw1 = "i2c-1", fw2 = "i2c-1" }`, doc: "The bus by number, or the whole name of its adapter, which stays when buses are numbered anew: `i2cdetect -l`. Empty: not on this node."},
	{path: "sensors.i2c.address", kind: number, required: true, min: 0x08, max: 0x7f, show: "0x48", doc: "Its address of 7 bits, as i2cdetect shows it."},
	{path: "sensors.i2c.mux", kind: number, hidden: true, def: "0", max: 0x77, show: "0x70", doc: "Address of a TCA9548 or PCA9548 before it, which is opened for each look and closed again. 0: none."},
	{path: "sensors.i2c.channel", kind: number, hidden: true, def: "0", max: 7, show: "3", doc: "Channel of the mux."},
	{path: "sensors.i2c.shunt", kind: decimal, hidden: true, show: "0.1", doc: "ina219, ina226, ina3221: the shunt in ohms. Default: 0.1."},
	{path: "sensors.i2c.vref", kind: decimal, hidden: true, show: "3.3", doc: "pcf8591: the reference in volts. Default: 3.3."},
	{path: "sensors.i2c.every", kind: duration, def: `"2s"`, min: second, max: 10 * second, doc: "Between two looks."},
	{path: "sensors.ups", kind: sections, doc: "UPSs, asked by the daemon that watches them. On battery is an alarm, and a peer on the mains takes over; with a low battery it does so without waiting once three looks have said so. One that cannot be asked is an alarm after a minute, and no reason to move. Up to 32."},
	{path: "sensors.ups.name", kind: text, required: true, show: `"rack"`, doc: "What it is called; its readings are ups/NAME/VALUE."},
	{path: "sensors.ups.daemon", kind: text, required: true, oneOf: []string{"nut", "apcupsd"}, show: `"nut"`, doc: "nut: upsd of Network UPS Tools. apcupsd: its network information server."},
	{path: "sensors.ups.address", kind: textByNode, show: `{ fw1 = "192.0.2.30", fw2 = "192.0.2.31:3493" }`, doc: "Where the daemon listens, HOST or HOST:PORT. Default: this node, and ports 3493 and 3551."},
	{path: "sensors.ups.ups", kind: textByNode, show: `{ fw1 = "ups-a", fw2 = "ups-b" }`, doc: "nut: which of its UPSs feeds the node. Default: the only one."},
	{path: "sensors.ups.every", kind: duration, def: `"5s"`, min: second, max: minute, doc: "Between two looks."},
	{path: "sensors.ups.timeout", kind: duration, def: `"3s"`, min: 100 * ms, max: minute, doc: "A daemon that has not answered for so long is not heard."},
}

// chips reads what the kernel does not: drives, buses and UPSs.
func (p *parser) chips(t table, s *Sensors) {
	for _, sub := range t.few("smart") {
		if d := p.smartDrive(sub); d.Device != "" {
			s.Smart = append(s.Smart, d)
		}
	}
	seen := map[string]bool{}
	for _, sub := range t.few("i2c") {
		c := p.i2cChip(sub)
		sub.once(c.Name, seen)
		if c.Bus != "" {
			s.I2C = append(s.I2C, c)
		}
	}
	clear(seen)
	for _, sub := range t.few("ups") {
		u := p.ups(sub)
		sub.once(u.Name, seen)
		s.UPS = append(s.UPS, u)
	}
}

// few opens sections, and none if they are too many.
func (t table) few(name string) []table {
	all := t.tables(name)
	if len(all) > MaxChips {
		t.report(name, fmt.Sprintf("%d sections", len(all)), fmt.Sprintf("%d at most", MaxChips))
		return nil
	}
	return all
}

// once reports a name that stood before.
func (t table) once(name string, seen map[string]bool) {
	if seen[name] && name != "" {
		t.report("name", fmt.Sprintf("%q stands twice", name), "each has its own name")
	}
	seen[name] = true
}

// mine reads what may differ between the nodes.
func (t table) mine(name string, valid func(string) (hint string, ok bool)) string {
	return t.perNode(name, valid)[t.config.Self]
}

func (p *parser) smartDrive(t table) SmartDrive {
	device := func(s string) (string, bool) {
		hint, ok := isDeviceFile(s)
		return strings.Replace(hint, "watchdog1", "sda", 1), ok || s == ""
	}
	return SmartDrive{Device: t.mine("device", device), Every: t.duration("every")}
}

func (p *parser) i2cChip(t table) I2CChip {
	bus := func(s string) (string, bool) {
		return "a number, or the name of an adapter as `i2cdetect -l` shows it", len(s) <= maxAdapter
	}
	c := I2CChip{
		Name: t.name(), Chip: t.text("chip"), Bus: t.mine("bus", bus), Address: uint8(t.number("address")), Mux: uint8(t.number("mux")),
		Channel: uint8(t.number("channel")), Shunt: t.decimal("shunt"), Vref: t.decimal("vref"), Every: t.duration("every"),
	}
	where, known := chipsAt[c.Chip]
	if known && c.Address != 0 && !where.has(c.Address) {
		t.report("address", fmt.Sprintf("%#02x is none of a %s", c.Address, c.Chip), "its pins allow "+where.String())
	}
	if c.Mux != 0 && c.Mux < firstMux {
		t.report("mux", fmt.Sprintf("%#02x is none of a multiplexer", c.Mux), "its pins allow 0x70 to 0x77")
	}
	if t.has("channel") && c.Mux == 0 {
		t.report("channel", "there is no mux", "add mux, or leave channel out")
	}
	for name, v := range map[string]float64{"shunt": c.Shunt, "vref": c.Vref} {
		if v <= 0 || v > maxOhmsOrVolts {
			t.report(name, fmt.Sprintf("%g is not possible", v), fmt.Sprintf("more than 0, %d at most", maxOhmsOrVolts))
		}
	}
	return c
}

const (
	maxAdapter     = 64 // bytes of an adapter's name; the kernel has 48
	firstMux       = 0x70
	maxOhmsOrVolts = 100
)

func (p *parser) ups(t table) UPS {
	plain := func(s string) (string, bool) {
		return "its name in ups.conf: no space, no quotes", len(s) <= maxName && !strings.ContainsAny(s, " \"\\\t")
	}
	u := UPS{
		Name: t.name(), Daemon: t.text("daemon"), Address: t.mine("address", isFenceAddress), UPS: t.mine("ups", plain),
		Every: t.duration("every"), Timeout: t.duration("timeout"),
	}
	if t.has("ups") && u.Daemon == "apcupsd" {
		t.report("ups", "does not go with daemon apcupsd", "each apcupsd has one UPS: leave ups out")
	}
	return u
}

// places are the addresses that a chip's pins allow.
type places struct {
	first, last uint8
	only        []uint8 // nil: all between
}

func (p places) has(a uint8) bool {
	if a < p.first || a > p.last {
		return false
	}
	for _, one := range p.only {
		if one == a {
			return true
		}
	}
	return p.only == nil
}

// String lists them for a hint.
func (p places) String() string {
	if p.only == nil {
		return fmt.Sprintf("%#02x to %#02x", p.first, p.last)
	}
	var all []string
	for _, a := range p.only {
		all = append(all, fmt.Sprintf("%#02x", a))
	}
	return strings.Join(all, ", ")
}

// chipsAt says where each chip may be; sensors/i2c has the same table, and a
// test of the agent compares them.
var chipsAt = map[string]places{
	"lm75": {0x48, 0x4f, nil}, "lm75b": {0x48, 0x4f, nil}, "tmp100": {0x48, 0x4f, nil}, "tmp102": {0x48, 0x4b, nil},
	"tmp105": {0x48, 0x4f, nil}, "tmp112": {0x48, 0x4b, nil}, "tmp117": {0x48, 0x4b, nil}, "tmp175": {0x28, 0x4f, nil},
	"tmp1075": {0x48, 0x4f, nil}, "adt7410": {0x48, 0x4b, nil}, "mcp9808": {0x18, 0x1f, nil},
	"emc1413": {0x1c, 0x7c, []uint8{0x1c, 0x3c, 0x4c, 0x4d, 0x5c, 0x6c, 0x7c}},
	"tmp421":  {0x1c, 0x4f, []uint8{0x1c, 0x1d, 0x1e, 0x1f, 0x2a, 0x4c, 0x4d, 0x4e, 0x4f}},
	"max6639": {0x2c, 0x2f, nil}, "ina219": {0x40, 0x4f, nil}, "ina226": {0x40, 0x4f, nil}, "ina3221": {0x40, 0x43, nil},
	"pcf8591": {0x48, 0x4f, nil}, "sht3x": {0x44, 0x45, nil},
}

// ChipAt says whether a chip's pins allow an address.
func ChipAt(chip string, address uint8) bool {
	p, ok := chipsAt[chip]
	return ok && p.has(address)
}
