package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// yieldMost is what an end for a restart may wait for the loop, which renews the
// leases meanwhile: of one that hangs they run out. restMost is the same for the
// disk, before anything was given up.
var (
	yieldMost = 15 * time.Second
	restMost  = 30 * time.Second
)

// checksMost is how often a program that is replaced while it is being asked is asked
// again.
const checksMost = 3

// leave is the end of the process; tests replace it.
var leave = os.Exit

// restarts are the ends of an agent by signals: SIGTERM and SIGINT give everything up
// in order; the others make room for another agent and give nothing up: the process
// ends, and an init starts the next one, or it becomes that one.
type restarts struct {
	log    *slog.Logger
	sink   *sink
	stderr io.Writer
	stop   context.CancelFunc   // the orderly end
	settle chan chan<- struct{} // asks for the disk to come to rest
	yield  chan chan<- struct{} // asks the loop to make room
	next   interface {          // the program in the file
		Accepts(context.Context) error // it runs, and takes the configuration
		Same() bool                    // it is the one that was asked
		Become() error                 // returns only if it failed
	}
	term, end, anew chan os.Signal
}

// listen takes signals, and offers them.
func listen(s ...os.Signal) chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, s...)
	return c
}

// await serves the signals until ctx ends or one of them ended this agent.
func (r *restarts) await(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.term:
			r.orderly()
			return
		case <-r.end:
			r.giveWay()
			return
		case <-r.anew:
			if r.succeeded(ctx) {
				return
			}
		}
	}
}

// orderly begins the end that gives everything up. The next such signal has its
// default effect, the end at once.
func (r *restarts) orderly() {
	signal.Stop(r.term)
	r.stop()
}

// giveWay ends for an agent that an init starts.
func (r *restarts) giveWay() {
	r.log.Info("SIGUSR1: ends and gives up nothing, for an agent that starts within the lease")
	r.waitFor(context.Background(), r.yield, yieldMost)
	r.exit()
}

func (r *restarts) exit() {
	r.sink.closeWithin(keepFlush)
	leave(exitWell)
}

// succeeded makes the process the next agent. It returns false if this one goes on.
func (r *restarts) succeeded(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- r.prepare(ctx) }()
	select {
	case <-r.term:
		r.orderly()
		return true
	case <-r.end:
		cancel()
		r.giveWay()
		return true
	case err := <-ready:
		if err != nil {
			r.log.Error("SIGUSR2: the program in the file does not take over, this one goes on", "err", err)
			return false
		}
	}
	r.log.Info("SIGUSR2: becomes the program in the file, and gives up nothing")
	r.waitFor(ctx, r.yield, yieldMost)
	r.replace(ctx)
	return true
}

// prepare does what takes time, while the leases are renewed as ever: the new program
// checks the configuration, and the disk comes to rest.
func (r *restarts) prepare(ctx context.Context) error {
	for range checksMost {
		if err := r.next.Accepts(ctx); err != nil {
			return err
		}
		if !r.waitFor(ctx, r.settle, restMost) {
			return fmt.Errorf("the disk did not come to rest within %s", restMost)
		}
		if r.next.Same() {
			return nil
		}
	}
	return errors.New("it was replaced again and again while it was asked")
}

// waitFor asks for something, and reports whether it was done in time.
func (r *restarts) waitFor(ctx context.Context, ask chan chan<- struct{}, most time.Duration) bool {
	done := make(chan struct{})
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case ask <- done:
	case <-ctx.Done():
		return false
	case <-late.C:
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
	case <-late.C:
	}
	return false
}

// replace becomes the next agent, unless this one was told to end meanwhile. From here
// on SIGTERM and SIGUSR1 end the process at once, as they do with any that was started
// a moment ago; a wish for a restart or a reload is granted already.
func (r *restarts) replace(ctx context.Context) {
	signal.Stop(r.term) // nothing comes after it has returned
	signal.Stop(r.end)
	select {
	case <-r.term:
		r.stop()
		return
	case <-r.end:
		r.exit()
		return
	default:
	}
	if ctx.Err() != nil {
		return // the agent ends
	}
	r.sink.closeWithin(sinkFlush) // the leases are renewed meanwhile
	signal.Ignore(syscall.SIGUSR2, syscall.SIGHUP)
	err := r.next.Become()
	fmt.Fprintln(r.stderr, "twinbeat:", err)
	leave(exitFailed) // a supervisor starts the next one
}
