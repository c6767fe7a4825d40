// Package rounds asks sources of sensors in turn, each with a deadline: a file in
// /sys can hang for seconds behind a bus, or for ever. One that hangs is left
// behind with its goroutine, which costs a thread, and named; the others are
// asked by another one. It refuses to leave more than [MaxLeft] behind, and to
// ask a source again that has not come back. Start reading at [Rounds.Ask].
package rounds

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/sensors"
)

const (
	// MaxLeft is how many readers may hang at a time, each on a thread. Beyond it
	// nothing is read any more until one comes back.
	MaxLeft = 8
	// MaxReadings bounds what one source may say; what is more is left out.
	MaxReadings = 256
	// FindEvery is the time between two looks for sensors that came or went.
	FindEvery = time.Minute
	// findPatience is how long such a look may take, in deadlines of a source.
	findPatience = 5
)

// A Finder returns what there is to be asked. A source that was returned before
// and is still the same must be the same pointer, else its readings so far are
// forgotten. It is called by one goroutine at a time, and may hang.
type Finder func() []sensors.Source

// Rounds asks sources. Its methods must not be called at the same time.
type Rounds struct {
	find    Finder
	within  time.Duration
	posts   []*post
	worker  chan<- job      // at rest; nil: none
	left    int             // workers that hang
	looking <-chan struct{} // a look for sources that hangs; nil: none
	found   []sensors.Source
	looked  time.Time
	stale   bool // what that look finds is not wanted any more
	out     []sensors.Reading
	scratch *[]sensors.Reading // the worker's; one that is left behind keeps it
	timer   *time.Timer
}

// A post is one source and what it said last.
type post struct {
	sensors.Source
	seen  []sensors.Reading // last answer
	back  <-chan struct{}   // of the call that hangs; nil: none
	since time.Time         // it began
}

// A job is a piece of work and where its end is told.
type job struct {
	do   func()
	done chan<- struct{} // of one place
}

// New returns rounds over what find finds; within is the deadline of one source.
func New(find Finder, within time.Duration) *Rounds {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &Rounds{find: find, within: within, timer: t}
}

// Ask asks every source once and returns what all of them say at the time at,
// those that hang included. The slice is valid until the next call. It takes no
// longer than MaxLeft deadlines and what the sources take that do answer in time.
// Where ctx ends it returns at once, and what it returns is not whole.
func (r *Rounds) Ask(ctx context.Context, at time.Time) []sensors.Reading {
	if since := at.Sub(r.looked); r.looked.IsZero() || since >= FindEvery || since < 0 {
		r.look(ctx, at)
	}
	r.out = r.out[:0]
	for _, p := range r.posts {
		if ctx.Err() != nil {
			break
		}
		if r.free(p) {
			r.ask(ctx, p, at)
		}
		r.tell(p, at)
	}
	return r.out
}

// Change gives other sources and another deadline, from the next Ask on. Readers
// that hang go on being counted.
func (r *Rounds) Change(find Finder, within time.Duration) {
	r.find, r.within, r.looked, r.stale = find, within, time.Time{}, r.looking != nil
}

// Close ends the goroutine that waits for work. Those that hang end by themselves.
func (r *Rounds) Close() {
	if r.worker != nil {
		close(r.worker)
		r.worker = nil
	}
}

// free says whether a source may be asked, and takes back one that came to its end.
func (r *Rounds) free(p *post) bool {
	if p.back == nil {
		return true
	}
	select {
	case <-p.back:
		p.back = nil
		r.left--
		return true
	default:
		return false
	}
}

func (r *Rounds) ask(ctx context.Context, p *post, at time.Time) {
	scratch, within := r.scratch, r.within
	if scratch == nil {
		scratch = new([]sensors.Reading)
	}
	r.scratch = nil
	back, ended := r.run(ctx, within, func() { *scratch = p.Read((*scratch)[:0], at, within) })
	if !ended {
		p.back, p.since = back, at
		return
	}
	said := (*scratch)[:min(len(*scratch), MaxReadings)]
	if cap(p.seen) < len(said) {
		p.seen = make([]sensors.Reading, len(said))
	}
	p.seen = p.seen[:copy(p.seen[:len(said)], said)]
	r.scratch = scratch
}

// run does a piece of work on the worker. Where that does not end in time, or
// before ctx does, the worker is left behind; back tells when it ends, and is nil where too many hang
// already and nothing was done.
func (r *Rounds) run(ctx context.Context, within time.Duration, do func()) (back <-chan struct{}, ended bool) {
	if r.left >= MaxLeft {
		return nil, false
	}
	if r.worker == nil {
		jobs := make(chan job)
		r.worker = jobs
		go work(jobs)
	}
	done := make(chan struct{}, 1)
	r.worker <- job{do, done}
	r.timer.Reset(within)
	select {
	case <-done:
		r.timer.Stop()
		return nil, true
	case <-r.timer.C:
	case <-ctx.Done():
		r.timer.Stop()
	}
	close(r.worker)
	r.worker = nil
	r.left++
	return done, false
}

// work does one job after the other until there will be no more.
func work(jobs <-chan job) {
	for j := range jobs {
		j.do()
		j.done <- struct{}{}
	}
}

// tell appends what a source says.
func (r *Rounds) tell(p *post, at time.Time) {
	why := ""
	switch {
	case p.back == nil && r.left < MaxLeft:
		r.out = append(r.out, p.seen...)
		return
	case p.back == nil:
		why = fmt.Sprintf("not read: %d readers hang already", r.left)
	default:
		why = fmt.Sprintf("has not answered for %s", at.Sub(p.since).Round(time.Second))
		if w, ok := p.Source.(interface{ Where() string }); ok && w.Where() != "" {
			why = w.Where() + " " + why
		}
	}
	if len(p.seen) == 0 {
		r.out = append(r.out, sensors.Lost(p.Name(), p.Name(), sensors.Context, at, sensors.Blocked, why))
	}
	for _, s := range p.seen {
		lost := sensors.Lost(s.ID, s.Label, s.Kind, at, sensors.Blocked, why)
		lost.Unit, lost.Low, lost.High, lost.Crit = s.Unit, s.Low, s.High, s.Crit
		r.out = append(r.out, lost)
	}
}

// look finds out which sources there are, with a deadline of its own.
func (r *Rounds) look(ctx context.Context, at time.Time) {
	r.looked = at
	if r.looking != nil {
		select {
		case <-r.looking:
			r.looking = nil
			r.left--
			if r.stale {
				r.stale, r.looked = false, time.Time{} // the next Ask looks by the new finder
				return
			}
		default:
			return
		}
	} else {
		find := r.find
		back, ended := r.run(ctx, findPatience*r.within, func() { r.found = find() })
		if !ended {
			r.looking = back
			return
		}
	}
	posts := make([]*post, 0, len(r.found))
	for _, s := range r.found {
		posts = append(posts, r.known(s))
	}
	// A source that hangs keeps its reader, also where it left: until it ends.
	for _, p := range r.posts {
		if p.back != nil && !slices.Contains(posts, p) {
			posts = append(posts, p)
		}
	}
	r.posts = posts
}

func (r *Rounds) known(s sensors.Source) *post {
	for _, p := range r.posts {
		if p.Source == s {
			return p
		}
	}
	return &post{Source: s}
}
