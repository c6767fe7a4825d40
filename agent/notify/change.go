package notify

import (
	"slices"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
)

func (f *Office) newDesk(t Target) *desk {
	return &desk{
		Target: t, queue: alert.New(t.Name, f.o.Pair, t.Filter, t.Limits),
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

// Change puts other targets in place. One that is there already, by its name,
// keeps its queue; same says that it is told as before, so that a retry that is
// due later stays due. One that is new is told what happens from now on. One that
// is missing is told nothing any more, but for a try that is under way: the
// answer is what it was owed.
func (f *Office) Change(targets []Target, same func(name string) bool) (dropped []alert.Backlog) {
	f.mu.Lock()
	defer f.mu.Unlock()
	desks := make([]*desk, 0, len(targets))
	for _, t := range targets {
		i := slices.IndexFunc(f.desks, func(d *desk) bool { return d.Name == t.Name })
		if i < 0 {
			desks = append(desks, f.hire(t))
			continue
		}
		d := f.desks[i]
		if desks = append(desks, d); !same(t.Name) {
			d.Target = t
			d.queue.Change(t.Filter, t.Limits)
			poke(d.wake)
		}
	}
	for _, d := range f.desks {
		if !slices.Contains(desks, d) {
			close(d.gone)
			dropped = append(dropped, d.queue.Backlog(true))
		}
	}
	f.desks = desks
	poke(f.changed)
	return dropped
}

// Owed is what each target has not been told yet.
func (f *Office) Owed() (out []alert.Backlog) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.desks {
		out = append(out, d.queue.Backlog(true))
	}
	return out
}

// hire makes a desk for what happens from now on, with a goroutine of its own
// while the office is at work.
func (f *Office) hire(t Target) *desk {
	d := f.newDesk(t)
	d.from = f.seen.Seq
	if old := f.o.Board.Events(d.from); len(old) > 0 {
		d.from = old[len(old)-1].Seq
	}
	if ctx := f.ctx; ctx != nil && !f.closed {
		f.work.Go(func() { f.deliver(ctx, d) })
	}
	return d
}
