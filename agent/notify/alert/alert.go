// Package alert decides which events a person far away is told of, when, and in
// which words. It refuses to send anything: it has no clock and no I/O. What it
// leaves out it counts, and says.
//
// Start reading at [Of] (what an event is worth), then [Queue] (what waits for
// one target) and [Spool] (what survives a restart).
package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A Severity is one of RFC 5424 section 6.2.1: less is worse.
type Severity uint8

// The severities in use.
const (
	Critical Severity = 2 // the service was or is in danger
	Error    Severity = 3 // something is broken
	Warning  Severity = 4 // one more fault could cost the service
	Notice   Severity = 5 // an operator's order, an end in order
	Info     Severity = 6
)

var severityNames = [...]string{Critical: "critical", Error: "error", Warning: "warning", Notice: "notice", Info: "info"}

// Severities are the names of all, worst first.
func Severities() []string { return severityNames[Critical:] }

// SeverityNamed returns the severity of that name, Info if there is none.
func SeverityNamed(name string) Severity {
	if i := slices.Index(Severities(), name); i >= 0 {
		return Critical + Severity(i)
	}
	return Info
}

// String is the severity's name.
func (s Severity) String() string {
	if int(s) >= len(severityNames) {
		return ""
	}
	return severityNames[s]
}

// MarshalText writes its name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads its name.
func (s *Severity) UnmarshalText(b []byte) error {
	*s = SeverityNamed(string(b))
	return nil
}

// maxText is the longest text of an alert, in bytes: SNMP's SnmpAdminString
// (RFC 3411) has room for no more, and a line of syslog for all of them.
const maxText = 255

// States of a condition.
const (
	Raised  = "raised"
	Cleared = "cleared"
)

// KindNotify is the kind of alerts about alerts: a target that fails, a queue
// that ran over.
const KindNotify = "notify"

// KindTest is the kind of an alert that an operator asked for.
const KindTest = "test"

// An Alert is one event as it is told: what was seen, decided and done, and the
// evidence. All text is clean for any terminal, and bounded.
type Alert struct {
	Seq      uint64    `json:"seq"` // of its event
	At       time.Time `json:"at"`
	Cluster  string    `json:"cluster"`
	Node     string    `json:"node"` // which tells it
	Severity Severity  `json:"severity"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name,omitempty"`  // of an alarm, a link, a target
	State    string    `json:"state,omitempty"` // raised or cleared; a link's and a group's new state
	Group    string    `json:"group,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to,omitempty"`
	Term     uint32    `json:"term,omitempty"`
	Evidence string    `json:"evidence,omitempty"`
	Seen     string    `json:"seen,omitempty"`
	Decided  string    `json:"decided,omitempty"`
	Done     string    `json:"done,omitempty"`
	Repeats  int       `json:"repeats,omitempty"` // so many more of its kind were not told one by one
}

// A Pair says of whom an alert is.
type Pair struct {
	Cluster, Node string
	Groups        []string // names, by which an alarm's group is known
}

// Of makes the alert of an event.
func Of(e report.Event, p Pair) Alert {
	a := Alert{
		Seq: e.Seq, At: e.At, Cluster: p.Cluster, Node: p.Node, Kind: e.Kind, State: e.To,
		Group: e.Group, From: e.From, To: e.To, Term: e.Term, Evidence: e.Evidence, Seen: e.Seen, Decided: e.Decided, Done: e.Done,
	}
	switch e.Kind {
	case "alarm":
		a.alarm(p.Groups)
	case "link":
		a.Name = e.Done
	case "health":
		a.health()
	case KindNotify:
		a.Name = strings.TrimPrefix(e.Done, "target ")
	}
	for _, s := range []*string{
		&a.Cluster, &a.Node, &a.Kind, &a.Name, &a.State, &a.Group, &a.From, &a.To, &a.Evidence, &a.Seen, &a.Decided, &a.Done,
	} {
		*s = clip(report.Clean(*s), maxText)
	}
	a.Severity = judge(&a)
	return a
}

// alarm takes an alarm's event apart: "raise NAME" or "clear NAME", where NAME
// may begin with a group and a slash.
func (a *Alert) alarm(groups []string) {
	if name, ok := strings.CutPrefix(a.Decided, "raise "); ok {
		a.Name, a.State = name, Raised
	} else if name, ok := strings.CutPrefix(a.Decided, "clear "); ok {
		a.Name, a.State = name, Cleared
	}
	if group, _, ok := strings.Cut(a.Name, "/"); ok && a.Group == "" && slices.Contains(groups, group) {
		a.Group = group
	}
}

// health takes a change of a node's health apart: "SOURCE: reason" or "SOURCE is
// well", and "health N, was M". Its state is known by tens, so that a score that
// trembles is told once.
func (a *Alert) health() {
	var score, was int
	if n, _ := fmt.Sscanf(a.Decided, "health %d, was %d", &score, &was); n < 2 {
		return // a comparison of both nodes
	}
	name, _, _ := strings.Cut(a.Seen, ": ")
	a.Name = strings.TrimSuffix(name, " is well")
	a.State = fmt.Sprintf("health %d to %d", score/10*10, min(100, score/10*10+9))
}

// clip cuts a text between two characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// planned are the kinds of evidence of a move that somebody wanted.
var planned = []string{"released", "grant", "goodbye", "adopted", "operator"}

// grave are the parts of alarm names that mean more than "one more fault".
var grave = []string{"gate", "lease", "foreign", "split", "stop", "isolated", "unfit", "veto", "watchdog-starved", "own-addresses", "fence"}

// judge says how bad it is. That a condition is over is as weighty as that it
// began: whoever was told of the one must be told of the other.
func judge(a *Alert) Severity {
	switch a.Kind {
	case "role":
		return judgeRole(a)
	case "alarm":
		name := strings.TrimPrefix(a.Name, a.Group+"/")
		for _, g := range grave {
			if strings.HasPrefix(name, g) {
				return Error
			}
		}
		return Warning
	case "fence":
		return Critical
	case "service", KindNotify:
		return Error
	case "health":
		if strings.Contains(a.Decided, "about to fail") {
			return Critical
		}
		return Warning
	case "address", "sensor":
		return Warning
	case "agent":
		return judgeAgent(a)
	case "link":
		return Info // an alarm follows if it matters
	}
	return Notice
}

func judgeRole(a *Alert) Severity {
	switch {
	case a.From == "" && a.Evidence == "":
		return Info // a decision within a state
	case a.To == "FAILED" || a.To == "ISOLATED" || a.To == "FENCING":
		return Critical
	case a.Evidence != "" && !slices.Contains(planned, a.Evidence):
		return Critical // taken from a peer that did not give it
	case a.Evidence != "" || a.To == "ACTIVE" || a.From == "ACTIVE" || a.From == "SOLO":
		return Warning // a planned move
	}
	return Info
}

// ends in order, or of no consequence.
var calm = []string{"first-start", "agent-restart", "reboot"}

func judgeAgent(a *Alert) Severity {
	cause, told := strings.CutPrefix(a.Decided, "last end: ")
	switch {
	case told && slices.Contains(calm, cause):
		return Notice
	case told:
		return Error
	case strings.Contains(a.Decided, "watchdog"):
		return Critical
	}
	return Notice
}

// topic is what an alert is about, whatever it says of it.
func (a *Alert) topic() string {
	switch a.Kind {
	case "role":
		return a.Kind + " " + a.Group
	case "alarm", "link", KindNotify, "health":
		return a.Kind + " " + a.Name
	}
	return a.Kind + " " + a.Group + " " + a.Decided + " " + a.Done
}

// Test is an alert that means nothing but that it arrived.
func Test(p Pair, at time.Time) Alert {
	return Alert{
		At: at, Cluster: p.Cluster, Node: p.Node, Severity: Notice, Kind: KindTest,
		Seen: "an operator asked for a test alert", Decided: "nothing is wrong", Done: "this alert was sent",
	}
}

// overflow tells how many alerts a queue had no room for.
func overflow(p Pair, at time.Time, n uint64) Alert {
	return Alert{
		At: at, Cluster: p.Cluster, Node: p.Node, Severity: Error, Kind: KindNotify,
		Seen: fmt.Sprintf("queue overflow: %d dropped", n), Decided: "drop the oldest alerts", Done: "the events are in the journal of " + p.Node,
	}
}
