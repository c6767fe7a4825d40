package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A fake is a target that does as it is told.
type fake struct {
	mu    sync.Mutex
	fail  error
	slow  time.Duration
	got   []uint64 // events told
	texts []string
}

func (f *fake) Send(ctx context.Context, a *alert.Alert) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.slow > 0 {
		select {
		case <-time.After(f.slow):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if f.fail != nil {
		return "", f.fail
	}
	f.got = append(f.got, a.Seq)
	f.texts = append(f.texts, a.Line())
	return "ok", nil
}

func (f *fake) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *fake) told() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// A desktop is an office under test.
type desktop struct {
	t      *testing.T
	dir    string
	board  *control.Board
	boot   uint32
	fakes  map[string]*fake
	limits alert.Limits
	events []report.Event // that the office told the loop
}

func newDesktop(t *testing.T, names ...string) *desktop {
	d := &desktop{t: t, dir: t.TempDir(), board: control.NewBoard(nil), boot: 1, fakes: map[string]*fake{}}
	for _, n := range names {
		d.fakes[n] = &fake{}
	}
	return d
}

func (d *desktop) options() Options {
	o := Options{
		Board: d.board, Pair: alert.Pair{Cluster: "office", Node: "fw1"}, Boot: d.boot, Log: slog.New(slog.DiscardHandler),
		Disk: filepath.Join(d.dir, "disk"), Memory: filepath.Join(d.dir, "memory"),
		Tell: func(e report.Event) bool { d.events = append(d.events, e); return true },
	}
	for _, n := range []string{"log", "mail"} {
		if f := d.fakes[n]; f != nil {
			o.Targets = append(o.Targets, Target{Name: n, Type: "fake", Sender: f, Filter: alert.Filter{Severity: alert.Info}, Limits: d.limits, Timeout: 5 * time.Second})
		}
	}
	return o
}

// start runs an office; what it returns ends it in order.
func (d *desktop) start() (*Office, func()) {
	d.t.Helper()
	f, err := Open(d.options())
	if err != nil {
		d.t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	return f, func() { cancel(); <-done }
}

// happen puts events on the board.
func (d *desktop) happen(n int) {
	for range n {
		d.board.Add(report.Event{At: time.Now(), Kind: "fence", Decided: "proven off", Seen: "relay"})
	}
}

func (d *desktop) want(name string, from, to uint64) {
	d.t.Helper()
	var want []uint64
	for i := from; i <= to; i++ {
		want = append(want, i)
	}
	if got := d.fakes[name].told(); !slices.Equal(got, want) {
		d.t.Errorf("%s was told of %v, want %v", name, got, want)
	}
}

func (d *desktop) onDisk() bool {
	_, err := os.Stat(filepath.Join(d.dir, "disk"))
	return err == nil
}

func TestEventsAreToldAtOnceAndCostTheDiskNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log", "mail")
		d.happen(3) // before the first office: history
		f, stop := d.start()
		d.happen(2)
		time.Sleep(time.Minute)
		d.want("log", 4, 5)
		d.want("mail", 4, 5)
		v := f.View()
		if v.Error != "" || len(v.Targets) != 2 || v.Targets[0].Delivered != 2 || v.Targets[0].Answer != "ok" || *v.Targets[0].ToldAgoMS < 59_000 {
			t.Errorf("%+v", v)
		}
		if d.onDisk() {
			t.Error("what was told at once is on disk")
		}
		stop()
		if d.onDisk() {
			t.Error("nothing waits, and there is a file")
		}
	})
}

func TestATargetThatFailsDoesNotKeepTheOthersWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log", "mail")
		d.fakes["mail"].set(errors.New("connection refused\n\x1b[31m"))
		f, stop := d.start()
		defer stop()
		d.happen(2)
		time.Sleep(settle - time.Second)
		d.want("log", 1, 2)
		d.want("mail", 1, 0)
		if d.onDisk() {
			t.Error("it is on disk before its time")
		}
		time.Sleep(time.Minute)
		if !d.onDisk() {
			t.Error("what waits is not on disk")
		}
		if m := f.View().Targets[1]; m.Waiting != 2 || m.Error != "connection refused ?[31m" || m.Tries < 3 || m.FailedAgoMS == nil || m.ToldAgoMS != nil {
			t.Errorf("%+v", m)
		}
		if len(d.events) != 1 || d.events[0].To != "failing" || d.events[0].Done != "target mail" || !strings.Contains(d.events[0].Decided, "keep 2 alerts") {
			t.Errorf("events %+v", d.events)
		}
		d.fakes["mail"].set(nil)
		time.Sleep(alert.MaxRetry + settle)
		d.want("mail", 1, 2)
		if d.onDisk() {
			t.Error("nothing waits, and there is a file")
		}
		if len(d.events) != 2 || d.events[1].To != "well" {
			t.Errorf("events %+v", d.events)
		}
	})
}

func TestWhatWaitsSurvivesARestart(t *testing.T) {
	for name, boots := range map[string]uint32{"of the agent": 0, "of the box": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesktop(t, "log", "mail")
				d.fakes["mail"].set(errors.New("no route to host"))
				_, stop := d.start()
				d.happen(5)
				time.Sleep(100 * time.Millisecond)
				stop()
				d.boot += boots
				if boots > 0 {
					os.Remove(filepath.Join(d.dir, "memory")) // /run is gone after a reboot
				}
				d.fakes["mail"].set(nil)
				_, stop = d.start()
				defer stop()
				d.happen(1)
				time.Sleep(time.Second)
				d.want("log", 1, 6)
				d.want("mail", 1, 6)
			})
		})
	}
}

// A killed agent leaves the file in memory as it was; the event file, and so the
// board, may know more.
func TestEventsThatNoOfficeSawAreNewsAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		_, stop := d.start()
		d.happen(3)
		time.Sleep(time.Second)
		memory, err := os.ReadFile(filepath.Join(d.dir, "memory"))
		if err != nil {
			t.Fatal(err)
		}
		stop()
		if err := os.WriteFile(filepath.Join(d.dir, "memory"), memory, 0o600); err != nil {
			t.Fatal(err)
		}
		d.happen(2) // and the agent was killed before anybody looked
		_, stop = d.start()
		defer stop()
		time.Sleep(time.Second)
		d.want("log", 1, 5)
	})
}

func TestAnEventOfThatNumberButAnotherTimeIsNotTheOneThatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		_, stop := d.start()
		d.happen(3)
		time.Sleep(time.Second)
		stop()
		d.board = control.NewBoard(nil) // the journal lost its events, and numbers begin anew
		time.Sleep(time.Second)
		d.happen(5)
		_, stop = d.start()
		defer stop()
		time.Sleep(time.Second)
		d.want("log", 1, 3)
		d.happen(1)
		time.Sleep(time.Second)
		if got := d.fakes["log"].told(); !slices.Equal(got, []uint64{1, 2, 3, 6}) {
			t.Errorf("told %v", got)
		}
	})
}

func TestAFileThatIsDamagedIsToldAndNotUsed(t *testing.T) {
	d := newDesktop(t, "log")
	if err := os.WriteFile(filepath.Join(d.dir, "disk"), []byte("twinbeat alerts 1\nrubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(d.options())
	if err == nil || !strings.Contains(err.Error(), "torn or damaged") || f == nil {
		t.Errorf("%v", err)
	}
}

func TestADiskThatTakesNothingIsShownInStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		d.fakes["log"].set(errors.New("down"))
		o := d.options()
		o.Disk = filepath.Join(d.dir, "absent", "disk")
		f, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { f.Run(ctx) })
		d.happen(1)
		time.Sleep(2 * settle)
		if v := f.View(); !strings.Contains(v.Error, "no such file") {
			t.Errorf("%+v", v)
		}
		cancel()
		wg.Wait()
	})
}

func TestTheEndWaitsForASlowTargetOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log", "mail")
		d.fakes["mail"].slow = time.Hour
		d.fakes["log"].slow = lastChance / 2
		_, stop := d.start()
		d.happen(1)
		time.Sleep(time.Millisecond)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*lastChance {
			t.Errorf("the end took %v", took)
		}
		d.want("log", 1, 1)
		if !d.onDisk() {
			t.Error("what mail was not told is not on disk")
		}
	})
}

func TestEventsThatLeftTheBoardUnseenAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		f, err := Open(d.options())
		if err != nil {
			t.Fatal(err)
		}
		d.happen(report.RingSize + 9)
		f.take()
		a, ok, _ := f.desks[0].queue.Next(f.now(), time.Now())
		want := fmt.Sprintf("queue overflow: %d dropped", 9+report.RingSize-alert.MaxWaiting)
		if !ok || a.Seen != want {
			t.Errorf("%v %q, want %q", ok, a.Seen, want)
		}
	})
}

// An alarm that flaps costs the flash nothing while its target is well: what is
// counted until the window ends goes to memory, and to disk at the end.
func TestRepetitionsThatAreHeldBackGoToDiskOnlyAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		d.limits.Repeat = 15 * time.Minute
		f, stop := d.start()
		for i := range 120 {
			d.board.Add(report.Event{At: time.Now(), Kind: "alarm", Decided: []string{"raise", "clear"}[i%2] + " link"})
			time.Sleep(settle + 2*time.Second) // not at the moment at which the disk is looked at
			if d.onDisk() {
				t.Errorf("on disk after %d changes of an alarm", i+1)
				break
			}
		}
		d.want("log", 1, 2)
		if v := f.View().Targets[0]; v.Held != 118 || v.Waiting != 0 {
			t.Errorf("%+v", v)
		}
		memory, err := os.ReadFile(filepath.Join(d.dir, "memory"))
		if err != nil {
			t.Fatal(err)
		}
		stop()
		if !d.onDisk() {
			t.Fatal("an end in order keeps what was held back")
		}
		for _, c := range []struct { // in this order: after a reboot the memory is of another boot
			name string
			lose func()
		}{
			{"after a kill", func() {
				if err := errors.Join(os.Remove(filepath.Join(d.dir, "disk")), os.WriteFile(filepath.Join(d.dir, "memory"), memory, 0o600)); err != nil {
					t.Fatal(err)
				}
			}},
			{"after a reboot", func() { d.boot++ }},
		} {
			disk, _ := os.ReadFile(filepath.Join(d.dir, "disk"))
			d.fakes["log"] = &fake{}
			c.lose()
			_, stop := d.start()
			time.Sleep(time.Second)
			stop()
			if got := d.fakes["log"]; len(got.texts) != 1 || got.got[0] != 120 || !strings.Contains(got.texts[0], "117") {
				t.Errorf("%s: told %q", c.name, got.texts)
			}
			if err := os.WriteFile(filepath.Join(d.dir, "disk"), disk, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTheFileInMemoryIsWrittenSoOftenAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesktop(t, "log")
		d.fakes["log"].set(errors.New("down"))
		_, stop := d.start()
		defer stop()
		last, changes := "", 0
		for range 500 {
			d.happen(1)
			time.Sleep(10 * time.Millisecond)
			b, _ := os.ReadFile(filepath.Join(d.dir, "memory"))
			if string(b) != last {
				last, changes = string(b), changes+1
			}
			if changes == 0 {
				t.Fatal("the first one is not written at once")
			}
		}
		if changes < 15 || changes > 21 {
			t.Errorf("written %d times within 5 s", changes)
		}
		time.Sleep(memoryPause)
		s, err := readSpool(filepath.Join(d.dir, "memory"))
		if err != nil || s.Seq != 500 {
			t.Errorf("the newest is not there: %d, %v", s.Seq, err)
		}
	})
	for took, want := range map[time.Duration]time.Duration{
		0: 250 * time.Millisecond, 12 * time.Millisecond: 250 * time.Millisecond,
		13 * time.Millisecond: 260 * time.Millisecond, time.Second: 20 * time.Second,
	} {
		if got := restAfter(took); got != want {
			t.Errorf("rests %v after %v, want %v", got, took, want)
		}
	}
}
