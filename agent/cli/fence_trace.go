package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/fence"
)

// Limits of a trace.
const (
	maxReadings = 200             // kept, the newest; older ones are counted
	progressGap = 3 * time.Second // between two lines that say the same
)

// A reading is one thing that was sent to an outlet, or read from it.
type reading struct {
	AtMS    int64   `json:"at_ms"` // since the command began
	Outlet  string  `json:"outlet"`
	Did     string  `json:"did"` // read, off, on, "off refused", "on refused"
	Power   string  `json:"power,omitempty"`
	Pending string  `json:"pending,omitempty"`
	Load    float64 `json:"load,omitempty"`
	Unit    string  `json:"load_unit,omitempty"`
	Scope   string  `json:"load_scope,omitempty"`
	Raw     string  `json:"raw,omitempty"`
	Error   string  `json:"error,omitempty"`
	TookMS  int64   `json:"took_ms"`
}

// text is the reading as a line of progress says it.
func (r reading) text() string {
	switch {
	case r.Error != "" && r.Did == "read":
		return "no reading: " + r.Error
	case strings.HasSuffix(r.Did, " refused"):
		return r.Did + ": " + r.Error
	case r.Error != "":
		return r.Did + " failed: " + r.Error
	case r.Did != "read":
		return r.Did + " was sent"
	}
	s := "reads " + r.Power
	if r.Pending != fence.PendingUntold.String() {
		s += ", pending " + r.Pending
	}
	if r.Scope != "" {
		s += fmt.Sprintf(", %.4g %s (%s)", r.Load, r.Unit, r.Scope)
	}
	return s
}

// A trace notes what goes to the switches and comes from them, and tells it
// while one waits.
type trace struct {
	began time.Time
	out   io.Writer // progress; nil: none

	mu       sync.Mutex
	readings []reading
	dropped  int
	sent     []string // outlets that a command was given to
	answered bool     // by anything
	quiet    bool     // interrupted: the last word is said
	said     map[string]spoken
	refused  map[string]error // by outlet: why it takes no command
	giveUp   func()           // ends an operation that cannot come to anything
	feeds    []fence.Switch   // as wrapped, in the order of making
}

// A spoken is the newest line about an outlet.
type spoken struct {
	text string
	at   time.Time
}

func newTrace(out io.Writer) *trace {
	return &trace{began: time.Now(), out: out, said: map[string]spoken{}, refused: map[string]error{}}
}

// note keeps a reading and tells it, unless the same was told just now.
func (t *trace) note(r reading, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.AtMS, r.TookMS = began.Sub(t.began).Milliseconds(), time.Since(began).Milliseconds()
	if len(t.readings) == maxReadings {
		t.readings, t.dropped = t.readings[1:], t.dropped+1
	}
	t.readings = append(t.readings, r)
	t.answered = t.answered || r.Error == ""
	last := t.said[r.Outlet]
	if t.out == nil || t.quiet || last.text == r.text() && time.Since(last.at) < progressGap {
		return
	}
	t.said[r.Outlet] = spoken{r.text(), time.Now()}
	fmt.Fprintf(t.out, "%5.1fs %s: %s\n", time.Since(t.began).Seconds(), report.Clean(r.Outlet), report.Clean(r.text()))
}

// send notes that a command is about to go out: from then on it may act.
func (t *trace) send(outlet string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = append(t.sent, outlet)
}

// unsend notes that the device, or its driver, took no such command. When that
// is so of every switch there is no point in waiting.
func (t *trace) unsend(outlet string, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answered = true
	if i := slices.Index(t.sent, outlet); i >= 0 {
		t.sent = slices.Delete(t.sent, i, i+1)
	}
	t.refused[outlet] = why
	if len(t.refused) == len(t.feeds) && t.giveUp != nil {
		t.giveUp()
	}
}

// refusal is why no switch took the command; nil if one did.
func (t *trace) refusal() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sent) > 0 || len(t.refused) < len(t.feeds) {
		return nil
	}
	var all []error
	for _, sw := range t.feeds {
		all = append(all, t.refused[sw.Name()])
	}
	return errors.Join(all...)
}

// state returns what was sent and whether anything answered.
func (t *trace) state() (sent []string, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.sent), t.answered
}

// has says whether an outlet has been read.
func (t *trace) has(outlet string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.readings, func(r reading) bool { return r.Outlet == outlet })
}

// hush ends the progress.
func (t *trace) hush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quiet = true
}

// all returns the readings kept, and how many were not.
func (t *trace) all() ([]reading, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]reading{}, t.readings...), t.dropped
}

// wrap returns a switch that notes what goes through it, and can do what the
// one behind it can.
func (t *trace) wrap(sw fence.Switch) fence.Switch {
	w := traced{sw, t}
	var out fence.Switch = w
	if who, ok := sw.(fence.Identifier); ok {
		out = tracedIdentifier{w, who}
	}
	t.feeds = append(t.feeds, out)
	return out
}

type traced struct {
	fence.Switch
	t *trace
}

// BestGrade passes on what the switch allows; one that does not say allows all.
func (w traced) BestGrade() fence.Grade {
	if g, ok := w.Switch.(fence.Grader); ok {
		return g.BestGrade()
	}
	return fence.GradeLoad
}

func (w traced) SwitchOff(ctx context.Context) error {
	return w.command(ctx, "off", w.Switch.SwitchOff)
}

func (w traced) SwitchOn(ctx context.Context) error { return w.command(ctx, "on", w.Switch.SwitchOn) }

func (w traced) command(ctx context.Context, did string, do func(context.Context) error) error {
	began := time.Now()
	w.t.send(w.Name())
	err := do(ctx)
	if errors.Is(err, fence.ErrNotSwitchable) || errors.Is(err, fence.ErrNoOutlet) {
		w.t.unsend(w.Name(), err)
		did += " refused"
	}
	w.t.note(reading{Outlet: w.Name(), Did: did, Error: textOf(err)}, began)
	return err
}

func (w traced) Read(ctx context.Context) (fence.Reading, error) {
	began := time.Now()
	r, err := w.Switch.Read(ctx)
	if err != nil && ctx.Err() != nil {
		return r, err // cut short by our own deadline: no answer of the device's
	}
	if sent, _ := w.t.state(); (errors.Is(err, fence.ErrNotSwitchable) || errors.Is(err, fence.ErrNoOutlet)) && !slices.Contains(sent, w.Name()) {
		w.t.unsend(w.Name(), err) // a look before the order: none will be given
	}
	one := readingOf(w.Name(), r)
	one.Error = textOf(err)
	w.t.note(one, began)
	return r, err
}

func readingOf(outlet string, r fence.Reading) reading {
	return reading{
		Outlet: outlet, Did: "read", Power: r.Power.String(), Pending: r.Pending.String(),
		Load: r.Load.Value, Unit: r.Load.Unit, Scope: r.Load.Scope, Raw: r.Raw,
	}
}

// textOf is an error on one line; empty for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

type tracedIdentifier struct {
	traced
	who fence.Identifier
}

// Identify asks the device who it is; an answer of any kind shows that it is there.
func (w tracedIdentifier) Identify(ctx context.Context) (fence.Identity, error) {
	is, err := w.who.Identify(ctx)
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	w.t.answered = w.t.answered || err == nil || errors.Is(err, fence.ErrNoOutlet) || errors.Is(err, fence.ErrNotSwitchable)
	return is, err
}
