package vm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A page is the record of what was seen, in Markdown.
type page struct{ strings.Builder }

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

// recordOf writes what the results say.
func recordOf(rows []row) string {
	var p page
	p.say("# What the emulated machines did\n")
	p.say("Written by the program itself, from the results of `make resets-vm`, `make load-vm`, `make test-vm` and `make campaign-vm`: `make record-vm`. Do not edit.\n")
	p.say("Times are those of emulated machines on a shared host, with the long intervals of README.md: they show order, not speed. A reset's time counts from the newest feed of the device.\n")
	commits := map[string]bool{}
	for _, r := range rows {
		commits[r.Commit] = true
	}
	if len(rows) > 0 {
		first, last := rows[0].At.UTC(), rows[len(rows)-1].At.UTC()
		p.say("- %s to %s, commits %s", first.Format("2006-01-02 15:04"), last.Format("2006-01-02 15:04 MST"), strings.Join(slices.Sorted(maps.Keys(commits)), ", "))
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

// wrongs counts and lists what went wrong.
func wrongs[T any](all []T, wrong func(T) string) (n int, list []string) {
	for _, x := range all {
		if w := wrong(x); w != "" {
			n++
			list = append(list, w)
		}
	}
	return n, list
}

func (p *page) failures(what string, list []string) {
	for _, w := range list {
		p.say("- %s: %.300s", what, strings.ReplaceAll(w, "\n", " "))
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
		list := all[name]
		afterLeast, _, afterMost := seconds(list, func(b bitten) int64 { return b.AfterMS })
		beforeLeast, _, _ := seconds(list, func(b bitten) int64 { return b.BeforeMS })
		_, outage, outageMost := seconds(list, func(b bitten) int64 { return b.OutageMS })
		timeout, _, timeoutMost := seconds(list, func(b bitten) int64 { return b.Timeout })
		known := 0
		evidence := map[string]bool{}
		for _, b := range list {
			evidence[b.Evidence] = true
			if b.Reason == "watchdog-reset" {
				known++
			}
		}
		wrong, why := wrongs(list, func(b bitten) string { return b.Wrong })
		for _, w := range why {
			bad = append(bad, name+": "+w)
		}
		p.say("| %s | %d | %s | %.1f to %.1f | %.1f | %.1f / %.1f | %s | %d | %d |", name, len(list), fromTo(timeout, timeoutMost), afterLeast, afterMost,
			beforeLeast, outage, outageMost, strings.Join(slices.Sorted(maps.Keys(evidence)), ", "), known, wrong)
	}
	p.failures("wrong", bad)
}

func fromTo(a, b float64) string {
	if a == b {
		return fmt.Sprintf("%g", a)
	}
	return fmt.Sprintf("%g to %g", a, b)
}

func (p *page) loads(rows []row) {
	for _, r := range rows {
		if l := r.Load; l != nil {
			p.say("\n## Load\n\nThe owner with %d busy loops, %d MiB of free memory at the end, and a disk written without end that takes %s for each piece, for %.0f minutes (intervals times %.1f): "+
				"**%d resets**, %d moves, both active %d ms, longest outage %.1f s. Its processor was idle for %.1f %%. The newest heartbeat, looked at %d times by the standby, was %.0f ms old in 99 of 100 looks, %.0f ms at most (a beat is %.0f ms). %s",
				spinners, l.FreeMiB, diskStall, l.Minutes, l.Scale, l.Resets, l.Moves, l.BothMS, float64(l.Outage)/1000, l.IdlePC, l.Looks, l.P99MS, l.WorstMS,
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
		list := all[name]
		_, outage, outageMost := seconds(list, func(s seen) int64 { return s.OutageMS })
		_, _, both := seconds(list, func(s seen) int64 { return s.BothMS })
		least, _, most := seconds(list, func(s seen) int64 { return int64(1000 * s.Scale) })
		ends := map[string]bool{}
		for _, s := range list {
			if s.Owner != "" && s.Wrong == "" {
				ends[strings.TrimSpace(s.Owner+" "+s.Evidence)] = true
			}
		}
		wrong, why := wrongs(list, func(s seen) string { return s.Wrong })
		for _, w := range why {
			bad = append(bad, name+": "+w)
		}
		p.say("| %s | %d | %s | %.1f / %.1f | %.0f | %.1f to %.1f | %d |", name, len(list), strings.Join(slices.Sorted(maps.Keys(ends)), ", "), outage, outageMost, 1000*both, least, most, wrong)
	}
	p.failures("wrong", bad)
}

func (p *page) chaos(rows []row) {
	var list []result
	kinds := map[string]int{}
	for _, r := range rows {
		if r.Chaos != nil {
			list = append(list, *r.Chaos)
			for _, s := range r.Chaos.Strokes {
				kinds[s]++
			}
		}
	}
	if len(list) == 0 {
		return
	}
	_, _, both := seconds(list, func(r result) int64 { return r.BothMS })
	_, heal, healMost := seconds(list, func(r result) int64 { return r.HealMS })
	n, bad := wrongs(list, func(r result) string {
		if r.Violation == "" {
			return ""
		}
		return fmt.Sprintf("%s (seed %d): %s", r.plan, r.Seed, r.Violation)
	})
	var faults []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		faults = append(faults, fmt.Sprintf("%s %d", k, kinds[k]))
	}
	p.say("\n## Random faults\n\n%d iterations, **%d violations**, both active %.0f ms. Well again %.1f s (median) and %.1f s at most after all was mended, boots included.\n", len(list), n, 1000*both, heal, healMost)
	p.say("Faults: %s.", strings.Join(faults, ", "))
	p.failures("violation", bad)
}
