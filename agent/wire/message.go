package wire

import "time"

// Limits of a frame.
const (
	MaxFrame  = 256 // bytes of one payload, before serial framing; a longer one is dropped
	MaxGroups = 8   // groups of one frame, as in agent/config
	MaxLinks  = 8   // links of one pair: HearsLinks has a bit for each
	MaxNode   = 15  // highest node id: it has four bits of the header
)

// MaxCounter is the last counter of a session, of DATA frames and of all others. At 200 beats a second it is
// reached after 124 days; [Endpoint.Worn] says so a day earlier.
const MaxCounter uint32 = 1<<31 - 1

// Limits of single fields; [Endpoint.Seal] refuses what exceeds them, because a
// silently smaller lease would let the peer take over too early.
const (
	MaxLease = 16383 * time.Millisecond // 14 bits of milliseconds
	MaxMode  = 3                        // 2 bits
	MaxState = 15                       // 4 bits
	MaxFlags = 15                       // 4 bits, of one group
)

// Saturation of ages: the value itself or anything longer.
const (
	MaxEchoAge     = 65535 * time.Millisecond
	MaxLinkEchoAge = 31744 * time.Millisecond
)

// AllGroups as a GroupIndex means every group of the frame.
const AllGroups uint8 = 0xff

// NoTimeToCritical means that no sensor is heading for its limit.
const NoTimeToCritical uint16 = 0xffff

// A Kind says what a frame is for.
type Kind uint8

// The kinds of frames.
const (
	Hello       Kind = 1 + iota // introduces nonces, see [Endpoint.Accept]
	Beat                        // the heartbeat
	Claim                       // the sender is about to take a group over
	Grant                       // the sender lets the receiver have a group
	Release                     // the sender asks the receiver to give a group up to it
	Released                    // the sender's gate is closed, the group is free
	Goodbye                     // the sender leaves and will come back passive
	FenceNotice                 // the sender has ordered the receiver to be switched off
	Data                        // tells what nothing is decided by, see [Items]
)

var kindNames = [...]string{
	Hello: "hello", Beat: "beat", Claim: "claim", Grant: "grant",
	Release: "release", Released: "released", Goodbye: "goodbye",
	FenceNotice: "fence-notice", Data: "data",
}

// String returns the kind in lower case as it appears in events.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// hasIndex tells whether frames of this kind name the group they are about.
func (k Kind) hasIndex() bool { return k >= Claim && k <= FenceNotice }

// Flags of a [Group].
const (
	Passive uint8 = 1 << iota // must not own the group before contact with the peer
	Unfit                     // cannot serve the group now
	FenceMe                   // could not stop the group cleanly, please switch me off
)

// A Group is what the sender says about one group: its state as agent/pair
// numbers it (at most MaxState), flags (at most MaxFlags) and its newest term.
type Group struct {
	State, Flags uint8
	Term         uint32
}

// A Message is a decoded frame. Callers reuse it: it holds no pointers into the
// frame it came from. A field the kind does not carry is zero after Open,
// except GroupIndex, which is AllGroups, and TimeToCritical, which is none.
type Message struct {
	Kind    Kind
	Node    uint8  // sender, 1..MaxNode; filled by Seal
	Link    uint8  // filled by Seal
	KeyID   uint8  // key that signed the frame; filled by Seal
	Session uint32 // 24 bits, never 0 but in a HELLO; filled by Seal
	Counter uint32 // of the sender, from NextCounter or, in DATA, from NextData; not in a HELLO

	// Echo is the newest counter heard from the receiver on any link, 0 for
	// none, and EchoAge how long before sending it was heard, rounded up to
	// ms and saturating at MaxEchoAge.
	Echo    uint32
	EchoAge time.Duration
	// LinkEcho is the newest counter heard on this link, for the round trip;
	// 0 for none or if it is more than 14 counters behind Echo. LinkEchoAge is
	// exact to the ms up to 127 ms, then one part in sixteen too small at most,
	// and saturates at MaxLinkEchoAge.
	LinkEcho    uint32
	LinkEchoAge time.Duration
	HearsLinks  uint8 // bit per link on which the sender hears the receiver now

	GroupIndex uint8 // the group this frame is about, or AllGroups
	Groups     [MaxGroups]Group
	NGroups    int

	Mode   uint8 // at most MaxMode
	Flags  uint8
	Health uint8
	// TimeToCritical is in seconds and travels in units of 4 s, from 512 s on
	// with an error of one part in sixteen, always rounded down.
	TimeToCritical uint16
	Lease          time.Duration // kernel lease and window of the sender, rounded up to ms
	Digest         uint32        // of the configuration
	Version        uint16        // of the software

	Items Items // of a DATA frame, which carries nothing else

	// The rest travels in a HELLO only and is filled by Seal.
	Nonce, PeerNonce [16]byte
	BootID           uint32
	Rekey            bool // the sender wants to replace the session both use
}
