package agent

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// Bounds of what is said again on a noisy serial line.
const (
	// noisyFor is how long a line counts as noisy after a damaged frame.
	noisyFor = 10 * time.Second

	// sayMost is how often a frame is said at most. At a bit error rate of
	// 10^-3 a line of 115200 baud loses every third frame, but only one in
	// twenty of those that are said three times: five in a row, which make
	// the peer claim the group, then come once in days and not in seconds.
	sayMost = 3

	// lineShare is the part of a line's time that heartbeats may take then.
	lineShare = 3

	// bitsPerByte is 8N1, and framing is what COBS, CRC and delimiter add to a
	// frame of ours in bytes.
	bitsPerByte = 10
	framing     = 4
)

// noise decides how often a frame is said on a serial line. What is damaged in
// one direction tells about the cable, and so about the other direction too.
// The receiver drops copies as duplicates.
type noise struct {
	baud    int           // 0: no serial line, everything is said once
	beat    time.Duration // between two heartbeats
	damaged uint64        // frames, as last counted
	until   pair.Instant
}

// times returns how often a payload of n bytes is to be said, given how many
// damaged frames the line has brought so far.
func (l *noise) times(now pair.Instant, damaged uint64, n int) int {
	if l.baud == 0 {
		return 1
	}
	if damaged != l.damaged {
		l.damaged, l.until = damaged, now.Add(noisyFor)
	}
	if now >= l.until {
		return 1
	}
	frame := time.Duration(n+framing) * bitsPerByte * time.Second / time.Duration(l.baud)
	return max(1, min(sayMost, int(l.beat/lineShare/frame)))
}
