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
leases run out by themselves. SIGUSR2 is for a restart or an upgrade: the
process becomes the program that lies in its file now, which finds its groups
in the kernel and keeps them. First that program is asked to check the
configuration, and the disk must have nothing to write; else the log says why,
and the old one goes on. While it becomes the new one, SIGTERM ends it at once.
SIGUSR1 is for an init that starts the next agent itself: it gives up nothing,
and ends as soon as the journal says so; if none comes within the lease the
peer takes over. A node that owns none says GOODBYE, so that nobody misses it.
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

// run is the agent; tests replace it.
var run = agent.Run

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
	listen(syscall.SIGPIPE)
	hangup := listen(syscall.SIGHUP)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	program := agent.ThisProgram(o.config, o.node) // before the agent changes its environment
	r := restarts{
		log: log, sink: sink, stderr: sh.stderr, stop: stop, next: program,
		settle: make(chan chan<- struct{}, 1), yield: make(chan chan<- struct{}, 1),
		term: listen(syscall.SIGTERM, os.Interrupt), end: listen(syscall.SIGUSR1), anew: listen(syscall.SIGUSR2),
	}
	defer signal.Stop(r.term)
	defer signal.Stop(r.end)
	defer signal.Stop(r.anew)
	go r.await(ctx)
	err := run(ctx, agent.Options{
		ConfigPath: o.config, Node: o.node, Log: log, Version: programVersion(), Hangup: hangup, Settle: r.settle, Yield: r.yield, Redact: redactor,
		Became: program.Became(),
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
