//go:build lite || no_virtual

package agent

import (
	"context"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/vip"
)

// This build has no virtual hardware addresses.
func (h *hands) virtuals() []vip.Virtual                           { return nil }
func (h *hands) ensureVirtual() error                              { return nil }
func (h *hands) raiseVirtual(context.Context, *config.Group) error { return nil }
func (h *hands) moves(context.Context, int, *config.Group) bool    { return false }
func (h *hands) emptyVirtual(context.Context, int)                 {}
func onParents(_ *config.Group, list []vip.Address) []vip.Address  { return list }
func everywhere(g *config.Group) []vip.Address                     { return g.VIP.Addresses }
