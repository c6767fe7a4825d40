package cli

import (
	"flag"
	"slices"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A Page is the help of one command, for whoever lays it out otherwise. The
// program itself does not use it, so that it is not linked.
type Page struct {
	Name, Synopsis, Summary, Text string
	Flags                         []FlagText
	Examples                      []string
}

// A FlagText is a flag as help shows it.
type FlagText struct{ Name, Placeholder, Usage string }

// Manual returns the help of every command, in the order of the overview.
func Manual() []Page {
	var pages []Page
	for _, c := range commands() {
		p := Page{Name: c.name, Synopsis: c.synopsis(), Summary: c.summary, Text: c.text, Examples: slices.Clone(c.examples)}
		c.eachFlag(func(f *flag.Flag, placeholder, usage string) {
			p.Flags = append(p.Flags, FlagText{dashed(f.Name), placeholder, report.Clean(usage)})
		})
		pages = append(pages, p)
	}
	return pages
}
