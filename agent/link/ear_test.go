package link

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ends returns two connected datagram sockets and an ear for the first.
func ends(tb testing.TB) (near, far int, ear *Ear) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if ear, err = NewEar(fds[0]); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ear.Close()
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	})
	return fds[0], fds[1], ear
}

// receiver returns a callback for Listen, and how often it was called.
func receiver(fd int, buf []byte) (get func(uintptr) bool, calls *int) {
	vector := &unix.Iovec{Base: &buf[0]}
	vector.SetLen(len(buf))
	header := &unix.Msghdr{Iov: vector}
	header.SetIovlen(1)
	calls = new(int)
	return func(uintptr) bool {
		*calls++
		_, err := QuickReceive(uintptr(fd), header)
		return !errors.Is(err, unix.EAGAIN)
	}, calls
}

func TestAnEarHearsWhatComesAndNotThatThereIsRoom(t *testing.T) {
	near, far, ear := ends(t)
	buf := make([]byte, 16)
	get, calls := receiver(near, buf)
	go func() {
		for range 20 { // each makes the near end writable again
			_ = QuickSend(uintptr(near), []byte("out"), nil)
			_, _ = unix.Read(far, make([]byte, 16))
		}
		time.Sleep(20 * time.Millisecond)
		_ = QuickSend(uintptr(far), []byte("in"), nil)
	}()
	if err := ear.Listen(get); err != nil || string(buf[:2]) != "in" {
		t.Fatalf("heard %q, %v", buf[:2], err)
	}
	if *calls != 2 { // at once, and when it came
		t.Errorf("woken %d times, want 2", *calls)
	}
}

func TestAnEarGivesUpAtTheDeadlineAndWhenClosed(t *testing.T) {
	near, _, ear := ends(t)
	get, _ := receiver(near, make([]byte, 16))
	if err := ear.Deadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := ear.Listen(get); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	_ = ear.Deadline(time.Time{})
	time.AfterFunc(10*time.Millisecond, ear.Close)
	if err := ear.Listen(get); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Close: %v", err)
	}
}

func TestATimerGoesOffOnceAndNotBeforeItsTime(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := errors.Join(timer.Set(time.Hour), timer.Set(3*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := timer.Wait(); err != nil || time.Since(began) < 3*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if err := timer.Set(0); err != nil || timer.Wait() != nil { // zero is at once, not never
		t.Errorf("zero: %v", err)
	}
	time.AfterFunc(10*time.Millisecond, timer.Close)
	if timer.Wait() == nil {
		t.Error("went off twice, or survived Close")
	}
}

func BenchmarkTimer(b *testing.B) {
	timer, err := NewTimer()
	if err != nil {
		b.Fatal(err)
	}
	defer timer.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := timer.Set(0); err != nil || timer.Wait() != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEar(b *testing.B) {
	near, far, ear := ends(b)
	get, _ := receiver(near, make([]byte, 64))
	payload := make([]byte, 53)
	b.ReportAllocs()
	for b.Loop() {
		if err := QuickSend(uintptr(far), payload, nil); err != nil {
			b.Fatal(err)
		}
		if err := ear.Listen(get); err != nil {
			b.Fatal(err)
		}
	}
}
