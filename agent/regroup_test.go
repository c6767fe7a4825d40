//go:build !lite

package agent

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/agent/wire"
	"github.com/twinbeat/twinbeat/vip"
	"github.com/twinbeat/twinbeat/vip/announce"
)

func on(device string, prefixes ...string) (s vip.Set) {
	for _, p := range prefixes {
		s.Addresses = append(s.Addresses, vip.Address{Prefix: netip.MustParsePrefix(p), Device: device})
	}
	return s
}

// What takes another's place in the kernel waits until that is gone; the rest
// goes last, so that no route lacks its address meanwhile.
func TestWhatLeavesMakesRoomFirst(t *testing.T) {
	was := on("eth0", "192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/24")
	is := on("eth0", "192.0.2.1/24", "192.0.2.2/25")
	was.Routes = []vip.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Device: "eth0"}, {Dst: netip.MustParsePrefix("198.51.100.0/24"), Device: "eth0"}}
	is.Routes = []vip.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Device: "eth0", Via: netip.MustParseAddr("192.0.2.9")}}
	was.Rules = []vip.Rule{{Table: 5, Priority: 9}}
	before, after := leaving(was, is)
	if !slices.Equal(before.Addresses, on("eth0", "192.0.2.2/24").Addresses) || len(before.Routes) != 1 || before.Routes[0] != was.Routes[0] {
		t.Errorf("before: %+v", before)
	}
	if !slices.Equal(after.Addresses, on("eth0", "192.0.2.3/24").Addresses) || len(after.Routes) != 1 || after.Routes[0] != was.Routes[1] || len(after.Rules) != 1 {
		t.Errorf("after: %+v", after)
	}
}

func TestTheGateGuardsOldAndNewAddressesMeanwhile(t *testing.T) {
	a := config.Config{Groups: []config.Group{{VIP: on("eth0", "192.0.2.1/24", "192.0.2.2/24")}}}
	b := config.Config{Groups: []config.Group{{VIP: on("eth0", "192.0.2.2/24", "192.0.2.3/24"), GateTransit: true}}}
	u := union(a, b)
	if len(u.Groups[0].VIP.Addresses) != 3 || !u.Groups[0].GateTransit {
		t.Errorf("%+v", u.Groups[0])
	}
	if len(a.Groups[0].VIP.Addresses) != 2 || a.Groups[0].GateTransit {
		t.Error("the old configuration was changed")
	}
}

// Only the owner's kernel is touched, and only where the sets differ; the way
// back is the same, from wherever the way there ended.
func TestAddressesFollowTheirFile(t *testing.T) {
	l, was := weakLease(t)
	is := on("tbweak", "192.0.2.1/24", "192.0.2.7/24")
	there := func() (out []string) {
		held, err := l.kernel.Held(t.Context(), on("tbweak", "192.0.2.1/24", "192.0.2.7/24"))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range held {
			out = append(out, a.Prefix.Addr().String())
		}
		slices.Sort(out)
		return out
	}
	h := asking(t, l, was)
	g, to := h.groups[0], config.Group{Name: "g", VIP: is}
	if fresh, err := h.readdress(t.Context(), g, was, to, false); err != nil || fresh || len(there()) != 1 {
		t.Errorf("a standby: %v, %v, in the kernel %v", fresh, err, there())
	}
	if len(g.group().VIP.Addresses) != 2 {
		t.Error("the standby does not know what it would take")
	}
	g.held = true
	fresh, err := h.readdress(t.Context(), g, was, to, false)
	if err != nil || !fresh || len(there()) != 2 {
		t.Errorf("the owner: %v, %v, in the kernel %v", fresh, err, there())
	}
	if _, err := h.readdress(t.Context(), g, is, config.Group{Name: "g", VIP: was}, true); err != nil || !slices.Equal(there(), []string{"192.0.2.1"}) {
		t.Errorf("back: %v, in the kernel %v", err, there())
	}
	broken := config.Group{Name: "g", VIP: on("tbnone", "192.0.2.9/24")}
	if _, err := h.readdress(t.Context(), g, was, broken, false); err == nil || len(g.group().VIP.Addresses) != 1 || g.group().VIP.Addresses[0].Device != "tbweak" {
		t.Errorf("a device that is not there: %v; the group is now %v", err, g.group().VIP)
	}
	if _, err := h.readdress(t.Context(), g, broken.VIP, config.Group{Name: "g", VIP: was}, true); err != nil || !slices.Equal(there(), []string{"192.0.2.1"}) {
		t.Errorf("back from half way: %v, in the kernel %v", err, there())
	}
}

// asking are hands of one group that can ask at the near end of the wire.
func asking(t *testing.T, l *lifetimeLease, set vip.Set) *hands {
	t.Helper()
	air, err := announce.New()
	if err != nil {
		t.Fatal(err)
	}
	h := &hands{kernel: l.kernel, air: air, adopted: []bool{false}, groups: []*handful{newHandful(config.Group{Name: "g", VIP: set})}}
	h.cfg.Timing.Lifetime = lifetimeShort
	carry(t, "tbweak", "tbfar")
	return h
}

// carry sets the far end of a wire up, and waits until the near one can send.
func carry(t *testing.T, near, far string) {
	t.Helper()
	link, err := netlink.LinkByName(far)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	for range 300 {
		if err != nil {
			break
		}
		if link, err = netlink.LinkByName(near); err == nil && link.Attrs().OperState == netlink.OperUp {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s has no carrier: %v", near, err)
}

// elsewhere puts the far end of the wire and an address into another namespace,
// which answers for it.
func elsewhere(t *testing.T, prefix string) {
	t.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends
		result <- func() error {
			home, err := netns.Get()
			if err != nil {
				return err
			}
			defer home.Close()
			link, err := netlink.LinkByName("tbfar")
			if err != nil {
				return err
			}
			ns, err := netns.New() // of this thread now
			if err != nil {
				return err
			}
			back, err := netlink.NewHandleAt(home)
			if err == nil {
				defer back.Close()
				err = back.LinkSetNsFd(link, int(ns))
			}
			if err != nil {
				return err
			}
			t.Cleanup(func() { ns.Close() })
			addr, err := netlink.ParseAddr(prefix)
			if err == nil {
				link, err = netlink.LinkByName("tbfar")
			}
			if err == nil {
				err = netlink.AddrAdd(link, addr)
			}
			if err == nil {
				err = netlink.LinkSetUp(link)
			}
			return err
		}()
	}()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// An address that somebody else has is not put up, whether the group was held
// when the reload began or came to this node meanwhile; nor is one of which
// nobody could be asked.
func TestNoNewAddressGoesUpUnasked(t *testing.T) {
	l, was := weakLease(t)
	h := asking(t, l, was)
	elsewhere(t, "192.0.2.8/24")
	for range 300 {
		if link, err := netlink.LinkByName("tbweak"); err == nil && link.Attrs().OperState == netlink.OperUp {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	g, is := h.groups[0], on("tbweak", "192.0.2.1/24", "192.0.2.6/24", "192.0.2.7/24", "192.0.2.8/24", "192.0.2.9/24", "192.0.2.10/24", "192.0.2.11/24")
	to := config.Group{Name: "g", VIP: is}
	there := func() int {
		held, err := l.kernel.Held(t.Context(), is)
		if err != nil {
			t.Fatal(err)
		}
		return len(held)
	}
	g.held = true
	if _, err := h.readdress(t.Context(), g, was, to, false); err == nil || !strings.Contains(err.Error(), "192.0.2.8") || there() != 1 {
		t.Errorf("held: %v, %d in the kernel", err, there())
	}
	half := config.Group{Name: "g", VIP: vip.Set{Addresses: append(slices.Clone(was.Addresses), on("tbnone", "192.0.2.9/24").Addresses...)}}
	if _, err := h.readdress(t.Context(), g, was, half, false); err == nil || there() != 1 {
		t.Errorf("a device that is not there: %v, %d in the kernel", err, there())
	}
	g.held = false
	g.asked.Store(g.group()) // a takeover has asked for what it knew
	if _, err := h.readdress(t.Context(), g, was, to, false); err != nil {
		t.Fatal(err)
	}
	if err := h.TakeAddresses(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "192.0.2.8") || there() != 1 {
		t.Errorf("taken meanwhile: %v, %d in the kernel", err, there())
	}
	g.asked.Store(g.group())
	if err := h.TakeAddresses(t.Context(), 0); err != nil || there() != len(is.Addresses) {
		t.Errorf("asked for what it takes: %v, %d in the kernel", err, there())
	}
}

// What a reload that failed half way has put up goes with the group.
func TestAGroupThatIsGivenUpTakesEverythingWithIt(t *testing.T) {
	l, was := weakLease(t)
	h := asking(t, l, was)
	g := h.groups[0]
	is := on("tbweak", "192.0.2.1/24", "192.0.2.7/24")
	is.Routes = []vip.Route{{Dst: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("203.0.113.1"), Device: "tbweak"}}
	there := func() int {
		held, err := l.kernel.Held(t.Context(), is)
		if err != nil {
			t.Fatal(err)
		}
		return len(held)
	}
	half := func() {
		t.Helper()
		g.held = true
		if _, err := h.readdress(t.Context(), g, was, config.Group{Name: "g", VIP: is}, false); err == nil || there() != 2 {
			t.Fatalf("a route that leads nowhere: %v, %d addresses in the kernel; this test shows nothing", err, there())
		}
	}
	half()
	if err := h.DropAddresses(t.Context(), 0); err != nil || there() != 0 {
		t.Errorf("given up: %v, %d in the kernel", err, there())
	}
	if err := h.TakeAddresses(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	half()
	g.held = false // and its drop failed
	if _, err := h.readdress(t.Context(), g, is, config.Group{Name: "g", VIP: was}, true); err != nil || there() != 0 {
		t.Errorf("put back: %v, %d in the kernel", err, there())
	}
}

// An address moves to another device and back, wherever the way there ended.
func TestAnAddressMovesToAnotherDevice(t *testing.T) {
	l, was := weakLease(t)
	h := asking(t, l, was)
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "tbmove"}, PeerName: "tbmoved"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	carry(t, "tbmove", "tbmoved")
	is := on("tbmove", "192.0.2.1/24")
	if err := l.kernel.Know(t.Context(), was, is); err != nil {
		t.Fatal(err)
	}
	where := func() string {
		held, err := l.kernel.Held(t.Context(), vip.Set{Addresses: slices.Concat(was.Addresses, is.Addresses)})
		if err != nil || len(held) != 1 {
			t.Fatalf("%v, %v", held, err)
		}
		return held[0].Device
	}
	g, old, moved := h.groups[0], config.Group{Name: "g", VIP: was}, config.Group{Name: "g", VIP: is}
	g.held = true
	if _, err := h.readdress(t.Context(), g, is, old, true); err != nil || where() != "tbweak" {
		t.Errorf("back from a way that was not begun: %v, on %s", err, where())
	}
	if _, err := h.readdress(t.Context(), g, was, moved, false); err != nil || where() != "tbmove" {
		t.Errorf("there: %v, on %s", err, where())
	}
	if _, err := h.readdress(t.Context(), g, is, old, true); err != nil || where() != "tbweak" {
		t.Errorf("back: %v, on %s", err, where())
	}
}

// Addresses that may be in the kernel are never left without the gate.
func TestTheGateIsNarrowedOnlyWhenAllIsBack(t *testing.T) {
	narrowed := 0
	guard := func() error { narrowed++; return nil }
	if err := undone([]error{nil, errors.New("lane is busy"), nil}, guard); !errors.Is(err, errNotBack) || narrowed > 0 {
		t.Errorf("a step failed: %v, narrowed %d times", err, narrowed)
	}
	if err := undone([]error{nil, nil}, guard); err != nil || narrowed != 1 {
		t.Errorf("all is back: %v, narrowed %d times", err, narrowed)
	}
	if err := undone(nil, func() error { return errors.New("no") }); !errors.Is(err, errNotBack) {
		t.Errorf("the gate refused: %v", err)
	}
	a := &agent{opts: Options{ConfigPath: "none"}}
	a.running.torn = true
	if r := a.plan(t.Context()).report; !strings.Contains(r.Refused, "could not be put back") || r.Hint == "" {
		t.Errorf("the next reload: %+v", r)
	}
}

// A way back that cannot put the addresses back looks after the services all the
// same, and tells of those that do not start.
func TestTheWayBackGoesOnToTheServices(t *testing.T) {
	l, was := weakLease(t)
	h := asking(t, l, was)
	var faults []loop.ServiceFault
	h.insist = func(f loop.Fact) {
		if s, ok := f.(loop.ServiceFault); ok {
			faults = append(faults, s)
		}
	}
	g := h.groups[0]
	g.held, g.serving = true, true
	old := config.Group{Name: "g", VIP: on("tbnone", "192.0.2.9/24")}
	for i, start := range []string{"/bin/touch", "/bin/false"} {
		file := filepath.Join(t.TempDir(), "runs")
		services, err := service.NewGroup([]service.Spec{{
			Name: "s", Driver: "command", Start: []string{start, file}, Stop: []string{"/bin/rm", "-f", file},
			Status:       []string{"/bin/sh", "-c", "test -e " + file + " || exit 3"},
			StartTimeout: time.Second, StopTimeout: time.Second, StatusTimeout: time.Second,
		}}, service.Options{Group: "g"})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.regroup(t.Context(), 0, config.Group{Name: "g", VIP: was}, old, services, true); err == nil {
			t.Error("an address on a device that is not there was put back; this test shows nothing")
		}
		if g.services != services || len(faults) != i {
			t.Errorf("%s: faults %+v", start, faults)
		}
	}
	<-g.endChecks(nil)
}

// A service that would not stop is not forgotten by a reload that takes it out.
func TestAServiceThatDidNotStopKeepsItsDefinition(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs")
	stubborn := config.Service{
		Name: "s", Driver: "command", Start: []string{"/bin/touch", file}, Stop: []string{"/bin/false"},
		Status:       []string{"/bin/sh", "-c", "test -e " + file + " || exit 3"},
		StartTimeout: time.Second, StopTimeout: time.Second, StatusTimeout: time.Second,
	}
	from, to := config.Group{Name: "g", Services: []config.Service{stubborn}}, config.Group{Name: "g"}
	h := &hands{adopted: []bool{false}, groups: []*handful{newHandful(from)}}
	h.tell, h.insist = func(loop.Fact) bool { return true }, func(loop.Fact) {}
	old, err := h.serviceGroup(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	none, err := h.serviceGroup(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := h.groups[0]
	g.services = old
	if err := h.StartServices(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := h.StopServices(t.Context(), 0); err == nil {
		t.Fatal("it stopped; this test shows nothing")
	}
	if err := h.regroup(t.Context(), 0, from, to, none, false); err == nil || g.services != old {
		t.Errorf("a service that runs was forgotten: %v", err)
	}
	g.unstopped, h.adopted[0] = false, true // or another agent started it
	if err := h.regroup(t.Context(), 0, from, to, none, false); err == nil || g.services != old {
		t.Errorf("a service of an earlier agent was forgotten: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := h.regroup(t.Context(), 0, from, to, none, false); err != nil || g.services != none {
		t.Errorf("it does not run any more: %v", err)
	}
}

// The watchdog counts a check by the time that it knew it to take.
func TestTheWatchdogCountsTheChecksItWasStartedWith(t *testing.T) {
	called := ""
	old := []config.Service{{Name: "dns", StartTimeout: 5}, {Name: "web", StartTimeout: 5}}
	h := &hands{groups: []*handful{{check: func(name string, _ bool) { called += name + " " }}}}
	h.cfg.Groups = []config.Group{{Services: old}}
	check := h.checkAfter(0, config.Group{Services: []config.Service{{Name: "dns", StartTimeout: 4}, {Name: "web", StartTimeout: 9}, {Name: "new"}}})
	for _, name := range []string{"dns", "web", "new"} {
		check(name, true)
	}
	if called != "dns " {
		t.Errorf("counted: %s", called)
	}
}

const planned = `cluster = "office"
mode = "silence"
key_file = "KEYS"
[[node]]
name = "fw1"
[[node]]
name = "fw2"
[[link]]
type = "multicast"
interface = "lo"
group = "239.255.77.1"
[[group]]
name = "gateway"
addresses = ["192.0.2.1/24@lo"]
`

// A plan names what is wrong with its line, or all that would be done, and no
// secret; it is one for the whole file.
func TestAPlanIsForTheWholeFile(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(planned, "KEYS", dir+"/keys", 1)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	write("keys", "active 1\n"+wire.GenerateKey(secret, 1))
	a := &agent{opts: Options{ConfigPath: dir + "/c.toml", Node: "fw1"}, lease: &provenLease{}}
	a.running.text = []byte(text)
	a.running.cfg, _ = config.Parse("c.toml", []byte(text), "fw1")
	a.hands = &hands{groups: []*handful{newHandful(a.running.cfg.Groups[0])}}
	for name, c := range map[string]struct {
		old, new string
		refused  string
		effects  string // of the changes
		problem  int    // line
	}{
		"the same":       {},
		"an address":     {old: `@lo"]`, new: `@lo", "192.0.2.2/24@lo"]`, effects: "live"},
		"a bad file":     {old: "239.255", new: "299.255", refused: "the file is refused", problem: 11},
		"no TOML":        {old: `"gateway"`, new: `"gateway`, refused: "the file is refused", problem: 13},
		"mixed":          {old: `name = "gateway"`, new: "name = \"gateway\"\nannounce.count = 3\nfailback = \"auto\"", refused: "cannot make", effects: "live restart"},
		"another pair":   {old: `"office"`, new: `"attic"`, refused: "side by side", effects: "stop both"},
		"no key file":    {old: "/keys", new: "/none", refused: "the file is refused", problem: -1},
		"a bad service":  {old: `@lo"]`, new: "@lo\"]\n[[group.service]]\nname = \"x\"\ndriver = \"systemd\"", refused: "the file is refused", problem: 15},
		"a monitor":      {old: `@lo"]`, new: "@lo\"]\n[[monitor]]\nname = \"m\"\ntype = \"process\"\nprocess = \"x\"", effects: "live live live"},
		"no secret":      {old: `@lo"]`, new: "@lo\"]\n[[notify]]\nname = \"m\"\ntype = \"snmp\"\naddress = \"192.0.2.9\"\ncommunity_file = \"/none\"", refused: "the file is refused", problem: 19},
		"other node":     {old: `"fw1"`, new: `"fw9"`, refused: "the file is refused", problem: 4},
		"silent comment": {old: "mode", new: "# mode stays\nmode"},
	} {
		if name == "no secret" && buildName != "full" {
			continue // it may lack that type of target
		}
		t.Run(name, func(t *testing.T) {
			write("c.toml", strings.Replace(text, c.old, c.new, 1))
			r := a.plan(t.Context()).report
			var effects []string
			for _, x := range r.Changes {
				effects = append(effects, x.Effect)
				if x.Old != "" && x.Old != "(left-out)" || x.New != "" && x.New != "(left-out)" {
					t.Errorf("shows %q -> %q, and nobody said what is no secret", x.Old, x.New)
				}
			}
			if !strings.Contains(r.Refused, c.refused) || c.refused == "" && r.Refused != "" || strings.Join(effects, " ") != c.effects {
				t.Errorf("refused %q, changes %v", r.Refused, r.Changes)
			}
			at := slices.IndexFunc(r.Problems, func(p report.Problem) bool { return !p.Warning })
			switch {
			case c.problem == 0 && at >= 0:
				t.Errorf("problem %+v", r.Problems[at])
			case c.problem != 0 && (at < 0 || r.Problems[at].Line != max(0, c.problem) || r.Problems[at].Hint == ""):
				t.Errorf("problems %+v, want one on line %d", r.Problems, c.problem)
			}
			if r.Refused != "" && r.Hint == "" {
				t.Error("no hint")
			}
		})
	}
}
