// Package health decides which of the two nodes is the better place for the
// service, from votes on what is wrong here and from what the peer says of
// itself. It refuses to move anything for a small difference, for a difference
// that did not last, to a peer that does not say how it is, and more often in a
// day than allowed. Start reading at [Judge.Step].
package health

import (
	"fmt"
	"sort"
	"time"
)

const (
	// Full is the health of a node without any vote, in points.
	Full = 100
	// CriticalScore is the health below which a node is about to fail: a
	// critical vote takes it there whatever else is well.
	CriticalScore = 10
	// MaxVotes bounds the board; see [Board.Set].
	MaxVotes = 128
	// maxMoves bounds the memory of moves, and so Config.PerDay.
	maxMoves = 32
	day      = 24 * time.Hour
	// urgentFor is how long after its own trouble began a node leaves at once.
	// Later a peer that became better waits for the hold: what both suffered from
	// ends on one of them first, and nothing is to go to and fro for that.
	urgentFor = 30 * time.Second
)

// A Vote is one source's word on what is wrong with this node.
type Vote struct {
	Source   string        // who says so; it has one vote
	Loss     int           // points that this takes from the node's health, 1..100; 0 withdraws the vote
	Reason   string        // one sentence for a person
	Critical bool          // the node is about to fail: act at once
	Left     time.Duration // until a limit is reached, as it looks; 0: not known
}

// A State is how a node is.
type State struct {
	Score    int // points, 0..Full
	Critical bool
	Left     time.Duration // the shortest of all votes; 0: none is known
	Reason   string        // of the gravest vote, and how many more there are; empty if all is well
}

// A Board keeps the newest vote of each source. The zero Board is ready.
type Board struct{ votes []Vote }

// Set takes a vote in place of the source's last one. It reports false if the
// vote is nobody's or the board is full: then nothing changed.
func (b *Board) Set(v Vote) bool {
	v.Loss = min(v.Loss, Full)
	for i := range b.votes {
		if b.votes[i].Source != v.Source {
			continue
		}
		if v.Loss <= 0 {
			b.votes = append(b.votes[:i], b.votes[i+1:]...)
		} else {
			b.votes[i] = v
		}
		return true
	}
	if v.Loss <= 0 {
		return true
	}
	if v.Source == "" || len(b.votes) >= MaxVotes {
		return false
	}
	b.votes = append(b.votes, v)
	return true
}

// Votes returns what is wrong, the gravest first.
func (b *Board) Votes() []Vote {
	out := append([]Vote(nil), b.votes...)
	sort.SliceStable(out, func(i, k int) bool {
		if out[i].Critical != out[k].Critical {
			return out[i].Critical
		}
		return out[i].Loss > out[k].Loss
	})
	return out
}

// State sums the votes up.
func (b *Board) State() State {
	s := State{Score: Full}
	if len(b.votes) == 0 {
		return s
	}
	worst := b.votes[0]
	for _, v := range b.votes {
		s.Score -= v.Loss
		s.Critical = s.Critical || v.Critical
		if v.Left > 0 && (s.Left == 0 || v.Left < s.Left) {
			s.Left = v.Left
		}
		if v.Critical && !worst.Critical || v.Critical == worst.Critical && v.Loss > worst.Loss {
			worst = v
		}
	}
	s.Score = max(s.Score, 0)
	if s.Critical {
		s.Score = min(s.Score, CriticalScore-1)
	}
	s.Reason = worst.Reason
	if more := len(b.votes) - 1; more > 0 {
		s.Reason = fmt.Sprintf("%s (and %d more)", worst.Reason, more)
	}
	return s
}

// Byte is a score as a heartbeat carries it: one more than the score, since zero
// stands for a node that does not say.
func Byte(score int) uint8 { return uint8(1 + max(0, min(score, Full))) }

// Score reads a heartbeat's byte back; ok is false if the node does not say.
func Score(b uint8) (score int, ok bool) {
	if b == 0 || b > Full+1 {
		return 0, false
	}
	return int(b) - 1, true
}

// A Verdict compares the nodes.
type Verdict uint8

// The verdicts.
const (
	Even          Verdict = iota // nothing follows
	PeerHealthier                // the service is better off there
	PeerSicker                   // the service is better off here
)

var verdictNames = [...]string{"even", "peer healthier", "peer sicker"}

// String returns the verdict in words.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Config is a judge's patience.
type Config struct {
	Margin int           // points by which a node must be better, 1..Full
	Hold   time.Duration // for so long, before anything moves
	PerDay int           // moves for health within 24 hours, at most 32; 0: as many
}

// A Decision is what follows from both nodes' health.
type Decision struct {
	Verdict Verdict
	Urgent  bool   // this node is about to fail and the peer is not
	Spent   bool   // it would be PeerHealthier, but the moves of the day are used up
	Why     string // in one sentence; empty for Even
}

// A Judge compares this node with its peer. It is not safe for concurrent use.
type Judge struct {
	cfg     Config
	last    Decision
	since   time.Duration // since when the peer looks better
	better  bool
	illFrom time.Duration // since when this node is about to fail
	ill     bool
	left    bool                    // the move of this verdict is counted
	moves   [maxMoves]time.Duration // the newest first
	counted int
}

// NewJudge returns a judge that finds both nodes even.
func NewJudge(c Config) *Judge {
	c.Margin = max(1, min(c.Margin, Full))
	c.PerDay = min(c.PerDay, maxMoves)
	return &Judge{cfg: c}
}

// Step compares at time now of the monotonic clock. The peer counts only while
// known: in two-way contact, and telling its health. It reports whether verdict
// or urgency changed since the last step.
func (j *Judge) Step(now time.Duration, own State, peer int, known bool) (d Decision, changed bool) {
	d = j.judge(now, own, peer, known)
	changed = d.Verdict != j.last.Verdict || d.Urgent != j.last.Urgent || d.Spent != j.last.Spent
	j.left = j.left && d.Verdict == j.last.Verdict
	j.last = d
	return d, changed
}

func (j *Judge) judge(now time.Duration, own State, peer int, known bool) (d Decision) {
	if own.Critical && !j.ill {
		j.illFrom = now
	}
	j.ill = own.Critical
	better := known && peer-own.Score >= j.need(PeerHealthier)
	if better && !j.better {
		j.since = now
	}
	j.better = better
	switch {
	case known && own.Score-peer >= j.need(PeerSicker):
		d.Verdict = PeerSicker
	case !better:
		return Decision{}
	default:
		held := now-j.since < j.cfg.Hold
		d.Urgent = own.Critical && peer >= CriticalScore && (j.last.Urgent || now-j.illFrom <= urgentFor || !held)
		if held && !d.Urgent && j.last.Verdict != PeerHealthier {
			return Decision{}
		}
		if d.Spent = !d.Urgent && !j.left && j.spent(now); !d.Spent {
			d.Verdict = PeerHealthier
		}
	}
	d.Why = fmt.Sprintf("health %d, the peer's %d", own.Score, peer)
	if own.Reason != "" {
		d.Why += ": " + own.Reason
	}
	return d
}

// need is by how many points a node must be better: half the margin is enough
// to stay with a verdict, so that noise around it changes nothing.
func (j *Judge) need(v Verdict) int {
	if j.last.Verdict == v || v == PeerHealthier && j.last.Spent {
		return max(1, j.cfg.Margin/2)
	}
	return j.cfg.Margin
}

// Moved counts what left because the peer is healthier: once for a verdict,
// however many groups follow it.
func (j *Judge) Moved(now time.Duration) {
	if j.last.Verdict != PeerHealthier || j.left {
		return
	}
	j.left = true
	copy(j.moves[1:], j.moves[:maxMoves-1])
	j.moves[0] = now
	j.counted = min(j.counted+1, maxMoves)
}

func (j *Judge) spent(now time.Duration) bool {
	if j.cfg.PerDay <= 0 || j.counted < j.cfg.PerDay {
		return false
	}
	return now-j.moves[j.cfg.PerDay-1] < day
}
