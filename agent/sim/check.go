package sim

import (
	"fmt"
	"hash/fnv"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// The rules, by the numbers of the invariants in the design. The rest is held
// elsewhere: 9 (a watchdog is fed only by a live agent) by the tests of the
// agent. 11 is held where cuts are the only fault ([DrawCut]), and false proofs
// (12) everywhere, but for a fence device that lies in a way no reading finds out.
const (
	rule1   = "1 two owners"
	rule2   = "2 refresh without a lease"
	rule3   = "3 evidence"
	rule4   = "4 armed"
	rule5   = "5 solo"
	rule6   = "6 isolated"
	rule7   = "7 fence"
	rule8   = "8 term"
	rule10  = "10 gate open at boot"
	rule11  = "11 one cut switched both off"
	rule12  = "12 a false proof"
	ruleOne = "liveness: none owns after the heal"
	ruleRep = "replay taken"
)

// digestSeed begins a run's digest (FNV-1a).
const digestSeed = 14695981039346656037

func (r *Result) mix(x uint64) { r.Digest = (r.Digest ^ x) * 1099511628211 }

func (w *World) violate(rule, text string) {
	if w.result.Violation == nil {
		w.result.Violation = &Violation{At: w.now, Rule: rule, Text: text}
		w.tracef("VIOLATION %s: %s", rule, text)
	}
}

// deceived ends a run in which a lie of the fence device was taken for proof:
// from here on mode fence promises nothing.
func (w *World) deceived(who string) {
	w.result.Deceived++
	w.tracef("%s is deceived by the fence device", who)
}

// bothShot is invariant 11: the fence device has both nodes off at once.
func (w *World) bothShot() {
	w.result.BothOff = true
	switch {
	case !w.cfg.Cuts || w.nodes[0].shots > 1 || w.nodes[1].shots > 1:
		// One that was shot came back behind the cut, booted alone and shot back
		// while the survivor, who had no proof, was at it again.
	case w.device.liar():
		w.deceived("who cabled the nodes")
	default:
		w.violate(rule11, fmt.Sprintf("the fence device is %s", deviceNames[w.device.how]))
	}
}

// check runs after every event.
func (w *World) check() {
	served := 0
	a, b := w.nodes[0], w.nodes[1]
	for g := range w.cfg.Groups {
		x, y := a.owner(g), b.owner(g)
		switch {
		case x && y:
			w.violate(rule1, fmt.Sprintf("group %d: both gates are open; %s", g, w.states()))
		case x || y:
			served++
			if at := w.darkAt[g]; at != 0 {
				w.result.Dark[g] = max(w.result.Dark[g], w.now.Since(at))
				w.darkAt[g] = 0
			}
		case w.darkAt[g] == 0:
			w.darkAt[g] = w.now
		}
	}
	if w.healed != 0 {
		w.live(served)
	}
}

// live holds the time from a heal to one owner of every group, and that it stays so.
func (w *World) live(served int) {
	since := w.now.Since(w.healed)
	if served == w.cfg.Groups {
		if w.okFrom == 0 {
			w.okFrom = w.now
			w.result.Healed = max(w.result.Healed, since)
		}
		return
	}
	if since <= w.settle {
		return
	}
	for g := range w.cfg.Groups {
		from := max(w.darkAt[g], w.healed.Add(w.settle-w.graceful))
		if w.darkAt[g] != 0 && w.now.Since(from) > w.graceful {
			w.violate(ruleOne, fmt.Sprintf("group %d, %v later; %s", g, since, w.states()))
		}
	}
}

func (w *World) states() string {
	s := ""
	for _, n := range w.nodes {
		if n.proc == nil {
			s += fmt.Sprintf("node %d powered %v, no agent; ", n.id, n.powered)
			continue
		}
		for g, m := range n.proc.m {
			v := m.View()
			s += fmt.Sprintf("node %d g%d %v gate %v two-way %v %q; ", n.id, g, v.State, v.GateOpen, v.TwoWay, v.WhyNot)
		}
	}
	return s
}

// refreshed checks a renewal: invariants 2 and 10 (a gate that was never
// granted in this boot must not come to be open).
func (w *World) refreshed(n *node, g int, m *pair.Machine, late bool) {
	if v := m.View(); !v.State.Owns() || !v.GateOpen {
		w.violate(rule2, fmt.Sprintf("node %d group %d in %v", n.id, g, v.State))
	}
	if late && w.cfg.Mutant != RenewWithoutToken {
		w.violate(rule2, fmt.Sprintf("node %d group %d: lapsed", n.id, g))
	}
	if !late && n.gates[g].granted == 0 {
		w.violate(rule10, fmt.Sprintf("node %d group %d", n.id, g))
	}
}

// record checks what a machine says it did.
func (w *World) record(p *process, g int, r pair.Record) {
	w.result.mix(uint64(w.now))
	w.result.mix(uint64(p.n.id)<<32 | uint64(g)<<24 | uint64(r.From)<<16 | uint64(r.To)<<8 | uint64(r.Evidence))
	h := &w.result.History
	if len(*h) >= maxHistory {
		copy(*h, (*h)[1:])
		*h = (*h)[:maxHistory-1]
	}
	*h = append(*h, r)
	if w.trace() {
		w.tracef("node %d: g%d %v -> %v  %s | %s | %s", p.n.id, g, r.From, r.To, r.Seen, r.Decided, r.Doing)
	}
	if r.From == r.To {
		return
	}
	w.entered(p, g, r)
	switch {
	case r.To == pair.Armed:
		w.armed(p, g)
	case r.To == pair.Solo:
		w.solo(p, g)
	}
	if r.From == pair.Isolated && (r.To == pair.Armed || r.To == pair.Releasing) {
		w.violate(rule6, fmt.Sprintf("node %d: %v -> %v", p.n.id, r.From, r.To))
	}
}

// entered holds invariants 3 and 8, and 4 for a takeover by silence.
func (w *World) entered(p *process, g int, r pair.Record) {
	n, entry := p.n, r.To.Owns() && !r.From.Owns()
	if entry != (r.Evidence != 0) {
		w.violate(rule3, fmt.Sprintf("node %d: %v -> %v by %q", n.id, r.From, r.To, r.Evidence))
	}
	if !entry {
		return
	}
	w.result.Entries++
	w.result.Evidence[r.Evidence]++
	if r.Evidence == pair.EvidenceLease && r.From != pair.Armed {
		w.violate(rule4, fmt.Sprintf("node %d: by lease from %v", n.id, r.From))
	}
	if r.From == pair.Isolated && r.Evidence == pair.EvidenceLease {
		w.violate(rule6, fmt.Sprintf("node %d: by lease from %v", n.id, r.From))
	}
	if r.Term <= p.topTerm[g] {
		w.violate(rule8, fmt.Sprintf("node %d: term %d after %d", n.id, r.Term, p.topTerm[g]))
	}
	p.topTerm[g] = r.Term
}

// armed holds invariant 4: the peer was in two-way contact and owned, and where
// only a fence lets it take, the node may fence.
func (w *World) armed(p *process, g int) {
	v := p.m[g].View()
	if !v.TwoWay || v.PeerState != pair.Active && v.PeerState != pair.Releasing || v.Passive {
		w.violate(rule4, fmt.Sprintf("node %d armed by a peer that is %v, two-way %v, passive %v", p.n.id, v.PeerState, v.TwoWay, v.Passive))
	}
	if w.cfg.Mode == pair.ModeFence && p.barred[g] != "" {
		w.violate(rule4, fmt.Sprintf("node %d is armed and may not fence", p.n.id))
	}
}

// solo holds invariant 5: the peer is off, or its gate is closed and it is not
// armed, or what arms it is already too old.
func (w *World) solo(p *process, g int) {
	o := p.n.other()
	if !o.powered || o.proc == nil || w.cfg.Mutant != Sound {
		return
	}
	v := o.proc.m[g].View()
	if v.State == pair.Armed && v.TwoWay && !v.Passive && !o.proc.paused && !o.proc.busy {
		w.violate(rule5, fmt.Sprintf("node %d is SOLO, the peer is %v", p.n.id, v.State))
	}
}

// mayFence holds invariant 7.
func (w *World) mayFence(p *process, g int, a pair.FencePeer) {
	t, now, dead := &p.talk, p.now(), w.timing.Dead
	if a.Token && !p.saved.Token && p.op.number == 0 {
		w.violate(rule7, fmt.Sprintf("node %d spends a boot token that it does not have", p.n.id))
	}
	if p.barred[g] != "" {
		w.violate(rule7, fmt.Sprintf("node %d fences without leave", p.n.id))
	}
	v := p.m[g].View()
	silent := now.Since(t.heardAt) > dead
	deaf := t.ackAt == 0 || now.Since(t.ackAt) > dead
	if !silent && !deaf && !p.asked[g] {
		w.violate(rule7, fmt.Sprintf("node %d in %v fences a peer that it is in contact with: %s", p.n.id, v.State, a.Why))
	}
}

// acceptedOnce holds, for real frames, that none is accepted twice on a link. Frames
// are told apart by all their bytes: the number of a session has 24 bits, and in a
// million runs some come twice, with other keys.
func (w *World) acceptedOnce(t *talk, f *frame, payload []byte) {
	if t.e == nil {
		return
	}
	h := fnv.New64a()
	h.Write(payload)
	h.Write([]byte{f.link})
	k, to := h.Sum64(), 1-f.from
	if w.accepted[to] == nil {
		w.accepted[to] = map[uint64]struct{}{}
	}
	if _, twice := w.accepted[to][k]; twice {
		w.violate(ruleRep, fmt.Sprintf("session %06x counter %d on link %d", f.session, f.counter, f.link))
	}
	w.accepted[to][k] = struct{}{}
}
