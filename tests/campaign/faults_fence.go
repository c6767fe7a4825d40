package main

import (
	"github.com/twinbeat/twinbeat/tests/lab"
)

// wirePDU lets the power switch obey until its end. It really takes the power
// away. It can be dead, slow or lie, but never about a box that it left alone
// with all links cut: from that no mode protects.
func (p *pair) wirePDU() {
	p.pdu.Wire(p.Lab, func(i int, n *lab.Node) {
		p.hands.Lock()
		defer p.hands.Unlock()
		p.note("the fence switches %s off", n.Name)
		p.fenced++
		if err := p.powerOff(i); err != nil {
			p.note("power off %s: %v", n.Name, err)
		}
		p.pdu.Set(n.Name, "off")
	})
}

// fenceFaults are those of the device, always with a reason to use it.
var fenceFaults = []fault{
	{name: "fence-slow", only: "fence", touches: device | agents, ends: true, strike: func(x *strike) error { return x.fenceIs("slow") }},
	{name: "fence-dead", only: "fence", touches: device | agents, ends: true, strike: func(x *strike) error { return x.fenceIs("dead") }},
	{name: "fence-refuses", only: "fence", touches: device | agents, ends: true, strike: func(x *strike) error { return x.fenceIs("broken") }},
	{name: "fence-does-nothing", only: "fence", touches: device | agents, ends: true, strike: func(x *strike) error { return x.fenceIs("idle") }},
	{name: "fence-talks-nonsense", only: "fence", touches: device | agents, ends: true, strike: func(x *strike) error { return x.fenceIs("garbage") }},
	{name: "fence-reads-wrong-outlet", only: "fence", touches: device, moves: mustStay, alone: true, strike: func(x *strike) error { // off, while the peer beats
		n := x.node(x.any())
		x.undo(func() error { x.pdu.Set(n.Name, "on"); return nil })
		x.pdu.Set(n.Name, "off")
		return nil
	}},
}

// fenceIs spoils the device, and gives the pair a reason to use it.
func (x *strike) fenceIs(how string) error {
	x.undo(func() error { return x.pdu.Mend(how) })
	if err := x.pdu.Spoil(how); err != nil {
		return err
	}
	switch x.rng.IntN(3) {
	case 0:
		return x.kill(x.any())
	case 1:
		return x.freeze(x.any(), x.between(400, 1500))
	}
	return x.powerOff(x.any())
}
