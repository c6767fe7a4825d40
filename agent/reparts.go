//go:build !lite

package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/monitor"
	"github.com/twinbeat/twinbeat/agent/notify"
	"github.com/twinbeat/twinbeat/agent/notify/alert"
)

// reparts puts monitors, sensors and targets of alerts as the plan has them. It
// cannot fail: whatever could was made for the plan. What did not change is not
// touched.
func (a *agent) reparts(p *plan) {
	a.remonitor(p.watched)
	a.resense(a.running.cfg.Sensors, p.cfg.Sensors)
	a.retarget(p)
}

// newMonitorsOf makes the monitors that came or changed; none looks yet.
func (a *agent) newMonitorsOf(p *plan) error {
	was := a.allWatched()
	for _, c := range p.cfg.Monitors {
		i := slices.IndexFunc(was, func(w *watched) bool { return config.SameMonitor(w.conf, c) })
		if i >= 0 {
			p.watched = append(p.watched, was[i])
			continue
		}
		w, err := a.newWatched(c)
		if err != nil {
			return err
		}
		p.watched = append(p.watched, w)
	}
	return nil
}

// remonitor puts other monitors in place. One that went takes its vote back, one
// that came says nothing before it knows, and what was said of one that changed
// stands until the new one knows.
func (a *agent) remonitor(is []*watched) {
	was := a.allWatched()
	for _, w := range was {
		if slices.Contains(is, w) {
			continue
		}
		said := w.leave()
		if heir := named(is, w.conf.Name); heir != nil && said.State != monitor.Starting {
			heir.said = said
			heir.Inherit(said)
		} else if heir == nil {
			a.withdraw(w)
		}
	}
	a.parts.Lock()
	a.watched = is
	a.parts.Unlock()
	begun := time.Duration(0)
	for _, w := range is {
		if slices.Contains(was, w) {
			continue
		}
		old, after := named(was, w.conf.Name), begun*stagger
		begun++
		a.watchOne(a.inner, w, func(ctx context.Context) {
			if old != nil {
				<-old.ended // soon: it was stopped
				w.Follow(old.Monitor)
			}
			pause(ctx, after)
		})
	}
}

// named finds a monitor by its name; nil: there is none.
func named(all []*watched, name string) *watched {
	for _, w := range all {
		if w.conf.Name == name {
			return w
		}
	}
	return nil
}

// leave ends a monitor and returns what was said of it. A look that is under way
// says nothing any more.
func (w *watched) leave() monitor.View {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	return w.said
}

// withdraw takes back the vote of a monitor and ends its alarms.
func (a *agent) withdraw(w *watched) {
	a.insistVote(monitor.Change{Config: w.Config()}.Vote())
	name := "monitor/" + w.conf.Name
	a.hands.insist(loop.AlarmChanged{Name: name})
	a.hands.insist(loop.AlarmChanged{Name: name + "/unknown"})
}

// insistVote is insist for a vote: one that nobody would cast again.
func (a *agent) insistVote(v health.Vote) {
	a.insistOn("vote of "+v.Source, func() bool { return a.hands.vote(v) })
}

// resense has the sensors read as the new configuration wants it.
func (a *agent) resense(was, is *config.Sensors) {
	if config.SameSensors(was, is) {
		return
	}
	if s, ok := a.sensing().(*sensing); ok {
		select {
		case <-s.next: // an older one that was not taken up
		default:
		}
		s.next <- is
		return
	}
	s := newSensing(a, *is).(*sensing)
	s.fresh = true // what was counted while nobody looked is no burst
	a.parts.Lock()
	a.senses = s
	a.parts.Unlock()
	a.group.Go(func() { s.run(a.inner) })
}

// openTargets reads the secrets of all targets of alerts. A target that came or
// changed, and cannot be used, is refused: whoever changes it is there to mend it.
// One that stays goes on as it did; it is another one if its secrets are.
func (a *agent) openTargets(p *plan) (problems []config.Problem) {
	for i := range p.cfg.Notify {
		n := &p.cfg.Notify[i]
		t := openTarget(n, a.teller(p.cfg))
		old := a.targetLike(n)
		if t.err != nil {
			problems = append(problems, unusable(p, i, t, old))
		}
		if old != nil && (t.err != nil || old.err == nil && old.secrets == t.secrets) {
			t = old
		}
		p.targets = append(p.targets, t)
	}
	return problems
}

// targetLike finds the target at work that is configured in the same way.
func (a *agent) targetLike(n *config.Notify) *target {
	for _, t := range a.alerts.targets {
		if config.SameNotify(t.conf, *n) {
			return t
		}
	}
	return nil
}

// unusable says what keeps a target from being used; old is at work, nil: none is.
func unusable(p *plan, i int, t, old *target) config.Problem {
	key := fmt.Sprintf("notify[%d].%s", i, t.key)
	out := config.Problem{Line: config.LineOf(p.text, key), Key: key, Text: t.err.Error()}
	switch {
	case old != nil && old.err == nil:
		out.Warning, out.Hint = true, "the target goes on with what was read before; a restart would not find it"
	case old != nil:
		out.Warning, out.Hint = true, "until then it is told of nothing, and status says so"
	case t.key == "type":
		out.Hint = "leave the target out, or change it; nothing was changed"
	default:
		out.Hint = "a file that root alone can read, of mode 0600, or leave the target out; nothing was changed"
	}
	return out
}

// retarget puts other targets of alerts in place. What was owed to one that went
// is in the answer. An office that is opened now owes nobody what happened before.
func (a *agent) retarget(p *plan) {
	p.noteSecrets(a.alerts.targets)
	was := a.alerts // only a reload changes it
	is := alerts{was.office, p.targets}
	if was.office == nil && len(p.targets) > 0 {
		is.office = a.newAlerts(p.cfg, nil).office
		is.run(a.inner, &a.group)
	}
	a.parts.Lock()
	a.alerts = is
	a.parts.Unlock()
	for _, t := range was.targets {
		if t.err != nil && !slices.Contains(p.targets, t) {
			a.hands.insist(loop.AlarmChanged{Name: alarmOf(t.Name)})
		}
	}
	if is.office == nil {
		return
	}
	var targets []notify.Target
	for _, t := range p.targets {
		targets = append(targets, t.Target)
	}
	dropped := is.office.Change(targets, func(name string) bool {
		return slices.ContainsFunc(p.targets, func(t *target) bool { return t.Name == name && slices.Contains(was.targets, t) })
	})
	for _, b := range dropped {
		p.noteDropped(b, "was dropped")
	}
}

// noteSecrets tells of targets that are others though their configuration is not.
func (p *plan) noteSecrets(was []*target) {
	for _, t := range p.targets {
		same := func(o *target) bool { return o != t && config.SameNotify(o.conf, t.conf) }
		if slices.ContainsFunc(was, same) {
			p.note("target " + t.Name + ": its secrets are others than before, or can be read again; they are taken up")
		}
	}
}

// noteDropped tells what a target that went was owed.
func (p *plan) noteDropped(b alert.Backlog, what string) {
	if n := uint64(len(b.Waiting)) + b.Dropped; n > 0 {
		p.note(fmt.Sprintf("target %s goes: %d alerts that it was not told yet; what waited for it %s", b.Name, n, what))
	}
}

// foretell notes what the plan would drop.
func (a *agent) foretell(p *plan) {
	if p.report.Refused != "" || a.alerts.office == nil {
		return
	}
	p.noteSecrets(a.alerts.targets)
	for _, b := range a.alerts.office.Owed() {
		if !slices.ContainsFunc(p.targets, func(t *target) bool { return t.Name == b.Name }) {
			p.noteDropped(b, "would be dropped")
		}
	}
}
