package main

import (
	"os"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
)

// orderFaults are operators, and what they do to files.
var orderFaults = []fault{
	{name: "handover", touches: orders, moves: mustMove, evidence: "released", strike: func(x *strike) error {
		return x.order(x.owner, control.Order{Command: control.OrderHandover})
	}},
	{name: "take", touches: orders, moves: mustMove, evidence: "released", strike: func(x *strike) error {
		return x.order(x.peer, control.Order{Command: control.OrderTake})
	}},
	{name: "handover-there-and-back", touches: orders, strike: func(x *strike) error {
		for k, i := range []int{x.owner, x.peer, x.owner, x.peer} {
			x.later(time.Duration(k)*x.between(100, 300), func() error { return x.order(i, control.Order{Command: control.OrderHandover}) })
		}
		return nil
	}},
	{name: "crossed-orders", touches: orders, strike: func(x *strike) error { // both operators at once
		return joined(x.order(x.owner, control.Order{Command: control.OrderHandover}), x.order(x.peer, control.Order{Command: control.OrderTake}),
			x.order(x.peer, control.Order{Command: control.OrderHandover}))
	}},
	{name: "handover-to-the-dead", touches: orders | agents, ends: true, strike: func(x *strike) error {
		x.later(x.between(0, 12), func() error { return x.kill(x.peer) })
		return x.order(x.owner, control.Order{Command: control.OrderHandover})
	}},
	{name: "handover-by-the-dying", touches: orders | agents, ends: true, strike: func(x *strike) error {
		x.later(x.between(0, 12), func() error { return x.kill(x.owner) })
		return x.order(x.owner, control.Order{Command: control.OrderHandover})
	}},
	{name: "maintenance-owner", touches: orders, moves: mustMove, evidence: "released goodbye", tells: []string{"maintenance"}, operator: true, strike: func(x *strike) error { return x.maintain(x.owner) }},
	{name: "maintenance-standby", touches: orders, tells: []string{"maintenance"}, operator: true, strike: func(x *strike) error { return x.maintain(x.peer) }},
	{name: "maintenance-both", touches: orders, operator: true, strike: func(x *strike) error {
		x.later(x.between(0, 400), func() error { return x.maintain(x.peer) })
		return x.maintain(x.owner)
	}},
	{name: "config-differs", touches: orders | agents, ends: true, tells: []string{"config"}, strike: configDiffers},
	{name: "keys-rotate", touches: orders, moves: mustStay, tells: []string{"key file"}, strike: rotateKeys},
	{name: "keys-broken", touches: orders, moves: mustStay, tells: []string{"key-file", "key file"}, strike: breakKeys},
}

func (x *strike) maintain(i int) error {
	x.undo(func() error { return x.order(i, control.Order{Command: control.OrderMaintenanceOff}) })
	return x.order(i, control.Order{Command: control.OrderMaintenanceOn})
}

// configDiffers starts the standby with a configuration of its own.
func configDiffers(x *strike) error {
	n := x.node(x.peer)
	good, err := os.ReadFile(n.ConfigPath())
	if err != nil {
		return err
	}
	x.undo(func() error {
		n.Kill() // its next life reads the old file
		return os.WriteFile(n.ConfigPath(), good, 0o600)
	})
	n.Kill()
	other := strings.Replace(string(good), `"`+vip4+`/16@eth0",`, `"`+vip4+`/16@eth0", "10.77.1.2/16@eth0",`, 1)
	if err := os.WriteFile(n.ConfigPath(), []byte(other), 0o600); err != nil {
		return err
	}
	return x.start(x.peer)
}

// keysSeen is how long it takes until both agents have looked at the key file.
const keysSeen = 2300 * time.Millisecond

// rotateKeys adds a key, uses it and removes the one before, with time for
// both to take up each.
func rotateKeys(x *strike) error {
	id := []string{itoa(3 - x.keyID), itoa(x.keyID)} // a new key gets the lowest number that is free
	x.keyID = 3 - x.keyID
	for k, args := range [][]string{{"--add"}, {"--activate", id[0]}, {"--remove", id[1]}} {
		x.later(time.Duration(k)*keysSeen, func() error {
			out, err := x.Client.Run(x.Binary, append([]string{"keygen", "--out", x.Dir + "/keys"}, args...)...)
			x.note("keygen %v: %s", args, strings.TrimSpace(out))
			return err
		})
	}
	return nil
}

func breakKeys(x *strike) error {
	file := x.Dir + "/keys"
	good, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	x.undo(func() error { return os.WriteFile(file, good, 0o600) })
	x.later(keysSeen, func() error { return nil })
	return os.WriteFile(file, []byte("active 1\nkey 1 short\n"), 0o600)
}
