package main

import (
	"context"
	"errors"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// How a run is watched.
const (
	grain    = time.Millisecond        // between two probes
	spaced   = 10 * time.Millisecond   // of the second prober, for "no probe lost at 10 ms"
	warmup   = 200 * time.Millisecond  // of the probers, before the fault
	answered = 30 * time.Millisecond   // a probe younger than that may still be on its way
	sharp    = 2 * time.Millisecond    // a prober that is not later than that is on time
	prompt   = 3 * time.Millisecond    // an answer that takes longer counts as none
	after    = 150 * time.Millisecond  // watched on, when the fault is over
	healed   = 1500 * time.Millisecond // watched after a heal
	healMost = 45 * time.Second        // longest wait for a client that is still cut off after a heal
)

// A shot is what was seen of one fault. Times are in milliseconds, from the
// moment of the fault unless stated; -1 stands for "not measured" or "never".
type shot struct {
	Fault    string  `json:"fault"`
	Outage   float64 `json:"outage_ms"`        // longest time the client was not served
	Late     float64 `json:"prober_late_ms"`   // longest time the prober itself did not probe
	Unsure   bool    `json:"unsure,omitempty"` // the outage is not longer than the prober was late
	Both     float64 `json:"both_active_ms"`   // two boxes answered the same question
	AskLate  float64 `json:"asker_late_ms"`    // longest time in which two owners could have gone unseen
	Missed   int     `json:"lost_or_late"`     // probes not answered promptly
	Lost     int     `json:"lost"`             // probes that were never answered
	Lost10   int     `json:"lost_at_10ms"`     // probes lost of those sent every 10 ms
	Dark     float64 `json:"old_owner_dark_ms"`
	Served   float64 `json:"new_owner_serves_ms"`
	LastVIP  float64 `json:"last_vip_answers_ms"`
	LastSaid float64 `json:"last_vip_announced_ms"`
	Heal     float64 `json:"heal_ms"` // after the heal, until the client was served for good
	Moves    int     `json:"role_changes"`
	Alarm    float64 `json:"alarm_ms"`
	Healed   bool    `json:"healed"` // a heal was part of it
	Kept     bool    `json:"kept"`   // nothing was to move: Moves and Alarm count
}

func newShot(fault string) shot {
	return shot{Fault: fault, Dark: -1, Served: -1, LastVIP: -1, LastSaid: -1, Heal: -1, Alarm: -1}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// A view is the client and the observers of one run.
type view struct {
	l      *lab.Lab
	vips   int
	probe  *lab.Prober
	spaced *lab.Prober
	who    *lab.Observer
	sweep  *lab.Sweeper

	t0, o0, s0, w0 time.Duration // the moment of the fault, by each clock
	at             time.Time
}

var errUnserved = errors.New("watch the client: it was not served before the fault")

// watch starts the probers and waits until the client is served.
func watch(ctx context.Context, l *lab.Lab, vips int) (*view, error) {
	v := &view{l: l, vips: vips}
	var err error
	if v.probe, err = l.Probe(lab.VIP(0), grain); err != nil {
		return nil, err
	}
	if v.who, err = l.Observe(lab.VIP(0), grain); err != nil {
		v.stop()
		return nil, err
	}
	if v.spaced, err = l.Probe(lab.VIP(0), spaced); err != nil {
		v.stop()
		return nil, err
	}
	pause(ctx, warmup)
	if !lab.Until(2*time.Second, v.served) {
		v.stop()
		return nil, errUnserved
	}
	return v, nil
}

func (v *view) stop() {
	if v.sweep != nil {
		v.sweep.Stop()
	}
	if v.spaced != nil {
		v.spaced.Stop()
	}
	if v.who != nil {
		v.who.Stop()
	}
	if v.probe != nil {
		v.probe.Stop()
	}
}

// served says that the client's newest probes were all answered.
func (v *view) served() bool {
	newest := v.probe.Strip(20, answered)
	for _, up := range newest {
		if !up {
			return false
		}
	}
	return len(newest) > 0
}

// mark is the moment of the fault. With many addresses the sweep of the one
// that is to own them begins.
func (v *view) mark(next *lab.Node) error {
	if v.vips > 1 && next != nil {
		var err error
		if v.sweep, err = v.l.Sweep(v.vips, next.MAC); err != nil {
			return err
		}
		v.s0 = v.sweep.Now()
	}
	v.t0, v.o0, v.w0, v.at = v.probe.Now(), v.who.Now(), v.spaced.Now(), time.Now()
	return nil
}

// moved says that the new owner answers for all addresses and the client is
// served again.
func (v *view) moved(next *lab.Node) bool {
	if o := v.who.Owner(answered); o.String() != next.MAC.String() {
		return false
	}
	if v.sweep != nil && v.sweep.Report().Missing > 0 {
		return false
	}
	return v.served()
}

// take sums up what was seen since the mark.
func (v *view) take(s *shot, old, next *lab.Node) {
	r := v.probe.ServedWithin(prompt, v.t0-spaced, v.probe.Now()-answered)
	s.Outage, s.Late = ms(r.Outage), ms(r.Late)
	// Between two probes anything may have happened: the outage is then as long
	// as the prober was late, at most.
	s.Unsure = r.Outage > sharp && r.Outage <= r.Late
	s.Missed = r.Lost
	if r.Lost == 0 && r.Late <= sharp {
		s.Outage = 0
	}
	s.Lost = v.probe.Report(v.t0-spaced, v.probe.Now()-answered).Lost
	both, _ := v.who.BothActive(v.o0, v.who.Now())
	s.Both, s.AskLate = ms(both), ms(v.who.Late(v.o0, v.who.Now()))
	s.Lost10 = v.spaced.Report(v.w0, v.spaced.Now()-answered).Lost
	if old != nil {
		if _, last, ok := v.who.AnswersOf(old.MAC, v.o0, v.who.Now()); ok {
			s.Dark = ms(last - v.o0)
		} else {
			s.Dark = 0
		}
	}
	if next != nil {
		if first, _, ok := v.who.AnswersOf(next.MAC, v.o0, v.who.Now()); ok {
			s.Served = ms(first - v.o0)
		}
	}
	if v.sweep == nil {
		return
	}
	if sr := v.sweep.Report(); sr.Missing == 0 {
		s.LastVIP = ms(sr.Answered - v.s0)
		if sr.Unannounced == 0 {
			s.LastSaid = ms(sr.Announced - v.s0)
		}
	}
}

// heal undoes a fault and measures until the client is served for good.
func (v *view) heal(ctx context.Context, s *shot, undo func() error) error {
	from := v.probe.Now()
	if err := undo(); err != nil {
		return err
	}
	pause(ctx, healed)
	for end := time.Now().Add(healMost); time.Now().Before(end) && !v.served() && ctx.Err() == nil; {
		pause(ctx, 50*time.Millisecond)
	}
	lasted, up := v.probe.Back(prompt, from, answered)
	s.Healed, s.Heal = true, ms(lasted)
	if !up {
		s.Heal = -1
	}
	return ctx.Err()
}
