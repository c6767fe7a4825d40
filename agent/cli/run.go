package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/agent"
)

var runCommand = command{
	name: "run", args: "[--config FILE] [--node NAME] [--supervised]", summary: "run the agent",
	text: `Run the agent in the foreground until SIGTERM or SIGINT: then it gives up its
groups in order, and ends; a second signal ends it at once, and the kernel's
leases run out by themselves. SIGUSR1 is for a restart: it gives up nothing, and
ends as soon as the journal says so; an agent that starts within the lease finds
its groups in the kernel and keeps them, and if none comes the peer takes over.
A node that owns none says GOODBYE, so that nobody misses it.
SIGQUIT ends it with a dump of every goroutine.
SIGHUP takes up a changed configuration, see reload; a bad one changes nothing.
SIGPIPE does nothing: a dead logger must not cost the service. Log lines go to
stderr; those that it does not take are dropped and counted. If
$NOTIFY_SOCKET is set the agent tells systemd that it is ready, how it is and
that it lives.`,
	examples: []string{"twinbeat run", "twinbeat run --config /tmp/try.toml --node fw1 --log-level debug"},
	flags:    []string{"config", "node", "log-level", "supervised"},
	run:      (*shell).runAgent,
}

// logLevels are the words that --log-level takes.
var logLevels = []string{"debug", "info", "warn", "error"}

// failPause keeps an init that starts the agent again at once from doing nothing
// else where it cannot start.
var failPause = 5 * time.Second

// yieldMost is what an end for a restart may wait for the loop, which renews the
// leases meanwhile: of one that hangs they run out.
var yieldMost = time.Second

// run is the agent, leave the end of the process; tests replace them.
var (
	run   = agent.Run
	leave = os.Exit
)

func (sh *shell) runAgent(o *options, _ []string) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return unknown("log level", o.logLevel, logLevels)
	}
	sink := newSink(sh.stderr)
	defer sink.Close()
	log := slog.New(slog.NewTextHandler(sink, &slog.HandlerOptions{Level: level}))

	// Taken but not ignored: an ignored signal stays ignored in the programs that
	// the agent starts, a taken one does not (signal(7)). They stay taken to the
	// end of the process, which still writes to stderr, or has lost its terminal.
	nothing, hangup := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(nothing, syscall.SIGPIPE)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer release()
	// From the first signal on the next has its default effect, the end.
	context.AfterFunc(ctx, release)
	keep := make(chan os.Signal, 1)
	signal.Notify(keep, syscall.SIGUSR1)
	defer signal.Stop(keep)
	yield := make(chan chan<- struct{}, 1)
	go func() {
		<-keep
		log.Info("SIGUSR1: ends and gives up nothing, for an agent that starts within the lease")
		ready := make(chan struct{})
		yield <- ready
		select {
		case <-ready:
		case <-time.After(yieldMost):
		}
		sink.closeWithin(keepFlush)
		leave(exitWell)
	}()
	err := run(ctx, agent.Options{
		ConfigPath: o.config, Node: o.node, Log: log, Version: programVersion(), Hangup: hangup, Yield: yield, Redact: redactor,
	})
	if err != nil && o.supervised {
		log.Error("ends after a pause, since it is supervised", "err", err, "pause", failPause)
		select {
		case <-ctx.Done():
		case <-time.After(failPause):
		}
	}
	return err
}
