package agent

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A notifier tells the service manager how the agent is: READY=1 once the loop
// turns, STATUS= after each event, WATCHDOG=1 as long as it turns, STOPPING=1
// (sd_notify(3)). Without a manager that listens there is none.
type notifier struct {
	conn  *net.UnixConn
	every time.Duration // between two signs of life; 0: none is asked for
}

// Limits of a notifier.
const (
	notifyTime  = 100 * time.Millisecond // for a manager that does not read
	notifyPause = time.Second            // between two texts, at least
	notifyIdle  = time.Minute            // between two looks where no sign of life is asked for
	notifyMost  = 200                    // bytes of a text
)

// newNotifier returns nil if nobody listens. It takes the addresses out of the
// environment: a service that the agent starts is not the agent.
func newNotifier() (*notifier, error) {
	path, period, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name)
	}
	if path == "" {
		return nil, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("connect to $NOTIFY_SOCKET: %w", err)
	}
	n := &notifier{conn: conn}
	if us, err := strconv.ParseInt(period, 10, 64); err == nil && us > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.every = time.Duration(us) * time.Microsecond / 2 // sd_watchdog_enabled(3)
	}
	return n, nil
}

// say sends one message. What is lost is told again, or was no news.
func (n *notifier) say(text string) {
	_ = n.conn.SetWriteDeadline(time.Now().Add(notifyTime))
	_, _ = n.conn.Write([]byte(text))
}

// newsboard is what a notifier looks at.
type newsboard interface {
	Wait(ctx context.Context, after uint64) error
	Events(after uint64) []report.Event
}

// run tells until ctx ends; ask returns what the loop says, or that it is late.
func (n *notifier) run(ctx context.Context, board newsboard, ask func(context.Context) (report.Snapshot, error)) {
	defer n.conn.Close()
	ready, shown, last := false, "", uint64(0)
	period := cmp.Or(n.every, notifyIdle)
	for ctx.Err() == nil {
		if all := board.Events(last); len(all) > 0 { // before the question: what comes after it is news
			last = all[len(all)-1].Seq
		}
		if s, err := ask(ctx); err == nil {
			if !ready {
				n.say("READY=1")
				ready = true
			}
			if n.every > 0 {
				n.say("WATCHDOG=1")
			}
			if text := statusLine(s); text != shown {
				n.say("STATUS=" + text)
				shown = text
			}
		}
		pause(ctx, min(notifyPause, period))
		wait, cancel := context.WithTimeout(ctx, max(0, period-notifyPause))
		_ = board.Wait(wait, last)
		cancel()
	}
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// statusLine is a snapshot in one line, as systemctl status shows it.
func statusLine(s report.Snapshot) string {
	peer := "not heard"
	if s.Peer.Alive {
		peer = "alive"
	}
	parts := []string{s.Peer.Name + " " + peer}
	for _, g := range s.Groups {
		parts = append(parts, g.Name+" "+g.State)
	}
	if n := len(s.Alarms); n > 0 {
		parts = append(parts, fmt.Sprintf("alarms: %d", n))
	}
	text := report.Clean(strings.Join(parts, ", "))
	return strings.ToValidUTF8(text[:min(len(text), notifyMost)], "")
}

// notify starts the notifier, if anybody listens.
func (a *agent) notify(ctx, inner context.Context) {
	if a.notifier == nil {
		return
	}
	context.AfterFunc(ctx, func() { a.notifier.say("STOPPING=1") })
	a.group.Go(func() {
		a.notifier.run(inner, a.board, func(ctx context.Context) (report.Snapshot, error) {
			ctx, cancel := context.WithTimeout(ctx, statusTime)
			defer cancel()
			return a.loop.Snapshot(ctx)
		})
	})
}
