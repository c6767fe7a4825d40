package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// serviceNames are the services of the group, in their order.
var serviceNames = []string{"dns", "web"}

// serviceProgram stands for an init script. Its state is a file in the box's
// own /run, and so are the things that can be wrong with it.
const serviceProgram = `#!/bin/sh
s=/run/$2
case $1 in
start) [ -e $s.bad ] && exit 1; [ -e $s.slow ] && sleep 0.3; : > $s.on ;;
stop) [ -e $s.hang ] && exec sleep 600; rm -f $s.on ;;
status) [ -e $s.mute ] && exec sleep 600; [ -e $s.on ] || exit 3 ;;
esac
`

// serviceConfig writes the program and returns the sections that name it.
func serviceConfig(dir string) (string, error) {
	rc := dir + "/rc"
	if err := os.WriteFile(rc, []byte(serviceProgram), 0o700); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range serviceNames {
		fmt.Fprintf(&b, "[[group.service]]\nname = %[1]q\ndriver = \"command\"\ncheck_interval = \"400ms\"\nstop_timeout = \"1s\"\n"+
			"status_timeout = \"500ms\"\nstart_timeout = \"2s\"\nrestarts = 2\nrestart_window = \"3s\"\non_stop_failure = \"proceed\"\n"+
			"start = [%[2]q, \"start\", %[1]q]\nstop = [%[2]q, \"stop\", %[1]q]\nstatus = [%[2]q, \"status\", %[1]q]\n", name, rc)
	}
	return b.String(), nil
}

// serviceFaults are those of the programs that the group carries.
var serviceFaults = []fault{
	{name: "service-dies", only: "services calm", touches: service, moves: mustStay, tells: serviceNames, strike: func(x *strike) error {
		name := serviceNames[x.rng.IntN(len(serviceNames))]
		x.later(900*time.Millisecond, func() error { return nil }) // until somebody has looked
		return gone(x.node(x.owner).RunDir() + "/" + name + ".on")
	}},
	{name: "service-does-not-start", only: "services calm", touches: service | orders, operator: true, tells: serviceNames, strike: func(x *strike) error {
		if err := x.spoil(x.peer, "bad"); err != nil {
			return err
		}
		return x.order(x.owner, control.Order{Command: control.OrderHandover})
	}},
	{name: "service-starts-slowly", only: "services calm", touches: service | orders, strike: func(x *strike) error {
		if err := x.spoil(x.peer, "slow"); err != nil {
			return err
		}
		return x.order(x.owner, control.Order{Command: control.OrderHandover})
	}},
	{name: "service-hangs-at-stop", only: "services calm", touches: service | orders, tells: serviceNames, strike: func(x *strike) error {
		if err := x.spoil(x.owner, "hang"); err != nil {
			return err
		}
		return x.order(x.owner, control.Order{Command: control.OrderHandover})
	}},
	{name: "service-status-hangs", only: "services calm", touches: service, operator: true, strike: func(x *strike) error {
		return x.spoil(x.owner, "mute")
	}},
	{name: "service-breaks", only: "services calm", touches: service, operator: true, strike: func(x *strike) error { // and cannot be started again
		name := serviceNames[x.rng.IntN(len(serviceNames))]
		if err := x.spoil(x.owner, "bad"); err != nil {
			return err
		}
		x.later(700*time.Millisecond, func() error { return nil })
		return gone(x.node(x.owner).RunDir() + "/" + name + ".on")
	}},
}

// spoil makes something wrong with one of a box's services.
func (x *strike) spoil(i int, how string) error {
	file := x.node(i).RunDir() + "/" + serviceNames[x.rng.IntN(len(serviceNames))] + "." + how
	x.undo(func() error { return gone(file) })
	return os.WriteFile(file, nil, 0o600)
}

func gone(file string) error {
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// clearRun is what a box's /run is after it was without power.
func (p *pair) clearRun(n *lab.Node) {
	files, _ := filepath.Glob(n.RunDir() + "/*")
	for _, f := range files {
		_ = os.Remove(f)
	}
}

// servicesWell says whether all services run where the group is, and only there.
func (p *pair) servicesWell(owner int) bool {
	if !p.class.services {
		return true
	}
	for i, n := range p.Nodes {
		for _, name := range serviceNames {
			if _, err := os.Stat(n.RunDir() + "/" + name + ".on"); (err == nil) != (i == owner) {
				return false
			}
		}
	}
	return true
}
