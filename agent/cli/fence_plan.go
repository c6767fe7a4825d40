package cli

import (
	"fmt"
	"strings"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A planned is what switches a node off at one level, by one device.
type planned struct {
	Node    string   `json:"node"` // that loses its power
	Level   int      `json:"level"`
	Device  string   `json:"device"`
	Driver  string   `json:"driver"`
	Address string   `json:"address,omitempty"`
	Outlets []string `json:"outlets,omitempty"`
	Pinned  bool     `json:"pinned"`
}

// fencePlan lists how each node is switched off, in the order of the levels.
// views are the configuration as the two nodes see it.
func fencePlan(names []string, views []config.Config) []planned {
	var out []planned
	for i, name := range names {
		for _, d := range views[1-i].Fence.ByLevel() {
			out = append(out, planned{
				Node: name, Level: d.Level, Device: d.Name, Driver: d.Driver, Address: d.Address, Outlets: d.Outlets,
				Pinned: d.Pin.Serial != "" || len(d.Pin.OutletNames) > 0,
			})
		}
	}
	return out
}

// text is one line of the plan.
func (p planned) text() string {
	s := p.Device + " (" + p.Driver
	if p.Address != "" {
		s += " at " + p.Address
	}
	s += ")"
	if len(p.Outlets) > 0 {
		s += fmt.Sprintf(": %q", p.Outlets)
	}
	if !p.Pinned && config.HasOutlets(p.Driver) {
		s += ", not pinned"
	}
	return s
}

// planText is the plan for people: who is switched off by what.
func planText(plan []planned) string {
	var b strings.Builder
	for i, p := range plan {
		head := ""
		if i == 0 || plan[i-1].Node != p.Node {
			head = p.Node + " off"
		}
		level := ""
		if i == 0 || plan[i-1].Node != p.Node || plan[i-1].Level != p.Level {
			level = fmt.Sprintf("level %d", p.Level)
		}
		b.WriteString(report.Paragraph(fmt.Sprintf("%-16s%s", head, level), 26, p.text()))
	}
	if len(plan) > 0 {
		return "\nfence plan: all of one level act together; the next is tried if one of them cannot prove it\n" + b.String()
	}
	return ""
}

// examineFence opens the devices as run does, and asks none of them.
func examineFence(file string, f *config.Fence) []finding {
	if f == nil {
		return nil
	}
	var out []finding
	for i, d := range f.Devices {
		unit, err := agent.OpenFenceUnit(d)
		if err == nil {
			_, err = unit.Feeds()
			_ = unit.Close() // nothing was asked of it
		}
		if err != nil {
			out = append(out, finding{
				File: file, Line: d.Line, Key: fmt.Sprintf("fence.device[%d]", i), Text: textOf(err), Hint: control.Hint(err),
			})
		}
	}
	return out
}
