package loop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// Orders that an operator may give.
const (
	OrderHandover       = "handover"
	OrderTake           = "take"
	OrderMaintenanceOn  = "maintenance-on"
	OrderMaintenanceOff = "maintenance-off"
	OrderResume         = "resume"
	OrderConfirmDead    = "confirm-dead"
	OrderFenceVerify    = "fence-verify"
	OrderWatchdogDisarm = "watchdog-disarm"
	OrderNote           = "note"
)

// moveTime bounds how long an operator waits for a handover to be done.
const moveTime = 60 * time.Second

// maxMoves bounds the operators that wait for a handover; another is refused.
const maxMoves = 16

// An Order is what an operator wants, and who it was.
type Order struct {
	Command string
	Group   string // empty: every group that it concerns
	Reason  string
	For     time.Duration // maintenance: 0 means until further notice
	Force   bool
	By      string
}

// errEnded answers orders and questions after the end.
var errEnded = errors.New("ask agent: it has been stopped")

// A result answers an order.
type result struct {
	text string
	err  error
}

// order is an Order on its way through the loop.
type order struct {
	Order
	reply chan result // of one place; nobody waits on it in the loop
	view  chan report.Snapshot
}

// move is a handover that an operator waits for.
type move struct {
	group int
	owner bool // true: this node shall own it
	began pair.Instant
	reply chan result
}

// Do carries out an order and waits for its end.
func (l *Loop) Do(ctx context.Context, o Order) (string, error) {
	reply := make(chan result, 1)
	select {
	case l.orders <- order{Order: o, reply: reply}:
	case <-l.ended:
		return "", errEnded
	case <-ctx.Done():
		return "", errors.New("give order: the agent does not answer")
	}
	select {
	case r := <-reply:
		return r.text, r.err
	case <-l.ended:
		select { // it may have been the last thing done
		case r := <-reply:
			return r.text, r.err
		default:
			return "", errEnded
		}
	case <-ctx.Done():
		return "", errors.New("wait for order: not done in time; see `twinbeat status`")
	}
}

// Ended is closed when the loop turns no more.
func (l *Loop) Ended() <-chan struct{} { return l.ended }

// Snapshot asks the loop what the outside may see.
func (l *Loop) Snapshot(ctx context.Context) (report.Snapshot, error) {
	view := make(chan report.Snapshot, 1)
	select {
	case l.orders <- order{view: view}:
	case <-l.ended:
		return report.Snapshot{}, errEnded
	case <-ctx.Done():
		return report.Snapshot{}, errors.New("read status: the agent's loop does not answer")
	}
	select {
	case s := <-view:
		return s, nil
	case <-l.ended:
		return report.Snapshot{}, errEnded
	case <-ctx.Done():
		return report.Snapshot{}, errors.New("read status: the agent's loop does not answer")
	}
}

func (o order) apply(l *Loop, now pair.Instant) {
	switch {
	case o.view != nil:
		o.view <- l.snapshot(now)
	case o.Command == "":
		o.reply <- result{err: errors.New("give order: no command")}
	default:
		l.obey(now, o)
	}
}

// obey gives an order to the machines it concerns.
func (l *Loop) obey(now pair.Instant, o order) {
	switch o.Command {
	case OrderHandover:
		l.moveGroup(now, o, pair.OpHandover, false)
	case OrderTake:
		l.moveGroup(now, o, pair.OpTake, true)
	case OrderMaintenanceOn:
		text, err := l.beginMaintenance(now, o.Order)
		o.reply <- result{text, err}
	case OrderMaintenanceOff:
		if l.saved.Maintenance == nil {
			o.reply <- result{err: fmt.Errorf("end maintenance: %s is not in maintenance", l.o.Self.Name)}
			return
		}
		l.endMaintenance(now, "ended by "+o.By, func(*group) bool { return true })
		o.reply <- result{text: l.o.Self.Name + " is back in service"}
	case OrderResume:
		l.forgive(now)
		o.reply <- l.tell(now, o, pair.OpResume)
	case OrderConfirmDead:
		o.reply <- l.confirmDead(now, o)
	case OrderFenceVerify:
		l.verifyFence(now, o)
	case OrderWatchdogDisarm:
		o.reply <- l.disarm(now, o.Order)
	case OrderNote:
		l.operator(now, o.Order)
		o.reply <- result{text: "noted"}
	default:
		o.reply <- result{err: fmt.Errorf("give order: unknown command %q", o.Command)}
	}
}

// ask gives one machine a command and returns its answer.
func (l *Loop) ask(now pair.Instant, g *group, c pair.Command) (string, error) {
	l.answered = nil
	l.step(now, g, c)
	switch {
	case l.answered == nil:
		return "", fmt.Errorf("%s: the machine did not answer", g.Name)
	case !l.answered.OK:
		return "", fmt.Errorf("%s: %s", g.Name, l.answered.Text)
	}
	return g.Name + ": " + l.answered.Text, nil
}

func (l *Loop) answer(_ pair.Instant, _ *group, a pair.Answer) { l.answered = &a }

// chosen returns the groups an order concerns.
func (l *Loop) chosen(name string) ([]*group, error) {
	if name == "" {
		return l.groups, nil
	}
	var names []string
	for _, g := range l.groups {
		if g.Name == name {
			return []*group{g}, nil
		}
		names = append(names, g.Name)
	}
	return nil, fmt.Errorf("find group %q: no such group; there is %s", name, strings.Join(names, ", "))
}

// tell gives an order to every chosen machine and sums up the answers.
func (l *Loop) tell(now pair.Instant, o order, op pair.Op) result {
	groups, err := l.chosen(o.Group)
	if err != nil {
		return result{err: err}
	}
	l.operator(now, o.Order)
	var done []string
	var errs []error
	for _, g := range groups {
		text, err := l.ask(now, g, pair.Command{Op: op, Reason: reason(o.Order), Force: o.Force})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, text)
	}
	return result{strings.Join(done, "\n"), errors.Join(errs...)}
}

// confirmDead takes an operator's word that the peer is off, and keeps it.
func (l *Loop) confirmDead(now pair.Instant, o order) result {
	r := l.tell(now, o, pair.OpConfirmDead)
	l.history(report.Fence{
		By: o.By, Why: o.Reason, Action: OrderConfirmDead, Proven: r.err == nil,
		Evidence: pair.EvidenceOperator.String() + ": " + strings.Join(strings.Fields(r.text+" "+text(r.err)), " "),
	})
	return r
}

// moveGroup starts a handover and answers when the group has arrived.
func (l *Loop) moveGroup(now pair.Instant, o order, op pair.Op, owner bool) {
	groups, err := l.chosen(o.Group)
	if err == nil && len(groups) > 1 {
		err = fmt.Errorf("%s: say which group; there are %d", o.Command, len(groups))
	}
	if err != nil {
		o.reply <- result{err: err}
		return
	}
	if len(l.moves) >= maxMoves {
		o.reply <- result{err: fmt.Errorf("%s: %d operators wait for a handover already", o.Command, len(l.moves))}
		return
	}
	l.operator(now, o.Order)
	if _, err := l.ask(now, groups[0], pair.Command{Op: op, Reason: reason(o.Order), Force: o.Force}); err != nil {
		o.reply <- result{err: err}
		return
	}
	l.moves = append(l.moves, move{groups[0].index, owner, now, o.reply})
}

// finishMoves answers the operators whose handover is over.
func (l *Loop) finishMoves(now pair.Instant) {
	kept := l.moves[:0]
	for _, m := range l.moves {
		g := l.groups[m.group]
		v := g.m.View()
		took := now.Since(m.began)
		switch {
		case m.owner && g.opened, !m.owner && !g.opened && owns(v.PeerState):
			m.reply <- result{text: fmt.Sprintf("%s: %s owns it after %.1f ms", g.Name, l.ownerName(g), float64(took)/1e6)}
		case !m.owner && g.opened && v.State != pair.Releasing && took > time.Second:
			m.reply <- result{err: fmt.Errorf("%s: the group stayed here; see `twinbeat events`", g.Name)}
		case took > moveTime:
			m.reply <- result{err: fmt.Errorf("%s: not done after %s; see `twinbeat events`", g.Name, moveTime)}
		default:
			kept = append(kept, m)
		}
	}
	l.moves = kept
}

func owns(s pair.State) bool { return s == pair.Active || s == pair.Solo }

func (l *Loop) ownerName(g *group) string {
	v := g.m.View()
	switch {
	case g.opened:
		return l.o.Self.Name
	case owns(v.PeerState) && l.alive(l.o.Now()):
		return l.o.Peer.Name
	}
	return ""
}

func reason(o Order) string {
	if o.Reason == "" {
		return "operator " + o.By
	}
	return "operator " + o.By + ": " + o.Reason
}

func (l *Loop) operator(now pair.Instant, o Order) {
	l.event(now, report.Event{Kind: "operator", Group: o.Group, Seen: reason(o), Decided: o.Command})
}

// beginMaintenance takes this node out of service for every group, or for none.
func (l *Loop) beginMaintenance(now pair.Instant, o Order) (string, error) {
	if o.Reason == "" {
		return "", errors.New("begin maintenance: say why with --reason, the next person will ask")
	}
	l.operator(now, o)
	for i, g := range l.groups {
		_, err := l.ask(now, g, pair.Command{Op: pair.OpMaintenance, Reason: reason(o), Force: o.Force})
		if err == nil {
			continue
		}
		for _, done := range l.groups[:i] {
			l.step(now, done, pair.Command{Op: pair.OpResume, Reason: "maintenance refused for " + g.Name})
		}
		return "", err
	}
	l.saved.Maintenance = &report.Maintenance{
		Reason: o.Reason, By: o.By, Since: l.o.Wall(),
		LeftSec: int64((o.For + time.Second - 1) / time.Second),
	}
	l.save()
	text := l.o.Self.Name + " is in maintenance until `twinbeat maintenance off`"
	if o.For > 0 {
		text = fmt.Sprintf("%s is in maintenance for %s", l.o.Self.Name, o.For)
	}
	return text, nil
}

func (l *Loop) endMaintenance(now pair.Instant, why string, fit func(*group) bool) {
	l.saved.Maintenance = nil
	l.event(now, report.Event{Kind: "operator", Seen: why, Decided: "end maintenance"})
	for _, g := range l.groups {
		if fit(g) {
			l.step(now, g, pair.Command{Op: pair.OpResume, Reason: why})
		}
	}
	l.save()
}
