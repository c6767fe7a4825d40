package lab

import (
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Terminate asks the box's agent to end in order, and does not wait for it.
func (n *Node) Terminate() { n.signal(syscall.SIGTERM) }

// roundTrip is the time from a probe's departure, in the low bits of the wall
// clock's microseconds, to the moment at which the kernel had the answer. So
// the prober may come late to read it.
func roundTrip(left uint32, extra []byte) time.Duration {
	messages, err := unix.ParseSocketControlMessage(extra)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Duration(uint32(time.Unix(ts.Unix()).UnixMicro())-left) * time.Microsecond
		}
	}
	return 0
}

// ServedWithin is Report, but a probe whose answer took longer than limit
// counts as lost. That matters in a handover: for some time the old owner is a
// router that holds the client's packets until the new one answers its ARP, so
// that they come late rather than not at all.
func (p *Prober) ServedWithin(limit, from, to time.Duration) Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &Prober{every: p.every}
	for i, at := range p.sent {
		if at < from || at > to {
			continue
		}
		q.sent = append(q.sent, at)
		q.replies = append(q.replies, p.replies[i] && p.took[i] <= limit)
	}
	return q.Report(from, to)
}

// Back says when the client was served for good after a moment of the prober's
// clock: how long after it the last probe was sent that was not answered within
// limit; 0 if there was none. Probes younger than settle, which may still be on
// their way, are left out. Up is false if the newest one that counts was lost.
func (p *Prober) Back(limit, after, settle time.Duration) (lasted time.Duration, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	newest := time.Since(p.began) - settle
	for i, at := range p.sent {
		if at < after || at > newest {
			continue
		}
		up = p.replies[i]
		if !up || p.took[i] > limit {
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
