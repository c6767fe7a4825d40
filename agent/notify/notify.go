// Package notify tells people far away of events: it takes them from the board
// on which the loop pins them, so that the loop waits for nobody, and sends each
// to every target that wants it, until it is told or had no room. What is told,
// when, and in which words decides the package alert. It refuses to lose
// anything silently: what a target had no room for is counted and told.
//
// Start reading at [Office.Run], which names every goroutine.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/notify/alert"
	"github.com/twinbeat/twinbeat/agent/report"
)

// Limits of an office.
const (
	lastChance   = time.Second // for a target, once the agent ends: what is not told then is told after the next start
	troubleTries = 3           // tries in a row that failed, after which it is an event
	maxAnswer    = 200         // bytes of an answer or an error that are shown
)

// ErrRefused says that a target refused an alert for what it says, so that it is
// of no use to send it again.
var ErrRefused = errors.New("refused")

// A Sender tells one alert and returns what the target answered. It returns soon
// after ctx ends.
type Sender interface {
	Send(ctx context.Context, a *alert.Alert) (answer string, err error)
}

// A Target is told of alerts.
type Target struct {
	Name, Type, Where string
	Sender            Sender
	Filter            alert.Filter
	Limits            alert.Limits
	Timeout           time.Duration // of one try
}

// A Board is where the events are; see agent/control.
type Board interface {
	Wait(ctx context.Context, after uint64) error
	Events(after uint64) []report.Event
}

// Options are what an office needs.
type Options struct {
	Targets []Target
	Board   Board
	Pair    alert.Pair
	Boot    uint32 // count of kernel boots
	Disk    string // file that survives a reboot
	Memory  string // file that survives the agent; it should lie in memory
	Tell    func(report.Event) bool
	Log     *slog.Logger
}

// An Office keeps the queues of all targets. Use Open.
type Office struct {
	o       Options
	began   time.Time
	changed chan struct{} // the keeper has something to write
	read    chan struct{} // closed: no event will be taken any more

	work sync.WaitGroup // who reads, and who sends

	mu      sync.Mutex
	desks   []*desk
	ctx     context.Context // of Run; nil: not begun
	closed  bool            // no event will be taken any more
	seen    report.Event    // the newest that was taken: Seq and At
	trouble string          // why the queues are not on disk; empty: they are
}

// A desk is one target with its queue.
type desk struct {
	Target    // by the office's lock
	queue     *alert.Queue
	wake      chan struct{}
	gone      chan struct{} // closed: it is told of nothing any more
	from      uint64        // it is told of events after this one
	delivered uint64
	toldAt    time.Time
	failedAt  time.Time
	answer    string
	err       string
	failing   bool // it is an event that it fails
}

// Open makes an office with what earlier ones of this node left. Of files that
// are not whole it takes nothing; that is no reason not to run, and comes as the
// error beside the office.
func Open(o Options) (*Office, error) {
	f := &Office{o: o, began: time.Now(), changed: make(chan struct{}, 1), read: make(chan struct{})}
	s, err := f.load()
	for _, t := range o.Targets {
		d := f.newDesk(t)
		for _, b := range s.Owed {
			if b.Name == t.Name {
				d.queue.Restore(b)
			}
		}
		f.desks = append(f.desks, d)
	}
	held := o.Board.Events(0)
	if n := len(held); n > 0 {
		f.seen = held[n-1]
	}
	for i, e := range held {
		// What came after the newest event that the office before had seen is news.
		if s.Seq > 0 && e.Seq == s.Seq && e.At.Equal(s.At) {
			f.seen = held[i]
		}
	}
	return f, err
}

// Run tells of events until ctx ends. Then each target has lastChance, and what
// is left is kept.
func (f *Office) Run(ctx context.Context) {
	var keeper sync.WaitGroup
	finish := make(chan struct{})
	keeper.Go(func() { f.keep(finish) })
	f.mu.Lock()
	f.ctx = ctx
	f.work.Go(func() { f.watch(ctx) })
	for _, d := range f.desks {
		f.work.Go(func() { f.deliver(ctx, d) })
	}
	f.mu.Unlock()
	f.work.Wait()
	close(finish)
	keeper.Wait()
}

// now is the time of the queues.
func (f *Office) now() time.Duration { return time.Since(f.began) }

// poke wakes whoever waits for a channel of one place.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watch takes events from the board until ctx ends, and those that are there then.
func (f *Office) watch(ctx context.Context) {
	defer func() {
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		close(f.read)
	}()
	for f.take(); f.o.Board.Wait(ctx, f.seen.Seq) == nil; f.take() { // one turn for each lot of events
	}
	f.take()
}

// take offers the new events to every target.
func (f *Office) take() {
	events := f.o.Board.Events(f.seen.Seq)
	if len(events) == 0 {
		return
	}
	f.mu.Lock()
	for _, d := range f.desks {
		if from := max(f.seen.Seq, d.from) + 1; from < events[0].Seq {
			d.queue.Lose(events[0].Seq - from)
		}
		for _, e := range events {
			if e.Seq > d.from {
				a := alert.Of(e, f.o.Pair)
				d.queue.Offer(f.now(), &a)
			}
		}
		poke(d.wake)
	}
	f.seen = events[len(events)-1]
	f.mu.Unlock()
	poke(f.changed)
}

// deliver sends what waits for one target.
func (f *Office) deliver(ctx context.Context, d *desk) {
	for ctx.Err() == nil { // each turn sends one alert, or waits
		if d.left() {
			return
		}
		f.mu.Lock()
		a, ok, wait := d.queue.Next(f.now(), time.Now())
		f.mu.Unlock()
		if !ok {
			d.rest(ctx, wait)
			continue
		}
		f.send(ctx, d, &a)
	}
	select {
	case <-f.read:
	case <-d.gone:
		return
	}
	last, cancel := context.WithTimeout(context.Background(), lastChance)
	defer cancel()
	for last.Err() == nil { // until something fails, or nothing is left
		f.mu.Lock()
		a, ok, _ := d.queue.Next(f.now(), time.Now())
		f.mu.Unlock()
		if !ok {
			return
		}
		f.send(last, d, &a)
	}
}

// rest waits for an alert, or for wait if that is not zero.
func (d *desk) rest(ctx context.Context, wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
	case <-d.wake:
	case <-d.gone:
	case <-due:
	}
}

// left says whether a change took the target out.
func (d *desk) left() bool {
	select {
	case <-d.gone:
		return true
	default:
		return false
	}
}

// send makes one try. One that is under way when ctx ends may go on for lastChance:
// cut off, nobody would know whether it arrived.
func (f *Office) send(ctx context.Context, d *desk, a *alert.Alert) {
	f.mu.Lock()
	to := d.Target
	f.mu.Unlock()
	try, cancel := context.WithTimeout(context.WithoutCancel(ctx), to.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-try.Done():
		case <-time.After(lastChance):
			cancel()
		}
	})
	defer stop()
	answer, err := to.Sender.Send(try, a)
	outcome := alert.Delivered
	switch {
	case errors.Is(err, ErrRefused):
		outcome = alert.Refused
	case err != nil:
		outcome = alert.Failed
	}
	f.mu.Lock()
	d.queue.Done(f.now(), *a, outcome)
	event := d.judge(answer, err)
	f.mu.Unlock()
	if d.left() {
		return
	}
	if event != nil && !f.o.Tell(*event) {
		f.o.Log.Warn("the loop takes no event", "seen", event.Seen)
	}
	poke(f.changed)
}

// judge notes how a try ended. That a target fails, and that it works again, is
// an event, which the others are told.
func (d *desk) judge(answer string, err error) *report.Event {
	if err == nil {
		d.delivered++
		d.toldAt, d.answer, d.err = time.Now(), shown(answer), ""
		if !d.failing {
			return nil
		}
		d.failing = false
		return &report.Event{Kind: alert.KindNotify, To: "well", Seen: "an alert was told again: " + d.answer, Done: "target " + d.Name}
	}
	d.failedAt, d.err = time.Now(), shown(err.Error())
	if d.failing || d.queue.Tries() < troubleTries {
		return nil
	}
	d.failing = true
	waiting, _, _, _ := d.queue.Counts()
	return &report.Event{
		Kind: alert.KindNotify, To: "failing", Seen: d.err, Done: "target " + d.Name,
		Decided: fmt.Sprintf("keep %d alerts (%d at most), and try again at least every %s", waiting, alert.MaxWaiting, alert.MaxRetry),
	}
}

// shown is a text of a stranger, clean and bounded.
func shown(s string) string {
	s = report.Clean(s)
	if len(s) > maxAnswer {
		s = s[:maxAnswer] + "..."
	}
	return s
}

// View tells how each target is.
func (f *Office) View() *report.Alerting {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := &report.Alerting{Error: f.trouble}
	for _, d := range f.desks {
		t := report.AlertTarget{
			Name: d.Name, Type: d.Type, Where: d.Where, Delivered: d.delivered, Tries: d.queue.Tries(),
			Answer: d.answer, Error: d.err, ToldAgoMS: ago(d.toldAt), FailedAgoMS: ago(d.failedAt),
		}
		t.Waiting, t.Held, t.Dropped, t.Refused = d.queue.Counts()
		v.Targets = append(v.Targets, t)
	}
	return v
}

func ago(at time.Time) *float64 {
	if at.IsZero() {
		return nil
	}
	ms := float64(time.Since(at).Microseconds()) / 1000
	return &ms
}

// A Broken is the Sender of a target that cannot be used: a secret that cannot be
// read, say. It fails until the agent is started again, or a reload finds it mended.
type Broken struct{ Err error }

// Send says why.
func (b Broken) Send(context.Context, *alert.Alert) (string, error) { return "", b.Err }
