package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A pdu is a power switch with an outlet for each box. Its program asks it by
// files, and it really takes the power away. It can be dead, slow or lie, but
// never about a box that it left alone with all links cut: from that no mode
// protects.
type pdu struct {
	dir  string
	stop chan struct{}
	done sync.WaitGroup
}

// pduProgram is what the agents run: off or status, and the node.
const pduProgram = `#!/bin/sh
cd "%s" || exit 1
[ -e slow ] && sleep 0.5
[ -e dead ] && exec sleep 600
[ -e broken ] && { echo "no answer"; exit 1; }
case $1 in
off) [ -e idle ] || : > "$2.off" ;;
status) [ -e garbage ] && { echo "noSuchInstance"; exit 0; }; read p < "$2.power"; echo "$p" ;;
esac
`

// pduEvery is how often the switch looks at what it was told.
const pduEvery = 5 * time.Millisecond

func newPDU(dir string) (*pdu, error) {
	p := &pdu{dir: dir, stop: make(chan struct{})}
	if err := os.WriteFile(p.program(), fmt.Appendf(nil, pduProgram, dir), 0o700); err != nil {
		return nil, err
	}
	for _, n := range []string{"fw1", "fw2"} {
		p.set(n, "on")
	}
	return p, nil
}

func (p *pdu) program() string { return p.dir + "/pdu" }

// config is the section that describes the switch.
func (p *pdu) config() string {
	command := func(verb string) string {
		return fmt.Sprintf("{ fw1 = [%[1]q, %[2]q, \"fw1\"], fw2 = [%[1]q, %[2]q, \"fw2\"] }", p.program(), verb)
	}
	return fmt.Sprintf("\n[fence]\nretry = \"100ms\"\n[[fence.device]]\nname = \"pdu\"\ndriver = \"exec\"\ntimeout = \"800ms\"\nholdup = \"100ms\"\noff = %s\nstatus = %s\n",
		command("off"), command("status"))
}

func (p *pdu) set(node, power string) {
	tmp := p.dir + "/new." + node
	_ = os.WriteFile(tmp, []byte(power+"\n"), 0o600)
	_ = os.Rename(tmp, p.dir+"/"+node+".power")
}

// wire lets the switch obey until its end.
func (p *pdu) wire(q *pair) {
	p.done.Go(func() {
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(pduEvery):
			}
			for i, n := range q.Nodes {
				p.obey(q, i, n)
			}
		}
	})
}

func (p *pdu) obey(q *pair, i int, n *lab.Node) {
	if os.Remove(filepath.Join(p.dir, n.Name+".off")) != nil {
		return
	}
	q.hands.Lock()
	defer q.hands.Unlock()
	q.note("the fence switches %s off", n.Name)
	q.fenced++
	if err := q.powerOff(i); err != nil {
		q.note("power off %s: %v", n.Name, err)
	}
	p.set(n.Name, "off")
}

func (p *pdu) end() {
	close(p.stop)
	p.done.Wait()
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
		x.undo(func() error { x.pdu.set(n.Name, "on"); return nil })
		x.pdu.set(n.Name, "off")
		return nil
	}},
}

// fenceIs spoils the device, and gives the pair a reason to use it.
func (x *strike) fenceIs(how string) error {
	file := x.pdu.dir + "/" + how
	x.undo(func() error { return gone(file) })
	if err := os.WriteFile(file, nil, 0o600); err != nil {
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
