//go:build !lite

package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

// Limits of the view.
const (
	// patience is how long the agent may take for an answer, before the view says
	// that there is none.
	patience = 2 * time.Second
	// keptEvents is above the lines of any terminal that is read.
	keptEvents = 100
	minEvery   = 200 * time.Millisecond
	maxEvery   = time.Hour
	// rows is the height of a terminal that does not know its own, as at the end of
	// a serial line; its width is report.Columns.
	rows = 24
)

// An answer is what the agent said at one moment, or why it said nothing.
type answer struct {
	snapshot report.Snapshot
	events   []report.Event
	anew     bool // the events are all that it holds, not those to add
	err      error
}

// An asker keeps a connection to the agent while there is one.
type asker struct {
	path string
	c    *control.Client
	last uint64
}

// ask gets one answer. After a failure the next one connects anew.
func (a *asker) ask(ctx context.Context) (out answer) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if out.err != nil && a.c != nil {
			a.c.Close()
			a.c = nil
		}
	}()
	if a.c == nil {
		if a.c, out.err = control.Dial(a.path); out.err != nil {
			return out
		}
		a.last, out.anew = 0, true
	}
	if out.snapshot, out.err = a.c.Snapshot(ctx); out.err != nil {
		return out
	}
	out.err = a.c.Events(ctx, a.last, false, func(e report.Event) error {
		a.last = max(a.last, e.Seq)
		out.events = append(out.events, e)
		out.events = out.events[max(0, len(out.events)-keptEvents):]
		return nil
	})
	return out
}

// run asks at once and then in every interval, until ctx ends.
func (a *asker) run(ctx context.Context, every time.Duration, answers chan<- answer) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case answers <- a.ask(ctx):
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// hear enters an answer into the view.
func hear(w *report.Watching, a answer, now time.Time) {
	w.Now = now
	if a.err != nil {
		if w.SilentSince.IsZero() {
			w.SilentSince = now
		}
		w.Why = a.err.Error()
		return
	}
	w.SilentSince, w.Why, w.Snapshot = time.Time{}, "", &a.snapshot
	if a.anew {
		w.Events = nil
	}
	w.Events = append(w.Events, a.events...)
	w.Events = w.Events[max(0, len(w.Events)-keptEvents):]
}

// watchStatus shows the pair until the operator has seen enough.
func (sh *shell) watchStatus(o *options) error {
	every := o.every
	if every < minEvery || every > maxEvery {
		return &usageError{text: fmt.Sprintf("status: --every %s is not within %s and %s", every, minEvery, maxEvery), hint: "one second suits most, five a slow serial line"}
	}
	path, err := sh.socketPath(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answers := make(chan answer)
	go (&asker{path: path}).run(ctx, every, answers)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGWINCH)
	defer signal.Stop(signals)
	if t := sh.terminal(); t != nil && !o.json {
		return t.show(answers, signals, every)
	}
	var view report.Watching
	for { // ends by a signal, or when nobody reads
		select {
		case a := <-answers:
			hear(&view, a, time.Now())
			if err := sh.block(o, view, a); err != nil {
				return err
			}
		case s := <-signals:
			if s != syscall.SIGWINCH {
				return nil
			}
		}
	}
}

// block prints the view for what is no terminal.
func (sh *shell) block(o *options, view report.Watching, a answer) error {
	if o.json && a.err != nil {
		return sh.printJSON(map[string]string{"error": a.err.Error(), "since": view.SilentSince.Format(time.RFC3339)})
	}
	if o.json {
		return sh.printJSON(statusAnswer(a.snapshot))
	}
	return sh.print(strings.Join(report.Screen(view, sh.columns(), rows-1), "\n") + "\n\n")
}

// A terminal is one on which lines can be drawn again.
type terminal struct {
	in, out *os.File
	restore *unix.Termios
	shown   []string
	other   bool // it has a second screen, so that the first stays as it was
}

// terminal returns the terminal that the shell talks to, nil if it talks to
// none, or to one that cannot move its cursor.
func (sh *shell) terminal() *terminal {
	in, isIn := sh.stdin.(*os.File)
	out, isOut := sh.stdout.(*os.File)
	kind := os.Getenv("TERM")
	if !isIn || !isOut || kind == "" || kind == "dumb" || kind == "unknown" {
		return nil
	}
	was, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	t := &terminal{in: in, out: out, restore: was}
	for _, family := range []string{"xterm", "screen", "tmux", "rxvt"} {
		t.other = t.other || strings.HasPrefix(kind, family)
	}
	return t
}

// show draws until a key, a signal or the end of the terminal. It leaves the
// terminal as it was; one without a second screen keeps the last view.
func (t *terminal) show(answers <-chan answer, signals <-chan os.Signal, every time.Duration) error {
	quiet := *t.restore
	quiet.Lflag &^= unix.ICANON | unix.ECHO
	quiet.Cc[unix.VMIN], quiet.Cc[unix.VTIME] = 1, 0
	quiet.Cc[unix.VSUSP] = 0 // _POSIX_VDISABLE: a stopped view would leave the shell without an echo
	if err := unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, &quiet); err != nil {
		return fmt.Errorf("prepare terminal: %w", err)
	}
	defer t.end()
	if t.other {
		t.send("\x1b[?1049h")
	}
	keys := make(chan byte)
	over := make(chan struct{})
	defer close(over)
	go t.keys(keys, over)
	view := report.Watching{Now: time.Now()}
	tick := time.NewTicker(max(every, time.Second)) // the age of a silence goes on
	defer tick.Stop()
	for {
		select {
		case a := <-answers:
			hear(&view, a, time.Now())
		case <-tick.C:
			if view.SilentSince.IsZero() {
				continue
			}
			view.Now = time.Now()
		case s := <-signals:
			if s != syscall.SIGWINCH {
				return nil
			}
			t.shown = nil
		case key, ok := <-keys:
			if !ok || key == 'q' || key == 'Q' || key == 3 {
				return nil
			}
			t.shown = nil // any other key draws all anew, as after noise on the line
		}
		if err := t.draw(view); err != nil {
			return err
		}
	}
}

// keys hands on what is typed until the terminal is gone.
func (t *terminal) keys(keys chan<- byte, over <-chan struct{}) {
	var one [1]byte
	for {
		if n, err := t.in.Read(one[:]); n == 0 || err != nil {
			close(keys)
			return
		}
		select {
		case keys <- one[0]:
		case <-over:
			return
		}
	}
}

func (t *terminal) size() (width, height int) {
	size, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return report.Columns, rows
	}
	return int(size.Col), int(size.Row)
}

// draw sends what changed since the last view.
func (t *terminal) draw(view report.Watching) error {
	width, height := t.size()
	next := report.Screen(view, width, height-1) // the cursor rests on the last line
	for i, line := range next {                  // the layout has a least width
		next[i] = string([]rune(line)[:min(len([]rune(line)), width)])
	}
	err := t.send(report.Redraw(t.shown, next))
	t.shown = next
	return err
}

func (t *terminal) send(text string) error {
	if text == "" {
		return nil
	}
	if _, err := t.out.WriteString(text); err != nil {
		return fmt.Errorf("write to terminal: %w", err)
	}
	return nil
}

// end leaves the terminal as it was.
func (t *terminal) end() {
	if t.other {
		_ = t.send("\x1b[?1049l")
	} else if t.shown != nil {
		_ = t.send("\r\x1b[J")
	}
	_ = unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.restore)
}
