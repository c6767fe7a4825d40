package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// Time that an iteration may take.
const (
	healedWithin = 5 * time.Second // issue: every fault healed within
	starvedTime  = time.Minute     // on a machine that stands still again and again
	settle       = 30 * time.Millisecond
	probeTrail   = 50 * time.Millisecond
	stepsMost    = 6 * time.Second
	fencesMost   = 3
)

// A result is what came of an iteration.
type result struct {
	Index     int      `json:"index"`
	Class     string   `json:"class"`
	Faults    []string `json:"faults"`
	OutageMS  float64  `json:"outage_ms"`
	HealMS    float64  `json:"heal_ms"`  // from the heal until all was well
	BothMS    int      `json:"both_ms"`  // both boxes active
	Asked     int      `json:"asked"`    // questions of the watch
	WatchMS   float64  `json:"watch_ms"` // longest time in which it did not ask
	BlindMS   float64  `json:"blind_ms"` // all the time in which it asked too slowly to prove anything
	StallMS   float64  `json:"stall_ms"` // longest time in which this machine let an ordinary program wait
	Moved     bool     `json:"moved"`
	Fenced    int      `json:"fenced,omitempty"`
	Operator  []string `json:"operator,omitempty"`
	Starved   []string `json:"starved,omitempty"` // would be violations, had the machine not stood still
	Missing   string   `json:"missing,omitempty"` // why a fault could not be made here
	Violation []string `json:"violation,omitempty"`
}

// play runs one iteration on a pair that is well.
func (p *pair) play(plan plan, stalls *lab.StallWatch) (r result, err error) {
	r = result{Index: plan.Index, Class: plan.Class}
	owner, ok := p.untilWell(starvedTime) // it was well; on a busy machine a frame may be lost since
	if !ok {
		return r, fmt.Errorf("iteration %d: the pair is not well before it: %s", plan.Index, p.show())
	}
	p.prepare()
	from, probed, fenced := p.watch.now(), p.probe.Now(), p.fenced
	var picked []fault
	for _, k := range plan.Picks {
		f, err := faultNamed(k.Fault)
		if err != nil {
			return r, err
		}
		picked = append(picked, f)
		r.Faults = append(r.Faults, f.name)
		x := &strike{pair: p, rng: rand.New(rand.NewPCG(k.Seed, 0)), owner: owner, peer: 1 - owner}
		p.steps = append(p.steps, step{k.After, func() error { return f.strike(x) }})
	}
	if err := p.run(plan.Hold, &r); err != nil {
		return r, err
	}
	p.note("heal")
	if err := p.heal(); err != nil {
		return r, fmt.Errorf("iteration %d (%s): heal: %w", plan.Index, plan.names(), err)
	}
	last, inTime := p.recover(&r, stalls)
	time.Sleep(probeTrail)
	for range fencesMost { // a command of the fence that was under way may come late
		if last < 0 || p.Nodes[0].Pid() != 0 && p.Nodes[1].Pid() != 0 {
			break
		}
		last, inTime = p.recover(&r, stalls)
		time.Sleep(probeTrail)
	}
	r.Moved = last != owner
	r.OutageMS = millis(p.probe.LongestLoss(probed, p.probe.Now()-probeTrail))
	v := p.watch.between(from, p.watch.now()-settle)
	r.BothMS, r.Asked, r.WatchMS, r.BlindMS = v.both(), v.Asked, millis(v.Late), millis(v.Blind)
	r.StallMS = millis(stalls.Since(p.began))
	r.Fenced = p.fenced - fenced
	j := judge{p: p, plan: plan, faults: picked, owner: owner, last: last, result: &r}
	j.judge(v, inTime)
	if len(r.Violation) > 0 {
		p.keep(plan, r, from)
	}
	return r, nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// prepare forgets the iteration before.
func (p *pair) prepare() {
	p.noteMu.Lock()
	p.notes = nil
	p.noteMu.Unlock()
	p.steps, p.heals = nil, nil
	p.expectCrash, p.wallStepped, p.forgot = false, false, false
	for i, n := range p.Nodes {
		p.marks[i] = p.lastSeq(i)
		if s, err := os.Stat(n.LogPath()); err == nil {
			p.logged[i] = s.Size()
		}
	}
	p.began = time.Now()
}

// run does the steps of the faults, and holds them.
func (p *pair) run(hold time.Duration, r *result) error {
	for {
		p.hands.Lock()
		if len(p.steps) == 0 || p.clock() > stepsMost {
			p.hands.Unlock()
			break
		}
		next := p.steps[0]
		if wait := next.at - p.clock(); wait > 0 {
			p.hands.Unlock()
			time.Sleep(wait)
			continue
		}
		p.steps = p.steps[1:]
		err := next.do()
		p.hands.Unlock()
		var missing unavailable
		switch {
		case errors.As(err, &missing):
			r.Missing = missing.Error()
		case err != nil && (p.Nodes[0].Pid() == 0 || p.Nodes[1].Pid() == 0):
			p.note("%v", err) // the other fault was first: there is no such agent, or port
		case err != nil:
			return fmt.Errorf("iteration %d (%s): %w", r.Index, strings.Join(r.Faults, " + "), err)
		}
	}
	if left := hold - p.clock(); left > 0 {
		time.Sleep(left)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// operateEvery is how often the operator looks.
const operateEvery = 150 * time.Millisecond

// recover waits for the pair to be well again.
func (p *pair) recover(r *result, stalls *lab.StallWatch) (owner int, inTime bool) {
	healed, fenced := time.Now(), p.fenced
	for {
		if time.Since(healed) > starvedTime {
			r.HealMS = millis(time.Since(healed))
			return -1, false
		}
		if p.fenced != fenced { // a box that came back late was switched off: the site switches it on
			healed, fenced = time.Now(), p.fenced
		}
		owner, ok := p.untilWell(operateEvery)
		if ok {
			took := time.Since(healed)
			r.HealMS = millis(took)
			return owner, took <= healedWithin
		}
		// A machine that stood still gives the pair its five seconds anew.
		if time.Since(later(healed, stalls.Last())) > healedWithin {
			r.HealMS = millis(time.Since(healed))
			return -1, false
		}
		r.Operator = append(r.Operator, p.operate()...)
	}
}
