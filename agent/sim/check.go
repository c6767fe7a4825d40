package sim

import (
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

func (w *World) violate(rule, text string) {
	if w.result.Violation == nil {
		w.result.Violation = &Violation{At: w.now, Rule: rule, Text: text}
		w.tracef("VIOLATION %s: %s", rule, text)
	}
}

// check runs after every event.
func (w *World) check() {
	served := 0
	for g := range w.cfg.Groups {
		a, b := w.nodes[0].owner(g), w.nodes[1].owner(g)
		if a && b {
			w.violate("two owners", fmt.Sprintf("group %d: both gates are open", g))
		}
		if a || b {
			served++
		}
		w.darkness(g, a || b)
	}
	if w.healed == 0 {
		return
	}
	if served == w.cfg.Groups && w.okFrom == 0 {
		w.okFrom = w.now
		w.result.Healed = w.now.Since(w.healed)
	}
	if w.now.Since(w.healed) <= settle {
		return
	}
	for g := range w.cfg.Groups {
		if at := w.darkAt[g]; at != 0 && w.now.Since(max(at, w.healed.Add(settle-graceful))) > graceful {
			w.violate("liveness", fmt.Sprintf("group %d: no owner after the heal; %s", g, w.states()))
		}
	}
}

// graceful is the longest darkness of a planned move once everything is well.
const graceful = 500 * time.Millisecond

// darkness keeps the longest time that a group had no owner.
func (w *World) darkness(g int, served bool) {
	switch {
	case served && w.darkAt[g] != 0:
		w.result.Dark[g] = max(w.result.Dark[g], w.now.Since(w.darkAt[g]))
		w.darkAt[g] = 0
	case !served && w.darkAt[g] == 0:
		w.darkAt[g] = w.now
	}
}

func (w *World) states() string {
	s := ""
	for _, n := range w.nodes {
		if n.proc == nil {
			s += fmt.Sprintf("node %d powered %v, no agent; ", n.id, n.powered)
			continue
		}
		for g, m := range n.proc.machines {
			v := m.View()
			s += fmt.Sprintf("node %d g%d %v gate %v two-way %v %q; ", n.id, g, v.State, v.GateOpen, v.TwoWay, v.WhyNot)
		}
	}
	return s
}

// record checks what a machine says it did: one evidence per entry, and terms that rise.
func (w *World) record(id, g int, r pair.Record) {
	h := &w.result.History
	if len(*h) >= maxHistory {
		*h = (*h)[1:]
	}
	*h = append(*h, r)
	w.tracef("node %d: g%d %v -> %v  %s | %s | %s", id, g, r.From, r.To, r.Seen, r.Decided, r.Doing)
	entry := r.To.Owns() && !r.From.Owns()
	if entry != (r.Evidence != 0) {
		w.violate("evidence", fmt.Sprintf("node %d: %v -> %v by %q", id, r.From, r.To, r.Evidence))
	}
	if !entry {
		if r.From == pair.Isolated && r.To == pair.Armed {
			w.violate("isolated", "armed without contact")
		}
		return
	}
	w.result.Entries++
	w.result.Evidence[r.Evidence]++
}

// Coverage counts which (state, input) pairs were visited.
type Coverage map[string]int

func (c *Coverage) visit(s pair.State, in pair.Input) {
	if c == nil {
		return
	}
	key := fmt.Sprintf("%v %T", s, in)
	if h, ok := in.(pair.Heard); ok {
		key = fmt.Sprintf("%v %v", s, h.Kind)
	}
	(*c)[key]++
}
