package vm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

// A stroke is a fault of a campaign. What it leaves behind, mend undoes.
type stroke struct {
	name    string
	touches string // one fault at a time for each part of the pair
	fenced  bool   // only in mode fence
	strike  func(x *play, node int, rng *rand.Rand) error
}

// strokes are what a campaign draws from.
var strokes = []stroke{
	{name: "power-cut", touches: "box", strike: func(x *play, i int, _ *rand.Rand) error { return x.Machines[i].PowerOff() }},
	{name: "reset", touches: "box", strike: func(x *play, i int, _ *rand.Rand) error { return x.Machines[i].Reset() }},
	{name: "kernel-panic", touches: "box", strike: func(x *play, i int, _ *rand.Rand) error { return x.sysrq(i, "c") }},
	{name: "freeze", touches: "box", fenced: true, strike: func(x *play, i int, _ *rand.Rand) error { return x.Machines[i].Freeze() }},
	{name: "agent-killed", touches: "box", strike: func(x *play, i int, _ *rand.Rand) error { return x.signal(i, int(unix.SIGKILL)) }},
	{name: "agent-stopped", touches: "box", strike: func(x *play, i int, _ *rand.Rand) error { return x.signal(i, int(unix.SIGSTOP)) }},
	{name: "agent-ended", touches: "box", strike: func(x *play, i int, _ *rand.Rand) error { return x.signal(i, int(unix.SIGTERM)) }},
	{name: "starved", touches: "box", strike: func(x *play, i int, rng *rand.Rand) error {
		_, err := x.Machines[i].ask(talk.Request{Do: talk.Spin, Within: between(rng, time.Second, 15*time.Second)}, askWait)
		return err
	}},
	{name: "clock-jump", touches: "clock", strike: func(x *play, i int, rng *rand.Rand) error {
		_, err := x.Machines[i].Shell(fmt.Sprintf("date -s @%d", rng.Uint32()))
		return err
	}},
	{name: "full-disk", touches: "disk", strike: func(x *play, i int, _ *rand.Rand) error { return x.fill(i)() }},
	{name: "serial-cut", touches: "serial", strike: func(x *play, i int, _ *rand.Rand) error { return x.cutSerial() }},
	{name: "serial-one-way", touches: "serial", strike: func(x *play, i int, _ *rand.Rand) error {
		x.Serial.Cut([]linktest.Direction{linktest.AToB, linktest.BToA}[i])
		return nil
	}},
	{name: "serial-stalls", touches: "serial", strike: func(x *play, i int, _ *rand.Rand) error { x.Serial.Stall(linktest.Both); return nil }},
	{name: "serial-noise", touches: "serial", strike: func(x *play, _ int, rng *rand.Rand) error {
		x.Serial.Corrupt(rng.Float64()/100, rng.Uint64())
		return nil
	}},
	{name: "ethernet-cut", touches: "ethernet", strike: func(x *play, _ int, _ *rand.Rand) error { x.CutEthernet(); return nil }},
	{name: "ethernet-one-way", touches: "ethernet", strike: func(x *play, i int, _ *rand.Rand) error { x.Ether.Cut(i == 0, i == 1); return nil }},
	{name: "ethernet-loss", touches: "ethernet", strike: func(x *play, _ int, rng *rand.Rand) error { x.Ether.Lose(rng.Float64(), rng.Uint64()); return nil }},
	{name: "lan-cut", touches: "lan", strike: func(x *play, i int, _ *rand.Rand) error { return x.Switch.SetPort(names[i], false) }},
	{name: "handover", touches: "order", strike: func(x *play, i int, _ *rand.Rand) error {
		_, _ = x.Machines[i].Shell("twinbeat handover") // refused on the standby
		return nil
	}},
	{name: "pdu-dead", touches: "pdu", fenced: true, strike: lying(snmptest.Lies{Deaf: true})},
	{name: "pdu-slow", touches: "pdu", fenced: true, strike: lying(snmptest.Lies{Lag: 2 * time.Second})},
	{name: "pdu-does-nothing", touches: "pdu", fenced: true, strike: lying(snmptest.Lies{Dead: true})},
	{name: "pdu-forgets", touches: "pdu", fenced: true, strike: lying(snmptest.Lies{LoseNext: 2})},
}

func lying(l snmptest.Lies) func(*play, int, *rand.Rand) error {
	return func(x *play, _ int, _ *rand.Rand) error { x.PDU.Behave(l); return nil }
}

func between(rng *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(rng.Int64N(int64(b-a)))
}

// A plan is one iteration of a campaign.
type plan struct {
	Index   int           `json:"index"`
	Mode    string        `json:"mode"`
	Strokes []string      `json:"strokes"`
	Nodes   []int         `json:"nodes"`
	Hold    time.Duration `json:"hold"` // until all is mended
	seeds   []uint64
}

func (p plan) String() string {
	var all []string
	for k, s := range p.Strokes {
		all = append(all, fmt.Sprintf("%s(%s)", s, names[p.Nodes[k]]))
	}
	return fmt.Sprintf("%d %s: %s for %.1f s", p.Index, p.Mode, strings.Join(all, " + "), p.Hold.Seconds())
}

// Bounds of a plan.
const (
	blockSize = 10 // iterations that one pair lives through
	holdLeast = 500 * time.Millisecond
	holdMost  = 12 * time.Second
	twoShare  = 0.35 // of iterations with two faults
	drawsMost = 50   // for a second one that goes with the first
)

// newPlan draws an iteration: the same seed and number give the same one. Pairs
// take turns in mode.
func newPlan(seed uint64, n int) plan {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	p := plan{Index: n, Mode: []string{"silence", "fence"}[n/blockSize%2], Hold: between(rng, holdLeast, holdMost)}
	var have []string
	add := func() bool {
		s := strokes[rng.IntN(len(strokes))]
		if s.fenced && p.Mode != "fence" || !goWith(p.Mode, have, s.touches) {
			return false
		}
		have = append(have, s.touches)
		p.Strokes, p.Nodes, p.seeds = append(p.Strokes, s.name), append(p.Nodes, rng.IntN(2)), append(p.seeds, rng.Uint64())
		return true
	}
	want := 1
	if rng.Float64() < twoShare {
		want = 2
	}
	for range drawsMost {
		if len(have) < want {
			add()
		}
	}
	return p
}

// goWith says whether a fault goes with others. Mode silence promises nothing
// when all links are cut at once; the LAN carries its last guard.
func goWith(mode string, have []string, touches string) bool {
	links := []string{"serial", "ethernet", "lan"}
	for _, h := range have {
		if h == touches || mode == "silence" && slices.Contains(links, h) && slices.Contains(links, touches) {
			return false
		}
	}
	return true
}

// strike does what the plan says, and waits as long.
func (x *play) strike(p plan) error {
	for k, name := range p.Strokes {
		i := slices.IndexFunc(strokes, func(s stroke) bool { return s.name == name })
		// A stroke at a machine that the one before has ended has no effect.
		err := strokes[i].strike(x, p.Nodes[k], rand.New(rand.NewPCG(p.seeds[k], 0)))
		if err != nil && k == 0 {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	time.Sleep(p.Hold)
	return nil
}

// mend ends every fault, and does what the site around the boxes would do:
// power comes back, and agents are started again.
func (x *play) mend() error {
	x.HealEthernet()
	x.Ether.Lose(0, 0)
	x.Serial.Restore()
	if x.PDU != nil {
		x.PDU.Behave(snmptest.Lies{})
		x.PDU.Reset()
	}
	for i, m := range x.Machines {
		_ = x.Switch.SetPort(names[i], true)
		_ = m.Thaw()
		// It may be on its way down or up, or its peer may fence it only now.
		err := x.await(names[i]+" is up and in order", func() bool { return m.PowerOn() == nil && m.Boots() > 0 && x.tidy(i) == nil })
		if err != nil {
			return err
		}
	}
	x.carrier(true) // a machine that just got its power has its cable in
	return nil
}

// tidy starts an agent that ended, and ends what holds one up.
func (x *play) tidy(i int) error {
	_, err := x.Machines[i].Shell("rm -f /var/lib/twinbeat/fill.*; pidof twinbeat > /dev/null && killall -CONT twinbeat || echo none")
	if err != nil {
		return err
	}
	if _, err := x.agent(i); err != nil {
		return x.startAgent(i)
	}
	return nil
}
