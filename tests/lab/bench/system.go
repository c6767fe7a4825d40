package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// settleTime bounds how long a pair may take to be whole again between two
// faults: a boot with 1,000 addresses on a busy machine.
const settleTime = 30 * time.Second

// A maker names a system under test and makes a running pair of it.
type maker struct {
	name  string // as in the table: "twinbeat fast", "keepalived 1 s"
	short string // as in a row's name
	make  func(b *bench, vips int) (system, error)
}

// A system is a running pair of one kind of daemon.
type system interface {
	pair() *lab.Lab
	// whole says that one node owns all addresses and the other would take
	// them over, and which one owns them.
	whole() (owner int, ok bool)
	run(node int) error // start the daemon on a powered box
	handover(from int) error
	handedOver(from int) error // after the handover: make the pair whole again
	takeovers() (int, error)   // how often a node became active so far
}

// twins is a pair of twinbeats.
type twins struct{ *lab.Lab }

func twinbeat(name, short string, o lab.Options) maker {
	return maker{name, short, func(b *bench, vips int) (system, error) {
		o := o
		o.Binary, o.VIPs, o.LogLevel = b.binary, vips, "info"
		if o.BootWait == 0 {
			o.BootWait = 500 * time.Millisecond // the shortest that both profiles allow, rounded
		}
		l, err := lab.New(o)
		if err != nil {
			return nil, err
		}
		if err := l.Boot(); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		return &twins{Lab: l}, nil
	}}
}

func (t *twins) pair() *lab.Lab { return t.Lab }

func (t *twins) whole() (int, bool) {
	for i, n := range t.Nodes {
		s, err := n.Status()
		if err != nil || len(s.Groups) == 0 {
			return 0, false
		}
		if g := s.Groups[0]; g.State == "ACTIVE" && g.AddressesUp == len(g.Addresses) && g.GateOpen {
			return i, t.Nodes[1-i].State(0) == "ARMED" && linksUp(n)
		}
	}
	return 0, false
}

func linksUp(n *lab.Node) bool {
	s, err := n.Status()
	for _, l := range s.Links {
		if l.State != "up" {
			return false
		}
	}
	return err == nil
}

func (t *twins) run(node int) error { return t.Nodes[node].Run() }

func (t *twins) handover(from int) error {
	_, err := t.Nodes[from].Order(control.Order{Command: "handover", Reason: "bench"})
	return err
}

func (t *twins) handedOver(int) error { return nil }

func (t *twins) takeovers() (int, error) {
	n := 0
	for _, node := range t.Nodes {
		events, err := node.Events(0)
		if err != nil {
			return 0, err
		}
		for _, e := range events {
			if e.Kind == "role" && e.From != "" && e.To == "ACTIVE" {
				n++
			}
		}
	}
	return n, nil
}

// alarmAfter returns how long after a moment the first link alarm was raised.
func (t *twins) alarmAfter(at time.Time) (time.Duration, bool) {
	first, ok := time.Duration(0), false
	for _, node := range t.Nodes {
		events, err := node.Events(0)
		if err != nil {
			continue
		}
		for _, e := range events {
			d := e.At.Sub(at)
			if e.Kind != "alarm" || d < 0 || len(e.Decided) < 10 || e.Decided[:10] != "raise link" {
				continue
			}
			if !ok || d < first {
				first, ok = d, true
			}
		}
	}
	return first, ok
}

// vrrp is a pair of keepaliveds.
type vrrp struct {
	*lab.Lab
	options lab.Keepalived
	started [2]time.Time
}

func keepalived(name, short string, advert time.Duration) maker {
	return maker{name, short, func(b *bench, vips int) (system, error) {
		l, err := lab.New(lab.Options{Binary: b.binary, VIPs: vips})
		if err != nil {
			return nil, err
		}
		v := &vrrp{Lab: l, options: lab.Keepalived{Advert: advert, VIPs: vips}}
		if err := errors.Join(v.run(0), v.run(1)); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		return v, nil
	}}
}

func (v *vrrp) pair() *lab.Lab { return v.Lab }

func (v *vrrp) run(node int) error {
	v.started[node] = time.Now()
	return v.Nodes[node].RunKeepalived(v.options)
}

// ready is how long a keepalived must have run to be a backup that has heard
// the master.
func (v *vrrp) ready() time.Duration { return 500*time.Millisecond + 2*v.options.Advert }

func (v *vrrp) whole() (int, bool) {
	last := lab.VIP(v.options.VIPs - 1)
	var holds [2]bool
	for i, n := range v.Nodes {
		if n.Pid() == 0 || time.Since(v.started[i]) < v.ready() {
			return 0, false
		}
		holds[i] = n.Holds(lab.VIP(0)) && n.Holds(last)
	}
	if holds[0] == holds[1] {
		return 0, false
	}
	if holds[0] {
		return 0, true
	}
	return 1, true
}

// handover ends the master in order: it says so with priority 0 (RFC 5798
// section 6.4.3).
func (v *vrrp) handover(from int) error {
	v.Nodes[from].Terminate()
	return nil
}

func (v *vrrp) handedOver(from int) error {
	if err := v.Nodes[from].Stop(10 * time.Second); err != nil {
		say("keepalived after the handover: %v", err)
	}
	return v.run(from)
}

func (v *vrrp) takeovers() (int, error) {
	n := 0
	for _, node := range v.Nodes {
		log, err := os.ReadFile(node.LogPath())
		if err != nil {
			return 0, err
		}
		n += bytes.Count(log, []byte("Entering MASTER STATE"))
	}
	return n, nil
}

// awaitWhole waits for a pair to be whole and returns the owner.
func awaitWhole(s system) (owner int, err error) {
	ok := lab.Until(settleTime, func() (ok bool) {
		owner, ok = s.whole()
		return ok || gone(s)
	})
	if ok && gone(s) {
		return 0, errors.New("wait for the pair: a daemon has ended")
	}
	if !ok {
		return 0, fmt.Errorf("wait for the pair: not whole within %s", settleTime)
	}
	return owner, nil
}

// gone says that a daemon that should run does not.
func gone(s system) bool {
	nodes := s.pair().Nodes
	return nodes[0].Pid() == 0 || nodes[1].Pid() == 0
}

// freeze stops every process of a node's daemon, thaw lets them go on.
func freeze(n *lab.Node) error { return n.SignalAll(syscall.SIGSTOP) }
func thaw(n *lab.Node) error   { return n.SignalAll(syscall.SIGCONT) }
