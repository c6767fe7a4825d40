package fence

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that a driver wraps where a Check or an Off must tell them from a
// device that cannot be reached.
var (
	// ErrNotSwitchable says that the device answers, but cannot switch the
	// outlet: it is metered only, or the user may only read.
	ErrNotSwitchable = errors.New("outlet cannot be switched")
	// ErrNoOutlet says that the device answers, but has no such outlet.
	ErrNoOutlet = errors.New("no such outlet")
	// ErrAlreadyOff says that the device took the off command in and answered
	// that there is nothing to switch, as it is off. A reading must agree.
	ErrAlreadyOff = errors.New("it is off already")
	// ErrPin says that a device or outlet is not the one that was pinned.
	ErrPin = errors.New("not the pinned device")
)

// A Pin is what an Identity must be for a Feed to be the right one. An empty
// field is not pinned.
type Pin struct {
	ObjectID string // sysObjectID, dotted
	Family   string
	Model    string
	Serial   string
	Name     string // of the outlet, in the device
	Outlets  int    // how many the device can switch
}

// Empty says whether nothing is pinned.
func (p Pin) Empty() bool { return p == Pin{} }

// Check returns nil if the identity has every pinned field, and an error that
// wraps ErrPin and names each that differs otherwise. A field that the device
// does not tell differs.
func (p Pin) Check(is Identity) error {
	var wrong []string
	compare := func(what, want, got string) {
		if want != "" && want != got {
			wrong = append(wrong, fmt.Sprintf("%s is %q, pinned %q", what, got, want))
		}
	}
	compare("object id", p.ObjectID, strings.TrimPrefix(is.ObjectID, "."))
	compare("family", p.Family, is.Family)
	compare("model", p.Model, is.Model)
	compare("serial", p.Serial, is.Serial)
	compare("outlet name", p.Name, is.Name)
	if p.Outlets > 0 && p.Outlets != is.Outlets {
		wrong = append(wrong, fmt.Sprintf("it has %d outlets, pinned %d", is.Outlets, p.Outlets))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrPin, strings.Join(wrong, ", "))
}

// A Feed is one outlet that feeds a node.
type Feed struct {
	Switch Switch
	Pin    Pin
	// Unit names the device that the outlet is of. The coarse meter of a bank
	// or phase counts for all feeds of one unit together.
	Unit string
	// Draw is what the node draws from this outlet while all is well, if it is
	// known from an earlier off. Without it a coarse meter says nothing.
	Draw Load
}

// Kinds of a Finding.
const (
	FindingUnreachable   = "unreachable"    // it does not answer
	FindingIdentity      = "other device"   // it is not what was pinned: it will not be switched
	FindingChanged       = "changed"        // it is not what it was at the check before
	FindingNoOutlet      = "no such outlet" // renumbered or renamed
	FindingNotSwitchable = "not switchable" // metered only, or no right to write
	FindingPending       = "pending"        // a delayed command waits in it, or it cannot say
	FindingPower         = "unknown power"  // it answers, but neither on nor off
	FindingLoad          = "load while off" // reads off and draws: welded, or another outlet's
	FindingSetting       = "setting"        // the device may switch the outlet by itself, or obeys no command
)

// A Finding is what a Check found wrong with one feed. Each makes a fencing
// fail or doubtful, so it is an alarm while all is well.
type Finding struct {
	Device string `json:"device"` // name of the feed
	Kind   string `json:"kind"`   // one of the constants
	Detail string `json:"detail"`
}

// String returns the finding in one line.
func (f Finding) String() string { return f.Device + ": " + f.Kind + ": " + f.Detail }
