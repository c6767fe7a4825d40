package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A Watching is what a screen shows at one moment.
type Watching struct {
	Snapshot *Snapshot // the newest; nil: the agent has never answered
	Events   []Event   // oldest first
	Now      time.Time // wall clock

	SilentSince time.Time // since when the agent does not answer; zero: it answers
	Why         string    // what it does instead
}

// A section is a part of the screen. Beyond its room it says how much is left
// out, unless that is old anyway.
type section struct {
	lines []string
	least int  // lines that it gets before any other gets more
	old   bool // what is cut off needs no word
}

// clock is how a moment of today is written where columns are few.
const clock = "15:04:05"

// Screen lays the state of the pair out for a terminal: at most height lines of
// at most width columns, without a control character. Numbers that change with
// every beat are left out, so that most lines stay as they are.
func Screen(w Watching, width, height int) []string {
	width, height = max(width, minColumns), max(height, 1)
	top := []string{title(w, width)}
	if !w.SilentSince.IsZero() {
		top = append(top, fmt.Sprintf("AGENT NOT ANSWERING since %s (%s): %s",
			w.SilentSince.Format(clock), calm(float64(w.Now.Sub(w.SilentSince).Milliseconds())), w.Why))
		if w.Snapshot != nil {
			top = append(top, "what it said last, at "+w.Snapshot.At.In(w.Now.Location()).Format(clock)+":")
		}
	}
	all := []section{{lines: top, least: len(top)}}
	if w.Snapshot != nil {
		all = append(all, sections(*w.Snapshot, w.SilentSince.IsZero())...)
	}
	all = append(all, eventSection(w.Events, w.Now))
	var out []string
	for i, room := range share(all, height) {
		out = append(out, all[i].cut(room)...)
	}
	for i, l := range out {
		out[i] = clip(l, width)
	}
	return out
}

// title is the first line: whose view it is, and the time.
func title(w Watching, width int) string {
	left, right := "twinbeat", w.Now.Format("2006-01-02 "+clock)
	if s := w.Snapshot; s != nil {
		left = fmt.Sprintf("pair %s, seen from %s", s.Cluster, s.Self.Name)
	}
	left = clip(left, width-len(right)-1)
	return pad(left, width-len(right)) + right
}

// sections are all that a snapshot has to show but the events, from top to
// bottom. What is added to a snapshot gets its section here.
func sections(s Snapshot, fresh bool) []section {
	return []section{
		verdictSection(s, fresh), guaranteeSection(s), nodeSection(s), healthSection(s), linkSection(s.Links), groupSection(s),
		watchdogSection(s), alarmSection(s),
	}
}

// share divides height lines among the sections: first what each needs at the
// least, then from the top as much as each can use. The last gets what is left.
func share(all []section, height int) []int {
	room := make([]int, len(all))
	for i, s := range all {
		room[i] = min(s.least, len(s.lines), height)
		height -= room[i]
	}
	for i, s := range all {
		more := min(len(s.lines)-room[i], height)
		room[i] += more
		height -= more
	}
	return room
}

// cut returns the section in room lines.
func (s section) cut(room int) []string {
	switch {
	case room >= len(s.lines):
		return s.lines
	case room == 0:
		return nil
	}
	out := append([]string{}, s.lines[:room]...)
	if room > 1 && !s.old {
		out[room-1] = fmt.Sprintf("  and %d more: twinbeat status", len(s.lines)-room+1)
	}
	return out
}

func verdictSection(s Snapshot, fresh bool) section {
	var lines []string
	for _, r := range Reasons(s) {
		if !strings.HasPrefix(r, "alarm ") { // they have a section of their own
			lines = append(lines, "DEGRADED: "+r)
		}
	}
	switch {
	case len(s.Alarms) > 0:
		lines = append(lines, fmt.Sprintf("DEGRADED: alarms below: %d", len(s.Alarms)))
	case len(lines) == 0:
		word := "well"
		if !fresh {
			word = "it was well"
		}
		lines = append(lines, word+": no alarm, peer alive, every link up, every group owned")
	}
	return section{lines: lines, least: 4}
}

func guaranteeSection(s Snapshot) section {
	text := "MODE " + or(s.Guarantee.Mode, "unknown")
	for _, more := range nonEmpty(s.Guarantee.Lease, s.Guarantee.Reason) {
		text += "; " + more
	}
	return section{lines: []string{text}, least: 1}
}

func nodeSection(s Snapshot) section {
	w := max(utf8.RuneCountInString(s.Self.Name), utf8.RuneCountInString(s.Peer.Name)) + 2
	lines := []string{
		"NODE " + pad(s.Self.Name, w) + nodeWords(s.Self, true),
		"NODE " + pad(s.Peer.Name, w) + nodeWords(s.Peer, false),
	}
	return section{lines: lines, least: len(lines)}
}

// healthSection shows what takes points from a node; nothing if nothing does. Of
// the peer only the sum is known.
func healthSection(s Snapshot) section {
	var lines, votes []string
	for _, n := range []NodeView{s.Self, s.Peer} {
		h := n.Health
		if h == nil || h.Score >= fullHealth && len(h.Votes) == 0 && !h.Critical && h.LeftSec == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("HEALTH %s: %s", n.Name, HealthText(*h)))
		for _, v := range h.Votes {
			votes = append(votes, fmt.Sprintf("  %s -%d %s: %s", n.Name, v.Loss, v.Source, v.Reason))
		}
	}
	return section{lines: append(lines, votes...), least: 4}
}

const fullHealth = 100

func nodeWords(n NodeView, self bool) string {
	var parts []string
	switch {
	case self:
		parts = append(parts, "this node")
	case !n.Alive:
		parts = append(parts, "NOT ALIVE, last heard "+calmAgo(n.HeardAgoMS))
	case !n.TwoWay:
		parts = append(parts, "ONE-WAY, heard "+calmAgo(n.HeardAgoMS))
	default:
		parts = append(parts, "alive, heard "+calmAgo(n.HeardAgoMS))
	}
	if n.UptimeMS > 0 {
		parts = append(parts, "up "+calm(float64(n.UptimeMS)))
	}
	if m := n.Maintenance; m != nil {
		parts = append(parts, "MAINTENANCE: "+or(m.Reason, "no reason given"))
	}
	if n.Digest != "" && !n.DigestOK {
		parts = append(parts, "config DIFFERS")
	}
	if f := n.Fence; f != nil {
		parts = append(parts, fenceWords(*f))
	}
	return strings.Join(parts, ", ")
}

func fenceWords(f FenceView) string {
	switch {
	case f.Running:
		return "FENCING NOW by " + f.Device
	case f.Error != "":
		return "fence " + f.Device + " ERROR " + f.Error
	case f.Barred != "":
		return "fence " + f.Device + " MAY NOT FENCE: " + f.Barred
	}
	return "fence " + f.Device + ": peer's outlet " + or(f.Power, "unknown")
}

func linkSection(links []LinkView) section {
	name := 20
	for _, l := range links {
		name = max(name, utf8.RuneCountInString(l.Name)+4)
	}
	name = min(name, minColumns-20)
	lines := []string{pad("LINK", name) + "STATE       HEARD     TRIP      LOSS"}
	for _, l := range links {
		trip := "-"
		if l.RoundTripMS != nil {
			trip = Span(*l.RoundTripMS)
		}
		title := pad(clip(fmt.Sprintf("%d %s", l.ID, l.Name), name-1), name)
		line := fmt.Sprintf("%s%-11s %-9s %-9s %.1f%%", title, or(l.State, "unknown"), strings.TrimSuffix(calmAgo(l.HeardAgoMS), " ago"), trip, l.LossPercent)
		if l.Error != "" {
			line += "  " + l.Error
		}
		lines = append(lines, line)
	}
	return section{lines: lines, least: 3}
}

func groupSection(s Snapshot) section {
	name, node := 8, 8
	for _, g := range s.Groups {
		name = max(name, min(utf8.RuneCountInString(g.Name), 24)+2)
	}
	node = max(node, min(16, max(utf8.RuneCountInString(s.Self.Name), utf8.RuneCountInString(s.Peer.Name)))+2)
	state := max(node, 13) // MAINTENANCE
	lines := []string{pad("GROUP", name) + pad("OWNER", node) + pad(s.Self.Name, state) + pad(s.Peer.Name, state) + pad("SINCE", 11) + "HERE"}
	for _, g := range s.Groups {
		lines = append(lines, pad(clip(g.Name, name-1), name)+pad(or(g.Owner, "NOBODY"), node)+pad(or(g.State, "unknown"), state)+
			pad(or(g.PeerState, "unknown"), state)+pad(calm(float64(g.SinceMS)), 11)+groupWords(s, g))
	}
	return section{lines: lines, least: 3}
}

// groupWords says how much of the group is up here, or whether it could be.
func groupWords(s Snapshot, g Group) string {
	switch {
	case g.Owner == s.Self.Name && g.Owner != "":
		text := fmt.Sprintf("%d/%d addresses", g.AddressesUp, len(g.Addresses))
		if len(g.Services) > 0 && g.ServicesUp {
			text += ", services up"
		} else if len(g.Services) > 0 {
			text += ", services NOT UP"
		}
		return text
	case g.CanTakeOver:
		return "can take it"
	}
	return "CANNOT take it: " + or(g.WhyNot, "no reason known")
}

func watchdogSection(s Snapshot) section {
	if s.Watchdog == nil || s.Watchdog.State == "none" {
		return section{}
	}
	text := "WATCHDOG " + s.Watchdog.State
	for _, more := range nonEmpty(s.Watchdog.Error, strings.Join(s.Watchdog.Stale, ", ")) {
		text += ": " + more
	}
	return section{lines: []string{text}, least: 1}
}

func alarmSection(s Snapshot) section {
	var lines []string
	for _, a := range s.Alarms {
		lines = append(lines, fmt.Sprintf("ALARM %s %s: %s", a.Since.In(s.At.Location()).Format(clock), a.Name, a.Text))
	}
	return section{lines: lines, least: 3}
}

// eventSection shows the newest event first, so that what is cut off is old.
func eventSection(events []Event, now time.Time) section {
	if len(events) == 0 {
		return section{}
	}
	lines := []string{"EVENTS, newest first"}
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		at := e.At.In(now.Location())
		when := at.Format("15:04:05.000")
		if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
			when = at.Format("Jan 02 15:04")
		}
		words := []string{when, or(e.Kind, "event")}
		if e.Group != "" {
			words = append(words, e.Group)
		}
		if e.From != "" || e.To != "" {
			words = append(words, or(e.From, "?")+" -> "+or(e.To, "?"))
		}
		lines = append(lines, strings.Join(append(words, strings.Join(nonEmpty(e.Decided, e.Done, e.Seen), "; ")), " "))
	}
	return section{lines: lines, least: 2, old: true}
}

// calm writes a span of milliseconds that does not change with every look.
func calm(ms float64) string {
	if ms < 1000 {
		return "<1 s"
	}
	if ms < 120_000 {
		return fmt.Sprintf("%d s", int64(ms)/1000)
	}
	return Span(ms)
}

func calmAgo(ms *float64) string {
	switch {
	case ms == nil:
		return "never"
	case *ms < 1000:
		return "now"
	}
	return calm(*ms) + " ago"
}

// clip makes text safe for a terminal and at most width columns wide.
func clip(text string, width int) string {
	text = strings.TrimRight(Clean(text), " ")
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return strings.TrimRight(string([]rune(text)[:max(width-2, 0)]), " ") + ".."
}

// Redraw returns what a VT100 must be sent so that it shows next where it shows
// prev, both from its first line: cursor position, text, erase to the end of
// the line, for lines that differ alone. The cursor rests below the text. A nil
// prev clears the screen first.
func Redraw(prev, next []string) string {
	var b strings.Builder
	if prev == nil {
		b.WriteString("\x1b[H\x1b[J")
	}
	for i := range max(len(prev), len(next)) {
		var was, is string
		if i < len(prev) {
			was = prev[i]
		}
		if i < len(next) {
			is = next[i]
		}
		if is == was {
			continue
		}
		fmt.Fprintf(&b, "\x1b[%d;1H%s", i+1, is)
		if utf8.RuneCountInString(is) < utf8.RuneCountInString(was) {
			b.WriteString("\x1b[K") // not behind a full line: it would take its last character
		}
	}
	if b.Len() > 0 {
		fmt.Fprintf(&b, "\x1b[%d;1H", len(next)+1)
	}
	return b.String()
}
