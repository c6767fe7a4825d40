package report

import (
	"fmt"
	"strings"
)

// A Monitor is what the outside may see of one thing that is watched.
type Monitor struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	State    string `json:"state"` // starting, up, down, unknown
	SinceMS  int64  `json:"since_ms"`
	Reason   string `json:"reason"` // of the newest look
	Weight   int    `json:"weight"` // points of health that it takes when it is down
	Loss     int    `json:"loss"`   // that it takes now
	Critical bool   `json:"critical,omitempty"`
}

func renderMonitors(p *page, s Snapshot) {
	if len(s.Monitors) == 0 {
		return
	}
	p.line("")
	p.line("MONITORS of %s", s.Self.Name)
	for _, m := range s.Monitors {
		fact(p, m.Name, m.text())
	}
}

func (m Monitor) text() string {
	state := m.State
	if state == "down" || state == "unknown" {
		state = strings.ToUpper(state)
	}
	text := fmt.Sprintf("%s for %s", state, Span(float64(m.SinceMS)))
	if m.Loss > 0 {
		text += fmt.Sprintf(", takes %d of 100 points of health", m.Loss)
	}
	if m.Loss > 0 && m.Critical {
		text += ", CRITICAL"
	}
	return text + ": " + m.Reason
}
