package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent"
)

func TestTheSignalForARestartEndsAtOnceAndReleasesNothing(t *testing.T) {
	oldRun, oldLeave, oldMost := run, leave, yieldMost
	t.Cleanup(func() { run, leave, yieldMost = oldRun, oldLeave, oldMost })
	started, released, finish, left := make(chan bool), make(chan bool), make(chan bool), make(chan int)
	yieldMost = 5 * time.Millisecond
	run = func(ctx context.Context, _ agent.Options) error {
		close(started)
		select {
		case <-ctx.Done():
			close(released)
		case <-finish:
		}
		return nil
	}
	leave = func(code int) { left <- code }
	var log bytes.Buffer
	ended := make(chan int)
	go func() { ended <- Main([]string{"run"}, nil, &bytes.Buffer{}, &log) }()
	<-started
	began := time.Now()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if code := <-left; code != exitWell {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > sinkFlush {
		t.Errorf("took %v", took)
	}
	select {
	case <-released:
		t.Error("the agent was told to release its groups")
	default:
	}
	close(finish)
	if <-ended; !strings.Contains(log.String(), "SIGUSR1") {
		t.Errorf("log: %s", log.String())
	}
}

func TestASupervisedAgentThatFailsEndsAfterAPause(t *testing.T) {
	oldRun, oldPause := run, failPause
	t.Cleanup(func() { run, failPause = oldRun, oldPause })
	run = func(context.Context, agent.Options) error { return errors.New("no such device") }
	failPause = 200 * time.Millisecond
	for _, pauses := range []bool{false, true} {
		args := []string{"run"}
		if pauses {
			args = append(args, "--supervised")
		}
		var log bytes.Buffer
		began := time.Now()
		code := Main(args, nil, &bytes.Buffer{}, &log)
		if took := time.Since(began); code != exitFailed || (took >= failPause) != pauses {
			t.Errorf("%v: exit code %d after %v", args, code, took)
		}
		if !strings.Contains(log.String(), "twinbeat: no such device") {
			t.Errorf("%v: %s", args, log.String())
		}
	}
	run = func(ctx context.Context, _ agent.Options) error {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		return errors.New("could not release")
	}
	failPause = time.Hour
	if code := Main([]string{"run", "--supervised"}, nil, &bytes.Buffer{}, &bytes.Buffer{}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}
