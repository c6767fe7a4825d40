package serial

import (
	"context"
	"errors"
	"testing"
	"time"

	serialport "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

// A reading is one look at the lines: d, c say that DSR, CTS are up; h that
// the peer was heard.
func feed(c *cable, readings ...string) (link.LineState, link.CableClass) {
	for _, r := range readings {
		var dsr, cts, heard bool
		for _, l := range r {
			switch l {
			case 'd':
				dsr = true
			case 'c':
				cts = true
			case 'h':
				heard = true
			}
		}
		c.read(dsr, cts, heard)
	}
	return c.get()
}

func TestLinesCountOnlyAfterBothWereUpWhileThePeerWasHeard(t *testing.T) {
	for _, test := range []struct {
		name     string
		readings []string
		state    link.LineState
		class    link.CableClass
	}{
		{"nothing", nil, link.LinesUnknown, link.CableUnknown},
		{"up but silent", []string{"dc", "dc", "dc"}, link.LinesUnknown, link.CableUnknown},
		{"never up, silent", []string{"", "", "", ""}, link.LinesUnknown, link.CableUnknown},
		{"up and heard", []string{"dch"}, link.LinesUp, link.CableFull},
		{"then a hung peer", []string{"dch", "dc", "dc"}, link.LinesUp, link.CableFull},
		{"then power loss", []string{"dch", ""}, link.LinesDown, link.CableFull},
		{"power loss after a last frame", []string{"dch", "h", "", ""}, link.LinesDown, link.CableFull},
		{"a loose plug", []string{"dch", "d"}, link.LinesUnknown, link.CableFull},
		{"the peer is back", []string{"dch", "", "", "dc"}, link.LinesUp, link.CableFull},
		{"three wires", []string{"h", "h", "h"}, link.LinesUnknown, link.CableThreeWire},
		{"three wires, now silent", []string{"h", "h", "h", "", ""}, link.LinesUnknown, link.CableThreeWire},
		{"heard too seldom", []string{"h", "h", "", "h", "h"}, link.LinesUnknown, link.CableUnknown},
		{"only CTS", []string{"ch", "ch", "ch", "ch"}, link.LinesUnknown, link.CableUnknown},
		{"lines that lie", []string{"dch", "h", "h", "h"}, link.LinesUnknown, link.CableThreeWire},
		{"a better cable", []string{"h", "h", "h", "dch"}, link.LinesUp, link.CableFull},
	} {
		var c cable
		if state, class := feed(&c, test.readings...); state != test.state || class != test.class {
			t.Errorf("%s: lines %v, cable %v; want %v, %v", test.name, state, class, test.state, test.class)
		}
	}
}

func TestOpeningAgainForgetsTheCableButNotALoop(t *testing.T) {
	var c cable
	feed(&c, "dch")
	c.reset()
	if state, class := feed(&c, ""); state != link.LinesUnknown || class != link.CableUnknown {
		t.Errorf("lines %v, cable %v", state, class)
	}
	c.setLoop(true)
	c.reset()
	if state, class := feed(&c, "dch", "dch"); state != link.LinesUnknown || class != link.CableHalfLoop {
		t.Errorf("a loop became a cable: lines %v, cable %v", state, class)
	}
	c.setLoop(false)
	if state, class := feed(&c, "dch"); state != link.LinesUp || class != link.CableFull {
		t.Errorf("a new cable is not learned: lines %v, cable %v", state, class)
	}
}

// fakeModem stands for a port with one of the cables of the field.
type fakeModem struct {
	dtr, rts bool // ours
	peer     bool // the peer's DTR and RTS
	wiring   func(m *fakeModem) serialport.ModemStatusBits
	reads    int
	err      error
}

func (m *fakeModem) SetDTR(on bool) error { m.dtr = on; return nil }
func (m *fakeModem) SetRTS(on bool) error { m.rts = on; return nil }
func (m *fakeModem) GetModemStatusBits() (*serialport.ModemStatusBits, error) {
	m.reads++
	if m.err != nil {
		return nil, m.err
	}
	bits := m.wiring(m)
	return &bits, nil
}

func TestTheOwnLineTestTellsLoopsFromCables(t *testing.T) {
	type bits = serialport.ModemStatusBits
	for _, test := range []struct {
		name   string
		wiring func(m *fakeModem) bits
		loop   bool
	}{
		{"full", func(m *fakeModem) bits { return bits{DSR: m.peer, DCD: m.peer, CTS: m.peer} }, false},
		{"full, peer off", func(*fakeModem) bits { return bits{} }, false},
		{"three wires", func(*fakeModem) bits { return bits{} }, false},
		{"always on", func(*fakeModem) bits { return bits{DSR: true, DCD: true, CTS: true} }, false},
		{"both looped", func(m *fakeModem) bits { return bits{DSR: m.dtr, DCD: m.dtr, CTS: m.rts} }, true},
		{"DTR looped to DSR", func(m *fakeModem) bits { return bits{DSR: m.dtr, CTS: m.peer} }, true},
		{"RTS looped to CTS", func(m *fakeModem) bits { return bits{DSR: m.peer, CTS: m.rts} }, true},
		{"DTR looped to DCD", func(m *fakeModem) bits { return bits{DSR: m.peer, DCD: m.dtr, CTS: m.peer} }, true},
		{"peer restarts meanwhile", func(m *fakeModem) bits {
			up := m.reads < 2 || m.reads > 2
			return bits{DSR: up, CTS: up}
		}, false},
	} {
		m := &fakeModem{dtr: true, rts: true, peer: true, wiring: test.wiring}
		loop, err := followsUs(context.Background(), m, time.Microsecond)
		if err != nil || loop != test.loop {
			t.Errorf("%s: loop %v, %v; want %v", test.name, loop, err, test.loop)
		}
		if !m.dtr || !m.rts {
			t.Errorf("%s: our own lines stay down", test.name)
		}
	}
}

func TestAnOwnLineTestThatIsCancelledRaisesOurLinesAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := &fakeModem{dtr: true, rts: true, wiring: func(m *fakeModem) serialport.ModemStatusBits {
		return serialport.ModemStatusBits{DSR: m.dtr}
	}}
	if _, err := followsUs(ctx, m, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !m.dtr || !m.rts {
		t.Error("our own lines stay down")
	}
}

func newTestEye(t *testing.T, m *fakeModem) *eye {
	t.Helper()
	p, err := New(config("/dev/null"))
	if err != nil {
		t.Fatal(err)
	}
	return &eye{port: p, modem: m, every: 80 * time.Millisecond}
}

func TestLinesAreReadNoFasterThanAskedAndWithThePeersFrames(t *testing.T) {
	m := &fakeModem{wiring: func(*fakeModem) serialport.ModemStatusBits {
		return serialport.ModemStatusBits{DSR: true, CTS: true}
	}}
	e := newTestEye(t, m)
	now := time.Unix(1000, 0)
	begin := now
	e.port.Heard()
	for range 10_000 { // a frame each millisecond
		e.look(now)
		if !e.deadline().After(now) {
			t.Fatal("the deadline has passed")
		}
		now = now.Add(time.Millisecond)
	}
	most := int(now.Sub(begin)/(70*time.Millisecond)) + 1
	least := int(now.Sub(begin) / (90 * time.Millisecond))
	if m.reads > most || m.reads < least {
		t.Errorf("%d readings in ten seconds, want %d..%d", m.reads, least, most)
	}
	if state, class := e.port.Lines(); state != link.LinesUp || class != link.CableFull {
		t.Errorf("lines %v, cable %v", state, class)
	}
}

func TestADeviceWithoutLinesIsNotAskedAgain(t *testing.T) {
	for _, err := range []error{unix.ENOTTY, unix.EINVAL} {
		m := &fakeModem{err: err}
		e := newTestEye(t, m)
		if e.look(time.Unix(1000, 0)); m.reads != 1 || !e.deadline().IsZero() {
			t.Errorf("%v: there still is a deadline", err)
		}
		if e.look(time.Unix(2000, 0)); m.reads != 1 {
			t.Errorf("%v: asked %d times", err, m.reads)
		}
	}
	m := &fakeModem{err: unix.EIO}
	e := newTestEye(t, m)
	e.look(time.Unix(1000, 0))
	if e.look(time.Unix(2000, 0)); m.reads != 2 {
		t.Errorf("after a passing failure asked %d times, want 2", m.reads)
	}
}

func TestIgnoredLinesAreNeverRead(t *testing.T) {
	cfg := config("/dev/null")
	cfg.IgnoreLines = true
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := p.newEye(&device{})
	e.look(time.Unix(1000, 0)) // reading a nil modem would panic
	if !e.next.IsZero() {
		t.Error("lines were read")
	}
}
