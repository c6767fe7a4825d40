package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// Widths of the screen's parts.
const (
	half       = columns/2 - 1
	stripWidth = columns - 2
	stripEach  = 50 // probes to a column
	eventLines = 5
)

// Colours, by meaning. The text says the same without them.
const (
	plain  = "\x1b[0m"
	strong = "\x1b[1m"
	bar    = "\x1b[7m"
	good   = "\x1b[32m"
	odd    = "\x1b[33m"
	bad    = "\x1b[31m"
)

// A scene is everything that the screen shows.
type scene struct {
	mode, profile string
	cables        string // what was done to them
	boxes         [2]boxView
	strip         []bool // probes, oldest first
	vip           string
	answering     string // the box that answers ARP
	both          time.Duration
	asked         int
	visit         visit
	services      []string
	last          [2]string // what was done and what came of it
	events        []string  // newest last
	keys          []string
}

// A boxView is one box as the screen shows it.
type boxView struct {
	name   string
	power  bool
	frozen bool
	pid    int // 0: no agent
	fresh  bool
	silent time.Duration
	snap   report.Snapshot
}

// compose returns the lines of the screen, at most rows.
func compose(s scene) []string {
	title := fmt.Sprintf(" twinbeat demo  mode %s, profile %s  cables: %s", s.mode, s.profile, s.cables)
	out := []string{bar + pad(title, columns) + plain}
	left, right := boxLines(s.boxes[0]), boxLines(s.boxes[1])
	for i := range left {
		out = append(out, pad(left[i], half)+"|"+clip(" "+right[i], half+1))
	}
	out = append(out, rule("client"))
	out = append(out, clientLines(s)...)
	out = append(out, rule("last fault"))
	out = append(out, s.last[:]...)
	out = append(out, rule("events"))
	events := s.events[max(0, len(s.events)-eventLines):]
	for i := range eventLines {
		if i < len(events) {
			out = append(out, events[i])
		} else {
			out = append(out, "")
		}
	}
	out = append(out, s.keys...)
	for i := range out {
		out[i] = clip(out[i], columns)
	}
	return out[:min(len(out), rows)]
}

func rule(name string) string {
	return "-- " + name + " " + strings.Repeat("-", columns-4-len(name))
}

// boxLines is the column of one box; always of the same height.
func boxLines(b boxView) []string {
	const height = 7
	out := []string{" " + strong + b.name + plain + "  " + powerText(b)}
	if b.power && b.pid != 0 && b.fresh && len(b.snap.Groups) > 0 {
		out = append(out, stateLines(b.snap)...)
	}
	for len(out) < height {
		out = append(out, "")
	}
	return out[:height]
}

func powerText(b boxView) string {
	switch {
	case !b.power:
		return bad + "POWER OFF" + plain + "; o switches it on"
	case b.frozen:
		return bad + "AGENT FROZEN" + plain + "; its kernel lives on"
	case b.pid == 0:
		return bad + "AGENT DEAD" + plain + "; its kernel lives on"
	case !b.fresh:
		return odd + fmt.Sprintf("agent silent for %.1f s", b.silent.Seconds()) + plain
	default:
		return fmt.Sprintf("agent %d runs", b.pid)
	}
}

func stateLines(s report.Snapshot) []string {
	g := s.Groups[0]
	colour := odd
	if owns(g.State) {
		colour = good
	}
	state := fmt.Sprintf(" %s%s%s for %s, term %d", colour, g.State, plain, span(g.SinceMS), g.Term)
	if g.Evidence != "" {
		state += ", by " + g.Evidence
	}
	gate := " gate closed; could not take over"
	switch {
	case g.GateOpen:
		gate = " gate open, kernel lease " + fmt.Sprintf("%.0f ms left", g.LeaseLeftMS)
	case g.CanTakeOver:
		gate = " gate closed; ready to take over"
	case g.WhyNot != "":
		gate = " gate closed; " + g.WhyNot
	}
	services := " no services"
	switch {
	case len(g.Services) > 0 && g.ServicesUp:
		services = " up: " + strings.Join(g.Services, ", ")
	case len(g.Services) > 0 && owns(g.State):
		services = " starting: " + strings.Join(g.Services, ", ")
	case len(g.Services) > 0:
		services = " stopped: " + strings.Join(g.Services, ", ")
	}
	out := []string{state, gate, services}
	for _, l := range s.Links {
		out = append(out, linkLine(l))
	}
	return append(out, alarmLine(s.Alarms))
}

func linkLine(l report.LinkView) string {
	state := good + l.State + plain
	if l.State != "up" {
		state = bad + l.State + plain
	}
	trip := ""
	if l.RoundTripMS != nil && l.State == "up" {
		trip = fmt.Sprintf(", trip %.1f ms", *l.RoundTripMS)
	}
	return fmt.Sprintf(" %-9s %s%s, loss %.0f%%", l.Type, state, trip, l.LossPercent)
}

func alarmLine(alarms []report.Alarm) string {
	if len(alarms) == 0 {
		return " no alarm"
	}
	names := make([]string, len(alarms))
	for i, a := range alarms {
		names[i] = alarmName(a.Name)
	}
	return bad + " ALARM " + strings.Join(names, ", ") + plain
}

// alarmName leaves out of an alarm's name which group it is of, there being
// only one, and all of a link but its kind.
func alarmName(name string) string {
	_, what, found := strings.Cut(name, "/")
	if !found {
		return name
	}
	if strings.HasPrefix(name, "link/") {
		what, _, _ = strings.Cut(what, " ")
	}
	return what
}

// span writes milliseconds as an operator would say them.
func span(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", ms)
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	default:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
}

func clientLines(s scene) []string {
	answer := bad + "nobody" + plain
	if s.answering != "" {
		answer = good + s.answering + plain
	}
	both := fmt.Sprintf("both active: %s0 ms%s in %d questions", good, plain, s.asked)
	if s.both > 0 {
		both = fmt.Sprintf("%sBOTH ACTIVE: %d ms%s in %d questions", bad, s.both.Milliseconds(), plain, s.asked)
	}
	return []string{
		fmt.Sprintf(" pings %s each ms; a column is %d pings: # all answered, + some, . none", s.vip, stripEach),
		" " + stripText(s.strip),
		fmt.Sprintf(" ARP for it is answered by %s; %s", answer, both),
		" " + visitText(s),
	}
}

// stripText draws the probes, the newest at the right.
func stripText(probes []bool) string {
	var b strings.Builder
	cols := min(stripWidth, len(probes)/stripEach)
	b.WriteString(strings.Repeat(" ", stripWidth-cols))
	probes = probes[len(probes)-cols*stripEach:]
	for c := range cols {
		answered := 0
		for _, ok := range probes[c*stripEach : (c+1)*stripEach] {
			if ok {
				answered++
			}
		}
		switch answered {
		case stripEach:
			b.WriteString(good + "#" + plain)
		case 0:
			b.WriteString(bad + "." + plain)
		default:
			b.WriteString(odd + "+" + plain)
		}
	}
	return b.String()
}

func visitText(s scene) string {
	if len(s.services) == 0 {
		return "no dnsmasq and no lighttpd on this machine: pings only"
	}
	if s.visit.err != "" {
		return bad + s.visit.err + plain
	}
	var parts []string
	if s.visit.name > 0 {
		parts = append(parts, fmt.Sprintf("%s resolved in %.1f ms", siteName, millis(s.visit.name)))
	}
	if s.visit.by != "" {
		parts = append(parts, fmt.Sprintf("its page came from %s%s%s in %.1f ms", good, s.visit.by, plain, millis(s.visit.page)))
	}
	return strings.Join(parts, "; ")
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// mergeEvents puts two histories into one, by the time, which both boxes share
// on this machine; each numbers its own events.
// Where brief says so, a long word becomes a short one.
func mergeEvents(names [2]string, histories [2][]report.Event, brief *strings.Replacer) []string {
	type line struct {
		at   time.Time
		text string
	}
	var all []line
	for i, h := range histories {
		for _, e := range h {
			all = append(all, line{e.At, brief.Replace(eventText(names[i], e))})
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	out := make([]string, len(all))
	for i, l := range all {
		out[i] = l.text
	}
	return out
}

// eventText is one event in one line; the screen clips it.
func eventText(node string, e report.Event) string {
	text := " " + e.At.Format("15:04:05.000") + " " + strong + node + plain + " "
	if e.Kind != "role" {
		text += e.Kind + " "
	}
	if e.From != "" && e.To != "" {
		text += strong + e.From + " -> " + e.To + plain + ": "
	}
	parts := []string{e.Decided, e.Seen, e.Done} // an alarm's name is in what was decided
	if e.Kind == "link" {
		parts = []string{e.Seen}
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return text + report.Clean(strings.Join(parts, "; "))
}

// clip cuts a line to so many columns; colours take none.
func clip(line string, width int) string {
	var b strings.Builder
	n, escape := 0, false
	for _, r := range line {
		switch {
		case escape:
			b.WriteRune(r)
			escape = r != 'm'
		case r == 0x1b:
			b.WriteRune(r)
			escape = true
		case n < width:
			b.WriteRune(r)
			n++
		}
	}
	return b.String()
}

// pad clips a line, or fills it up, to exactly so many columns.
func pad(line string, width int) string {
	line = clip(line, width)
	return line + strings.Repeat(" ", max(0, width-visible(line)))
}

// visible is how many columns a line takes.
func visible(line string) int {
	n, escape := 0, false
	for _, r := range line {
		switch {
		case escape:
			escape = r != 'm'
		case r == 0x1b:
			escape = true
		default:
			n++
		}
	}
	return n
}
