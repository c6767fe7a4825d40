package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A head stands before what a call of the program played.
type head struct {
	At     time.Time `json:"at"`
	Commit string    `json:"commit"`
	Seed   uint64    `json:"seed"`
	N      int       `json:"n"`
	Labs   int       `json:"labs"`
}

// A row is one line of the results: one of these.
type row struct {
	Head   *head   `json:"head,omitempty"`
	Result *result `json:"result,omitempty"`
	Growth *growth `json:"growth,omitempty"`
}

// played is what the results hold.
type played struct {
	heads   []head
	results map[int]result
	growth  []growth
}

func (p played) has(i int) bool {
	_, ok := p.results[i]
	return ok
}

// lineMost bounds a line of the results.
const lineMost = 1 << 20

func readResults(file string) (played, error) {
	p := played{results: map[int]result{}}
	if file == "" {
		return p, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, lineMost)
	for s.Scan() {
		var l row
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return p, fmt.Errorf("read %s: %w", file, err)
		}
		switch {
		case l.Head != nil:
			if n := len(p.heads); n > 0 && p.heads[n-1].Seed != l.Head.Seed {
				return p, fmt.Errorf("read %s: it is of seed %d, not of %d", file, p.heads[n-1].Seed, l.Head.Seed)
			}
			p.heads = append(p.heads, *l.Head)
		case l.Result != nil:
			p.results[l.Result.Index] = *l.Result
		case l.Growth != nil:
			p.growth = append(p.growth, *l.Growth)
		}
	}
	return p, s.Err()
}

func appendLine(file string, l row) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

// A tally counts what came of iterations.
type tally struct {
	n, violations, both, asked, starved, operator, missing, moved, fenced int
	healMost, blind                                                       float64
}

func (t *tally) add(r result) {
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	t.n++
	t.both += r.BothMS
	t.asked += r.Asked
	t.fenced += r.Fenced
	t.blind += r.BlindMS
	t.healMost = max(t.healMost, r.HealMS)
	count(&t.violations, len(r.Violation) > 0)
	count(&t.starved, len(r.Starved) > 0)
	count(&t.operator, len(r.Operator) > 0)
	count(&t.missing, r.Missing != "")
	count(&t.moved, r.Moved)
}

func (t tally) String() string {
	return fmt.Sprintf("%d iterations, %d with a violation; both active %d ms of %.0f s (blind for %.1f s); %d moved the group, %d boxes fenced, %d needed an operator by policy; "+
		"healed after %.0f ms at most; %d where this machine stood still and something came late by it; %d faults not possible here",
		t.n, t.violations, t.both, float64(t.asked)/1000, t.blind/1000, t.moved, t.fenced, t.operator, t.healMost, t.starved, t.missing)
}

// writeRecord makes the record of a complete campaign.
func writeRecord(f flags) error {
	p, err := readResults(f.results)
	if err != nil {
		return err
	}
	if len(p.results) < f.n {
		say("%d of %d iterations are played; there is no record yet", len(p.results), f.n)
		return nil
	}
	return os.WriteFile(f.record, []byte(p.record()), 0o644)
}

// record prints what a campaign came to.
func (p played) record() string {
	var b strings.Builder
	var t tally
	commits := map[string]bool{}
	for _, h := range p.heads {
		commits[h.Commit] = true
	}
	for _, i := range slices.Sorted(maps.Keys(p.results)) {
		t.add(p.results[i])
	}
	first, last := p.heads[0], p.heads[len(p.heads)-1]
	fmt.Fprintf(&b, "# The last recorded campaign\n\nWritten by the program itself: `make campaign N=%d SEED=%d RECORD=1`. Do not edit.\n\n", last.N, last.Seed)
	fmt.Fprintf(&b, "- date: %s to %s, commit %s, %d pairs at once, %d calls\n", first.At.UTC().Format("2006-01-02 15:04"), last.At.UTC().Format("15:04 MST"),
		strings.Join(slices.Sorted(maps.Keys(commits)), ", "), last.Labs, len(p.heads))
	fmt.Fprintf(&b, "- iterations: %d, of them %d with two faults at once, %d kinds of faults\n", t.n, p.doubles(), len(p.byFault()))
	fmt.Fprintf(&b, "- **both active: %d ms** of %.0f s of pair life, each millisecond asked by ARP, ND, IP and transit; the watch itself was held up for %.1f s\n", t.both, float64(t.asked)/1000, t.blind/1000)
	fmt.Fprintf(&b, "- violations: %d; healed after %.0f ms at most (must be 5,000)\n", t.violations, t.healMost)
	fmt.Fprintf(&b, "- an operator was needed %d times, where policy says so; %d times a box was switched off by the fence\n", t.operator, t.fenced)
	fmt.Fprintf(&b, "- this machine stood still for more than %d ms, and something came late by it: %d iterations; faults that it cannot make: %d\n", lab.StallMost.Milliseconds(), t.starved, t.missing)
	p.writeGrowth(&b)
	b.WriteString("\nOutage: the longest time in which a client's pings (every 2 ms) were lost; faults last until they are healed, so for some the outage is the fault's own length. Iterations with one fault only; milliseconds.\n\n")
	b.WriteString("| fault | iterations | alone | outage median / max | healed median / max | both active |\n|---|--:|--:|--:|--:|--:|\n")
	by := p.byFault()
	for _, name := range slices.Sorted(maps.Keys(by)) {
		s := by[name]
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %d |\n", name, s.n, len(s.outage), spread(s.outage), spread(s.heal), s.both)
	}
	b.WriteString(ctsTable())
	return b.String()
}

func (p played) doubles() (n int) {
	for _, r := range p.results {
		if len(r.Faults) > 1 {
			n++
		}
	}
	return n
}

func (p played) writeGrowth(b *strings.Builder) {
	lived, rss, fds, goroutines := 0, int64(0), 0, 0
	for _, g := range p.growth {
		for i := range g.Begin {
			goroutines = max(goroutines, g.Goroutines[i]-g.Fresh)
		}
		if g.Class != "calm" {
			continue
		}
		lived += g.Lived
		for i := range g.Begin {
			rss, fds = max(rss, g.End[i].RSS-g.Begin[i].RSS), max(fds, g.End[i].FDs-g.Begin[i].FDs)
		}
	}
	fmt.Fprintf(b, "- growth of the %d agents that lived through a whole block of %d iterations: memory at most %+d KiB, descriptors %+d; goroutines of all %d pairs at the end of their block: %+d at most\n",
		lived, blockSize, rss>>10, fds, len(p.growth), goroutines)
}

// of is what came of one fault.
type of struct {
	n, both      int
	outage, heal []float64
}

func (p played) byFault() map[string]*of {
	all := map[string]*of{}
	for _, r := range p.results {
		for _, f := range r.Faults {
			s := all[f]
			if s == nil {
				s = &of{}
				all[f] = s
			}
			s.n++
			s.both += r.BothMS
			if len(r.Faults) == 1 {
				s.outage, s.heal = append(s.outage, r.OutageMS), append(s.heal, r.HealMS)
			}
		}
	}
	return all
}

// spread prints median and maximum.
func spread(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	slices.Sort(v)
	return fmt.Sprintf("%.0f / %.0f", v[len(v)/2], v[len(v)-1])
}
