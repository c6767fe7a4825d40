package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// A Tally sums up runs. Its digest does not depend on their order.
type Tally struct {
	Runs     int
	Life     time.Duration
	Faults   int
	Least    int // fewest faults of one run
	Events   int
	Entries  int
	Fences   int
	Replayed int
	BothOff  int // runs in which the fence device had both nodes off at once
	Deceived int // runs that ended with a lie of the fence device
	Evidence [evidences]int
	Healed   time.Duration
	Digest   uint64
	Cover    Coverage
}

// Add counts one run.
func (t *Tally) Add(seed uint64, r *Result) {
	x := Result{Digest: digestSeed}
	x.mix(seed)
	x.mix(r.Digest)
	x.mix(uint64(r.Events))
	one := Tally{
		Runs: 1, Life: r.Life, Faults: r.Faults, Least: r.Faults, Events: r.Events, Entries: r.Entries, Fences: r.Fences,
		Replayed: r.Replayed, Evidence: r.Evidence, Healed: r.Healed, Digest: x.Digest, Cover: r.Cover,
	}
	if r.BothOff {
		one.BothOff = 1
	}
	one.Deceived = r.Deceived
	t.Merge(&one)
}

// Merge counts what another tally counted.
func (t *Tally) Merge(o *Tally) {
	if t.Runs == 0 || o.Runs > 0 && o.Least < t.Least {
		t.Least = o.Least
	}
	t.Runs += o.Runs
	t.Life += o.Life
	t.Faults += o.Faults
	t.Events += o.Events
	t.Entries += o.Entries
	t.Fences += o.Fences
	t.Replayed += o.Replayed
	t.BothOff += o.BothOff
	t.Deceived += o.Deceived
	for i, n := range o.Evidence {
		t.Evidence[i] += n
	}
	t.Healed = max(t.Healed, o.Healed)
	t.Digest += o.Digest
	t.Cover.Add(&o.Cover)
}

// String tells the sums in a few lines.
func (t *Tally) String() string {
	visited, all, missing, wrong := t.Cover.Pairs()
	var ev []string
	for e := pair.EvidenceFence; int(e) < evidences; e++ {
		ev = append(ev, fmt.Sprintf("%v %d", e, t.Evidence[e]))
	}
	s := fmt.Sprintf("schedules  %d\nlife       %.1f hours of a pair\nfaults     %d, at least %d a schedule; %d recorded frames sent again\n",
		t.Runs, t.Life.Hours(), t.Faults, t.Least, t.Replayed)
	s += fmt.Sprintf("entries    %d: %s\nfences     %d; both nodes off at once in %d schedules; %d ended with a lie of the device\npairs      %d of %d (state, input) visited\n", t.Entries, strings.Join(ev, ", "), t.Fences, t.BothOff, t.Deceived, visited, all)
	if len(missing) > 0 {
		s += "not met    " + strings.Join(missing, ", ") + "\n"
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		s += "impossible " + strings.Join(wrong, ", ") + "\n"
	}
	return s + fmt.Sprintf("events     %d\ndigest     %016x\n", t.Events, t.Digest)
}
