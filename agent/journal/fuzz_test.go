package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// quickDir is a directory for files that need not outlive the test; a fuzzer
// would wait for the disk otherwise.
func quickDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "twinbeat-journal-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// bytesMost bounds a fuzzed file: what is beyond maxState is refused by length.
const bytesMost = 4096

// FuzzOpen finds any bytes in the two state files and the events, resealed with
// a right checksum or not, whole or torn. It never brings a token that no whole
// copy holds, and what it takes it keeps.
func FuzzOpen(f *testing.F) {
	s, err := encode(record{State: full(), Seq: 9, BootID: "id", Uptime: time.Second})
	if err != nil {
		f.Fatal(err)
	}
	older, err := encode(record{State: State{Token: true}, Seq: 8})
	if err != nil {
		f.Fatal(err)
	}
	line, err := eventLine(report.Event{Seq: 1, Kind: "role", Seen: "peer silent"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s, s, line, byte(0))
	f.Add(s, older, append(line, line[:20]...), byte(0))
	f.Add(s[:len(s)-1], older, []byte("\n\n{}\n\x00\x00"), byte(0))
	f.Add([]byte{}, []byte{}, []byte{}, byte(12))
	f.Add(s, older, line, byte(3))
	f.Fuzz(func(t *testing.T, a, b, events []byte, how byte) {
		if len(a)+len(b)+len(events) > bytesMost {
			return
		}
		dir := quickDir(t)
		tokens := how&12 == 12 // neither file exists: a first start
		for i, data := range [][]byte{a, b} {
			if how>>i&1 == 1 && len(data) > headerSize+4 {
				data = bytes.Clone(data)
				resum(data)
			}
			if how>>(2+i)&1 == 1 {
				continue // no such file
			}
			if r, err := decode(data); err == nil && r.Token {
				tokens = true
			}
			put(t, dir, []string{copyA, copyB}[i], data)
		}
		put(t, dir, newEvents, events)
		boot := filepath.Join(dir, "boot_id")
		put(t, dir, "boot_id", []byte("this boot"))
		o := Options{BootIDPath: boot, Uptime: func() time.Duration { return time.Minute }}
		j, state, _ := OpenWith(dir, o)
		if state.Token && !tokens {
			t.Fatalf("a token from nowhere: %+v", state)
		}
		if _, err := j.Events(); err != nil && !strings.Contains(err.Error(), "damaged") {
			t.Fatal(err)
		}
		kept(t, j, dir, o)
	})
}

// kept holds that an open journal saves, and reads again what it saved.
func kept(t *testing.T, j *Journal, dir string, o Options) {
	t.Helper()
	e := report.Event{Seq: 77, Kind: "role", Seen: "after it all"}
	if err := j.Append(e); err != nil {
		t.Fatal(err)
	}
	want := j.last.clone()
	want.Terms["gateway"]++
	saved := j.Save(want) // what was decoded may be longer once escaped
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again, got, errs := OpenWith(dir, o)
	defer again.Close()
	if saved != nil {
		return
	}
	if errs != nil {
		t.Fatalf("what was saved does not open: %v", errs)
	}
	got.Clean = want.Clean // Open notes that the agent runs
	if len(want.Terms) <= maxEntries && !reflect.DeepEqual(got, bounded(record{State: want}).State) {
		t.Fatalf("saved %+v\nread  %+v", want, got)
	}
	all, _ := again.Events()
	if len(all) == 0 || all[len(all)-1].Seen != e.Seen {
		t.Fatalf("the event that was appended last is not the last of %d", len(all))
	}
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzEvents holds that an event line is one line that reads as the event, and
// that any file gives events and a count of what is damaged.
func FuzzEvents(f *testing.F) {
	f.Add("role", "seen\nmore", "decided", uint64(7), []byte("{}\n"))
	f.Add("\xff\x00", strings.Repeat("x", 3000), "\u2028", uint64(0), []byte("null\n[]\n{\"seq\":-1}\ntorn"))
	f.Fuzz(func(t *testing.T, kind, seen, decided string, seq uint64, file []byte) {
		line, err := eventLine(report.Event{Seq: seq, Kind: kind, Seen: seen, Decided: decided})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(line, []byte{'\n'}) != 1 || line[len(line)-1] != '\n' || len(line) > maxEventLine {
			t.Fatalf("line %q", line)
		}
		got, bad := parseEvents(line)
		if bad != 0 || len(got) != 1 || got[0].Seq != seq || got[0].Kind != clip(kind, maxEventText) || got[0].Seen != clip(seen, maxEventText) {
			t.Fatalf("%q reads as %+v, %d damaged", line, got, bad)
		}
		all, bad := parseEvents(file)
		lines := bytes.Count(file, []byte{'\n'})
		if len(file) > 0 && file[len(file)-1] != '\n' {
			lines++
		}
		if len(all)+bad != lines {
			t.Fatalf("%d events and %d damaged of %d lines", len(all), bad, lines)
		}
	})
}
