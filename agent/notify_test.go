package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

// manager is a service manager's end of the socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

// told returns the next message, "" if none comes in time.
func told(c *net.UnixConn, within time.Duration) string {
	b := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(within))
	n, err := c.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

func TestNotifierIsReadyOnlyOnceTheLoopTurns(t *testing.T) {
	c := manager(t)
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	n, err := newNotifier()
	if err != nil {
		t.Fatal(err)
	}
	if left := os.Getenv("NOTIFY_SOCKET") + os.Getenv("WATCHDOG_USEC") + os.Getenv("WATCHDOG_PID"); left != "" {
		t.Errorf("services would inherit %q", left)
	}
	var turns atomic.Bool
	board := control.NewBoard(nil)
	s := report.Snapshot{
		Peer: report.NodeView{Name: "fw2", Alive: true}, Groups: []report.Group{{Name: "gateway", State: "ACTIVE"}},
		Alarms: []report.Alarm{{Name: "link"}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.run(ctx, board, func(context.Context) (report.Snapshot, error) {
			if !turns.Load() {
				return report.Snapshot{}, errors.New("the loop does not turn")
			}
			return s, nil
		})
	}()
	if text := told(c, 100*time.Millisecond); text != "" {
		t.Errorf("told %q while the loop does not turn", text)
	}
	turns.Store(true)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "STATUS=fw2 alive, gateway ACTIVE, alarms: 1", "WATCHDOG=1", "WATCHDOG=1"} {
		if text := told(c, 5*time.Second); text != want {
			t.Errorf("told %q, want %q", text, want)
		}
	}
	turns.Store(false)
	time.Sleep(50 * time.Millisecond) // what was under way
	for told(c, time.Millisecond) != "" {
	}
	if text := told(c, 100*time.Millisecond); text != "" {
		t.Errorf("told %q of a loop that stands still", text)
	}
	cancel()
	<-done
}

// An event that comes while the loop is asked must not be waited out.
func TestNotifierTellsWhatHappenedWhileItAsked(t *testing.T) {
	c := manager(t)
	n, err := newNotifier()
	if err != nil {
		t.Fatal(err)
	}
	board := control.NewBoard(nil)
	asked := 0
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.run(ctx, board, func(context.Context) (report.Snapshot, error) {
			asked++
			if asked == 1 {
				board.Add(report.Event{Kind: "role"})
				return report.Snapshot{Peer: report.NodeView{Name: "old"}}, nil
			}
			return report.Snapshot{Peer: report.NodeView{Name: "new"}}, nil
		})
	}()
	for _, want := range []string{"READY=1", "STATUS=old not heard", "STATUS=new not heard"} {
		if text := told(c, 5*time.Second); text != want {
			t.Errorf("told %q, want %q", text, want)
		}
	}
	cancel()
	<-done
}

func TestNotifierIsNoneWithoutAManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if n, err := newNotifier(); n != nil || err != nil {
		t.Errorf("%v, %v", n, err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if n, err := newNotifier(); n != nil || err == nil {
		t.Errorf("%v, %v", n, err)
	}
}

func TestNotifierLeavesAnotherProcessesWatchdogAlone(t *testing.T) {
	manager(t)
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "1")
	n, err := newNotifier()
	if err != nil || n.every != 0 {
		t.Errorf("%v, %v", n, err)
	}
}

func TestStatusLineIsShortAndClean(t *testing.T) {
	s := report.Snapshot{Peer: report.NodeView{Name: "fw2"}, Groups: []report.Group{{Name: strings.Repeat("ä\n", 200)}}}
	if text := statusLine(s); len(text) > notifyMost || strings.Contains(text, "\n") || !strings.HasPrefix(text, "fw2 not heard") {
		t.Errorf("%q", text)
	}
}
