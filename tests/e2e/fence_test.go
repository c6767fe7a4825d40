package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A pdu is a power switch with an outlet for each box. Its program asks it by
// files, and it really takes the power away.
type pdu struct {
	dir  string
	stop chan struct{}
	done sync.WaitGroup
}

// pduProgram is what the agents run: off, on or status, and the node.
const pduProgram = `#!/bin/sh
cd "%s" || exit 1
[ -e broken ] && { echo "no answer"; exit 1; }
case $1 in
off) touch "$2.off" ;;
status) cat "$2.power" ;;
esac
`

func newPDU(t *testing.T) *pdu {
	t.Helper()
	p := &pdu{dir: t.TempDir(), stop: make(chan struct{})}
	if err := os.WriteFile(p.dir+"/pdu", fmt.Appendf(nil, pduProgram, p.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"fw1", "fw2"} {
		p.set(n, "on")
	}
	t.Cleanup(func() {
		close(p.stop)
		p.done.Wait()
	})
	return p
}

// config is the section that describes the switch.
func (p *pdu) config() string {
	command := func(verb string) string {
		return fmt.Sprintf("{ fw1 = [%[1]q, %[2]q, \"fw1\"], fw2 = [%[1]q, %[2]q, \"fw2\"] }", p.dir+"/pdu", verb)
	}
	return fmt.Sprintf("\n[fence]\nretry = \"300ms\"\n[[fence.device]]\nname = \"pdu\"\ndriver = \"exec\"\ntimeout = \"800ms\"\nholdup = \"100ms\"\noff = %s\nstatus = %s\n",
		command("off"), command("status"))
}

// options are those of a pair that is fenced by the switch.
func (p *pdu) options() lab.Options {
	return lab.Options{Mode: "fence", Timing: "fence_time = \"1200ms\"\nrace = \"1300ms\"", Extra: p.config()}
}

func (p *pdu) set(node, power string) {
	tmp := p.dir + "/new"
	_ = os.WriteFile(tmp, []byte(power+"\n"), 0o600)
	_ = os.Rename(tmp, p.dir+"/"+node+".power")
}

// wire lets the switch obey until the test ends.
func (p *pdu) wire(r *rig) {
	p.done.Go(func() {
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			for _, n := range r.Nodes {
				p.obey(r, n)
			}
		}
	})
}

func (p *pdu) obey(r *rig, n *lab.Node) {
	if os.Remove(filepath.Join(p.dir, n.Name+".off")) != nil {
		return
	}
	if err := n.PowerOff(); err != nil {
		r.Errorf("power off %s: %v", n.Name, err)
	}
	p.set(n.Name, "off")
}

// asked says whether somebody told the unwired switch to cut a node.
func (p *pdu) asked(node string) bool {
	_, err := os.Stat(filepath.Join(p.dir, node+".off"))
	return err == nil
}

func TestFenceTakesOverOnlyWithProof(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	seen := r.during(func() { r.Nodes[0].Freeze() }, func() { r.await("fw2 is alone", 2*soon, func() bool { return r.states(0, "", "SOLO") }) }, func() { r.moved(1) })
	r.outage(seen, 6*time.Second)
	r.took(1, "fence")
	if r.Nodes[0].Powered() {
		t.Error("fw1 still has power")
	}
	p.set("fw1", "on")
	r.reboot(0)
	r.await("fw1 is armed", 2*soon, func() bool { return r.states(0, "ARMED", "ACTIVE") })
}

func TestFenceThatDoesNotSwitchAllowsNoTakeover(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options()) // not wired: off succeeds, and the outlet stays on
	r.Nodes[0].Kill()
	r.await("fw2 tells that the fence failed", 2*soon, func() bool { return r.alarmed(1, "fence-failed") })
	r.never("takeover without proof", 1500*time.Millisecond, func() bool { return r.owns(1, 0) })
	if !p.asked("fw1") {
		t.Error("nobody gave the off command")
	}
	p.wire(r) // now it obeys
	r.await("fw2 takes over with proof", 3*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	r.took(1, "fence")
}

func TestFenceThatIsUnreachableIsAnAlarmBeforeItIsNeeded(t *testing.T) {
	p := newPDU(t)
	if err := os.WriteFile(p.dir+"/broken", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := boot(t, p.options())
	r.await("both tell that the device does not answer", soon, func() bool { return r.alarmed(0, "fence-device") && r.alarmed(1, "fence-device") })
	r.Nodes[0].Kill()
	r.await("fw2 tells that the fence failed", 2*soon, func() bool { return r.alarmed(1, "fence-failed") })
	r.never("takeover without proof", time.Second, func() bool { return r.owns(1, 0) })
}

func TestFenceWiredToTheWrongOutletIsAnAlarm(t *testing.T) {
	p := newPDU(t)
	p.set("fw2", "off")
	r := boot(t, p.options())
	r.await("fw1 tells that the outlet reads off while fw2 beats", soon, func() bool { return r.alarmed(0, "fence-wiring") })
}

func TestFenceLeavesOneNodeWhenAllLinksAreCut(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	since := r.mark()
	seen := r.during(func() {
		r.CutSerial()
		r.try(r.CutEthernet())
	}, func() { r.await("fw1 is alone", 2*soon, func() bool { return r.states(0, "SOLO") }) })
	r.outage(seen, 20*time.Millisecond)
	if r.Nodes[1].Powered() || !r.Nodes[0].Powered() {
		t.Error("the owner should have switched its standby off, and nobody else")
	}
	for _, e := range r.events(0, since[0]) {
		if e.Kind == "role" && !strings.Contains("ACTIVE SOLO", e.To) {
			t.Errorf("the owner did not stay: %+v", e)
		}
	}
}

func TestFenceOfADeadStandbyCostsTheOwnerNothing(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	seen := r.during(func() { r.try(r.Nodes[1].PowerOff()) }, func() {
		r.await("fw1 is alone", 2*soon, func() bool { return r.states(0, "SOLO") })
	})
	r.outage(seen, 20*time.Millisecond)
}
