package sysfs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/rounds"
)

// largeBox plants sixty temperatures with a fault bit and an alarm each, on ten
// chips.
func largeBox(b testing.TB) string {
	b.Helper()
	root, err := os.MkdirTemp("", "s") // a short path, as that of /sys is
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(root) })
	for chip := range 10 {
		dir := filepath.Join(root, fmt.Sprintf("sys/class/hwmon/hwmon%d", chip))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		files := map[string]string{"name": fmt.Sprint("chip", chip)}
		for i := range 6 {
			for what, text := range map[string]string{"input": "51250", "crit": "95000", "crit_alarm": "0", "fault": "0"} {
				files[fmt.Sprintf("temp%d_%s", i+1, what)] = text
			}
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	return root
}

// sixty reads and judges such a box for 200 seconds, and says what files,
// readings and trends keep in memory, in bytes.
func sixty(b testing.TB) (r *rounds.Rounds, j *sensors.Judge, at time.Time, memory int64) {
	b.Helper()
	root := largeBox(b)
	before := kept()
	r, j, at = rounds.New(New(root, "").Find, time.Minute), sensors.NewJudge(sensors.Config{}), time.Now()
	b.Cleanup(r.Close)
	if n := len(r.Ask(b.Context(), at)); n != 60 {
		b.Fatalf("%d sensors", n)
	}
	for range 200 {
		at = at.Add(time.Second)
		j.Take(at, r.Ask(b.Context(), at))
	}
	return r, j, at, kept() - before
}

// The least of three boxes: a process gets some things once, and whichever box is
// counted then seems to need them.
func TestSixtySensorsFit(t *testing.T) {
	least := int64(math.MaxInt64)
	for range 3 {
		_, j, _, memory := sixty(t)
		runtime.KeepAlive(j)
		least = min(least, memory)
	}
	if least < 60<<10 || least > 300<<10 {
		t.Errorf("60 sensors cost %d KB", least/1024)
	}
}

// BenchmarkSixtySensors is one round of them: 180 files read, all judged. The
// files are on an ordinary file system; the kernel's own cost what their drivers
// take.
func BenchmarkSixtySensors(b *testing.B) {
	r, j, at, memory := sixty(b)
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Second)
		j.Take(at, r.Ask(b.Context(), at))
		j.Votes()
	}
	b.ReportMetric(float64(memory)/1024, "KB")
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
