package monitor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/twinbeat/twinbeat/vip/announce"
)

// Neighbours is the part of [announce.Announcer] that is needed here.
type Neighbours interface {
	Neighbours(ctx context.Context, device string, ips []netip.Addr, enough int, within time.Duration) ([]announce.MAC, error)
}

func init() {
	kinds["neighbour"] = func(m *Monitor, n Neighbours) probe {
		c := &m.cfg
		return func(ctx context.Context) Look { return neighbour(ctx, c, n) }
	}
}

// neighbour asks by ARP or neighbour discovery, without an address of this
// node's own.
func neighbour(ctx context.Context, c *Config, n Neighbours) Look {
	enough := 1
	if c.All {
		enough = len(c.Targets)
	}
	macs, err := n.Neighbours(ctx, c.Interface, c.Targets, enough, c.Timeout)
	if err != nil {
		l := Look{Unknown, fmt.Sprintf("ask on %s: %v", c.Interface, err)}
		if errors.Is(err, announce.ErrNoCarrier) {
			l.Verdict = Bad
		}
		return l
	}
	looks := make([]Look, len(c.Targets))
	for i, t := range c.Targets {
		looks[i] = silent(t, c.Timeout)
		if macs[i] != (announce.MAC{}) {
			looks[i] = Look{Good, fmt.Sprintf("%s answers from %s", t, macs[i])}
		}
	}
	return Combine(looks, c.All)
}
