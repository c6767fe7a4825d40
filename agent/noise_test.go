package agent

import (
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

func TestFramesAreSaidAgainOnANoisyLineAsFarAsItHasRoom(t *testing.T) {
	const frame = 53
	at := pair.Instant(time.Hour)
	for _, c := range []struct {
		baud int
		beat time.Duration
		want int
	}{
		{115200, 50 * time.Millisecond, 3},
		{38400, 50 * time.Millisecond, 1},  // a frame takes 15 ms
		{57600, 65 * time.Millisecond, 2},  // 10 ms
		{230400, 5 * time.Millisecond, 1},  // profile fast fills its line
		{9600, 125 * time.Millisecond, 1},  // and slow
		{0, 50 * time.Millisecond, 1},      // Ethernet
		{921600, 50 * time.Millisecond, 3}, // never more
	} {
		l := noise{baud: c.baud, beat: c.beat}
		if n := l.times(at, 0, frame); n != 1 {
			t.Errorf("%d baud: said %d times on a quiet line", c.baud, n)
		}
		if n := l.times(at, 7, frame); n != c.want {
			t.Errorf("%d baud: said %d times on a noisy line, want %d", c.baud, n, c.want)
		}
		if n := l.times(at.Add(noisyFor-1), 7, frame); n != c.want {
			t.Errorf("%d baud: said %d times a moment before the noise is over", c.baud, n)
		}
		if n := l.times(at.Add(noisyFor), 7, frame); n != 1 {
			t.Errorf("%d baud: said %d times when the noise is over", c.baud, n)
		}
	}
}
