package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A cost is what one node of an idle pair uses.
type cost struct {
	System    string  `json:"system"`
	Node      string  `json:"node"` // owner or standby
	Processes int     `json:"processes"`
	PssMB     float64 `json:"pss_mb"` // 2^20 bytes, at the end
	CPU       float64 `json:"cpu_ms_per_minute"`
	Switches  float64 `json:"context_switches_per_minute"`
	Ethernet  float64 `json:"ethernet_bytes_per_second"` // sent on ha0, with Ethernet headers
	LAN       float64 `json:"lan_bytes_per_second"`      // sent on eth0
	Serial    float64 `json:"serial_bytes_per_second"`   // sent; 0 without
}

// costs measures the idle pairs of every system in the same minute. Nobody
// probes meanwhile.
func costs(ctx context.Context, b *bench, r row) {
	makers := []maker{tb100, tbDefault, tbFast, ka1000, ka100, ka10}
	var all sync.WaitGroup
	for _, m := range makers {
		s, err := m.make(b, 1)
		if err != nil {
			b.result.fail(r, fmt.Errorf("%s: %w", m.name, err))
			continue
		}
		defer s.pair().Close()
		all.Go(func() {
			if err := costOf(ctx, b, m, s); err != nil && ctx.Err() == nil {
				b.result.fail(r, fmt.Errorf("%s: %w", m.name, err))
			}
		})
	}
	all.Wait()
}

// A meter is what was counted of a node so far.
type meter struct {
	usage   lab.Usage
	ha, lan uint64
	at      time.Time
}

func read(n *lab.Node) (meter, error) {
	var m meter
	var err error
	if m.usage, err = n.Usage(); err != nil {
		return m, err
	}
	m.at = time.Now()
	var e1, e2 error
	m.ha, _, e1 = n.Sent("ha0")
	m.lan, _, e2 = n.Sent("eth0")
	return m, errors.Join(e1, e2)
}

// serialSent asks the agent; it costs the agent a little, and so it is not
// asked within the measured time.
func serialSent(s system, n *lab.Node) uint64 {
	if _, ok := s.(*twins); !ok {
		return 0
	}
	status, err := n.Status()
	if err != nil {
		return 0
	}
	for _, l := range status.Links {
		if l.Type == "serial" {
			return l.TxBytes
		}
	}
	return 0
}

func costOf(ctx context.Context, b *bench, m maker, s system) error {
	owner, err := awaitWhole(s)
	if err != nil {
		return err
	}
	nodes := []*lab.Node{s.pair().Nodes[owner], s.pair().Nodes[1-owner]}
	pause(ctx, 3*time.Second) // the bursts of the beginning are over
	var serial [2]uint64
	serialAt := time.Now()
	for i, n := range nodes {
		serial[i] = serialSent(s, n)
	}
	pause(ctx, time.Second)
	var first [2]meter
	for i, n := range nodes {
		if first[i], err = read(n); err != nil {
			return err
		}
	}
	pause(ctx, b.scale(time.Minute))
	for i, n := range nodes {
		last, err := read(n)
		if err != nil {
			return err
		}
		secs := last.at.Sub(first[i].at).Seconds()
		if err := stood(secs, b.scale(time.Minute)); err != nil {
			return err
		}
		c := cost{
			System: m.name, Node: []string{"owner", "standby"}[i], Processes: last.usage.Processes,
			PssMB:    float64(last.usage.Pss) / (1 << 20),
			CPU:      ms(last.usage.CPU-first[i].usage.CPU) / secs * 60,
			Switches: float64(last.usage.Switches-first[i].usage.Switches) / secs * 60,
			Ethernet: float64(last.ha-first[i].ha) / secs,
			LAN:      float64(last.lan-first[i].lan) / secs,
			Serial:   float64(serialSent(s, n)-serial[i]) / time.Since(serialAt).Seconds(),
		}
		if ctx.Err() == nil {
			b.result.addCost(c)
		}
	}
	return nil
}

// stood tells a machine that stood still from one that was measured: what was
// to last so long took much longer.
func stood(secs float64, planned time.Duration) error {
	if secs > planned.Seconds()*1.1+1 {
		return fmt.Errorf("measure for %s: it took %.1f s, the machine stood still", planned, secs)
	}
	return nil
}

// A busyness is what happened while every core had a busy loop.
type busyness struct {
	System    string  `json:"system"`
	Seconds   float64 `json:"seconds"`
	Moves     int     `json:"role_changes"`
	Both      float64 `json:"both_active_ms"`
	Outage    float64 `json:"outage_ms"`
	Late      float64 `json:"prober_late_ms"`
	Lost      int     `json:"lost_probes"`
	Unsettled bool    `json:"not_whole_afterwards,omitempty"`
}

// busy runs one busy loop on each core. Every move is a false takeover, for
// nothing is wrong with either node.
func busy(ctx context.Context, b *bench, r row) {
	if err := busyOf(ctx, b, r); err != nil && ctx.Err() == nil {
		say("%s: %v", r.id, err)
		b.result.fail(r, err)
	}
}

func busyOf(ctx context.Context, b *bench, r row) error {
	s, err := r.maker.make(b, 1)
	if err != nil {
		return err
	}
	defer s.pair().Close()
	v, _, _, err := started(ctx, s, 1)
	if err != nil {
		return err
	}
	defer v.stop()
	before, err := s.takeovers()
	if err != nil {
		return err
	}
	if err := v.mark(nil); err != nil {
		return err
	}
	during := b.scale(time.Minute)
	loops, err := lab.Burn(runtime.NumCPU(), 2*during)
	if err != nil {
		return err
	}
	pause(ctx, during)
	loops.Stop()
	out := busyness{System: r.maker.name, Seconds: time.Since(v.at).Seconds()}
	if err := stood(out.Seconds, during); err != nil {
		return err
	}
	report := v.probe.ServedWithin(prompt, v.t0, v.probe.Now()-answered)
	both, _ := v.who.BothActive(v.o0, v.who.Now())
	out.Both, out.Outage, out.Late, out.Lost = ms(both), ms(report.Outage), ms(report.Late), report.Lost
	pause(ctx, time.Second)
	_, err = awaitWhole(s)
	out.Unsettled = err != nil
	now, err := s.takeovers()
	if err != nil {
		return err
	}
	if out.Moves = now - before; out.Moves > 0 {
		p := player{r: r, s: s}
		_ = p.keepLogs(wreck(r.id))
		say("%s: %d role changes (logs: %s)", r.id, out.Moves, wreck(r.id))
	}
	if ctx.Err() == nil {
		b.result.addBusy(out)
	}
	return nil
}
