package linktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link"
)

func TestAFakeLosesDelaysAndDropsWhatItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := NewPair("a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		got := map[*Fake]*[]string{a: {}, b: {}}
		for end, list := range got {
			go func() {
				_ = end.Run(ctx, func(p []byte) { *list = append(*list, string(p)) })
			}()
		}
		say := func(from *Fake, what string) {
			t.Helper()
			if err := from.Send([]byte(what)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		expect := func(end *Fake, want ...string) {
			t.Helper()
			synctest.Wait()
			if list := got[end]; fmt.Sprint(*list) != fmt.Sprint(want) {
				t.Errorf("%s received %q, want %q", end.Name(), *list, want)
			}
			*got[end] = nil
		}
		synctest.Wait()
		say(a, "1")
		say(b, "2")
		expect(b, "1")
		expect(a, "2")
		a.CutOut()
		say(a, "3")
		say(b, "4")
		expect(b)
		expect(a, "4")
		a.Restore()
		b.DropIn(func(n uint64, _ []byte) bool { return n%2 == 0 })
		for i := range 4 { // offered to b before: 1 and 3
			say(a, fmt.Sprint(i))
		}
		expect(b, "0", "2")
		b.Restore()
		b.Hold()
		for i := range 4 {
			say(a, fmt.Sprint(i))
		}
		expect(b)
		if n := b.Deliver(3); n != 3 || b.Waiting() == 0 {
			t.Errorf("delivered %d, %d wait", n, b.Waiting())
		}
		expect(b, "0", "1", "2")
		b.Resume()
		expect(b, "3")
		cancel()
		synctest.Wait()
		if b.Stats().Up {
			t.Error("a fake is up after its end")
		}
	})
}

func TestAFakeFailsAndShowsLinesAsItIsToldTo(t *testing.T) {
	a, _ := NewPair("a", "b")
	broken := errors.New("broken")
	a.SetError(broken)
	if err := a.Send(nil); !errors.Is(err, broken) || a.Stats().Up || a.Stats().TxDropped != 1 {
		t.Errorf("send gives %v, %+v", err, a.Stats())
	}
	a.SetLines(link.LinesDown, link.CableFull)
	if s, c := a.Lines(); s != link.LinesDown || c != link.CableFull {
		t.Errorf("lines %v, cable %v", s, c)
	}
}

func TestAFakeKeepsTheNewestFrames(t *testing.T) {
	a, b := NewPair("a", "b")
	for i := range queueMax + 10 {
		if err := a.Send([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if b.Waiting() != queueMax || b.Stats().RxErrors != 10 {
		t.Errorf("%d wait, %+v", b.Waiting(), b.Stats())
	}
	if p := b.next(); p[0] != 10 {
		t.Errorf("the oldest is %d, want 10", p[0])
	}
}

// tty opens one side of a cable as an agent would.
func tty(t *testing.T, n *NullModem, side int) *os.File {
	t.Helper()
	f, err := os.OpenFile(n.Device(side), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func newCable(t *testing.T) *NullModem {
	t.Helper()
	n, err := NewNullModem()
	if err != nil {
		t.Skipf("this machine has no ptys: %v", err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// read reads exactly n bytes, or what comes within the time.
func read(t *testing.T, f *os.File, n int, within time.Duration) []byte {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 4096)
	for len(got) < n {
		m, err := f.Read(buf)
		got = append(got, buf[:m]...)
		if err != nil {
			break
		}
	}
	return got
}

func write(t *testing.T, f *os.File, b []byte) {
	t.Helper()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}

const patience = 10 * time.Second

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestACableCarriesEveryByteBothWays(t *testing.T) {
	n := newCable(t)
	a, b := tty(t, n, 0), tty(t, n, 1)
	write(t, a, allBytes())
	if got := read(t, b, 256, patience); !bytes.Equal(got, allBytes()) {
		t.Errorf("to b: %x", got)
	}
	write(t, b, allBytes())
	if got := read(t, a, 256, patience); !bytes.Equal(got, allBytes()) {
		t.Errorf("to a: %x", got)
	}
	for end := time.Now().Add(patience); n.Bytes(Both) < 512 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // it counts what the tty has taken, after the fact
	}
	if n.Bytes(AToB) != 256 || n.Bytes(Both) != 512 || n.Lost(Both) != 0 {
		t.Errorf("counters: %d, %d, %d", n.Bytes(AToB), n.Bytes(Both), n.Lost(Both))
	}
}

func TestAListenerHearsItsDirectionAlone(t *testing.T) {
	n := newCable(t)
	a, b := tty(t, n, 0), tty(t, n, 1)
	var heard []byte
	n.Listen(AToB, func(b []byte) { heard = append(heard, b...) })
	write(t, a, allBytes())
	write(t, b, []byte("other"))
	read(t, b, 256, patience)
	read(t, a, 5, patience)
	n.Listen(AToB, nil) // from here on the relay does not touch heard
	write(t, a, []byte("unheard"))
	read(t, b, 7, patience)
	if !bytes.Equal(heard, allBytes()) {
		t.Errorf("heard %x", heard)
	}
}

func TestACableIsNeverFasterThanItsBaudRate(t *testing.T) {
	n := newCable(t)
	a, b := tty(t, n, 0), tty(t, n, 1)
	n.SetBaud(9600)
	begin := time.Now()
	write(t, a, allBytes())
	if got := read(t, b, 256, patience); !bytes.Equal(got, allBytes()) {
		t.Errorf("paced: %x", got)
	}
	wire := 256 * bitsPerByte * time.Second / 9600
	if took := time.Since(begin); took < wire {
		t.Errorf("256 bytes took %v, the wire alone takes %v", took, wire)
	}
}

func TestCutStallAndRestoreWorkPerDirection(t *testing.T) {
	n := newCable(t)
	a, b := tty(t, n, 0), tty(t, n, 1)
	n.Cut(AToB)
	write(t, a, []byte("lost"))
	for end := time.Now().Add(patience); n.Lost(AToB) < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was lost")
		}
	}
	write(t, b, []byte("back"))
	if got := read(t, a, 4, patience); string(got) != "back" {
		t.Errorf("the other direction carries %q", got)
	}
	n.Restore()
	n.Stall(AToB)
	write(t, a, []byte("late"))
	if got := read(t, b, 1, 50*time.Millisecond); len(got) != 0 {
		t.Errorf("a stalled cable carries %q", got)
	}
	n.Restore()
	if got := read(t, b, 4, patience); string(got) != "late" {
		t.Errorf("after the stall: %q", got)
	}
	if err := n.Inject(1, []byte("noise")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, 5, patience); string(got) != "noise" {
		t.Errorf("injected: %q", got)
	}
}

func TestNoiseHasItsRateAndIsTheSameForTheSameSeed(t *testing.T) {
	damage := func(seed uint64) []byte {
		b := make([]byte, 100_000)
		noise := newNoise(1e-3, seed, 0)
		for at := 0; at < len(b); at += 7 { // the pieces must not matter
			noise.damage(b[at:min(at+7, len(b))])
		}
		return b
	}
	one, again, other := damage(1), damage(1), damage(2)
	if !bytes.Equal(one, again) || bytes.Equal(one, other) {
		t.Error("the seed does not decide the noise")
	}
	flips := 0
	for _, b := range one {
		for ; b != 0; b &= b - 1 {
			flips++
		}
	}
	if flips < 700 || flips > 900 { // 800 expected, standard deviation 28
		t.Errorf("%d of 800000 bits are wrong at a rate of 1e-3", flips)
	}
	if newNoise(0, 1, 0) != nil {
		t.Error("a rate of zero makes noise")
	}
}

func TestADeviceVanishesAndComesBackUnderTheSamePath(t *testing.T) {
	n := newCable(t)
	a := tty(t, n, 0)
	n.Vanish(0)
	if _, err := os.Stat(n.Device(0)); !os.IsNotExist(err) {
		t.Errorf("the path is still there: %v", err)
	}
	if m, err := a.Read(make([]byte, 1)); m != 0 || err == nil {
		t.Errorf("the open tty reads %d, %v", m, err)
	}
	if err := n.Appear(0); err != nil {
		t.Fatal(err)
	}
	a, b := tty(t, n, 0), tty(t, n, 1)
	write(t, a, []byte("again"))
	if got := read(t, b, 5, patience); string(got) != "again" {
		t.Errorf("after the return: %q", got)
	}
	write(t, b, []byte("and back"))
	if got := read(t, a, 8, patience); string(got) != "and back" {
		t.Errorf("after the return: %q", got)
	}
}

func TestASideMayCloseAndOpenItsTTY(t *testing.T) {
	n := newCable(t)
	b := tty(t, n, 1)
	for i := range 5 {
		a := tty(t, n, 0)
		want := fmt.Sprint("round ", i)
		write(t, a, []byte(want))
		if got := read(t, b, len(want), patience); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	n := newCable(t)
	n.Stall(Both)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(n.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}
