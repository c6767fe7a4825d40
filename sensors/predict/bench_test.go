package predict

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// sixty returns a box of 60 sensors, as a server has them.
func sixty(t testing.TB) *Box {
	b := New()
	for i := range 60 {
		k := []Kind{Temperature, Fan, Voltage, Temperature, Power}[i%5]
		l := NoLimits()
		if k == Temperature {
			l.Crit = 95
		}
		if _, err := b.Watch(Spec{Name: fmt.Sprintf("%v%d", k, i), Kind: k, Limits: l}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

var usually = [...]float64{Temperature: 50, Fan: 3000, Voltage: 12, Power: 20}

// second is one second of the box: 60 readings, context, verdict.
func second(b *Box, at time.Time, r *rand.Rand, noise *[1024]float64) Health {
	b.Around(0.3, 24)
	off := r.IntN(len(noise))
	for id, s := range b.series {
		if s.spec.Kind == Fan {
			b.Drive(id, 120)
		}
		b.Observe(id, at, usually[s.spec.Kind]*(1+0.01*noise[(off+id)%len(noise)]))
	}
	return b.Health(at)
}

func noises(r *rand.Rand) *[1024]float64 {
	var n [1024]float64
	for i := range n {
		n[i] = r.NormFloat64()
	}
	return &n
}

// BenchmarkSixtySensors measures one second of 60 sensors after two days; its
// figure in ns/op divided by 1e9 is the share of a core.
func BenchmarkSixtySensors(bench *testing.B) {
	b, r := sixty(bench), rand.New(rand.NewPCG(1, 6))
	n, at := noises(r), begin
	for range 2 * 86400 / 10 {
		at = at.Add(10 * time.Second)
		second(b, at, r, n)
	}
	bench.ReportAllocs()
	bench.ResetTimer()
	for range bench.N {
		at = at.Add(time.Second)
		second(b, at, r, n)
	}
	bench.ReportMetric(float64(bench.Elapsed().Nanoseconds())/float64(bench.N)/1e7, "%core")
}

// TestSixtySensorsFit holds the budget: at most 300 KB, no garbage while all is
// well, and a state that is worth little flash.
func TestSixtySensorsFit(t *testing.T) {
	before := kept()
	b := sixty(t)
	bytes := kept() - before
	r := rand.New(rand.NewPCG(1, 7))
	n, at := noises(r), begin
	for range 2 * 8640 {
		at = at.Add(10 * time.Second)
		if h := second(b, at, r, n); h.Score != 100 {
			t.Fatalf("%+v", h)
		}
	}
	allocs := testing.AllocsPerRun(3600, func() {
		at = at.Add(time.Second)
		second(b, at, r, n)
	})
	state := len(b.Save())
	t.Logf("60 sensors: %d KB, %.2f allocations a second, a state of %d KB", bytes/1024, allocs, state/1024)
	if bytes > 300<<10 || allocs > 0 || state > 60<<10 {
		t.Errorf("over the budget")
	}
	runtime.KeepAlive(b)
}

// kept is the live heap in bytes, without what pools hold for once more.
func kept() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
