package pair

import (
	"fmt"
	"slices"
)

// The names of the states, by wire code.
var stateNames = [...]string{
	Boot: "BOOT", Standby: "STANDBY", Armed: "ARMED", Fencing: "FENCING", Active: "ACTIVE", Solo: "SOLO",
	Releasing: "RELEASING", Isolated: "ISOLATED", Maintenance: "MAINTENANCE", Failed: "FAILED",
}

// String returns the state's name in capitals, as DESIGN and status print it.
func (s State) String() string { return name(stateNames[:], "STATE", uint8(s)) }

// Owns reports whether a node that says it is in this state may have its gate open.
func (s State) Owns() bool { return s == Active || s == Solo || s == Releasing }

var modeNames = [...]string{ModeFence: "fence", ModeSilence: "silence", ModeLease: "lease"}

// String returns the mode's name as the configuration spells it.
func (m Mode) String() string { return name(modeNames[:], "mode", uint8(m)) }

// ModeNamed returns the mode that the configuration spells so.
func ModeNamed(s string) (m Mode, ok bool) {
	i := slices.Index(modeNames[:], s)
	return Mode(i), i >= 0 && s != ""
}

var failbackNames = [...]string{FailbackNever: "never", FailbackAuto: "auto", FailbackHold: "hold"}

// String returns the policy's name as the configuration spells it.
func (f Failback) String() string { return name(failbackNames[:], "failback", uint8(f)) }

// FailbackNamed returns the policy that the configuration spells so.
func FailbackNamed(s string) (f Failback, ok bool) {
	i := slices.Index(failbackNames[:], s)
	return Failback(i), i >= 0 && s != ""
}

var evidenceNames = [...]string{
	EvidenceFence: "fence", EvidenceReleased: "released", EvidenceGrant: "grant", EvidenceGoodbye: "goodbye",
	EvidenceAdopted: "adopted", EvidenceLease: "lease", EvidenceSilence: "silence", EvidenceOperator: "operator",
}

// String returns the evidence class in one word; empty if there is none.
func (e Evidence) String() string {
	if e == 0 {
		return ""
	}
	return name(evidenceNames[:], "evidence", uint8(e))
}

var kindNames = [...]string{
	Beat: "BEAT", Claim: "CLAIM", Grant: "GRANT", Release: "RELEASE", Released: "RELEASED",
	Goodbye: "GOODBYE", FenceNotice: "FENCE_NOTICE",
}

// String returns the frame kind's name in capitals.
func (k Kind) String() string { return name(kindNames[:], "KIND", uint8(k)) }

var opNames = [...]string{
	OpHandover: "handover", OpTake: "take", OpMaintenance: "maintenance", OpResume: "resume", OpConfirmDead: "confirm-dead",
}

// String returns the order as an operator types it.
func (o Op) String() string { return name(opNames[:], "order", uint8(o)) }

var lineNames = [...]string{"unknown", "up", "down"}

// String returns what the modem lines say in one word.
func (l LineState) String() string { return name(lineNames[:], "lines", uint8(l)) }

// name returns names[i], or the prefix and the number for a code from a newer peer.
func name(names []string, prefix string, i uint8) string {
	if int(i) < len(names) && names[i] != "" {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", prefix, i)
}
