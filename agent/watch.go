package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
)

// watch starts everything that looks at the world for the loop.
func (a *agent) watch(ctx context.Context) {
	a.group.Go(func() { a.memory.write(ctx) })
	a.group.Go(func() { a.watchKeys(ctx) })
	a.group.Go(func() { a.watchHangup(ctx) })
	a.group.Go(func() { a.hands.watchKernel(ctx, a.lease) })
	a.group.Go(func() { a.hands.watchForeign(ctx) })
	a.group.Go(func() { a.hands.hushAfter(ctx) })
	if s := a.sensing(); s != nil {
		a.group.Go(func() { s.run(ctx) })
	}
	a.group.Go(func() {
		a.lease.Watch(ctx, func(what string, restored error) {
			a.insist(loop.GateChanged{What: what, Restored: restored})
		})
	})
}

// insistTries bounds how long a watcher waits for a loop whose queue is full: a
// loop that does not turn for so long has lost its leases.
const (
	insistTries = 500
	insistPause = 10 * time.Millisecond
)

// insist tells the loop a fact that no watcher would tell again, and says whether
// it was taken. The loop's own goroutine must not call it.
func (a *agent) insist(f loop.Fact) bool {
	return a.insistOn(fmt.Sprintf("fact %T", f), func() bool { return a.loop.Tell(f) })
}

// insistOn tries until the loop took something, and says whether it did.
func (a *agent) insistOn(what string, took func() bool) bool {
	for range insistTries {
		if took() {
			return true
		}
		time.Sleep(insistPause)
	}
	a.log.Error("the loop takes nothing more; something is lost", "what", what)
	return false
}

// eventQueue is how many events may wait for the disk; more are lost to the
// file, and counted, but stay on the board.
const eventQueue = 256

// flushEvery is how often events are forced to the disk: flash wears out, and
// a power cut may cost the last minute of the story.
const flushEvery = time.Minute

// memory is the journal as the loop sees it.
type memory struct {
	a      *agent
	events chan report.Event
	quiet  chan chan<- struct{} // asks for all events to be in their file
	lost   atomic.Uint64
}

func newMemory(a *agent) *memory {
	return &memory{a: a, events: make(chan report.Event, eventQueue), quiet: make(chan chan<- struct{})}
}

// SpendToken spends the boot token on disk.
func (m *memory) SpendToken() error { return m.a.journal.SpendToken() }

// RecordContact gives a spent boot token anew.
func (m *memory) RecordContact() error { return m.a.journal.RecordContact() }

// Save keeps what must survive a reboot.
func (m *memory) Save(s loop.Saved) error {
	state := m.a.state
	state.Clean, state.FencedBy = s.Clean, s.FencedBy
	state.LastFence, state.Verified, state.Fences = s.LastFence, s.Verified, s.Fences
	state.Terms, state.Unfit = map[string]uint32{}, map[string]string{}
	for i, g := range m.a.cfg.Groups {
		state.Terms[g.Name] = s.Terms[i]
		if s.Unfit[i] != "" {
			state.Unfit[g.Name] = s.Unfit[i]
		}
	}
	state.Maintenance = nil
	if t := s.Maintenance; t != nil {
		state.Maintenance = &journal.Maintenance{
			Reason: t.Reason, By: t.By, SinceWall: t.Since, Left: time.Duration(t.LeftSec) * time.Second,
		}
	}
	return m.a.journal.Save(state)
}

// Append hands one event to the writer.
func (m *memory) Append(e report.Event) {
	select {
	case m.events <- e:
	default:
		m.lost.Add(1)
	}
}

// write puts events into their file until ctx ends and the queue is empty.
func (m *memory) write(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	defer m.a.journal.Close()
	for {
		select {
		case e := <-m.events:
			m.append(e)
		case <-tick.C:
			m.trouble(m.a.journal.FlushEvents(flushEvery))
		case done := <-m.quiet:
			m.drain()
			close(done)
		case <-ctx.Done():
			m.drain()
			return
		}
	}
}

func (m *memory) drain() {
	for range len(m.events) {
		m.append(<-m.events)
	}
}

// settle waits until all events are in their file.
func (m *memory) settle(ctx context.Context) {
	done := make(chan struct{})
	select {
	case m.quiet <- done:
		<-done
	case <-ctx.Done():
	}
}

func (m *memory) append(e report.Event) { m.trouble(m.a.journal.Append(e)) }

func (m *memory) trouble(err error) {
	if err == nil {
		if n := m.lost.Swap(0); n > 0 {
			m.a.log.Warn("events were not written, the disk was too slow", "lost", n)
		}
		return
	}
	m.a.log.Warn("write events", "err", err)
}

// saved turns what the journal held into the loop's terms.
func (a *agent) saved() loop.Saved {
	s := loop.Saved{
		FencedBy: a.state.FencedBy, LastFence: a.state.LastFence, Verified: a.state.Verified, Fences: a.state.Fences,
	}
	for _, g := range a.cfg.Groups {
		s.Terms = append(s.Terms, a.state.Terms[g.Name])
		s.Unfit = append(s.Unfit, a.state.Unfit[g.Name])
	}
	if m := a.state.Maintenance; m != nil {
		s.Maintenance = &report.Maintenance{
			Reason: m.Reason, By: m.By, Since: m.SinceWall, LeftSec: int64((m.Left + time.Second - 1) / time.Second), // 0 would mean for ever
		}
	}
	return s
}

// statusTime bounds how long a question may wait for the loop's turn.
const statusTime = 2 * time.Second

// alertsView is what status shows of alerts.
func (a *agent) alertsView() *report.Alerting {
	a.parts.Lock()
	defer a.parts.Unlock()
	return a.alerts.view()
}

// handler answers the control socket.
type handler struct{ a *agent }

// Snapshot asks the loop; if the loop does not turn, the last answer is shown
// with an alarm that says so.
func (h handler) Snapshot() report.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	s, err := h.a.loop.Snapshot(ctx)
	s.Monitors = h.a.monitorViews()
	if err != nil {
		s = h.a.board.Snapshot()
		s.Alerting = h.a.alertsView()
		s.Alarms = append(s.Alarms, report.Alarm{Name: "loop", Since: time.Now(), Text: err.Error() + "; what is shown is old"})
		return s
	}
	s.Alerting = h.a.alertsView()
	h.a.board.Publish(s)
	return s
}

// Events returns what the board holds.
func (h handler) Events(after uint64) []report.Event { return h.a.board.Events(after) }

// Wait waits for news on the board.
func (h handler) Wait(ctx context.Context, after uint64) error { return h.a.board.Wait(ctx, after) }

// Do carries out an order.
func (h handler) Do(ctx context.Context, o control.Order) (string, error) {
	switch o.Command {
	case control.OrderReload, control.OrderReloadPlan:
		return h.a.reloadOrder(ctx, o)
	case control.OrderSensors:
		return h.a.showSensors()
	}
	text, err := h.a.loop.Do(ctx, loop.Order(o))
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	return text, err
}
