package vm

import (
	"testing"
	"time"
)

// uartDevice is a machine's second UART, ttyS1, at which nothing is plugged in.
var uartDevice = []string{"-chardev", "null,id=uart", "-serial", "chardev:uart"}

// breakEvery is how often that UART hears a BREAK, which it does in loopback
// mode, too.
const breakEvery = 10 * time.Millisecond

// TestUART runs the tests of agent/link/serial that need a UART with a loopback
// mode, in a machine that has one.
func TestUART(t *testing.T) {
	machines(t)
	m := loneMachine(t, "uart", "")
	m.box.devices = uartDevice
	const name, env = "agent/link/serial", "TWINBEAT_UART=/dev/ttyS1"
	m.boot(t, name)
	m.passes(t, name, "TestReal", env)
	ended, gone := make(chan struct{}), make(chan struct{})
	go m.breaks(ended, gone)
	m.passes(t, name, "TestBreaks", env)
	close(ended)
	<-gone
}

// breaks sends BREAKs to the UART until ended is closed.
func (m *Machine) breaks(ended, gone chan struct{}) {
	defer close(gone)
	next := time.NewTicker(breakEvery)
	defer next.Stop()
	for {
		select {
		case <-ended:
			return
		case <-next.C:
			_ = m.monitor("chardev-send-break", map[string]any{"id": "uart"})
		}
	}
}
