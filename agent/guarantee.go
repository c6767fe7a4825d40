package agent

import (
	"fmt"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/pair"
	"github.com/twinbeat/twinbeat/agent/report"
)

// guarantee says in words what keeps both nodes from being active.
func guarantee(c config.Config, lease time.Duration, how string) report.Guarantee {
	g := report.Guarantee{Mode: c.Mode, Lease: fmt.Sprintf("%s, %d ms", how, lease.Milliseconds())}
	switch c.Mode {
	case "fence":
		g.Safe = "any loss of links, any pause, any clock, as long as the fence device tells the truth"
		g.Price = "fence device unreachable: no takeover"
		g.Reason = "a fence device is configured"
	case "lease":
		g.Safe = "any loss of links, as long as the clocks run within 1000 ppm of each other"
		g.Price = "a dead standby costs the service, unless a fence proves it off"
		g.Reason = "the configuration asks for it"
	default:
		g.Safe = fmt.Sprintf("any fault that leaves one of %d links whole while both nodes live", len(c.Links))
		g.Price = "all links cut at once: only the address probe is left to see the peer"
		g.Reason = "no fence device is configured"
		if c.Fence != nil {
			g.Reason = "the configuration asks for it, although a fence device is configured"
		}
	}
	return g
}

func mode(name string) pair.Mode {
	switch name {
	case "fence":
		return pair.ModeFence
	case "lease":
		return pair.ModeLease
	}
	return pair.ModeSilence
}

func failback(name string) pair.Failback {
	switch name {
	case "auto":
		return pair.FailbackAuto
	case "hold":
		return pair.FailbackHold
	}
	return pair.FailbackNever
}
