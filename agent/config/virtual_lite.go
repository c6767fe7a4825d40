//go:build lite || no_virtual

package config

// virtual refuses what this build would not do.
func (p *parser) virtual(groups []table) {
	for _, t := range groups {
		if t.has("virtual_mac") {
			t.report("virtual_mac", "virtual hardware addresses are not in this build (lite, or tag no_virtual)", "use the full build (make build without TAGS) on both nodes, or leave virtual_mac out")
		}
	}
}
