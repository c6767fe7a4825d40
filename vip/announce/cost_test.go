package announce

import (
	"testing"
	"time"
)

// BenchmarkProbeOverhead is what a silent probe takes beyond what it is to
// last, in the profile fast: three probes within 1.5 ms.
func BenchmarkProbeOverhead(b *testing.B) {
	for name, texts := range map[string][]string{
		"IPv4": {"192.0.2.1"}, "IPv6": {"2001:db8::1"}, "both": {"192.0.2.1", "192.0.2.2", "2001:db8::1"},
	} {
		b.Run(name, func(b *testing.B) {
			dev, _ := newSpace(b)
			a := newAnnouncer(b)
			for i := range texts {
				texts[i] += "@" + dev
			}
			addrs := parse(b, texts...)
			const spacing = 500 * time.Microsecond
			var over time.Duration
			for b.Loop() {
				start := time.Now()
				r, err := a.Probe(ctx, addrs, 3, spacing)
				over += time.Since(start) - 3*spacing
				if err != nil || !r.Sent || r.Foreign {
					b.Fatalf("%+v %v", r, err)
				}
			}
			b.ReportMetric(float64(over.Microseconds())/float64(b.N), "µs-over")
		})
	}
}
