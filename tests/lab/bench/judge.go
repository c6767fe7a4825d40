package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// What the issue demands, in ms unless stated.
const (
	fastOffMedian  = 45
	fastOffMost    = 80
	defaultOffMost = 500
	darkOver       = 10 // over the lease
	leaseDefault   = 300
	leaseFast      = 35
	handoverMedian = 8
	handover1000   = 100
	off1000        = 250
	alarmOver      = 1000 // over T_dead
	deadDefault    = 250
	deadFast       = 35
	pssMost        = 12.0 // MB
	cpuMost        = 60.0 // ms a minute
)

// A verdict compares a demand with what was reached. Measured is false if its
// rows did not run.
type verdict struct {
	Demand   string `json:"must_reach"`
	Reached  string `json:"reached"`
	Measured bool   `json:"measured"`
	OK       bool   `json:"ok"`
}

// judge prints the second table and says whether all that was measured is
// well.
func (r *result) judge(w io.Writer) bool {
	r.judgeSafety()
	r.judgeTimes()
	r.judgeLinks()
	r.judgeLoad()
	ok := true
	fmt.Fprintf(w, "\n## Must reach\n\n| must reach | reached | verdict |\n|---|---|---|\n")
	for _, v := range r.Judged {
		word := "reached"
		switch {
		case !v.Measured:
			word = "not measured"
		case !v.OK:
			word, ok = "**MISSED**", false
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", v.Demand, v.Reached, word)
	}
	fmt.Fprintf(w, "\nForged, replayed and broken frames are the business of tests/e2e, not of this bench.\n")
	return ok
}

func (r *result) verdict(measured, ok bool, demand, reached string, args ...any) {
	v := verdict{Demand: demand, Measured: measured, OK: ok}
	if measured {
		v.Reached = fmt.Sprintf(reached, args...)
	}
	r.Judged = append(r.Judged, v)
}

// ours lists the cells of twinbeat.
func (r *result) ours() []*cell {
	var out []*cell
	for _, c := range r.Cells {
		if strings.HasPrefix(c.System, "twinbeat") {
			out = append(out, c)
		}
	}
	return out
}

func (r *result) judgeSafety() {
	runs, unseen := 0, 0.0
	bad := map[string]float64{}
	for _, c := range r.ours() {
		runs += len(c.Shots)
		for _, s := range c.Shots {
			unseen = max(unseen, s.AskLate)
			if s.Both > 0 {
				bad[fmt.Sprintf("%s, %s, %d VIPs", c.Fault, c.System, c.VIPs)] += s.Both
			}
		}
	}
	text := fmt.Sprintf("0 ms in %d runs (longest time unseen: %s ms)", runs, num(unseen))
	if len(bad) > 0 {
		text = fmt.Sprint("two owners in ", bad)
	}
	r.verdict(runs > 0, len(bad) == 0, "both-active time 0 ms, every fault, all runs", "%s", text)
}

func (r *result) judgeTimes() {
	if c := r.cellOr(tbFast.name, "power-off", 1); true {
		v := c.values(outage)
		r.verdict(len(v) > 0, median(v) <= fastOffMedian && most(v) <= fastOffMost,
			"power-off, fast: outage median <= 45 ms, max <= 80 ms", "%s ms", pair(v))
	}
	c := r.cellOr(tbDefault.name, "power-off", 1)
	v := c.values(outage)
	r.verdict(len(v) > 0, most(v) <= defaultOffMost, "power-off, default: max <= 500 ms", "%s ms", pair(v))
	for _, p := range []struct {
		maker       maker
		lease, most float64
	}{{tbDefault, leaseDefault, defaultOffMost}, {tbFast, leaseFast, fastOffMost}} {
		for _, fault := range []string{"SIGKILL", "frozen"} {
			c := r.starting(p.maker.name, fault, 1)
			d, s := c.values(dark), c.values(served)
			r.verdict(len(d) > 0, most(d) <= p.lease+darkOver && len(s) == len(c.Shots) && most(s) <= p.most,
				fmt.Sprintf("%s, %s: old owner dark <= %.0f ms, new one serves <= %.0f ms", fault, p.maker.name, p.lease+darkOver, p.most),
				"dark %s ms, serves %s ms", pair(d), pair(s))
		}
	}
	for _, m := range []maker{tbDefault, tbFast} {
		c := r.cellOr(m.name, "handover", 1)
		v, lost := c.values(outage), c.values(lost10)
		r.verdict(len(v) > 0, median(v) <= handoverMedian && most(lost) == 0,
			"handover, "+m.name+": outage median <= 8 ms, no probe lost at 10 ms", "%s ms, %.0f lost in %d runs", pair(v), sum(lost), len(v))
		c = r.cellOr(m.name, "handover", 1000)
		v = c.values(lastVIP)
		r.verdict(len(c.Shots) > 0, len(v) == len(c.Shots) && most(v) <= handover1000,
			"handover, "+m.name+", 1,000 VIPs: last answers <= 100 ms", "%s ms", pair(v))
	}
	c = r.cellOr(tbFast.name, "power-off", 1000)
	v = c.values(lastVIP)
	r.verdict(len(c.Shots) > 0, len(v) == len(c.Shots) && most(v) <= off1000,
		"power-off, fast, 1,000 VIPs: last answers <= 250 ms", "%s ms", pair(v))
}

func (r *result) judgeLinks() {
	for _, p := range []struct {
		maker maker
		dead  float64
	}{{tbDefault, deadDefault}, {tbFast, deadFast}} {
		for _, k := range []cutter{cutSerial, cutEthernet, cutCarrier} {
			c := r.cellOr(p.maker.name, k.name, 1)
			lost, moved, a := c.values(lost), c.values(moves), c.values(alarm)
			ok := most(lost) == 0 && most(moved) == 0 && len(a) == len(c.Shots) && most(a) <= p.dead+alarmOver
			r.verdict(len(c.Shots) > 0, ok, k.name+", "+p.maker.name+": no role change, no probe lost, alarm within T_dead + 1 s",
				"%.0f role changes, %.0f probes lost (%.0f late), alarm %s ms in %d of %d runs", sum(moved), sum(lost), sum(c.values(missed))-sum(lost), pair(a), len(a), len(c.Shots))
		}
	}
	runs, good, worst := 0, 0, 0.0
	for _, c := range r.ours() {
		for _, s := range c.Shots {
			if !s.Healed {
				continue
			}
			runs++
			worst = max(worst, s.Heal)
			if s.Heal >= 0 && s.Heal <= ms(healMust) {
				good++
			}
		}
	}
	r.verdict(runs > 0, good == runs, "after any heal the client is served within 200 ms", "%d of %d, worst %s ms", good, runs, num(worst))
}

func (r *result) judgeLoad() {
	for _, m := range []maker{tbDefault, tbFast} {
		demand := "all cores busy for 60 s, " + m.name + ": no role change"
		found := false
		for _, b := range r.Busy {
			if b.System != m.name {
				continue
			}
			found = true
			r.verdict(b.Seconds >= time.Minute.Seconds() || r.Quick, b.Moves == 0 && b.Both == 0 && !b.Unsettled, demand,
				"%d in %.0f s, both active %s ms", b.Moves, b.Seconds, num(b.Both))
		}
		if !found {
			r.verdict(false, false, demand, "")
		}
	}
	pss, cpu := -1.0, -1.0
	for _, c := range r.Costs {
		if c.System == tb100.name {
			pss, cpu = max(pss, c.PssMB), max(cpu, c.CPU)
		}
	}
	r.verdict(pss >= 0, pss <= pssMost && cpu <= cpuMost, "beats of 100 ms, 1 VIP: Pss <= 12 MB, CPU <= 60 ms/min (the worse node)",
		"Pss %.1f MB, CPU %.0f ms/min", pss, cpu)
}

// cellOr finds a cell; if it was not measured, an empty one.
func (r *result) cellOr(system, fault string, vips int) *cell {
	if c := r.find(fault, system, vips); c != nil {
		return c
	}
	return &cell{}
}

// starting is cellOr for a fault whose name goes on, with a time for example.
func (r *result) starting(system, fault string, vips int) *cell {
	for _, c := range r.Cells {
		if c.System == system && c.VIPs == vips && strings.HasPrefix(c.Fault, fault) {
			return c
		}
	}
	return &cell{}
}
