package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// How often the demo looks, and what it remembers.
const (
	askEvery   = 150 * time.Millisecond
	freshFor   = time.Second // an older snapshot says nothing about now
	eventsKept = 32          // of each box; older ones are forgotten
	visitEvery = 25 * time.Millisecond
	visitTime  = 300 * time.Millisecond // for a name and a page together
	visitsKept = 20_000                 // eight minutes; older ones are forgotten
)

// A watcher asks one box's agent for its state and its events.
type watcher struct {
	node *lab.Node

	mu     sync.Mutex
	snap   report.Snapshot
	at     time.Time // of snap
	err    error     // of the newest question
	events []report.Event
	pid    int    // whose events they are
	seq    uint64 // the newest of them
}

func (n *watcher) run(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		n.ask()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *watcher) ask() {
	pid := n.node.Pid()
	if pid == 0 {
		return
	}
	began := time.Now()
	s, err := n.node.Status()
	n.mu.Lock()
	n.err = err
	if err != nil || time.Since(began) > freshFor {
		n.mu.Unlock()
		return
	}
	n.snap, n.at = s, time.Now()
	if n.pid != pid {
		n.pid, n.seq = pid, 0 // a new agent numbers anew
	}
	after := n.seq
	n.mu.Unlock()
	events, err := n.node.Events(after)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range events {
		n.seq = max(n.seq, e.Seq)
		if len(n.events) == 0 || e.At.After(n.events[len(n.events)-1].At) {
			n.events = append(n.events, e)
		}
	}
	n.events = n.events[max(0, len(n.events)-eventsKept):]
}

// latest returns the newest snapshot, and whether it tells of now.
func (n *watcher) latest() (report.Snapshot, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.snap, !n.at.IsZero() && time.Since(n.at) < freshFor && n.node.Pid() != 0
}

// silent returns for how long the agent has not answered.
func (n *watcher) silent() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.at)
}

// failure returns why the newest question was not answered.
func (n *watcher) failure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

func (n *watcher) history() []report.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]report.Event(nil), n.events...)
}

// A visit is the client's attempt to resolve the name and fetch the page.
type visit struct {
	at         time.Time
	done       bool // else it is under way
	err        string
	by         string // the box that wrote the page
	name, page time.Duration
}

// A visitor is the person at the client: name, then page, all over again.
type visitor struct {
	from      *lab.Space
	vip       netip.Addr
	dns, page bool // what there is to use

	mu     sync.Mutex
	visits []*visit // by the time they began

	left  sync.RWMutex // read while the namespace is used
	ended bool
}

func newVisitor(from *lab.Space, vip netip.Addr) *visitor {
	v := &visitor{from: from, vip: vip}
	for _, d := range present() {
		v.dns, v.page = v.dns || d == "dnsmasq", v.page || d == "lighttpd"
	}
	return v
}

// run visits at fixed times, whatever became of the visit before.
func (v *visitor) run(ctx context.Context) {
	if !v.dns && !v.page {
		return
	}
	tick := time.NewTicker(visitEvery)
	defer tick.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	for {
		one := &visit{at: time.Now()}
		v.mu.Lock()
		v.visits = append(v.visits, one)
		if len(v.visits) > visitsKept {
			v.visits = append([]*visit(nil), v.visits[visitsKept/2:]...)
		}
		v.mu.Unlock()
		under.Go(func() { // at most visitTime/visitEvery at once
			done := v.visit(ctx)
			v.mu.Lock()
			defer v.mu.Unlock()
			done.at, done.done = one.at, true
			*one = done
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (v *visitor) visit(ctx context.Context) (one visit) {
	ctx, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	began, addr := time.Now(), v.vip
	if v.dns {
		found, err := v.resolve(ctx)
		if err != nil {
			one.err = "resolve " + siteName + ": " + brief(err)
			return one
		}
		addr, one.name = found, time.Since(began)
	}
	if v.page {
		began = time.Now()
		by, err := v.fetch(ctx, addr)
		if err != nil {
			one.err = "fetch the page: " + brief(err)
			return one
		}
		one.by, one.page = by, time.Since(began)
	}
	return one
}

// brief leaves out of an error what the screen says anyway.
func brief(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// resolve asks the pair's name server, which has the address of the group.
func (v *visitor) resolve(ctx context.Context) (netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return v.dial(ctx, network, netip.AddrPortFrom(v.vip, 53))
	}}
	found, err := r.LookupNetIP(ctx, "ip4", siteName+".")
	if err != nil {
		return netip.Addr{}, err
	}
	return found[0].Unmap(), nil
}

// fetch gets the page and returns the name of the box that is in it.
func (v *visitor) fetch(ctx context.Context, addr netip.Addr) (string, error) {
	c, err := v.dial(ctx, "tcp", netip.AddrPortFrom(addr, 80))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(end)
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", siteName); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(bufio.NewReader(c), 4096))
	if err != nil {
		return "", err
	}
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	status, _, _ := strings.Cut(head, "\r\n")
	if !strings.HasSuffix(status, " 200 OK") {
		return "", fmt.Errorf("answer %q", status)
	}
	return strings.TrimSpace(body), nil
}

// end waits until nothing uses the namespace any more: Go's resolver may still
// dial when the question was withdrawn.
func (v *visitor) end() {
	v.left.Lock()
	defer v.left.Unlock()
	v.ended = true
}

// dial connects from inside the client's namespace.
func (v *visitor) dial(ctx context.Context, network string, to netip.AddrPort) (c net.Conn, err error) {
	v.left.RLock()
	defer v.left.RUnlock()
	if v.ended {
		return nil, net.ErrClosed
	}
	inside := v.from.Do(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, to.String())
		return nil
	})
	if inside != nil {
		return nil, inside
	}
	return c, err
}

// last returns the newest visit that came to an end.
func (v *visitor) last() (visit, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := len(v.visits) - 1; i >= 0; i-- {
		if v.visits[i].done {
			return *v.visits[i], true
		}
	}
	return visit{}, false
}

// trouble says what was wrong with the newest visit; empty if nothing was.
func (v *visitor) trouble() string {
	one, _ := v.last()
	return one.err
}

// outage returns the longest run of visits that went wrong since from: from
// the beginning of the first to that of the next good one. ok is false if there
// is nothing to visit.
func (v *visitor) outage(from time.Time) (longest time.Duration, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return longestRun(v.visits, from, time.Now()), v.dns || v.page
}

func longestRun(visits []*visit, from, now time.Time) time.Duration {
	longest := time.Duration(0)
	var since time.Time // the first of a bad run
	for _, one := range visits {
		switch {
		case !one.done || one.at.Before(from):
		case one.err != "" && since.IsZero():
			since = one.at
		case one.err == "" && !since.IsZero():
			longest, since = max(longest, one.at.Sub(since)), time.Time{}
		}
	}
	if !since.IsZero() { // still bad
		longest = max(longest, now.Sub(since))
	}
	return longest
}
