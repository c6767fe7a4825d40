package vm

import (
	"fmt"
	"time"
)

// A scenario is a pair, a fault, and what must come of it. Two owners must
// never be, unless both says for how long they may.
type scenario struct {
	name  string
	quick bool // one of those that run each time
	pair  Options

	fault func(x *play) error
	owner int    // who owns the group after the fault: 0, 1, nobody or either
	by    string // the evidence that fw2 took it by; empty where fw1 stays
	tells string // a word in an alarm or event of the node that owns, or of fw2
	heal  func(x *play) error
	both  time.Duration
}

// run plays the scenario and says what was seen.
func (s scenario) run(x *play) (r seen, err error) {
	r = seen{Name: s.name, Scale: x.Timing.Scale}
	if err := s.begin(x); err != nil {
		return r, err
	}
	x.struck = x.Probe.Now()
	if err := s.fault(x); err != nil {
		return r, fmt.Errorf("fault: %w", err)
	}
	if err := s.outcome(x); err != nil {
		return r, err
	}
	r.OutageMS = x.outage().Outage.Milliseconds()
	r.Owner, r.Evidence = x.owner()
	if s.heal != nil {
		if err := s.heal(x); err != nil {
			return r, fmt.Errorf("heal: %w", err)
		}
		if err := x.await("one owner, and a standby that would take over", func() bool { return x.well(0) || x.well(1) }); err != nil {
			return r, err
		}
	}
	both := x.both()
	r.BothMS = both.Milliseconds()
	if both > s.both {
		return r, fmt.Errorf("both nodes were active for %s, at most %s may be", both, s.both)
	}
	return r, x.crashed()
}

// begin gives the pair power and waits until it is well.
func (s scenario) begin(x *play) error {
	if err := x.PowerOn(); err != nil || x.Boot != "" {
		return err
	}
	return x.await("fw1 owns the group and fw2 would take over", func() bool { return x.well(0) })
}

// outcome holds who owns the group after the fault, and what is told of it.
func (s scenario) outcome(x *play) error {
	teller := s.owner
	switch s.owner {
	case nobody:
		teller = 1
		if err := x.await("nobody serves", func() bool { return x.serves() == nobody }); err != nil {
			return err
		}
		if err := x.stays("nobody serves", func() bool { return x.serves() == nobody }); err != nil {
			return err
		}
	case either:
		return x.await("one node owns the group", func() bool { return x.owns(0) || x.owns(1) })
	default:
		if err := x.await(names[s.owner]+" owns the group", func() bool { return x.owns(s.owner) }); err != nil {
			return err
		}
		if s.by == "" {
			if err := x.stays(names[s.owner]+" owns the group", func() bool { return x.keeps(s.owner) }); err != nil {
				return err
			}
		}
	}
	if s.by != "" {
		if _, st := x.state(s.owner); len(st.Groups) == 0 || st.Groups[0].Evidence != s.by {
			return fmt.Errorf("%s took the group by other evidence than %q: %+v", names[s.owner], s.by, st.Groups)
		}
	}
	if s.tells == "" {
		return nil
	}
	return x.await(fmt.Sprintf("%s tells of %q", names[teller], s.tells), func() bool { return x.tells(teller, s.tells) })
}
