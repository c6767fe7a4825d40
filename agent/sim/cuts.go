package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/pair"
)

// liars is one in how many cuts has a fence device that lies in a way that no
// reading finds out.
const liars = 8

// DrawCut returns the run of a seed in which all links are cut at once, in mode
// fence, so that both nodes want to switch the other one off: at any moment from
// the boot on, in one direction or both, with a fence device of any kind, and
// with whatever else of the nodes' own goes with it. Afterwards everything is
// mended.
func DrawCut(seed uint64) (Config, Schedule) {
	r := newRand(seed ^ 0x63757473)
	c := Config{Seed: seed, Mode: pair.ModeFence, Fence: true, Cuts: true, Groups: 1 + r.IntN(3)/2, Feeds: 1 + r.IntN(2), Profile: "default", Scale: 1}
	if r.IntN(4) == 0 {
		c.Profile = "slow"
	}
	c.Wire = r.IntN(16) == 0
	for i := range c.Drift {
		c.Drift[i] = r.IntN(2001) - 1000
	}
	c.Hiccup = []int{0, 400, 4000}[r.IntN(3)]
	c.Slow = r.IntN(4) == 0
	c.Failback = []pair.Failback{pair.FailbackNever, pair.FailbackNever, pair.FailbackAuto, pair.FailbackHold}[r.IntN(4)]
	c.NoServices = r.IntN(3) == 0
	c.Lines = r.IntN(3) == 0
	d := drawer{Rand: r, c: c, w: newWorld(c)}
	w := d.w
	at := d.pick(2*w.settle, w.settle/2)
	lasts := 3*w.timing.Race + d.below(12*w.unit)
	c.Length = at + lasts + w.settle + w.graceful + time.Second
	whole := c.Length
	how := r.IntN(deviceTruths)
	if r.IntN(liars) == 0 {
		how = deviceTruths + 1 + r.IntN(deviceBehaviours-deviceTruths-1)
	}
	s := Schedule{{Kind: FaultDevice, For: whole, N: how}}
	cut := Fault{At: at, Kind: FaultCutAll, Node: r.IntN(2), For: lasts, M: r.IntN(3)}
	if r.IntN(2) == 0 {
		cut.M = 2
	}
	if r.IntN(3) == 0 { // the device is behind the same switch, and comes back first
		for n := range 2 {
			s = append(s, Fault{At: at, Kind: FaultReach, Node: n, For: d.below(lasts)})
		}
	} else if r.IntN(4) == 0 {
		s = append(s, Fault{At: at, Kind: FaultReach, Node: r.IntN(2), For: d.below(2 * lasts)})
	}
	return c, d.besides(s, cut, lasts)
}

// besides adds what may go with a cut: the leave to fence goes and comes, a node
// stands still.
func (d *drawer) besides(s Schedule, cut Fault, lasts time.Duration) Schedule {
	r, w, at := d, d.w, cut.At
	if r.IntN(4) == 0 { // the leave to fence comes late, or is taken
		from := d.pick(at+time.Millisecond, at/8+time.Millisecond)
		s = append(s, Fault{At: from, Kind: FaultBar, Node: r.IntN(2), For: at - from + d.below(2*lasts), N: r.IntN(2)})
	} else if r.IntN(4) == 0 {
		s = append(s, Fault{At: at + d.below(lasts), Kind: FaultBar, Node: r.IntN(2), For: d.below(lasts), N: r.IntN(2)})
	}
	if r.IntN(4) == 0 { // a node stands still, maybe between its wish and the order
		turn := time.Duration(r.IntN(fenceRound)) * w.timing.Race
		stop := max(at+w.timing.Dead+turn-w.unit/8, 0) + d.below(w.unit/4)
		s = append(s, Fault{At: stop, Kind: FaultStop, Node: r.IntN(2), For: d.pick(2*w.unit, 2*w.timing.Race)})
	}
	s = append(s, cut)
	slices.SortStableFunc(s, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return s
}
