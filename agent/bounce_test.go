//go:build !lite && !no_virtual

package agent

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/monitor"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/kernel"
)

// A testPort is one end of a cable, and counts how often it was set down.
type testPort struct {
	name  string
	mu    sync.Mutex
	falls int
}

func (p *testPort) fell() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.falls
}

func (p *testPort) up(t *testing.T) bool {
	t.Helper()
	link, err := netlink.LinkByName(p.name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().RawFlags&1 != 0
}

func newPort(t *testing.T, name string) *testPort {
	t.Helper()
	run(t, "ip link add "+name+" type veth peer name p"+name)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", name).Run() })
	run(t, "ip link set "+name+" up")
	run(t, "ip link set p"+name+" up")
	p := &testPort{name: name}
	news, end := make(chan netlink.LinkUpdate, 100), make(chan struct{})
	if err := netlink.LinkSubscribe(news, end); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(end) })
	go func() {
		last := true
		for n := range news {
			if n.Attrs().Name != name {
				continue
			}
			up := n.Attrs().RawFlags&1 != 0
			p.mu.Lock()
			if last && !up {
				p.falls++
			}
			p.mu.Unlock()
			last = up
		}
	}()
	return p
}

func run(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// bouncer is the hands of a node with a group on each of the devices, and the
// notes that they make.
func bouncer(t *testing.T, b config.Bounce, devices ...string) (h *hands, notes func() string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	h = &hands{cfg: config.Config{Bounce: &b}, tell: func(f loop.Fact) bool {
		mu.Lock()
		defer mu.Unlock()
		e := f.(loop.Notice).Event
		seen = append(seen, e.Seen+": "+e.Decided)
		return true
	}}
	var err error
	if h.kernel, err = kernel.New(kernel.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.kernel.Close() })
	for i, d := range devices {
		a, err := vip.ParseAddress(fmt.Sprintf("192.0.2.%d/24@%s", i+1, d))
		if err != nil {
			t.Fatal(err)
		}
		h.groups = append(h.groups, newHandful(config.Group{Name: fmt.Sprint("g", i), VIP: vip.Set{Addresses: []vip.Address{a}}}))
	}
	return h, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(seen, "\n")
	}
}

func TestBounceOfTheLoser(t *testing.T) {
	const notBounced = "tbb0: "
	plain := config.Bounce{Down: 50 * time.Millisecond, Every: time.Hour}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, h *hands)
		times   int // that the group is given up
		falls   int
		note    string
	}{
		{"once", func(*testing.T, *hands) {}, 1, 1, "set tbb0 down and up again"},
		{"not more often than the bound", func(*testing.T, *hands) {}, 3, 1, notBounced + "the next time is in"},
		{"again after it", func(_ *testing.T, h *hands) { h.cfg.Bounce.Every = time.Nanosecond }, 3, 3, "set tbb0 down and up again"},
		{"never below a link", func(t *testing.T, h *hands) {
			run(t, "ip link add link tbb0 name tbbtop up type macvlan mode private")
			h.cfg.Links = []config.Link{{Type: "multicast", Interface: "tbbtop"}}
		}, 1, 0, notBounced + "a link to the peer rests on it"},
		{"never below a group that is still owned", func(_ *testing.T, h *hands) {
			h.holdPorts(1, true)
			h.groups[1].group().VIP.Addresses[0].Device = "tbb0"
		}, 1, 0, notBounced + "group g1, which this node has, needs it"},
		{"never below a route of a group that is still owned", func(_ *testing.T, h *hands) {
			h.holdPorts(1, true)
			h.groups[1].group().VIP.Routes = []vip.Route{{Device: "tbb0"}}
		}, 1, 0, notBounced + "group g1, which this node has, needs it"},
		{"an owned group elsewhere is no matter", func(_ *testing.T, h *hands) { h.holdPorts(1, true) }, 1, 1, ""},
		{"not when it comes back before the addresses went", func(_ *testing.T, h *hands) {
			h.holdPorts(0, true)
			time.AfterFunc(dropLook, func() { h.holdPorts(0, true) })
		}, 1, 0, ""},
		{"when the addresses went late", func(_ *testing.T, h *hands) {
			h.holdPorts(0, true)
			time.AfterFunc(3*dropLook, func() { h.holdPorts(0, false) })
		}, 1, 1, "set tbb0 down and up again"},
		{"not when the agent ends", func(_ *testing.T, h *hands) { h.endBounces() }, 1, 0, ""},
		{"a port that the group has nothing to do with", func(_ *testing.T, h *hands) {
			h.groups[0].group().VIP.Addresses[0].Device = "tbb1"
		}, 1, 0, ""},
		{"down already", func(t *testing.T, _ *hands) { run(t, "ip link set tbb0 down") }, 1, 1, "it is down already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			port, other := newPort(t, "tbb0"), newPort(t, "tbb1")
			b := plain
			b.Interfaces = []string{"tbb0"}
			h, notes := bouncer(t, b, "tbb0", "tbb1")
			c.prepare(t, h)
			wasUp := port.up(t)
			for range c.times {
				h.bounce(0)
			}
			time.Sleep(20 * time.Millisecond) // the news of the kernel
			if got := port.fell(); got != c.falls || other.fell() != 0 {
				t.Errorf("fell %d times, want %d; the other one %d", got, c.falls, other.fell())
			}
			if !strings.Contains(notes(), c.note) || c.note == "" && c.falls == 0 && notes() != "" {
				t.Errorf("notes %q, want %q", notes(), c.note)
			}
			if port.up(t) != wasUp {
				t.Errorf("up: %v, before %v", port.up(t), wasUp)
			}
		})
	}
}

// A takeover sets the port up, and waits for no bounce: neither for the one under
// way nor for those that would follow.
func TestATakeoverEndsABounce(t *testing.T) {
	port, next := newPort(t, "tbb0"), newPort(t, "tbb1")
	h, _ := bouncer(t, config.Bounce{Interfaces: []string{"tbb0", "tbb1"}, Down: time.Minute, Every: time.Hour}, "tbb0", "tbb1")
	h.groups[0].group().VIP.Addresses = append(h.groups[0].group().VIP.Addresses, h.groups[1].group().VIP.Addresses...)
	go h.bounce(0)
	for limit := time.Now().Add(10 * time.Second); port.up(t); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the port never went down")
		}
	}
	go h.bounce(1)
	go h.bounce(0)
	time.Sleep(10 * time.Millisecond)
	began := time.Now()
	if err := h.TakeAddresses(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second || !port.up(t) || !next.up(t) {
		t.Errorf("took %v, ports up: %v, %v", took, port.up(t), next.up(t))
	}
	h.endBounces()
	if port.fell() != 1 || next.fell() != 0 {
		t.Errorf("fell %d and %d times", port.fell(), next.fell())
	}
	if err := h.DropAddresses(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if now, _ := h.stay(0); now.here {
		t.Error("the group counts as here")
	}
}

// What this node did itself does not make it ill, for a while.
func TestABouncedPortIsExcusedForAWhile(t *testing.T) {
	newPort(t, "tbb0")
	newPort(t, "tbb1")
	run(t, "ip link add link tbb0 name tbbtop up type macvlan mode private")
	h, _ := bouncer(t, config.Bounce{Interfaces: []string{"tbb0"}, Down: 50 * time.Millisecond, Every: time.Hour}, "tbb0")
	h.cfg.Monitors = []config.Monitor{
		{Name: "port", Type: "interface", Interface: "tbb0"},
		{Name: "top", Type: "interface", Interface: "tbbtop"},
		{Name: "other", Type: "interface", Interface: "tbb1"},
		{Name: "far", Type: "ping"},
		{Name: "disk", Type: "file"},
	}
	excused := func() (out []string) {
		for _, m := range h.cfg.Monitors {
			if h.excuses(m.Name) {
				out = append(out, m.Name)
			}
		}
		return out
	}
	if got := excused(); got != nil {
		t.Errorf("before: %v", got)
	}
	h.bounce(0)
	if got := fmt.Sprint(excused()); got != "[port top far]" {
		t.Errorf("after a bounce: %v", got)
	}
	if left := time.Until(h.bounces.until); left > settling || left < settling/2 {
		t.Errorf("excused for %v more", left)
	}
	down := monitor.Change{Config: &monitor.Config{Name: "top"}, View: monitor.View{State: monitor.Down}}
	if (&agent{hands: h}).monitorChanged(down) {
		t.Error("what it sees is taken, though it is not told to anybody")
	}
	h.bounces.until = time.Now()
	if got := excused(); got != nil {
		t.Errorf("for good: %v", got)
	}
}

func TestAPortThatABounceLeftDownIsSetUpAtTheStart(t *testing.T) {
	port := newPort(t, "tbb0")
	h, notes := bouncer(t, config.Bounce{Interfaces: []string{"tbb0"}, Down: time.Second, Every: time.Hour}, "tbb0")
	h.raiseBounced()
	if notes() != "" {
		t.Errorf("notes of a port that is up: %s", notes())
	}
	run(t, "ip link set tbb0 down")
	h.raiseBounced()
	if !port.up(t) || !strings.Contains(notes(), "tbb0 was down when the agent started") {
		t.Errorf("up %v, notes %q", port.up(t), notes())
	}
}
