// Package drill decides whether a handover may be tried on purpose, what has
// become of it at each look, and how long nobody served; it refuses to begin
// with a pair that is not well, and to call a drill well that the pair did not
// come out of well. It has no clock and gives no orders: whoever drills looks,
// and does what the verdict says.
//
// Start reading at [Begin], then [Judge.Look] and [Dark].
package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// Grace is how long the pair may look degraded after a move before that counts:
// a new owner's first beats, services that start.
const Grace = 3 * time.Second

// A Plan is one move of a group.
type Plan struct {
	Group    string
	Self     string // the node that drills
	From, To string
	Limit    time.Duration // longest outage that is well
	Stay     time.Duration // how long the new owner is watched
	Home     bool          // the way back: it is gone whatever it costs
}

// Begin returns the move away from the present owner, or every reason why the
// group must not be moved now.
func Begin(s report.Snapshot, group string) (Plan, []string) {
	reasons := report.Reasons(s)
	p := Plan{Group: group, Self: s.Self.Name}
	g := s.Group(group)
	if g == nil {
		return p, append(reasons, fmt.Sprintf("group %s: unknown", group))
	}
	switch g.Owner {
	case s.Self.Name:
		p.From, p.To = s.Self.Name, s.Peer.Name
		if g.PeerState != "ARMED" {
			reasons = append(reasons, fmt.Sprintf("group %s: %s is not ready to take it (%s)", group, p.To, g.PeerState))
		}
	case s.Peer.Name:
		p.From, p.To = s.Peer.Name, s.Self.Name
		if !g.CanTakeOver {
			reasons = append(reasons, fmt.Sprintf("group %s: this node could not take it: %s", group, g.WhyNot))
		}
	}
	from, to := node(s, p.From).Health, node(s, p.To).Health
	if from != nil && to != nil && (to.Score < from.Score || to.Critical) {
		reasons = append(reasons, fmt.Sprintf("%s is less well than %s: %s", p.To, p.From, report.HealthText(*to)))
	}
	return p, reasons
}

// node is what is known of the node of a name.
func node(s report.Snapshot, name string) report.NodeView {
	if name == s.Self.Name {
		return s.Self
	}
	return s.Peer
}

// Back is the move that undoes p.
func (p Plan) Back() Plan {
	p.From, p.To, p.Home = p.To, p.From, true
	return p
}

// Gives says whether the node that drills gives the group away, or takes it.
func (p Plan) Gives() bool { return p.From == p.Self }

// A Look is what is seen at one moment of a move.
type Look struct {
	Since    time.Duration    // since the order
	Snapshot *report.Snapshot // nil: the agent does not answer
	Refused  string           // why the agent did not carry the order out; empty: it did, or is at it
	Dark     time.Duration    // for how long nobody has served, or did before somebody did; 0: not known
	PortDown time.Duration    // for how long the service has not answered; 0: it answers, or is not asked
}

// A Verdict is what to do.
type Verdict int

// Verdicts.
const (
	GoOn    Verdict = iota // look again
	Well                   // the new owner was there for its whole stay
	Trouble                // give the group back
)

// A Judge follows one move. Use it as Judge{Plan: p}.
type Judge struct {
	Plan
	arrived bool
	since   time.Duration // of arrival
	ill     time.Duration // since when the pair looks degraded; 0: it does not
}

// Arrived says whether the new owner was seen.
func (j *Judge) Arrived() bool { return j.arrived }

// Look judges one moment. The reason comes with Trouble.
func (j *Judge) Look(l Look) (Verdict, string) {
	switch {
	case l.Refused != "" && !j.arrived:
		return Trouble, l.Refused
	case l.Dark > j.Limit && (j.arrived || !j.Home):
		return Trouble, fmt.Sprintf("nobody served for %s; at most %s is well", span(l.Dark), span(j.Limit))
	case l.PortDown > j.Limit+Grace:
		return Trouble, fmt.Sprintf("the service did not answer for %s", span(l.PortDown))
	case l.Snapshot == nil:
		return j.sick(l, "the agent of this node does not answer")
	}
	g := l.Snapshot.Group(j.Group)
	if g == nil {
		return Trouble, "the agent of this node no longer serves the group"
	}
	if !j.arrived {
		if j.arrived = g.Owner == j.To; j.arrived {
			j.since, j.ill = l.Since, 0
		}
		return GoOn, ""
	}
	if g.Owner == j.From {
		how := ""
		if j.Gives() {
			how = ", by evidence " + g.Evidence
		}
		return Trouble, fmt.Sprintf("the group went back to %s without the drill%s", j.From, how)
	}
	if reasons := illness(*l.Snapshot, j.To); len(reasons) > 0 {
		return j.sick(l, strings.Join(reasons, "; "))
	}
	j.ill = 0
	if l.Since-j.since >= j.Stay && l.PortDown == 0 {
		return Well, ""
	}
	return GoOn, ""
}

// illness is why the pair is degraded, but for what moves on purpose do to the
// flap limit: that is told at the end, and no reason for another move.
func illness(s report.Snapshot, owner string) []string {
	s.Groups = slices.Clone(s.Groups)
	for i := range s.Groups {
		s.Groups[i].FlapFrozen = false
	}
	reasons := report.Reasons(s)
	if h := node(s, owner).Health; h != nil && h.Critical {
		reasons = append(reasons, fmt.Sprintf("%s: health %s", owner, report.HealthText(*h)))
	}
	return reasons
}

// sick is trouble once it has lasted for the grace.
func (j *Judge) sick(l Look, why string) (Verdict, string) {
	if j.ill == 0 {
		j.ill = max(l.Since, 1)
	}
	if l.Since-j.ill > Grace {
		return Trouble, why
	}
	return GoOn, ""
}

// span writes a duration as reports do.
func span(d time.Duration) string { return report.Span(float64(d) / float64(time.Millisecond)) }

// Dark measures how long nobody answered for the group's address: from one end
// by what the LAN answers, from the other by what this node's agent did. The zero
// value has seen nothing.
type Dark struct {
	closed, opened time.Time // by the agent of this node
	first, last    time.Time // answers of the other node
}

// Answer takes an answer that the LAN gave for the other node. A node that gives
// hears none before it has closed its gate, and one that took hears no more.
func (d *Dark) Answer(at time.Time) {
	if d.first.IsZero() {
		d.first = at
	}
	d.last = at
}

// Answered says whether the other node answered at all.
func (d *Dark) Answered() bool { return !d.first.IsZero() }

// Event takes an event of this node's agent about the group since the order.
func (d *Dark) Event(e report.Event) {
	if e.Kind != "role" {
		return
	}
	owned, owns := state(e.From), state(e.To)
	switch {
	case owned && !owns && d.closed.IsZero():
		d.closed = e.At
	case owns && !owned && d.opened.IsZero():
		d.opened = e.At
	}
}

// state says whether a node in it serves: one that releases does until it is done.
func state(name string) bool { return name == "ACTIVE" || name == "SOLO" || name == "RELEASING" }

// Of returns how long nobody answered in a move, and whether that is over. While
// it goes on it lasts until now.
func (d *Dark) Of(p Plan, now time.Time) (dark time.Duration, over bool) {
	from, to := d.closed, d.first
	if !p.Gives() {
		from, to = d.last, d.opened
	}
	switch {
	case from.IsZero():
		return 0, false
	case to.IsZero():
		return now.Sub(from), false
	}
	return max(to.Sub(from), 0), true
}
