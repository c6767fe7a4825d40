package agent

import (
	"crypto/rand"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// epoch makes the instant zero lie before every reading: zero means never.
var epoch = time.Now().Add(-time.Hour)

// monotonic reads CLOCK_MONOTONIC.
func monotonic() pair.Instant { return pair.Instant(time.Since(epoch)) }

// suspended returns how long the machine was suspended since it booted:
// CLOCK_BOOTTIME counts it, CLOCK_MONOTONIC does not (clock_gettime(2)).
func suspended() time.Duration {
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - mono.Nano())
}

// nonce returns fresh randomness for a handshake.
func nonce() (n [16]byte) {
	rand.Read(n[:]) // never fails since Go 1.24; it aborts the process instead
	return n
}
