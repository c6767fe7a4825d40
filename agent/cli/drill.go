//go:build !lite

package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/drill"
	"github.com/twinbeat/twinbeat/agent/report"
)

var drillCommand = command{
	name: "drill", args: "[--group GROUP] [--return] [--at TIME|--in TIME] [--tcp PORT] [--json]", summary: "try a handover on purpose, and measure it",
	text: `Move a group to the other node, measure for how long nobody served, and watch
the new owner for --stay. On trouble the group goes back by itself: nobody
served for longer than --limit, the new owner gave it back, the peer or
anything else looks degraded for more than 3s, or the service behind --tcp does
not answer. With --return it goes back anyway, measured, too; each move counts
for flap_max. The drill begins only with a pair that is not degraded; with --at
or --in it waits in the foreground until then and looks again.
The address is asked for on the LAN each millisecond, from this node. --tcp asks
the service as well, for which this node needs an address of its own there.
The result becomes an event. Exit codes: 0 well; 1 failed, whether or not the
group went back; 3 the pair was degraded, so that nothing was moved, or is now.`,
	examples: []string{"twinbeat drill --return", "twinbeat drill --group gateway --at 03:30 --return --tcp 80", "twinbeat drill --in 10m --json"},
	flags:    []string{"group", "return", "at", "in", "limit", "stay", "tcp", "json", "socket", "config"},
	run:      (*shell).drill,
}

const (
	lookEvery  = 20 * time.Millisecond
	settleMost = 10 * time.Second // for the pair to be ready for the way back
	maxLimit   = time.Minute
	maxStay    = time.Hour
)

// A driller carries a drill out.
type driller struct {
	sh    *shell
	o     *options
	path  string
	asker asker
	out   drillResult
}

// drillResult is the answer in JSON.
type drillResult struct {
	Group    string    `json:"group"`
	Node     string    `json:"measured_by"`
	Began    time.Time `json:"began"`
	Well     bool      `json:"well"`
	Trouble  []string  `json:"trouble"`
	Moves    []moved   `json:"moves"`
	Owner    string    `json:"owner"` // at the end; empty: nobody, or not known
	Degraded []string  `json:"degraded"`
}

// moved is one move that was measured.
type moved struct {
	From      string   `json:"from"`
	To        string   `json:"to"`
	Done      bool     `json:"done"`
	DarkMS    *float64 `json:"dark_ms,omitempty"` // nobody answered for the address; absent: not measured
	By        string   `json:"measured"`
	ServiceMS *float64 `json:"service_dark_ms,omitempty"` // the longest time between two answers of the service
}

func (sh *shell) drill(o *options, _ []string) error {
	when, err := drillTime(o, time.Now())
	if err != nil {
		return err
	}
	path, err := sh.socketPath(o)
	if err != nil {
		return err
	}
	d := &driller{sh: sh, o: o, path: path, asker: asker{path: path}}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	plan, err := d.ready(ctx)
	if err != nil {
		return err
	}
	if wait := time.Until(when); wait > 0 {
		d.say("%s goes from %s to %s at %s", plan.Group, plan.From, plan.To, when.Format(time.DateTime))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return &control.Error{Text: "drill: given up before it began", Advice: "nothing was moved"}
		}
		if plan, err = d.ready(ctx); err != nil {
			return err
		}
	}
	return d.play(ctx, plan)
}

// drillTime is when the drill begins.
func drillTime(o *options, now time.Time) (time.Time, error) {
	usage := func(format string, args ...any) (time.Time, error) {
		return now, &usageError{text: "drill: " + fmt.Sprintf(format, args...)}
	}
	switch {
	case o.limit <= 0 || o.limit > maxLimit:
		return usage("--limit %s is not within 1ms and %s", o.limit, maxLimit)
	case o.stay < 0 || o.stay > maxStay:
		return usage("--stay %s is not within 0s and %s", o.stay, maxStay)
	case o.tcp < 0 || o.tcp > 65535:
		return usage("--tcp %d is no port", o.tcp)
	case o.at != "" && o.in != 0:
		return usage("--at and --in exclude each other")
	case o.in < 0 || o.in > control.MaxFor:
		return usage("--in %s is not a time to come", o.in)
	case o.in > 0:
		return now.Add(o.in), nil
	case o.at == "":
		return now, nil
	}
	if at, err := time.ParseInLocation("15:04", o.at, now.Location()); err == nil {
		at = time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), 0, 0, now.Location())
		if at.Before(now) {
			at = at.AddDate(0, 0, 1)
		}
		return at, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", time.RFC3339} {
		if at, err := time.ParseInLocation(layout, o.at, now.Location()); err == nil && at.After(now) && at.Sub(now) < control.MaxFor {
			return at, nil
		}
	}
	return now, &usageError{text: fmt.Sprintf("drill: --at %q is not a time to come", o.at), hint: `write it as 03:30, or "2026-12-31 03:30"`}
}

// ready plans the move, or says why it must not be.
func (d *driller) ready(ctx context.Context) (drill.Plan, error) {
	a := d.asker.ask(ctx)
	if a.err != nil {
		return drill.Plan{}, a.err
	}
	group, err := chooseGroup(a.snapshot, d.o.group)
	if err != nil {
		return drill.Plan{}, err
	}
	plan, reasons := drill.Begin(a.snapshot, group)
	plan.Limit, plan.Stay = d.o.limit, d.o.stay
	if len(reasons) > 0 {
		d.out = drillResult{Group: group, Node: plan.Self, Began: time.Now(), Owner: ownerOf(a.snapshot, group), Degraded: reasons, Trouble: []string{}, Moves: []moved{}}
		return plan, d.refuse(reasons)
	}
	d.out = drillResult{Group: group, Node: plan.Self, Trouble: []string{}, Moves: []moved{}, Degraded: []string{}}
	return plan, nil
}

// refuse tells why nothing was moved.
func (d *driller) refuse(reasons []string) error {
	if d.o.json {
		return errors.Join(d.sh.printJSON(d.out), errDegraded)
	}
	for _, r := range reasons {
		d.sh.print(report.Paragraph("DEGRADED:", 10, r))
	}
	d.say("nothing was moved: a drill needs a pair that is well")
	return errDegraded
}

// say tells a person how it goes.
func (d *driller) say(format string, args ...any) {
	if !d.o.json {
		_ = d.sh.print(report.Clean(fmt.Sprintf(format, args...)) + "\n")
	}
}

// play moves the group, back if it must or shall, and tells the result.
func (d *driller) play(ctx context.Context, plan drill.Plan) error {
	d.out.Began = time.Now()
	there := d.move(ctx, plan, true)
	if there != "" {
		d.out.Trouble = append(d.out.Trouble, there)
	}
	if there != "" || d.o.back {
		if why := d.goBack(plan, there != ""); why != "" {
			d.out.Trouble = append(d.out.Trouble, why)
		}
	}
	d.out.Well = len(d.out.Trouble) == 0
	a := d.settle(context.Background(), func(s report.Snapshot) bool { return !report.Degraded(s) })
	d.out.Degraded = append(d.out.Degraded, report.Reasons(a.snapshot)...)
	if a.err != nil {
		d.out.Degraded = append(d.out.Degraded, a.err.Error())
	}
	d.out.Owner = ownerOf(a.snapshot, plan.Group)
	d.note(plan)
	return d.tell(plan)
}

// goBack undoes a move, unless the group is where it was.
func (d *driller) goBack(plan drill.Plan, trouble bool) string {
	back := plan.Back()
	a := d.settle(context.Background(), func(s report.Snapshot) bool {
		_, not := drill.Begin(s, plan.Group)
		return trouble || len(not) == 0 || ownerOf(s, plan.Group) == plan.From
	})
	if ownerOf(a.snapshot, plan.Group) == plan.From {
		return ""
	}
	if trouble {
		d.say("trouble: %s", d.out.Trouble[len(d.out.Trouble)-1])
		back.Stay = 0
	}
	return d.move(context.Background(), back, false) // an operator who gives up wants it where it was
}

// settle looks until the pair is as wished, or has had its time.
func (d *driller) settle(ctx context.Context, wished func(report.Snapshot) bool) answer {
	for end := time.Now().Add(settleMost); ; time.Sleep(lookEvery) {
		a := d.asker.ask(ctx)
		if a.err == nil && wished(a.snapshot) || time.Now().After(end) {
			return a
		}
	}
}

func ownerOf(s report.Snapshot, group string) string {
	if g := s.Group(group); g != nil {
		return g.Owner
	}
	return ""
}

// note makes the result an event of the agent.
func (d *driller) note(plan drill.Plan) {
	client, err := control.Dial(d.path)
	if err == nil {
		defer client.Close()
		text := d.summary()
		_, err = client.Do(context.Background(), control.Order{Command: control.OrderNote, Group: plan.Group, Reason: text[:min(len(text), control.MaxReason)]})
	}
	if err != nil {
		fmt.Fprintln(d.sh.stderr, report.Clean("twinbeat: the result is not in the journal: "+err.Error()))
	}
}

// summary is the result in one line of printable ASCII but for names.
func (d *driller) summary() string {
	word := "drill well"
	if !d.out.Well {
		word = "drill FAILED"
	}
	parts := []string{word}
	for _, m := range d.out.Moves {
		parts = append(parts, m.String())
	}
	return report.Clean(strings.Join(append(parts, d.out.Trouble...), "; "))
}

// String tells the move in a few words.
func (m moved) String() string {
	text := m.From + " to " + m.To
	if !m.Done {
		text += " NOT DONE"
	}
	if m.DarkMS != nil {
		text += ": address dark for " + report.Span(*m.DarkMS) + " (" + m.By + ")"
	}
	if m.ServiceMS != nil {
		text += ", service for " + report.Span(*m.ServiceMS) + " at most"
	}
	return text
}

func (d *driller) tell(plan drill.Plan) error {
	if d.o.json {
		if err := d.sh.printJSON(d.out); err != nil {
			return err
		}
	} else {
		for _, r := range d.out.Degraded {
			d.sh.print(report.Paragraph("DEGRADED:", 10, r))
		}
	}
	switch {
	case !d.out.Well:
		return &control.Error{
			Text:   "drill failed: " + strings.Join(d.out.Trouble, "; "),
			Advice: fmt.Sprintf("%s is owned by %s now; twinbeat events --group %s tells more", plan.Group, named(d.out.Owner), plan.Group),
		}
	case len(d.out.Degraded) > 0:
		return errDegraded
	}
	d.say("well: %s is owned by %s", plan.Group, named(d.out.Owner))
	return nil
}

func named(owner string) string {
	if owner == "" {
		return "nobody"
	}
	return owner
}
