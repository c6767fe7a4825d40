package report

import (
	"fmt"
	"strings"
)

// A Reload is the answer to whoever asked the agent to take up its
// configuration anew.
type Reload struct {
	File     string    `json:"file"`
	DryRun   bool      `json:"dry_run,omitempty"`
	Done     bool      `json:"done"` // the agent runs with the file as it is now
	Digest   string    `json:"digest,omitempty"`
	TookMS   float64   `json:"took_ms"`
	Problems []Problem `json:"problems,omitempty"` // of the file
	Changes  []Change  `json:"changes,omitempty"`
	More     int       `json:"more,omitempty"`    // changes that are not listed
	Refused  string    `json:"refused,omitempty"` // why nothing was changed
	Hint     string    `json:"hint,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // what did not go as it should, though it was done
}

// A Problem is something wrong, or risky, in the configuration.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Key     string `json:"key,omitempty"`
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning,omitempty"`
}

// A Change is one key of the configuration that is another now. Old and New
// hold no secret; empty means not set.
type Change struct {
	Key    string `json:"key"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Effect string `json:"effect"` // live, restart or stop both
	Why    string `json:"why"`
}

// MaxChanges bounds the changes that a Reload lists.
const MaxChanges = 200

// ReloadText shows a Reload to a person.
func ReloadText(r Reload) string {
	var b strings.Builder
	for _, p := range r.Problems {
		b.WriteString(p.text())
	}
	for _, c := range r.Changes {
		b.WriteString(c.text())
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "and %d changes more\n", r.More)
	}
	for _, n := range r.Notes {
		b.WriteString(Paragraph("note", 6, n))
	}
	switch {
	case r.Refused != "":
	case len(r.Changes) == 0:
		b.WriteString("nothing to do: the agent runs with what the file says\n")
	case r.Done:
		fmt.Fprintf(&b, "done in %.0f ms; digest %s\n", r.TookMS, r.Digest)
	default:
		b.WriteString("a reload would do this without a pause; nothing was done\n")
	}
	return b.String()
}

func (p Problem) text() string {
	head := p.File + ":"
	if p.Line > 0 {
		head += fmt.Sprintf("%d:", p.Line)
	}
	if p.Warning {
		head += " warning:"
	}
	if p.Key != "" {
		head += " " + p.Key + ":"
	}
	head = Clean(head+" "+p.Text) + "\n"
	if p.Hint != "" {
		head += "  hint: " + Clean(p.Hint) + "\n"
	}
	return head
}

func (c Change) text() string {
	what := c.Old + " -> " + c.New
	switch {
	case c.Old == c.New:
		what = "changed; its value is not shown"
	case c.Old == "":
		what = "+ " + c.New
	case c.New == "":
		what = "- " + c.Old
	}
	return Clean(c.Key+": "+what) + "\n" + Paragraph("", 4, c.Effect+": "+c.Why)
}
