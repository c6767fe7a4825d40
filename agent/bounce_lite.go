//go:build lite || no_virtual

package agent

import "github.com/twinbeat/twinbeat/agent/loop"

// bouncing is nothing: this build sets no interface down.
type bouncing struct{}

func (h *hands) raiseBounced()               {}
func (h *hands) holdPorts(int, bool)         {}
func (h *hands) cutBounce()                  {}
func (h *hands) endBounces()                 {}
func (h *hands) excuses(string) bool         { return false }
func (a *agent) composeBounce(*loop.Options) {}
