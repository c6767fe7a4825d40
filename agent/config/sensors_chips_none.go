//go:build lite || no_chips

package config

// chipKeys are the sections that this build knows by name only.
var chipKeys = []key{
	{path: "sensors.smart", kind: sections}, {path: "sensors.i2c", kind: sections}, {path: "sensors.ups", kind: sections},
}

// chips refuses what only the full build reads.
func (p *parser) chips(t table, _ *Sensors) {
	for _, name := range []string{"smart", "i2c", "ups"} {
		if t.has(name) {
			t.report(name, "is not in this build (lite, or no_chips)", "use the full build, or leave the section out")
		}
	}
}
