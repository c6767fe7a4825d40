//go:build !lite

package cli

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/drill"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A leg is one move while it goes on.
type leg struct {
	drill.Judge
	began time.Time

	mu   sync.Mutex
	dark drill.Dark
	deaf error     // why the LAN cannot be asked
	port *portWait // nil: no service is asked
}

// move carries out a move and returns what was wrong with it, "" if nothing. A
// careful one gives no order if what it measures by is not as it should be.
func (d *driller) move(ctx context.Context, plan drill.Plan, careful bool) string {
	a := d.asker.ask(ctx)
	if a.err != nil {
		return a.err.Error()
	}
	inner, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	l := &leg{Judge: drill.Judge{Plan: plan}}
	addresses := addressesOf(a.snapshot, plan.Group)
	all.Go(func() { l.listen(inner, addresses) })
	if d.o.tcp > 0 {
		l.port = newPortWait(addresses, d.o.tcp)
		all.Go(func() { l.port.run(inner) })
	}
	d.say("%s goes from %s to %s", plan.Group, plan.From, plan.To)
	time.Sleep(10 * lookEvery) // what is measured must be going on before the order
	if why := l.unsound(); careful && why != "" {
		return why
	}
	l.began = time.Now()
	refused := make(chan string, 1)
	all.Go(func() { refused <- order(inner, d.path, plan) })
	why := l.follow(ctx, &d.asker, refused)
	m := l.result()
	d.out.Moves = append(d.out.Moves, m)
	d.say("%s", m)
	return why
}

// unsound says why what would be measured means nothing.
func (l *leg) unsound() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.Gives() && l.dark.Answered():
		return "another box answers for the address that this node owns: proxy ARP? Nothing was moved"
	case l.port != nil && !l.port.ever():
		return "the service does not answer on " + l.port.target + " before the drill. Nothing was moved"
	}
	return ""
}

// order gives the agent the order, and returns why it was not carried out.
func order(ctx context.Context, path string, plan drill.Plan) string {
	command := control.OrderTake
	if plan.Gives() {
		command = control.OrderHandover
	}
	c, err := control.Dial(path)
	if err == nil {
		defer c.Close()
		_, err = c.Do(ctx, control.Order{Command: command, Group: plan.Group, Reason: "drill"})
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// listen hears who answers on the LAN.
func (l *leg) listen(ctx context.Context, addresses []string) {
	err := agent.Answering(ctx, addresses, func(at time.Time, _ string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dark.Answer(at)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = err
}

// follow looks until the judge has decided. Every loop of it ends: by the stay,
// by the limits, or when the agent has not carried the order out in its own time.
func (l *leg) follow(ctx context.Context, a *asker, refused <-chan string) string {
	look := drill.Look{}
	for {
		select {
		case look.Refused = <-refused:
		case <-ctx.Done():
			return "the operator gave up"
		case <-time.After(lookEvery):
		}
		got := a.ask(context.Background())
		look.Since, look.Snapshot = time.Since(l.began), &got.snapshot
		if got.err != nil {
			look.Snapshot = nil
		}
		look.Dark = l.see(got)
		if l.port != nil {
			look.PortDown = l.port.down()
		}
		switch verdict, why := l.Look(look); verdict {
		case drill.Well:
			return ""
		case drill.Trouble:
			return why
		}
	}
}

// see takes the agent's events in, and returns for how long nobody has served. If
// the LAN cannot be asked the agent's word for the new owner must do.
func (l *leg) see(got answer) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range got.events {
		if e.Group == l.Group && e.At.After(l.began) {
			l.dark.Event(e)
		}
	}
	now := time.Now()
	if owner := ownerOf(got.snapshot, l.Group); l.deaf != nil && got.err == nil && owner == l.peer() {
		l.dark.Answer(now)
	}
	dark, _ := l.dark.Of(l.Plan, now)
	return dark
}

func (l *leg) peer() string {
	if l.Gives() {
		return l.To
	}
	return l.From
}

func (l *leg) result() moved {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := moved{From: l.From, To: l.To, Done: l.Arrived(), By: "asked on the LAN"}
	if l.deaf != nil {
		m.By = "by the agent's word: " + l.deaf.Error()
	}
	if dark, over := l.dark.Of(l.Plan, time.Now()); over {
		ms := float64(dark.Microseconds()) / 1000
		m.DarkMS = &ms
	}
	if l.port != nil {
		ms := float64(l.port.longest().Microseconds()) / 1000
		m.ServiceMS = &ms
	}
	return m
}

func addressesOf(s report.Snapshot, group string) []string {
	if g := s.Group(group); g != nil {
		return g.Addresses
	}
	return nil
}

const (
	portEvery   = 10 * time.Millisecond
	portTimeout = 500 * time.Millisecond
	portMost    = 64 // attempts at once
)

// A portWait connects to a service again and again. Attempts overlap, since one
// that falls into the dark is not answered for a second.
type portWait struct {
	target string
	mu     sync.Mutex
	last   time.Time // that it answered
	gap    time.Duration
	well   bool // it answered once
}

func (p *portWait) ever() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.well
}

func newPortWait(addresses []string, port int) *portWait {
	host := ""
	for _, text := range addresses {
		if host = agent.Host(text); host != "" {
			break
		}
	}
	return &portWait{target: net.JoinHostPort(host, strconv.Itoa(port)), last: time.Now()}
}

func (p *portWait) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	free := make(chan struct{}, portMost)
	tick := time.NewTicker(portEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case free <- struct{}{}:
			all.Go(func() {
				p.try(ctx)
				<-free
			})
		default:
		}
	}
}

func (p *portWait) try(ctx context.Context) {
	c, err := (&net.Dialer{Timeout: portTimeout}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.gap, p.last = max(p.gap, now.Sub(p.last)), now
	p.well = true
}

// down is for how long the service has not answered, 0 if it does.
func (p *portWait) down() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := time.Since(p.last); d > 2*portTimeout {
		return d
	}
	return 0
}

func (p *portWait) longest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.gap, time.Since(p.last)-portEvery)
}
