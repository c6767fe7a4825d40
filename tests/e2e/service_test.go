package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// serviceProgram stands for an init script: its state is a file for each node,
// and it writes down what it was asked to do, and whether the VIP was there.
const serviceProgram = `#!/bin/sh
cd "%s" || exit 1
node=$(ip -o -4 addr show dev ha0 | grep -q 10.78.0.1/ && echo fw1 || echo fw2)
vip=$(ip -o addr show dev eth0 to %s | grep -q . && echo vip || echo bare)
[ "$1" = status ] || echo "$node $1 $2 $vip" >> log
[ -e "$node.$2.bad" ] && [ "$1" != stop ] && { echo "broken on purpose"; exit 1; }
case $1 in
start) touch "$node.$2" ;;
stop) [ -e "$node.$2.stuck" ] && exit 1; rm -f "$node.$2" ;;
status) [ -e "$node.$2" ] || exit 3 ;;
esac
`

// services are two programs that a group carries, in order.
type services struct{ dir string }

func newServices(t *testing.T) services {
	t.Helper()
	s := services{t.TempDir()}
	if err := os.WriteFile(s.dir+"/rc", fmt.Appendf(nil, serviceProgram, s.dir, lab.VIP(0)), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s services) config(more string) string {
	var b strings.Builder
	for _, name := range []string{"dns", "web"} {
		fmt.Fprintf(&b, "[[group.service]]\nname = %[1]q\ndriver = \"command\"\ncheck_interval = \"200ms\"\n%[3]s\n"+
			"start = [%[2]q, \"start\", %[1]q]\nstop = [%[2]q, \"stop\", %[1]q]\nstatus = [%[2]q, \"status\", %[1]q]\n", name, s.dir+"/rc", more)
	}
	return b.String()
}

// log returns what was asked of the services of a node, in order.
func (s services) log(node string) []string {
	b, _ := os.ReadFile(s.dir + "/log")
	var mine []string
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if rest, ok := strings.CutPrefix(line, node+" "); ok {
			mine = append(mine, rest)
		}
	}
	return mine
}

// whole returns the log of both nodes.
func (s services) whole() string {
	b, _ := os.ReadFile(s.dir + "/log")
	return string(b)
}

func (s services) touch(r *rig, name string) {
	r.Helper()
	r.try(os.WriteFile(s.dir+"/"+name, nil, 0o600))
}

func (s services) runs(name string) bool {
	_, err := os.Stat(s.dir + "/" + name)
	return err == nil
}

func TestServicesFollowTheGroupInOrder(t *testing.T) {
	s := newServices(t)
	r := boot(t, lab.Options{Group: s.config("")})
	r.await("services run on fw1", soon, func() bool { return s.runs("fw1.dns") && s.runs("fw1.web") })
	if got := strings.Join(s.log("fw1"), ", "); got != "stop web bare, stop dns bare, start dns vip, start web vip" {
		t.Errorf("fw1 was asked: %s", got)
	}
	before := len(s.whole())
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.moved(1)
	r.await("services run on fw2", soon, func() bool { return s.runs("fw2.dns") && s.runs("fw2.web") })
	want := "fw1 stop web vip\nfw1 stop dns vip\nfw2 start dns vip\nfw2 start web vip\n"
	if got := s.whole()[before:]; got != want {
		t.Errorf("the handover asked:\n%swant:\n%s", got, want)
	}
	if s.runs("fw1.dns") || s.runs("fw1.web") {
		t.Error("services still run on fw1")
	}
}

func TestServiceThatDiesIsRestartedInPlace(t *testing.T) {
	s := newServices(t)
	r := boot(t, lab.Options{Group: s.config("")})
	r.await("services run on fw1", soon, func() bool { return s.runs("fw1.dns") && s.runs("fw1.web") })
	since := r.mark()
	r.try(os.Remove(s.dir + "/fw1.dns"))
	r.await("it runs again", soon, func() bool { return s.runs("fw1.dns") })
	r.unmoved(since)
	r.await("no alarm stays", soon, func() bool { return r.quiet(0) })
}

func TestServiceThatFailsForGoodGivesTheGroupToThePeer(t *testing.T) {
	s := newServices(t)
	r := boot(t, lab.Options{Group: s.config("restarts = 1")})
	r.await("services run on fw1", soon, func() bool { return s.runs("fw1.dns") && s.runs("fw1.web") })
	s.touch(r, "fw1.web.bad")
	r.moved(1)
	r.await("services run on fw2", soon, func() bool { return s.runs("fw2.dns") && s.runs("fw2.web") })
	r.await("fw1 tells that it is unfit", soon, func() bool { return r.alarmed(0, "unfit") })
	if s.runs("fw1.dns") {
		t.Error("a service still runs on fw1")
	}
	r.try(os.Remove(s.dir + "/fw1.web.bad"))
	r.order(0, control.Order{Command: control.OrderResume})
	r.await("fw1 is armed", soon, func() bool { return r.in(0, 0, "ARMED") })
}

func TestServiceThatDoesNotStartGivesTheGroupToThePeer(t *testing.T) {
	s := newServices(t)
	r := boot(t, lab.Options{Group: s.config("restarts = 0")})
	s.touch(r, "fw2.web.bad")
	r.await("services run on fw1", soon, func() bool { return s.runs("fw1.dns") && s.runs("fw1.web") })
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.await("fw2 gives it back", 2*soon, func() bool { return r.owns(0, 0) && r.alarmed(1, "unfit") })
	r.moved(0)
	r.await("services run on fw1 alone", soon, func() bool { return s.runs("fw1.web") && !s.runs("fw2.dns") })
}

func TestServiceThatDoesNotStopIsFencedBeforeThePeerTakesOver(t *testing.T) {
	s := newServices(t)
	p := newPDU(t)
	o := p.options()
	o.Group = s.config("")
	r := boot(t, o)
	p.wire(r)
	r.await("services run on fw1", soon, func() bool { return s.runs("fw1.dns") && s.runs("fw1.web") })
	s.touch(r, "fw1.web.stuck")
	go func() {
		_, _ = r.Nodes[0].Order(control.Order{Command: control.OrderHandover, By: "test", Reason: "test"})
	}()
	r.await("fw2 owns the group", 3*soon, func() bool { return r.owns(1, 0) })
	if r.Nodes[0].Powered() {
		t.Error("fw2 took over while the service may still run on fw1")
	}
	r.moved(1)
	time.Sleep(grain)
}
