package main

import (
	"time"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// linkFaults are those of cables and of what they carry.
var linkFaults = []fault{
	{name: "cut-serial", touches: serial, moves: mustStay, tells: []string{"serial"}, strike: func(x *strike) error {
		x.undo(func() error { x.HealSerial(); return nil })
		x.CutSerial()
		return nil
	}},
	{name: "cut-ethernet", touches: ethernet, moves: mustStay, tells: []string{"multicast"}, strike: func(x *strike) error {
		x.undo(x.HealEthernet)
		return x.CutEthernet()
	}},
	{name: "cut-ethernet-silently", touches: ethernet, moves: mustStay, tells: []string{"multicast"}, strike: func(x *strike) error {
		x.undo(x.HealEthernetSilently)
		return x.CutEthernetSilently()
	}},
	{name: "cut-both", touches: links, tells: []string{"silen"}, strike: func(x *strike) error {
		x.undo(x.healLinks)
		x.CutSerial()
		return x.CutEthernetSilently()
	}},
	{name: "flapping-links", touches: links, strike: flap},
	{name: "cut-lan-owner", touches: lan, tells: []string{"eth0"}, strike: func(x *strike) error { return x.cutLAN(x.owner) }},
	{name: "cut-lan-standby", touches: lan, tells: []string{"eth0"}, strike: func(x *strike) error { return x.cutLAN(x.peer) }},
	{name: "one-way-serial", touches: serial, moves: mustStay, tells: []string{"serial"}, strike: func(x *strike) error {
		x.undo(func() error { x.HealSerial(); return nil })
		x.Serial.Cut(linktest.Direction(1 + x.rng.IntN(2)))
		return nil
	}},
	{name: "one-way-ethernet", touches: ethernet, moves: mustStay, tells: []string{"multicast"}, strike: func(x *strike) error { return x.deafen(x.any()) }},
	{name: "one-way-all", touches: links, strike: func(x *strike) error {
		mute := x.any()
		x.undo(func() error { x.HealSerial(); return nil })
		x.Serial.Cut([2]linktest.Direction{linktest.AToB, linktest.BToA}[mute])
		return x.deafen(mute)
	}},
	{name: "crossed-one-way", touches: links, strike: func(x *strike) error { // each link carries one direction only
		mute := x.any()
		x.undo(func() error { x.HealSerial(); return nil })
		x.Serial.Cut([2]linktest.Direction{linktest.BToA, linktest.AToB}[mute])
		return x.deafen(mute)
	}},
	{name: "noisy-serial", touches: serial, moves: mustStay, strike: func(x *strike) error {
		x.undo(func() error { x.HealSerial(); return nil })
		x.Serial.Corrupt(1e-3, x.rng.Uint64())
		return nil
	}},
	{name: "noise-burst", touches: serial, moves: mustStay, strike: noiseBurst},
	{name: "stalled-serial", touches: serial, moves: mustStay, tells: []string{"serial"}, strike: func(x *strike) error {
		x.undo(func() error { x.HealSerial(); return nil })
		x.Serial.Stall(linktest.Direction(1 + x.rng.IntN(3)))
		return nil
	}},
	{name: "serial-vanishes", touches: serial, moves: mustStay, tells: []string{"serial"}, strike: func(x *strike) error {
		side := x.any()
		x.undo(func() error { return x.Serial.Appear(side) })
		x.Serial.Vanish(side)
		return nil
	}},
	{name: "ethernet-loss", touches: ethernet, moves: mustStay, strike: func(x *strike) error {
		return x.disturb(lab.Weather{Loss: 0.05 + 0.6*x.rng.Float64()})
	}},
	{name: "ethernet-delay", touches: ethernet, moves: mustStay, strike: func(x *strike) error {
		return x.disturb(lab.Weather{Delay: x.between(20, 400)})
	}},
	{name: "ethernet-reorder", touches: ethernet, moves: mustStay, strike: func(x *strike) error {
		return x.disturb(lab.Weather{Delay: x.between(1, 20), Jitter: x.between(20, 200)})
	}},
	{name: "ethernet-duplicate", touches: ethernet, moves: mustStay, strike: func(x *strike) error {
		return x.disturb(lab.Weather{Duplicate: 0.1 + 0.9*x.rng.Float64(), Jitter: x.between(0, 30)})
	}},
	{name: "ethernet-storm", touches: ethernet, moves: mustStay, strike: func(x *strike) error { // all of it at once
		return x.disturb(lab.Weather{Loss: 0.3, Duplicate: 0.3, Delay: x.between(1, 50), Jitter: x.between(10, 100)})
	}},
}

func (p *pair) healLinks() error {
	p.HealSerial()
	return p.HealEthernetSilently()
}

// flap cuts all links for about as long as the pair's patience lasts.
func flap(x *strike) error {
	x.undo(x.healLinks)
	at := time.Duration(0)
	for range 2 + x.rng.IntN(4) {
		x.later(at, func() error {
			x.CutSerial()
			return x.CutEthernetSilently()
		})
		at += x.between(180, 450)
		x.later(at, x.healLinks)
		at += x.between(20, 300)
	}
	return nil
}

func (x *strike) cutLAN(i int) error {
	n := x.node(i)
	x.undo(func() error {
		if !n.Powered() {
			return nil
		}
		return n.HealLAN()
	})
	return n.CutLAN()
}

// deafen lets the heartbeat Ethernet lose what a box sends.
func (x *strike) deafen(mute int) error {
	heal, err := x.Deafen(x.HA, x.node(mute).Name)
	if err == nil {
		x.undo(heal)
	}
	return err
}

func (x *strike) disturb(w lab.Weather) error {
	w.Seed = x.rng.Uint64()
	heal, err := x.Disturb(w)
	if err == nil {
		x.undo(heal)
	}
	return err
}

// noiseBurst lets random bytes come in, which may hold anything.
func noiseBurst(x *strike) error {
	side := x.any()
	for k := range 3 + x.rng.IntN(5) {
		b := make([]byte, 1+x.rng.IntN(1500))
		for i := range b {
			b[i] = byte(x.rng.Uint32())
		}
		x.later(time.Duration(k)*x.between(1, 60), func() error {
			_ = x.Serial.Inject(side, b) // what does not fit is lost
			return nil
		})
	}
	return nil
}
