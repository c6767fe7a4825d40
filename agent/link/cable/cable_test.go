//go:build !lite

package cable

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/agent/link/serial"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// quick are the times of the tests, far above what a pty takes.
var quick = Times{Meet: 20 * time.Second, Settle: 60 * time.Millisecond, Echo: 200 * time.Millisecond, Stream: 200 * time.Millisecond, Tries: 5}

// A bench is a null modem with modem lines and line speeds, which ptys lack.
type bench struct {
	*linktest.NullModem
	mu      sync.Mutex
	baud    [2]int
	up      [2][2]bool // DTR and RTS of each end
	wiring  func(own, far [2]bool) serial.Inputs
	noLines bool
	broken  int  // of the readings of the lines, how many fail at first
	plug    bool // there is no other end with a speed of its own
	most    int  // the highest rate that the cable carries
	maxBaud [2]int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	n, err := linktest.NewNullModem()
	if err != nil {
		t.Skipf("this machine has no ptys: %v", err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return &bench{NullModem: n, most: 4_000_000, maxBaud: [2]int{4_000_000, 4_000_000}, wiring: full}
}

func full(_, far [2]bool) serial.Inputs {
	return serial.Inputs{DSR: far[0], DCD: far[0], CTS: far[1]}
}

// A fakeWire is one end of a bench.
type fakeWire struct {
	*serial.Raw
	b   *bench
	end int
}

func (b *bench) open(t *testing.T, end int) *fakeWire {
	t.Helper()
	raw, err := serial.OpenRaw(b.Device(end), Base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	b.baud[end] = Base
	return &fakeWire{raw, b, end}
}

func (w *fakeWire) SetBaud(baud int) error {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if baud > w.b.maxBaud[w.end] {
		return fmt.Errorf("set %d baud: the device runs at %d", baud, w.b.maxBaud[w.end])
	}
	w.b.baud[w.end] = baud
	return w.Raw.SetBaud(baud)
}

// Write damages what goes to an end that listens at another speed, or too fast
// for the cable.
func (w *fakeWire) Write(p []byte, within time.Duration) error {
	w.b.mu.Lock()
	wrong := w.b.baud[0] != w.b.baud[1] && !w.b.plug || w.b.baud[w.end] > w.b.most
	w.b.mu.Unlock()
	if wrong {
		bad := make([]byte, len(p))
		for i := range bad {
			bad[i] = p[i] ^ byte(rand.Uint32())
		}
		p = bad
	}
	return w.Raw.Write(p, within)
}

func (w *fakeWire) Inputs() (serial.Inputs, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if w.b.noLines {
		return serial.Inputs{}, serial.ErrNoLines
	}
	if w.b.broken > 0 {
		w.b.broken--
		return serial.Inputs{}, errors.New("read lines: input/output error")
	}
	return w.b.wiring(w.b.up[w.end], w.b.up[1-w.end]), nil
}

func (w *fakeWire) SetOutputs(dtr, rts bool) error {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.up[w.end] = [2]bool{dtr, rts}
	return nil
}

// both runs a test at each end.
func (b *bench) both(t *testing.T) (reports [2]Report, errs [2]error) {
	t.Helper()
	wires := [2]*fakeWire{b.open(t, 0), b.open(t, 1)}
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() {
			reports[i], errs[i] = Test(wires[i], quick, uint64(i+1), func(format string, args ...any) {
				t.Logf("end %d: "+format, append([]any{i}, args...)...)
			})
		})
	}
	all.Wait()
	return reports, errs
}

func rates(t *testing.T, list ...int) {
	t.Helper()
	was := Rates
	Rates = list
	t.Cleanup(func() { Rates = was })
}

func TestBothEndsFindTheSame(t *testing.T) {
	rates(t, 9600, 115200, 230400)
	b := newBench(t)
	reports, errs := b.both(t)
	for i, r := range reports {
		if errs[i] != nil || r.Class != Full || r.Recommend != 230400 || len(r.Rates) != 3 || r.Led != (i == 1) {
			t.Fatalf("end %d: %v %+v", i, errs[i], r)
		}
		for _, rate := range r.Rates {
			if !rate.Clean() || rate.Sent < 2 || rate.TripMS <= 0 || rate.Here.Bytes != quick.bytesAt(rate.Baud) {
				t.Errorf("end %d: %+v", i, rate)
			}
		}
	}
	if got, want := reports[0].Rates[1].There, reports[1].Rates[1].Here; got != want {
		t.Errorf("one end says %+v, the other %+v", got, want)
	}
	if d := strings.Join(reports[0].Details, "; "); !strings.Contains(d, "carried from here: DTR-DSR, DTR-DCD, RTS-CTS") || !strings.Contains(d, "carried from there: DTR-DSR") {
		t.Errorf("details %s", d)
	}
}

func TestARateBeyondTheCableIsFoundAndLeftAgain(t *testing.T) {
	rates(t, 9600, 57600, 115200, 230400)
	b := newBench(t)
	b.most, b.maxBaud[0] = 57600, 115200
	reports, errs := b.both(t)
	for i, r := range reports {
		if errs[i] != nil || len(r.Rates) != 4 || r.Rates[2].Clean() || r.Rates[2].Back != 0 || r.Rates[2].Sent == 0 {
			t.Fatalf("end %d: %v %+v", i, errs[i], r)
		}
		if r.Rates[3].Error == "" || !strings.Contains(r.Rates[3].Error, "runs at 115200") {
			t.Errorf("end %d: a port that cannot: %+v", i, r.Rates[3])
		}
		if r.Recommend != 9600 || !strings.Contains(r.Why, "57600 is clean, too, but 115200 is not") {
			t.Errorf("end %d: recommends %d: %s", i, r.Recommend, r.Why)
		}
	}
}

func TestBitErrorsAreCounted(t *testing.T) {
	rates(t, 230400)
	b := newBench(t)
	const rate = 2e-4
	b.Corrupt(rate, 7)
	reports, errs := b.both(t)
	for i, r := range reports {
		if errs[i] != nil || len(r.Rates) != 1 {
			t.Fatalf("end %d: %v %+v", i, errs[i], r)
		}
		got := r.Rates[0].Here
		if ber := float64(got.Errors) / float64(8*got.Bytes); got.Errors == 0 || ber > 4*rate || ber < rate/4 {
			t.Errorf("end %d: %+v, a rate of %.1e", i, got, ber)
		}
		if r.Recommend != 0 || r.Why == "" {
			t.Errorf("end %d: recommends %d: %s", i, r.Recommend, r.Why)
		}
	}
}

// Lines of which one reading failed were not read: zeros are no wiring.
func TestOneReadingThatFailsIsNoWiring(t *testing.T) {
	rates(t, 9600)
	b := newBench(t)
	b.broken = 1
	reports, errs := b.both(t)
	for i, r := range reports {
		if errs[i] != nil || r.Class != Unread {
			t.Errorf("end %d: %v %+v", i, errs[i], r)
		}
	}
}

func TestAPortWithoutModemLines(t *testing.T) {
	rates(t, 9600)
	b := newBench(t)
	b.noLines = true
	reports, errs := b.both(t)
	for i, r := range reports {
		if errs[i] != nil || r.Class != NoLines || r.Recommend != 9600 {
			t.Errorf("end %d: %v %+v", i, errs[i], r)
		}
	}
}

func TestWhatIsThereInsteadIsNamed(t *testing.T) {
	short := quick
	short.Meet = 1500 * time.Millisecond
	noise := make([]byte, 400)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for name, c := range map[string]struct {
		says func(heard []byte) []byte
		want string
	}{
		"nobody": {func([]byte) []byte { return nil }, "not a byte came in"},
		"getty": {func(heard []byte) []byte { // echoes what it gets, as a terminal does
			return []byte("\r\nDebian GNU/Linux 13 fw2 ttyS1\r\n\r\nfw2 login: " + strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return '^'
				}
				return r
			}, string(heard)))
		}, "as a login prompt or a console: "},
		"another speed": {func([]byte) []byte { return noise }, "another line speed or another program"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			w := b.open(t, 0)
			stop, done := make(chan struct{}), make(chan struct{})
			other := b.open(t, 1)
			go func() {
				defer close(done)
				var p [512]byte
				for {
					select {
					case <-stop:
						return
					default:
					}
					if n, _ := other.Raw.Read(p[:], 20*time.Millisecond); n > 0 {
						_ = other.Raw.Write(c.says(p[:n]), time.Second)
					}
				}
			}()
			_, err := Test(w, short, 1, t.Logf)
			close(stop)
			<-done
			if !errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// An agent beats at its own speed, and its frames are sealed.
func TestAnAgentAtTheOtherEndIsNamed(t *testing.T) {
	b := newBench(t)
	w, other := b.open(t, 0), b.open(t, 1)
	if err := other.SetBaud(115200); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		payload := make([]byte, beat)
		payload[0] = 0x12
		for n := byte(0); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				payload[9] = n
				_ = other.Write(wire.AppendSerial(nil, payload), time.Second)
			}
		}
	}()
	short := quick
	short.Meet = time.Second
	_, err := Test(w, short, 1, t.Logf)
	close(stop)
	<-done
	if !errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), "a twinbeat agent has the other port, at 115200 baud") {
		t.Errorf("it says %v", err)
	}
}

func TestALoopbackPlugIsToldByItsLines(t *testing.T) {
	rates(t, 9600, 115200)
	for name, c := range map[string]struct {
		wiring func(own, far [2]bool) serial.Inputs
		want   string
	}{
		"all pins": {func(own, _ [2]bool) serial.Inputs { return serial.Inputs{DSR: own[0], CTS: own[1]} }, "looped back: DTR-DSR, RTS-CTS"},
		"two pins": {func([2]bool, [2]bool) serial.Inputs { return serial.Inputs{} }, "a plug with two pins, or a program that echoes"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.wiring, b.plug = c.wiring, true
			w, far := b.open(t, 0), b.open(t, 1)
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				var p [4096]byte
				for {
					select {
					case <-stop:
						return
					default:
					}
					if n, _ := far.Raw.Read(p[:], 20*time.Millisecond); n > 0 {
						_ = far.Raw.Write(p[:n], time.Second)
					}
				}
			}()
			r, err := Test(w, quick, 1, t.Logf)
			close(stop)
			<-done
			if err != nil || r.Class != Plug || r.Recommend != 0 || !strings.Contains(strings.Join(r.Details, " "), c.want) {
				t.Errorf("%v %+v", err, r)
			}
			for _, rate := range r.Rates {
				if rate.Here.Errors != 0 || rate.Here.Lost != 0 || rate.Here.Bytes == 0 {
					t.Errorf("%+v", rate)
				}
			}
		})
	}
}

// What the other end says is believed only if it is said as it should be.
func TestWordsAreReadStrictly(t *testing.T) {
	for _, words := range []string{"", "1 2 3", "1 2 3 4 5", "1 2 3 -4", "1 2 3 x", "1 2 3 99999999999", "1 2 3 4.5"} {
		var c Counted
		if err := c.scan(words); err == nil {
			t.Errorf("%q is read as %+v", words, c)
		}
	}
	want := Counted{Bytes: 5, Errors: 1, Lost: 2, Slips: 3}
	var got Counted
	if err := got.scan(want.String()); err != nil || got != want {
		t.Errorf("%v %+v", err, got)
	}
	for _, words := range []string{"", "HELLO", "HELLO 1", "HELLO 1 2 3", "HELLO x 2", "hello 1 2"} {
		if _, _, ok := parseHello(words); ok {
			t.Errorf("%q is a hello", words)
		}
	}
	in := serial.Inputs{DSR: true, DCD: true}
	if got, err := parseInputs(inputsWords(in, nil)); err != nil || got != in {
		t.Errorf("%v %+v", err, got)
	}
	if _, err := parseInputs(inputsWords(in, errors.New("no"))); err == nil {
		t.Error("lines that could not be read are read")
	}
}

// toggle plays both ends through a wiring.
func toggle(wiring func(end int, up [2][2]bool) serial.Inputs) (here, there Toggle) {
	up := [2][2]bool{{true, true}, {true, true}}
	for i, out := range outputs {
		up[0] = out
		here.Own[i], here.Far[i] = wiring(0, up), wiring(1, up)
	}
	for i, out := range outputs {
		up[1] = out
		there.Own[i], there.Far[i] = wiring(1, up), wiring(0, up)
	}
	here.Done, there.Done = true, true
	return here, there
}

func TestClassify(t *testing.T) {
	type in = serial.Inputs
	for _, c := range []struct {
		name   string
		wiring func(end int, up [2][2]bool) serial.Inputs
		class  string
		detail string
	}{
		{"full", func(e int, up [2][2]bool) in { return in{DSR: up[1-e][0], DCD: up[1-e][0], CTS: up[1-e][1]} }, Full, "carried from here: DTR-DSR, DTR-DCD, RTS-CTS"},
		{"full, RTS wired to DSR", func(e int, up [2][2]bool) in { return in{DSR: up[1-e][1], CTS: up[1-e][1]} }, Full, "RTS-DSR, RTS-CTS"},
		{"three wires", func(int, [2][2]bool) in { return in{} }, ThreeWire, ""},
		{"three wires, inputs pulled up", func(int, [2][2]bool) in { return in{DSR: true, CTS: true} }, ThreeWire, "up whatever either end does, here: DSR, CTS"},
		{"half-loop at both plugs", func(e int, up [2][2]bool) in { return in{DSR: up[e][0], CTS: up[e][1]} }, HalfLoop, "looped back at the plug there: DTR-DSR, RTS-CTS"},
		{"half-loop, RTS to CTS here alone", func(e int, up [2][2]bool) in {
			i := in{DSR: up[1-e][0], CTS: up[1-e][1]}
			if e == 0 {
				i.CTS = up[0][1]
			}
			return i
		}, HalfLoop, "looped back at the plug here: RTS-CTS"},
		{"only DTR crosses", func(e int, up [2][2]bool) in { return in{DSR: up[1-e][0]} }, Partial, "carried from there: DTR-DSR"},
		{"one direction", func(e int, up [2][2]bool) in {
			if e == 0 {
				return in{}
			}
			return in{DSR: up[0][0], CTS: up[0][1]}
		}, Partial, "carried from here: DTR-DSR, RTS-CTS"},
	} {
		here, there := toggle(c.wiring)
		class, details := Classify(here, there)
		if class != c.class || !strings.Contains(strings.Join(details, "; "), c.detail) {
			t.Errorf("%s: %s: %q", c.name, class, details)
		}
		there.Done = false
		if class, _ := Classify(here, there); class != Unread {
			t.Errorf("%s: half of it read: %s", c.name, class)
		}
	}
}

func TestTheCountTellsBitsFromBytes(t *testing.T) {
	const n = 20_000
	sent := make([]byte, n)
	place := firstSequence
	for i := range sent {
		sent[i] = place.next()
	}
	for _, c := range []struct {
		name        string
		spoil       func(p []byte) []byte
		errors, max int // bit errors, at least and at most
		slips       int
	}{
		{"whole", func(p []byte) []byte { return p }, 0, 0, 0},
		{"one bit", func(p []byte) []byte { p[5000] ^= 4; return p }, 1, 1, 0},
		{"three bytes in a row", func(p []byte) []byte { p[500], p[501], p[502] = p[500]^0xff, p[501]^1, p[502]^3; return p }, 11, 11, 0},
		{"a byte is missing", func(p []byte) []byte { return append(p[:7000:7000], p[7001:]...) }, 0, 8, 1},
		{"two places", func(p []byte) []byte {
			return append(append(p[:700:700], p[900:5000]...), p[5010:]...)
		}, 0, 16, 2},
		{"it begins late", func(p []byte) []byte { return p[333:] }, 0, 0, 0},
		{"it begins with noise", func(p []byte) []byte { return append([]byte("noise"), p...) }, 0, 40, 2},
	} {
		var got count
		p := c.spoil(append([]byte(nil), sent...))
		for len(p) > 0 { // in pieces
			k := min(len(p), 97)
			got.write(p[:k])
			p = p[k:]
		}
		if got.Errors < c.errors || got.Errors > c.max || got.Slips > c.slips || c.slips > 0 && got.Slips == 0 {
			t.Errorf("%s: %d bit errors, %d slips", c.name, got.Errors, got.Slips)
		}
	}
	var garbage count
	for range n {
		garbage.write([]byte{byte(rand.Uint32())})
	}
	if garbage.Slips < n/20 {
		t.Errorf("garbage has %d slips only", garbage.Slips)
	}
}

func TestRecommend(t *testing.T) {
	clean := func(baud int) Rate {
		return Rate{Baud: baud, Sent: 9, Back: 9, Here: Counted{Bytes: 9}, There: Counted{Bytes: 9}}
	}
	dirty := clean(57600)
	dirty.There.Errors = 1
	cannot := Rate{Baud: 921600, Error: "the device runs at 115200"}
	for _, c := range []struct {
		rates []Rate
		want  int
		why   string
	}{
		{nil, 0, "nothing was measured"},
		{[]Rate{clean(9600), clean(19200), cannot}, 19200, "the highest that both ports do"},
		{[]Rate{clean(9600), clean(19200), dirty, clean(115200)}, 9600, "19200 is clean, too, but 57600 is not"},
		{[]Rate{clean(19200), dirty}, 19200, "no margin"},
		{[]Rate{dirty, clean(115200)}, 0, "already 57600 baud is not clean"},
	} {
		if got, why := Recommend(c.rates); got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%v: %d, %s", c.rates, got, why)
		}
	}
	for _, class := range []string{Full, HalfLoop, ThreeWire, Partial, Plug, NoLines, Unread} {
		if can, cannot := Proves(class); len(can) == 0 || len(cannot) == 0 {
			t.Errorf("%s: nothing is said of what it proves", class)
		}
	}
}
