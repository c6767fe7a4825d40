//go:build lite

package agent

import "github.com/twinbeat/twinbeat/agent/loop"

const hasUpstream = false

// talk is nothing: this build says nothing beside heartbeats.
func (a *agent) talk([]byte) (t loop.Talk) { return t }
