package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/pair"
)

const (
	// minFaults is how many faults a run of ten minutes has at least.
	minFaults = 44
	// maxScale is the slowest a drawn run is, of profile slow.
	maxScale = 8
	// fenceRound is how many race times a round of turns to fence has: frames may
	// be late by so much, since a node may wait so long for its turn.
	fenceRound = 4
	// runLength is how long a drawn run lasts.
	runLength = 10 * time.Minute
)

// Draw returns the run that a seed stands for; mode 0 draws the mode, too.
func Draw(seed uint64, mode pair.Mode) (Config, Schedule) {
	r := newRand(seed)
	c := Config{Seed: seed, Length: runLength, Mode: pair.Mode(1 + r.IntN(3)), Groups: 1 + r.IntN(3)/2}
	if mode != 0 {
		c.Mode = mode
	}
	c.Fence = c.Mode == pair.ModeFence || c.Mode == pair.ModeLease && r.IntN(3) == 0
	c.Profile, c.Scale = "slow", 1
	switch k := r.IntN(100); {
	case k == 0 && r.IntN(3) == 0:
		c.Profile = "fast"
	case k < 5:
		c.Profile = "default"
	case k < 14:
	case k < 40:
		c.Scale = 2
	default:
		c.Scale = 3 + r.IntN(maxScale-2) // up to a beat a second
	}
	c.Wire = r.IntN(4) == 0 && c.Profile == "slow"
	for i := range c.Drift {
		c.Drift[i] = r.IntN(2001) - 1000
		c.Tick[i] = []time.Duration{time.Millisecond, 4 * time.Millisecond, 10 * time.Millisecond}[r.IntN(3)]
	}
	if c.Profile == "fast" {
		c.Tick = [2]time.Duration{time.Millisecond, 4 * time.Millisecond}
	}
	c.Hiccup = []int{0, 400, 4000}[r.IntN(3)]
	c.Trouble = []int{0, 20, 100}[r.IntN(3)]
	c.Slow = r.IntN(4) == 0
	c.Failback = []pair.Failback{pair.FailbackNever, pair.FailbackNever, pair.FailbackAuto, pair.FailbackHold}[r.IntN(4)]
	c.NoServices = r.IntN(3) == 0
	c.StopFailureFence = r.IntN(5) == 0
	c.Lines = r.IntN(3) == 0
	c.Feeds = 1
	if c.Fence {
		c.Feeds += r.IntN(2)
	}
	d := drawer{Rand: r, c: c, w: newWorld(c)}
	return c, d.schedule()
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x64726177)) }

// drawer makes a schedule.
type drawer struct {
	*rand.Rand
	c Config
	w *World // for its timing
}

// weights say how often each fault is drawn, if it is on at all.
var weights = [faultKinds]int{
	FaultPower: 4, FaultHang: 1, FaultStop: 10, FaultKill: 5, FaultRestart: 3, FaultSlow: 2, FaultJournal: 1, FaultCut: 4, FaultCutAll: 8,
	FaultLoss: 3, FaultBurst: 2, FaultBits: 2, FaultReorder: 2, FaultDuplicate: 1, FaultHold: 3, FaultClog: 2, FaultReplay: 2, FaultGarbage: 1,
	FaultLAN: 3, FaultAlien: 1, FaultDevice: 3, FaultReach: 2, FaultBar: 2, FaultFlush: 2, FaultOrder: 8, FaultSick: 3, FaultIll: 4, FaultKeys: 2, FaultWall: 1,
}

// schedule spreads faults over the run, in rounds that end with a heal and the
// time to settle. Half of the faults have another one close by: most bugs need two.
func (d *drawer) schedule() Schedule {
	kinds := d.kinds()
	settle := d.w.settle + 2*time.Second
	rounds := int(min(6, d.c.Length/(3*settle)))
	rounds = max(rounds, 1)
	span := d.c.Length/time.Duration(rounds) - settle
	first := d.w.settle / 2
	var s Schedule
	n := minFaults + d.IntN(25)
	for i := range n {
		round := time.Duration(i % rounds)
		from := round * (span + settle)
		if round == 0 {
			from += first
		}
		at := from + d.below(span-first-d.w.unit)
		f := d.fault(kinds[d.IntN(len(kinds))], at)
		s = append(s, d.company(&f)...)
		s = append(s, f)
		if d.IntN(2) == 0 {
			g := d.fault(kinds[d.IntN(len(kinds))], at+d.below(3*d.w.unit/2))
			g.Node = f.Node ^ d.IntN(2)
			s = append(s, g)
		}
	}
	for i := 1; i < rounds; i++ {
		s = append(s, Fault{At: time.Duration(i)*(span+settle) - settle, Kind: FaultHeal})
	}
	slices.SortStableFunc(s, func(a, b Fault) int { return int(min(max(a.At-b.At, -1), 1)) })
	return s
}

// company is what makes a fault worse in the same moment.
func (d *drawer) company(f *Fault) (s Schedule) {
	with := func(k FaultKind, n, m int) { s = append(s, Fault{At: f.At, Kind: k, For: f.For, N: n, M: m}) }
	switch {
	case f.Kind == FaultCutAll:
		if d.IntN(3) == 0 { // a storm: one direction is cut, the other is bad
			f.M = d.IntN(2)
			with(FaultLoss, 60+d.IntN(40), 0)
		}
		if d.c.Mode != pair.ModeSilence && d.IntN(3) == 0 { // nothing is left between the nodes
			with(FaultLAN, 0, 0)
		}
	case f.Kind == FaultBar: // it is met by a cut, or by an agent that starts
		switch d.IntN(4) {
		case 0:
			with(FaultCutAll, 0, d.IntN(3))
		case 1:
			s = append(s, Fault{At: f.At, Kind: FaultKill, Node: f.Node, For: d.below(f.For)})
		}
	case f.Kind == FaultReorder && d.IntN(2) == 0: // the other link would be faster
		with(FaultCut, 1-f.N, 2)
	}
	return s
}

// kinds is the lot from which a run draws: some faults are off, the others
// weigh more or less.
func (d *drawer) kinds() []FaultKind {
	var lot []FaultKind
	for k := FaultPower; k < FaultHeal; k++ {
		n := weights[k]
		switch {
		case d.IntN(4) == 0:
			continue
		case d.IntN(3) == 0:
			n *= 4
		case !d.c.Wire && k == FaultKeys, !d.c.Fence && (k == FaultDevice || k == FaultReach || k == FaultBar):
			continue
		}
		for range n {
			lot = append(lot, k)
		}
	}
	if len(lot) == 0 {
		lot = []FaultKind{FaultPower}
	}
	return lot
}

func (d *drawer) below(t time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(max(t, time.Millisecond)))).Truncate(time.Microsecond)
}

// pick returns a time below one of two, by chance.
func (d *drawer) pick(a, b time.Duration) time.Duration {
	if d.IntN(2) == 0 {
		a = b
	}
	return d.below(a)
}

func (d *drawer) fault(k FaultKind, at time.Duration) Fault {
	u, t := d.w.unit, &d.w.timing
	long := min(15*u, 20*time.Second)
	f := Fault{At: at.Truncate(time.Microsecond), Kind: k, Node: d.IntN(2), For: d.pick(2*u, long), N: d.IntN(1000), M: d.IntN(1000)}
	switch k {
	case FaultPower, FaultHang:
		f.For = u/2 + d.pick(5*u/2, long)
		f.N, f.M = 0, 0
	case FaultStop:
		f.N, f.M = d.IntN(parts), 0
		f.For = d.pick(2*t.Lease, 8*u)
	case FaultKill:
		f.For, f.N, f.M = d.pick(t.Lease, 8*u), 0, 0
	case FaultRestart:
		f.For, f.N, f.M = 2*u+d.below(10*u), 0, 0
	case FaultSlow:
		f.N, f.M = int(d.pick(t.Window, t.Lease)/time.Microsecond), 0
	case FaultJournal, FaultDevice, FaultAlien:
		f.N, f.M = d.IntN(4), 0
		if k == FaultDevice {
			f.N = d.IntN(deviceTruths)
		}
	default:
		d.linkFault(&f)
	}
	return f
}

func (d *drawer) linkFault(f *Fault) {
	t := &d.w.timing
	switch f.Kind {
	case FaultCut, FaultClog:
		f.N, f.M = d.IntN(linkCount), d.IntN(3)
	case FaultCutAll:
		f.N, f.M = 0, d.IntN(3)
	case FaultLoss:
		f.N, f.M = 1+d.IntN(95), 0
	case FaultBurst:
		f.N, f.M = 1+d.IntN(30), 1+d.IntN(12)
	case FaultBits:
		f.N, f.M = d.IntN(linkCount), 3+d.IntN(3)
	case FaultReorder:
		f.N, f.M = d.IntN(linkCount), int(d.pick(t.Beat*2, t.Takeover*6)/time.Microsecond)
	case FaultHold:
		f.N, f.M = int(pair.Claim)+d.IntN(int(pair.FenceNotice-pair.Claim)+1), 1+int(d.pick(t.Takeover, max(8*t.Takeover, fenceRound*t.Race))/time.Millisecond)
	case FaultDuplicate:
		f.N, f.M = d.IntN(linkCount), 1+d.IntN(60)
	case FaultReplay:
		f.For, f.N, f.M = 0, d.IntN(linkCount), 1+d.IntN(2*recorded)
	case FaultGarbage:
		f.For, f.N, f.M = 0, d.IntN(2), 1+d.IntN(600)
	case FaultLAN, FaultReach:
		f.N, f.M = 0, 0
	case FaultBar:
		f.N, f.M = d.IntN(2), 0
	case FaultFlush, FaultKeys:
		f.For, f.N, f.M = 0, 0, 0
	case FaultOrder:
		f.N, f.M = d.IntN(int(pair.OpConfirmDead)), d.IntN(maxGroups)
		if d.IntN(4) != 0 {
			f.For = 0
		}
	case FaultSick:
		f.N, f.M = d.IntN(maxGroups), 0
	case FaultIll:
		f.N, f.M = d.IntN(14), 1+d.IntN(health.Full)
	case FaultWall:
		f.For, f.N, f.M = time.Duration(d.IntN(40)-20)*365*24*time.Hour, 0, 0
	}
}
