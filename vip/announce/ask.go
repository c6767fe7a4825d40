package announce

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/vip"
)

// maxAnswers is how many hardware addresses that answer for one address are
// told.
const maxAnswers = 4

// answers are all that is heard, where Probe stops at the first foreign one.
type answers struct {
	macs map[netip.Addr][]MAC // of an address that was asked for, though nobody may answer
}

// Ask asks the neighbours for up to three of the addresses as Probe does, listens
// until n*spacing has passed, and returns the hardware addresses that answered
// for each, or announced it meanwhile, apart from this node's own. An address is
// missing from the map if no question went out for it, and why is the error; it
// is there without hardware addresses if nobody answered.
func (a *Announcer) Ask(ctx context.Context, addrs []vip.Address, n int, spacing time.Duration) (map[netip.Addr][]MAC, error) {
	p := &probe{a: a, asked: map[netip.Addr]bool{}, all: &answers{macs: map[netip.Addr][]MAC{}}}
	defer p.close()
	for _, e := range earsFor(addrs[:min(len(addrs), maxSamples)]) {
		p.open(e)
	}
	next := time.Now()
	for range min(max(n, 1), maxProbes) {
		if len(p.ears) == 0 {
			break
		}
		p.ask()
		next = later(next.Add(spacing), time.Now().Add(spacing/2))
		if err := p.listen(ctx, next); err != nil {
			return nil, err // nobody listened long enough
		}
	}
	if reason := reasonOf(p.errs); reason != "" {
		return p.all.macs, fmt.Errorf("ask the neighbours: %s", reason)
	}
	return p.all.macs, nil
}

// asked notes that a question went out.
func (a *answers) asked(ip netip.Addr) {
	if a != nil && a.macs[ip] == nil {
		a.macs[ip] = []MAC{}
	}
}

// hear notes an answer.
func (a *answers) hear(p *probe, frame []byte) {
	c, ok := parseClaim(frame)
	macs := a.macs[c.ip]
	if !ok || !p.asked[c.ip] || len(macs) >= maxAnswers || slices.Contains(macs, c.mac) || !p.foreign(c.mac) {
		return
	}
	a.macs[c.ip] = append(macs, c.mac)
}

// Hardware returns the hardware address with which Announce speaks on a device
// now. It fails for a device that is down, or has none.
func (a *Announcer) Hardware(device string) (MAC, error) {
	p, err := lookup(a.fd, device)
	return p.mac, err
}
