//go:build lite

package report

// renderAlerting writes nothing: this build tells nobody.
func renderAlerting(*page, *Alerting) {}
