package vm

import (
	"fmt"
	"time"
)

// A result is what came of an iteration.
type result struct {
	plan
	Seed      uint64  `json:"seed"`
	Scale     float64 `json:"scale"`
	OutageMS  int64   `json:"outage_ms"`
	BothMS    int64   `json:"both_ms"`
	HealMS    int64   `json:"heal_ms"` // from the mending to a pair that is well
	Violation string  `json:"violation,omitempty"`
}

// iterate plays one iteration on a pair that is well.
func (x *play) iterate(p plan, seed uint64) result {
	r := result{plan: p, Seed: seed, Scale: x.Timing.Scale}
	x.struck = x.Probe.Now()
	from := x.Who.Now()
	violated := func(err error) {
		if err != nil && r.Violation == "" {
			r.Violation = err.Error()
		}
	}
	violated(x.strike(p))
	mended := time.Now()
	violated(x.mend())
	violated(x.await("one owner, and a standby that would take over", func() bool { return x.well(0) || x.well(1) }))
	r.HealMS = time.Since(mended).Milliseconds()
	r.OutageMS = x.outage().Outage.Milliseconds()
	both := x.Who.Overlap(x.Machines[0].MAC, x.Machines[1].MAC, from, x.Who.Now())
	if r.BothMS = both.Milliseconds(); both > 0 {
		r.Violation = fmt.Sprintf("both nodes were active for %s", both) // worse than all else
	}
	violated(x.crashed())
	return r
}
