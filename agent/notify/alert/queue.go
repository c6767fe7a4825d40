package alert

import (
	"slices"
	"time"
)

// Bounds of a queue.
const (
	// MaxWaiting is how many alerts wait for one target; beyond it the oldest is
	// dropped, counted and told of.
	MaxWaiting = 100
	// MaxTopics is how many topics are remembered so that a repetition is known;
	// beyond it the oldest is forgotten, and what it held back is told.
	MaxTopics = 128
	// MinRetry is the pause after the first try that failed; it doubles up to MaxRetry.
	MinRetry = 2 * time.Second
	MaxRetry = 5 * time.Minute
	// MaxRefusals is how often a target may refuse one alert for what it says.
	// Then it is given up: it would keep all others from getting through.
	MaxRefusals = 3
	// maxStates bounds the states of one topic that are told within a window.
	maxStates = 8
)

// A Filter says which alerts a target wants.
type Filter struct {
	Severity Severity // at least as bad as this
	Groups   []string // empty: all. What is about no group passes
	Kinds    []string // empty: all
}

// Wants says whether an alert passes.
func (f Filter) Wants(a *Alert) bool {
	switch {
	case a.Severity > f.Severity:
		return false
	case len(f.Kinds) > 0 && !slices.Contains(f.Kinds, a.Kind):
		return false
	}
	return len(f.Groups) == 0 || a.Group == "" || slices.Contains(f.Groups, a.Group)
}

// Limits of a target.
type Limits struct {
	Repeat time.Duration // within it each state of one topic that is not critical is told once; 0: always
	Rate   int           // alerts an hour, which may come at once; 0: any
}

// A window is the time within which one topic's repetitions are only counted.
type window struct {
	topic   string
	until   time.Duration
	states  []string // told within it
	repeats int
	last    Alert // the newest that was not told
}

// A Queue is what waits for one target. Times are monotonic, from any origin.
// Use New. It is not safe for concurrent use.
type Queue struct {
	name    string
	pair    Pair
	filter  Filter
	limits  Limits
	waiting []Alert // oldest first
	windows []window
	dropped uint64 // not yet told
	telling uint64 // of them, in the alert that Next gave last
	paid    time.Duration
	tries   int
	refused int
	retryAt time.Duration
	lost    uint64 // given up because they were refused, since the start
}

// New returns an empty queue of a target.
func New(name string, p Pair, f Filter, l Limits) *Queue {
	return &Queue{name: name, pair: p, filter: f, limits: l}
}

// Change gives the queue another filter and other limits, for what is offered
// from now on. What waits is tried at once: it may be for another address now.
func (q *Queue) Change(f Filter, l Limits) {
	q.filter, q.limits = f, l
	q.tries, q.refused, q.retryAt = 0, 0, 0
}

// Offer takes an alert if the target wants it, or counts it as a repetition.
func (q *Queue) Offer(now time.Duration, a *Alert) {
	if !q.filter.Wants(a) || a.Kind == KindNotify && a.Name == q.name {
		return
	}
	one := *a // other queues are offered it, too
	if q.limits.Repeat > 0 && !q.isNews(now, &one) {
		return
	}
	q.put(one)
}

// Lose counts alerts that went by unseen.
func (q *Queue) Lose(n uint64) { q.dropped += n }

// isNews says whether an alert is to be told now. One window holds all states of
// a topic, so that what is told last is what came last: news takes the count of
// what was held back with it. What is critical is always news.
func (q *Queue) isNews(now time.Duration, a *Alert) bool {
	q.due(now)
	topic := a.topic()
	i := slices.IndexFunc(q.windows, func(w window) bool { return w.topic == topic })
	if i < 0 {
		if len(q.windows) == MaxTopics {
			q.forget(0)
		}
		q.windows = append(q.windows, window{topic: topic, until: now + q.limits.Repeat, states: []string{a.State}})
		return true
	}
	w := &q.windows[i]
	first := !slices.Contains(w.states, a.State) && len(w.states) < maxStates
	if first {
		w.states = append(w.states, a.State)
	}
	if first || a.Severity <= Critical {
		a.Repeats, w.repeats = w.repeats, 0
		return true
	}
	w.repeats++
	w.last = *a
	return false
}

// due ends the windows whose time is over. Those that held something back tell
// the newest of it, and begin anew.
func (q *Queue) due(now time.Duration) {
	for i := 0; i < len(q.windows); { // each turn ends a window or passes one
		w := &q.windows[i]
		if w.until > now {
			i++
			continue
		}
		if w.repeats == 0 {
			q.windows = slices.Delete(q.windows, i, i+1)
			continue
		}
		q.put(w.summary())
		w.until, w.states, w.repeats = now+q.limits.Repeat, []string{w.last.State}, 0
		i++
	}
}

// summary is the newest of what a window held back.
func (w window) summary() Alert {
	a := w.last
	a.Repeats = w.repeats - 1
	return a
}

// forget ends a window before its time.
func (q *Queue) forget(i int) {
	if q.windows[i].repeats > 0 {
		q.put(q.windows[i].summary())
	}
	q.windows = slices.Delete(q.windows, i, i+1)
}

func (q *Queue) put(a Alert) {
	if len(q.waiting) == MaxWaiting {
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.dropped++
		q.refused = 0 // another one is first now
	}
	q.waiting = append(q.waiting, a)
}

// Next returns the alert to send now. If there is none, wait says when to ask
// again; 0: when something was offered. at is the wall clock, for what the queue
// itself has to say.
func (q *Queue) Next(now time.Duration, at time.Time) (a Alert, ok bool, wait time.Duration) {
	q.due(now)
	q.telling = 0
	if len(q.waiting) == 0 && q.dropped == 0 {
		return Alert{}, false, q.nextWindow(now)
	}
	if ready := max(q.retryAt, q.nextByRate()); ready > now {
		return Alert{}, false, ready - now
	}
	if q.dropped > 0 {
		q.telling = q.dropped
		return overflow(q.pair, at, q.dropped), true, 0
	}
	return q.waiting[0], true, 0
}

// nextWindow is how long until a window has something to tell.
func (q *Queue) nextWindow(now time.Duration) time.Duration {
	wait := time.Duration(0)
	for _, w := range q.windows {
		if left := w.until - now; w.repeats > 0 && (wait == 0 || left < wait) {
			wait = max(left, 1)
		}
	}
	return wait
}

// nextByRate is when the next alert may go: paid is how far into the future the
// alerts sent so far have used up the rate.
func (q *Queue) nextByRate() time.Duration {
	if q.limits.Rate == 0 {
		return 0
	}
	return q.paid + time.Hour/time.Duration(q.limits.Rate) - time.Hour
}

// An Outcome is how an attempt ended.
type Outcome uint8

// The outcomes.
const (
	Delivered Outcome = iota + 1
	Failed            // it may work later
	Refused           // for what the alert says: it will not work later
)

// Done ends the attempt to send the alert that sent is, as Next gave it.
func (q *Queue) Done(now time.Duration, sent Alert, o Outcome) {
	if o == Refused {
		q.refused++
		if q.refused < MaxRefusals {
			o = Failed
		}
	}
	if o == Failed {
		q.retryAt = now + MinRetry<<min(q.tries, 16)
		q.retryAt = min(q.retryAt, now+MaxRetry)
		q.tries++
		return
	}
	if o == Refused {
		q.lost++
	}
	q.tries, q.refused, q.retryAt = 0, 0, 0
	if q.limits.Rate > 0 {
		q.paid = max(q.paid, now) + time.Hour/time.Duration(q.limits.Rate)
	}
	switch { // what was sent may have been dropped meanwhile
	case q.telling > 0:
		q.dropped -= q.telling
		q.telling = 0
	case len(q.waiting) > 0 && q.waiting[0] == sent:
		q.waiting = slices.Delete(q.waiting, 0, 1)
	case q.dropped > 0:
		q.dropped-- // it was counted as dropped
	}
}

// Tries is how many attempts at the first alert failed.
func (q *Queue) Tries() int { return q.tries }

// Counts returns how many alerts wait, how many repetitions are held back, how
// many were dropped without having been told, and how many were given up.
func (q *Queue) Counts() (waiting, held int, dropped, lost uint64) {
	for _, w := range q.windows {
		held += w.repeats
	}
	return len(q.waiting), held, q.dropped, q.lost
}

// A Backlog is what a queue owes its target.
type Backlog struct {
	Name    string
	Dropped uint64
	Waiting []Alert
}

// Backlog returns it; held: with what windows hold back, which do not survive.
func (q *Queue) Backlog(held bool) Backlog {
	b := Backlog{q.name, q.dropped, slices.Clone(q.waiting)}
	for _, w := range q.windows {
		if held && w.repeats > 0 {
			b.Waiting = append(b.Waiting, w.summary())
		}
	}
	return b
}

// Restore puts what an earlier queue owed before anything else.
func (q *Queue) Restore(b Backlog) {
	q.dropped += b.Dropped
	for _, a := range b.Waiting {
		q.put(a)
	}
}
