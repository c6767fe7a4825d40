package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// looking asks the LAN as often as the configuration allows.
const looking = "\n[upstream]\nevery = \"5s\"\n"

// look is for what a look finds: the period, the second look, and the alarm.
const look = 15 * time.Second

// hush ends the instruments of the rig that speak to the standby as if it had
// the address, or that refresh what the client believes, and judges them.
func (r *rig) hush() {
	answered, both := r.both.end()
	if both != [kinds]int{} || answered[local] == 0 {
		r.Errorf("of the questions %v got an answer, %v from both nodes", answered, both)
	}
	if both, asked := r.who.BothActive(0, r.who.Now()); both != 0 || asked == 0 {
		r.Errorf("both nodes answered for %v, in %d questions", both, asked)
	}
	r.who.Stop()
	r.both, r.who = nil, nil
}

// upstream returns the text of the owner's alarm about the LAN.
func (r *rig) upstream(node int) string {
	s, err := r.Nodes[node].Status()
	if err != nil {
		return ""
	}
	for _, a := range s.Alarms {
		if a.Name == "g1/upstream" {
			return a.Text
		}
	}
	return ""
}

// announced counts the lines that say that a node announced again for what the
// peer saw.
func (r *rig) announced(node int, since uint64) (n int) {
	for _, e := range r.events(node, since) {
		if e.Done == "announced again" {
			n++
		}
	}
	return n
}

// A port of the switch that takes no frames of the owner, as one in the wrong
// VLAN: the nodes hear each other, and nobody reaches the address.
func TestOwnerThatTheLANDoesNotHearIsToldByTheStandby(t *testing.T) {
	r := boot(t, lab.Options{Extra: looking})
	r.hush()
	since := r.mark()
	time.Sleep(6 * time.Second)
	if text := r.upstream(0); text != "" || r.announced(0, since[0]) > 0 {
		t.Errorf("an alarm without a reason: %q", text)
	}
	heal, err := r.Deafen(r.LAN, "fw1")
	r.try(err)
	took := r.await("the owner tells of it", look, func() bool { return r.upstream(0) != "" })
	t.Logf("alarm after %v", took)
	if want := "fw2 asked the LAN for " + lab.VIP(0).String(); !strings.Contains(r.upstream(0), want) || !strings.Contains(r.upstream(0), "nobody answered") {
		t.Errorf("%q", r.upstream(0))
	}
	if r.announced(0, since[0]) == 0 {
		t.Error("not announced again")
	}
	r.try(heal())
	t.Logf("over after %v", r.await("the alarm is over", look, func() bool { return r.upstream(0) == "" }))
	r.unmoved(since)
}

// A host of the LAN with the same address: its answers go to who asks, so that the
// owner hears none of them.
func TestStrangerWithTheAddressIsNamed(t *testing.T) {
	r := boot(t, lab.Options{Extra: looking})
	r.hush()
	since := r.mark()
	dev, err := r.clientDevice()
	r.try(err)
	_, err = r.Client.Run("ip", "address", "add", lab.VIP(0).String()+"/32", "dev", "eth0")
	r.try(err)
	want := dev.HardwareAddr.String() + " answered"
	r.await("the owner tells who answers", look, func() bool { return strings.Contains(r.upstream(0), want) })
	t.Log(r.upstream(0))
	r.unmoved(since)
}

// After a handover the former owner asks, and finds the new one.
func TestAfterAHandoverTheLANBelievesTheNewOwner(t *testing.T) {
	r := boot(t, lab.Options{Extra: looking, IPv6: true})
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.moved(1)
	r.hush()
	since := r.mark()
	rules := "add table netdev asks; add chain netdev asks in { type filter hook ingress device fw1 priority 0; }; " +
		"add rule netdev asks in arp operation request arp saddr ip 0.0.0.0 arp daddr ip " + lab.VIP(0).String() + " counter"
	_, err := r.LAN.Run("nft", rules)
	r.try(err)
	r.await("fw1 asks", look, func() bool {
		out, err := r.LAN.Run("nft", "list", "table", "netdev", "asks")
		return err == nil && strings.Contains(out, "counter packets") && !strings.Contains(out, "counter packets 0 ")
	})
	time.Sleep(6 * time.Second)
	for node := range 2 {
		if text := r.upstream(node); text != "" || r.announced(node, since[node]) > 0 {
			t.Errorf("fw%d: %q", node+1, text)
		}
	}
}

// A router that missed what was announced, or takes no notice of it: what it
// sends for the address reaches the former owner, which hears whose it is.
func TestRouterThatMissedTheAnnouncementIsToldAgain(t *testing.T) {
	r := boot(t, lab.Options{Extra: looking, Group: "[group.announce]\nrefresh = \"0s\""})
	r.hush()
	heal := r.missAnnouncements()
	r.order(0, control.Order{Command: control.OrderHandover, Reason: "test"})
	r.await("fw2 owns the group", soon, func() bool { return r.owns(1, 0) })
	r.await("what the client sends is lost", soon, func() bool { return !r.reached() })
	r.never("the client believes fw2", time.Second, r.reached)
	dev, err := r.clientDevice()
	r.try(err)
	t.Logf("alarm after %v", r.await("fw2 tells of it", look, func() bool {
		return strings.Contains(r.upstream(1), dev.HardwareAddr.String()+" still sends to fw1 what is for "+lab.VIP(0).String())
	}))
	heal()
	t.Logf("cured after %v", r.await("the client reaches the address", look, r.reached))
	r.await("the alarm is over", look, func() bool { return r.upstream(1) == "" })
}

// A takeover that the LAN does not see, and nobody is left to ask it: who comes
// back hears of it about as soon as it was away.
func TestTakeoverThatTheLANMissedIsToldAgain(t *testing.T) {
	r := boot(t, lab.Options{})
	r.hush()
	heal := r.missAnnouncements()
	r.Nodes[0].Kill()
	r.await("fw2 owns the group", soon, func() bool { return r.owns(1, 0) })
	r.never("the client believes fw2", 2*time.Second, r.reached)
	heal()
	t.Logf("cured after %v", r.await("the client reaches the address", 5*time.Second, r.reached))
}

// missAnnouncements lets the client believe for an hour what it believes now of the
// address, and drops what is announced of it.
func (r *rig) missAnnouncements() (heal func()) {
	vip := lab.VIP(0).String()
	client := func(name string, args ...string) {
		_, err := r.Client.Run(name, args...)
		r.try(err)
	}
	client("sysctl", "-q", "-w", "net.ipv4.neigh.eth0.base_reachable_time_ms=3600000")
	client("ping", "-c", "1", vip) // believed for an hour from now on
	client("nft", "add table netdev deaf; add chain netdev deaf in { type filter hook ingress device eth0 priority 0; }; "+
		"add rule netdev deaf in arp saddr ip "+vip+" arp daddr ip "+vip+" drop")
	return func() { client("nft", "delete table netdev deaf") }
}

// A standby that comes back with another file: both nodes name the keys, and no
// value of them.
func TestConfigurationsThatDifferAreNamedByKey(t *testing.T) {
	r := boot(t, lab.Options{Extra: "\n[health]\nmargin = 20\n"})
	since := r.mark()
	r.halt(1)
	path := r.Nodes[1].ConfigPath()
	text, err := os.ReadFile(path)
	r.try(err)
	other := strings.NewReplacer("margin = 20", "hold = \"77s\"", "port = 6940", "port = 6940\ndead = \"245ms\"").Replace(string(text))
	r.try(os.WriteFile(path, []byte(other), 0o600))
	r.start(1)
	want := []string{"health.hold (only on fw2)", "health.margin (only on fw1)", "link[1].dead (only on fw2)"}
	took := r.await("both name the keys", 2*soon, func() bool {
		for _, n := range r.Nodes {
			if s, err := n.Status(); err != nil || !slices.Equal(s.Peer.Differs, want) {
				return false
			}
		}
		return true
	})
	t.Logf("named after %v", took)
	s, err := r.Nodes[0].Status()
	r.try(err)
	told := false
	for _, a := range s.Alarms {
		told = told || a.Name == "g1/config-mismatch" && strings.HasSuffix(a.Text, strings.Join(want, ", "))
		if strings.Contains(a.Text, "77s") || strings.Contains(a.Text, "245ms") {
			t.Errorf("a value is told: %q", a.Text)
		}
	}
	if !told {
		t.Errorf("%+v", s.Alarms)
	}
	for _, c := range r.changes(since) {
		if strings.HasPrefix(c, "fw1") && !strings.Contains(c, "-> ACTIVE") && !strings.Contains(c, "-> SOLO") {
			t.Errorf("the owner moved: %s", c)
		}
	}
}
