package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// keyLine returns a key file's line for an id.
func keyLine(id uint8) string {
	var s [32]byte
	for i := range s {
		s[i] = id + byte(i)*7
	}
	return wire.GenerateKey(s, id)
}

func writeKeys(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func TestKeyFileThatOthersCouldKnowIsRefused(t *testing.T) {
	good := "active 1\n" + keyLine(1)
	for _, c := range []struct {
		what string
		make func(t *testing.T, name string)
		want string // empty: accepted
	}{
		{"mode 0600", func(t *testing.T, n string) { writeKeys(t, n, good, 0o600) }, ""},
		{"mode 0400", func(t *testing.T, n string) { writeKeys(t, n, good, 0o400) }, ""},
		{"mode 0640", func(t *testing.T, n string) { writeKeys(t, n, good, 0o640) }, "chmod 600"},
		{"mode 0604", func(t *testing.T, n string) { writeKeys(t, n, good, 0o604) }, "chmod 600"},
		{"a symlink", func(t *testing.T, n string) {
			writeKeys(t, n+".real", good, 0o600)
			if err := os.Symlink(n+".real", n); err != nil {
				t.Fatal(err)
			}
		}, "symbolic link"},
		{"a pipe", func(t *testing.T, n string) {
			if err := syscall.Mkfifo(n, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "regular"},
		{"somebody else's", func(t *testing.T, n string) {
			writeKeys(t, n, good, 0o600)
			if err := os.Chown(n, 12345, 0); err != nil {
				t.Skip(err)
			}
		}, "belongs to user 12345"},
		{"far too long", func(t *testing.T, n string) {
			writeKeys(t, n, good+strings.Repeat("# filler\n", 20000), 0o600)
		}, "longer than"},
		{"absent", func(*testing.T, string) {}, "no such file"},
		{"damaged", func(t *testing.T, n string) { writeKeys(t, n, "active 1\nkey 1 short\n", 0o600) }, "keys:"},
	} {
		t.Run(c.what, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "keys")
			c.make(t, name)
			ring, err := LoadKeys(name)
			switch {
			case c.want == "" && (err != nil || ring == nil || ring.Active() != 1):
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v does not say %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "AwoR") {
				t.Error("the error quotes the key")
			}
		})
	}
}

// A key file is replaced step by step; a bad one changes nothing, and what the
// alarm asks for must be enough to mend it.
func TestKeyFileIsTakenUpOnceItIsGood(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, name, "active 1\n"+keyLine(1), 0o600)
	synctest.Test(t, func(t *testing.T) {
		a := &agent{cfg: config.Config{KeyFile: name}, log: slog.New(slog.DiscardHandler)}
		ring, err := LoadKeys(name)
		if err != nil {
			t.Fatal(err)
		}
		a.keyInfo, _ = os.Stat(name)
		a.keys = ring
		a.wire = wire.NewEndpoint(wire.Config{Cluster: "t", Node: 1, Peer: 2, Keys: ring, Links: 1})
		a.loop = loop.New(loop.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { a.watchKeys(ctx); close(done) }()
		signs := func() uint8 {
			time.Sleep(2*keyPoll + time.Second)
			frame, err := a.wire.Seal(nil, 0, &wire.Message{Kind: wire.Hello})
			if err != nil {
				t.Fatal(err)
			}
			return frame[1]
		}
		writeKeys(t, name, "active 2\n"+keyLine(1)+keyLine(2), 0o644)
		if id := signs(); id != 1 {
			t.Errorf("a file that others can read is in use: key %d", id)
		}
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
		if id := signs(); id != 2 {
			t.Errorf("after chmod key %d signs", id)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if id := signs(); id != 2 {
			t.Errorf("without a file key %d signs", id)
		}
		writeKeys(t, name, "active 3\n"+keyLine(2)+keyLine(3), 0o600)
		if id := signs(); id != 3 {
			t.Errorf("of the new file key %d signs", id)
		}
		cancel()
		<-done
	})
}

func TestWatcherThatDiesAtOnceDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []loop.AlarmChanged
		h := &hands{insist: func(f loop.Fact) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, f.(loop.AlarmChanged))
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		tries := 0
		h.again(ctx, "w", func(ctx context.Context) error {
			if tries++; tries < 10 {
				return os.ErrInvalid
			}
			<-ctx.Done()
			return nil
		})
		mu.Lock()
		defer mu.Unlock()
		for i, f := range told[:len(told)-1] {
			if !f.On {
				t.Errorf("cleared after %d failures", i)
			}
		}
		if told[len(told)-1].On || tries != 10 {
			t.Errorf("%d tries, last told %+v", tries, told[len(told)-1])
		}
	})
}

func TestHellosBeyondTheLimitDoNotReachTheLoop(t *testing.T) {
	var h helloLimit
	taken := 0
	for i := range 1000 {
		if h.take(monotonic().Add(time.Duration(i) * time.Microsecond)) {
			taken++
		}
	}
	if taken != hellosMost {
		t.Errorf("%d were taken", taken)
	}
	if !h.take(monotonic().Add(2 * time.Second)) {
		t.Error("none is taken in the next second")
	}
}

func TestDeadlinesAddUpTheSteps(t *testing.T) {
	g := config.Group{Services: []config.Service{
		{StartTimeout: 20 * time.Second, StopTimeout: 10 * time.Second, StatusTimeout: time.Second},
		{StartTimeout: 5 * time.Second, StopTimeout: 7 * time.Second, StatusTimeout: 2 * time.Second},
	}}
	d := deadlines(g)
	if want := 25*time.Second + 17*time.Second + 6*time.Second + slowMargin; d.Start != want {
		t.Errorf("start %v, want %v", d.Start, want)
	}
	if want := 17*time.Second + 6*time.Second + slowMargin; d.Stop != want {
		t.Errorf("stop %v, want %v", d.Stop, want)
	}
	d = deadlines(config.Group{Services: []config.Service{{Driver: "ocf", StopTimeout: 7 * time.Second}}})
	if want := 3*service.MaxAdvised + 7*time.Second + slowMargin; d.Start != want { // start, and two looks
		t.Errorf("start of an agent that advises %v, want %v", d.Start, want)
	}
	if d := deadlines(config.Group{}); d.Take <= 0 || d.Drop <= 0 || d.Start <= 0 || d.Stop <= 0 {
		t.Errorf("%+v: no lane takes an action without a deadline", d)
	}
}

func TestEventsBeyondTheQueueAreCounted(t *testing.T) {
	m := newMemory(&agent{})
	for range eventQueue + 5 {
		m.Append(report.Event{})
	}
	if n := m.lost.Load(); n != 5 {
		t.Errorf("%d lost", n)
	}
}
