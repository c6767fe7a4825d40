//go:build lite

package config

// notifyKeys has the table alone, to say that this build has no alerts.
var notifyKeys = []key{{path: "notify", kind: sections, doc: "Alerts, which this build has not."}}

// notify refuses what this build would not do.
func (p *parser) notify(t table) {
	if t.has("notify") {
		t.report("notify", "alerts are not in this build (lite)", "use the full build (make build without TAGS) on both nodes, or leave [[notify]] out")
	}
}
