package sim

import (
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// probing is a VIP probe under way.
type probing struct {
	group   int
	foreign bool
}

// probe asks the LAN three times who answers for the group, and listens for
// as long as the machine asked. The other node's probe for the same address
// counts, too.
func (p *process) probe(g int, a pair.Probe) {
	w, n := p.n.w, p.n
	me := &probing{group: g}
	n.probes = append(n.probes, me)
	for i := range 3 {
		w.after(time.Duration(i)*a.Lasts/3, func() { n.ask(me) })
	}
	w.after(a.Lasts, func() {
		n.probes = slices.DeleteFunc(n.probes, func(x *probing) bool { return x == me })
		p.tell(g, pair.ProbeDone{Ticket: a.Ticket, Sent: w.calm || !w.odds(2*w.cfg.Trouble), Foreign: me.foreign, Who: "02:00:00:00:00:01"})
	})
}

// ask is one probe frame on the LAN.
func (n *node) ask(me *probing) {
	w, other := n.w, n.other()
	if !w.lan || !n.powered || w.cfg.Mutant == ProbeBlind {
		return
	}
	me.foreign = me.foreign || w.alien
	if !other.powered {
		return
	}
	me.foreign = me.foreign || other.owner(me.group)
	for _, x := range other.probes {
		if x.group == me.group && w.cfg.Mutant != ProbesUnheard {
			x.foreign = true
		}
	}
}
