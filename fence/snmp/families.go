package snmp

import "strings"

// An order is a command: one value to one column of the outlet's row.
type order struct {
	column string
	value  int
}

// A meter is a place where a load may be read. The first of a family's that
// exists and shows a value counts.
type meter struct {
	scope string // as in fence.Load
	unit  string
	scale float64 // of one step, in unit

	// column holds the value, in the outlet's row with tail behind its index.
	// With via and match it is in another table instead: in the first row whose
	// match is the outlet's via. module, if there is one, must be the outlet's,
	// too, as in a chain each strip has rows for the same phases.
	column, tail       string
	via, match, module string

	// digits, if there is one, holds the number of decimals; scale is not used.
	digits string
	// counted, if there is one, says how many outlets have such a meter. Where
	// none has, the column may read 0 with the load on.
	counted string
}

// A mark is an object by which firmware with renumbered columns is told apart.
type mark struct {
	oid  string
	word string // that its text has, or
	not  bool   // has not
}

// A family is a kind of device with one outlet table. All names are dotted
// numbers; columns are without index. Source: the vendors' MIBs, as named.
type family struct {
	name string // "vendor-kind"

	// ids are the sysObjectIDs under which such a device may be found, below
	// enterprises: itself and all below it, or with a "=" itself alone. An id
	// proves nothing: metered strips have those of switched ones.
	ids  []string
	mark mark

	status      string // column that is read
	isOn, isOff int
	on, off     order
	depth       int  // numbers in an index
	blind       bool // the command's column need not be readable

	pending                 string
	pendingYes, pendingNone int
	outletName              string
	module, number          string // in a chain: the strip's number, and the outlet's on it
	count                   string // of outlets that can be switched; an object, not a column
	model, serial, firmware []string
	meters                  []meter
}

func (f *family) vendor() string {
	vendor, _, _ := strings.Cut(f.name, "-")
	return vendor
}

// claims says whether a device with this sysObjectID may be of the family.
func (f *family) claims(id string) bool {
	id, ok := strings.CutPrefix(id, enterprises)
	if !ok {
		return false
	}
	for _, own := range f.ids {
		if exact, only := strings.CutSuffix(own, "="); only && id == exact {
			return true
		}
		if id == own || strings.HasPrefix(id, own+".") {
			return true
		}
	}
	return false
}

// proves says whether the firmware is of the family, by the text of its mark.
func (m mark) proves(text string, there bool) bool {
	if m.oid == "" {
		return true
	}
	return (there && strings.Contains(text, m.word)) != m.not
}

const (
	sysObjectID = "1.3.6.1.2.1.1.2.0" // SNMPv2-MIB
	apc         = enterprises + "318.1.1."
	raritan     = enterprises + "13742."
	eaton       = enterprises + "534.6.6.7."
	sentry3     = enterprises + "1718.3."
	sentry4     = enterprises + "1718.4.1."
	cyberpower  = enterprises + "3808.1.1.3."
	tripplite   = enterprises + "850."
	ibm         = enterprises + "2.6.223."
)

// families, best first: a device is of the first whose ids claim its
// sysObjectID and whose table it has. Orders are the immediate ones only.
//
// Beware in APC's tables (PowerNet-MIB): 1 is on in one and off in the next;
// 4 is a delayed on here, unknown there; MasterSwitch Plus takes 3 for off.
var families = []family{
	rPDU2("apc-rpdu2", "318.1.3.4.6", "318="),
	// AP79xxB answer to three tables; this one tells of strange states.
	rPDU2("apc-rpdub", "318.1.3.4.8"),
	{
		name: "apc-rpdu", // AP79xx; rPDUOutletStatusTable
		ids:  []string{"318.1.3.4.5", "318.1.3.4.6", "318.1.3.4.8", "318="},

		status: apc + "12.3.5.1.1.4", isOn: 1, isOff: 2, depth: 1,
		on: order{apc + "12.3.3.1.1.4", 1}, off: order{apc + "12.3.3.1.1.4", 2},
		pending: apc + "12.3.5.1.1.5", pendingYes: 1, pendingNone: 2,

		outletName: apc + "12.3.5.1.1.2", count: apc + "12.3.1.3.0",
		model:    []string{apc + "12.1.5.0", apc + "4.1.4.0"},
		serial:   []string{apc + "12.1.6.0", apc + "4.1.5.0"},
		firmware: []string{apc + "12.1.3.0", apc + "4.1.2.0"},
		meters: []meter{
			{scope: "outlet", unit: "A", scale: 0.1, column: apc + "12.3.5.1.1.7", counted: apc + "12.3.1.5.0"},
			{scope: "bank", unit: "A", scale: 0.1, column: apc + "12.2.3.1.1.2", via: apc + "12.3.5.1.1.6", match: apc + "12.2.3.1.1.5"},
			{scope: "phase", unit: "A", scale: 0.1, column: apc + "12.2.3.1.1.2", via: apc + "12.3.5.1.1.3", match: apc + "12.2.3.1.1.4"},
		},
	},
	{
		name: "apc-msp", // MasterSwitch Plus; index is strip and outlet
		ids:  []string{"318.1.3.4.4", "318="},

		status: apc + "6.7.1.1.5", isOn: 1, isOff: 2, depth: 2,
		on: order{apc + "6.5.1.1.5", 1}, off: order{apc + "6.5.1.1.5", 3},
		pending: apc + "6.7.1.1.6", pendingYes: 1, pendingNone: 2,

		outletName: apc + "6.7.1.1.4",
		model:      []string{apc + "6.1.2.1.6.1"},
		serial:     []string{apc + "6.1.2.1.7.1"},
		firmware:   []string{apc + "6.1.2.1.4.1"},
	},
	{
		name: "apc-vm", // MasterSwitch VM; index is strip and outlet
		ids:  []string{"318.1.3.4.3", "318="},

		status: apc + "5.5.1.1.5", isOn: 1, isOff: 2, depth: 2,
		on: order{apc + "5.5.1.1.5", 1}, off: order{apc + "5.5.1.1.5", 2},

		outletName: apc + "5.5.1.1.4",
		model:      []string{apc + "5.1.2.1.6.1"},
		serial:     []string{apc + "5.1.2.1.7.1"},
		firmware:   []string{apc + "5.1.2.1.4.1"},
	},
	{
		name: "apc-epdu", // Easy PDU
		ids:  []string{"318.1.3.4.9", "318.1.3.4.7", "318="},

		status: apc + "30.6.1.1.4", isOn: 2, isOff: 1, depth: 1,
		on: order{apc + "30.6.2.1.4", 1}, off: order{apc + "30.6.2.1.4", 2},

		module: apc + "30.6.1.1.2", number: apc + "30.6.1.1.3", count: apc + "30.5.0",
		model:    []string{apc + "30.2.1.1.4.1"},
		serial:   []string{apc + "30.2.1.1.5.1"},
		firmware: []string{apc + "30.2.1.1.3.1"},
	},
	{
		name: "apc-spdu", // MasterSwitch; the oldest table, which many later ones answer, too
		ids:  []string{"318.1.3.4.1", "318.1.3.4.2", "318.1.3.4.5", "318.1.3.4.6", "318.1.3.4.7", "318.1.3.4.8", "318="},

		status: apc + "4.4.2.1.3", isOn: 1, isOff: 2, depth: 1,
		on: order{apc + "4.4.2.1.3", 1}, off: order{apc + "4.4.2.1.3", 2},
		pending: apc + "4.4.2.1.2", pendingYes: 1, pendingNone: 2,

		outletName: apc + "4.4.2.1.4", count: apc + "4.4.1.0",
		model: []string{apc + "4.1.4.0"}, serial: []string{apc + "4.1.5.0"}, firmware: []string{apc + "4.1.2.0"},
	},
	{
		name: "raritan-px2", // PX2, PX3; PDU2-MIB; index is strip and outlet
		ids:  []string{"13742.6", "13742="},

		status: raritan + "6.4.1.2.1.3", isOn: 7, isOff: 8, depth: 2, blind: true,
		on: order{raritan + "6.4.1.2.1.2", 1}, off: order{raritan + "6.4.1.2.1.2", 0},

		outletName: raritan + "6.3.5.3.1.3", count: raritan + "6.3.2.2.1.4.1",
		model:    []string{raritan + "6.3.2.1.1.3.1"},
		serial:   []string{raritan + "6.3.2.1.1.4.1"},
		firmware: []string{raritan + "6.3.2.3.1.6.1.1.1"},
		meters: []meter{ // sensor types: 1 rmsCurrent, 5 activePower
			{scope: "outlet", unit: "A", column: raritan + "6.5.4.3.1.4", tail: ".1", digits: raritan + "6.3.5.4.1.7"},
			{scope: "outlet", unit: "W", column: raritan + "6.5.4.3.1.4", tail: ".5", digits: raritan + "6.3.5.4.1.7"},
		},
	},
	{
		name: "raritan-px1", // Dominion PX; PDU-MIB
		ids:  []string{"13742.4", "13742.1", "13742="},

		status: raritan + "4.1.2.2.1.3", isOn: 1, isOff: 0, depth: 1,
		on: order{raritan + "4.1.2.2.1.3", 1}, off: order{raritan + "4.1.2.2.1.3", 0},

		outletName: raritan + "4.1.2.2.1.2", count: raritan + "4.1.2.1.0",
		model:    []string{raritan + "4.1.1.12.0"},
		serial:   []string{raritan + "4.1.1.2.0"},
		firmware: []string{raritan + "4.1.1.1.0"},
		meters:   []meter{{scope: "outlet", unit: "A", scale: 0.001, column: raritan + "4.1.2.2.1.4"}},
	},
	{
		name: "eaton-epdu", // G2, G3; EATON-EPDU-MIB; index is strip and outlet, strips from 0
		ids:  []string{"534.6.6.7"},

		// Orders take the seconds to wait: 0 is at once, for off and for on.
		status: eaton + "6.6.1.2", isOn: 1, isOff: 0, depth: 2,
		on: order{eaton + "6.6.1.4", 0}, off: order{eaton + "6.6.1.3", 0},

		outletName: eaton + "6.1.1.3", count: eaton + "1.2.1.22.0",
		model:    []string{eaton + "1.2.1.2.0", eaton + "1.2.1.3.0"},
		serial:   []string{eaton + "1.2.1.4.0"},
		firmware: []string{eaton + "1.2.1.5.0"},
		meters: []meter{
			{scope: "outlet", unit: "A", scale: 0.001, column: eaton + "6.4.1.3"},
			{scope: "outlet", unit: "W", scale: 1, column: eaton + "6.5.1.3"},
		},
	},
	{
		name: "sentry-3", // Server Technology; Sentry3-MIB; index is tower, infeed, outlet
		ids:  []string{"1718.3"},

		status: sentry3 + "2.3.1.5", isOn: 1, isOff: 0, depth: 3,
		on: order{sentry3 + "2.3.1.11", 1}, off: order{sentry3 + "2.3.1.11", 2},

		outletName: sentry3 + "2.3.1.3",
		model:      []string{sentry3 + "2.1.1.7.1"},
		serial:     []string{sentry3 + "2.1.1.6.1", sentry3 + "1.2.0"},
		firmware:   []string{sentry3 + "1.1.0"},
		meters:     []meter{{scope: "outlet", unit: "A", scale: 0.01, column: sentry3 + "2.3.1.7"}},
	},
	{
		name: "sentry-4", // Sentry4-MIB; index is unit, cord, outlet
		ids:  []string{"1718.4"},

		status: sentry4 + "8.3.1.1", isOn: 1, isOff: 2, depth: 3,
		on: order{sentry4 + "8.5.1.2", 1}, off: order{sentry4 + "8.5.1.2", 2},

		outletName: sentry4 + "8.2.1.3",
		model:      []string{sentry4 + "2.2.1.5.1"},
		serial:     []string{sentry4 + "2.2.1.4.1"},
		firmware:   []string{sentry4 + "1.1.3.0"},
		meters:     []meter{{scope: "outlet", unit: "A", scale: 0.01, column: sentry4 + "8.3.1.3"}},
	},
	{
		name: "cyberpower-epdu", // CPS-MIB
		ids:  []string{"3808.1.1.3"},

		status: cyberpower + "3.5.1.1.4", isOn: 1, isOff: 2, depth: 1,
		on: order{cyberpower + "3.3.1.1.4", 1}, off: order{cyberpower + "3.3.1.1.4", 2},
		pending: cyberpower + "3.5.1.1.5", pendingYes: 1, pendingNone: 2,

		outletName: cyberpower + "3.5.1.1.2", count: cyberpower + "3.1.3.0",
		model:    []string{cyberpower + "1.5.0"},
		serial:   []string{cyberpower + "1.6.0"},
		firmware: []string{cyberpower + "1.3.0"},
		meters: []meter{
			{scope: "outlet", unit: "W", scale: 1, column: cyberpower + "3.5.1.1.8", counted: cyberpower + "3.1.5.0"},
			{scope: "outlet", unit: "A", scale: 0.1, column: cyberpower + "3.5.1.1.7", counted: cyberpower + "3.1.5.0"},
			{scope: "bank", unit: "A", scale: 0.1, column: cyberpower + "2.3.1.1.2", via: cyberpower + "3.5.1.1.6", match: cyberpower + "2.3.1.1.5"},
		},
	},
	{
		name: "tripplite-lx", // with WEBCARDLX; TRIPPLITE-PRODUCTS-MIB; index is device and outlet
		ids:  []string{"850.1"},

		status: tripplite + "1.1.3.2.3.3.1.1.4", isOn: 2, isOff: 1, depth: 2,
		on: order{tripplite + "1.1.3.2.3.3.1.1.6", 2}, off: order{tripplite + "1.1.3.2.3.3.1.1.6", 1},

		outletName: tripplite + "1.1.3.2.3.3.1.1.2", count: tripplite + "1.1.3.2.1.2.1.4.1",
		model:    []string{tripplite + "1.1.1.2.1.5.1"},
		serial:   []string{tripplite + "1.1.2.1.1.5.1"},
		firmware: []string{tripplite + "1.1.2.1.1.4.1"},
		meters:   []meter{{scope: "outlet", unit: "W", scale: 1, column: tripplite + "1.1.3.2.3.3.1.1.9"}},
	},
	{
		name: "tripplite-pdu", // TRIPPLITE-MIB; index is device and outlet
		ids:  []string{"850.1", "850.10"},

		status: tripplite + "10.2.3.5.1.2", isOn: 2, isOff: 1, depth: 2,
		on: order{tripplite + "10.2.3.5.1.4", 2}, off: order{tripplite + "10.2.3.5.1.4", 1},

		outletName: tripplite + "10.2.3.5.1.5",
	},
	// IBM moved the state from column 11 to 13 and put a threshold in 11; 0 in
	// it would read as off. The firmware's name tells which is which.
	iPDU("ibm-ipdu", "11", mark{ibm + "7.3.0", "sLEN", true}, "7"),
	iPDU("ibm-ipdu2", "13", mark{ibm + "7.3.0", "sLEN", false}, "9"),
}

// rPDU2 is the family of AP8xxx and APDU9xxx; rPDU2OutletSwitchedStatusTable.
// One index runs through a whole chain of strips.
func rPDU2(name string, ids ...string) family {
	const table = apc + "26.9.2.3.1."
	return family{
		name: name, ids: ids,

		status: table + "5", isOn: 2, isOff: 1, depth: 1,
		on: order{apc + "26.9.2.4.1.5", 1}, off: order{apc + "26.9.2.4.1.5", 2},
		pending: table + "6", pendingYes: 1, pendingNone: 2,

		outletName: table + "3", module: table + "2", number: table + "4", count: apc + "26.9.1.0",
		model:    []string{apc + "26.2.1.8.1", apc + "12.1.5.0", apc + "4.1.4.0"},
		serial:   []string{apc + "26.2.1.9.1", apc + "12.1.6.0", apc + "4.1.5.0"},
		firmware: []string{apc + "26.2.1.6.1", apc + "12.1.3.0", apc + "4.1.2.0"},
		meters: []meter{
			{scope: "outlet", unit: "W", scale: 1, column: apc + "26.9.4.3.1.7"},
			{scope: "outlet", unit: "A", scale: 0.1, column: apc + "26.9.4.3.1.6"},
			{
				scope: "bank", unit: "A", scale: 0.1, column: apc + "26.8.3.1.5",
				via: apc + "26.9.2.2.1.6", match: apc + "26.8.3.1.3", module: apc + "26.8.3.1.2",
			},
			{
				scope: "phase", unit: "A", scale: 0.1, column: apc + "26.6.3.1.5",
				via: apc + "26.9.2.2.1.5", match: apc + "26.6.3.1.3", module: apc + "26.6.3.1.2",
			},
			{scope: "device", unit: "W", scale: 10, column: apc + "26.4.3.1.5", via: table + "2", match: apc + "26.4.3.1.2"},
		},
	}
}

// iPDU is the family of IBM's strips, IBM-PDU-MIB, with its state and current
// in the given columns. Orders go to the column of the state.
func iPDU(name, state string, m mark, current string) family {
	const table = ibm + "8.2.2.1."
	return family{
		name: name, ids: []string{"2.6.223"}, mark: m,

		status: table + state, isOn: 1, isOff: 0, depth: 1,
		on: order{table + state, 1}, off: order{table + state, 0},

		outletName: table + "2", count: ibm + "8.2.1.0",
		model:    []string{ibm + "7.5.0"},
		serial:   []string{ibm + "7.9.0"},
		firmware: []string{ibm + "7.3.0"},
		meters:   []meter{{scope: "outlet", unit: "A", scale: 0.001, column: table + current}},
	}
}
