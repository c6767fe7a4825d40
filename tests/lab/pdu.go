package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A PDU is a power switch with an outlet for each box. Its program asks it by
// files. It can be slow, dead or broken, do nothing, be welded, or talk
// nonsense: see [PDU.Spoil].
type PDU struct {
	// What the configuration says, beside how it is reached.
	Verify  bool // the wiring must be verified first
	Budget  int  // fences within an hour; 0: no bound
	Repower bool // a box that was fenced gets its power back
	// On, if set before Wire, gives a box its power back; it is to call Set.
	On func(i int, n *Node)

	dir  string
	stop chan struct{}
	once sync.Once
	done sync.WaitGroup
}

// pduProgram is what the agents run: off, on or status, and the node. A welded
// relay reads off and still conducts.
const pduProgram = `#!/bin/sh
cd "%s" || exit 1
[ -e slow ] && sleep 0.5
[ -e dead ] && exec sleep 600
[ -e broken ] && { echo "no answer"; exit 1; }
case $1 in
off) [ -e idle ] && exit; if [ -e welded ]; then echo off > "$2.power"; else : > "$2.off"; fi ;;
on) [ -e idle ] || : > "$2.on" ;;
status) [ -e garbage ] && { echo "noSuchInstance"; exit 0; }; read p < "$2.power"; echo "$p" ;;
esac
`

// pduEvery is how often the switch looks at what it was told.
const pduEvery = 5 * time.Millisecond

// NewPDU returns a switch in an empty folder. Both outlets are on, and nobody
// obeys it yet.
func NewPDU(dir string) (*PDU, error) {
	p := &PDU{dir: dir, stop: make(chan struct{})}
	if err := os.WriteFile(p.program(), fmt.Appendf(nil, pduProgram, dir), 0o700); err != nil {
		return nil, err
	}
	for _, n := range []string{"fw1", "fw2"} {
		p.Set(n, "on")
	}
	return p, nil
}

func (p *PDU) program() string { return p.dir + "/pdu" }

// Options are those of a pair that is fenced by the switch, and asks it again
// after retry.
func (p *PDU) Options(retry time.Duration) Options {
	return Options{Mode: "fence", Timing: "fence_time = \"1200ms\"\nrace = \"1800ms\"", Extra: p.config(retry)}
}

// config is the section that describes the switch.
func (p *PDU) config(retry time.Duration) string {
	command := func(verb string) string {
		return fmt.Sprintf("{ fw1 = [%[1]q, %[2]q, \"fw1\"], fw2 = [%[1]q, %[2]q, \"fw2\"] }", p.program(), verb)
	}
	verified, repower := "waived", "never"
	if p.Verify {
		verified = "required"
	}
	if p.Repower {
		repower = "auto"
	}
	return fmt.Sprintf("\n[fence]\nretry = %q\nbudget = %d\nverified = %q\n[[fence.device]]\nname = \"pdu\"\ndriver = \"exec\"\ntimeout = \"800ms\"\n"+
		"holdup = \"100ms\"\nrepower = %q\noff = %s\non = %s\nstatus = %s\n", retry, p.Budget, verified, repower, command("off"), command("on"), command("status"))
}

// Set makes the outlet of a node read on or off.
func (p *PDU) Set(node, power string) {
	tmp := p.dir + "/new." + node
	_ = os.WriteFile(tmp, []byte(power+"\n"), 0o600)
	_ = os.Rename(tmp, p.dir+"/"+node+".power")
}

// Spoil makes the switch slow, dead, broken, idle, welded or talk garbage until
// Mend.
func (p *PDU) Spoil(how string) error { return os.WriteFile(p.dir+"/"+how, nil, 0o600) }

// Mend ends what Spoil did; it may not have.
func (p *PDU) Mend(how string) error {
	err := os.Remove(p.dir + "/" + how)
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// Wire calls obey, which is to take the power of a node away and to call Set,
// whenever the switch was told so, until Stop.
func (p *PDU) Wire(l *Lab, obey func(i int, n *Node)) {
	p.done.Go(func() {
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(pduEvery):
			}
			for i, n := range l.Nodes {
				if os.Remove(p.order(n.Name, "off")) == nil {
					obey(i, n)
				}
				if p.On != nil && os.Remove(p.order(n.Name, "on")) == nil {
					p.On(i, n)
				}
			}
		}
	})
}

func (p *PDU) order(node, power string) string { return filepath.Join(p.dir, node+"."+power) }

// Asked says whether somebody told the switch, while it is not wired, to cut a
// node.
func (p *PDU) Asked(node string) bool {
	_, err := os.Stat(p.order(node, "off"))
	return err == nil
}

// Stop ends the wiring, if it has not ended.
func (p *PDU) Stop() {
	p.once.Do(func() { close(p.stop) })
	p.done.Wait()
}
