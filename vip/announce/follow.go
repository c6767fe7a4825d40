package announce

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/twinbeat/twinbeat/vip"
)

// minSpacing bounds how often Follow asks.
const minSpacing = time.Millisecond

// Follow asks for an address as Probe does, but again and again at the spacing,
// which is at least a millisecond, until ctx ends, and calls heard with the time
// of each answer of another node and its hardware address. It measures from here
// how long nobody answers; the address need not be set here.
func (a *Announcer) Follow(ctx context.Context, addr vip.Address, spacing time.Duration, heard func(at time.Time, mac string)) error {
	p := &probe{a: a, asked: map[netip.Addr]bool{}, group: map[netip.Addr]bool{}}
	defer p.close()
	for _, e := range earsFor([]vip.Address{addr}) {
		p.open(e)
	}
	if len(p.ears) == 0 {
		return errors.New(reasonOf(p.errs))
	}
	for next := time.Now(); ctx.Err() == nil; {
		p.errs = p.errs[:0] // a device that is down for a while only does not answer
		p.ask()
		next = later(next.Add(max(spacing, minSpacing)), time.Now())
		for time.Now().Before(next) && ctx.Err() == nil {
			p.result.Foreign = false
			if err := p.listen(ctx, next); err != nil && ctx.Err() == nil {
				return err
			}
			if p.result.Foreign {
				heard(time.Now(), p.result.MAC)
			}
		}
	}
	return nil
}
