//go:build !lite

package agent

import (
	"context"
	"errors"
	"time"

	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/announce"
)

// Answering asks the LAN of a group each millisecond until ctx ends which other
// box answers for its first IPv4 address, or its first of any kind, and calls
// heard with the time of each answer. The addresses are as a snapshot has them.
// It needs root (CAP_NET_RAW), and runs beside an agent.
func Answering(ctx context.Context, addresses []string, heard func(at time.Time, mac string)) error {
	var chosen vip.Address
	for _, text := range addresses {
		addr, err := vip.ParseAddress(text)
		if err != nil {
			return err
		}
		if !chosen.Prefix.IsValid() || addr.Prefix.Addr().Is4() && !chosen.Prefix.Addr().Is4() {
			chosen = addr
		}
	}
	if !chosen.Prefix.IsValid() {
		return errors.New("the group has no address")
	}
	a, err := announce.New()
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Follow(ctx, chosen, time.Millisecond, heard)
}

// Host is the address alone, as a program connects to it; "" if text is none.
func Host(text string) string {
	addr, err := vip.ParseAddress(text)
	if err != nil {
		return ""
	}
	return addr.Prefix.Addr().String()
}
