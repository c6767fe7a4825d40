//go:build lite || no_virtual

package kernel

import "github.com/twinbeat/twinbeat/vip"

// EnsureVirtual does nothing: this build has no virtual devices.
func (k *Kernel) EnsureVirtual(string, []vip.Virtual) error { return nil }

// SetVirtual does nothing: this build has no virtual devices.
func (k *Kernel) SetVirtual([]vip.Virtual, bool) error { return nil }
