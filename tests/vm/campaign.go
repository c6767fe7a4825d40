package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// A result is what came of an iteration: one line of the results file.
type result struct {
	plan
	Seed      uint64  `json:"seed"`
	Scale     float64 `json:"scale"`
	OutageMS  int64   `json:"outage_ms"`
	BothMS    int64   `json:"both_ms"`
	HealMS    int64   `json:"heal_ms"` // from the mending to a pair that is well
	Violation string  `json:"violation,omitempty"`
}

// played reads which iterations of a seed a results file holds; a file that is
// not there holds none.
func played(file string, seed uint64) (map[int]bool, error) {
	have := map[int]bool{}
	f, err := os.Open(file)
	if os.IsNotExist(err) || file == "" {
		return have, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if r.Seed == seed {
			have[r.Index] = true
		}
	}
	return have, lines.Err()
}

func appendResult(file string, r result) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return err
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
