package serial

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
)

// usage returns the processor time of the process and how often one of its
// threads went to sleep.
func usage(b *testing.B) (cpu time.Duration, sleeps int64) {
	b.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), int64(r.Nvcsw)
}

// rawMaster returns the master of a new pty and the path of its slave.
func rawMaster(b *testing.B) (master *os.File, path string) {
	b.Helper()
	n, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		b.Skipf("this machine has no ptys: %v", err)
	}
	master = os.NewFile(uintptr(n), "ptmx")
	b.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(n, unix.TIOCSPTLCK, 0); err != nil {
		b.Fatal(err)
	}
	number, err := unix.IoctlGetInt(n, unix.TIOCGPTN)
	if err != nil {
		b.Fatal(err)
	}
	return master, "/dev/pts/" + strconv.Itoa(number)
}

// The peer of a benchmark is another process, so that only the port's own cost
// is measured: TestMain becomes it when this variable is set.
const peerVariable = "SERIAL_BENCH_PEER"

func TestMain(m *testing.M) {
	if how := os.Getenv(peerVariable); how != "" {
		beThePeer(how)
		return
	}
	os.Exit(m.Run())
}

// beThePeer writes a frame to descriptor 3 each period until it is killed or
// ten minutes have passed.
func beThePeer(how string) {
	var period, gap time.Duration
	var pieces int
	if _, err := fmt.Sscan(how, &period, &pieces, &gap); err != nil {
		panic(err)
	}
	frame := testFrame(nil, make([]byte, 47))
	size := (len(frame) + pieces - 1) / pieces
	var sink [4096]byte
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); sleep(period) {
		for at := 0; at < len(frame); at += size {
			if at > 0 {
				sleep(gap)
			}
			_, _ = unix.Write(3, frame[at:min(at+size, len(frame))])
		}
		_, _ = unix.Read(3, sink[:])
	}
}

func sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}

// benchPaced sends and receives one frame per period for b.N periods.
func benchPaced(b *testing.B, period time.Duration, pieces int, gap time.Duration) {
	master, path := rawMaster(b)
	p, err := New(config(path))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var got atomic.Int64
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, func([]byte) { got.Add(1) }) }()
	for !p.Stats().Up {
		time.Sleep(time.Millisecond)
	}
	peer := exec.Command(os.Args[0])
	peer.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d", peerVariable, period, pieces, gap))
	peer.ExtraFiles = []*os.File{master}
	if err := peer.Start(); err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 47)
	for end := time.Now().Add(patience); got.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("the peer says nothing")
		}
	}
	tick := time.NewTicker(period)
	b.ResetTimer()
	got.Store(0)
	cpu, sleeps := usage(b)
	for range b.N {
		<-tick.C
		if err := p.Send(payload); err != nil {
			b.Fatal(err)
		}
	}
	cpu2, sleeps2 := usage(b)
	n := float64(b.N)
	b.ReportMetric(float64((cpu2-cpu)/time.Microsecond)/n, "cpu-us/op")
	b.ReportMetric(float64(sleeps2-sleeps)/n, "sleeps/op")
	b.ReportMetric(float64(got.Load())/n, "rx/op")
	_ = peer.Process.Kill()
	_ = peer.Wait()
	cancel()
	<-done
}

// One operation is one frame out and one frame in: whole, as a USB adapter
// hands it on, and in the pieces of a 16550's FIFO at 115200 baud. A ticker is
// part of the cost: nobody sends without one.
func BenchmarkFramePairWhole(b *testing.B) {
	for _, period := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
		b.Run(period.String(), func(b *testing.B) { benchPaced(b, period, 1, 0) })
	}
}

func BenchmarkFramePairInPieces(b *testing.B) {
	for _, period := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
		b.Run(period.String(), func(b *testing.B) { benchPaced(b, period, 5, 900*time.Microsecond) })
	}
}

// BenchmarkTicker is the floor of the two above.
func BenchmarkTicker(b *testing.B) {
	tick := time.NewTicker(50 * time.Millisecond)
	cpu, sleeps := usage(b)
	for range b.N {
		<-tick.C
	}
	cpu2, sleeps2 := usage(b)
	b.ReportMetric(float64((cpu2-cpu)/time.Microsecond)/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(sleeps2-sleeps)/float64(b.N), "sleeps/op")
}

// BenchmarkRoundTripAtBaud measures the way of a frame over a paced cable and
// back; the wire alone takes 2 x 53 bytes x 10 bits.
func BenchmarkRoundTripAtBaud(b *testing.B) {
	for _, baud := range []int{0, 115200, 230400, 921600} {
		b.Run(strconv.Itoa(baud), func(b *testing.B) {
			n, err := linktest.NewNullModem()
			if err != nil {
				b.Skip(err)
			}
			defer func() { _ = n.Close() }()
			n.SetBaud(baud)
			back := make(chan struct{}, 1)
			ctx, cancel := context.WithCancel(context.Background())
			ends := make([]*Port, 2)
			done := make(chan error, 2)
			for i := range ends {
				if ends[i], err = New(config(n.Device(i))); err != nil {
					b.Fatal(err)
				}
			}
			go func() { done <- ends[0].Run(ctx, func([]byte) { back <- struct{}{} }) }()
			go func() { done <- ends[1].Run(ctx, func(p []byte) { _ = ends[1].Send(p) }) }()
			for !ends[0].Stats().Up || !ends[1].Stats().Up {
				time.Sleep(time.Millisecond)
			}
			payload := make([]byte, 47)
			for b.Loop() {
				if err := ends[0].Send(payload); err != nil {
					b.Fatal(err)
				}
				<-back
			}
			cancel()
			<-done
			<-done
		})
	}
}
