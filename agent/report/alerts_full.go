//go:build !lite

package report

import "fmt"

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
