//go:build lite || no_virtual

package gate

// virtual does nothing: this build has no virtual devices.
func (d deviceLayout) virtual(string, uint32) {}
