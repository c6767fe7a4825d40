package cli

import (
	"bytes"
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent"
)

func TestTheSignalForARestartEndsAtOnceAndReleasesNothing(t *testing.T) {
	oldRun, oldLeave := run, leave
	t.Cleanup(func() { run, leave = oldRun, oldLeave })
	started, released, left := make(chan bool), make(chan bool), make(chan int)
	run = func(ctx context.Context, _ agent.Options) error {
		close(started)
		<-ctx.Done()
		close(released)
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
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil { // ends run
		t.Fatal(err)
	}
	<-released
	if <-ended; !strings.Contains(log.String(), "SIGUSR1") {
		t.Errorf("log: %s", log.String())
	}
}
