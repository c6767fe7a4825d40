//go:build !lite && !no_virtual

package agent

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/vip/kernel"
)

const (
	// dropWait bounds the wait for a group's addresses to go.
	dropWait = time.Minute
	// dropLook is how often it is looked.
	dropLook = 50 * time.Millisecond
	// settling is how long after a bounce what monitors see on the port is put
	// down to it: negotiation takes copper some seconds.
	settling = 10 * time.Second
)

// bouncing is what a node keeps of the interfaces that it sets down when it
// gave a group up.
type bouncing struct {
	one  sync.Mutex           // held by the round under way
	last map[string]time.Time // by interface; of one only

	mu      sync.Mutex    // held while a port is set down or up, never while one waits
	off     bool          // the agent ends: no more
	port    *kernel.Port  // that is down now
	cut     chan struct{} // closed when the round under way shall end; nil: it is, or there is none
	stays   [config.MaxGroups]stay
	excused []string  // monitors that see the port
	until   time.Time // so long
}

// A stay says whether a group's addresses are here, or on their way, for the
// n-th time.
type stay struct {
	here bool
	n    int
}

// raiseBounced sets up, when the agent starts, what a bounce may have left down.
func (h *hands) raiseBounced() {
	if h.cfg.Bounce == nil {
		return
	}
	for _, name := range h.cfg.Bounce.Interfaces {
		was, err := kernel.Raise(name)
		switch {
		case err != nil:
			h.bounceNote("", name+" is down", "set it up: "+err.Error())
		case was:
			h.bounceNote("", name+" was down when the agent started", "set it up: a bounce may have been cut short")
		}
	}
}

func (h *hands) bounceNote(group, seen, decided string) {
	h.note(report.Event{Kind: "address", Group: group, Seen: seen, Decided: decided})
}

// composeBounce lets the loop say when a group was given up.
func (a *agent) composeBounce(o *loop.Options) {
	if a.cfg.Bounce != nil {
		o.GivenUp = func(i int) { go a.hands.bounce(i) }
	}
}

// bounce sets the listed interfaces under a group's addresses down, one after
// the other, once the addresses are gone.
func (h *hands) bounce(i int) {
	if !h.dropped(i) {
		return
	}
	b := &h.bounces
	b.one.Lock()
	defer b.one.Unlock()
	cut := make(chan struct{})
	b.mu.Lock()
	if !b.off {
		b.cut = cut
	}
	b.mu.Unlock()
	for _, name := range h.cfg.Bounce.Interfaces {
		h.bounceOne(i, name, cut)
	}
}

// dropped waits until a group's addresses are gone: its services may take their
// time to stop. It says no if they come back, or stay.
func (h *hands) dropped(i int) bool {
	began, _ := h.stay(i)
	for limit := time.Now().Add(dropWait); ; time.Sleep(dropLook) {
		now, off := h.stay(i)
		switch {
		case off || now.n != began.n:
			return false
		case !now.here:
			return true
		case time.Now().After(limit):
			h.bounceNote(h.groups[i].group().Name, "its addresses are still here", "bounce nothing")
			return false
		}
	}
}

func (h *hands) stay(i int) (now stay, off bool) {
	h.bounces.mu.Lock()
	defer h.bounces.mu.Unlock()
	return h.bounces.stays[i], h.bounces.off
}

// bounceOne bounces an interface if it is under the group's addresses.
func (h *hands) bounceOne(i int, name string, cut chan struct{}) {
	above, err := kernel.Above(name)
	group := h.groups[i].group()
	if err == nil && !some(above, group.VIP.Devices()) {
		return
	}
	var port *kernel.Port
	if err == nil {
		port, err = h.lower(name, above, cut)
	}
	seen, decided := "the peer owns the group", "no bounce"
	if err == nil && port != nil {
		select {
		case <-cut:
		case <-time.After(h.cfg.Bounce.Down):
		}
		decided = "set " + name + " down and up again, so that its switch forgets this node"
	}
	if port != nil {
		err = errors.Join(err, h.restore(port))
	}
	if err != nil {
		seen = name + ": " + err.Error()
	}
	if err != nil || port != nil {
		h.bounceNote(group.Name, seen, decided)
	}
}

// lower sets an interface down, with all that rests on it, unless it must stay
// up; whoever gets a port restores it. It returns nil if a takeover came between.
func (h *hands) lower(name string, above map[string]bool, cut chan struct{}) (*kernel.Port, error) {
	b := &h.bounces
	if left := h.cfg.Bounce.Every - time.Since(b.last[name]); left > 0 {
		return nil, fmt.Errorf("the next time is in %s", left.Round(time.Second))
	}
	if some(above, linkDevices(h.cfg.Links)) {
		return nil, errors.New("a link to the peer rests on it")
	}
	port, err := kernel.OpenPort(name)
	if err != nil {
		return nil, err
	}
	if b.last == nil {
		b.last = map[string]time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, g := range h.groups {
		if b.stays[i].here && some(above, devicesOf(g.group())) {
			return port, fmt.Errorf("group %s, which this node has, needs it", g.group().Name)
		}
	}
	if b.cut != cut {
		port.Close()
		return nil, nil
	}
	b.port, b.last[name] = port, time.Now()
	b.excuse(&h.cfg, above)
	return port, port.Down()
}

// restore sets the port up and puts back what it had.
func (h *hands) restore(port *kernel.Port) error {
	defer port.Close()
	err := port.Restore()
	h.bounces.mu.Lock()
	defer h.bounces.mu.Unlock()
	h.bounces.port = nil
	return err
}

func some(set map[string]bool, names []string) bool {
	for _, n := range names {
		if set[n] {
			return true
		}
	}
	return false
}

// excuse notes which monitors see that a port is down: those of what rests on it,
// and those that leave their way to the routes.
func (b *bouncing) excuse(c *config.Config, above map[string]bool) {
	b.excused, b.until = nil, time.Now().Add(c.Bounce.Down+settling)
	for i := range c.Monitors {
		m := &c.Monitors[i]
		byRoute := m.Interface == "" && (m.Type == "ping" || m.Type == "neighbour")
		if byRoute || above[m.Interface] {
			b.excused = append(b.excused, m.Name)
		}
	}
}

// excuses says whether a monitor may see a bounce of ours.
func (h *hands) excuses(monitor string) bool {
	b := &h.bounces
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.until) && slices.Contains(b.excused, monitor)
}

// linkDevices are the interfaces of the links.
func linkDevices(links []config.Link) (out []string) {
	for i := range links {
		out = append(out, links[i].Interface) // none of a serial one
	}
	return out
}

// devicesOf are the devices that a group's owner cannot be without.
func devicesOf(c *config.Group) []string {
	out := c.VIP.Devices()
	for i := range c.VIP.Routes {
		out = append(out, c.VIP.Routes[i].Device)
	}
	for i := range c.VIP.Rules {
		out = append(out, c.VIP.Rules[i].IIf, c.VIP.Rules[i].OIf)
	}
	return out
}

// holdPorts notes whether a group's addresses are here, or on their way. Before
// they come it ends the bounce under way.
func (h *hands) holdPorts(i int, here bool) {
	b := &h.bounces
	b.mu.Lock()
	b.stays[i].here = here
	if here {
		b.stays[i].n++
	}
	b.mu.Unlock()
	if here {
		h.cutBounce()
	}
}

// cutBounce ends the bounce under way: the port is up when it returns, unless the
// kernel refuses. It waits for nothing else.
func (h *hands) cutBounce() {
	b := &h.bounces
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut != nil {
		close(b.cut)
		b.cut = nil
	}
	if b.port != nil {
		_ = b.port.Up() // who set it down tries on, and tells
	}
}

// endBounces ends bounces for good, and waits until all is put back.
func (h *hands) endBounces() {
	h.bounces.mu.Lock()
	h.bounces.off = true
	h.bounces.mu.Unlock()
	h.cutBounce()
	h.bounces.one.Lock()
	defer h.bounces.one.Unlock()
}
