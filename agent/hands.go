package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/announce"
	"github.com/twinbeat/twinbeat/vip/kernel"
)

// hands do what takes time: addresses, announcements, services, the fence.
type hands struct {
	cfg     config.Config
	log     *slog.Logger
	kernel  *kernel.Kernel
	air     *announce.Announcer
	fence   fence.Device // nil: none
	groups  []*handful
	adopted []bool // the group was held when the agent started
	weak    bool   // the lifetimes of the addresses are the lease, which the loop alone renews
	tell    func(loop.Fact) bool
	insist  func(loop.Fact) // for watchers: waits while the loop's queue is full
	carrier func(device string, up bool)
}

// handful is what belongs to one group.
type handful struct {
	config.Group
	services *service.Group
	owner    atomic.Bool
	renewals vip.Renewals

	mu       sync.Mutex
	silence  context.CancelFunc // ends the announcement under way
	watching context.CancelFunc // ends the service checks
}

// newHands makes them; check gives each group what its service checks are told to.
func newHands(c config.Config, log *slog.Logger, check func(config.Group) func(string, bool)) (*hands, error) {
	h := &hands{cfg: c, log: log, adopted: make([]bool, len(c.Groups)), tell: func(loop.Fact) bool { return false }, insist: func(loop.Fact) {}, carrier: func(string, bool) {}}
	var err error
	h.kernel, err = kernel.New(kernel.Options{Found: func(f kernel.Finding) {
		h.note(report.Event{Kind: "address", Seen: f.Text, Decided: f.Kind.String()})
	}})
	if err != nil {
		return nil, err
	}
	if h.air, err = announce.New(); err != nil {
		return nil, err
	}
	var sets []vip.Set
	for _, g := range c.Groups {
		one := &handful{Group: g}
		if one.services, err = h.serviceGroup(g, check(g)); err != nil {
			return nil, err
		}
		h.groups = append(h.groups, one)
		sets = append(sets, g.VIP)
	}
	if err := h.kernel.Know(context.Background(), sets...); err != nil {
		return nil, err
	}
	h.fence, err = fencer(c)
	return h, err
}

// serviceGroup makes the services of a group.
func (h *hands) serviceGroup(g config.Group, check func(string, bool)) (*service.Group, error) {
	var specs []service.Spec
	for _, s := range g.Services {
		specs = append(specs, serviceSpec(s))
	}
	return service.NewGroup(specs, service.Options{
		Group: g.Name, Check: check,
		Fault: func(f service.Fault) {
			h.note(report.Event{Kind: "service", Group: g.Name, Seen: f.Name + ": " + f.Err, Decided: "stay, as configured"})
		},
	})
}

func (h *hands) note(e report.Event) { h.tell(loop.Notice{Event: e}) }

func (h *hands) fenceName() string {
	if h.fence == nil {
		return ""
	}
	return h.fence.Name()
}

// TakeAddresses puts routes and addresses into the kernel. The gate still
// keeps them dark.
func (h *hands) TakeAddresses(ctx context.Context, i int) error {
	return h.kernel.Take(ctx, h.groups[i].VIP, h.cfg.Timing.Lifetime)
}

// DropAddresses takes them out again.
func (h *hands) DropAddresses(ctx context.Context, i int) error {
	return h.kernel.Drop(ctx, h.groups[i].VIP)
}

// StartServices starts the group's services in order and begins their checks.
// A group that an earlier agent of this boot started is only looked at.
func (h *hands) StartServices(ctx context.Context, i int) error {
	g := h.groups[i]
	start := g.services.Start
	if h.adopted[i] {
		start, h.adopted[i] = g.services.Adopt, false
	}
	if err := start(ctx); err != nil {
		return err
	}
	checks, cancel := context.WithCancel(context.Background())
	g.mu.Lock()
	if g.watching != nil {
		g.watching() // started twice without a stop: one round of checks is enough
	}
	g.watching = cancel
	g.mu.Unlock()
	go g.services.Watch(checks, func(f service.Fault) {
		h.insist(loop.ServiceFault{Group: i, Name: f.Name, Err: f.Err, Final: f.Final, Over: f.Recovered})
	})
	return nil
}

// StopServices ends the checks and stops the services in reverse order.
func (h *hands) StopServices(ctx context.Context, i int) error {
	g := h.groups[i]
	g.mu.Lock()
	if g.watching != nil {
		g.watching()
	}
	g.mu.Unlock()
	h.adopted[i] = false
	return g.services.Stop(ctx)
}

// Probe asks whether anybody else answers for the group's addresses.
func (h *hands) Probe(ctx context.Context, i int, lasts time.Duration) (sent, foreign bool, who string) {
	r, err := h.air.Probe(ctx, h.groups[i].VIP.Addresses, config.Probes, lasts/config.Probes)
	if err != nil {
		h.note(report.Event{Kind: "address", Group: h.groups[i].Name, Seen: "address probe: " + err.Error()})
	}
	if r.Foreign {
		who = fmt.Sprintf("%s for %s", r.MAC, r.Address)
	}
	return r.Sent, r.Foreign, who
}

// SetOwner says whether announcements may go out: a late one must never speak
// for an address that was given away.
func (h *hands) SetOwner(i int, owner bool) {
	g := h.groups[i]
	g.owner.Store(owner)
	if owner {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.silence != nil {
		g.silence()
		g.silence = nil
	}
}

// Announce begins a burst of gratuitous ARP and neighbour advertisements and
// returns; an earlier burst of the group is ended.
func (h *hands) Announce(i int, why string) { h.burst(i, h.groups[i].Group.Announce.Count, why) }

func (h *hands) burst(i, count int, why string) {
	g := h.groups[i]
	ctx, cancel := context.WithCancel(context.Background())
	g.mu.Lock()
	if g.silence != nil {
		g.silence()
	}
	g.silence = cancel
	g.mu.Unlock()
	go func() {
		defer cancel()
		err := h.air.Announce(ctx, g.VIP.Addresses, announce.Plan{
			Count: count, Spacing: g.Group.Announce.Spacing, Pace: g.Group.Announce.Pace, Owner: g.owner.Load,
		})
		if err != nil && !errors.Is(err, context.Canceled) && g.owner.Load() {
			h.note(report.Event{Kind: "address", Group: g.Name, Seen: "announce (" + why + "): " + err.Error()})
		}
	}()
}

// refresh announces what is owned from time to time, for switches and hosts
// that forget or were elsewhere.
func (h *hands) refresh(ctx context.Context) {
	var all sync.WaitGroup
	for i, g := range h.groups {
		if g.Group.Announce.Refresh <= 0 {
			continue
		}
		all.Go(func() {
			tick := time.NewTicker(g.Group.Announce.Refresh)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if g.owner.Load() {
					h.burst(i, 1, "refresh")
				}
			}
		})
	}
	all.Wait()
}

// RenewAddresses extends the lifetimes of the slice of addresses that is due.
func (h *hands) RenewAddresses(ctx context.Context, i int) (missing []string, err error) {
	if h.weak {
		return nil, nil // a lane that was stopped must not lengthen the lease when it goes on
	}
	g := h.groups[i]
	life := h.cfg.Timing.Lifetime
	from, to := g.renewals.Due(time.Duration(monotonic()), life/renewalsPerLife, len(g.VIP.Addresses))
	err = h.kernel.Renew(ctx, g.VIP.Addresses[from:to], life)
	var gone *kernel.MissingError
	if errors.As(err, &gone) {
		for _, a := range gone.Addresses {
			missing = append(missing, a.String())
		}
		err = nil
	}
	return missing, err
}

// renewalsPerLife is how often each address is renewed within its lifetime:
// two renewals may be lost.
const renewalsPerLife = 3
