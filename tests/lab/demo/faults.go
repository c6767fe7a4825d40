package main

import "time"

// A fault is what a key does, and a step of the tour.
type fault struct {
	key  byte
	name string
	// hit does it; i is the box that is active, if the fault needs one.
	hit     func(w *world, i int) string
	active  bool // it needs an active box
	powered bool // it needs both boxes switched on

	// The tour lets it last for hold and then heals it.
	hold time.Duration
	heal func(w *world)
}

// mend takes every cable and every box back into order.
func mend(w *world) {
	w.cut(false, false, false)
	w.powerOn()
}

func cutText(what string, cut bool) string {
	if cut {
		return what + " is cut; the same key mends it"
	}
	return what + " is whole again"
}

// faults are in the order of the tour. Those of the cables turn on and off.
var faults = []fault{
	{
		key: 'h', name: "hand over", active: true, powered: true, hold: time.Second,
		hit: func(w *world, i int) string { return w.handOver(i) },
	},
	{
		key: 'k', name: "kill the active agent", active: true, hold: restartAfter + time.Second,
		hit: func(w *world, i int) string { return w.killAgent(i) },
	},
	{
		key: 'f', name: "freeze the active agent 5 s", active: true, hold: freezeTime + time.Second,
		hit: func(w *world, i int) string { return w.freezeAgent(i) },
	},
	{
		key: 'p', name: "power off the active node", active: true, hold: 3 * time.Second, heal: mend,
		hit: func(w *world, i int) string { return w.powerOff(i) },
	},
	{
		key: 's', name: "cut serial", hold: 3 * time.Second, heal: mend,
		hit: func(w *world, _ int) string {
			w.cut(!w.serialCut, w.etherCut, w.noise)
			return cutText("the serial cable", w.serialCut)
		},
	},
	{
		key: 'e', name: "cut Ethernet", hold: 3 * time.Second, heal: mend,
		hit: func(w *world, _ int) string {
			w.cut(w.serialCut, !w.etherCut, w.noise)
			return cutText("the heartbeat Ethernet", w.etherCut)
		},
	},
	{
		key: 'b', name: "cut both", hold: 4 * time.Second, heal: mend,
		hit: func(w *world, _ int) string {
			both := !w.serialCut || !w.etherCut
			w.cut(both, both, w.noise)
			return cutText("every path between the boxes", both)
		},
	},
	{
		key: 'c', name: "corrupt serial", hold: 3 * time.Second, heal: mend,
		hit: func(w *world, _ int) string {
			w.cut(w.serialCut, w.etherCut, !w.noise)
			if w.noise {
				return "the serial cable flips bits; c ends that"
			}
			return "the serial cable is clean again"
		},
	},
	{
		key: 'o', name: "power on",
		hit: func(w *world, _ int) string { return w.powerOn() },
	},
}

// tourFaults are those that the tour plays.
func tourFaults() []fault {
	var out []fault
	for _, f := range faults {
		if f.hold > 0 {
			out = append(out, f)
		}
	}
	return out
}

// press does what a key says, and says why not if it cannot. It does not wait
// for what follows.
func (w *world) press(f fault) {
	if !w.busy.TryLock() {
		w.say("still busy with the key before")
		return
	}
	defer w.busy.Unlock()
	i := w.active()
	if f.active && i < 0 {
		w.say(f.name + ": nobody is active now")
		return
	}
	if f.powered && !(w.state[0].on.Load() && w.state[1].on.Load()) {
		w.say(f.name + ": the other box has no power; o gives it back")
		return
	}
	name := f.name
	if f.active {
		name += " (" + w.name(i) + ")"
	}
	w.begin(name)
	w.say(f.hit(w, i))
}
