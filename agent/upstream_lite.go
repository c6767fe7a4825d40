//go:build lite

package agent

import (
	"errors"

	"github.com/twinbeat/twinbeat/agent/loop"
)

// errNoUpstream refuses a section that this build would pass over in silence.
var errNoUpstream = errors.New("section [upstream] is not in this build (" + buildName + "): use the full build on both nodes, or leave the section out")

func (a *agent) loadTalk([]byte) error {
	if a.cfg.Upstream != nil {
		return errNoUpstream
	}
	return nil
}

func (a *agent) composeTalk(*loop.Options) {}
