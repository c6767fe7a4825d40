package snmptest

import (
	"fmt"
	"strconv"
	"strings"
)

// A Shape is a kind of PDU as the vendor's MIB has it. It is written down here
// a second time on purpose: a table of the driver that is wrong must not be
// confirmed by itself.
type Shape struct {
	Name     string // as the driver names the family
	ObjectID string // sysObjectID

	index          string // of outlet N, with a verb %d
	status         string // column
	on, off        int
	control        string                 // column that takes orders
	orders         map[int]string         // what each value of it does: on, off, reboot, later, ...
	onColumn       string                 // Eaton has a column for each order, which takes seconds
	pending        string                 // column
	name           string                 // column
	module, number string                 // columns of a chain
	count          string                 // object
	fixed          map[string]any         // other objects
	load           func(draw float64) any // value of an outlet's own meter
	loadColumn     string
	loadTail       string
	total          string // object with the load of all outlets
	totalLoad      func(draw float64) any
	via            map[string]any // columns of each outlet with one value
}

const (
	root = "1.3.6.1.4.1."
	p    = root + "318.1.1."
)

// Gauge is a value of type Gauge32.
type Gauge uint32

// Object is a value of type OBJECT IDENTIFIER.
type Object string

func amps(step float64) func(float64) any {
	return func(draw float64) any { return int(draw/230/step + 0.5) }
}

func gauge(f func(float64) any) func(float64) any {
	return func(draw float64) any { return Gauge(f(draw).(int)) }
}

func watts(draw float64) any { return int(draw + 0.5) }

// apcOrders are the orders of most of APC's tables.
var apcOrders = map[int]string{1: "on", 2: "off", 3: "reboot", 4: "later on", 5: "later off", 6: "later reboot", 7: "cancel"}

// Shapes are all kinds that a test can ask for.
var Shapes = []Shape{
	{
		Name: "apc-spdu", ObjectID: root + "318.1.3.4.2", index: "%d",
		status: p + "4.4.2.1.3", on: 1, off: 2, control: p + "4.4.2.1.3",
		orders:  map[int]string{1: "on", 2: "off", 3: "reboot", 5: "later on", 6: "later off", 7: "later reboot"},
		pending: p + "4.4.2.1.2", name: p + "4.4.2.1.4", count: p + "4.4.1.0",
		fixed: map[string]any{p + "4.1.4.0": "AP9606", p + "4.1.5.0": "WA0123456789", p + "4.1.2.0": "v2.2.1"},
	},
	{
		Name: "apc-vm", ObjectID: root + "318.1.3.4.3", index: "1.%d",
		status: p + "5.5.1.1.5", on: 1, off: 2, control: p + "5.5.1.1.5", orders: apcOrders, name: p + "5.5.1.1.4",
		fixed: map[string]any{p + "5.1.2.1.6.1": "AP9224", p + "5.1.2.1.7.1": "VM0123456789"},
	},
	{
		Name: "apc-msp", ObjectID: root + "318.1.3.4.4", index: "1.%d",
		status: p + "6.7.1.1.5", on: 1, off: 2, control: p + "6.5.1.1.5",
		orders:  map[int]string{1: "on", 2: "later on", 3: "off", 4: "reboot", 5: "reboot", 6: "later off", 8: "cancel"},
		pending: p + "6.7.1.1.6", name: p + "6.7.1.1.4",
		fixed: map[string]any{p + "6.1.2.1.6.1": "AP9225", p + "6.1.2.1.7.1": "MP0123456789", p + "6.1.2.1.4.1": "v2.1.0"},
	},
	{
		Name: "apc-rpdu", ObjectID: root + "318.1.3.4.5", index: "%d",
		status: p + "12.3.5.1.1.4", on: 1, off: 2, control: p + "12.3.3.1.1.4", orders: apcOrders,
		pending: p + "12.3.5.1.1.5", name: p + "12.3.5.1.1.2", count: p + "12.3.1.3.0",
		fixed: map[string]any{
			p + "12.1.5.0": "AP7900", p + "12.1.6.0": "5A1234E00874", p + "12.1.3.0": "v3.7.3",
			p + "12.3.1.5.0": 0, p + "12.2.3.1.1.4.1": 1, p + "12.2.3.1.1.5.1": 0,
		},
		via:   map[string]any{p + "12.3.5.1.1.3": 1, p + "12.3.5.1.1.6": 0, p + "12.3.5.1.1.7": Gauge(0)},
		total: p + "12.2.3.1.1.2.1", totalLoad: gauge(amps(0.1)),
	},
	rPDU2("apc-rpdu2", "318.1.3.4.6", "AP8959EU3"),
	rPDU2("apc-rpdub", "318.1.3.4.8", "AP7900B"),
	{
		Name: "apc-epdu", ObjectID: root + "318.1.3.4.9", index: "%d",
		status: p + "30.6.1.1.4", on: 2, off: 1, control: p + "30.6.2.1.4", orders: map[int]string{1: "on", 2: "off", 3: "nothing"},
		module: p + "30.6.1.1.2", number: p + "30.6.1.1.3", count: p + "30.5.0",
		fixed: map[string]any{p + "30.2.1.1.4.1": "EPDU1116S", p + "30.2.1.1.5.1": "506255602541", p + "30.2.1.1.3.1": "Ver11.10"},
	},
	{
		Name: "raritan-px1", ObjectID: root + "13742.4", index: "%d",
		status: root + "13742.4.1.2.2.1.3", on: 1, off: 0, control: root + "13742.4.1.2.2.1.3",
		orders: map[int]string{0: "off", 1: "on", 2: "reboot"},
		name:   root + "13742.4.1.2.2.1.2", count: root + "13742.4.1.2.1.0",
		fixed: map[string]any{root + "13742.4.1.1.12.0": "DPXS12", root + "13742.4.1.1.2.0": "AEI8850418"},
		load:  gauge(amps(0.001)), loadColumn: root + "13742.4.1.2.2.1.4",
	},
	{
		Name: "raritan-px2", ObjectID: root + "13742.6", index: "1.%d",
		status: root + "13742.6.4.1.2.1.3", on: 7, off: 8, control: root + "13742.6.4.1.2.1.2",
		orders: map[int]string{0: "off", 1: "on", 2: "reboot"},
		name:   root + "13742.6.3.5.3.1.3", count: root + "13742.6.3.2.2.1.4.1",
		fixed: map[string]any{root + "13742.6.3.2.1.1.3.1": "PX2-2145R", root + "13742.6.3.2.1.1.4.1": "QJF5750001"},
		load:  gauge(amps(0.001)), loadColumn: root + "13742.6.5.4.3.1.4", loadTail: ".1",
		via: map[string]any{root + "13742.6.3.5.4.1.7%.1": Gauge(3)},
	},
	{
		Name: "eaton-epdu", ObjectID: root + "534.6.6.7", index: "0.%d",
		status: root + "534.6.6.7.6.6.1.2", on: 1, off: 0, control: root + "534.6.6.7.6.6.1.3",
		orders:   map[int]string{0: "off", -1: "cancel"},
		onColumn: root + "534.6.6.7.6.6.1.4",
		name:     root + "534.6.6.7.6.1.1.3", count: root + "534.6.6.7.1.2.1.22.0",
		fixed: map[string]any{root + "534.6.6.7.1.2.1.3.0": "EMA114-10", root + "534.6.6.7.1.2.1.4.0": "H619P44058"},
		load:  amps(0.001), loadColumn: root + "534.6.6.7.6.4.1.3",
	},
	{
		Name: "sentry-3", ObjectID: root + "1718.3", index: "1.1.%d",
		status: root + "1718.3.2.3.1.5", on: 1, off: 0, control: root + "1718.3.2.3.1.11",
		orders: map[int]string{0: "nothing", 1: "on", 2: "off", 3: "reboot"},
		name:   root + "1718.3.2.3.1.3",
		fixed:  map[string]any{root + "1718.3.2.1.1.7.1": "CWG-30VDE455/CB", root + "1718.3.2.1.1.6.1": "ADFC0001714"},
		load:   amps(0.01), loadColumn: root + "1718.3.2.3.1.7",
	},
	{
		Name: "sentry-4", ObjectID: root + "1718.4", index: "1.1.%d",
		status: root + "1718.4.1.8.3.1.1", on: 1, off: 2, control: root + "1718.4.1.8.5.1.2",
		orders: map[int]string{0: "nothing", 1: "on", 2: "off", 3: "reboot", 4: "later on", 5: "later off", 6: "later reboot"},
		name:   root + "1718.4.1.8.2.1.3",
		fixed:  map[string]any{root + "1718.4.1.2.2.1.5.1": "C2WG24SN", root + "1718.4.1.2.2.1.4.1": "AAHB0000001"},
		load:   amps(0.01), loadColumn: root + "1718.4.1.8.3.1.3",
	},
	{
		Name: "cyberpower-epdu", ObjectID: root + "3808.1.1.3", index: "%d",
		status: root + "3808.1.1.3.3.5.1.1.4", on: 1, off: 2, control: root + "3808.1.1.3.3.3.1.1.4", orders: apcOrders,
		pending: root + "3808.1.1.3.3.5.1.1.5", name: root + "3808.1.1.3.3.5.1.1.2", count: root + "3808.1.1.3.3.1.3.0",
		fixed: map[string]any{root + "3808.1.1.3.1.5.0": "PDU81005", root + "3808.1.1.3.1.6.0": "GBKGV2000001", root + "3808.1.1.3.3.1.5.0": 8},
		load:  gauge(watts), loadColumn: root + "3808.1.1.3.3.5.1.1.8",
	},
	{
		Name: "tripplite-pdu", ObjectID: root + "850.1", index: "1.%d",
		status: root + "850.10.2.3.5.1.2", on: 2, off: 1, control: root + "850.10.2.3.5.1.4",
		orders: map[int]string{1: "off", 2: "on", 3: "reboot"}, name: root + "850.10.2.3.5.1.5",
	},
	{
		Name: "tripplite-lx", ObjectID: root + "850.1.1.1", index: "1.%d",
		status: root + "850.1.1.3.2.3.3.1.1.4", on: 2, off: 1, control: root + "850.1.1.3.2.3.3.1.1.6",
		orders: map[int]string{0: "nothing", 1: "off", 2: "on", 3: "reboot"}, name: root + "850.1.1.3.2.3.3.1.1.2",
		count: root + "850.1.1.3.2.1.2.1.4.1",
		fixed: map[string]any{root + "850.1.1.1.2.1.5.1": "PDUMH15NET2LX", root + "850.1.1.2.1.1.5.1": "2952AY0SI0001"},
	},
	iPDU("ibm-ipdu", "11", "OPDP_sIBM_v01.3_2"),
	iPDU("ibm-ipdu2", "13", "OPDP_sLEN_v01.4_1"),
}

func rPDU2(name, id, model string) Shape {
	return Shape{
		Name: name, ObjectID: root + id, index: "%d",
		status: p + "26.9.2.3.1.5", on: 2, off: 1, control: p + "26.9.2.4.1.5",
		orders: map[int]string{
			1: "on", 2: "off", 3: "reboot", 4: "nothing", 5: "later on", 6: "later off", 7: "later reboot", 8: "cancel",
		},
		pending: p + "26.9.2.3.1.6", name: p + "26.9.2.3.1.3",
		module: p + "26.9.2.3.1.2", number: p + "26.9.2.3.1.4", count: p + "26.9.1.0",
		fixed: map[string]any{
			p + "26.2.1.8.1": model, p + "26.2.1.9.1": "5A1638E01463", p + "26.2.1.6.1": "v6.4.0", p + "26.4.3.1.5.1": -1,
		},
		load: watts, loadColumn: p + "26.9.4.3.1.7",
	}
}

func iPDU(name, state, version string) Shape {
	const table = root + "2.6.223.8.2.2.1."
	s := Shape{
		Name: name, ObjectID: root + "2.6.223", index: "%d",
		status: table + state, on: 1, off: 0, control: table + state,
		orders: map[int]string{0: "off", 1: "on", 2: "reboot", 3: "later", 4: "later", 5: "later"},
		name:   table + "2", count: root + "2.6.223.8.2.1.0",
		fixed: map[string]any{root + "2.6.223.7.3.0": version, root + "2.6.223.7.5.0": "46M4002", root + "2.6.223.7.9.0": "23K001"},
		load:  gauge(amps(0.001)), loadColumn: table + "7",
	}
	if state == "13" {
		s.loadColumn = table + "9"
		s.via = map[string]any{table + "11": 0} // a threshold of no milliamperes
	}
	return s
}

// ShapeOf returns the shape with a name, and panics if there is none.
func ShapeOf(name string) Shape {
	for _, s := range Shapes {
		if s.Name == name {
			return s
		}
	}
	panic("snmptest: no shape " + name)
}

// row is the name of an object of outlet n, from 1, in a column.
func (s *Shape) row(column string, n int) string {
	column, tail, _ := strings.Cut(column, "%")
	return column + "." + fmt.Sprintf(s.index, n) + tail
}

// Metered says whether each outlet has a meter of its own.
func (s *Shape) Metered() bool { return s.load != nil }

// Pends says whether the shape tells of pending commands.
func (s *Shape) Pends() bool { return s.pending != "" }

// Named says whether outlets have names.
func (s *Shape) Named() bool { return s.name != "" }

// Counts says whether the shape tells how many outlets it switches.
func (s *Shape) Counts() bool { return s.count != "" }

// Selector is the index of outlet n in the shape's table.
func (s *Shape) Selector(n int) string { return fmt.Sprintf(s.index, n) }

// IsOff says whether "object=value" is the immediate off of an outlet.
func (s *Shape) IsOff(set string) bool {
	oid, value, _ := strings.Cut(set, "=")
	for n, what := range s.orders {
		if what == "off" && value == strconv.Itoa(n) && strings.HasPrefix(oid, s.control+".") {
			return true
		}
	}
	return false
}
