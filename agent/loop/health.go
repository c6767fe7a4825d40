package loop

import (
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// comparing is what the loop knows of both nodes' health.
type comparing struct {
	board health.Board
	own   health.State // what the board comes to, as of the newest vote: every frame tells it
	judge *health.Judge
}

// Vote takes a source's word on what is wrong with this node; see [health.Vote].
// False means that the queue was full: the source votes again later. It never waits.
func (l *Loop) Vote(v health.Vote) bool { return l.Tell(vote(v)) }

// vote is a Fact.
type vote health.Vote

func (v vote) apply(l *Loop, now pair.Instant) {
	h := &l.health
	was := h.own
	taken := h.board.Set(health.Vote(v))
	h.own = h.board.State()
	l.alarm("health-votes", !taken, fmt.Sprintf("more than %d sources of trouble; the vote of %s does not count", health.MaxVotes, v.Source))
	s := h.own
	if s.Critical != was.Critical {
		l.urgent = true // the peer is to know it now
	}
	if s.Score == was.Score && s.Critical == was.Critical {
		return
	}
	seen := v.Source + " is well"
	if v.Loss > 0 {
		seen = v.Source + ": " + v.Reason
	}
	l.event(now, report.Event{Kind: "health", Seen: seen, Decided: fmt.Sprintf("health %d, was %d", s.Score, was.Score)})
}

// compare tells the machines when one node became the better place.
func (l *Loop) compare(now pair.Instant) {
	h := &l.health
	peer, told := health.Score(l.peer.m.Health)
	known := told && l.peer.known && l.twoWay(now)
	d, changed := h.judge.Step(time.Duration(now), h.own, peer, known)
	if !changed {
		return
	}
	text := d.Why
	if d.Spent {
		text += fmt.Sprintf("; the %d moves of this day are used up", l.o.Health.PerDay)
	}
	l.alarm("health", d.Verdict == health.PeerHealthier || d.Spent, text)
	if d.Spent || d.Verdict != health.Even {
		decided := d.Verdict.String()
		if d.Urgent {
			decided += ", and this node is about to fail"
		}
		l.event(now, report.Event{Kind: "health", Seen: text, Decided: decided})
	}
	for _, g := range l.groups {
		l.step(now, g, pair.HealthChanged{Peer: pair.Health(d.Verdict), Urgent: d.Urgent, Why: d.Why})
	}
}

// timeToCritical is the heartbeat's field of that name.
func timeToCritical(s *health.State) uint16 {
	if s.Left <= 0 {
		return wire.NoTimeToCritical
	}
	return uint16(min(s.Left/time.Second, time.Duration(wire.NoTimeToCritical)-1))
}

// healthView is what status shows of this node's health.
func (l *Loop) healthView() *report.Health {
	s := &l.health.own
	v := &report.Health{Score: s.Score, Critical: s.Critical, LeftSec: int64(s.Left / time.Second)}
	for _, x := range l.health.board.Votes() {
		v.Votes = append(v.Votes, report.HealthVote{
			Source: x.Source, Loss: x.Loss, Reason: x.Reason, Critical: x.Critical, LeftSec: int64(x.Left / time.Second),
		})
	}
	return v
}

// peerHealth is the same of the peer, as far as a heartbeat carries it.
func (l *Loop) peerHealth() *report.Health {
	score, told := health.Score(l.peer.m.Health)
	if !told {
		return nil
	}
	v := &report.Health{Score: score, Critical: score < health.CriticalScore}
	if t := l.peer.m.TimeToCritical; t != wire.NoTimeToCritical {
		v.LeftSec = int64(t)
	}
	return v
}
