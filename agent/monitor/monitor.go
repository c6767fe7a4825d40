// Package monitor decides whether the paths and parts that a service needs are
// there: interfaces, hosts that answer, processes, programs that say so, files.
// It refuses to believe one look, an answer that belongs to another question,
// and a look that could not be made. Start reading at [Monitor.Run]; judge.go
// has the arithmetic.
package monitor

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/health"
)

const (
	// startPause is the wait between two looks until there is a first state: a
	// node that has just started says how it is before its peer compares.
	startPause = 200 * time.Millisecond
	// maxWhy bounds a reason in bytes: it stands in events, alarms and votes.
	maxWhy = 200
)

// A Config describes one monitor.
type Config struct {
	Name string
	Kind string // interface, ping, neighbour, process, command or file

	Interval   time.Duration // from the start of a look to the start of the next
	Timeout    time.Duration // ping, neighbour, command, file: of one look
	Rise, Fall int           // looks in a row that change the state
	Weight     int           // points of health that it takes when it is down
	Critical   bool          // down means that the node is about to fail
	Strict     bool          // what cannot be looked at takes health, too

	Interface      string        // interface, neighbour; ping: empty leaves it to the routes
	UpFor, DownFor time.Duration // interface: how long a change must last
	MinSpeed       int           // interface, Mbit/s; 0: any
	MaxErrors      int           // interface, a second; 0: any
	Targets        []netip.Addr  // ping, neighbour
	All            bool          // all of them must answer, not any
	Process        string        // its name, or the full path of its program
	Command        []string
	Path           string        // file
	MaxAge         time.Duration // file; 0: any
	Contains       string        // file; empty: anything
}

// A View is what is known of a monitor.
type View struct {
	State State
	Since time.Time // of the state
	Why   string    // the newest reason
	Loss  int       // points that it takes now
}

// A Change is a new state, or the same one told again.
type Change struct {
	Config *Config
	From   State
	View
}

// A probe looks once. It returns within the monitor's timeout, and soon after
// ctx ends.
type probe func(ctx context.Context) Look

// A Monitor looks again and again.
type Monitor struct {
	cfg   Config
	look  probe
	port  *port // nil: not an interface
	poked chan struct{}

	mu    sync.Mutex
	judge Judge
	view  View
}

// kinds make the probe of each kind. A small build has fewer.
var kinds = map[string]func(*Monitor, Neighbours) probe{}

// New returns a monitor that does not look yet.
func New(c Config, n Neighbours) (*Monitor, error) {
	m := &Monitor{cfg: c, poked: make(chan struct{}, 1), judge: Judge{Rise: max(c.Rise, 1), Fall: max(c.Fall, 1)}}
	m.view = View{Since: time.Now(), Why: "not looked at yet"}
	build := kinds[c.Kind]
	if build == nil {
		return nil, fmt.Errorf("make monitor %q: this build has no monitors of type %s", c.Name, c.Kind)
	}
	m.look = build(m, n)
	return m, nil
}

// Config returns what the monitor was made of.
func (m *Monitor) Config() *Config { return &m.cfg }

// View returns what is known now.
func (m *Monitor) View() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view
}

// Vote is the monitor's word on the health of its node.
func (c Change) Vote() health.Vote {
	return health.Vote{
		Source: "monitor " + c.Config.Name, Loss: c.Loss, Reason: c.Why, Critical: c.Config.Critical && c.Loss > 0,
	}
}

// Carrier hears from the kernel that a device came up or went down, so that the
// next look need not wait.
func (m *Monitor) Carrier(device string, up bool) {
	if m.port == nil || device != m.cfg.Interface {
		return
	}
	if up {
		m.port.rose.Store(true)
	} else {
		m.port.fell.Store(true)
	}
	select {
	case m.poked <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends, one look at a time, and tells of each new state. What
// tell could not take is told again after the next look.
func (m *Monitor) Run(ctx context.Context, tell func(Change) (taken bool)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	owed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.poked:
		case <-timer.C:
		}
		began := time.Now()
		look := m.look(ctx)
		if ctx.Err() != nil {
			return // cut short: it says nothing
		}
		if c, changed := m.note(look); changed || owed {
			owed = !tell(c)
		}
		timer.Reset(max(0, time.Until(began.Add(m.pause(owed)))))
	}
}

// pause is the time from the start of a look to that of the next; hurry says that
// it is not for the sake of the look alone.
func (m *Monitor) pause(hurry bool) time.Duration {
	d := m.cfg.Interval
	if hurry || m.View().State == Starting {
		d = min(d, startPause)
	}
	if m.port != nil && m.port.wait > 0 {
		d = min(d, m.port.wait)
	}
	return d
}

// note judges a look.
func (m *Monitor) note(l Look) (Change, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view.Why = clip(l.Why)
	from := m.judge.State
	if !m.judge.See(l.Verdict) {
		return Change{&m.cfg, from, m.view}, false
	}
	m.view.State, m.view.Since, m.view.Loss = m.judge.State, time.Now(), 0
	if m.judge.State == Down || m.judge.State == Missing && m.cfg.Strict {
		m.view.Loss = m.cfg.Weight
	}
	return Change{&m.cfg, from, m.view}, true
}

// clip bounds a reason and keeps it on one line.
func clip(why string) string {
	why = strings.Join(strings.Fields(why), " ")
	if len(why) > maxWhy {
		why = strings.ToValidUTF8(why[:maxWhy], "") + "..."
	}
	return why
}
