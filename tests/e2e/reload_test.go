package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// rewrite puts another text in place of a node's configuration, at once.
func (r *rig) rewrite(node int, text string) {
	r.Helper()
	file := r.Nodes[node].ConfigPath()
	r.try(os.WriteFile(file+".new", []byte(text), 0o600))
	r.try(os.Rename(file+".new", file))
}

func (r *rig) file(node int) string {
	r.Helper()
	text, err := os.ReadFile(r.Nodes[node].ConfigPath())
	r.try(err)
	return string(text)
}

// reload asks a node to take its file up, and returns the answer.
func (r *rig) reload(node int) (answer report.Reload) {
	r.Helper()
	line := r.order(node, control.Order{Command: control.OrderReload})
	r.try(json.Unmarshal([]byte(line), &answer))
	return answer
}

// reloaded is a reload that must succeed.
func (r *rig) reloaded(node int) report.Reload {
	r.Helper()
	a := r.reload(node)
	if !a.Done {
		r.Fatalf("fw%d: reload: %s\n%s", node+1, a.Refused, report.ReloadText(a))
	}
	return a
}

// agree says whether both nodes say that their configurations are the same.
func (r *rig) agree() bool {
	for _, n := range r.Nodes {
		if s, err := n.Status(); err != nil || !s.Peer.DigestOK {
			return false
		}
	}
	return true
}

// unharmed fails the test if the client lost a probe of an address that stayed, or
// the owner's role changed since the mark. What the standby did is left out: while
// the files differ it is not armed.
func (r *rig) unharmed(seen lab.Report, since mark) {
	r.Helper()
	r.Logf("client: %d of %d probes lost, prober late by %v", seen.Lost, seen.Sent, seen.Late)
	if seen.Lost > 0 {
		r.Errorf("%d probes of an address that stayed were lost", seen.Lost)
	}
	for _, c := range r.changes(since) {
		if strings.HasPrefix(c, "fw1") {
			r.Errorf("the owner's role changed: %s", c)
		}
	}
}

const addresses = "addresses = [\n"

// The order that the README gives: the standby first, then the owner. The
// client of an address that stays notices nothing, in a window of two seconds
// in which the files differ, too.
func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	for name, o := range map[string]lab.Options{
		"default": {VIPs: 2}, "fast": {VIPs: 2, Profile: "fast", Baud: fast.Baud},
		"a thousand addresses": {VIPs: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			r := boot(t, o)
			since := r.mark()
			gone, fresh := fmt.Sprintf("  \"%s/16@eth0\",\n", lab.VIP(1)), fmt.Sprintf("  \"%s/16@eth0\",\n", lab.VIP(1007))
			text := strings.Replace(strings.Replace(r.file(0), gone, "", 1), addresses, addresses+fresh, 1)
			seen := r.during(func() {
				r.rewrite(1, text)
				a := r.reloaded(1)
				t.Logf("standby: %.1f ms\n%s", a.TookMS, report.ReloadText(a))
				r.await("fw2 is not armed while the files differ", soon, func() bool { return r.states(0, "ACTIVE", "STANDBY") })
				if _, err := r.Nodes[0].Order(control.Order{Command: control.OrderHandover, By: "test"}); err == nil {
					t.Error("a handover to a node whose file differs was not refused")
				}
				time.Sleep(2 * time.Second)
				r.rewrite(0, text)
				a = r.reloaded(0)
				t.Logf("owner: %.1f ms", a.TookMS)
			}, func() {
				r.await("both agree, and fw2 is armed", soon, func() bool { return r.agree() && r.states(0, "ACTIVE", "ARMED") })
			})
			r.unharmed(seen, since)
			events, err := r.Nodes[0].Events(since[0])
			r.try(err)
			for _, e := range events {
				if e.Kind == "address" {
					t.Errorf("the owner missed what it had changed itself: %+v", e)
				}
			}
			r.await("the new address answers", soon, func() bool { return r.answers(1007) })
			if r.answers(1) {
				t.Error("the address that went still answers")
			}
		})
	}
}

// answers asks for an address a few times.
func (r *rig) answers(vip int) bool {
	r.Helper()
	p, err := r.Probe(lab.VIP(vip), 5*time.Millisecond)
	r.try(err)
	defer p.Stop()
	time.Sleep(2 * grain)
	return p.Report(0, p.Now()-grain).Up
}

func TestReloadOfABadFileChangesNothing(t *testing.T) {
	r := boot(t, lab.Options{})
	good := r.file(0)
	since := r.mark()
	seen := r.during(func() {
		for _, bad := range []struct{ text, want string }{
			{strings.Replace(good, "cluster", "clutser", 1), "did you mean cluster?"},
			{good[:len(good)/2], ":"},
			{strings.Replace(good, "[timing]", "[timing]\nlease = \"2s\"", 1), "takeover 400ms is shorter"},
		} {
			r.rewrite(0, bad.text)
			a := r.reload(0)
			if text := report.ReloadText(a); a.Done || a.Refused == "" || !strings.Contains(text, bad.want) || !strings.Contains(text, "twinbeat.toml:") {
				t.Errorf("want %q and the line, got %+v\n%s", bad.want, a, text)
			}
			r.await("an alarm says so", soon, func() bool { return r.alarmed(0, "reload") })
		}
		r.rewrite(0, strings.Replace(good, "[timing]", "[timing]\nreserve = \"16ms\"", 1))
		if a := r.reload(0); a.Done || len(a.Changes) != 1 || a.Changes[0].Effect != "restart" || a.Changes[0].New != `"16ms"` {
			t.Errorf("a change of timing: %+v", a)
		}
		r.rewrite(0, good+"\n# the same\n")
		r.try(syscall.Kill(r.Nodes[0].Pid(), syscall.SIGHUP))
		r.await("SIGHUP finds the file good again", soon, func() bool { return r.quiet(0) })
	})
	r.unmoved(since)
	if !r.agree() || seen.Lost > 0 {
		t.Errorf("agree %v, %d probes lost", r.agree(), seen.Lost)
	}
}

// An address that another box answers for is not put up beside it, wherever in
// the list it stands.
func TestReloadAsksForNewAddressesFirst(t *testing.T) {
	r := boot(t, lab.Options{})
	good, more := r.file(0), ""
	for _, ip := range []string{"10.77.0.81", "10.77.0.82", "10.77.0.83", "10.77.0.84", "10.77.0.85", lab.ClientIP, "10.77.0.110"} {
		more += fmt.Sprintf("  \"%s/16@eth0\",\n", ip)
	}
	r.rewrite(0, strings.Replace(good, addresses, addresses+more, 1))
	if a := r.reload(0); a.Done || !strings.Contains(a.Refused, "answers for it already") {
		t.Errorf("%+v", a)
	}
	if !r.serves(0) || !r.reached() {
		t.Error("fw1 does not serve")
	}
}

// A service that came is started, one that went is stopped, one that stayed is
// not touched; one that does not start takes the whole reload back.
func TestReloadStartsAndStopsServices(t *testing.T) {
	s := newServices(t)
	r := boot(t, lab.Options{Group: s.config("")})
	good := r.file(0)
	more := func(name string) string { // dns and web are there
		c := s.config("")
		return good + strings.ReplaceAll(c[:strings.LastIndex(c, "[[")], "dns", name)
	}
	r.await("dns and web run", soon, func() bool { return s.runs("fw1.dns") && s.runs("fw1.web") })
	before := len(s.log("fw1"))
	r.rewrite(0, more("dhcp"))
	r.reloaded(0)
	if !s.runs("fw1.dhcp") {
		t.Error("the new service does not run")
	}
	s.touch(r, "fw1.mail.bad")
	r.rewrite(0, more("mail"))
	if a := r.reload(0); a.Done || !strings.Contains(a.Refused, "mail") {
		t.Errorf("a service that does not start: %+v", a)
	}
	if !s.runs("fw1.dhcp") || s.runs("fw1.mail") {
		t.Error("what was stopped for the other one was not put back")
	}
	r.rewrite(0, good)
	r.reloaded(0)
	if s.runs("fw1.dhcp") || !s.runs("fw1.dns") {
		t.Error("the service that went runs, or one that stayed does not")
	}
	for _, line := range s.log("fw1")[before:] {
		if !strings.Contains(line, "dhcp") && !strings.Contains(line, "mail") {
			t.Errorf("a service that stayed was told: %s", line)
		}
	}
}

// The next fence is by the device that the file names now, and its proof counts
// although the peer's file is still the old one.
func TestReloadPutsAnotherFenceDeviceInPlace(t *testing.T) {
	p := newPDU(t)
	r := boot(t, p.options())
	p.wire(r)
	text := r.file(1)
	_, rest, _ := strings.Cut(text, "off = { fw1 = [\"")
	program, _, _ := strings.Cut(rest, "\"")
	dir := t.TempDir()
	r.try(os.WriteFile(dir+"/new", fmt.Appendf(nil, "#!/bin/sh\necho \"$@\" >>%s/asked\nexec %s \"$@\"\n", dir, program), 0o700))
	r.rewrite(1, strings.ReplaceAll(text, program, dir+"/new"))
	r.reloaded(1)
	r.await("the files differ", soon, func() bool { return r.states(0, "ACTIVE") && !r.agree() })
	r.Nodes[0].Freeze()
	r.await("fw2 takes over by proof", 3*soon, func() bool { return r.owns(1, 0) })
	r.moved(1)
	r.took(1, "fence")
	if asked, _ := os.ReadFile(dir + "/asked"); !strings.Contains(string(asked), "off fw1") {
		t.Errorf("the new device was asked: %q", asked)
	}
}

// reloads is how many random edits are made; the environment may ask for more.
const reloads = 12

func times(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

// edit makes a random change of the file that leaves the first address alone.
func edit(seed *rand.Rand, text string) string {
	address := fmt.Sprintf("  \"%s/16@eth0\",\n", lab.VIP(2+seed.IntN(30)))
	lines := []string{
		fmt.Sprintf("count = %d\n", 2+seed.IntN(8)), fmt.Sprintf("spacing = \"%dms\"\n", 50+seed.IntN(100)),
	}
	switch seed.IntN(6) {
	case 4, 5:
		return editParts(seed.IntN(1000), text)
	case 0:
		for _, l := range lines { // what was there goes
			key, _, _ := strings.Cut(l, " ")
			at := strings.Index(text, "\n"+key+" = ") + 1
			end := at + strings.IndexByte(text[at:], '\n') + 1
			text = text[:at] + l + text[end:]
		}
		return text
	default:
		if strings.Contains(text, address) {
			return strings.Replace(text, address, "", 1)
		}
		return strings.Replace(text, addresses, addresses+address, 1)
	}
}

const announce = "[group.announce]\ncount = 5\nspacing = \"100ms\"\n"

func TestManyReloadsLoseNothing(t *testing.T) {
	n := times("TWINBEAT_E2E_RELOADS", reloads)
	r := boot(t, lab.Options{Group: announce, VIPs: 2, Extra: parts})
	since := r.mark()
	seed := rand.New(rand.NewPCG(1, 6))
	text, took, changes := r.file(0), 0.0, 0
	seen := r.during(func() {
		for range n {
			text = edit(seed, text)
			for _, node := range []int{1, 0} {
				r.rewrite(node, text)
				a := r.reloaded(node)
				took, changes = max(took, a.TookMS), changes+len(a.Changes)
			}
		}
	}, func() {
		r.await("both agree, and fw2 is armed", soon, func() bool { return r.agree() && r.states(0, "ACTIVE", "ARMED") })
	})
	t.Logf("%d edits, %d changes on two nodes, a reload took at most %.1f ms", n, changes, took)
	r.unharmed(seen, since)
}

// Whatever moment of a reload kills the agent: there are never two owners, and
// once both nodes run with the new file one of them serves.
func TestReloadUnderKill(t *testing.T) {
	n := times("TWINBEAT_E2E_RELOAD_KILLS", 6)
	r := boot(t, lab.Options{Group: announce, VIPs: 2, Extra: parts})
	seed := rand.New(rand.NewPCG(2, 6))
	text := r.file(0)
	for round := range n {
		owner := 0
		if r.owns(1, 0) {
			owner = 1
		}
		victim := seed.IntN(2)
		text = edit(seed, text)
		delay := time.Duration(seed.IntN(70)) * time.Millisecond
		for _, node := range []int{1 - owner, owner} {
			r.rewrite(node, text)
			if node != victim {
				r.reloaded(node)
				continue
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = r.Nodes[node].Order(control.Order{Command: control.OrderReload, By: "test"})
			}()
			time.Sleep(delay)
			r.Nodes[node].Kill()
			<-done
			r.start(node)
		}
		r.await(fmt.Sprintf("round %d, fw%d killed after %v: one owns, the other is armed", round, victim+1, delay), 6*soon, func() bool {
			return r.agree() && (r.states(0, "ACTIVE", "ARMED") || r.states(0, "ARMED", "ACTIVE"))
		})
		r.await("the client reaches the address", soon, r.reached)
	}
}
