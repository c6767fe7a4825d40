package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/health"
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
	power   atomic.Pointer[fence.Device] // see fence
	groups  []*handful
	adopted []bool // the group was held when the agent started
	weak    bool   // the lifetimes of the addresses are the lease, which the loop alone renews
	tell    func(loop.Fact) bool
	vote    func(health.Vote) bool
	insist  func(loop.Fact) // for watchers: waits while the loop's queue is full
	carrier func(device string, up bool)
	bounces bouncing
}

// fence returns the device that switches the peer, nil if there is none. A
// reload may put another in its place.
func (h *hands) fence() fence.Device {
	if d := h.power.Load(); d != nil {
		return *d
	}
	return nil
}

// handful is what belongs to one group.
type handful struct {
	conf     atomic.Pointer[config.Group] // see group
	asked    atomic.Pointer[config.Group] // what a takeover under way has asked for; nil: none is
	check    func(string, bool)
	owner    atomic.Bool
	taken    atomic.Bool  // owned anew, and no lifetime renewed since
	renewals vip.Renewals // of the lane that renews

	// Of the group's lane alone.
	services  *service.Group
	held      bool    // the addresses are in the kernel
	beyond    vip.Set // that may be there, too: a reload that changes them did not end
	serving   bool    // the services were started
	unstopped bool    // stopping them failed: some may run

	mu       sync.Mutex
	silence  context.CancelFunc // ends the announcement under way
	watching *checks            // the service checks; nil: none yet
	relisten context.CancelFunc // begins to listen for others anew
	unasked  string             // why the network could not be asked at the last look; empty: it could
}

// checks are the service checks under way.
type checks struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// group is the group as it is configured now: a reload may change all but its
// name and place.
func (g *handful) group() *config.Group { return g.conf.Load() }

func newHandful(c config.Group) *handful {
	g := &handful{}
	g.conf.Store(&c)
	return g
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
		one := newHandful(g)
		one.check = check(g)
		if one.services, err = h.serviceGroup(g, one.check); err != nil {
			return nil, err
		}
		h.groups = append(h.groups, one)
		sets = append(sets, g.Placed())
	}
	if err := h.ensureVirtual(); err != nil {
		return nil, err
	}
	if err := h.kernel.Know(context.Background(), sets...); err != nil {
		return nil, err
	}
	device, err := fencer(c)
	h.power.Store(&device)
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
	return nameOf(h.fence())
}

func nameOf(d fence.Device) string {
	if d == nil {
		return ""
	}
	return d.Name()
}

// TakeAddresses puts routes and addresses into the kernel. The gate still
// keeps them dark.
func (h *hands) TakeAddresses(ctx context.Context, i int) error {
	h.holdPorts(i, true)
	g := h.groups[i]
	c := g.group()
	if asked := g.asked.Load(); asked != nil && asked != c { // a reload came between
		if err := h.askEach(ctx, strange(asked.VIP, c.VIP)); err != nil {
			return err
		}
	}
	g.asked.Store(nil)
	g.held = true // perhaps in part
	if err := h.raiseVirtual(ctx, c); err != nil {
		return err
	}
	return h.kernel.Take(ctx, c.Placed(), h.cfg.Timing.Lifetime)
}

// DropAddresses takes them out again.
func (h *hands) DropAddresses(ctx context.Context, i int) error {
	h.groups[i].held = false
	err := h.dropAll(ctx, h.groups[i])
	h.holdPorts(i, err != nil)
	return err
}

// dropAll takes all out that may be in the kernel for a group.
func (h *hands) dropAll(ctx context.Context, g *handful) error {
	err := h.kernel.Drop(ctx, plus(g.group().Placed(), g.beyond))
	if err == nil {
		g.beyond = vip.Set{}
	}
	return errors.Join(err, h.kernel.SetVirtual(g.group().Virtual, false))
}

func plus(a, b vip.Set) vip.Set {
	if empty(b) {
		return a
	}
	return vip.Set{
		Addresses: slices.Concat(a.Addresses, b.Addresses),
		Routes:    slices.Concat(a.Routes, b.Routes), Rules: slices.Concat(a.Rules, b.Rules),
	}
}

func empty(s vip.Set) bool { return len(s.Addresses)+len(s.Routes)+len(s.Rules) == 0 }

// StartServices starts the group's services in order and begins their checks.
// A group that an earlier agent of this boot started is only looked at.
func (h *hands) StartServices(ctx context.Context, i int) error {
	g := h.groups[i]
	start := g.services.Start
	if h.adopted[i] {
		start, h.adopted[i] = g.services.Adopt, false
	}
	g.serving = true // perhaps in part
	if err := start(ctx); err != nil {
		return err
	}
	h.watchServices(i)
	return nil
}

// watchServices begins the checks of a group's services; those under way end.
func (h *hands) watchServices(i int) {
	g, services := h.groups[i], h.groups[i].services
	ctx, cancel := context.WithCancel(context.Background())
	now := &checks{cancel, make(chan struct{})}
	g.endChecks(now) // started twice without a stop: one round of checks is enough
	go func() {
		defer close(now.ended)
		services.Watch(ctx, func(f service.Fault) {
			h.insist(loop.ServiceFault{Group: i, Name: f.Name, Err: f.Err, Final: f.Final, Over: f.Recovered})
		})
	}()
}

// endChecks ends the service checks, if any, and puts others in their place.
// What it returns is closed when the last of them has ended.
func (g *handful) endChecks(next *checks) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.watching
	g.watching = next
	if was == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	was.cancel()
	return was.ended
}

// StopServices ends the checks and stops the services in reverse order.
func (h *hands) StopServices(ctx context.Context, i int) error {
	g := h.groups[i]
	g.endChecks(nil)
	h.adopted[i], g.serving = false, false
	err := g.services.Stop(ctx)
	g.unstopped = err != nil
	return err
}

// Probe asks whether anybody else answers for the group's addresses.
func (h *hands) Probe(ctx context.Context, i int, lasts time.Duration) (sent, foreign bool, who string) {
	h.cutBounce()
	g := h.groups[i].group()
	h.groups[i].asked.Store(g)
	r, err := h.air.Probe(ctx, g.VIP.Addresses, config.Probes, lasts/config.Probes)
	if err != nil {
		h.note(report.Event{Kind: "address", Group: g.Name, Seen: "address probe: " + err.Error()})
	}
	if r.Foreign {
		who = fmt.Sprintf("%s for %s", r.MAC, r.Address)
	}
	return r.Sent, r.Foreign, who
}

// RenewAddresses extends the lifetimes of the slice of addresses that is due: of all
// when the group is owned anew, since what came between their setting and that may
// have taken long.
func (h *hands) RenewAddresses(ctx context.Context, i int) (missing []string, err error) {
	if h.weak {
		return nil, nil // a lane that was stopped must not lengthen the lease when it goes on
	}
	g := h.groups[i]
	life := h.cfg.Timing.Lifetime
	all := g.group().Placed().Addresses
	fresh := g.taken.Swap(false)
	if fresh {
		g.renewals = vip.Renewals{}
	}
	from, to := g.renewals.Due(time.Duration(monotonic()), life/renewalsPerLife, len(all))
	if fresh {
		from, to = 0, len(all)
	}
	err = h.kernel.Renew(ctx, all[from:to], life)
	var gone *kernel.MissingError
	if errors.As(err, &gone) {
		for _, a := range gone.Addresses {
			missing = append(missing, a.String())
		}
		err = nil
	}
	return missing, err
}

// renewalsPerLife is how often each address is to be renewed within its lifetime. The
// loop asks once a second, so that of the shorter lifetimes one renewal may be lost.
const renewalsPerLife = 3
