// Package accord decides what two nodes tell each other beside heartbeats, in the
// items of DATA frames, and what follows from it: which keys of their
// configurations differ, whether the LAN believes that the owner's hardware
// address has the addresses, and what a node saw of the other's last end. It
// refuses to decide who owns anything, and keeps every list within a bound, since
// a peer may be of another version. Start reading at [Differ] and [Judge].
package accord

// Types of items. A number is never given to another meaning: nodes of two
// versions run side by side.
const (
	TypeKeys    uint8 = 1 // a part of the list of tables or keys, see [Differ]
	TypeHolder  uint8 = 2 // a [Holder]
	TypeFinding uint8 = 3 // a [Finding]
	TypeEnding  uint8 = 4 // an [Ending]
)
