package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/twinbeat/twinbeat/agent/report"
)

func bootFile(t *testing.T, id string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFeedIsRemembered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	one, two := bootFile(t, "one"), bootFile(t, "two")
	open := func(boot string) *Journal {
		j, _, errs := OpenWith(dir, Options{BootIDPath: boot})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		return j
	}
	j := open(one)
	if k, _, err := j.LastFeed(); k != nil || err != nil || !j.First() || j.SameBoot() {
		t.Errorf("a first start has a feed: %v %v, first %v, same boot %v", k, err, j.First(), j.SameBoot())
	}
	want := report.Kick{At: time.Unix(1_790_000_000, 0).UTC(), BootID: "one", State: "starved", Stale: []string{strings.Repeat("long ", 20)}, Timeout: 5000, Dump: "d"}
	for _, k := range []report.Kick{want, {State: "fed"}, want} { // a shorter one leaves nothing of the longer
		if err := j.Feed(k); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()

	j = open(one)
	k, same, err := j.LastFeed()
	if diff := cmp.Diff(&want, k); diff != "" || !same || err != nil || j.First() || !j.SameBoot() {
		t.Errorf("same boot: %v, %v, first %v, %v\n%s", same, err, j.First(), j.SameBoot(), diff)
	}
	j.Close()

	j = open(two)
	defer j.Close()
	if k, same, err := j.LastFeed(); k == nil || same || err != nil || j.SameBoot() {
		t.Errorf("next boot: %v, %v, %v", same, err, j.SameBoot())
	}
	path := filepath.Join(dir, kickFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, torn := range map[string][]byte{"cut": b[:len(b)/2], "empty": {}, "flipped": append([]byte("x"), b[1:]...), "zeros": make([]byte, len(b))} {
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, _, err := j.LastFeed(); k != nil || err == nil {
			t.Errorf("%s: believed", name)
		}
	}
}

func TestFeedSaysWhatTheDiskSays(t *testing.T) {
	broken := errors.New("no such luck")
	var fail error
	j, _, errs := OpenWith(filepath.Join(t.TempDir(), "state"), Options{Sync: func(*os.File) error { return fail }})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	defer j.Close()
	fail = broken
	if err := j.Feed(report.Kick{}); !errors.Is(err, broken) {
		t.Errorf("a sync that failed: %v", err)
	}
}

func TestDumpsAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	j, _, errs := OpenWith(dir, Options{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	defer j.Close()
	for i := range 7 {
		if err := j.Dump([]byte(strings.Repeat(string(rune('a'+i)), MaxStack+9))); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "stacks-*"))
	if err != nil || len(files) != maxStacks {
		t.Fatalf("%v, %v", files, err)
	}
	for i, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || len(b) != MaxStack || b[0] != byte('g'-i) {
			t.Errorf("%s: %d bytes of %c, %v", f, len(b), b[0], err)
		}
	}
}
