//go:build lite

package agent

import (
	"context"

	"github.com/twinbeat/twinbeat/agent/control"
)

// noReload is what this build says: it has no room to change a running agent.
var noReload = &control.Error{
	Text:   "reload: not in this build (lite)",
	Advice: "restart the agent, the standby's first: SIGUSR2 gives nothing up, and what follows adopts",
}

func (a *agent) reloadOrder(context.Context, control.Order) (string, error) { return "", noReload }

func (a *agent) watchHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.opts.Hangup:
			a.log.Warn("SIGHUP", "err", noReload, "hint", noReload.Advice)
		}
	}
}
