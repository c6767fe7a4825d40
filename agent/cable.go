//go:build !lite

package agent

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/twinbeat/twinbeat/agent/link/cable"
	"github.com/twinbeat/twinbeat/agent/link/serial"
)

// TestCable tests the cable of a serial device together with another such test
// at its other end. It refuses a device that another process has open, and names
// that. The error wraps cable.ErrNobody if no test answers.
func TestCable(device string, t cable.Times, say func(format string, args ...any)) (cable.Report, error) {
	holders, err := serial.Holders(device)
	if err != nil {
		return cable.Report{}, err
	}
	if len(holders) > 0 {
		return cable.Report{}, &HeldError{device, holders}
	}
	raw, err := serial.OpenRaw(device, cable.Base)
	if err != nil {
		return cable.Report{}, err
	}
	defer raw.Close()
	say("waiting for the same command on the other box, %s at most", t.Meet)
	return cable.Test(raw, t, rand.Uint64()>>1|1, say) // never zero, and fits any scan
}

// A HeldError says that others have the device open.
type HeldError struct {
	Device  string
	Holders []string
}

// Error names them.
func (e *HeldError) Error() string {
	return fmt.Sprintf("open %s: held by %s", e.Device, strings.Join(e.Holders, ", "))
}

// Hint says how to make it free.
func (e *HeldError) Hint() string {
	if strings.Contains(strings.Join(e.Holders, " "), "twinbeat") {
		return "the agent uses it. To keep the service: take this [[link]] out of the configuration on both boxes and restart one agent after the other; or stop both agents"
	}
	return "a getty or another program: end it for the test, and for good before the agent uses the port"
}
