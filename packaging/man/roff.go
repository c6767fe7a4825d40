package main

import (
	"fmt"
	"strings"

	"github.com/twinbeat/twinbeat/agent/cli"
)

// A roff is a page of man(7) under construction.
type roff struct{ strings.Builder }

// escape makes text stand for itself: no escape, no request, and dashes and
// quotes that can be copied to a terminal.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// quote makes an argument of a macro.
func quote(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }

func (r *roff) raw(text string) { r.WriteString(text) }

func (r *roff) title(name, section, date, version, volume string) {
	fmt.Fprintf(r, ".TH %s %s %s %s %s\n", name, section, date, quote("twinbeat "+version), quote(volume))
}

func (r *roff) section(name string) { fmt.Fprintf(r, ".SH %s\n", quote(name)) }

func (r *roff) heading(name string) { fmt.Fprintf(r, ".SS %s\n", quote(name)) }

// text writes paragraphs, which an empty line divides. A line is a sentence's
// part; none begins a request.
func (r *roff) text(text string) {
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 && p != "" {
			r.raw(".PP\n")
		}
		for line := range strings.Lines(p) {
			r.raw(escape(strings.TrimSpace(line)) + "\n")
		}
	}
}

// item writes a tagged paragraph.
func (r *roff) item(tag, text string) {
	fmt.Fprintf(r, ".TP\n.B %s\n", quote(tag))
	r.text(text)
}

// example writes lines as they are.
func (r *roff) example(lines []string) {
	r.raw(".PP\n.EX\n")
	for _, line := range lines {
		r.raw(escape(line) + "\n")
	}
	r.raw(".EE\n")
}

func (r *roff) command(p cli.Page) {
	r.heading(p.Synopsis)
	r.text(p.Text)
	for _, f := range p.Flags {
		r.item(strings.TrimSpace(f.Name+" "+f.Placeholder), f.Usage)
	}
	r.example(p.Examples)
}
