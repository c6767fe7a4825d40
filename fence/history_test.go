package fence_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
)

func record(n int) fence.Record {
	return fence.Record{
		At: time.Date(2026, 3, 1, 0, 0, n, 0, time.UTC), By: "fw2", Why: "peer silent", Target: "pdu:1+pdu:2", Node: "fw1", Action: "off",
		Proven: true, Grade: fence.GradeLoad, Level: 1, Evidence: "off, relay and load: é\nnext", Detail: "pdu:1: read off 3 times", TookMS: 1234,
	}
}

func history(t *testing.T, dir string) *fence.History {
	t.Helper()
	h, err := fence.OpenHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHistoryComesBackInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	for n := range 5 {
		if err := history(t, dir).Append(record(n)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := history(t, dir).Records()
	if err != nil || len(all) != 5 || !reflect.DeepEqual(all[4], record(4)) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestTornAndDamagedLinesOfTheHistoryAreLeftOutAndCounted(t *testing.T) {
	dir := t.TempDir()
	h := history(t, dir)
	for n := range 3 {
		if err := h.Append(record(n)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "fence.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	lines[1] = strings.Replace(lines[1], `"proven":true`, `"proven":True`, 1)
	lines[1] = strings.Replace(lines[1], "fw1", "fw9", 1) // plausible, and not what was written
	torn := strings.Join(lines, "") + lines[0][:40]
	if err := os.WriteFile(path, []byte(torn), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Append(record(7)); err != nil {
		t.Fatal(err)
	}
	all, err := h.Records()
	if len(all) != 3 || all[2].At != record(7).At || err == nil || !strings.Contains(err.Error(), "2 lines are damaged") {
		t.Errorf("%d records, %v", len(all), err)
	}
}

func TestHistoryIsBoundedAndKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	h := history(t, dir)
	r := record(0)
	r.Detail, r.Evidence = strings.Repeat("é", 9000), strings.Repeat("x", 9000)
	for n := range 100 {
		r.TookMS = int64(n)
		if err := h.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"fence.jsonl", "fence.old.jsonl"} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Size() > 256<<10 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
	all, err := h.Records()
	if err != nil || len(all) < 30 || all[len(all)-1].TookMS != 99 || all[0].TookMS != int64(100-len(all)) {
		t.Errorf("%d records, %v", len(all), err)
	}
}

func TestTwoWritersOfTheHistoryLoseNothing(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 4 {
		h := history(t, dir)
		all.Go(func() {
			for n := range 10 {
				if err := h.Append(record(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got, err := history(t, dir).Records(); err != nil || len(got) != 40 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// quickDir is a folder for files that need not outlive the test; a fuzzer would
// wait for the disk otherwise.
func quickDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "twinbeat-fence-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FuzzHistory holds that any file gives records and a count of what is damaged,
// and that what is appended then is the last.
func FuzzHistory(f *testing.F) {
	f.Add([]byte("00000000 {}\nrubbish\n\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := quickDir(t)
		if err := os.WriteFile(filepath.Join(dir, "fence.jsonl"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		h := history(t, dir)
		_, _ = h.Records()
		if err := h.Append(record(3)); err != nil {
			t.Fatal(err)
		}
		all, _ := h.Records()
		if len(b) < 200<<10 && (len(all) == 0 || !reflect.DeepEqual(all[len(all)-1], record(3))) {
			t.Fatalf("what was appended last is not the last of %d", len(all))
		}
	})
}
