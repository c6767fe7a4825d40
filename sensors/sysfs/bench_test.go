package sysfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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

// What sixty sensors cost in memory: files, readings, trends.
func TestMemoryOfSixtySensors(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the race detector's own memory counts, too")
	}
	if os.Getenv("TWINBEAT_ALONE") == "" { // what other tests left would count, too
		c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), "TWINBEAT_ALONE=1")
		out, err := c.CombinedOutput()
		t.Logf("%s", out)
		if err != nil || !strings.Contains(string(out), "KB in all") {
			t.Error(err)
		}
		return
	}
	root := largeBox(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, j, at := rounds.New(New(root, "").Find, time.Minute), sensors.NewJudge(sensors.Config{}), time.Now()
	defer r.Close()
	for range 200 {
		at = at.Add(time.Second)
		j.Take(at, r.Ask(at))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d bytes a sensor, %d KB in all", used/60, used>>10)
	if used > 300<<10 {
		t.Errorf("%d KB, at most 300", used>>10)
	}
	runtime.KeepAlive(j)
}

// BenchmarkSixtySensors is one round of them: 180 files read, all judged. The
// files are on an ordinary file system; the kernel's own cost what their drivers
// take.
func BenchmarkSixtySensors(b *testing.B) {
	r, j, at := rounds.New(New(largeBox(b), "").Find, time.Minute), sensors.NewJudge(sensors.Config{}), time.Now()
	defer r.Close()
	if n := len(r.Ask(at)); n != 60 {
		b.Fatalf("%d sensors", n)
	}
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Second)
		j.Take(at, r.Ask(at))
		j.Votes()
	}
}
