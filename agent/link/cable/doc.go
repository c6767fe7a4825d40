//go:build !lite

// Package cable decides what a serial cable is and how fast it may be, from what
// two programs, one at each end, tell each other over it; it refuses to take a
// cable for more than was seen of it.
//
// Start reading at [Test]. Both ends speak at [Base] baud in the frames of
// agent/wire, unsealed, since nothing rests on what they say but the report:
//
//	HELLO nonce heard     until both have heard both; the higher nonce leads
//	ASK seq verb args     the leader; repeated until it is answered
//	ANSWER seq words      the follower; the same again for the same seq
//
// The verbs are LINES (read your modem lines), SET dtr rts (your outputs, then
// read), RATE baud (go there and come back, by [Times]), RESULT (what you
// counted; the leader's count goes along) and BYE. At the rate the leader
// sends frames as long as a beat, which come back as they are, then both send a
// known sequence of bits at once. Whatever was heard there or not, both return
// to Base by the clock, so that a rate at which nothing passes costs nothing but
// its time.
package cable

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/link/serial"
)

// Base is the line speed at which two tests meet.
const Base = 9600

// Rates are the line speeds that are tried.
var Rates = []int{9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}

// A Wire is an open port. See [serial.Raw] for what its methods mean.
type Wire interface {
	SetBaud(baud int) error
	Read(p []byte, within time.Duration) (int, error)
	Write(p []byte, within time.Duration) error
	Sent(within time.Duration)
	Flush() error
	Inputs() (serial.Inputs, error)
	SetOutputs(dtr, rts bool) error
}

var _ Wire = (*serial.Raw)(nil)

// Times are how long the parts of a test take. Both ends need the same, but for
// Meet.
type Times struct {
	Meet   time.Duration // how long the other end is waited for
	Settle time.Duration // after a change of lines or of the speed
	Echo   time.Duration // frames there and back, at each rate
	Stream time.Duration // bits both ways, at each rate
	Tries  int           // of a question that is not answered
}

// Usual are the times of the command: at most 60 s to meet, 50 s for the rest.
var Usual = Times{Meet: time.Minute, Settle: 150 * time.Millisecond, Echo: 1500 * time.Millisecond, Stream: 1500 * time.Millisecond, Tries: 5}

// whole is how long a rate takes, from the change to it until the return.
func (t Times) whole() time.Duration { return t.Echo + t.Stream + 6*t.Settle }
