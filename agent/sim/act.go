package sim

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/pair"
)

// act is the executor: what takes time answers later, with its ticket.
func (p *process) act(g int, a pair.Action) {
	w, n := p.n.w, p.n
	short, long := 2*time.Millisecond, 30*time.Millisecond
	if w.cfg.Slow { // a thousand addresses, a database
		short, long = w.timing.Takeover/4, 2*w.timing.Takeover
	}
	switch a := a.(type) {
	case pair.Send:
		p.sends = append(p.sends, send{a.Kind, int8(g)})
	case pair.CloseGate:
		p.own[g].wantOpen, p.own[g].opened = 0, false
		if w.cfg.Mutant == GrantWhileOwning {
			p.closes = append(p.closes, g)
		} else {
			p.close(g)
		}
		p.closely()
	case pair.OpenGate:
		p.own[g].wantOpen = a.Ticket
		p.closely()
	case pair.TakeAddresses:
		p.answer(short, g, pair.AddressesUp{Ticket: a.Ticket, Err: w.trouble(n.sick)})
	case pair.DropAddresses:
		p.answer(short, g, pair.AddressesDown{Ticket: a.Ticket})
	case pair.StartServices:
		p.answer(long, g, pair.ServicesUp{Ticket: a.Ticket, Err: w.trouble(n.sick)})
	case pair.StopServices:
		p.answer(long, g, pair.ServicesDown{Ticket: a.Ticket, Err: w.trouble(false)})
	case pair.Probe:
		p.probe(g, a)
	case pair.FencePeer:
		p.fence(g, a)
	case pair.CancelFence:
		p.cancelFence(g, a.Ticket)
	case pair.Persist:
		p.keep(g, a)
	case pair.Record:
		w.record(p, g, a)
	case pair.Alarm:
		if a.On {
			w.result.Alarms[a.Name]++
		}
	}
}

// closely makes an interruption beside the work on a gate likely: there the
// order within a turn matters.
func (p *process) closely() {
	w := p.n.w
	if w.cfg.Hiccup > 0 && !w.calm && p.breakAt == unstopped && w.odds(8) {
		p.breakAt = p.part + w.rng.IntN(parts-p.part+1)
	}
}

// keep is what the loop makes of Persist.
func (p *process) keep(g int, a pair.Persist) {
	s, name := &p.saved, groupNames[g]
	terms, unfit := map[string]uint32{}, map[string]string{}
	for i := range p.m {
		k := groupNames[i]
		terms[k], unfit[k] = s.Terms[k], s.Unfit[k]
	}
	terms[name] = max(terms[name], a.Term)
	unfit[name] = ""
	if a.Unfit {
		unfit[name] = "services failed here"
	}
	s.Terms, s.Unfit = terms, unfit
	s.Maintenance = nil
	if a.Maintenance {
		s.Maintenance = &journal.Maintenance{Reason: "drill", SinceWall: p.n.wallClock()}
	}
	p.save()
}

// wallClock is what the node believes the time of day to be.
func (n *node) wallClock() time.Time {
	return time.Unix(1_800_000_000, 0).UTC().Add(time.Duration(n.w.now) + n.wall)
}

// answer tells a machine within d, seldom much later.
func (p *process) answer(d time.Duration, g int, in pair.Input) {
	w := p.n.w
	switch {
	case w.calm:
	case w.odds(w.cfg.Trouble):
		d = max(d, min(60*d, 4*w.timing.Takeover))
	}
	w.after(w.chance(d), func() { p.tell(g, in) })
}

// trouble is an error once in a while, or always for a sick node.
func (w *World) trouble(sick bool) string {
	if sick || !w.calm && w.odds(3*w.cfg.Trouble) {
		return "exit status 1"
	}
	return ""
}

// watchLines tells the machines what the modem lines of a full cable say.
func (p *process) watchLines() {
	w := p.n.w
	if !w.cfg.Lines {
		return
	}
	s := pair.LinesUp
	o, tty := p.n.other(), w.links[linkTTY]
	if !o.powered || o.proc == nil || tty.cut[0] && tty.cut[1] {
		s = pair.LinesDown
	}
	if s != p.lines {
		p.lines = s
		for g := range p.m {
			p.step(g, pair.Lines{State: s})
		}
		p.flush()
	}
}
