package mcast

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The peer of a benchmark is another process, so that only the path's own cost
// is measured: TestMain becomes it when this variable is set.
const peerVariable = "MCAST_BENCH_PEER"

func TestMain(m *testing.M) {
	if how := os.Getenv(peerVariable); how != "" {
		beThePeer(how)
		return
	}
	os.Exit(m.Run())
}

func benchConfig() Config {
	return Config{Interface: device, Group: netip.MustParseAddr("239.255.77.1"), Port: 6940}
}

// beThePeer sends a frame each period until it is killed or ten minutes have
// passed.
func beThePeer(how string) {
	var period int64
	if _, err := fmt.Sscan(how, &period); err != nil {
		panic(err)
	}
	p, err := New(benchConfig())
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	go func() { _ = p.Run(ctx, func([]byte) {}) }()
	for tick := time.NewTicker(time.Duration(period)); ctx.Err() == nil; <-tick.C {
		_ = p.Send(make([]byte, 53))
	}
}

func usage(b *testing.B) (cpu time.Duration, sleeps int64) {
	b.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), int64(r.Nvcsw)
}

// BenchmarkFramePair sends and receives one frame per period, ticker included.
// The namespace costs more than a real one: it pins Run to a thread.
func BenchmarkFramePair(b *testing.B) {
	for _, period := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond} {
		b.Run(period.String(), func(b *testing.B) {
			w := newWorld(b)
			w.plug(device)
			w.addresses(device)
			a := w.start(0, benchConfig())
			peer := exec.Command(os.Args[0])
			peer.Env = append(os.Environ(), fmt.Sprintf("%s=%d", peerVariable, period))
			w.inside(1, func() { w.must(peer.Start()) })
			defer func() {
				_ = peer.Process.Kill()
				_ = peer.Wait()
			}()
			eventually(b, "the peer", func() bool { return a.Stats().RxFrames > 0 })
			payload := make([]byte, 53)
			tick := time.NewTicker(period)
			b.ResetTimer()
			before := a.Stats().RxFrames
			cpu, sleeps := usage(b)
			for range b.N {
				<-tick.C
				if err := a.Send(payload); err != nil {
					b.Fatal(err)
				}
			}
			cpu2, sleeps2 := usage(b)
			n := float64(b.N)
			b.ReportMetric(float64((cpu2-cpu)/time.Microsecond)/n, "cpu-us/op")
			b.ReportMetric(float64(sleeps2-sleeps)/n, "sleeps/op")
			b.ReportMetric(float64(a.Stats().RxFrames-before)/n, "rx/op")
		})
	}
}
