package vm

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A page is the record of what was seen, in Markdown.
type page struct{ strings.Builder }

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

// recordOf writes what the results say.
func recordOf(rows []row) string {
	var p page
	p.say("# What the emulated machines did\n")
	p.say("Written by the program itself, from the results of `make resets-vm`, `make load-vm`, `make test-vm` and `make campaign-vm`: `make record-vm`. Do not edit.\n")
	p.say("Times are those of emulated machines on a shared host, with the long intervals of README.md: they show order, not speed. A reset's time counts from the newest feed of the device, or from the fault where the agent cannot tell any more.\n")
	commits := map[string]bool{}
	for _, r := range rows {
		commits[r.Commit] = true
	}
	if len(rows) > 0 {
		first, last := rows[0].At.UTC(), rows[len(rows)-1].At.UTC()
		p.say("- %s to %s, commits %s", first.Format("2006-01-02 15:04"), last.Format("2006-01-02 15:04 MST"), words(commits))
	}
	p.resets(rows)
	p.loads(rows)
	p.scenarios(rows)
	p.chaos(rows)
	return p.String()
}

// by sorts what rows hold of one kind by a name, in the order in which names come first.
func by[T any](rows []row, of func(row) *T, name func(T) string) (names []string, all map[string][]T) {
	all = map[string][]T{}
	for _, r := range rows {
		if x := of(r); x != nil {
			k := name(*x)
			if _, have := all[k]; !have {
				names = append(names, k)
			}
			all[k] = append(all[k], *x)
		}
	}
	slices.Sort(names)
	return names, all
}

// seconds are the least, the middle and the most of something.
func seconds[T any](all []T, of func(T) int64) (least, median, most float64) {
	var ms []int64
	for _, x := range all {
		ms = append(ms, of(x))
	}
	if len(ms) == 0 {
		return 0, 0, 0
	}
	slices.Sort(ms)
	s := func(n int64) float64 { return float64(n) / 1000 }
	return s(ms[0]), s(ms[len(ms)/2]), s(ms[len(ms)-1])
}

// failures lists what went wrong, each on a line.
func (p *page) failures(list []string) {
	for _, w := range list {
		p.say("- wrong: %.300s", strings.ReplaceAll(w, "\n", " "))
	}
}

func (p *page) resets(rows []row) {
	names, all := by(rows, func(r row) *bitten { return r.Reset }, func(b bitten) string { return b.Cause })
	if len(names) == 0 {
		return
	}
	n, both := 0, int64(0)
	for _, list := range all {
		n += len(list)
		for _, b := range list {
			both = max(both, b.BothMS)
		}
	}
	p.say("\n## Resets by the watchdog (i6300esb)\n\n%d resets; both active: %d ms.\n", n, both)
	p.say("| starved, or what no process survives | resets | device's timeout, s | reset after the newest feed, s | peer had served by then for, s | outage median / max, s | peer took it by | reason known | wrong |")
	p.say("|---|--:|--:|--:|--:|--:|---|--:|--:|")
	var bad []string
	for _, name := range names {
		bad = append(bad, p.resetsBy(name, all[name])...)
	}
	p.failures(bad)
}

// resetsBy is the line of one cause.
func (p *page) resetsBy(name string, list []bitten) (wrong []string) {
	afterLeast, _, afterMost := seconds(list, func(b bitten) int64 { return b.AfterMS })
	before, _, _ := seconds(list, func(b bitten) int64 { return b.BeforeMS })
	_, outage, outageMost := seconds(list, func(b bitten) int64 { return b.OutageMS })
	timeout, _, timeoutMost := seconds(list, func(b bitten) int64 { return b.Timeout })
	known, evidence := 0, map[string]bool{}
	for _, b := range list {
		if b.Wrong == "" {
			evidence[b.Evidence] = true
		} else {
			wrong = append(wrong, name+": "+b.Wrong)
		}
		if b.Reason == report.CauseWatchdog {
			known++
		}
	}
	p.say("| %s | %d | %s | %.1f to %.1f | %.1f | %.1f / %.1f | %s | %d | %d |", name, len(list), fromTo(timeout, timeoutMost),
		afterLeast, afterMost, before, outage, outageMost, words(evidence), known, len(wrong))
	return wrong
}

func words(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }

func fromTo(a, b float64) string {
	if a == b {
		return fmt.Sprintf("%g", a)
	}
	return fmt.Sprintf("%g to %g", a, b)
}

func (p *page) loads(rows []row) {
	for _, r := range rows {
		if l := r.Load; l != nil {
			p.say("\n## Load\n\nThe owner with %d busy loops, %d MiB of available memory in the median (the kernel ended %d times who held the rest), and a disk written without end that takes %s for each piece, for %.0f minutes (intervals times %.1f): "+
				"**%d resets**, %d moves, both active %d ms, longest outage %.1f s. Its processor was idle for %.1f %%. The newest heartbeat, looked at %d times by the standby, was %.0f ms old in 99 of 100 looks, %.0f ms at most (a beat is %.0f ms). %s",
				spinners, l.FreeMiB, max(0, l.Pressed-1), diskStall, l.Minutes, l.Scale, l.Resets, l.Moves, l.BothMS, float64(l.Outage)/1000, l.IdlePC, l.Looks, l.P99MS, l.WorstMS,
				float64(beat.Milliseconds())*l.Scale, l.Wrong)
		}
	}
}

func (p *page) scenarios(rows []row) {
	names, all := by(rows, func(r row) *seen { return r.Scenario }, func(s seen) string { return s.Name })
	if len(names) == 0 {
		return
	}
	p.say("\n## Scenarios\n")
	p.say("| scenario | runs | owner after, by | outage median / max, s | both active at most, ms | intervals times | wrong |")
	p.say("|---|--:|---|--:|--:|--:|--:|")
	var bad []string
	for _, name := range names {
		bad = append(bad, p.scenario(name, all[name])...)
	}
	p.failures(bad)
}

// scenario is the line of one.
func (p *page) scenario(name string, list []seen) (wrong []string) {
	_, outage, outageMost := seconds(list, func(s seen) int64 { return s.OutageMS })
	least, _, most := seconds(list, func(s seen) int64 { return int64(1000 * s.Scale) })
	both, ends := int64(0), map[string]bool{}
	for _, s := range list {
		both = max(both, s.BothMS)
		if s.Wrong != "" {
			wrong = append(wrong, name+": "+s.Wrong)
		} else if s.Owner != "" {
			ends[strings.TrimSpace(s.Owner+" "+s.Evidence)] = true
		}
	}
	p.say("| %s | %d | %s | %.1f / %.1f | %d | %.1f to %.1f | %d |", name, len(list), words(ends), outage, outageMost, both, least, most, len(wrong))
	return wrong
}

func (p *page) chaos(rows []row) {
	var list []result
	var bad []string
	both, kinds := int64(0), map[string]int{}
	for _, r := range rows {
		c := r.Chaos
		if c == nil {
			continue
		}
		list = append(list, *c)
		both = max(both, c.BothMS)
		for _, s := range c.Strokes {
			kinds[s]++
		}
		if c.Violation != "" {
			bad = append(bad, fmt.Sprintf("seed %d, iteration %s: %s", c.Seed, c.plan, c.Violation))
		}
	}
	if len(list) == 0 {
		return
	}
	_, heal, healMost := seconds(list, func(r result) int64 { return r.HealMS })
	p.say("\n## Random faults\n\n%d iterations, **%d violations**, both active %d ms. Well again %.1f s (median) and %.1f s at most after all was mended.\n", len(list), len(bad), both, heal, healMost)
	var faults []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		faults = append(faults, fmt.Sprintf("%s %d", k, kinds[k]))
	}
	p.say("Faults: %s.", strings.Join(faults, ", "))
	p.failures(bad)
}
