package serial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

// uartVariable names a UART of this machine for the tests here. They put it in
// loopback mode, in which it is its own peer: what it says on TxD, DTR and RTS
// it hears on RxD, DSR and CTS, and the socket is dead.
const uartVariable = "TWINBEAT_UART"

// tiocmLoop is TIOCM_LOOP of asm/termios.h, the same on every architecture.
const tiocmLoop = 0x8000

// A loopback is a UART in loopback mode, opened a second time beside the port.
type loopback struct{ fd int }

// loopbackOf runs the port on the UART and puts that in loopback mode.
func loopbackOf(t *testing.T, baud int) (*station, loopback) {
	t.Helper()
	device := os.Getenv(uartVariable)
	if device == "" {
		t.Skip(uartVariable + " names no UART that may be put in loopback mode")
	}
	cfg := config(device)
	cfg.Baud, cfg.LinesEvery = baud, 10*time.Millisecond
	s := start(t, cfg)
	s.waitUp(t)
	// The port has it for itself; root may come in all the same.
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	l := loopback{fd}
	t.Cleanup(func() {
		l.set(t, unix.TIOCMBIC, tiocmLoop)
		_ = unix.Close(fd)
	})
	l.set(t, unix.TIOCMBIS, tiocmLoop)
	if bits, err := unix.IoctlGetInt(fd, unix.TIOCMGET); err != nil || bits&tiocmLoop == 0 {
		t.Skipf("%s has no loopback mode: lines %#x, %v", device, bits, err)
	}
	return s, l
}

// set raises (TIOCMBIS) or drops (TIOCMBIC) lines.
func (l loopback) set(t *testing.T, how uint, lines int) {
	t.Helper()
	if err := unix.IoctlSetPointerInt(l.fd, how, lines); err != nil {
		t.Fatalf("set lines %#x: %v", lines, err)
	}
}

// icounter is struct serial_icounter_struct of linux/serial.h: CTS, DSR, RI, DCD,
// bytes in and out, framing, overruns, parity, BREAKs, and what is not used here.
type icounter [20]int32

const breaksAt = 9 // in an icounter

// breaks is how many BREAKs the UART has heard.
func (l loopback) breaks(t *testing.T) int {
	t.Helper()
	var c icounter
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), unix.TIOCGICOUNT, uintptr(unsafe.Pointer(&c)))
	if errno != 0 {
		t.Fatalf("count BREAKs: %v", errno)
	}
	return int(c[breaksAt])
}

// bringsBack sends a payload and waits until it comes back.
func (s *station) bringsBack(t *testing.T, b []byte) {
	t.Helper()
	if err := s.Send(b); err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprintf("the return of %d bytes (%+v)", len(b), s.Stats()), func() bool { return s.has(b) })
}

// reads waits until the port says of the lines what it should.
func (s *station) reads(t *testing.T, want link.LineState) {
	t.Helper()
	eventually(t, "lines that read as "+want.String(), func() bool {
		state, class := s.Lines()
		return state == want && class == link.CableFull
	})
}

func TestRealLinesFallAndRise(t *testing.T) {
	s, l := loopbackOf(t, 115200)
	const both = unix.TIOCM_DTR | unix.TIOCM_RTS
	s.bringsBack(t, payload(0))
	s.Heard()
	s.reads(t, link.LinesUp)
	for _, fall := range []struct {
		lines int
		want  link.LineState
	}{
		{unix.TIOCM_DTR, link.LinesUnknown}, // one of two is a loose plug
		{unix.TIOCM_RTS, link.LinesUnknown},
		{both, link.LinesDown},
		{both, link.LinesDown},
	} {
		l.set(t, unix.TIOCMBIC, fall.lines)
		s.reads(t, fall.want)
		bits, err := s.dev.port.GetModemStatusBits()
		if err != nil || bits.DSR != (fall.lines&unix.TIOCM_DTR == 0) || bits.CTS != (fall.lines&unix.TIOCM_RTS == 0) {
			t.Errorf("after the fall of %#x: %+v, %v", fall.lines, bits, err)
		}
		l.set(t, unix.TIOCMBIS, fall.lines)
		s.reads(t, link.LinesUp)
	}
}

func TestRealOwnLinesFindTheLoop(t *testing.T) {
	s, l := loopbackOf(t, 115200)
	if class, err := s.TestOwnLines(context.Background()); err != nil || class != link.CableHalfLoop {
		t.Errorf("in loopback mode: cable %v, %v", class, err)
	}
	s.Heard()
	if state, _ := s.Lines(); state != link.LinesUnknown {
		t.Errorf("lines of a loop read as %v", state)
	}
	l.set(t, unix.TIOCMBIC, tiocmLoop)
	if class, err := s.TestOwnLines(context.Background()); err != nil || class == link.CableHalfLoop {
		t.Errorf("out of loopback mode: cable %v, %v", class, err)
	}
}

func TestRealFramesComeBackWhole(t *testing.T) {
	const frames, most = 30, 200
	for _, baud := range []int{115200, 9600} {
		t.Run(strconv.Itoa(baud), func(t *testing.T) {
			s, l := loopbackOf(t, baud)
			if _, err := runsAt(l.fd, baud); err != nil {
				t.Error(err)
			}
			rng := rand.New(rand.NewPCG(1, uint64(baud)))
			for n := range frames {
				b := payload(n)
				for range rng.IntN(most) {
					b = append(b, byte(rng.Uint32()))
				}
				s.bringsBack(t, b)
			}
			if st := s.Stats(); st.RxErrors != 0 || st.RxFrames != frames {
				t.Errorf("of %d frames: %+v", frames, st)
			}
		})
	}
}

func TestRealGarbageCostsOneFrame(t *testing.T) {
	s, l := loopbackOf(t, 115200)
	rng := rand.New(rand.NewPCG(2, 2))
	const rounds, most = 30, 40
	for n := range rounds {
		garbage := make([]byte, 1+rng.IntN(most))
		for i := range garbage {
			garbage[i] = byte(rng.Uint32())
		}
		if _, err := unix.Write(l.fd, garbage); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(payload(2 * n)); err != nil {
			t.Fatal(err)
		}
		s.bringsBack(t, payload(2*n+1))
	}
	if st := s.Stats(); st.RxErrors == 0 {
		t.Errorf("no garbage was heard: %+v", st)
	}
}

// TestBreaksCostAFrameEach needs somebody outside that sends BREAKs: in loopback
// mode a UART need not hear its own.
func TestBreaksCostAFrameEach(t *testing.T) {
	s, l := loopbackOf(t, 115200)
	const (
		enough = 30
		settle = 200 * time.Millisecond // for what is on its way
	)
	first, heard := l.breaks(t), 0
	for end := time.Now().Add(patience); heard < enough && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := s.Send(payload(int(s.Stats().TxFrames))); err != nil {
			t.Fatal(err)
		}
		heard = l.breaks(t) - first
	}
	if heard == 0 {
		t.Skip("nobody sends BREAKs")
	}
	time.Sleep(settle)
	st := s.Stats()
	heard = l.breaks(t) - first
	lost := int(st.TxFrames - st.RxFrames)
	t.Logf("%d BREAKs cost %d of %d frames", heard, lost, st.TxFrames)
	if lost > heard || st.RxFrames == 0 {
		t.Errorf("%+v", st)
	}
}
