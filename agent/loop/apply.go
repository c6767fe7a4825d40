package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// step feeds one input to a group's machine and does what it asks.
func (l *Loop) step(now pair.Instant, g *group, in pair.Input) {
	l.clock = max(l.clock, now) // time never goes back for a machine
	actions := g.m.Step(l.clock, in)
	if len(actions) == 0 && g.m.View().State == g.last {
		return
	}
	// An action may feed the machine again, which reuses the slice.
	todo := append([]pair.Action(nil), actions...)
	for _, a := range todo {
		l.do(now, g, a)
	}
	if s := g.m.View().State; s != g.last {
		if g.last.Owns() && !s.Owns() {
			l.forget(g)
		}
		if g.last.Owns() && (s == pair.Releasing || !s.Owns()) {
			l.health.judge.Moved(time.Duration(now))
		}
		g.last, g.since = s, now
	}
}

// forget clears what only an owner can suffer from.
func (l *Loop) forget(g *group) {
	for _, name := range []string{"/gate", "/address", "/lifetime"} {
		l.alarm(g.Name+name, false, "")
	}
	l.forgetServices(g)
}

func (l *Loop) forgetServices(g *group) {
	for _, s := range g.Services {
		l.alarm(g.Name+"/service-"+s, false, "")
	}
}

// freeing says whether a frame of the kind tells the peer that it may take the
// group at once.
func freeing(k pair.Kind) bool {
	return k == pair.Released || k == pair.Grant || k == pair.Goodbye
}

// do carries out one action. Closing a gate happens here and now; whatever may
// wait goes to a lane.
func (l *Loop) do(now pair.Instant, g *group, a pair.Action) {
	switch a := a.(type) {
	case pair.Send:
		if freeing(a.Kind) && g.litUntil != 0 && l.o.Now() < g.litUntil {
			return // the machine repeats it; until the lease has run out it is not true
		}
		l.send(now, kindToWire(a.Kind), uint8(g.index))
	case pair.CloseGate:
		l.close(g)
	case pair.OpenGate:
		g.wantOpen = a.Ticket
	case pair.TakeAddresses, pair.DropAddresses, pair.StartServices, pair.StopServices, pair.Probe:
		l.slow(g, a)
	case pair.Announce:
		l.o.Hands.Announce(g.index, a.Why)
	case pair.FencePeer:
		l.fencePeer(now, g, a)
	case pair.CancelFence:
		l.cancelFence(g, a.Ticket)
	case pair.Persist:
		l.keep(g, a)
	case pair.Record:
		l.record(now, g, a)
	case pair.Alarm:
		if a.Name == mismatch {
			a.Text += l.namedKeys()
		}
		l.alarm(g.Name+"/"+a.Name, a.On, a.Text)
	case pair.Answer:
		l.answer(now, g, a)
	default:
		panic(fmt.Sprintf("loop: unknown action %T", a))
	}
}

// mismatch is the machines' alarm about a peer that must not be followed.
const mismatch = "config-mismatch"

// close ends the kernel lease of a group at once.
func (l *Loop) close(g *group) {
	g.wantOpen, g.opened = 0, false
	l.o.Hands.SetOwner(g.index, false)
	err := l.o.Gate.Close(uint8(g.index))
	if err == nil {
		g.litUntil = 0
		l.alarm(g.Name+"/gate-close", false, "")
		return
	}
	l.counters.GateErrors++
	if g.litUntil == 0 { // no renewal follows
		g.litUntil = l.o.Now().Add(l.o.Lease)
	}
	l.alarm(g.Name+"/gate-close", true, fmt.Sprintf("close gate: %v; its lease runs out by itself", err))
}

// open grants the kernel lease that a machine asked for and tells it whether
// the kernel really holds it.
func (l *Loop) open(now pair.Instant, g *group, late bool) {
	ticket := g.wantOpen
	g.wantOpen = 0
	if !g.m.Asks(ticket) {
		return // the machine thought better of it
	}
	err := errLate
	if !late {
		err = l.o.Gate.Grant(uint8(g.index))
	}
	held := err == nil
	if !held {
		l.counters.GateErrors++
	}
	l.alarm(g.Name+"/gate", !held, fmt.Sprintf("the lease was not granted: %v", err))
	if held {
		g.opened, g.had, g.renewed, g.litUntil = true, true, now, 0
		l.own(g)
	}
	l.step(now, g, pair.GateOpened{Ticket: ticket, OK: held})
}

// own is what the hands do at once for a group that is held from now on. An address
// that lapsed while its gate was closed is missed by nobody before.
func (l *Loop) own(g *group) {
	l.o.Hands.SetOwner(g.index, true)
	l.renewAddresses(g)
}

// errLate says that this process stood still between a decision and its deed.
var errLate = errors.New("the turn took too long")

// slow hands an action to a lane. A group has two: one for what changes the
// node, in order, and one for questions.
func (l *Loop) slow(g *group, a pair.Action) {
	hands, i := l.o.Hands, g.index
	work := groupLane(i)
	switch a := a.(type) {
	case pair.TakeAddresses:
		l.work(g, work, g.Slow.Take, hands.TakeAddresses, func(err string) pair.Input {
			return pair.AddressesUp{Ticket: a.Ticket, Err: err}
		})
	case pair.DropAddresses:
		l.work(g, work, g.Slow.Drop, hands.DropAddresses, func(err string) pair.Input {
			return pair.AddressesDown{Ticket: a.Ticket, Err: err}
		})
	case pair.StartServices:
		l.work(g, work, g.Slow.Start, hands.StartServices, func(err string) pair.Input {
			return pair.ServicesUp{Ticket: a.Ticket, Err: err}
		})
	case pair.StopServices:
		l.work(g, work, g.Slow.Stop, hands.StopServices, func(err string) pair.Input {
			return pair.ServicesDown{Ticket: a.Ticket, Err: err}
		})
	case pair.Probe:
		l.lane(fmt.Sprintf("probe %d", i), probeDeadline, func(ctx context.Context) Fact {
			sent, foreign, who := hands.Probe(ctx, i, a.Lasts)
			return groupFact{i, pair.ProbeDone{Ticket: a.Ticket, Sent: sent, Foreign: foreign, Who: who}}
		}, func(error) Fact { return groupFact{i, pair.ProbeDone{Ticket: a.Ticket}} })
	}
}

// groupLane names the lane of what changes the node for a group.
func groupLane(i int) string { return fmt.Sprintf("group %d", i) }

// work runs what changes the node in the group's lane; end makes the input
// that tells the machine how it ended.
func (l *Loop) work(g *group, lane string, deadline time.Duration, do func(context.Context, int) error, end func(string) pair.Input) {
	i := g.index
	l.lane(lane, deadline,
		func(ctx context.Context) Fact { return groupFact{i, end(text(do(ctx, i)))} },
		func(err error) Fact { return groupFact{i, end(text(err))} })
}

// probeDeadline bounds a VIP probe; the probe's own plan is far shorter.
const probeDeadline = 2 * time.Second

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// record writes one line of the event journal.
func (l *Loop) record(now pair.Instant, g *group, r pair.Record) {
	e := report.Event{
		Kind: "role", Group: g.Name, Seen: r.Seen, Decided: r.Decided, Done: r.Doing,
		From: r.From.String(), To: r.To.String(), Term: r.Term,
	}
	if r.From == r.To {
		e.From, e.To = "", r.To.String()
	}
	if r.Evidence != 0 {
		e.Evidence = r.Evidence.String()
	}
	e = l.event(now, e)
	if r.Evidence != 0 {
		g.taken = &e
	}
}

// event numbers an event, keeps it and hands it to the journal.
func (l *Loop) event(now pair.Instant, e report.Event) report.Event {
	e.At, e.Boot = l.o.Wall(), l.o.Boot
	e.MonoMS = float64(now.Since(l.began)) / float64(time.Millisecond)
	e = l.o.Board.Add(e)
	l.o.Memory.Append(e)
	l.o.Log.Info(e.Kind, "group", e.Group, "to", e.To, "seen", e.Seen, "decided", e.Decided, "done", e.Done, "evidence", e.Evidence)
	return e
}

// alarm raises or clears a named condition; only changes make an event.
func (l *Loop) alarm(name string, on bool, why string) {
	old, was := l.alarms[name]
	switch {
	case on && !was:
		l.alarms[name] = report.Alarm{Name: name, Text: why, Since: l.o.Wall()}
		l.event(l.o.Now(), report.Event{Kind: "alarm", Seen: why, Decided: "raise " + name})
	case on:
		old.Text = why
		l.alarms[name] = old
	case was:
		delete(l.alarms, name)
		l.event(l.o.Now(), report.Event{Kind: "alarm", Seen: "condition over: " + old.Text, Decided: "clear " + name})
	}
}

// watchLinks names each path's state and alarms when one is not whole while
// the peer is alive by another.
func (l *Loop) watchLinks(now pair.Instant) {
	alive := l.alive(now)
	switch {
	case !alive:
		l.aliveFrom = 0
	case l.aliveFrom == 0:
		l.aliveFrom = now
		l.met(now)
	}
	for _, p := range l.paths {
		l.attend(now, p)
		if s := p.Path.Lines(); s != p.lines {
			p.lines = s
			l.watchWitness(now, s)
			for _, g := range l.groups {
				l.step(now, g, pair.Lines{State: s})
			}
		}
		open, why := p.Path.Open()
		hears := alive && l.peer.m.HearsLinks&(1<<p.id) != 0
		s := p.settled(now, p.judge(now, open, hears))
		changed := s != p.state
		if changed && (p.state != "" || s == linkUp) {
			l.event(now, report.Event{Kind: "link", Seen: l.linkSeen(now, p, open, why), From: p.state, To: s, Done: p.Name})
		}
		if changed {
			p.state, p.stateAt = s, now
		}
		if bad := l.bad(now, p); bad != p.bad || bad && (changed || why != p.why) {
			p.bad, p.why = bad, why
			l.alarm("link/"+p.Name, bad, l.linkSeen(now, p, open, why))
		}
	}
	l.seeLines(now)
}

// bad says whether a path's state is worth an alarm: it is not whole, for longer
// than its patience, though the peer lives. While the peer is silent on every
// link nothing new is known of this one, but that it is closed.
func (l *Loop) bad(now pair.Instant, p *path) bool {
	switch {
	case p.state == linkUp:
		return false
	case p.state == linkClosed:
		return p.bad || now.Since(p.stateAt) > p.Dead
	case l.aliveFrom == 0:
		return p.bad
	}
	return p.bad || now.Since(max(p.stateAt, l.aliveFrom)) > p.Dead
}

func (l *Loop) linkSeen(now pair.Instant, p *path, open bool, why string) string {
	switch {
	case !open:
		return p.Name + " is closed: " + why
	case p.heardAt == 0:
		return p.Name + " has not carried a frame of this session yet"
	}
	return fmt.Sprintf("%s: last frame %d ms ago, patience %d ms", p.Name,
		now.Since(p.heardAt).Milliseconds(), p.Dead.Milliseconds())
}

// alive says whether any path carried a frame of the peer within its patience.
func (l *Loop) alive(now pair.Instant) bool {
	for _, p := range l.paths {
		if p.fresh(now) && p.session == l.peer.session && l.peer.known {
			return true
		}
	}
	return false
}

// stopFact starts an orderly end.
type stopFact struct{}

func (stopFact) apply(l *Loop, now pair.Instant) {
	l.stopping = true
	l.event(now, report.Event{Kind: "agent", Decided: "stop", Done: "releasing every group"})
	for _, g := range l.groups {
		l.step(now, g, pair.Stop{})
	}
}

func (l *Loop) finish() {
	now := l.o.Now()
	for range goodbyes {
		l.send(now, wire.Beat, wire.AllGroups)
	}
	for _, m := range l.moves {
		m.reply <- result{err: errors.New("wait for handover: the agent has been stopped")}
	}
	l.saved.Clean = true
	if err := l.o.Memory.Save(l.saved); err != nil {
		l.o.Log.Error("save journal", "err", err)
	}
	l.event(now, report.Event{Kind: "agent", Done: "stopped; every group released"})
}

// goodbyes is how often the last state is told: a lost frame would cost the
// peer its wait for silence.
const goodbyes = 3
