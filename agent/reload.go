//go:build !lite

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/fence"
)

// reloadTime bounds a reload that nobody waits for at the control socket, which
// has a bound of its own.
const reloadTime = 5 * time.Minute

// watchHangup reloads on SIGHUP.
func (a *agent) watchHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.opts.Hangup:
		}
		within, cancel := context.WithTimeout(ctx, reloadTime)
		r := a.reload(within, false, "SIGHUP")
		cancel()
		a.logReload(&r)
	}
}

// logReload writes down what nobody else is there to read; what was refused is an
// alarm and an event.
func (a *agent) logReload(r *report.Reload) {
	for _, p := range r.Problems {
		a.log.Warn("reload", "line", p.Line, "key", p.Key, "text", p.Text, "hint", p.Hint)
	}
	for _, note := range r.Notes {
		a.log.Warn("reload", "note", note)
	}
}

// reloadOrder carries out an order of the control socket.
func (a *agent) reloadOrder(ctx context.Context, o control.Order) (string, error) {
	by := "operator " + o.By
	if o.Reason != "" {
		by += ": " + o.Reason
	}
	line, err := json.Marshal(a.reload(ctx, o.Command == control.OrderReloadPlan, by))
	return string(line), err
}

// A plan is a configuration that was read and found possible.
type plan struct {
	cfg      config.Config
	text     []byte
	report   report.Reload
	services []*service.Group // of each group whose services change; else nil
	fence    *fence.Device    // the new one; nil: it does not change
	watched  []*watched       // all monitors; those that stay are at work
	targets  []*target        // all of alerts; those that stay are the same
}

// note tells of what did not go as it should, though it was done.
func (p *plan) note(text string) { p.report.Notes = append(p.report.Notes, text) }

// reload takes up the configuration file as it is now, or says why not. It reads
// and checks everything first; then all of it is done or, as far as that can be,
// nothing.
func (a *agent) reload(ctx context.Context, dry bool, by string) report.Reload {
	a.running.one.Lock()
	defer a.running.one.Unlock()
	defer twoProcessors()()
	began := time.Now()
	p := a.plan(ctx)
	r := &p.report
	if r.DryRun = dry; dry {
		a.foretell(p)
	}
	if r.Refused == "" && !dry {
		if err := a.change(context.WithoutCancel(ctx), p, by); err != nil { // what is begun is ended: each lane has a bound
			r.Refused, r.Hint = strings.ReplaceAll(err.Error(), "\n", "; "), "what was changed was put back; see `twinbeat events`"
			a.running.torn = errors.Is(err, errNotBack)
			if a.running.torn {
				r.Hint = tornHint
			}
		} else {
			a.running.cfg, a.running.text = p.cfg, p.text
			r.Done = true
		}
	}
	r.TookMS = float64(time.Since(began)) / float64(time.Millisecond)
	if dry {
		return *r
	}
	text, done := r.File+": "+r.Refused+"; the agent goes on with what it read before", "nothing changed"
	if a.running.torn {
		text, done = r.File+": "+r.Refused+"; "+tornText, tornText
	}
	if len(r.Problems) > 0 {
		text += ": " + r.Problems[0].Text
	}
	a.insist(loop.AlarmChanged{Name: "reload", On: r.Refused != "", Text: text})
	if r.Refused != "" {
		a.insist(loop.Notice{Event: report.Event{Kind: "agent", Seen: by + ": reload", Decided: "refuse: " + r.Refused, Done: done}})
	}
	return *r
}

// A reload that failed, and could not be put back, leaves parts of both files in
// place: what it would be put back to, or led on from, is not known any more.
const (
	tornText = "a reload was done in part and not put back: the gate guards the old and the new addresses until a restart"
	tornHint = "restart the agent when the file is right: it adopts what it holds; see `twinbeat events`"
)

// plan reads the file and says what taking it up would mean.
func (a *agent) plan(ctx context.Context) *plan {
	p := &plan{report: report.Reload{File: a.opts.ConfigPath}}
	r := &p.report
	refuse := func(text, hint string) *plan {
		r.Refused, r.Hint = text, hint
		return p
	}
	if a.running.torn {
		return refuse("an earlier reload could not be put back", tornHint)
	}
	var err error
	if p.text, err = os.ReadFile(a.opts.ConfigPath); err != nil {
		return refuse("read configuration: "+err.Error(), "")
	}
	if !a.parse(ctx, p) {
		return refuse("the file is refused", "nothing was changed; mend it, `twinbeat check` says the same")
	}
	r.Digest = fmt.Sprintf("%08x", p.cfg.Digest)
	changes, err := config.Diff(a.running.text, p.text)
	if err != nil {
		return refuse(err.Error(), "")
	}
	judged := config.Judge(changes, a.running.cfg, p.cfg)
	worst := config.Live
	for _, j := range judged {
		if _, weak := a.lease.(*lifetimeLease); weak && j.Rule == "group.addresses" && j.Effect == config.Live {
			j.Effect, j.Why = config.Restart, "without nftables the addresses are the lease"
		}
		worst = max(worst, j.Effect)
		if len(r.Changes) == report.MaxChanges {
			r.More++
			continue
		}
		r.Changes = append(r.Changes, a.shown(j))
	}
	switch worst {
	case config.Restart:
		return refuse("it holds changes that the running agent cannot make",
			"restart the agent, the standby's first: `systemctl restart twinbeat`, or as your init does; it gives nothing up, and the next one adopts what it held")
	case config.Both:
		return refuse("it holds changes under which the nodes must not run side by side",
			"stop both agents, change the file on both nodes, start both")
	}
	if err := a.prepare(p); err != nil {
		return refuse(strings.ReplaceAll(err.Error(), "\n", "; "), control.Hint(err))
	}
	return p
}

// parse reads the file as run and check do; it says whether it may be used.
func (a *agent) parse(ctx context.Context, p *plan) bool {
	node, err := a.nodeName()
	if err != nil {
		p.report.Problems = append(p.report.Problems, report.Problem{File: a.opts.ConfigPath, Text: err.Error()})
		return false
	}
	cfg, problems := config.Parse(a.opts.ConfigPath, p.text, node)
	p.cfg = cfg
	if !config.Refused(problems) {
		found := append(ExamineBuild(cfg), ExamineServices(ctx, cfg)...)
		if !config.Refused(found) {
			found = append(found, a.openTargets(p)...)
		}
		for _, s := range found {
			s.File = a.opts.ConfigPath
			problems = append(problems, s)
		}
		if _, err := LoadKeys(cfg.KeyFile); err != nil {
			problems = append(problems, config.Problem{File: cfg.KeyFile, Key: "key_file", Text: err.Error(), Hint: "twinbeat keygen makes one; both nodes need the same"})
		}
	}
	for _, q := range problems {
		p.report.Problems = append(p.report.Problems, report.Problem(q))
	}
	return !config.Refused(problems)
}

// shown is a change without its secrets.
func (a *agent) shown(j config.Judged) report.Change {
	clean := func(v string) string {
		switch {
		case v == "":
			return ""
		case a.opts.Redact == nil:
			return "(left-out)"
		}
		return a.opts.Redact(j.Rule[strings.LastIndexByte(j.Rule, '.')+1:], v)
	}
	return report.Change{Key: j.Key, Old: clean(j.Old), New: clean(j.New), Effect: j.Effect.String(), Why: j.Why}
}

// prepare makes what the changes need, and touches nothing.
func (a *agent) prepare(p *plan) error {
	if err := a.newMonitorsOf(p); err != nil {
		return err
	}
	p.services = make([]*service.Group, len(p.cfg.Groups))
	for i, g := range p.cfg.Groups {
		if config.SameServices(a.running.cfg.Groups[i].Services, g.Services) {
			continue
		}
		var err error
		if p.services[i], err = a.hands.serviceGroup(g, a.hands.checkAfter(i, g)); err != nil {
			return err
		}
	}
	if config.SameFence(a.running.cfg.Fence, p.cfg.Fence) {
		return nil
	}
	device, err := fencer(p.cfg)
	p.fence = &device
	return err
}

// change does what the plan says. What fails is put back.
func (a *agent) change(ctx context.Context, p *plan, by string) error {
	was := a.running.cfg
	if err := a.hands.askAbroad(ctx, was, p.cfg); err != nil {
		return err
	}
	if err := a.refence(ctx, p.cfg, p.fence); err != nil {
		return err
	}
	if err := a.regroup(ctx, p, was); err != nil {
		if p.fence != nil {
			old, again := fencer(was)
			if again == nil {
				again = a.refence(ctx, was, &old)
			}
			if again != nil {
				err = errors.Join(err, fmt.Errorf("fence: %w: %w", errNotBack, again))
			}
		}
		return err
	}
	told := loop.Reloaded{Digest: p.cfg.Digest, Talk: a.talk(p.text), Grace: endsWithin(p.cfg), Event: report.Event{
		Kind: "agent", Seen: by + ": reload", Decided: fmt.Sprintf("%d changes", len(p.report.Changes)+p.report.More),
		Done: "the agent runs with " + p.report.File + ", digest " + p.report.Digest,
	}}
	for _, g := range p.cfg.Groups {
		addresses, services := contents(g)
		told.Groups = append(told.Groups, loop.Regroup{Addresses: addresses, Services: services, Slow: deadlines(g)})
	}
	if err := a.await(func(done chan<- error) loop.Fact { told.Done = done; return told }); err != nil {
		return fmt.Errorf("%w: %w", errNotBack, err) // it is done, but the peer is told of the old file
	}
	a.reparts(p)
	return nil
}

// await tells the loop a fact and waits for what becomes of it.
func (a *agent) await(fact func(done chan<- error) loop.Fact) error {
	done := make(chan error, 1)
	if !a.insist(fact(done)) {
		return errors.New("reload: the loop takes no facts")
	}
	select {
	case err := <-done:
		return err
	case <-a.loop.Ended():
		return errors.New("reload: the agent has been stopped")
	}
}

// A fence that is being asked is waited for so long; one at work is not.
const (
	refenceTries = 30
	refencePause = 200 * time.Millisecond
)

// refence puts another fence device in place; nil leaves the one there is.
func (a *agent) refence(ctx context.Context, c config.Config, device *fence.Device) (err error) {
	if device == nil {
		return nil
	}
	terms := fenceTerms(c, nameOf(*device))
	for range refenceTries {
		err = a.await(func(done chan<- error) loop.Fact {
			return loop.Refence{Fence: terms, Swap: func() { a.hands.power.Store(device) }, Done: done}
		})
		if !errors.Is(err, loop.ErrFencing) {
			return err
		}
		pause(ctx, refencePause)
	}
	return err
}

func fenceTerms(c config.Config, name string) loop.FenceTerms {
	var o loop.Options
	fenceOptions(c, &o, name)
	return loop.FenceTerms{Name: o.FenceName, Wiring: o.FenceWiring, Budget: o.FenceBudget, NeedVerified: o.NeedVerified, Repower: o.Repower}
}
