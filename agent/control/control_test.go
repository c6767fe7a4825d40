package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A desk is a Handler: a real Board, and orders that are only noted down.
type desk struct {
	*Board
	mu     sync.Mutex
	orders []Order
}

func newDesk() *desk {
	d := &desk{Board: NewBoard(nil)}
	d.Publish(report.Snapshot{At: time.Now(), Cluster: "office", Self: report.NodeView{Name: "fw1"}})
	return d
}

func (d *desk) Do(_ context.Context, o Order) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.orders = append(d.orders, o)
	if o.Group == "dead" {
		return "", fmt.Errorf("hand over: %w", &Error{Text: "fw2 is not alive", Advice: "repair fw2 first"})
	}
	return "done: " + o.Command, nil
}

// soon is far above what anything here takes, for a machine that is busy.
const soon = 20 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	return ctx
}

// serve serves h on a fresh socket until the test ends.
func serve(t *testing.T, cfg Config, h Handler) (path string, stop func()) {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "s")
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(soon):
			t.Error("server does not end with its context")
		}
	})
	t.Cleanup(stop)
	return cfg.Path, stop
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestStatusCarriesItsAge(t *testing.T) {
	d := newDesk()
	d.Publish(report.Snapshot{At: time.Now().Add(-time.Hour), Cluster: "office"})
	path, _ := serve(t, Config{}, d)
	c := dial(t, path)
	for range 2 { // one connection serves many questions
		s, err := c.Snapshot(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if s.Cluster != "office" || s.AgeMS < 3_600_000 || s.AgeMS > 3_700_000 {
			t.Errorf("snapshot %q of age %v ms", s.Cluster, s.AgeMS)
		}
	}
}

func TestStatusBeforeTheFirstTurnIsAnError(t *testing.T) {
	path, _ := serve(t, Config{}, &desk{Board: NewBoard(nil)})
	_, err := dial(t, path).Snapshot(testContext(t))
	if err == nil || !strings.Contains(err.Error(), "none yet") || Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, Hint(err))
	}
}

func TestWhatJSONCannotHoldIsToldNotHidden(t *testing.T) {
	d := newDesk()
	d.Publish(report.Snapshot{At: time.Now(), Links: []report.LinkView{{LossPercent: math.NaN()}}})
	path, _ := serve(t, Config{}, d)
	if _, err := dial(t, path).Snapshot(testContext(t)); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("got %v", err)
	}
}

func TestOrdersArriveWholeAndSayWhoGaveThem(t *testing.T) {
	d := newDesk()
	path, _ := serve(t, Config{}, d)
	c := dial(t, path)
	result, err := c.Do(testContext(t), Order{Command: OrderMaintenanceOn, Reason: "new disk", For: 2 * time.Hour, Force: true, By: "nobody"})
	if err != nil || result != "done: maintenance-on" {
		t.Fatalf("%q, %v", result, err)
	}
	_, err = c.Do(testContext(t), Order{Command: OrderHandover, Group: "dead"})
	if err == nil || err.Error() != "hand over: fw2 is not alive" || Hint(err) != "repair fw2 first" {
		t.Errorf("error %v, hint %q", err, Hint(err))
	}
	want := Order{Command: OrderMaintenanceOn, Reason: "new disk", For: 2 * time.Hour, Force: true}
	got := d.orders[0]
	if by := fmt.Sprintf("uid %d", os.Getuid()); !strings.Contains(got.By, by) {
		t.Errorf("by %q, want %s", got.By, by)
	}
	if got.By = ""; got != want {
		t.Errorf("order %+v, want %+v", got, want)
	}
}

func TestFollowerSeesEveryEventInOrder(t *testing.T) {
	d := newDesk()
	path, stop := serve(t, Config{}, d)
	d.Add(report.Event{Kind: "agent"})
	const events = 300
	ctx, cancel := context.WithCancel(testContext(t))
	var seen []uint64
	done := make(chan error, 1)
	c := dial(t, path)
	go func() {
		done <- c.Events(ctx, 0, true, func(e report.Event) error {
			seen = append(seen, e.Seq)
			if len(seen) == events {
				cancel()
			}
			return nil
		})
	}()
	for range events - 1 {
		d.Add(report.Event{Kind: "link"})
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v after %d events", err, len(seen))
	}
	for i, seq := range seen {
		if seq != uint64(i+1) {
			t.Fatalf("event %d has number %d", i, seq)
		}
	}
	stop()
}

func TestEventsEndWithoutFollow(t *testing.T) {
	d := newDesk()
	path, _ := serve(t, Config{}, d)
	c := dial(t, path)
	for range 5 {
		d.Add(report.Event{})
	}
	for _, after := range []uint64{0, 3, 5, 99} {
		n := 0
		if err := c.Events(testContext(t), after, false, func(report.Event) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		if want := max(0, 5-int(after)); n != want {
			t.Errorf("after %d: %d events, want %d", after, n, want)
		}
	}
}

func TestEventsThatLeftMemoryAreTold(t *testing.T) {
	d := newDesk()
	path, _ := serve(t, Config{}, d)
	for range report.RingSize + 10 {
		d.Add(report.Event{Kind: "link"})
	}
	var first report.Event
	stop := errors.New("enough")
	err := dial(t, path).Events(testContext(t), 3, false, func(e report.Event) error { first = e; return stop })
	if !errors.Is(err, stop) || first.Kind != "lost" || !strings.HasPrefix(first.Seen, "7 events") {
		t.Errorf("%v, first event %+v", err, first)
	}
}

func TestFollowerEndsWithTheAgent(t *testing.T) {
	path, stop := serve(t, Config{}, newDesk())
	done := make(chan error, 1)
	c := dial(t, path)
	go func() {
		done <- c.Events(testContext(t), 0, true, func(report.Event) error { return nil })
	}()
	stop()
	if err := <-done; err == nil || Hint(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestClientThatLeavesFreesItsPlace(t *testing.T) {
	path, _ := serve(t, Config{}, newDesk())
	for range 3 * MaxConnections {
		c := dial(t, path)
		ctx, cancel := context.WithCancel(testContext(t))
		cancel()
		_ = c.Events(ctx, 0, true, nil)
	}
	deadline := time.Now().Add(soon)
	for time.Now().Before(deadline) {
		c := dial(t, path)
		if _, err := c.Snapshot(testContext(t)); err == nil {
			return
		}
	}
	t.Error("followers that left still take all places")
}

func TestSeventeenthClientIsRefusedWithAReason(t *testing.T) {
	path, _ := serve(t, Config{}, newDesk())
	for range MaxConnections {
		c := dial(t, path)
		if _, err := c.Snapshot(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := dial(t, path).Snapshot(testContext(t))
	if err == nil || !strings.Contains(err.Error(), "16 clients") {
		t.Errorf("got %v", err)
	}
}

// raw sends bytes and returns the first response line.
func raw(t *testing.T, path, request string) Response {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(soon))
	_, _ = c.Write([]byte(request)) // the server may have hung up already
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		t.Fatalf("request %.40q: %v", request, err)
	}
	var r Response
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	path, _ := serve(t, Config{}, newDesk())
	for request, want := range map[string]string{
		`hello`: "invalid character",
		`{"v":1,"command":"status","colour":"red"}`:                                    "unknown field",
		`{"v":1,"command":"reboot"}`:                                                   `unknown command "reboot"`,
		`{"v":2,"command":"status"}`:                                                   "protocol version 2, this agent speaks 1",
		`{"v":1,"command":"status"}{}`:                                                 "more than one object",
		`{"v":1,"command":"status","group":"a"}`:                                       `status takes no "group"`,
		`{"v":1,"command":"resume","force":true}`:                                      `resume takes no "force"`,
		`{"v":1,"command":"maintenance-on","for_ms":-1}`:                               "for_ms -1",
		`{"v":1,"command":"take","reason":"a\u001bb"}`:                                 "control characters",
		`{"v":1,"command":"take","group":"a\nb"}`:                                      "is not a name",
		"{\"v\":1,\"command\":\"\xff\"}":                                               "not UTF-8",
		`{"v":1,"command":"take","reason":"` + strings.Repeat("x", MaxReason+1) + `"}`: "reason of 501 bytes",
		strings.Repeat("x", MaxRequest+10):                                             "longer than 65536 bytes",
	} {
		if r := raw(t, path, request+"\n"); !strings.Contains(r.Error, want) {
			t.Errorf("%.60q: error %q, want %q", request, r.Error, want)
		}
	}
}

func TestSlowReaderIsDroppedAndNobodyWaitsForIt(t *testing.T) {
	d := newDesk()
	path, _ := serve(t, Config{}, d)
	slow, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte(`{"v":1,"command":"events","follow":true}` + "\n")); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 4096)
	for range report.RingSize { // 4 MiB: more than any socket buffer
		d.Add(report.Event{Seen: long})
	}
	if _, err := dial(t, path).Snapshot(testContext(t)); err != nil {
		t.Errorf("another client suffers: %v", err)
	}
	// Read nothing for longer than the limit, then drain: the stream must break off.
	time.Sleep(writeTimeout + time.Second)
	_ = slow.SetReadDeadline(time.Now().Add(soon))
	n := 0
	in := bufio.NewReader(slow)
	for { // bounded by the deadline
		if _, err := in.ReadBytes('\n'); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the slow reader is still connected")
			}
			break
		}
		n++
	}
	if n >= report.RingSize {
		t.Errorf("all %d events were buffered", n)
	}
}

func TestLiveAgentKeepsItsSocket(t *testing.T) {
	path, stop := serve(t, Config{}, newDesk())
	if _, err := Listen(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "another agent is running") {
		t.Errorf("second agent: %v", err)
	}
	if _, err := dial(t, path).Snapshot(testContext(t)); err != nil {
		t.Errorf("the first agent lost its socket: %v", err)
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket outlives its agent: %v", err)
	}
	serve(t, Config{Path: path}, newDesk()) // and the next agent may start
}

// A killed agent's lock is free only when the kernel is done with it.
func TestAgentWaitsForThePredecessorsLock(t *testing.T) {
	path, stop := serve(t, Config{}, newDesk())
	time.AfterFunc(lockWait/5, stop)
	serve(t, Config{Path: path}, newDesk())
}

// A second agent must not start even where somebody removed the socket file.
func TestLiveAgentIsFoundWithoutItsSocketFile(t *testing.T) {
	path, _ := serve(t, Config{}, newDesk())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "another agent is running") {
		t.Errorf("second agent: %v", err)
	}
}

func TestServerWithoutOurLockIsNotReplacedEither(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Listen(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "another agent is running") {
		t.Errorf("got %v", err)
	}
}

func TestSocketOfADeadAgentIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if _, err := Dial(path); err == nil || !strings.Contains(err.Error(), "nobody serves") {
		t.Errorf("dial: %v", err)
	}
	serve(t, Config{Path: path}, newDesk())
	if _, err := dial(t, path).Snapshot(testContext(t)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("got %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("the file was changed")
	}
}

func TestServerRemovesNobodyElsesSocket(t *testing.T) {
	path, stop := serve(t, Config{}, newDesk())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("a stranger's file is gone: %v", err)
	}
}

func TestSocketIsPrivateFromItsFirstMoment(t *testing.T) {
	old := syscall.Umask(0) // the worst: bind alone would give 0777
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := bindPrivate(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("mode after bind is %v", fi.Mode())
	}
}

func TestUnknownGroupIsRefusedWithAHint(t *testing.T) {
	_, err := Listen(Config{Path: filepath.Join(t.TempDir(), "s"), Group: "no-such-group"})
	if err == nil || Hint(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestDialExplainsAMissingAgent(t *testing.T) {
	_, err := Dial(filepath.Join(t.TempDir(), "none"))
	if err == nil || !strings.Contains(err.Error(), "no socket") || Hint(err) == "" {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for command := range arguments {
		line, err := json.Marshal(Request{V: Version, Command: command})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"v":1,"command":"maintenance-on","reason":"x","for_ms":1,"force":true}`))
	f.Add([]byte(`{"v":1,"command":"events","after":18446744073709551615,"follow":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := DecodeRequest(line)
		if err != nil {
			if r != (Request{}) && Hint(err) == "" && r.V == Version {
				t.Errorf("a refused request leaks out: %+v", r)
			}
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeRequest(again)
		if err != nil || back != r {
			t.Errorf("%q became %+v, then %+v (%v)", line, r, back, err)
		}
		if o := r.order("x"); o.For < 0 || o.For > MaxFor || len(o.Reason) > MaxReason {
			t.Errorf("order out of bounds: %+v", o)
		}
	})
}
