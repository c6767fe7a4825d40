package lab

import (
	"net"
	"syscall"
	"time"
)

// Terminate asks the box's agent to end in order, and does not wait for it.
func (n *Node) Terminate() { n.signal(syscall.SIGTERM) }

// Back says when the client was served for good after a moment of the prober's
// clock: how long after it the last probe was sent that was lost; 0 if none
// was. Probes younger than settle, which may still be on their way, are left
// out. Up is false if the newest one that counts was lost.
func (p *Prober) Back(after, settle time.Duration) (lasted time.Duration, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	newest := time.Since(p.began) - settle
	for i, at := range p.sent {
		if at < after || at > newest {
			continue
		}
		up = p.replies[i]
		if !up {
			lasted = at - after + p.every
		}
	}
	return lasted, up
}

// AnswersOf says when a box answered first and last between two moments of the
// observer's clock, as the time of the question; ok is false if it never did.
func (o *Observer) AnswersOf(mac net.HardwareAddr, from, to time.Duration) (first, last time.Duration, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, at := range o.asked {
		if at < from || at > to {
			continue
		}
		if o.answers[i][0].String() != mac.String() && o.answers[i][1].String() != mac.String() {
			continue
		}
		if !ok {
			first, ok = at, true
		}
		last = at
	}
	return first, last, ok
}

// Late returns the longest time between two moments of the observer's clock in
// which it did not ask, less its interval: so long two owners could have gone
// unseen.
func (o *Observer) Late(from, to time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	var late time.Duration
	last := time.Duration(-1)
	for _, at := range o.asked {
		if at < from || at > to {
			continue
		}
		if last >= 0 {
			late = max(late, at-last-o.every)
		}
		last = at
	}
	return late
}
