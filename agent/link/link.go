// Package link carries frames over the paths to the peer: it decides when a
// path is opened, reopened and counted as up, and it refuses to look into a
// frame. Nothing that arrives here is authentic; package wire decides that.
// Start reading at [Link]; link/serial and link/mcast are the two kinds of it.
package link

import (
	"context"
	"errors"
	"fmt"
)

// MaxPayload is the longest payload in bytes that a link sends or delivers.
// The protocol's frames are at most half as long; what is longer is refused
// on the way out and counted as an error on the way in.
const MaxPayload = 512

// ErrDown is returned by Send while the path is closed, for example because
// its device has vanished. The frame is counted as dropped.
var ErrDown = errors.New("link is down")

// ErrTooLong is returned by Send for a payload beyond [MaxPayload] or beyond
// the limit the link was made with.
var ErrTooLong = errors.New("payload is too long")

// A Link is one path to the peer.
type Link interface {
	// Name says which path this is, for people: "serial /dev/ttyS1",
	// "multicast eth2 239.255.77.1:6940".
	Name() string

	// Send hands one payload to the path and never blocks. The payload is
	// copied. A nil error means that the kernel or the writer took the frame,
	// not that it reached anybody.
	Send(payload []byte) error

	// Run opens the path, delivers what arrives to receive and reopens the
	// path after a failure with a bounded backoff. It returns only when ctx
	// ends. A payload is valid only during the callback, which must not block.
	Run(ctx context.Context, receive func(payload []byte)) error

	// Drain delivers, to Run's receive but in the caller's goroutine, what has
	// arrived and was not read yet, without waiting for anything: whoever is
	// about to judge a silence calls it first. It does nothing while the
	// path is closed or its reader is at work, and stops after [DrainMost]
	// reads: a flood must not keep the caller.
	Drain()

	// Stats returns the state and the counters of the path.
	Stats() Stats
}

// DrainMost bounds the reads of one Drain. A beat is one datagram, and a turn
// of the loop sends few orders beside it; what is more waits for the next turn.
const DrainMost = 16

// An Attender is a link whose reader costs a thread that wakes up for each
// piece of a frame.
type Attender interface {
	// Attend says how the link is to be read from now on: closely, by that
	// reader, or else only when Drain is called. At first it is closely.
	Attend(closely bool)
}

// A Liner is a link that can see modem lines of its cable.
type Liner interface {
	// Lines returns the newest reading and what is known about the cable. It
	// does not touch the device.
	Lines() (LineState, CableClass)

	// Heard tells the link that an authentic frame of the peer came in over
	// it. Without that the cable stays unknown.
	Heard()
}

// A LineState is what the modem lines say about the peer's port. It is
// evidence to hurry or to wait, never proof: one hand can pull both cables.
type LineState uint8

const (
	// LinesUnknown means that the lines say nothing: there are none, the cable
	// does not carry them, or it is not known yet whether it does.
	LinesUnknown LineState = iota
	// LinesUp means that DSR and CTS are both raised: the peer has power and
	// some process holds its port open. A hung peer keeps them up.
	LinesUp
	// LinesDown means that DSR and CTS both fell on a cable that carries them:
	// the peer lost power, was reset or closed its port, or the cable is out.
	LinesDown
)

// String returns the state in one word.
func (s LineState) String() string {
	switch s {
	case LinesUnknown:
		return "unknown"
	case LinesUp:
		return "up"
	case LinesDown:
		return "down"
	}
	return fmt.Sprintf("LineState(%d)", uint8(s))
}

// A CableClass says which modem lines a null-modem cable carries.
type CableClass uint8

const (
	// CableUnknown means that nothing has been learned yet.
	CableUnknown CableClass = iota
	// CableThreeWire carries data only: the peer was heard while DSR and CTS
	// were both down.
	CableThreeWire
	// CableHalfLoop ties our own DTR or RTS back to our own inputs, so the
	// lines mirror us and say nothing about the peer.
	CableHalfLoop
	// CableFull carries the peer's DTR and RTS to our DSR and CTS: both were
	// up while the peer was heard. A loop at our own plug looks the same until
	// the own-line test has been run.
	CableFull
)

// String returns the class in words.
func (c CableClass) String() string {
	switch c {
	case CableUnknown:
		return "unknown"
	case CableThreeWire:
		return "three-wire"
	case CableHalfLoop:
		return "half-loop"
	case CableFull:
		return "full"
	}
	return fmt.Sprintf("CableClass(%d)", uint8(c))
}
