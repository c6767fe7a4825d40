package report

import "fmt"

// Alerting is how telling people far away goes.
type Alerting struct {
	Error   string        `json:"error,omitempty"` // why what waits is not kept on disk
	Targets []AlertTarget `json:"targets"`
}

// An AlertTarget is one of those who are told.
type AlertTarget struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Where       string   `json:"where,omitempty"`
	Delivered   uint64   `json:"delivered"` // since the agent started
	Waiting     int      `json:"waiting"`
	Held        int      `json:"held_back"`             // repetitions that are only counted so far
	Dropped     uint64   `json:"dropped,omitempty"`     // without having been told so yet
	Refused     uint64   `json:"refused,omitempty"`     // given up, for what they said
	Tries       int      `json:"tries,omitempty"`       // in a row that failed
	ToldAgoMS   *float64 `json:"told_ago_ms,omitempty"` // last success; nil: none since the start
	FailedAgoMS *float64 `json:"failed_ago_ms,omitempty"`
	Answer      string   `json:"answer,omitempty"` // of the last success
	Error       string   `json:"error,omitempty"`  // of the last try; empty: it went well
}

// renderAlerting writes one paragraph for each target.
func renderAlerting(p *page, a *Alerting) {
	if a == nil {
		return
	}
	p.line("")
	p.line("ALERTS")
	for _, t := range a.Targets {
		p.para("  "+t.Name+": ", t.text())
	}
	if a.Error != "" {
		p.para("  ", "alerts that wait are NOT KEPT over a restart: "+a.Error)
	}
}

// AlertingText writes the targets alone.
func AlertingText(a *Alerting) string {
	p := &page{width: Columns}
	renderAlerting(p, a)
	return p.String()
}

func (t AlertTarget) text() string {
	text := fmt.Sprintf("%s %s, last told %s", t.Type, t.Where, ago(t.ToldAgoMS))
	if t.Answer != "" {
		text += " (" + t.Answer + ")"
	}
	text += fmt.Sprintf("; %d told, %d wait", t.Delivered, t.Waiting)
	for _, c := range []struct {
		n    uint64
		what string
	}{{uint64(t.Held), "repetitions held back"}, {t.Dropped, "DROPPED"}, {t.Refused, "REFUSED"}} {
		if c.n > 0 {
			text += fmt.Sprintf(", %d %s", c.n, c.what)
		}
	}
	if t.Error != "" {
		text += fmt.Sprintf("; FAILS, last %s: %s", ago(t.FailedAgoMS), t.Error)
	}
	return text
}
