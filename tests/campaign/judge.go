package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// An entry is a node's entry to ownership.
type entry struct {
	node int
	report.Event
}

// A judge holds what was seen of an iteration against what must be.
type judge struct {
	p      *pair
	plan   plan
	faults []fault
	owner  int
	last   int // the owner after it, -1 if it is not well
	result *result
}

func (j *judge) violated(format string, args ...any) {
	j.result.Violation = append(j.result.Violation, fmt.Sprintf(format, args...))
}

// late is for what a machine that stands still brings about by itself.
func (j *judge) late(format string, args ...any) {
	if j.result.StallMS > millis(lab.StallMost) {
		j.result.Starved = append(j.result.Starved, fmt.Sprintf(format, args...))
		return
	}
	j.violated(format, args...)
}

func (j *judge) judge(v view, inTime bool) {
	r := j.result
	if v.Both[asksTransit] > 0 && j.ungated() {
		v.Both[asksTransit] = 0
		r.BothMS = v.both()
	}
	if v.both() > 0 {
		j.violated("both boxes were active, for %s, first at %s of the watch", perKind(v.Both), v.First)
	}
	if v.Asked == 0 {
		j.violated("the watch asked nothing")
	}
	if j.last < 0 {
		j.violated("not well after %.0f ms: %s", r.HealMS, j.p.show())
		return
	}
	if !inTime {
		j.late("well only after %.0f ms", r.HealMS)
	}
	if len(r.Operator) > 0 && !slices.ContainsFunc(j.faults, func(f fault) bool { return f.operator }) {
		j.violated("an operator was needed: %v", r.Operator)
	}
	j.crashes()
	events, entries := j.events()
	j.entries(entries)
	j.moves(entries)
	if r.Missing == "" {
		j.tells(events)
	}
}

// ungated says whether an agent started without a gate: on a machine that
// stands still its kernel cannot prove one. Addresses then have lifetimes, and
// the box routes whatever is sent to its MAC; an alarm says so.
func (j *judge) ungated() bool {
	all, _ := j.events()
	return slices.ContainsFunc(all, func(e report.Event) bool { return e.Kind == "alarm" && e.Decided == "raise lease" })
}

func perKind(n [kinds]int) string {
	var all []string
	for k, ms := range n {
		all = append(all, fmt.Sprintf("%s %d ms", kindNames[k], ms))
	}
	return strings.Join(all, ", ")
}

// eventsWithin bounds how long a busy agent may take to tell its events.
const eventsWithin = 2 * time.Second

// events collects what both nodes recorded.
func (j *judge) events() (all []report.Event, entries []entry) {
	for i, n := range j.p.Nodes {
		var mine []report.Event
		var err error
		if !lab.Until(eventsWithin, func() bool { mine, err = j.p.since(i); return err == nil }) {
			j.violated("%s does not tell its events: %v", n.Name, err)
		}
		all = append(all, mine...)
		for _, e := range mine {
			if e.Kind == "role" && e.From != "" && owns(e.To) && !owns(e.From) { // without From it is a remark
				entries = append(entries, entry{i, e})
			}
		}
	}
	sort.SliceStable(entries, func(a, b int) bool { return entries[a].At.Before(entries[b].At) })
	return all, entries
}

func owns(state string) bool { return state == "ACTIVE" || state == "SOLO" || state == "RELEASING" }

// byMode is the evidence that a takeover from a silent peer rests on.
var byMode = map[string]string{"silence": "silence", "fence": "fence", "lease": "lease"}

// always are the evidences of every mode.
const always = "released grant goodbye adopted"

func (j *judge) touched() (all touch) {
	for _, f := range j.faults {
		all |= f.touches
	}
	return all
}

// entries holds every entry to ownership against the rules: it says what it
// rests on, what was seen and decided, and its term is new.
func (j *judge) entries(all []entry) {
	allowed := strings.Fields(always + " " + byMode[j.p.class.mode])
	var last [2]uint32
	var highest uint32
	apart := j.touched()&links == links // neither can know the other's terms
	// An agent that is killed in the moment of its entry has not written the
	// term down: no takeover waits for a disk. It may give the number again.
	ended := slices.ContainsFunc(j.faults, func(f fault) bool { return f.ends })
	for _, e := range all {
		name := j.p.Nodes[e.node].Name
		if !slices.Contains(allowed, e.Evidence) {
			j.violated("%s took the group by evidence %q in mode %s", name, e.Evidence, j.p.class.mode)
		}
		if e.Seen == "" || e.Decided == "" {
			j.violated("%s took the group and does not say why: %+v", name, e.Event)
		}
		if j.p.forgot {
			continue // a disk that forgot may count again
		}
		if last[e.node] > e.Term || last[e.node] == e.Term && !ended {
			j.violated("%s: term %d does not rise, it was %d", name, e.Term, last[e.node])
		}
		if e.Term < highest && !j.p.wallStepped && !apart {
			j.violated("%s: term %d after %d", name, e.Term, highest)
		}
		last[e.node], highest = e.Term, max(highest, e.Term)
	}
}

// moves holds where the group went against what the faults ask for. The fast
// profile is not calm on a busy machine: there only two owners count.
func (j *judge) moves(all []entry) {
	if j.p.class.profile == "fast" || j.result.Missing != "" {
		return
	}
	// Two links that each suffer a little can be all links cut.
	stay := j.touched()&links != links && !slices.ContainsFunc(j.faults, func(f fault) bool { return f.moves != mustStay })
	if stay && len(all) > 0 {
		e := all[0]
		j.late("the group moved without need: %s %s -> %s by %s (%s)", j.p.Nodes[e.node].Name, e.From, e.To, e.Evidence, e.Seen)
	}
	if len(j.faults) != 1 || j.faults[0].moves != mustMove || j.plan.Hold < holdSure {
		return
	}
	f := j.faults[0]
	if f.evidence == "*" && j.p.class.mode == "fence" {
		return // the standby leaves the owner its head start: the heal may come before
	}
	i := slices.IndexFunc(all, func(e entry) bool { return e.node != j.owner })
	if i < 0 {
		j.late("the group did not move")
		return
	}
	want := strings.Replace(f.evidence, "*", byMode[j.p.class.mode], 1)
	if !slices.Contains(strings.Fields(want), all[i].Evidence) {
		j.late("the takeover rests on %q, not on %s", all[i].Evidence, want)
	}
}

// holdSure is how long a fault must last for what it brings about to be sure.
const holdSure = 800 * time.Millisecond

// tells holds that some event tells of each fault. An agent that is ended or
// stopped beside it, or gives the group away, may have had no time to see it.
func (j *judge) tells(events []report.Event) {
	if j.result.Fenced > 0 {
		return // the box has no power to tell with
	}
	if len(j.faults) > 1 && slices.ContainsFunc(j.faults, func(f fault) bool { return f.touches&(agents|orders) != 0 }) {
		return
	}
	for k, f := range j.faults {
		if len(f.tells) == 0 || j.plan.Hold-j.plan.Picks[k].After < holdSure {
			continue
		}
		told := slices.ContainsFunc(events, func(e report.Event) bool {
			text := strings.ToLower(strings.Join([]string{e.Kind, e.From, e.To, e.Seen, e.Decided, e.Done}, " "))
			return slices.ContainsFunc(f.tells, func(word string) bool { return strings.Contains(text, word) })
		})
		if !told {
			j.late("no event tells of %s (one of %q)", f.name, f.tells)
		}
	}
}

// crashes looks for an agent that ended by itself.
func (j *judge) crashes() {
	for i, n := range j.p.Nodes {
		log, err := os.ReadFile(n.LogPath())
		if err != nil || int64(len(log)) < j.p.logged[i] {
			continue
		}
		log = log[j.p.logged[i]:]
		if k := bytes.Index(log, []byte("panic: ")); k >= 0 {
			j.violated("%s: %s", n.Name, bytes.SplitN(log[k:], []byte("\n"), 2)[0])
		} else if k := bytes.Index(log, []byte("fatal error: ")); k >= 0 && !j.p.expectCrash {
			j.violated("%s: %s", n.Name, bytes.SplitN(log[k:], []byte("\n"), 2)[0])
		}
	}
}

// keepDir is where violations are kept.
var keepDir = filepath.Join(os.TempDir(), "twinbeat-campaign")

// keepLines bounds the agents' logs that are kept.
const keepLines = 200

// keep writes down everything that is known of an iteration that went wrong,
// and prints it.
func (p *pair) keep(plan plan, r result, from time.Duration) {
	dir := filepath.Join(keepDir, fmt.Sprintf("seed%d-iter%d", plan.seed, plan.Index))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "seed %d, iteration %d, class %s: %s\n", plan.seed, plan.Index, plan.Class, plan.names())
	for _, x := range r.Violation {
		fmt.Fprintf(&b, "VIOLATION: %s\n", x)
	}
	show := func(what string, v any) {
		text, _ := json.MarshalIndent(v, "", " ")
		fmt.Fprintf(&b, "\n%s: %s\n", what, text)
	}
	show("plan", plan)
	show("result", r)
	p.noteMu.Lock()
	fmt.Fprintf(&b, "\nwhat was done (iteration began at %s):\n%s\n", p.began.Format(time.RFC3339Nano), strings.Join(p.notes, "\n"))
	p.noteMu.Unlock()
	fmt.Fprintf(&b, "\nthe watch, from %s of its clock (the iteration's start):\n%s\n", from, strings.Join(p.watch.strip(from, p.watch.now()), "\n"))
	for i, n := range p.Nodes {
		events, err := p.since(i)
		fmt.Fprintf(&b, "\nevents of %s: %v\n", n.Name, err)
		for _, e := range events {
			line, _ := json.Marshal(e)
			fmt.Fprintf(&b, "%s\n", line)
		}
		log, _ := os.ReadFile(n.LogPath())
		_ = os.WriteFile(filepath.Join(dir, n.Name+".log"), []byte(tail(log, keepLines)), 0o644)
	}
	_ = os.WriteFile(filepath.Join(dir, "report.txt"), b.Bytes(), 0o644)
	fmt.Fprintf(os.Stderr, "%s\nkept in %s; again: make campaign SEED=%d ITER=%d\n", b.String(), dir, plan.seed, plan.Index)
}
