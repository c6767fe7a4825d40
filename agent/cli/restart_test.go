package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// scene is a set of restarts whose agent and next program are the test's.
type scene struct {
	restarts
	log, stderr bytes.Buffer
	next        *fakeProgram
	stopped     chan struct{} // closed by the orderly end
	done        chan int      // exit codes; closed when nobody waits for a signal any more
}

type fakeProgram struct {
	refusal      error
	asked        chan struct{} // one for each question
	answer       chan struct{} // closed: answers at once
	asks, became int
	another      int // times that it is replaced after it was asked
}

func (f *fakeProgram) Accepts(ctx context.Context) error {
	f.asks++
	select {
	case f.asked <- struct{}{}:
	default:
	}
	select {
	case <-f.answer:
		return f.refusal
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeProgram) Same() bool {
	f.another--
	return f.another < 0
}

func (f *fakeProgram) Become() error {
	f.became++
	return errors.New("exec format error")
}

func newScene(t *testing.T, next fakeProgram) *scene {
	t.Helper()
	old, oldRest, oldYield := leave, restMost, yieldMost
	t.Cleanup(func() {
		leave, restMost, yieldMost = old, oldRest, oldYield
		signal.Reset(syscall.SIGUSR2, syscall.SIGHUP)
	})
	next.asked = make(chan struct{}, 1)
	if next.answer == nil {
		next.answer = make(chan struct{})
		close(next.answer)
	}
	s := &scene{next: &next, stopped: make(chan struct{}), done: make(chan int, 1)}
	leave = func(code int) { s.done <- code }
	ctx, stop := context.WithCancel(t.Context())
	s.restarts = restarts{
		sink: newSink(&s.log), stderr: &s.stderr, next: s.next,
		settle: make(chan chan<- struct{}, 1), yield: make(chan chan<- struct{}, 1),
		term: make(chan os.Signal, 1), end: make(chan os.Signal, 1), anew: make(chan os.Signal, 1),
		stop: func() { stop(); close(s.stopped) },
	}
	s.restarts.log = slog.New(slog.NewTextHandler(s.sink, nil))
	go func() {
		s.await(ctx)
		close(s.done)
	}()
	return s
}

// settles lets the disk come to rest, so often.
func (s *scene) settles(times int) {
	for range times {
		close(<-s.settle)
	}
}

// goesOn fails the test unless the agent goes on, and its log holds a text.
func (s *scene) goesOn(t *testing.T, why string) {
	t.Helper()
	select {
	case <-s.yield:
		t.Error("the agent was told to make room")
	case <-s.done:
		t.Error("it waits for no signal any more")
	case <-time.After(50 * time.Millisecond):
	}
	s.term <- syscall.SIGTERM
	<-s.stopped
	if _, left := <-s.done; left || s.next.became > 0 {
		t.Errorf("became %d, left %v", s.next.became, left)
	}
	s.sink.Close()
	if !strings.Contains(s.log.String(), why) {
		t.Errorf("no %q in %s", why, s.log.String())
	}
}

func TestAProgramThatRefusesLeavesTheOldOneRunning(t *testing.T) {
	s := newScene(t, fakeProgram{refusal: errors.New("line 3: no such key")})
	s.anew <- syscall.SIGUSR2
	s.goesOn(t, "no such key")
}

func TestADiskThatIsBusyLeavesTheOldOneRunning(t *testing.T) {
	s := newScene(t, fakeProgram{})
	restMost = 5 * time.Millisecond
	s.anew <- syscall.SIGUSR2
	s.goesOn(t, "the disk did not come to rest within 5ms")
}

func TestAProgramThatIsReplacedIsAskedAgain(t *testing.T) {
	s := newScene(t, fakeProgram{another: checksMost})
	s.anew <- syscall.SIGUSR2
	s.settles(checksMost)
	s.goesOn(t, "replaced again and again")
	if s.next.asks != checksMost {
		t.Errorf("asked %d times", s.next.asks)
	}
	s = newScene(t, fakeProgram{another: 1})
	s.anew <- syscall.SIGUSR2
	s.settles(2)
	close(<-s.yield)
	if <-s.done; s.next.asks != 2 || s.next.became != 1 {
		t.Errorf("asked %d times, became %d", s.next.asks, s.next.became)
	}
}

func TestAnAgentBecomesTheNextOnlyWhenTheLoopIsDone(t *testing.T) {
	s := newScene(t, fakeProgram{})
	s.anew <- syscall.SIGUSR2
	s.settles(1)
	ready := <-s.yield
	time.Sleep(20 * time.Millisecond)
	if s.next.became > 0 {
		t.Error("the loop had not said that it is done")
	}
	close(ready)
	if code := <-s.done; code != exitFailed || s.next.became != 1 {
		t.Errorf("exit code %d, became %d", code, s.next.became)
	}
	if <-s.done; !strings.Contains(s.stderr.String(), "exec format error") {
		t.Errorf("stderr: %s", s.stderr.String())
	}
}

// Whoever waits for the end of the process must see it, whatever else goes on.
func TestASignalToEndGoesBeforeOneToBecomeAnother(t *testing.T) {
	for name, late := range map[string]bool{"while the program is asked": false, "while the loop makes room": true} {
		t.Run(name, func(t *testing.T) {
			begin := func() *scene {
				f := fakeProgram{}
				if !late {
					f.answer = make(chan struct{})
				}
				s := newScene(t, f)
				s.anew <- syscall.SIGUSR2
				<-s.next.asked
				return s
			}
			s := begin()
			var ready chan<- struct{}
			if late {
				s.settles(1)
				ready = <-s.yield
			}
			s.term <- syscall.SIGTERM
			if late {
				close(ready)
			}
			<-s.stopped
			if _, left := <-s.done; left || s.next.became > 0 {
				t.Errorf("SIGTERM: became %d, left at once %v: its groups were not released", s.next.became, left)
			}
			s = begin()
			if late {
				s.settles(1)
				ready = <-s.yield
			}
			s.end <- syscall.SIGUSR1
			if !late {
				ready = <-s.yield
			}
			close(ready)
			if code, left := <-s.done; code != exitWell || !left || s.next.became > 0 {
				t.Errorf("SIGUSR1: became %d, left %v with %d", s.next.became, left, code)
			}
			<-s.done
		})
	}
}
