package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// touch says what a fault has its hands on.
type touch uint

const (
	agents touch = 1 << iota // ends or stops an agent, or the whole box
	serial
	ethernet
	lan
	gate // a stranger changes what the kernel holds for the group
	disk
	orders // an operator
	service
	device // the fence device
	resources
	links = serial | ethernet
)

// moving says what a fault does to the group's place.
type moving uint8

const (
	mayMove  moving = iota
	mustStay        // the owner keeps the group without a pause of its role
	mustMove        // the peer takes it
)

// A fault is one kind of trouble.
type fault struct {
	name     string
	only     string // classes, if not all
	touches  touch
	moves    moving
	evidence string   // mustMove: what the takeover rests on; "*" for the mode's own
	tells    []string // one of these words is in an event that tells of it
	ends     bool     // ends an agent
	alone    bool     // never with another one
	operator bool     // policy says that an operator ends it
	strike   func(x *strike) error
}

// A step is something that happens at a moment of an iteration.
type step struct {
	at time.Duration
	do func() error
}

// A strike is a fault at work.
type strike struct {
	*pair
	rng         *rand.Rand
	owner, peer int
}

func (x *strike) node(i int) *lab.Node { return x.Nodes[i] }

// any returns the owner or the standby, by chance.
func (x *strike) any() int {
	if x.rng.IntN(2) == 0 {
		return x.owner
	}
	return x.peer
}

// between draws a time of so many milliseconds.
func (x *strike) between(least, most int) time.Duration {
	return time.Duration(least*1000+x.rng.IntN((most-least)*1000+1)) * time.Microsecond
}

// later does something a while after now.
func (x *strike) later(d time.Duration, do func() error) {
	x.pair.steps = append(x.pair.steps, step{x.clock() + d, do})
	slices.SortStableFunc(x.pair.steps, func(a, b step) int { return int(a.at - b.at) })
}

// undo remembers what ends the fault.
func (x *strike) undo(do func() error) { x.pair.heals = append(x.pair.heals, do) }

// kill ends an agent without a word.
func (x *strike) kill(i int) error {
	x.node(i).Kill()
	return nil
}

// start starts an agent that does not run, on a box that has power.
func (p *pair) start(i int) error {
	n := p.Nodes[i]
	if !n.Powered() || n.Pid() != 0 {
		return nil
	}
	return n.Run()
}

// halt asks an agent to end in order: it takes its gate away.
func (x *strike) halt(i int) error {
	x.watch.gated[i].Store(false)
	x.node(i).Terminate()
	return nil
}

// powerOff takes the power from a box.
func (p *pair) powerOff(i int) error {
	p.watch.gated[i].Store(false)
	return p.Nodes[i].PowerOff()
}

// powerOn gives it back, and the box starts its agent.
func (p *pair) powerOn(i int) error {
	n := p.Nodes[i]
	if n.Powered() {
		return nil
	}
	if err := n.PowerOn(); err != nil {
		return err
	}
	p.watch.aim(n)
	if p.pdu != nil {
		p.pdu.Set(n.Name, "on")
	}
	p.clearRun(n)
	return p.start(i)
}

// order gives an operator's order, which may be refused.
func (x *strike) order(i int, o control.Order) error {
	if !x.node(i).Powered() {
		return nil
	}
	o.By, o.Reason = "campaign", "campaign"
	n := x.node(i)
	x.busy.Go(func() {
		text, err := n.Order(o)
		x.note("%s on %s: %s %v", o.Command, n.Name, text, err)
	})
	return nil
}

// at runs a program inside a box, as a stranger with root's rights.
func (x *strike) at(i int, name string, args ...string) error {
	if !x.node(i).Powered() {
		return nil
	}
	_, err := x.node(i).Space.Run(name, args...)
	if err != nil {
		x.note("%v", err) // it may be gone already
	}
	return nil
}

// catalogue is every fault, by name.
var catalogue = slices.Concat(agentFaults, linkFaults, kernelFaults, resourceFaults, orderFaults, serviceFaults, fenceFaults)

func faultNamed(name string) (fault, error) {
	for _, f := range catalogue {
		if f.name == name {
			return f, nil
		}
	}
	return fault{}, fmt.Errorf("find fault: there is no %q", name)
}
