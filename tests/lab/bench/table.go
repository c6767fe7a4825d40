package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A result is everything that was measured.
type result struct {
	mu      sync.Mutex
	Machine string     `json:"machine"`
	Quick   bool       `json:"quick"`
	Took    string     `json:"took"`
	Cells   []*cell    `json:"faults"`
	Costs   []cost     `json:"costs"`
	Busy    []busyness `json:"busy"`
	Failed  []failure  `json:"failed"`
	Judged  []verdict  `json:"verdicts"`
}

// A cell is all runs of one fault on one system.
type cell struct {
	Fault  string `json:"fault"`
	System string `json:"system"`
	VIPs   int    `json:"vips"`
	Pairs  int    `json:"pairs_at_once"`
	Shots  []shot `json:"runs"`
}

// A failure is a run that did not come to its end.
type failure struct {
	Row   string `json:"row"`
	Error string `json:"error"`
}

func (r *result) add(w row, s shot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.find(s.Fault, w.maker.name, w.vips)
	if c == nil {
		c = &cell{Fault: s.Fault, System: w.maker.name, VIPs: w.vips, Pairs: w.pairs}
		r.Cells = append(r.Cells, c)
	}
	c.Shots = append(c.Shots, s)
}

func (r *result) find(fault, system string, vips int) *cell {
	for _, c := range r.Cells {
		if c.Fault == fault && c.System == system && c.VIPs == vips {
			return c
		}
	}
	return nil
}

func (r *result) fail(w row, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Failed = append(r.Failed, failure{w.id, err.Error()})
}

func (r *result) addCost(c cost) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Costs = append(r.Costs, c)
}

func (r *result) addBusy(b busyness) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Busy = append(r.Busy, b)
}

func (r *result) write(name string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// values returns one figure of every run that has it; -1 is none.
func (c *cell) values(of func(shot) float64) []float64 {
	var v []float64
	for _, s := range c.Shots {
		if x := of(s); x >= 0 {
			v = append(v, x)
		}
	}
	slices.Sort(v)
	return v
}

// median is the mean of the two in the middle of an even number.
func median(v []float64) float64 {
	if len(v) == 0 {
		return -1
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func most(v []float64) float64 {
	if len(v) == 0 {
		return -1
	}
	return v[len(v)-1]
}

func outage(s shot) float64   { return s.Outage }
func late(s shot) float64     { return s.Late }
func both(s shot) float64     { return s.Both }
func dark(s shot) float64     { return s.Dark }
func served(s shot) float64   { return s.Served }
func lastVIP(s shot) float64  { return s.LastVIP }
func lastSaid(s shot) float64 { return s.LastSaid }
func heal(s shot) float64     { return s.Heal }
func alarm(s shot) float64    { return s.Alarm }
func missed(s shot) float64   { return float64(s.Missed) } // lost, or answered late
func lost(s shot) float64     { return float64(s.Lost) }
func lost10(s shot) float64   { return float64(s.Lost10) }
func moves(s shot) float64    { return float64(s.Moves) }

// never counts runs in which a heal left the client cut off.
func (c *cell) never() int {
	n := 0
	for _, s := range c.Shots {
		if s.Healed && s.Heal < 0 {
			n++
		}
	}
	return n
}

func (c *cell) unsure() int {
	n := 0
	for _, s := range c.Shots {
		if s.Unsure {
			n++
		}
	}
	return n
}

// num prints milliseconds; a dash stands for none.
func num(v float64) string {
	switch {
	case v < 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func pair(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	return num(median(v)) + " / " + num(most(v))
}

// print writes the tables and says whether everything that was measured
// reached what it must.
func (r *result) print(w io.Writer) bool {
	fmt.Fprintf(w, "# twinbeat bench\n\n%s; took %s.\n", r.Machine, r.Took)
	if r.Quick {
		fmt.Fprintf(w, "**Quick run: few and short runs on a machine that may be busy. These are not the figures.**\n")
	}
	r.printFaults(w)
	r.printCosts(w)
	r.printBusy(w)
	if len(r.Failed) > 0 {
		fmt.Fprintf(w, "\n## Runs that failed\n\n")
		for _, f := range r.Failed {
			fmt.Fprintf(w, "- %s: %s\n", f.Row, strings.ReplaceAll(f.Error, "\n", "; "))
		}
	}
	return r.judge(w) && len(r.Failed) == 0
}

const faultNotes = `
All times in ms, median / max. *Outage*: the longest time in which a client that pings the first address every
millisecond, through its own kernel's neighbour cache, was not served within 3 ms; 0: every probe was (a
later answer counts as none: an old owner that forwards holds packets until the new one answers its ARP). *Both*: the sum of the
milliseconds in which two boxes answered the same ARP question (one a millisecond). *Old dark*: the last answer of the old
owner; *new serves*: the first of the new one; both from the moment of the fault. *Last VIP*: when the new owner had
answered an ARP request for the last of all addresses; the sweep asks for 10 not yet moved addresses a millisecond and at
once for every one that is announced, so the figure is never early. *Said*: when the last one had been announced.
*Heal*: from the heal to the first probe after which none was lost any more. *Late*: the longest time in which the prober
itself did not probe; (n?) after an outage: in n runs it was not longer than that, and so may be the prober's own, who was
late by so much: an upper bound.
*x ka*: keepalived's median outage at advert 1 s / 100 ms / 10 ms, for the same number of addresses, in times of ours.
`

func (r *result) printFaults(w io.Writer) {
	if len(r.Cells) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## Faults\n%s\n", faultNotes)
	fmt.Fprintf(w, "| fault | system | VIPs | runs | outage | both | old dark | new serves | last VIP | said | heal | moves | late | x ka |\n")
	fmt.Fprintf(w, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	cells := slices.Clone(r.Cells)
	order := map[string]int{}
	for i, c := range r.Cells {
		if _, ok := order[c.Fault]; !ok {
			order[c.Fault] = i
		}
	}
	slices.SortStableFunc(cells, func(a, b *cell) int { return order[a.Fault] - order[b.Fault] })
	for _, c := range cells {
		r.printCell(w, c)
	}
}

func (r *result) printCell(w io.Writer, c *cell) {
	out := pair(c.values(outage))
	if n := c.unsure(); n > 0 {
		out += fmt.Sprintf(" (%d?)", n)
	}
	healText := pair(c.values(heal))
	if n := c.never(); n > 0 {
		healText += fmt.Sprintf(", %d never within %s", n, healMost)
	}
	moved := "-"
	if c.Shots[0].Kept {
		moved = num(sum(c.values(moves)))
	}
	runs := fmt.Sprint(len(c.Shots))
	if c.Pairs > 1 {
		runs += fmt.Sprintf(" in %d pairs", c.Pairs)
	}
	fmt.Fprintf(w, "| %s | %s | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
		c.Fault, c.System, c.VIPs, runs, out, num(sum(c.values(both))), pair(c.values(dark)), pair(c.values(served)),
		pair(c.values(lastVIP)), pair(c.values(lastSaid)), healText, moved, num(most(c.values(late))), r.ratios(c))
}

func sum(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

// ratios compares a cell of ours with keepalived's for the same fault.
func (r *result) ratios(c *cell) string {
	if !strings.HasPrefix(c.System, "twinbeat") {
		return ""
	}
	var parts []string
	any := false
	for _, m := range []maker{ka1000, ka100, ka10} {
		other := r.find(c.Fault, m.name, c.VIPs)
		if other == nil {
			parts = append(parts, "-")
			continue
		}
		any = true
		parts = append(parts, ratio(median(other.values(outage)), median(c.values(outage))))
	}
	if !any {
		return ""
	}
	return strings.Join(parts, " / ")
}

// ratio prints a in times of b.
func ratio(a, b float64) string {
	switch {
	case a < 0 || b < 0:
		return "-"
	case b == 0 && a == 0:
		return "both 0"
	case b == 0:
		return "ours 0"
	case a/b < 10:
		return fmt.Sprintf("%.1f", a/b)
	}
	return fmt.Sprintf("%.0f", a/b)
}

func (r *result) printCosts(w io.Writer) {
	if len(r.Costs) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## Cost of an idle pair, 1 VIP\n\nAll pairs in the same minute, nobody probes. Pss: as on a box of its own (the\nboxes of the lab share the program's file, so the kernel's Pss would be too small). CPU: the scheduler's count over all\nthreads. Bytes as sent.\n")
	fmt.Fprintf(w, "*x ka*: in times of what keepalived at 100 ms uses on the same kind of node (Pss, CPU).\n\n")
	fmt.Fprintf(w, "| system | node | processes | Pss MB | CPU ms/min | context switches/min | heartbeat Ethernet B/s | serial B/s | LAN B/s | x ka |\n")
	fmt.Fprintf(w, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	costs := slices.Clone(r.Costs)
	slices.SortStableFunc(costs, func(a, b cost) int { return -strings.Compare(a.System, b.System) })
	for _, c := range costs {
		times := ""
		for _, k := range costs {
			if k.System == ka100.name && k.Node == c.Node && k.System != c.System && k.CPU > 0 {
				times = fmt.Sprintf("%.1f, %.1f", c.PssMB/k.PssMB, c.CPU/k.CPU)
			}
		}
		fmt.Fprintf(w, "| %s | %s | %d | %.1f | %.0f | %.0f | %.0f | %.0f | %.0f | %s |\n",
			c.System, c.Node, c.Processes, c.PssMB, c.CPU, c.Switches, c.Ethernet, c.Serial, c.LAN, times)
	}
}

func (r *result) printBusy(w io.Writer) {
	if len(r.Busy) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## A busy loop on every core\n\nThe client, the null modem and the kernel's worker threads, which every tty needs, share the same busy cores.\n\n")
	fmt.Fprintf(w, "| system | seconds | role changes | both active ms | outage ms | prober late ms | probes lost |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, b := range r.Busy {
		fmt.Fprintf(w, "| %s | %.0f | %d | %s | %s | %s | %d |\n", b.System, b.Seconds, b.Moves, num(b.Both), num(b.Outage), num(b.Late), b.Lost)
	}
}

// healMust is the longest a client may wait after a heal.
const healMust = 200 * time.Millisecond
