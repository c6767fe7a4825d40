//go:build lite || no_virtual

package config

// bounceKeys has the section alone, to say that this build bounces nothing.
var bounceKeys = []key{{path: "bounce", kind: section, doc: "Carrier bounces, which this build has not."}}

// bounce refuses what this build would not do.
func (p *parser) bounce(t table) *Bounce {
	p.report(t.path, "carrier bounces are not in this build (lite, or tag no_virtual)", "use the full build (make build without TAGS) on both nodes, or leave [bounce] out")
	return nil
}
