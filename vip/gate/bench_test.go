package gate

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vips4 returns n addresses of the loopback network.
func vips4(n int) []netip.Addr { return many(n, netip.MustParseAddr("127.9.0.1")) }

func benchGate(b *testing.B, vips int) *Gate {
	alone(b)
	cfg := loConfig(time.Minute, time.Minute)
	cfg.Groups[0].VIPs = vips4(vips)
	g := open(b, cfg)
	grant(b, g, 0)
	return g
}

func benchOperation(b *testing.B, vips int, do func(*Gate) error) {
	g := benchGate(b, vips)
	b.ReportAllocs()
	for b.Loop() {
		if err := do(g); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTurn(b *testing.B) { benchOperation(b, 1, (*Gate).Turn) }

func BenchmarkGrant(b *testing.B) {
	benchOperation(b, 1, func(g *Gate) error { return g.Grant(0) })
}

// BenchmarkRenew must cost the same for any number of addresses.
func BenchmarkRenew(b *testing.B) {
	for _, vips := range []int{1, 1000, MaxVIPs} {
		b.Run(fmt.Sprintf("vips=%d", vips), func(b *testing.B) {
			benchOperation(b, vips, func(g *Gate) error { return g.Renew(0) })
		})
	}
}

func BenchmarkClose(b *testing.B) {
	benchOperation(b, 1, func(g *Gate) error { return g.Close(0) })
}

func BenchmarkHeld(b *testing.B) {
	benchOperation(b, 1, func(g *Gate) error { _, _, err := g.Held(0); return err })
}

func BenchmarkVerify(b *testing.B) { benchOperation(b, 1000, (*Gate).Verify) }

// BenchmarkOpen loads a gate into an empty kernel and takes it out again.
func BenchmarkOpen(b *testing.B) {
	for _, vips := range []int{1, 1000, MaxVIPs} {
		b.Run(fmt.Sprintf("vips=%d", vips), func(b *testing.B) {
			alone(b)
			cfg := loConfig(time.Minute, time.Minute)
			cfg.Groups[0].VIPs = vips4(vips)
			var removing time.Duration
			for b.Loop() {
				g, err := Open(cfg)
				if err != nil {
					b.Fatal(err)
				}
				begin := time.Now()
				if err := g.Remove(); err != nil {
					b.Fatal(err)
				}
				removing += time.Since(begin)
			}
			b.ReportMetric(float64(removing.Nanoseconds())/float64(b.N), "ns-of-it-remove/op")
		})
	}
}

// BenchmarkAdopt opens a gate that is in the kernel already.
func BenchmarkAdopt(b *testing.B) {
	for _, vips := range []int{1, 1000, MaxVIPs} {
		b.Run(fmt.Sprintf("vips=%d", vips), func(b *testing.B) {
			g := benchGate(b, vips)
			for b.Loop() {
				if err := g.Restore(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPacket sends datagrams to an address that is not virtual, through no
// gate and through gates of several sizes.
func BenchmarkPacket(b *testing.B) {
	for _, vips := range []int{0, 1, 1000, MaxVIPs} {
		b.Run(fmt.Sprintf("vips=%d", vips), func(b *testing.B) {
			if vips > 0 {
				benchGate(b, vips)
			} else {
				alone(b)
			}
			fd, err := openSelf(netip.MustParseAddr("127.0.0.1"))
			must(b, err)
			defer unix.Close(fd)
			buf := make([]byte, 64)
			for b.Loop() {
				if _, err := unix.Write(fd, buf[:1]); err != nil {
					b.Fatal(err)
				}
				_, _ = unix.Read(fd, buf)
			}
		})
	}
}

// BenchmarkDark measures how long a lease really lives after the last renewal;
// run it with -benchtime 30x. The metrics are milliseconds.
func BenchmarkDark(b *testing.B) {
	for _, lease := range []time.Duration{300 * time.Millisecond, 35 * time.Millisecond} {
		b.Run(lease.String(), func(b *testing.B) {
			alone(b)
			g := open(b, loConfig(lease, 10*time.Second))
			if !g.features.control {
				b.Skip("needs the egress hook to see the instant")
			}
			shortest, longest, total := time.Hour, time.Duration(0), time.Duration(0)
			for b.Loop() {
				must(b, g.Turn())
				must(b, g.Grant(0))
				time.Sleep(lease / 3)
				renewed := time.Now()
				must(b, g.Renew(0))
				time.Sleep(lease - 12*time.Millisecond)
				lived := lifetime(b, g, renewed)
				shortest, longest, total = min(shortest, lived), max(longest, lived), total+lived
			}
			ms := func(d time.Duration, unit string) { b.ReportMetric(float64(d.Microseconds())/1000, unit) }
			ms(shortest, "min-ms")
			ms(longest, "max-ms")
			ms(total/time.Duration(b.N), "mean-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// lifetime asks until the lease is gone. The time before each asking counts, so
// that a pause of this process does not make the lease look longer.
func lifetime(b *testing.B, g *Gate, renewed time.Time) time.Duration {
	last := renewed
	for time.Since(renewed) < 10*time.Second {
		asked := time.Now()
		alive, err := g.speaker.do(opProbe, 0, 0, false)
		must(b, err)
		if !alive {
			return last.Sub(renewed)
		}
		last = asked
		time.Sleep(20 * time.Microsecond)
	}
	b.Fatal("the lease does not end")
	return 0
}
