package main

import (
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

const (
	// trialLead is how much of the time before a fault is measured with it: the
	// outage begins at the last answer before.
	trialLead = 100 * time.Millisecond
	// trialTime is how long after a key what happens is put down to it.
	trialTime = 20 * time.Second
)

// A trial is the time from a fault on.
type trial struct {
	name            string
	began           time.Time
	probe, observed time.Duration // the clocks of the prober and the observer
	before          int           // who served, -1 for nobody
}

func (t *trial) over() bool { return time.Since(t.began) > trialTime }

// A result is what was seen during a trial.
type result struct {
	name   string
	before int
	after  int
	lost   time.Duration // longest run of lost probes
	client lab.Report
	page   time.Duration
	pages  bool // page says something
	both   time.Duration
	asked  int
	proof  string
}

// begin starts to measure what comes.
func (w *world) begin(name string) {
	before := w.active()
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &trial{name: name, began: time.Now(), before: before}
	t.probe, t.observed = w.probe.Now()-trialLead, w.observe.Now()
	w.trial = t
}

// result sums up the trial; ok is false if there is none.
func (w *world) result() (r result, ok bool) {
	after := w.active()
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.trial
	if t == nil || t.name == "" {
		return r, false
	}
	r = result{name: t.name, before: t.before, after: after}
	r.lost = w.probe.LongestLoss(t.probe, w.probe.Now()-settleProbe)
	r.client = w.probe.Report(t.probe, w.probe.Now()-settleProbe)
	r.both, r.asked = w.observe.BothActive(t.observed, w.observe.Now()-settleProbe)
	r.page, r.pages = w.user.outage(t.began.Add(-trialLead))
	if after >= 0 && after != t.before {
		if s, fresh := w.state[after].latest(); fresh && len(s.Groups) > 0 {
			r.proof = s.Groups[0].Evidence
		}
	}
	return r, true
}

// name of a box, by index.
func (w *world) name(i int) string {
	if i < 0 {
		return "nobody"
	}
	return w.lab.Nodes[i].Name
}

// moved says in a few words who served before and after.
func (w *world) moved(r result) string {
	if r.before == r.after {
		return w.name(r.after) + " stayed"
	}
	return w.name(r.before) + " -> " + w.name(r.after)
}

// ms writes a duration in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%d", d.Milliseconds()) }

// pageText is the page's outage; "-" where there is no web server.
func pageText(r result) string {
	if !r.pages {
		return "-"
	}
	return ms(r.page)
}
