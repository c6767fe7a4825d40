package serial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	serialport "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
	"github.com/twinbeat/twinbeat/agent/link/linktest"
)

const (
	patience = 10 * time.Second // for what must happen on a busy machine
	glance   = 5 * time.Millisecond
)

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(glance) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// A station is a running port and what it received.
type station struct {
	*Port
	mu  sync.Mutex
	got [][]byte
}

func (s *station) received() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.got...)
}

func (s *station) has(payload []byte) bool {
	for _, g := range s.received() {
		if bytes.Equal(g, payload) {
			return true
		}
	}
	return false
}

func config(device string) Config {
	return Config{Device: device, Baud: 115200, Frame: testFrame, NewDeframer: func() Deframer { return new(testDeframer) }}
}

func start(t testing.TB, cfg Config) *station {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &station{Port: p}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, func(b []byte) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.got = append(s.got, append([]byte(nil), b...))
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run returned %v", err)
			}
		case <-time.After(patience):
			t.Error("run does not end with its context")
		}
	})
	return s
}

func (s *station) waitUp(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(patience); !s.Stats().Up; time.Sleep(glance) {
		if time.Now().After(end) {
			t.Fatalf("%s is not up: %+v", s.Name(), s.Stats())
		}
	}
}

func cableOf(t testing.TB) *linktest.NullModem {
	t.Helper()
	n, err := linktest.NewNullModem()
	if err != nil {
		t.Skipf("this machine has no ptys: %v", err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// sleepy takes the attention from the first end of a cable, and waits until its
// reader sleeps.
func sleepy(t *testing.T, n *linktest.NullModem, a *station) {
	t.Helper()
	a.Attend(false)
	eventually(t, "the reader to sleep", func() bool {
		_ = n.Inject(0, testFrame(nil, payload(1)))
		time.Sleep(5 * time.Millisecond)
		before := a.Stats().RxFrames
		_ = n.Inject(0, testFrame(nil, payload(1)))
		time.Sleep(20 * time.Millisecond)
		return a.Stats().RxFrames == before
	})
}

func pair(t testing.TB) (*linktest.NullModem, *station, *station) {
	t.Helper()
	n := cableOf(t)
	a, b := start(t, config(n.Device(0))), start(t, config(n.Device(1)))
	a.waitUp(t)
	b.waitUp(t)
	return n, a, b
}

func payload(i int) []byte { return fmt.Appendf(nil, "frame %d \x00\x00 end", i) }

// deliver sends until the other side has the payload.
func deliver(t *testing.T, from, to *station, i int) {
	t.Helper()
	eventually(t, fmt.Sprintf("delivery of frame %d", i), func() bool {
		if err := from.Send(payload(i)); err != nil && !errors.Is(err, link.ErrDown) {
			t.Fatal(err)
		}
		return to.has(payload(i))
	})
}

func TestFramesCrossTheCableBothWaysUnchanged(t *testing.T) {
	_, a, b := pair(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 200 {
		p := make([]byte, 1+i)
		for j := range p {
			p[j] = byte(rng.Uint32() % 3) // many zeros
		}
		for from, to := range map[*station]*station{a: b, b: a} {
			before := len(to.received())
			if err := from.Send(p); err != nil {
				t.Fatal(err)
			}
			eventually(t, "delivery", func() bool { return len(to.received()) > before })
			if got := to.received()[before]; !bytes.Equal(got, p) {
				t.Fatalf("frame %d: got %x, want %x", i, got, p)
			}
		}
	}
	s := a.Stats()
	if s.TxFrames != 200 || s.RxFrames != 200 || s.TxDropped != 0 || s.RxErrors != 0 || s.RxBytes == 0 || s.TxBytes == 0 || s.Reopens != 0 || s.Err != "" {
		t.Errorf("counters: %+v", s)
	}
}

func TestACutCableIsSilentAndHealsByItself(t *testing.T) {
	n, a, b := pair(t)
	deliver(t, a, b, 1)
	n.Cut(linktest.AToB)
	time.Sleep(50 * time.Millisecond) // let the first frame's repetitions arrive
	for i := range 10 {
		if err := a.Send(payload(100 + i)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(glance)
	}
	deliver(t, b, a, 2) // the other direction lives
	for i := range 10 {
		if b.has(payload(100 + i)) {
			t.Fatalf("frame %d crossed the cut", i)
		}
	}
	n.Restore()
	deliver(t, a, b, 3)
	if s := a.Stats(); s.Reopens != 0 {
		t.Errorf("a cut reopened the device: %+v", s)
	}
}

func TestGarbageIsCountedAndTheNextFrameIsFound(t *testing.T) {
	n, a, b := pair(t)
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 50 {
		junk := make([]byte, 1+rng.IntN(300))
		for j := range junk {
			junk[j] = byte(rng.Uint32())
		}
		if err := n.Inject(1, junk); err != nil {
			t.Fatal(err)
		}
		deliver(t, a, b, i)
	}
	if s := b.Stats(); s.RxErrors == 0 || !s.Up {
		t.Errorf("garbage is not counted: %+v", s)
	}
}

func TestFramesSurviveBitErrorsAndNoneIsWrong(t *testing.T) {
	n, a, b := pair(t)
	n.Corrupt(1e-3, 42) // a 30-byte frame passes four times out of five
	for i := range 300 {
		if err := a.Send(payload(i)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	n.Restore()
	deliver(t, a, b, 999)
	if s := b.Stats(); s.RxErrors == 0 || s.RxFrames < 100 {
		t.Errorf("counters do not fit the noise: %+v", s)
	}
	for _, g := range b.received() {
		var i int
		if _, err := fmt.Sscanf(string(g), "frame %d", &i); err != nil || !bytes.Equal(g, payload(i)) {
			t.Fatalf("a wrong frame was delivered: %q", g)
		}
	}
}

func TestSendNeverBlocksWhenThePeerStopsReading(t *testing.T) {
	n, a, b := pair(t)
	n.Stall(linktest.AToB)
	var slowest time.Duration
	for i := range 5000 { // some 150 KB: more than every buffer on the way
		begin := time.Now()
		if err := a.Send(payload(i)); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(begin))
		if i%10 == 0 {
			time.Sleep(100 * time.Microsecond) // let the writer run
		}
	}
	if slowest > time.Second { // a blocked write would never return
		t.Errorf("a send took %v", slowest)
	}
	eventually(t, "drops", func() bool { return a.Stats().TxDropped > 1000 })
	if s := a.Stats(); !s.Up || s.Reopens != 0 {
		t.Errorf("a peer that does not read is not a broken device: %+v", s)
	}
	n.SetBaud(921600) // else the relay floods the far tty with what has piled up
	n.Restore()
	deliver(t, a, b, 9999)
	if s := b.Stats(); s.RxErrors != 0 && n.Lost(linktest.AToB) == 0 {
		t.Errorf("a frame was cut in two: %+v", s)
	}
}

func TestRunEndsWhileThePeerDoesNotRead(t *testing.T) {
	n := cableOf(t)
	n.Stall(linktest.Both)
	p, err := New(config(n.Device(0)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, func([]byte) {}) }()
	for end := time.Now().Add(patience); p.Stats().TxDropped < 1000; {
		_ = p.Send(payload(1))
		if time.Now().After(end) {
			t.Fatal("the line never fills up")
		}
	}
	cancel()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("run hangs in close")
	}
}

func TestADeviceThatVanishesIsOpenedAgainWhenItIsBack(t *testing.T) {
	n, a, b := pair(t)
	deliver(t, a, b, 1)
	for round := range 3 {
		n.Vanish(0)
		eventually(t, "loss of the device", func() bool { return !a.Stats().Up && a.Stats().Err != "" })
		if err := a.Send(payload(0)); !errors.Is(err, link.ErrDown) {
			t.Fatalf("send without a device: %v", err)
		}
		a.Drain() // without a device: nothing
		if err := n.Appear(0); err != nil {
			t.Fatal(err)
		}
		a.waitUp(t)
		deliver(t, a, b, 10+round)
		deliver(t, b, a, 20+round)
	}
	if s := a.Stats(); s.Reopens < 3 || s.Err != "" {
		t.Errorf("counters: %+v", s)
	}
}

func TestAMissingDeviceIsNamedAndWaitedFor(t *testing.T) {
	n := cableOf(t)
	path := filepath.Join(t.TempDir(), "by-path-port")
	a := start(t, config(path))
	eventually(t, "an error", func() bool { return strings.Contains(a.Stats().Err, path) })
	if err := os.Symlink(n.Device(0), path); err != nil {
		t.Fatal(err)
	}
	a.waitUp(t)
	b := start(t, config(n.Device(1)))
	b.waitUp(t)
	deliver(t, a, b, 1)
}

func TestAFileThatIsNoSerialPortIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{path, "/dev/null"} {
		if _, err := openDevice(device, 9600); err == nil || !strings.Contains(err.Error(), "not a serial port") {
			t.Errorf("open %s: %v", device, err)
		}
	}
}

func TestASecondAgentOnTheSameDeviceIsRefused(t *testing.T) {
	n := cableOf(t)
	dev, err := openDevice(n.Device(0), 9600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDevice(n.Device(0), 9600); err == nil {
		t.Error("the device was opened twice")
	}
	dev.fail(nil)
	dev.close()
	dev, err = openDevice(n.Device(0), 9600)
	if err != nil {
		t.Fatalf("the device cannot be opened after it was closed: %v", err)
	}
	dev.fail(nil)
	dev.close()
}

func TestOddBaudRatesAreSet(t *testing.T) {
	n := cableOf(t)
	for _, baud := range []int{50, 300, 9600, 31250, 115200, 123456, 250000, 921600, 3_999_999, MaxBaud} {
		dev, err := openDevice(n.Device(0), baud)
		if err != nil {
			t.Fatalf("%d baud: %v", baud, err)
		}
		term, err := unix.IoctlGetTermios(dev.fd, unix.TCGETS2)
		if err != nil {
			t.Fatal(err)
		}
		if int(term.Ospeed) != baud {
			t.Errorf("asked for %d baud, got %d", baud, term.Ospeed)
		}
		if term.Cflag&unix.HUPCL == 0 || term.Cflag&unix.CRTSCTS != 0 || term.Cflag&unix.CSIZE != unix.CS8 ||
			term.Cflag&(unix.PARENB|unix.CSTOPB) != 0 || term.Iflag&(unix.IXON|unix.IXOFF|unix.ICRNL) != 0 ||
			term.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 || term.Oflag&unix.OPOST != 0 {
			t.Errorf("%d baud: not raw 8N1 without flow control and with hang-up: %+v", baud, term)
		}
		dev.fail(nil)
		dev.close()
	}
}

func TestNoDescriptorLeaksIntoChildrenOrPilesUp(t *testing.T) {
	n := cableOf(t)
	var inherited []int
	eachInheritable(func(fd int) { inherited = append(inherited, fd) })
	openFiles := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("no /proc: %v", err)
		}
		return len(list)
	}
	before := 0
	for i := range 20 {
		dev, err := openDevice(n.Device(0), 115200)
		if err != nil {
			t.Fatal(err)
		}
		var now []int
		eachInheritable(func(fd int) { now = append(now, fd) })
		if fmt.Sprint(now) != fmt.Sprint(inherited) {
			t.Fatalf("a child would inherit %v, before only %v", now, inherited)
		}
		out, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
		if err != nil || bytes.Contains(out, []byte("/dev/pts/")) {
			t.Fatalf("the child holds a pty: %s %v", out, err)
		}
		dev.fail(nil)
		dev.close()
		if i == 0 {
			before = openFiles()
		}
	}
	if after := openFiles(); after > before {
		t.Errorf("%d files are open after 20 openings, %d after the first", after, before)
	}
}

// The cable's frames are taken by whoever drains while nobody waits for the
// tty, and by the reader again as soon as it is to attend.
func TestAPortThatIsNotAttendedDeliversWhenDrained(t *testing.T) {
	n := cableOf(t)
	p, err := New(config(n.Device(0)))
	if err != nil {
		t.Fatal(err)
	}
	p.Drain() // closed: nothing
	p.Attend(false)
	var mu sync.Mutex
	var got []string
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx, func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, string(b))
		})
	}()
	defer func() { cancel(); <-done }() // also a reader that is not attending ends
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(got) }
	eventually(t, "up", func() bool { return p.Stats().Up })
	inject := func(s string) {
		t.Helper()
		if err := n.Inject(0, testFrame(nil, []byte(s))); err != nil {
			t.Fatal(err)
		}
	}
	p.Attend(false) // it is still waiting for the tty, once
	inject("by the reader")
	eventually(t, "the last frame by the reader", func() bool { return count() == 1 })
	half := testFrame(nil, []byte("in two pieces"))
	inject("waits")
	if err := n.Inject(0, half[:5]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // the kernel moves input between its queues
	if count() != 1 {
		t.Fatalf("the reader took %q although nobody attends", got[1:])
	}
	eventually(t, "what waits", func() bool { p.Drain(); return count() == 2 })
	if err := n.Inject(0, half[5:]); err != nil {
		t.Fatal(err)
	}
	p.Attend(true)
	eventually(t, "the reader again", func() bool { return count() == 3 })
	mu.Lock()
	defer mu.Unlock()
	if got[1] != "waits" || got[2] != "in two pieces" {
		t.Errorf("received %q", got)
	}
}

// A slowModem hangs as a USB adapter does that does not answer.
type slowModem struct {
	modem
	asked, answer chan struct{}
}

func (m slowModem) GetModemStatusBits() (*serialport.ModemStatusBits, error) {
	m.asked <- struct{}{}
	<-m.answer
	return nil, unix.EIO
}

// To read the modem lines of a USB adapter is a transfer that may take seconds.
// The loop, which drains, must never wait for it.
func TestDrainNeverReadsTheModemLines(t *testing.T) {
	n, a, _ := pair(t)
	m := slowModem{asked: make(chan struct{}), answer: make(chan struct{})}
	defer close(m.answer)
	a.in.Lock()
	a.rx.eye.modem, a.rx.eye.shut = m, false
	a.rx.eye.next = time.Now().Add(time.Hour)
	a.in.Unlock()
	sleepy(t, n, a)
	a.in.Lock()
	a.rx.eye.next = time.Time{} // due
	a.in.Unlock()
	drained := make(chan struct{})
	go func() {
		a.Drain()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(patience):
		t.Fatal("drain waits for the modem lines")
	}
	select {
	case <-m.asked:
	case <-time.After(patience):
		t.Error("nobody reads the lines of a port that is not attended")
	}
	a.Drain() // the reader is still at it
}

func TestAPortThatIsNotAttendedNoticesThatItsDeviceVanished(t *testing.T) {
	n, a, _ := pair(t)
	sleepy(t, n, a)
	n.Vanish(0)
	eventually(t, "loss of the device", func() bool { a.Drain(); return !a.Stats().Up && a.Stats().Err != "" })
	if err := n.Appear(0); err != nil {
		t.Fatal(err)
	}
	a.waitUp(t)
}

func TestTheLastFrameBeforeTheEndIsStillSent(t *testing.T) {
	n := cableOf(t)
	b := start(t, config(n.Device(1)))
	b.waitUp(t)
	p, err := New(config(n.Device(0)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, func([]byte) {}) }()
	eventually(t, "up", func() bool { return p.Stats().Up })
	for i := range queueDepth {
		if err := p.Send(payload(i)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	<-done
	eventually(t, "the goodbyes", func() bool { return len(b.received()) == queueDepth })
}

func TestTheOldestFrameIsDroppedWhenTheWriterIsBehind(t *testing.T) {
	n := cableOf(t)
	p, err := New(config(n.Device(0)))
	if err != nil {
		t.Fatal(err)
	}
	p.attach(&device{}).busy = true // open, and the writer stands still
	for i := range queueDepth + 3 {
		if err := p.Send([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Stats().TxDropped; got != 3 {
		t.Errorf("%d frames were dropped, want 3", got)
	}
	for i := range queueDepth {
		frame, ok := p.take(nil)
		if want := testFrame(nil, []byte{byte(i + 3)}); !ok || !bytes.Equal(frame, want) {
			t.Errorf("frame %d is %x, want %x", i, frame, want)
		}
	}
	if _, ok := p.take(nil); ok {
		t.Error("the queue is not empty")
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	good := config("/dev/ttyS0")
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no device":    func(c *Config) { c.Device = "" },
		"slow":         func(c *Config) { c.Baud = MinBaud - 1 },
		"fast":         func(c *Config) { c.Baud = MaxBaud + 1 },
		"interval":     func(c *Config) { c.LinesEvery = -1 },
		"long frames":  func(c *Config) { c.MaxFrame = link.MaxPayload + 1 },
		"no framer":    func(c *Config) { c.Frame = nil },
		"no deframer":  func(c *Config) { c.NewDeframer = nil },
		"minus frames": func(c *Config) { c.MaxFrame = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := New(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p, _ := New(good)
	if err := p.Send(make([]byte, link.MaxPayload+1)); !errors.Is(err, link.ErrTooLong) {
		t.Errorf("a long payload: %v", err)
	}
	if err := p.Send(nil); !errors.Is(err, link.ErrDown) {
		t.Errorf("a closed port: %v", err)
	}
	if got := p.Stats().TxDropped; got != 2 {
		t.Errorf("%d drops counted, want 2", got)
	}
}

func TestPtysHaveNoLinesAndAreAskedOnce(t *testing.T) {
	_, a, b := pair(t)
	deliver(t, a, b, 1)
	b.Heard()
	if state, class := b.Lines(); state != link.LinesUnknown || class != link.CableUnknown {
		t.Errorf("lines of a pty: %v, %v", state, class)
	}
	if _, err := b.TestOwnLines(context.Background()); err == nil {
		t.Error("the own-line test passed on a pty")
	}
}
