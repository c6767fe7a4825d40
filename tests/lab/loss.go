package lab

import "time"

// LongestLoss returns the longest run of lost probes among those sent between
// two moments of the prober's clock: from the first that was lost to the next
// that was answered. Unlike [Report.Outage] it leaves out the time in which
// the prober itself did not probe before the run, so that no loss is 0.
func (p *Prober) LongestLoss(from, to time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest, since := time.Duration(0), time.Duration(-1)
	for i, at := range p.sent {
		if at < from || at > to {
			continue
		}
		switch {
		case !p.replies[i] && since < 0:
			since = at
		case p.replies[i] && since >= 0:
			longest, since = max(longest, at-since), -1
		}
	}
	if since >= 0 { // still lost
		longest = max(longest, to-since)
	}
	return longest
}
