package journal

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// resum repairs the checksum of a state file.
func resum(b []byte) {
	end := len(b) - crc32.Size
	binary.BigEndian.PutUint32(b[end:], crc32.ChecksumIEEE(b[:end]))
}

func event(seq uint64) report.Event {
	return report.Event{Seq: seq, At: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Kind: "role", Seen: "peer silent\nfor 250 ms"}
}

func TestEventsComeBackInOrder(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	for i := range uint64(10) {
		b.must(j.Append(event(i)))
	}
	b.must(j.Close())
	j, _ = b.mustOpen()
	all, err := j.Events()
	if err != nil || len(all) != 10 || all[9] != event(9) {
		t.Errorf("%d events, %v: %+v", len(all), err, all)
	}
}

func TestATornTailIsCutOffAndTheRestIsKept(t *testing.T) {
	for name, tail := range map[string]string{
		"half a line": `{"seq":99,"at":"20`,
		"zeros":       strings.Repeat("\x00", 4000),
		"both":        `{"seq":99` + strings.Repeat("\x00", 100),
	} {
		b := newBox(t)
		j, _ := b.mustOpen()
		b.must(j.Append(event(1)))
		b.must(j.Close())
		path := filepath.Join(b.dir, newEvents)
		data, err := os.ReadFile(path)
		b.must(err)
		b.must(os.WriteFile(path, append(data, tail...), 0o600))
		j, _ = b.mustOpen()
		b.must(j.Append(event(2)))
		all, err := j.Events()
		if err != nil || len(all) != 2 || all[1].Seq != 2 {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
}

func TestADamagedLineIsCountedAndLeftOut(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	b.must(j.Append(event(1)))
	b.must(j.Close())
	path := filepath.Join(b.dir, newEvents)
	data, err := os.ReadFile(path)
	b.must(err)
	b.must(os.WriteFile(path, append([]byte("rubbish\n"), data...), 0o600))
	j, _ = b.mustOpen()
	all, err := j.Events()
	if len(all) != 1 || err == nil || !strings.Contains(err.Error(), "1 lines are damaged") {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestEventFilesAreBoundedAndTheNewestAreKept(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	e := event(0)
	e.Done = strings.Repeat("é", 5000) // cut to maxEventText
	const n = 2000
	for i := range uint64(n) {
		e.Seq = i
		b.must(j.Append(e))
	}
	for _, name := range []string{newEvents, oldEvents} {
		fi, err := os.Stat(filepath.Join(b.dir, name))
		if err != nil || fi.Size() > maxEvents {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
	all, err := j.Events()
	if err != nil || len(all) < 400 || len(all) >= n {
		t.Fatalf("%d events, %v", len(all), err)
	}
	for i, e := range all {
		if want := uint64(n - len(all) + i); e.Seq != want {
			t.Fatalf("event %d has number %d, want %d", i, e.Seq, want)
		}
	}
}

func TestEventsAreFlushedAtMostOnceAnInterval(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	b.must(j.Append(event(1)))
	b.must(j.FlushEvents(time.Hour))
	if j.events.dirty {
		t.Error("the first flush did nothing")
	}
	b.must(j.Append(event(2)))
	b.must(j.FlushEvents(time.Hour))
	if !j.events.dirty {
		t.Error("a second flush came within the interval")
	}
	b.must(j.FlushEvents(0))
	if j.events.dirty {
		t.Error("a flush that was due did nothing")
	}
}

func BenchmarkAppend(b *testing.B) {
	j, _, errs := Open(b.TempDir())
	if errs != nil {
		b.Fatal(errs)
	}
	defer j.Close()
	for b.Loop() {
		if err := j.Append(event(1)); err != nil {
			b.Fatal(err)
		}
	}
}
