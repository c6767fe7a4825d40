package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A row is one thing that is measured, by itself and from nothing.
type row struct {
	id      string
	maker   maker
	vips    int
	runs    int
	pairs   int // that run at the same time
	script  script
	takes   time.Duration // estimate
	measure func(ctx context.Context, b *bench, r row)
}

// failMost bounds the runs of one row that may fail; then it is given up.
const failMost = 3

// The systems under test. Failback and an unlimited number of moves are not
// the shipped settings: the faults of a bench come faster than in life.
const restless = "failback = \"auto\"\nflap_max = 0"

func twinsOf(name, short, profile string, baud int, group string) maker {
	return twinbeat(name, short, lab.Options{Profile: profile, Baud: baud, Group: group})
}

var (
	tbDefault     = twinsOf("twinbeat default", "default", "default", 115200, "flap_max = 0")
	tbFast        = twinsOf("twinbeat fast", "fast", "fast", 230400, "flap_max = 0")
	tbDefaultBack = twinsOf("twinbeat default", "default", "default", 115200, restless)
	tbFastBack    = twinsOf("twinbeat fast", "fast", "fast", 230400, restless)
	// What the profile default is at half its rate.
	tb100 = twinbeat("twinbeat, beats 100 ms", "beat100", lab.Options{
		Group: "flap_max = 0", BootWait: time.Second,
		Timing: "beat = \"100ms\"\ndead = \"500ms\"\nlease = \"600ms\"\nwindow = \"50ms\"\ntakeover = \"800ms\"",
	})
	ka1000 = keepalived("keepalived 1 s", "ka1s", time.Second)
	ka100  = keepalived("keepalived 100 ms", "ka100ms", 100*time.Millisecond)
	ka10   = keepalived("keepalived 10 ms", "ka10ms", 10*time.Millisecond)
)

// setUp is about what a lab and a boot take.
const setUp = 1500 * time.Millisecond

// rows lists what is measured, in the order of the tables.
func (b *bench) rows() []row {
	n := b.runs
	if b.quick {
		n = min(n, 3)
	}
	few := max(1, n/2)
	var rows []row
	add := func(name string, m maker, vips, runs, pairs int, s script, each time.Duration) {
		r := row{id: fmt.Sprintf("%s/%s/%d", name, m.short, vips), maker: m, vips: vips, runs: runs, pairs: min(pairs, runs), script: s, measure: play}
		rounds := (runs + r.pairs - 1) / r.pairs
		r.takes = setUp + time.Duration(rounds)*each
		rows = append(rows, r)
	}
	const second = time.Second
	for _, vips := range []int{1, 100, 1000} {
		more := time.Duration(vips) * 200 * time.Microsecond // for a boot with more addresses
		add("power-off", tbDefaultBack, vips, n, 1, powerOff, 2100*time.Millisecond+more)
		add("power-off", tbFastBack, vips, n, 1, powerOff, 1500*time.Millisecond+more)
		add("SIGKILL", tbDefault, vips, n, 2, kill, 1500*time.Millisecond+more)
		add("SIGKILL", tbFast, vips, n, 1, kill, 1000*time.Millisecond+more)
		for _, m := range []maker{tbDefault, tbFast} {
			add("handover", m, vips, n, 1, handover, 750*time.Millisecond+more/3)
		}
	}
	hold, shortCut, longCut := b.scale(30*second), b.scale(cutSerial.hold), b.scale(cutEthernet.hold)
	for _, m := range []maker{tbDefault, tbFast} {
		add("frozen", m, 1, few, 5, frozen(30*second), hold+3*second)
		add("frozen", m, 1000, 3, 1, frozen(2*second), 6*second)
		// Pairs that share the cores disturb the prober, and each other's serial
		// line, which is all that a pair has then; profile fast has 35 ms for it.
		pairs, cutsOf := 2, n
		if m.short == "fast" {
			pairs, cutsOf = 1, few
		}
		add("cuts", m, 1, cutsOf, pairs, cuts(cutSerial, cutEthernet, cutCarrier), longCut+2*shortCut+7*second)
		add("heals", m, 1, few, 2, cuts(cutBoth, cutLAN), 2*b.scale(cutBoth.hold)+5*second)
	}
	add("power-off", ka1000, 1, n, 5, powerOff, 7*second)
	add("handover", ka1000, 1, n, 5, handover, 4*second)
	add("power-off", ka1000, 1000, 2, 1, powerOff, 9*second)
	add("frozen", ka1000, 1, few, 5, frozen(30*second), hold+7*second)
	add("cuts", ka1000, 1, few, 5, cuts(cutEthernet, cutCarrier), longCut+shortCut+15*second)
	for _, m := range []maker{ka100, ka10} {
		add("power-off", m, 1, n, 2, powerOff, 2*second)
		add("handover", m, 1, n, 2, handover, 1500*time.Millisecond)
		add("power-off", m, 1000, 3, 1, powerOff, 3*second)
		add("frozen", m, 1, few/2+few%2, 5, frozen(30*second), hold+3*second)
		add("cuts", m, 1, few/2+few%2, 5, cuts(cutEthernet), longCut+5*second)
	}
	rows = append(rows, row{id: "cost", measure: costs, takes: setUp*2 + b.scale(time.Minute)})
	for _, m := range []maker{tbDefault, tbFast, ka10} {
		rows = append(rows, row{id: "busy/" + m.short, maker: m, vips: 1, measure: busy, takes: setUp + 2*second + b.scale(time.Minute)})
	}
	return b.chosen(rows)
}

// scale shortens a time for a quick bench.
func (b *bench) scale(d time.Duration) time.Duration {
	if b.quick {
		return min(d, 3*time.Second)
	}
	return d
}

func (b *bench) chosen(rows []row) []row {
	var out []row
	for _, r := range rows {
		if b.only.MatchString(r.id) {
			out = append(out, r)
		}
	}
	return out
}

// play runs a row's script on its pairs until it has its runs.
func play(ctx context.Context, b *bench, r row) {
	var all sync.WaitGroup
	share := make(chan struct{}, r.runs)
	for range r.runs {
		share <- struct{}{}
	}
	close(share)
	for range r.pairs {
		all.Go(func() {
			p := player{b: b, r: r}
			defer p.close()
			for range share {
				if ctx.Err() != nil || p.failed >= failMost {
					return
				}
				p.once(ctx)
			}
		})
		pause(ctx, 100*time.Millisecond)
	}
	all.Wait()
}

// A player owns one pair of a row.
type player struct {
	b      *bench
	r      row
	s      system
	failed int
}

func (p *player) close() {
	if p.s == nil {
		return
	}
	if err := p.s.pair().Close(); err != nil {
		say("close lab: %v", err)
	}
	p.s = nil
}

// once plays one run. After a failure the next run gets a new pair.
func (p *player) once(ctx context.Context) {
	var err error
	if p.s == nil {
		if p.s, err = p.r.maker.make(p.b, p.r.vips); err != nil {
			p.fail(err)
			return
		}
	}
	runtime.GC()
	shots, err := p.r.script(ctx, p.b, p.s, p.r.vips)
	for _, s := range shots {
		if err == nil || s.Both > 0 { // two owners count in a failed run, too
			p.b.result.add(p.r, s)
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		p.fail(err)
	}
}

func (p *player) fail(err error) {
	p.failed++
	if p.s != nil {
		name := wreck(p.r.id)
		if e := p.keepLogs(name); e == nil {
			err = fmt.Errorf("%w (logs: %s)", err, name)
		}
	}
	say("%s: %v", p.r.id, err)
	p.b.result.fail(p.r, err)
	p.close()
}

// keepLogs copies what the daemons said into one file.
func (p *player) keepLogs(name string) error {
	var all []byte
	for _, n := range p.s.pair().Nodes {
		all = append(all, n.Threads()...)
		_ = n.SignalAll(syscall.SIGCONT)
		if _, ok := p.s.(*twins); ok {
			_ = n.SignalAll(syscall.SIGQUIT) // Go prints its stacks and ends
		}
	}
	time.Sleep(2 * time.Second)
	for _, n := range p.s.pair().Nodes {
		b, err := os.ReadFile(n.LogPath())
		if err != nil {
			return err
		}
		all = append(all, "== "+n.Name+"\n"...)
		all = append(all, b...)
	}
	return os.WriteFile(name, all, 0o600)
}
