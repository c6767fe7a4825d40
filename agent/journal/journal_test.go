package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A box is a machine whose boots and uptime the test decides.
type box struct {
	t      *testing.T
	dir    string
	boot   string
	uptime time.Duration
}

func newBox(t *testing.T) *box {
	b := &box{t: t, dir: filepath.Join(t.TempDir(), "state")}
	b.reboot()
	return b
}

func (b *box) reboot() {
	b.boot = filepath.Join(b.t.TempDir(), "boot_id")
	b.uptime = time.Minute
	if err := os.WriteFile(b.boot, []byte(b.boot+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) open() (*Journal, State, []error) {
	return OpenWith(b.dir, Options{BootIDPath: b.boot, Uptime: func() time.Duration { return b.uptime }})
}

func (b *box) mustOpen() (*Journal, State) {
	b.t.Helper()
	j, s, errs := b.open()
	if errs != nil {
		b.t.Fatal(errs)
	}
	b.t.Cleanup(func() { j.Close() })
	return j, s
}

func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func full() State {
	return State{
		Boot: 1, Token: true, Clean: true,
		Terms:       map[string]uint32{"gateway": 7, "dmz": 1},
		Unfit:       map[string]string{"dmz": "start dnsmasq: exit code 2"},
		Maintenance: &Maintenance{Reason: "new fan", By: "anna", SinceWall: time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC), Left: time.Hour},
		LastFence:   &report.Fence{At: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), Target: "fw2", Proven: true, Evidence: "off", Detail: "pdu"},
	}
}

func TestAFirstStartHasDefaultsAndAToken(t *testing.T) {
	b := newBox(t)
	_, s := b.mustOpen()
	if want := (State{Boot: 1, Token: true, Clean: true, Terms: map[string]uint32{}, Unfit: map[string]string{}}); !reflect.DeepEqual(s, want) {
		t.Errorf("state %+v, want %+v", s, want)
	}
	if fi, err := os.Stat(b.dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", fi.Mode(), err)
	}
}

func TestASavedStateComesBack(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	b.must(j.Save(full()))
	b.must(j.Close())
	_, s := b.mustOpen()
	if !reflect.DeepEqual(s, full()) {
		t.Errorf("state %+v, want %+v", s, full())
	}
}

func TestARunThatDidNotEndInOrderIsUnclean(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	b.must(j.Close()) // killed: nothing saved Clean
	j, s := b.mustOpen()
	if s.Clean {
		t.Error("a killed agent counts as ended in order")
	}
	s.Clean = true
	b.must(j.Save(s))
	b.must(j.Close())
	if _, s = b.mustOpen(); !s.Clean {
		t.Error("an ordered end counts as a crash")
	}
}

func TestBootsAreCountedByTheKernelsId(t *testing.T) {
	b := newBox(t)
	for _, want := range []uint32{1, 1, 2, 3} {
		if want > 1 {
			b.reboot()
		}
		j, s := b.mustOpen()
		if s.Boot != want {
			t.Errorf("boot %d, want %d", s.Boot, want)
		}
		b.must(j.Close())
	}
	b.boot = "/no/such/file"
	j, s, errs := b.open()
	if s.Boot != 4 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "boot id") {
		t.Errorf("without a boot id: boot %d, %v", s.Boot, errs)
	}
	b.must(j.Close())
}

func TestASpentTokenComesBackOnlyByContact(t *testing.T) {
	b := newBox(t)
	j, before := b.mustOpen()
	b.must(j.SpendToken())
	if err := j.SpendToken(); !errors.Is(err, ErrNoToken) {
		t.Errorf("it was spent twice: %v", err)
	}
	b.must(j.Save(before)) // read before the token was spent
	b.must(j.Close())
	for i := range 4 {
		if i > 1 {
			b.reboot()
		}
		var s State
		if j, s = b.mustOpen(); s.Token || j.Token() {
			t.Fatalf("restart %d gave the token back", i)
		}
		s.Token = true
		b.must(j.Save(s))
		b.must(j.Close())
	}
	j, _ = b.mustOpen()
	b.must(j.RecordContact())
	b.must(j.Close())
	j, s := b.mustOpen()
	if !s.Token {
		t.Error("contact did not give the token back")
	}
	s.Token = false // read before the contact
	b.must(j.Save(s))
	if !j.Token() {
		t.Error("Save took the token away")
	}
}

func TestMaintenanceIsCountedInTimeLeftOfThisBoot(t *testing.T) {
	b := newBox(t)
	left := func() time.Duration {
		j, s := b.mustOpen()
		defer j.Close()
		if s.Maintenance == nil {
			return -1
		}
		return s.Maintenance.Left
	}
	j, _ := b.mustOpen()
	b.must(j.Save(full())) // an hour
	b.must(j.Close())
	b.uptime += 10 * time.Minute
	if got := left(); got != 50*time.Minute {
		t.Errorf("%v left after 10 minutes without the agent", got)
	}
	b.reboot()
	if got := left(); got != 50*time.Minute {
		t.Errorf("%v left after a reboot: time with the power off does not count", got)
	}
	b.uptime += 5 * time.Hour
	if got := left(); got != leastLeft {
		t.Errorf("%v left of one that is over; 0 would mean for ever", got)
	}
	j, s := b.mustOpen()
	s.Maintenance.Left = 0
	b.must(j.Save(s))
	b.must(j.Close())
	b.uptime += time.Hour
	if got := left(); got != 0 {
		t.Errorf("%v left of one without an end", got)
	}
}

func TestOneDamagedCopyCostsNothing(t *testing.T) {
	damage := map[string]func(path string, b []byte) error{
		"torn":      func(p string, b []byte) error { return os.WriteFile(p, b[:len(b)/2], 0o600) },
		"empty":     func(p string, b []byte) error { return os.WriteFile(p, nil, 0o600) },
		"flipped":   func(p string, b []byte) error { b[len(b)/2] ^= 4; return os.WriteFile(p, b, 0o600) },
		"zeroed":    func(p string, b []byte) error { return os.WriteFile(p, make([]byte, len(b)), 0o600) },
		"longer":    func(p string, b []byte) error { return os.WriteFile(p, append(b, 0), 0o600) },
		"huge":      func(p string, b []byte) error { return os.Truncate(p, 1<<30) },
		"directory": func(p string, b []byte) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"missing":   func(p string, b []byte) error { return os.Remove(p) },
	}
	for name, harm := range damage {
		for _, file := range []string{copyA, copyB} {
			t.Run(name+" "+file, func(t *testing.T) {
				b := newBox(t)
				j, _ := b.mustOpen()
				b.must(j.Save(full()))
				b.must(j.SpendToken())
				b.must(j.Close())
				path := filepath.Join(b.dir, file)
				data, err := os.ReadFile(path)
				b.must(err)
				b.must(harm(path, data))
				j, s, errs := b.open()
				defer j.Close()
				want := full()
				want.Token = false
				if !reflect.DeepEqual(s, want) {
					t.Errorf("state %+v", s)
				}
				if (len(errs) > 0) != (name != "missing") {
					t.Errorf("errors %v", errs)
				}
			})
		}
	}
}

func TestTheNewerOfTwoCopiesCounts(t *testing.T) {
	for _, stale := range []string{copyA, copyB} {
		b := newBox(t)
		j, _ := b.mustOpen()
		old, err := os.ReadFile(filepath.Join(b.dir, stale))
		b.must(err)
		b.must(j.Save(full()))
		b.must(j.Close())
		b.must(os.WriteFile(filepath.Join(b.dir, stale), old, 0o600)) // a power cut between the two
		if _, s := b.mustOpen(); s.Terms["gateway"] != 7 {
			t.Errorf("stale %s: state %+v", stale, s)
		}
	}
}

func TestWithBothCopiesDamagedTheTokenCountsAsSpent(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	b.must(j.Save(full()))
	b.must(j.Close())
	for _, f := range []string{copyA, copyB} {
		b.must(os.WriteFile(filepath.Join(b.dir, f), []byte("TWBJ rubbish of some length"), 0o600))
	}
	j, s, errs := b.open()
	defer j.Close()
	if s.Token || s.Clean || s.Maintenance != nil || len(s.Terms) != 0 || s.Boot != 1 {
		t.Errorf("state %+v", s)
	}
	if got := errors.Join(errs...).Error(); !strings.Contains(got, "no whole copy is left") || !strings.Contains(got, "checksum is wrong") {
		t.Errorf("errors %v", got)
	}
	b.must(j.Save(s)) // and it goes on
	b.must(j.RecordContact())
}

func TestAFileOfAnotherVersionIsNotRead(t *testing.T) {
	file, err := encode(record{State: full()})
	if err != nil {
		t.Fatal(err)
	}
	file[5]++
	if _, err := decode(file); !errors.Is(err, errSum) {
		t.Errorf("error %v", err)
	}
	resum(file)
	if _, err := decode(file); !errors.Is(err, errVersion) {
		t.Errorf("error %v", err)
	}
}

func TestASecondAgentIsRefused(t *testing.T) {
	b := newBox(t)
	first, _ := b.mustOpen()
	b.must(first.Save(full()))
	second, s, errs := b.open()
	if !errors.Is(errors.Join(errs...), ErrLocked) {
		t.Errorf("errors %v", errs)
	}
	if s.Terms["gateway"] != 7 {
		t.Errorf("it may still read: %+v", s)
	}
	if second.Save(s) == nil || second.SpendToken() == nil || second.Append(report.Event{}) == nil {
		t.Error("two agents write one directory")
	}
	b.must(second.Close())
	b.must(first.SpendToken())
}

func TestAnUnchangedStateIsNotWrittenAgain(t *testing.T) {
	b := newBox(t)
	j, s := b.mustOpen()
	s.Terms["gateway"] = 3
	b.must(j.Save(s))
	path := filepath.Join(b.dir, copyA)
	before, err := os.ReadFile(path)
	b.must(err)
	b.must(os.Remove(path))
	b.must(j.Save(s))
	if _, err := os.Stat(path); err == nil {
		t.Error("flash wears for nothing")
	}
	s.Terms["gateway"] = 4
	b.must(j.Save(s))
	if after, err := os.ReadFile(path); err != nil || bytes.Equal(before, after) {
		t.Errorf("a changed state was not written: %v", err)
	}
}

// inMount runs f with a tmpfs of its own at the returned directory, in a mount
// namespace that ends with the test.
func inMount(t *testing.T, options string, f func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	skip := make(chan string, 1)
	go func() {
		defer close(skip)
		runtime.LockOSThread() // and never unlocked: the thread and its namespace end here
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			skip <- "needs root for a mount namespace: " + err.Error()
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			skip <- "make mounts private: " + err.Error()
			return
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
			skip <- "mount tmpfs: " + err.Error()
			return
		}
		f(dir)
	}()
	if why, ok := <-skip; ok {
		t.Skip(why)
	}
}

func TestAFullDiskGivesAClearErrorAndLosesNothing(t *testing.T) {
	inMount(t, "size=64k", func(dir string) {
		b := newBox(t)
		b.dir = filepath.Join(dir, "state")
		j, _, errs := b.open()
		if errs != nil {
			t.Error(errs)
			return
		}
		if err := j.Save(full()); err != nil {
			t.Error(err)
		}
		if err := j.Append(report.Event{Seq: 1, Kind: "agent"}); err != nil {
			t.Error(err)
		}
		filler := filepath.Join(dir, "filler")
		_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
		changed := full()
		changed.Terms["gateway"] = 99
		if err := j.Save(changed); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "save state") {
			t.Errorf("save: %v", err)
		}
		if err := j.SpendToken(); !errors.Is(err, unix.ENOSPC) || !j.Token() {
			t.Errorf("spend: %v, token %v", err, j.Token())
		}
		var err error
		for i := 0; i < 200 && err == nil; i++ {
			err = j.Append(report.Event{Seq: 2, Kind: "role", Seen: strings.Repeat("x", 900)})
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("append: %v", err)
		}
		_, old, _ := readOnly(b)
		if old.Terms["gateway"] != 7 || !old.Token {
			t.Errorf("the old state is damaged: %+v", old)
		}
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
		if err := errors.Join(j.Save(changed), j.SpendToken(), j.Append(report.Event{Seq: 3})); err != nil {
			t.Errorf("with room again: %v", err)
		}
		all, err := j.Events()
		if err != nil || all[0].Seq != 1 || all[len(all)-1].Seq != 3 {
			t.Errorf("%d events, %v", len(all), err)
		}
	})
}

// readOnly decodes the newest copy without opening the journal.
func readOnly(b *box) (string, State, error) {
	j := &Journal{dir: b.dir}
	errs := j.load()
	return b.dir, j.last.State, errors.Join(errs...)
}

func TestAReadOnlyDiskGivesAClearErrorAndTheStateIsStillRead(t *testing.T) {
	inMount(t, "size=1m", func(dir string) {
		b := newBox(t)
		b.dir = dir
		j, _, errs := b.open()
		if err := errors.Join(errors.Join(errs...), j.Save(full()), j.Close()); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Error(err)
			return
		}
		j, s, errs := b.open()
		if s.Terms["gateway"] != 7 || !errors.Is(errors.Join(errs...), unix.EROFS) {
			t.Errorf("state %+v, errors %v", s, errs)
		}
		if err := j.SpendToken(); !errors.Is(err, unix.EROFS) {
			t.Errorf("a token was spent that the disk still holds: %v", err)
		}
		if err := j.Append(report.Event{}); !errors.Is(err, unix.EROFS) {
			t.Errorf("append: %v", err)
		}
		if _, err := j.Events(); err != nil {
			t.Errorf("events: %v", err)
		}
		_ = j.Close()
	})
}

func TestADirectoryThatCannotBeMadeIsAnErrorAndNotTheEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j, _, errs := Open(filepath.Join(file, "state"))
	if len(errs) == 0 || j.Save(State{}) == nil || j.Append(report.Event{}) == nil || j.SpendToken() == nil {
		t.Errorf("errors %v", errs)
	}
	if err := errors.Join(j.FlushEvents(0), j.Close()); err != nil {
		t.Error(err)
	}
}

func TestASnapshotOfTheStateIsNotSharedWithItsCaller(t *testing.T) {
	b := newBox(t)
	j, _ := b.mustOpen()
	s := full()
	b.must(j.Save(s))
	s.Terms["gateway"], s.Maintenance.Reason = 0, "changed"
	b.must(j.SpendToken()) // writes what the journal holds
	b.must(j.Close())
	if _, got := b.mustOpen(); got.Terms["gateway"] != 7 || got.Maintenance.Reason != "new fan" {
		t.Errorf("state %+v", got)
	}
}

func TestAStateIsBounded(t *testing.T) {
	s := full()
	for i := range 1000 {
		s.Terms[fmt.Sprint("g", i)] = 1
		s.Unfit[fmt.Sprint("g", i)] = strings.Repeat("\xffé", 5000)
	}
	s.Maintenance.Reason = strings.Repeat("x", 1<<20)
	s.LastFence.At = time.Date(90000, 1, 1, 0, 0, 0, 0, time.UTC)
	file, err := encode(record{State: s})
	if err != nil {
		// 64 texts of 1 KiB are more than a file may hold: refused, not cut.
		for g := range s.Unfit {
			s.Unfit[g] = "short"
		}
		file, err = encode(record{State: s})
	}
	if err != nil || len(file) > maxState {
		t.Fatalf("%d bytes, %v", len(file), err)
	}
	r, err := decode(file)
	if err != nil || len(r.Terms) != maxEntries || len(r.Maintenance.Reason) != maxStateText {
		t.Errorf("%d terms, %v", len(r.Terms), err)
	}
}

func FuzzStateDecodesToWhatItEncodes(f *testing.F) {
	for _, s := range []State{{}, full()} {
		b, err := encode(record{State: s, Seq: 9, BootID: "id", Uptime: time.Second})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-9])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > headerSize+4 {
			resum(b) // else nothing gets past the checksum
		}
		first, err := decode(b)
		if err != nil {
			if !reflect.DeepEqual(first, record{}) {
				t.Fatalf("a refused file gave %+v", first)
			}
			return
		}
		again, err := encode(first)
		if err != nil {
			return // decoded within bounds, but longer once escaped
		}
		second, err := decode(again)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%+v became %+v, %v", first, second, err)
		}
	})
}

func TestTermsOfTheFuzzSeedSurvive(t *testing.T) {
	b, err := encode(record{State: full()})
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode(b)
	if err != nil || !maps.Equal(r.Terms, full().Terms) {
		t.Errorf("%+v, %v", r, err)
	}
}

func BenchmarkSave(b *testing.B) {
	j, s, errs := Open(b.TempDir())
	if errs != nil {
		b.Fatal(errs)
	}
	defer j.Close()
	for b.Loop() {
		s.Terms["gateway"]++
		if err := j.Save(s); err != nil {
			b.Fatal(err)
		}
	}
}

// syncs opens the journal with a disk that notes, for each sync, the file and
// what has its final name by then, and fails while it is told to.
func (b *box) syncs(fail *error) (*Journal, *[]string) {
	b.t.Helper()
	var trace []string
	j, _, errs := OpenWith(b.dir, Options{BootIDPath: b.boot, Uptime: func() time.Duration { return b.uptime }, Sync: func(f *os.File) error {
		step := filepath.Base(f.Name())
		for _, name := range []string{copyA, copyB} {
			r, err := readCopy(filepath.Join(b.dir, name))
			step += fmt.Sprintf(" %s:%v", name, err == nil && r.Terms["gateway"] == 7)
		}
		trace = append(trace, step)
		return *fail
	}})
	if errs != nil {
		b.t.Fatal(errs)
	}
	b.t.Cleanup(func() { j.Close() })
	trace = nil
	return j, &trace
}

// A power cut may come at any moment: the bytes are on disk before the name,
// the name before the next copy is begun, and all before Save returns.
func TestASaveIsOnDiskStepByStep(t *testing.T) {
	b := newBox(t)
	var fail error
	j, trace := b.syncs(&fail)
	b.must(j.Save(full()))
	want := []string{
		"state.a.new state.a:false state.b:false", "state state.a:true state.b:false",
		"state.b.new state.a:true state.b:false", "state state.a:true state.b:true",
	}
	if got := *trace; !reflect.DeepEqual(got, want) {
		t.Errorf("synced:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestATokenThatTheDiskDoesNotHoldIsNone(t *testing.T) {
	b := newBox(t)
	var fail error
	j, _ := b.syncs(&fail)
	b.must(j.SpendToken())
	fail = errors.New("disk is dying")
	if err := j.RecordContact(); !errors.Is(err, fail) || j.Token() {
		t.Errorf("contact: %v, token %v", err, j.Token())
	}
	fail = nil
	b.must(j.RecordContact())
	fail = errors.New("disk is dying")
	if err := j.SpendToken(); !errors.Is(err, fail) || !j.Token() {
		t.Errorf("spend: %v, token %v", err, j.Token())
	}
}

func TestALateStartWritesNothingBeforeItSaves(t *testing.T) {
	b := newBox(t)
	j, s := b.mustOpen()
	s.Clean = true
	b.must(errors.Join(j.Save(s), j.Close()))
	disk := func() (all [copies][]byte) {
		for i, name := range []string{copyA, copyB} {
			var err error
			all[i], err = os.ReadFile(filepath.Join(b.dir, name))
			b.must(err)
		}
		return all
	}
	before := disk()
	syncs := 0
	j, s, errs := OpenWith(b.dir, Options{Late: true, BootIDPath: b.boot, Sync: func(f *os.File) error {
		syncs++
		return f.Sync()
	}})
	defer j.Close()
	if errs != nil || !s.Clean || syncs > 0 || !reflect.DeepEqual(disk(), before) {
		t.Errorf("clean %v, %d syncs, %v; want the disk as it was", s.Clean, syncs, errs)
	}
	s.Clean = false
	b.must(j.Save(s))
	if after := disk(); syncs == 0 || bytes.Equal(after[0], before[0]) || !bytes.Equal(after[0], after[1]) {
		t.Errorf("%d syncs; want the running agent noted in both copies", syncs)
	}
}
