package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// verifyGrace is how much longer than Dead the peer must be silent after the
// proof: frames may still be in a buffer.
const verifyGrace = 500 * time.Millisecond

// A verification switches the peer off while nobody needs it, and looks whether
// it is the peer that falls silent.
type verification struct {
	by     string
	reply  chan result
	began  pair.Instant
	done   *fencedFact  // the end of the off; nil: it is under way
	endAt  pair.Instant // of it
	record *report.Verified
	err    error
	ending bool // the peer is being switched on again
}

// verifyFence begins a verification, or says why not.
func (l *Loop) verifyFence(now pair.Instant, o order) {
	if err := l.mayVerify(now); err != nil {
		o.reply <- result{err: fmt.Errorf("verify fence: %w", err)}
		return
	}
	l.operator(now, o.Order)
	f := &l.fence
	f.running, f.dropped, f.began = true, false, now
	f.verify = &verification{by: o.By, reply: o.reply, began: now}
	l.event(now, report.Event{Kind: "fence", Seen: reason(o.Order), Decided: "verify the wiring: switch " + l.o.Peer.Name + " off, and on again", Done: "asking " + l.o.FenceName})
	l.o.Lanes.Cancel("fence status")
	hands := l.o.Hands
	l.lane("fence", l.o.FenceTime, func(ctx context.Context) Fact {
		done := hands.Fence(ctx)
		return verifiedFact{done, done.Proven && l.linesStay(ctx)}
	}, func(err error) Fact { return verifiedFact{FenceDone: FenceDone{Evidence: err.Error()}} })
}

// mayVerify says what forbids to switch the peer off: it must be of no use to
// anybody, and its silence must say something.
func (l *Loop) mayVerify(now pair.Instant) error {
	f := &l.fence
	switch {
	case l.o.FenceName == "":
		return errors.New("no fence device is configured")
	case f.running || len(f.waiting) > 0:
		return errors.New("a fence operation is under way")
	case l.stopping:
		return errors.New("the agent is stopping")
	case !l.twoWay(now):
		return fmt.Errorf("no two-way contact with %s: its silence would prove nothing", l.o.Peer.Name)
	}
	for i, g := range l.groups {
		if i >= l.peer.m.NGroups || pair.State(l.peer.m.Groups[i].State) != pair.Maintenance {
			return fmt.Errorf("%s is not in maintenance; run there: twinbeat maintenance on --reason 'fence verify'", l.o.Peer.Name)
		}
		if v := g.m.View(); !g.opened || v.State != pair.Active && v.State != pair.Solo {
			return fmt.Errorf("group %s is not served by this node (%v)", g.Name, v.State)
		}
	}
	return nil
}

type verifiedFact fencedFact

func (r verifiedFact) apply(l *Loop, now pair.Instant) {
	v := l.fence.verify
	d := fencedFact(r)
	v.done, v.endAt = &d, now
	l.provenOff(d.FenceDone)
}

// judgeVerify ends a verification: with the peer's silence, or without.
func (l *Loop) judgeVerify(now pair.Instant) {
	v := l.fence.verify
	if v == nil || v.done == nil || v.ending {
		return
	}
	if v.done.Proven && now.Since(v.endAt) <= l.o.Dead+verifyGrace {
		return
	}
	v.ending = true
	v.record, v.err = l.verdict(v)
	l.switchOn(now, func(err error) Fact { return verifyEndFact{err} })
}

// verdict says what the verification found.
func (l *Loop) verdict(v *verification) (*report.Verified, error) {
	d := v.done
	switch {
	case !d.Proven:
		return nil, fmt.Errorf("%s was not proven off: %s", l.o.Peer.Name, d.text())
	case l.peer.heardAt > v.endAt:
		return nil, fmt.Errorf("%s reads off, but %s still beats: wrong outlet, or it has another power supply", l.o.FenceName, l.o.Peer.Name)
	}
	r := &report.Verified{
		At: l.o.Wall(), By: v.by, Wiring: l.o.FenceWiring, Grade: d.Grade,
		OffMS: d.Took.Milliseconds(), SilentMS: max(0, l.peer.heardAt.Since(v.began).Milliseconds()),
	}
	if fell := l.fence.fellAt; fell >= v.began && !d.stay {
		ms := fell.Since(v.began).Milliseconds()
		r.LinesMS = &ms
	}
	for _, p := range l.paths {
		if lines := p.Path.View().Lines; lines != "" {
			r.Cable = lines
		}
	}
	return r, nil
}

type verifyEndFact struct{ err error }

func (e verifyEndFact) apply(l *Loop, now pair.Instant) {
	f := &l.fence
	v := f.verify
	f.running, f.verify, f.power = false, nil, "on"
	text := ""
	if v.record != nil {
		f.verified, l.saved.Verified = v.record, v.record
		text = l.verifyText(v.record)
	}
	if e.err != nil {
		f.power = "unknown"
		v.err = errors.Join(v.err, fmt.Errorf("%s could not be switched on again: %w", l.o.Peer.Name, e.err))
	}
	rec := report.Fence{
		By: v.by, Why: "verification of the wiring", Action: "verify", Proven: v.record != nil,
		Grade: v.done.Grade, Evidence: text, Detail: v.done.Detail, TookMS: now.Since(v.began).Milliseconds(),
	}
	if v.err != nil {
		rec.Evidence = v.err.Error()
	}
	l.history(rec)
	l.event(now, report.Event{Kind: "fence", Seen: rec.Evidence, Decided: map[bool]string{true: "the wiring is verified", false: "the wiring is NOT verified"}[v.record != nil]})
	l.judgeLeave(now)
	if v.err != nil {
		v.reply <- result{text, fmt.Errorf("verify fence: %w", v.err)}
		return
	}
	v.reply <- result{text: text}
}

func (l *Loop) verifyText(r *report.Verified) string {
	lines := "its modem lines say nothing"
	if r.LinesMS != nil {
		lines = fmt.Sprintf("its modem lines fell after %d ms", *r.LinesMS)
	}
	return fmt.Sprintf("verified: %s switched %s off (%s); its last heartbeat came %d ms after the order, %s, the proof after %d ms; it is on again",
		l.o.FenceName, l.o.Peer.Name, r.Grade, r.SilentMS, lines, r.OffMS)
}
