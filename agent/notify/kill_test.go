package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/agent/report"
)

// childDir marks a start of the test binary as the agent that is killed.
const childDir = "TWINBEAT_TEST_ALERTS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir, os.Getenv("TWINBEAT_TEST_URL")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child is an agent that has only a journal, a board and an office: each line of
// its input is an event, which it keeps as the agent does and then acknowledges.
func child(dir, url string) error {
	j, state, errs := journal.Open(filepath.Join(dir, "state"))
	if len(errs) > 0 {
		return errs[0]
	}
	earlier, err := j.Events()
	if err != nil {
		return err
	}
	board := control.NewBoard(earlier)
	hook, err := NewWebhook(WebhookConfig{URL: url, Timeout: time.Second})
	if err != nil {
		return err
	}
	f, err := Open(Options{
		Board: board, Pair: alert.Pair{Cluster: "office", Node: "fw1"}, Boot: state.Boot, Log: slog.New(slog.DiscardHandler),
		Disk: filepath.Join(dir, "state", "alerts"), Memory: filepath.Join(dir, "memory"),
		Tell:    func(report.Event) bool { return true },
		Targets: []Target{{Name: "hook", Sender: hook, Filter: alert.Filter{Severity: alert.Info}, Timeout: time.Second}},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		e := board.Add(report.Event{At: time.Now(), Kind: "fence", Decided: "proven off", Seen: in.Text()})
		if err := j.Append(e); err != nil {
			return err
		}
		fmt.Println(in.Text())
	}
	cancel()
	wg.Wait()
	return j.Close()
}

// A receiver counts the alerts that reach it, by their text, and fails at times.
type receiver struct {
	mu     sync.Mutex
	got    map[string]int
	failed int
	down   atomic.Bool
}

func (r *receiver) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	var a struct{ Seen string }
	if err := json.NewDecoder(q.Body).Decode(&a); err != nil {
		w.WriteHeader(nethttp.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down.Load() {
		r.failed++
		w.WriteHeader(nethttp.StatusInternalServerError)
		return
	}
	r.got[a.Seen]++
}

// Whatever the agent acknowledged as an event is told, though it is killed at any
// moment, some alerts more than once.
func TestNothingIsLostWhenTheAgentIsKilled(t *testing.T) {
	dir := t.TempDir()
	r := &receiver{got: map[string]int{}}
	server := httptest.NewServer(r)
	defer server.Close()
	dice := rand.New(rand.NewPCG(1, 2))
	sent := 0
	const kills, burst = 12, 7
	for k := range kills + 1 {
		r.down.Store(k%3 == 1 && k < kills)
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), childDir+"="+dir, "TWINBEAT_TEST_URL="+server.URL+"/hook")
		c.Stderr = os.Stderr
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for range burst {
			sent++
			if _, err := io.WriteString(in, strconv.Itoa(sent)+"\n"); err != nil {
				t.Fatal(err)
			}
			if !said.Scan() {
				t.Fatal("the agent ended")
			}
		}
		if k < kills {
			time.Sleep(time.Duration(dice.IntN(30)) * time.Millisecond)
			_ = c.Process.Kill()
			_ = c.Wait()
			continue
		}
		waitFor(t, 20*time.Second, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.got) == sent })
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	twice := 0
	for i := 1; i <= sent; i++ {
		n := r.got[strconv.Itoa(i)]
		if n == 0 {
			t.Errorf("event %d was never told", i)
		}
		twice += max(0, n-1)
	}
	t.Logf("%d events, %d kills, %d tries that the server failed, %d told more than once", sent, kills, r.failed, twice)
	if _, err := os.Stat(filepath.Join(dir, "state", "alerts")); err == nil {
		t.Error("nothing waits, and there is a file")
	}
}

func waitFor(t *testing.T, most time.Duration, done func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Error("waited in vain")
			return
		}
	}
}
