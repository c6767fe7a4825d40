package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// Two nodes that lost each other and both want to switch the other off. The
// environment sets how many rounds are played, from which on, and the file that
// each round is written to, so that a long run can be played in slices:
//
//	TWINBEAT_SHOOTOUT=500 TWINBEAT_SHOOTOUT_FROM=1 TWINBEAT_SHOOTOUT_OUT=shootout.jsonl go test ./tests/e2e -run ShootOut -timeout 0
const (
	shootOuts     = 20 // rounds without the environment
	shootOutMost  = 100_000
	shootOutEnds  = 20 * time.Second // a round that is not decided by then has failed
	shootOutWatch = 700 * time.Millisecond
	// shootOutRevives is how often a pair may need its power back before a round.
	shootOutRevives = 4
)

// A duel is one round and what came of it.
type duel struct {
	Round    int     `json:"round"`
	Kind     string  `json:"kind"`
	Groups   int     `json:"groups"`
	Survivor string  `json:"survivor"`
	TookMS   int64   `json:"took_ms"` // from the cut to a node that is alone
	BothMS   float64 `json:"both_active_ms"`
	Asked    int     `json:"asked"` // questions that this rests on
	BothOff  bool    `json:"both_off"`
	Orders   [2]int  `json:"orders"` // times that the switch was told to cut fw1, fw2
	Error    string  `json:"error,omitempty"`
}

// kinds of duels, beside the cut of all links.
var duels = []struct {
	name string
	play func(a *arena, rng *rand.Rand)
}{
	{"plain", func(*arena, *rand.Rand) {}},
	{"device away for a while", func(a *arena, rng *rand.Rand) { a.spoil("dead", time.Duration(rng.IntN(4000))*time.Millisecond) }},
	{"device does nothing for a while", func(a *arena, rng *rand.Rand) { a.spoil("idle", time.Duration(rng.IntN(4000))*time.Millisecond) }},
	{"device slow", func(a *arena, rng *rand.Rand) { a.spoil("slow", time.Duration(rng.IntN(3000))*time.Millisecond) }},
	{"owner stands still", func(a *arena, rng *rand.Rand) { a.still(0, rng) }},
	{"standby stands still", func(a *arena, rng *rand.Rand) { a.still(1, rng) }},
	{"both stand still", func(a *arena, rng *rand.Rand) { a.still(0, rng); a.still(1, rng) }},
}

// An arena is one pair that duels again and again.
type arena struct {
	*lab.Lab
	t      *testing.T
	pdu    pdu
	orders [2]int
	later  []*time.Timer
}

func newArena(t *testing.T, groups int) *arena {
	t.Helper()
	p, err := lab.NewPDU(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := &arena{t: t, pdu: pdu{p}}
	o := a.pdu.Options(100 * time.Millisecond)
	o.Binary, o.Groups, o.Profile, o.NoSerial = binary, groups, "fast", false
	o.Baud, o.BootWait = 230400, 600*time.Millisecond
	o.Timing = "fence_time = \"900ms\"\nrace = \"1s\""
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	a.Lab = l
	t.Cleanup(func() {
		p.Stop() // it must not reach for a lab that is gone
		if err := l.Close(); err != nil {
			t.Errorf("close lab: %v", err)
		}
	})
	if err := l.Boot(); err != nil {
		t.Fatal(err)
	}
	a.pdu.Wire(l, func(i int, n *lab.Node) {
		a.orders[i]++
		if err := n.PowerOff(); err != nil {
			t.Errorf("power off %s: %v", n.Name, err)
		}
		a.pdu.Set(n.Name, "off")
	})
	return a
}

func (a *arena) spoil(how string, lasts time.Duration) {
	if err := a.pdu.Spoil(how); err != nil {
		a.t.Fatal(err)
	}
	a.later = append(a.later, time.AfterFunc(lasts, func() { _ = a.pdu.Mend(how) }))
}

// still stops an agent around the cut, for up to two turns.
func (a *arena) still(node int, rng *rand.Rand) {
	from, lasts := time.Duration(rng.IntN(1200))*time.Millisecond, time.Duration(10+rng.IntN(2200))*time.Millisecond
	n := a.Nodes[node]
	a.later = append(a.later, time.AfterFunc(from, n.Freeze), time.AfterFunc(from+lasts, n.Thaw))
}

// state is what a node says of a group; empty if it does not answer.
func (a *arena) state(node, group int) string {
	s, err := a.Nodes[node].Status()
	if err != nil || group >= len(s.Groups) {
		return ""
	}
	return s.Groups[group].State
}

// ready waits until one node owns the first group and the other is armed. An
// order of the round before may come late, and a standby may have been taken for
// dead on a busy machine: whoever was switched off gets its power back.
func (a *arena) ready() error {
	for range shootOutRevives {
		ok := lab.Until(shootOutEnds, func() bool {
			one, two := a.state(0, 0), a.state(1, 0)
			off := !a.Nodes[0].Powered() || !a.Nodes[1].Powered()
			return off || one == "ACTIVE" && two == "ARMED" || one == "ARMED" && two == "ACTIVE"
		})
		if !ok {
			break
		}
		if a.Nodes[0].Powered() && a.Nodes[1].Powered() {
			return nil
		}
		time.Sleep(shootOutWatch)
		if err := a.heal(); err != nil {
			return err
		}
	}
	return fmt.Errorf("not ready: fw1 %s, fw2 %s", a.state(0, 0), a.state(1, 0))
}

// round plays one duel and brings the pair back to where it was.
func (a *arena) round(number int) (d duel) {
	rng := rand.New(rand.NewPCG(uint64(number), 77))
	kind := duels[number%len(duels)]
	d = duel{Round: number, Kind: kind.name, Groups: a.Groups}
	if err := a.ready(); err != nil {
		d.Error = err.Error()
		return d
	}
	who, err := a.Observe(lab.VIP(0), time.Millisecond)
	if err != nil {
		d.Error = err.Error()
		return d
	}
	defer who.Stop()
	a.orders = [2]int{}
	from := who.Now()
	kind.play(a, rng)
	a.CutSerial()
	// A box that was switched off in between has no port any more.
	if err := a.CutEthernet(); err != nil && a.Nodes[0].Powered() && a.Nodes[1].Powered() {
		d.Error = err.Error()
	}
	began := time.Now()
	alone := lab.Until(shootOutEnds, func() bool {
		for i, n := range a.Nodes {
			if n.Powered() && !a.Nodes[1-i].Powered() && a.state(i, 0) == "SOLO" {
				d.Survivor = n.Name
				return true
			}
		}
		return !a.Nodes[0].Powered() && !a.Nodes[1].Powered()
	})
	d.TookMS = time.Since(began).Milliseconds()
	time.Sleep(shootOutWatch) // what is still under way may come
	d.BothOff, d.Orders = !a.Nodes[0].Powered() && !a.Nodes[1].Powered(), a.orders
	both, asked := who.BothActive(from, who.Now())
	d.BothMS, d.Asked = float64(both)/float64(time.Millisecond), asked
	if !alone || d.BothOff {
		d.Error = fmt.Sprintf("nobody is alone: fw1 %s, fw2 %s", a.state(0, 0), a.state(1, 0))
	}
	if err := a.heal(); err != nil && d.Error == "" {
		d.Error = err.Error()
	}
	return d
}

// heal ends what the round did and gives every box its power back.
func (a *arena) heal() error {
	for _, t := range a.later {
		t.Stop()
	}
	a.later = nil
	for _, how := range []string{"dead", "idle", "slow"} {
		if err := a.pdu.Mend(how); err != nil {
			return err
		}
	}
	a.HealSerial()
	for _, n := range a.Nodes {
		n.Thaw()
		a.pdu.Set(n.Name, "on")
		if n.Powered() {
			continue
		}
		if err := n.PowerOn(); err != nil {
			return err
		}
		if err := n.Run(); err != nil {
			return err
		}
	}
	return a.HealEthernet()
}

func fromEnv(t *testing.T, name string, def int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > shootOutMost {
		t.Fatalf("%s=%q is not within 0..%d", name, v, shootOutMost)
	}
	return n
}

func TestShootOutLeavesExactlyOneNode(t *testing.T) {
	rounds, first := fromEnv(t, "TWINBEAT_SHOOTOUT", shootOuts), fromEnv(t, "TWINBEAT_SHOOTOUT_FROM", 1)
	var out *os.File
	if path := os.Getenv("TWINBEAT_SHOOTOUT_OUT"); path != "" {
		var err error
		if out, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			t.Fatal(err)
		}
		defer out.Close()
	}
	arenas := [2]*arena{}
	survivors, asked := map[string]int{}, 0
	for number := first; number < first+rounds; number++ {
		i := (number / len(duels)) % len(arenas)
		if arenas[i] == nil {
			arenas[i] = newArena(t, i+1)
		}
		d := arenas[i].round(number)
		survivors[d.Survivor]++
		asked += d.Asked
		if out != nil {
			line, err := json.Marshal(d)
			if err == nil {
				_, err = out.Write(append(line, '\n'))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if d.BothOff || d.BothMS != 0 || d.Error != "" {
			t.Errorf("round %d: %+v", number, d)
		}
		if d.Error != "" {
			for _, n := range arenas[i].Nodes {
				b, _ := os.ReadFile(n.LogPath())
				t.Logf("%s:\n%s", n.Name, b[max(0, len(b)-6000):])
			}
			return
		}
	}
	t.Logf("%d rounds, survivors %v, %d questions who is active", rounds, survivors, asked)
	if asked == 0 {
		t.Error("nobody was asked who is active")
	}
}
