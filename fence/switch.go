package fence

import (
	"context"
	"fmt"
	"strings"
)

// A Power is what an outlet was read to be.
type Power uint8

// The powers. The zero Power claims nothing.
const (
	PowerUnknown Power = iota
	PowerOn
	PowerOff
)

// String returns the power in lower case, as status prints it.
func (p Power) String() string {
	switch p {
	case PowerOn:
		return "on"
	case PowerOff:
		return "off"
	default:
		return "unknown"
	}
}

// A Pending says whether a command of an outlet has yet to be carried out.
type Pending uint8

// The states of a command. The zero Pending is of a device that does not tell.
const (
	PendingUntold Pending = iota
	PendingNone
	PendingYes
	// PendingUnknown is of a device that tells of commands, but says that it
	// does not know now (APC's commandPendingUnknown: it wants a restart).
	PendingUnknown
)

// String returns the word that status prints.
func (p Pending) String() string {
	switch p {
	case PendingNone:
		return "none"
	case PendingYes:
		return "pending"
	case PendingUnknown:
		return "unknown"
	default:
		return "untold"
	}
}

// A Load is what a meter shows. The zero Load is of a device without a meter.
type Load struct {
	Scope string  // what is metered: "outlet", "bank", "phase" or "device"; empty: nothing
	Value float64 // in Unit
	Unit  string  // "A" or "W"
}

// Metered says whether there is a reading at all.
func (l Load) Metered() bool { return l.Scope != "" }

// String returns the value, unit and scope in one line.
func (l Load) String() string {
	if !l.Metered() {
		return "not metered"
	}
	return fmt.Sprintf("%.4g %s (%s)", l.Value, l.Unit, l.Scope)
}

// A Reading is what a device said about one outlet at one moment.
type Reading struct {
	Power   Power
	Pending Pending
	Load    Load
	Raw     string // object and value as the device gave them, for the history
}

// An Identity is what a device says of itself, and of the outlet it was asked
// about. An empty field is one that the device does not tell.
type Identity struct {
	Family   string // the driver's name of the device's kind: "apc-rpdu2", "shelly-gen2"
	ObjectID string // sysObjectID, dotted, without a leading dot; SNMP only
	Model    string
	Serial   string
	Firmware string
	Outlets  int    // that can be switched; 0: not told
	Outlet   string // index of the outlet, if one was asked about
	Name     string // its name in the device
}

// String returns the known fields in one line.
func (i Identity) String() string {
	var b strings.Builder
	add := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s %q", key, value)
		}
	}
	b.WriteString(i.Family)
	add("object", i.ObjectID)
	add("model", i.Model)
	add("serial", i.Serial)
	add("firmware", i.Firmware)
	if i.Outlets > 0 {
		fmt.Fprintf(&b, " with %d outlets", i.Outlets)
	}
	add("outlet", i.Outlet)
	add("name", i.Name)
	return strings.TrimSpace(b.String())
}

// A Switch is one outlet (or one box behind a BMC) as a driver reaches it. What
// its commands return proves nothing; see Prover. Making one does no I/O: the
// device may be away while the agent starts. All methods obey their context.
type Switch interface {
	Name() string
	// SwitchOff gives the immediate off command once; never a delayed one and
	// never the device's own reboot.
	SwitchOff(ctx context.Context) error
	// SwitchOn gives the immediate on command once.
	SwitchOn(ctx context.Context) error
	// Read reads the outlet; an error comes only with PowerUnknown.
	Read(ctx context.Context) (Reading, error)
	// Word says whose word a reading is: "of the command", "of the outlet
	// table by SNMP". It completes the evidence "by the word ...".
	Word() string
}

// An Identifier is a Switch or Unit that can say what it is.
type Identifier interface {
	Identify(ctx context.Context) (Identity, error)
}

// An Outlet is one line of a Unit's list.
type Outlet struct {
	Index string // by which the device addresses it
	Name  string
	Reading
}

// A Unit is a power switch with outlets, or a BMC with its one box.
type Unit interface {
	Identifier
	// Outlet returns the switch of an outlet by its index or its name in the
	// device. A name is looked up anew for each operation, and must be unique;
	// that it exists shows only then.
	Outlet(selector string) (Switch, error)
	// List reads all outlets.
	List(ctx context.Context) ([]Outlet, error)
}
