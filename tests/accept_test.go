package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/link/mcast"
	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/agent/wire"
)

// TestDriversAcceptWhatTheConfigurationAccepts keeps the parser's rules and
// the drivers' in step: a file that passed check must not fail at run.
func TestDriversAcceptWhatTheConfigurationAccepts(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "reference.toml"))
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	more := `
[[group]]
name = "edge-cases"
[[group.service]]
name = "least"
driver = "command"
on_take = "none"
status = ["/bin/true"]
check_interval = "100ms"
restarts = 100
[[group.service]]
name = "kept"
driver = "command"
start = ["/bin/true"]
keep_on_stop = true
check_interval = "0s"
[[group.service]]
name = "script"
driver = "sysv"
unit = "/opt/x/rc"
[[group.service]]
name = "instance"
driver = "systemd"
unit = "getty@tty1.service"
[[group.service]]
name = "rc"
driver = "openrc"
unit = "net.eth0"
[[group.service]]
name = "openwrt"
driver = "procd"
unit = "dnsmasq"
[[group.service]]
name = "folder"
driver = "runit"
unit = "/etc/sv/x"
[[group.service]]
name = "agent"
driver = "ocf"
unit = "ocf:heartbeat:Stateful"
params = { state = "/run/x" }
promote = true
keep_on_stop = true
[[group.service]]
name = "resource"
driver = "heartbeat"
unit = "IPaddr2"
args = ["192.0.2.1/24/eth0"]
on_take = "restart"
[[group.service]]
name = "any"
driver = "auto"
unit = "getty@tty1.service"
on_take = "reload"
`
	for _, node := range []string{"fw1", "fw2"} {
		c, problems := config.Parse("reference.toml", append(data[:len(data):len(data)], more...), node)
		if config.Refused(problems) {
			t.Fatal(problems)
		}
		for _, g := range c.Groups {
			for _, s := range g.Services {
				if _, err := service.New(service.Spec{
					Name: s.Name, Driver: s.Driver, Unit: s.Unit, Start: s.Start, Stop: s.Stop, Status: s.Status, OnTake: s.OnTake,
					Args: s.Args, Params: s.Params, Promote: s.Promote, Depth: s.Depth,
					StartTimeout: s.StartTimeout, StopTimeout: s.StopTimeout, StatusTimeout: s.StatusTimeout, CheckInterval: s.CheckInterval,
					Restarts: s.Restarts, RestartWindow: s.RestartWindow, OnStartFailure: s.OnStartFailure, OnStopFailure: s.OnStopFailure, KeepOnStop: s.KeepOnStop,
				}); err != nil {
					t.Error(err)
				}
			}
		}
		for _, d := range c.Fence.Devices {
			for _, file := range []*string{&d.CommunityFile, &d.PasswordFile, &d.AuthFile, &d.PrivFile} {
				if *file != "" {
					*file = secret
				}
			}
			unit, err := agent.OpenFenceUnit(d)
			if err != nil {
				t.Error(err)
				continue
			}
			if _, err := unit.Feeds(); err != nil {
				t.Error(err)
			}
			if err := unit.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, l := range c.Links {
			if l.Type == "serial" {
				continue
			}
			if _, err := mcast.New(mcast.Config{Interface: l.Interface, Group: l.Group, Local: l.Local, Remote: l.Remote, Port: l.Port}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestConfigurationInTheREADMEIsAccepted(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```toml\n")
	example, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatal("README.md has no ```toml block")
	}
	c, problems := config.Parse("README.md", []byte(example), "fw1")
	for _, p := range problems {
		if !p.Warning && !strings.Contains(p.Text, "no node is called") {
			t.Error(p)
		}
	}
	if len(c.Links) == 0 || len(c.Groups) == 0 {
		t.Errorf("%d links, %d groups", len(c.Links), len(c.Groups))
	}
}

// TestBeatsAreNoLongerThanTheTimingAllows seals real heartbeats.
func TestBeatsAreNoLongerThanTheTimingAllows(t *testing.T) {
	ends := met(t)
	for groups := 1; groups <= config.MaxGroups; groups++ {
		m := wire.Message{Kind: wire.Beat, Counter: ends[0].NextCounter(), NGroups: groups, TimeToCritical: wire.NoTimeToCritical}
		payload, err := ends[0].Seal(nil, 0, &m)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(wire.AppendSerial(nil, payload)); n != config.FrameBytes(groups) {
			t.Errorf("a heartbeat of %d groups has %d bytes, the timing counts with %d", groups, n, config.FrameBytes(groups))
		}
	}
}

func TestTheLongestLeaseFitsIntoAHeartbeat(t *testing.T) {
	src := strings.Replace(config.Example, "[[node]]", "[timing]\nlease = \"10s\"\nwindow = \"5s\"\ntakeover = \"16s\"\nboot_wait = \"20s\"\nlifetime = \"20s\"\n[[node]]", 1)
	c, problems := config.Parse("longest", []byte(src), "fw1")
	if config.Refused(problems) {
		t.Fatal(problems)
	}
	ends := met(t)
	m := wire.Message{Kind: wire.Beat, Counter: ends[0].NextCounter(), NGroups: 1, Lease: c.Timing.Lease + c.Timing.Window}
	payload, err := ends[0].Seal(nil, 0, &m)
	if err != nil {
		t.Fatal(err)
	}
	var got wire.Message
	if drop := ends[1].Opener(0).Open(payload, &got); drop != 0 || got.Lease != m.Lease {
		t.Errorf("lease %v arrives as %v, drop %s", m.Lease, got.Lease, drop)
	}
}

// met returns two ends that have a session.
func met(t *testing.T) (ends [2]*wire.Endpoint) {
	t.Helper()
	secret := [32]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	ring, problems := wire.ParseKeys("keys", []byte("active 1\n"+wire.GenerateKey(secret, 1)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for i := range ends {
		ends[i] = wire.NewEndpoint(wire.Config{Cluster: "office", Node: uint8(i + 1), Peer: uint8(2 - i), Nonce: [16]byte{byte(i + 1)}, Keys: ring, Links: 1})
	}
	openers := [2]*wire.Opener{ends[0].Opener(0), ends[1].Opener(0)}
	for turn := range 8 { // it takes three HELLOs
		from, to := turn%2, 1-turn%2
		hello, err := ends[from].Seal(nil, 0, &wire.Message{Kind: wire.Hello})
		if err != nil {
			t.Fatal(err)
		}
		var m wire.Message
		if drop := openers[to].Open(hello, &m); drop != 0 {
			t.Fatalf("HELLO dropped: %s", drop)
		}
		ends[to].Accept(&m)
		_, first := ends[0].Established()
		_, second := ends[1].Established()
		if first && second {
			return ends
		}
	}
	t.Fatal("no session after eight HELLOs")
	return ends
}
