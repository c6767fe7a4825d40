package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/fence"
)

const (
	// defaultFenceTime is for devices without a configuration: the slowest
	// outlets lag by 25 s.
	defaultFenceTime = time.Minute
	// maxFenceTime bounds --fence-time.
	maxFenceTime = 10 * time.Minute
	// askTime bounds the questions that follow an operation, whose answers it
	// does not need.
	askTime = 5 * time.Second
)

// A fencing is one run of a fence command that switches or reads.
type fencing struct {
	target
	sh     *shell
	o      *options
	action string
	device fence.Device
	trace  *trace
	limit  time.Duration
	answer fenceAnswer
}

// A fenceAnswer is what a fence command answers.
type fenceAnswer struct {
	Action    string       `json:"action"`
	Node      string       `json:"node,omitempty"`
	Device    string       `json:"device"`
	Proven    bool         `json:"proven"`
	Grade     string       `json:"grade"`
	Evidence  string       `json:"evidence,omitempty"`
	Detail    string       `json:"detail,omitempty"`
	Power     string       `json:"power,omitempty"`      // status: of the node
	WouldSend []string     `json:"would_send,omitempty"` // dry run
	OffMS     int64        `json:"off_ms,omitempty"`     // test
	OnMS      int64        `json:"on_ms,omitempty"`
	Readings  []reading    `json:"readings"`
	Dropped   int          `json:"readings_dropped,omitempty"`
	Identity  []identity   `json:"identity"`
	TookMS    int64        `json:"took_ms"`
	Record    fence.Record `json:"record"`
	Recorded  bool         `json:"recorded"` // in the history of this box
	Error     string       `json:"error,omitempty"`
	Exit      int          `json:"exit_code"`
}

// fence runs off, on, reboot, status or test.
func (sh *shell) fence(o *options, action string) error {
	t, err := o.fenceTargets()
	if err == nil {
		err = t.needsOutlets()
	}
	if err != nil {
		return err
	}
	if o.fenceTime < 0 || o.fenceTime > maxFenceTime {
		return &usageError{text: fmt.Sprintf("--fence-time %v is not between 0 and %v", o.fenceTime, maxFenceTime)}
	}
	f := &fencing{target: t, sh: sh, o: o, action: action, trace: newTrace(sh.stderr)}
	f.limit = cmp.Or(o.fenceTime, t.fenceTime(), defaultFenceTime)
	if f.device, err = agent.FenceLevels(t.devices, f.trace.wrap); err != nil {
		return err
	}
	if f.device == nil {
		return &usageError{text: fmt.Sprintf("no outlet of the device feeds %s", t.node), hint: "twinbeat check shows which do"}
	}
	ctx, interrupted, release := interruptible()
	defer release()
	stop := context.AfterFunc(interrupted, f.trace.hush)
	defer stop()
	f.answer = fenceAnswer{Action: action, Node: t.node, Device: f.device.Name(), Grade: fence.GradeNone.String()}
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	f.trace.giveUp = cancel
	err = f.do(work)
	if interrupted.Err() != nil {
		err = f.cutShort(err)
	}
	return f.finish(ctx, err)
}

// interruptible returns a context that ends with SIGINT or SIGTERM, twice: the
// second one tells that from other ends. The next signal ends the program.
func interruptible() (ctx, interrupted context.Context, release func()) {
	ctx, release = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release)
	return ctx, ctx, release
}

// needsOutlets refuses a device of outlets without one: there is no word for all.
func (t target) needsOutlets() error {
	for _, d := range t.devices {
		if t.node == "" && config.HasOutlets(d.Driver) && len(d.Outlets) == 0 {
			return &usageError{text: "--outlet is missing", hint: "twinbeat fence list shows what there is; there is no word for all"}
		}
	}
	return nil
}

// fenceTime is that of the configuration, for what it describes.
func (t target) fenceTime() time.Duration {
	if t.plant == nil || t.node == "" {
		return 0
	}
	return t.plant.off[0].Timing.FenceTime
}

func (f *fencing) do(ctx context.Context) error {
	if f.action == "status" {
		return f.status(ctx)
	}
	if f.o.dryRun {
		return f.dryRun(ctx)
	}
	if err := f.guard(ctx); err != nil {
		return err
	}
	switch f.action {
	case "off":
		return f.off(ctx)
	case "on":
		return f.on(ctx)
	case "reboot":
		return f.reboot(ctx)
	default:
		return f.test(ctx)
	}
}

// refuse is an error after which nothing was sent.
func refuse(text, advice string) error {
	return &coded{&control.Error{Text: text, Advice: advice}, exitRefused}
}

// guard refuses what an operator would regret.
func (f *fencing) guard(ctx context.Context) error {
	if f.o.force {
		return nil
	}
	node := f.node
	if f.named && f.plant != nil {
		node = f.feeds(ctx)
	}
	own := ""
	if f.plant != nil && f.plant.own >= 0 {
		own = f.plant.names[f.plant.own]
	}
	switch {
	case f.action == "test" && node != "":
		return refuse(fmt.Sprintf("test: the outlet is %s's", node), "take a spare one, which is in no node's list")
	case f.action == "test":
		return f.unloaded(ctx)
	case f.action != "on" && node != "" && node == own:
		return refuse(fmt.Sprintf("%s: this box, %s, would switch itself off", f.action, own), "--force does it all the same; twinbeat handover first")
	case f.action == "on" && node != "" && node != own:
		return f.safeToWake(ctx, node)
	}
	return nil
}

// unloaded refuses an outlet on which something hangs.
func (f *fencing) unloaded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	for _, sw := range f.trace.feeds {
		if r, err := sw.Read(ctx); err == nil && r.Load.Scope == "outlet" && r.Load.Value > 0 {
			return refuse(fmt.Sprintf("test: %s has a load of %v: something hangs on it", sw.Name(), r.Load), "--force switches it all the same")
		}
	}
	return nil
}

// safeToWake refuses to give a node its power back behind an owner whose right
// to own is that it has none, unless the two would hear each other. Without an
// agent on this box there is nobody to ask, and nobody who owns.
func (f *fencing) safeToWake(ctx context.Context, node string) error {
	c, s, err := f.sh.snapshot(f.o)
	if err != nil {
		fmt.Fprintf(f.sh.stderr, "no agent answers on this box (%s): nothing is known of who owns what\n", textOf(err))
		return nil
	}
	defer c.Close()
	if s.Peer.Name != node || s.Peer.Alive {
		return nil
	}
	for _, g := range s.Groups {
		if g.Owner == s.Self.Name && (g.Evidence == "fence" || g.Evidence == "operator") {
			return refuse(fmt.Sprintf("on: %s owns %s on the proof that %s is off (%s)", s.Self.Name, g.Name, node, g.Evidence),
				"repair the links first, so that the two hear each other when it boots; then --force")
		}
	}
	return nil
}

func (f *fencing) off(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	p, err := f.device.Off(ctx)
	f.take(p)
	return f.sorted(err)
}

func (f *fencing) take(p fence.Proof) {
	f.answer.Proven, f.answer.Grade, f.answer.Evidence, f.answer.Detail = p.Proven, p.Grade.String(), p.Evidence, p.Detail
	f.answer.Record.Grade, f.answer.Record.Level = p.Grade, p.Level
}

func (f *fencing) on(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	err := f.device.On(ctx)
	if err == nil {
		f.answer.Proven, f.answer.Evidence = true, "on, as it was read back"
	}
	return f.sorted(err)
}

func (f *fencing) reboot(ctx context.Context) error {
	hold := max(f.o.hold, fence.MinHold)
	ctx, cancel := context.WithTimeout(ctx, hold+2*max(f.limit, fence.MinHold))
	defer cancel()
	p, err := f.device.Reboot(ctx, hold)
	f.take(p)
	if err != nil && p.Proven {
		f.answer.Proven = false // of the whole; the evidence tells of off
		err = fmt.Errorf("it is off, and did not come on: %w", err)
	}
	return f.sorted(err)
}

// test switches a spare outlet off and on, and leaves it as it was.
func (f *fencing) test(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*f.limit)
	defer cancel()
	before, err := f.device.Status(ctx)
	if err != nil {
		return f.sorted(fmt.Errorf("test: read first: %w", err))
	}
	p, err := f.device.Off(ctx)
	f.take(p)
	if err != nil {
		return f.sorted(err)
	}
	f.answer.OffMS = p.Took.Milliseconds()
	began := time.Now()
	if err := f.device.On(ctx); err != nil {
		f.answer.Proven = false
		return f.sorted(err)
	}
	f.answer.OnMS = time.Since(began).Milliseconds()
	if before != fence.PowerOff {
		return nil
	}
	_, err = f.device.Off(ctx)
	return f.sorted(err)
}

// status reads the power of the node, and every feed at least once.
func (f *fencing) status(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	power, err := f.device.Status(ctx)
	for _, sw := range f.trace.feeds {
		if !f.trace.has(sw.Name()) {
			_, _ = sw.Read(ctx) // the trace tells
		}
	}
	f.answer.Power = power.String()
	f.answer.Proven = power != fence.PowerUnknown
	if err == nil && power == fence.PowerUnknown {
		err = errors.New("it reads neither on nor off")
	}
	if _, answered := f.trace.state(); err != nil && answered {
		return &coded{err, exitUnproven}
	}
	return f.sorted(err)
}

// dryRun asks everything that an operation would, and sends nothing.
func (f *fencing) dryRun(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	words := map[string][]string{"off": {"off"}, "on": {"on"}, "reboot": {"off", "on"}, "test": {"off", "on"}}[f.action]
	for _, word := range words {
		for _, sw := range f.trace.feeds {
			f.answer.WouldSend = append(f.answer.WouldSend, word+" to "+sw.Name())
		}
	}
	if err := f.guard(ctx); err != nil {
		return err
	}
	found, err := f.device.Check(ctx)
	var wrong []string
	for _, one := range found {
		wrong = append(wrong, one.String())
	}
	if len(wrong) > 0 {
		err = fmt.Errorf("it could not be relied on: %s", strings.Join(wrong, "; "))
	}
	return f.sorted(err)
}

// sorted gives an error its exit code, by what was sent and what answered.
func (f *fencing) sorted(err error) error {
	if err == nil {
		return nil
	}
	sent, answered := f.trace.state()
	switch why := f.trace.refusal(); {
	case why != nil:
		return &coded{why, exitRefused}
	case !answered:
		return &coded{err, exitUnreachable}
	case len(sent) == 0:
		return &coded{err, exitRefused}
	}
	return &coded{err, exitUnproven}
}

// cutShort is the end by a signal.
func (f *fencing) cutShort(err error) error {
	if err == nil {
		return nil // it was done by then
	}
	sent, _ := f.trace.state()
	if len(sent) == 0 {
		return &coded{errors.New("interrupted before anything was sent"), exitFailed}
	}
	slices.Sort(sent)
	return &coded{&control.Error{
		Text:   fmt.Sprintf("interrupted: the state of %s is unknown", strings.Join(slices.Compact(sent), ", ")),
		Advice: "twinbeat fence status reads it; a command that is under way may still act",
	}, exitUnproven}
}

// finish completes the answer, keeps it in the history and tells it.
func (f *fencing) finish(ctx context.Context, err error) error {
	a := &f.answer
	a.TookMS = time.Since(f.trace.began).Milliseconds()
	a.Exit, a.Error = exitOf(err), textOf(err)
	if err == nil && (f.o.json || f.o.dryRun) && ctx.Err() == nil {
		a.Identity = f.identities(ctx)
	}
	f.trace.hush()
	a.Readings, a.Dropped = f.trace.all()
	sent, _ := f.trace.state()
	a.Record.At, a.Record.By, a.Record.Why = time.Now(), operator(), cmp.Or(f.o.reason, "by hand")
	a.Record.Target, a.Record.Node, a.Record.Action = a.Device, a.Node, a.Action
	a.Record.Proven, a.Record.Detail, a.Record.TookMS = a.Proven, a.Detail, a.TookMS
	a.Record.Evidence = cmp.Or(a.Evidence, a.Error)
	if len(sent) > 0 {
		if keepErr := f.keep(); keepErr != nil {
			fmt.Fprintf(f.sh.stderr, "it is not in the history: %s\n", textOf(keepErr))
		}
	}
	var printErr error
	if f.o.json {
		printErr = f.sh.printJSON(a)
	} else {
		printErr = f.sh.print(a.text())
	}
	if err == nil {
		return printErr
	}
	return err
}

// keep adds the record to the history of this box, if it has a configuration.
func (f *fencing) keep() error {
	if f.plant == nil || f.plant.own < 0 {
		return nil
	}
	h, err := fence.OpenHistory(agent.FenceHistoryDir(f.plant.off[0].StateDir))
	if err == nil {
		err = h.Append(f.answer.Record)
	}
	f.answer.Recorded = err == nil
	return err
}

// operator names who runs this program, for the history.
func operator() string {
	id := strconv.Itoa(os.Getuid())
	name := "uid " + id
	if u, err := user.LookupId(id); err == nil {
		name = fmt.Sprintf("%s (uid %s)", u.Username, id)
	}
	if as := os.Getenv("SUDO_USER"); as != "" {
		name += " as " + as
	}
	return name
}
