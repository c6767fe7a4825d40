// Package vital decides whether this node still does the work that it cannot be
// without, and so may be kept alive by its watchdog. It refuses to take a
// promise for work: only what came back counts, and one that was late once is
// never believed again. Start reading at [Guard.Judge].
package vital

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// A Token is one kind of vital work.
type Token uint8

// The tokens. One exists only where the configuration has such work.
const (
	Machine     Token = iota // a turn stepped every machine and sent its heartbeats
	SerialRead               // a read of a serial line came back, with bytes or without
	SerialWrite              // a write to a serial line came back
	Multicast                // a read of an Ethernet link came back
	Netlink                  // the kernel answered a question
	Lease                    // the kernel took the turn's mark and every renewal
	Journal                  // a write reached the disk
	Health                   // a check of a service came back, whatever it found
	Tokens                   // how many there are
)

var names = [Tokens]string{"machine", "serial-read", "serial-write", "multicast", "netlink", "lease", "journal", "health"}

// String returns the token's name, as status and events show it.
func (t Token) String() string {
	if t >= Tokens {
		return fmt.Sprintf("Token(%d)", uint8(t))
	}
	return names[t]
}

// A Source is one worker that proves a token: one link, one service, the disk.
type Source struct {
	Token Token
	Name  string        // of the worker, for people; may be empty
	Every time.Duration // it works so often; 0: only when there is something to do
	Takes time.Duration // what one piece of work may take
}

// A Stage is what the guard thinks of the node.
type Stage uint8

const (
	// Starting means that some source has not proven itself yet.
	Starting Stage = iota
	// Well means that every source is fresh.
	Well
	// Failed means that one was late. It is final.
	Failed
)

// String returns the stage in one word.
func (s Stage) String() string { return [...]string{"starting", "well", "failed"}[s] }

// A Guard watches sources. Instants are time on one monotonic clock, never
// zero. Begin and Done may be called by any goroutine, namely the one that does
// the work; the rest belongs to the one that judges.
type Guard struct {
	sources []Source
	start   time.Duration // after so long a source that never worked is left out
	began   time.Duration
	marks   []mark
	stage   Stage
	stale   []string
}

// A mark is what a source has shown.
type mark struct {
	done atomic.Int64 // instant of the newest work; 0: none yet
	busy atomic.Int64 // instant when the piece under way began; 0: none is

	pauses atomic.Int32 // that were allowed for since
}

// maxPauses bounds the pauses that a source is allowed between two pieces of
// work: where every turn stands still, nobody would ever be late.
const maxPauses = 8

// New returns a guard. A source that has not worked once within start is left
// out until it does: what never worked in this run, a reset does not cure, and
// a box must not reboot for ever over it. One that began and does not come back
// counts from the beginning.
func New(now, start time.Duration, sources []Source) *Guard {
	return &Guard{sources: sources, start: start, began: now, marks: make([]mark, len(sources))}
}

// Begin says that a piece of work has begun.
func (g *Guard) Begin(source int, now time.Duration) {
	g.marks[source].busy.Store(int64(now))
	g.marks[source].pauses.Store(0)
}

// Done says that work came back with success.
func (g *Guard) Done(source int, now time.Duration) {
	g.marks[source].done.Store(int64(now))
	g.marks[source].busy.Store(0)
	g.marks[source].pauses.Store(0)
}

// End says that work came back without success.
func (g *Guard) End(source int) { g.marks[source].busy.Store(0) }

// Paused says that the whole process stood still for gap until now: nobody
// could work, so nobody is late for it.
func (g *Guard) Paused(now, gap time.Duration) {
	for i := range g.marks {
		if g.marks[i].pauses.Add(1) > maxPauses {
			continue
		}
		for _, at := range []*atomic.Int64{&g.marks[i].done, &g.marks[i].busy} {
			if old := at.Load(); old != 0 {
				at.CompareAndSwap(old, min(old+int64(gap), int64(now)))
			}
		}
	}
}

// Judge returns the stage. Only in stage Well may a watchdog be fed.
func (g *Guard) Judge(now time.Duration) Stage {
	if g.stage == Failed {
		return Failed
	}
	unproven := false
	for i := range g.sources {
		if late := g.late(i, now); late != "" {
			g.stale = append(g.stale, late)
		}
		unproven = unproven || !g.proven(i)
	}
	switch {
	case len(g.stale) > 0:
		g.stage = Failed
	case g.stage == Starting && (!unproven || now-g.began > g.start):
		g.stage = Well
	}
	return g.stage
}

// proven says whether the source has worked, or need not.
func (g *Guard) proven(i int) bool { return g.sources[i].Every == 0 || g.marks[i].done.Load() != 0 }

// late says what is wrong with a source; empty if it is fresh.
func (g *Guard) late(i int, now time.Duration) string {
	s, m := &g.sources[i], &g.marks[i]
	busy, done := time.Duration(m.busy.Load()), time.Duration(m.done.Load())
	switch {
	case busy != 0 && now-busy > s.Takes:
		return fmt.Sprintf("%s has not come back for %s", s, (now - busy).Round(time.Millisecond))
	case s.Every != 0 && done != 0 && now-done > s.Every+s.Takes:
		return fmt.Sprintf("%s has done nothing for %s", s, (now - done).Round(time.Millisecond))
	}
	return ""
}

// String names the source: its token, and the worker if there are several.
func (s *Source) String() string { return strings.TrimSpace(s.Token.String() + " " + s.Name) }

// Stale says what made the guard fail; nil if it did not.
func (g *Guard) Stale() []string { return g.stale }

// LeftOut names the sources that never worked and are not judged by now.
func (g *Guard) LeftOut() []string {
	var out []string
	for i := range g.sources {
		if g.stage == Well && !g.proven(i) {
			out = append(out, g.sources[i].String())
		}
	}
	return out
}

// An Age is what status shows of a source.
type Age struct {
	Name  string
	Age   time.Duration // since its newest work; negative: none yet
	Limit time.Duration // beyond which it is late
}

// Ages lists every source.
func (g *Guard) Ages(now time.Duration) []Age {
	out := make([]Age, len(g.sources))
	for i := range g.sources {
		out[i] = Age{Name: g.sources[i].String(), Age: -1, Limit: g.sources[i].Every + g.sources[i].Takes}
		if done := g.marks[i].done.Load(); done != 0 {
			out[i].Age = max(0, now-time.Duration(done))
		}
	}
	return out
}
