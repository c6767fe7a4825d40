package config

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/twinbeat/twinbeat/vip"
)

// base is a complete file with a fence, so that it comes without warnings.
const base = `cluster = "office"
mode = "fence"
profile = "default"

[[node]]
name = "fw1"
[[node]]
name = "fw2"

[timing]
boot_wait = "10s"

[[link]]
type = "serial"
device = { fw1 = "/dev/ttyS0", fw2 = "/dev/ttyUSB0" }
[[link]]
type = "unicast"
interface = "eth2"
address = { fw1 = "10.0.0.1", fw2 = "10.0.0.2" }

[[group]]
name = "gateway"
addresses = ["192.0.2.1/24@eth0"]
[[group.service]]
name = "dnsmasq"
driver = "systemd"
unit = "dnsmasq.service"

[[fence.device]]
name = "pdu"
driver = "exec"
off = { fw1 = ["/bin/pdu", "off", "1"], fw2 = ["/bin/pdu", "off", "2"] }
status = { fw1 = ["/bin/pdu", "get", "1"], fw2 = ["/bin/pdu", "get", "2"] }
`

// edit replaces old by new in base; new may hold several lines.
func edit(t *testing.T, old, new string) string {
	t.Helper()
	if strings.Count(base, old) != 1 {
		t.Fatalf("%q is in the base file %d times", old, strings.Count(base, old))
	}
	return strings.Replace(base, old, new, 1)
}

func brief(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		kind := "refused"
		if p.Warning {
			kind = "warning"
		}
		out = append(out, fmt.Sprintf("%d %s %s: %s", p.Line, kind, p.Key, p.Text))
	}
	return out
}

// complete reports problems that lack what every problem must have.
func complete(t *testing.T, src string, problems []Problem) {
	t.Helper()
	lines := strings.Count(src, "\n") + 1
	last := 0
	for _, p := range problems {
		if p.Line < 1 || p.Line > lines || p.Text == "" || p.Hint == "" || p.File != "t.toml" {
			t.Errorf("incomplete problem %+v in a file of %d lines", p, lines)
		}
		if p.Line < last {
			t.Errorf("problem of line %d comes after one of line %d", p.Line, last)
		}
		last = p.Line
	}
}

func TestBaseFileIsReadWithoutAProblem(t *testing.T) {
	c, problems := Parse("t.toml", []byte(base), "fw2")
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	want := Config{
		Cluster: "office", Digest: c.Digest, Mode: "fence", Profile: "default",
		KeyFile: "/etc/twinbeat/keys", StateDir: "/var/lib/twinbeat", ControlSocket: "/run/twinbeat.sock",
		Timing: Timing{
			Beat: 50 * millisecond, Dead: 250 * millisecond, Lease: 300 * millisecond, Window: 25 * millisecond,
			Takeover: 400 * millisecond, Probe: 19500 * time.Microsecond, Ack: 250 * millisecond, BootWait: 10 * time.Second,
			Race: 11300 * millisecond, FenceTime: 10 * time.Second, Reserve: 15 * millisecond, Lifetime: 5 * time.Second,
		},
		Nodes: [2]Node{{1, "fw1"}, {2, "fw2"}},
		Self:  1,
		Links: []Link{
			{Name: "serial /dev/ttyUSB0", Type: "serial", Device: "/dev/ttyUSB0", Baud: 115200, Lines: "auto", Dead: 250 * millisecond},
			{
				Name: "unicast eth2 10.0.0.1:6940", Type: "unicast", Interface: "eth2", Port: 6940, TTL: 255, Dead: 250 * millisecond,
				Local: netip.MustParseAddr("10.0.0.2"), Remote: netip.MustParseAddr("10.0.0.1"),
			},
		},
		Groups: []Group{{
			Name: "gateway", Failback: "never", FailbackHold: 5 * time.Minute, FlapMax: 3, FlapWindow: 10 * time.Minute, GateTransit: true,
			VIP:      vip.Set{Addresses: []vip.Address{{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Device: "eth0"}}},
			Announce: Announce{Count: 5, Spacing: 100 * millisecond, Refresh: time.Minute, Pace: 4000},
			Services: []Service{{
				Line: 26, Name: "dnsmasq", Driver: "systemd", Unit: "dnsmasq.service", OnTake: "start",
				StartTimeout: 20 * time.Second, StopTimeout: 20 * time.Second, StatusTimeout: 5 * time.Second,
				CheckInterval: 5 * time.Second, Restarts: 3, RestartWindow: 10 * time.Minute,
				OnStartFailure: "handover", OnStopFailure: "fence",
			}},
		}},
		Fence: &Fence{Retry: 5 * time.Second, Budget: 3, Verified: "required", Devices: []FenceDevice{{
			Line: 31, Name: "pdu", Driver: "exec", Level: 1, Repower: "never", OffText: "off", OnText: "on", Timeout: 10 * time.Second, Holdup: time.Second,
			Off: []string{"/bin/pdu", "off", "1"}, Status: []string{"/bin/pdu", "get", "1"},
		}}},
		Health: Health{Margin: 20, Hold: 10 * time.Second, PerDay: 6},
	}
	if diff := cmp.Diff(want, c, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestReferenceReachesEveryFieldOfAGroup(t *testing.T) {
	data, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := Parse("reference.toml", data, "fw1")
	set := c.Groups[0].VIP
	wantRoutes := []vip.Route{
		{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("198.51.100.254"), Device: "eth1", Src: netip.MustParseAddr("198.51.100.1"), Metric: 10},
		{Dst: netip.MustParsePrefix("2001:db8:1::/48"), Via: netip.MustParseAddr("2001:db8::fe"), Device: "eth0", Table: 100, OnLink: true, Scope: "global"},
	}
	wantRules := []vip.Rule{{From: netip.MustParsePrefix("192.0.2.0/24"), IIf: "eth0", Table: 100, Priority: 1000}}
	equate := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if diff := cmp.Diff(wantRoutes, set.Routes, equate); diff != "" {
		t.Errorf("routes -want +got\n%s", diff)
	}
	if diff := cmp.Diff(wantRules, set.Rules, equate); diff != "" {
		t.Errorf("rules -want +got\n%s", diff)
	}
	if got := set.Addresses[2]; got.Label != "eth1:vip" || got.Scope != "global" {
		t.Errorf("address %+v", got)
	}
	if got := c.Groups[0].Services[1]; got.OnTake != "reload" || !got.KeepOnStop {
		t.Errorf("service %+v", got)
	}
}

func TestEveryProblemHasItsLine(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", `boot_wait = "10s"`, "boot_wiat = \"10s\"", `11 refused timing.boot_wiat: unknown key`},
		{"unknown section", "[timing]", "[timings]", `10 refused timings: unknown key`},
		{"syntax", `cluster = "office"`, `cluster = office`, `1 refused cluster: expected value but found "office" instead`},
		{"duplicate key", `profile = "default"`, "profile = \"default\"\nprofile = \"slow\"", `4 refused profile: Key 'profile' has already been defined.`},
		{"wrong type", `cluster = "office"`, `cluster = 7`, `1 refused cluster: is the number 7, not text in quotes`},
		{"wrong value", `profile = "default"`, `profile = "quick"`, `3 refused profile: "quick" is not possible`},
		{"no unit", `boot_wait = "10s"`, `boot_wait = 10`, `11 refused timing.boot_wait: 10 has no unit`},
		{"bad duration", `boot_wait = "10s"`, `boot_wait = "10d"`, `11 refused timing.boot_wait: "10d" is not a duration`},
		{"out of range", `boot_wait = "10s"`, `beat = "1h"`, `11 refused timing.beat: 1h is out of range`},
		{"negative", `boot_wait = "10s"`, `beat = "-50ms"`, `11 refused timing.beat: -50ms is out of range`},
		{"fraction of a lifetime", `boot_wait = "10s"`, `lifetime = "2500ms"`, `11 refused timing.lifetime: 2.5s is not whole seconds`},
		{"cluster name", `cluster = "office"`, `cluster = "Head Office"`, `1 refused cluster: "Head Office" is not a cluster name`},
		{"relative path", `profile = "default"`, `key_file = "keys"`, `3 refused key_file: "keys" is not a full path`},
		{"long socket path", `profile = "default"`, `control_socket = "/` + strings.Repeat("s", 107) + `"`, `3 refused control_socket: path of 108 bytes is longer than 107`},
		{"mode without fence", "[[fence.device]]", "[[group.service]]", "2 refused mode: mode fence has no [fence] section"},
		{"lone section", "[[link]]\ntype = \"serial\"", "[link]\ntype = \"serial\"", "16 refused : Key 'link' was already created and cannot be used as an array."},
		{"three nodes", `name = "fw2"`, "name = \"fw2\"\n[[node]]\nname = \"fw3\"", "5 refused node: 3 nodes"},
		{"same nodes", `name = "fw2"`, `name = "fw1"`, `8 refused node[1].name: both nodes are called "fw1"`},
		{"not a host name", `name = "fw1"`, `name = "fw 1"`, `6 refused node[0].name: "fw 1" is not a host name`},
		{"unknown link type", `type = "serial"`, `type = "seriel"`, `14 refused link[0].type: "seriel" is not possible`},
		{"key of another type", `type = "serial"`, "type = \"serial\"\nport = 1", `15 refused link[0].port: does not go with a serial link`},
		{"missing key", `interface = "eth2"`, ``, `16 refused link[1]: lacks interface`},
		{"unknown node in a table", `fw2 = "/dev/ttyUSB0"`, `fw3 = "/dev/ttyUSB0"`, `15 refused link[0].device: lacks node fw2`},
		{"relative tty", `"/dev/ttyUSB0"`, `"ttyUSB0"`, `15 refused link[0].device.fw2: "ttyUSB0" is not possible`},
		{"baud as text", `type = "serial"`, "type = \"serial\"\nbaud = \"9600\"", `15 refused link[0].baud: is text, not a whole number`},
		{"long interface", `interface = "eth2"`, `interface = "abcdefghijklmnop"`, `18 refused link[1].interface: "abcdefghijklmnop" is not possible`},
		{"one address for both", `fw2 = "10.0.0.2"`, `fw2 = "10.0.0.1"`, `19 refused link[1].address: both nodes have 10.0.0.1`},
		{"two families", `fw2 = "10.0.0.2"`, `fw2 = "fe80::2"`, `19 refused link[1].address: 10.0.0.1 and fe80::2 are of two families`},
		{"zone", `fw2 = "10.0.0.2"`, `fw2 = "fe80::2%eth2"`, `19 refused link[1].address.fw2: "fe80::2%eth2" has a zone`},
		{"not a group address", `type = "unicast"`, "type = \"multicast\"\ngroup = \"10.0.0.9\"", `18 refused link[1].group: 10.0.0.9 is not a multicast address`},
		{"group name", `name = "gateway"`, `name = "Gate"`, `22 refused group[0].name: "Gate" is not a name`},
		{"preferred node", `name = "gateway"`, "name = \"gateway\"\npreferred = \"fw9\"", `23 refused group[0].preferred: no node is called "fw9"`},
		{"no device", `"192.0.2.1/24@eth0"`, `"192.0.2.1/24"`, `23 refused group[0].addresses[0]: "192.0.2.1/24" names no device`},
		{"no length", `"192.0.2.1/24@eth0"`, `"192.0.2.1@eth0"`, `23 refused group[0].addresses[0].ip: "192.0.2.1" is not an address with its prefix length`},
		{"network address", `"192.0.2.1/24@eth0"`, `"192.0.2.0/24@eth0"`, `23 refused group[0].addresses[0].ip: 192.0.2.0/24 is the network's own address`},
		{"broadcast", `"192.0.2.1/24@eth0"`, `"192.0.2.255/24@eth0"`, `23 refused group[0].addresses[0].ip: 192.0.2.255/24 is the network's broadcast address`},
		{"loopback", `"192.0.2.1/24@eth0"`, `"127.0.0.1/8@lo"`, `23 refused group[0].addresses[0].ip: 127.0.0.1/8 never leaves the node`},
		{"multicast", `"192.0.2.1/24@eth0"`, `"ff02::1/64@eth0"`, `23 refused group[0].addresses[0].ip: ff02::1/64 is not the address of one node`},
		{"mapped", `"192.0.2.1/24@eth0"`, `"::ffff:192.0.2.1/120@eth0"`, `23 refused group[0].addresses[0].ip: ::ffff:192.0.2.1/120 is an IPv4 address in IPv6 clothes`},
		{"twice", `"192.0.2.1/24@eth0"`, "\"192.0.2.1/24@eth0\",\n  \"192.0.2.1/32@eth1\"", `24 refused group[0].addresses[1]: address 192.0.2.1 is here a second time`},
		{"link-local twice on one device", `"192.0.2.1/24@eth0"`, "\"fe80::1/64@eth0\",\n  \"fe80::1/64@eth0\"", `24 refused group[0].addresses[1]: address fe80::1 on eth0 is here a second time`},
		{"own address", `"192.0.2.1/24@eth0"`, `"10.0.0.2/24@eth0"`, `23 refused group[0].addresses[0]: 10.0.0.2 is the own address of fw2 on link 2`},
		{"label of another device", `"192.0.2.1/24@eth0"`, `{ ip = "192.0.2.1/24", dev = "eth0", label = "eth1:x" }`, `23 refused group[0].addresses[0].label: label "eth1:x" does not start with its device eth0`},
		{"long label", `"192.0.2.1/24@eth0"`, `{ ip = "192.0.2.1/24", dev = "eth0", label = "eth0:gateway-vip" }`, `23 refused group[0].addresses[0].label: label "eth0:gateway-vip" of 16 bytes is longer than 15`},
		{"label of IPv6", `"192.0.2.1/24@eth0"`, `{ ip = "2001:db8::1/64", dev = "eth0", label = "eth0:x" }`, `23 refused group[0].addresses[0].label: an IPv6 address has no label`},
		{"unknown key of an address", `"192.0.2.1/24@eth0"`, `{ ip = "192.0.2.1/24", device = "eth0" }`, `23 refused group[0].addresses[0]: lacks dev`},
		{"route family", `name = "gateway"`, "name = \"gateway\"\nroutes = [{ to = \"2001:db8::/32\", via = \"192.0.2.9\", dev = \"eth0\" }]", `23 refused group[0].routes[0].via: 192.0.2.9 is not of the family of 2001:db8::/32`},
		{"route bits", `name = "gateway"`, "name = \"gateway\"\nroutes = [{ to = \"10.1.1.1/8\", dev = \"eth0\" }]", `23 refused group[0].routes[0].to: 10.1.1.1/8 has bits beyond its length`},
		{"onlink", `name = "gateway"`, "name = \"gateway\"\nroutes = [{ to = \"default\", dev = \"eth0\", onlink = true }]", `23 refused group[0].routes[0].onlink: is said of a route without via`},
		{"route twice", `name = "gateway"`, "name = \"gateway\"\nroutes = [{ to = \"default\", dev = \"eth0\" },\n{ to = \"0.0.0.0/0\", dev = \"eth1\" }]", `24 refused group[0].routes[1]: route to 0.0.0.0/0 in table 0 with metric 0 is here a second time`},
		{"rule without table", `name = "gateway"`, "name = \"gateway\"\nrules = [{ from = \"10.0.0.0/8\", priority = 5 }]", `23 refused group[0].rules[0]: lacks table`},
		{"rule families", `name = "gateway"`, "name = \"gateway\"\nrules = [{ from = \"10.0.0.0/8\", to = \"fd00::/8\", priority = 5, table = 9 }]", `23 refused group[0].rules[0].to: fd00::/8 is not of the family of 10.0.0.0/8`},
		{"driver and key", `unit = "dnsmasq.service"`, "unit = \"dnsmasq.service\"\nstart = [\"/bin/x\"]", `28 refused group[0].service[0].start: does not go with driver systemd`},
		{"command without stop", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"command\"\nstart = [\"/bin/x\"]", `24 refused group[0].service[0]: lacks stop`},
		{"no path", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"command\"\nstart = [\"/bin/x\"]\nstop = [\n  \"kill\"]", `29 refused group[0].service[0].stop[0]: program "kill" has no full path`},
		{"option as unit", `unit = "dnsmasq.service"`, `unit = "--now"`, `27 refused group[0].service[0].unit: "--now" is not the name of a unit`},
		{"template without instance", `unit = "dnsmasq.service"`, `unit = "dnsmasq@.service"`, `27 refused group[0].service[0].unit: "dnsmasq@.service" is not the name of a unit`},
		{"no unit", `unit = "dnsmasq.service"`, `unit = ""`, `27 refused group[0].service[0].unit: is empty`},
		{"script", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"sysv\"\nunit = \"../x\"", `27 refused group[0].service[0].unit: "../x" is not a script`},
		{"service of OpenRC", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"openrc\"\nunit = \"/etc/init.d/x\"", `27 refused group[0].service[0].unit: "/etc/init.d/x" is not the name of a service`},
		{"service of procd", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"procd\"\nunit = \"-x\"", `27 refused group[0].service[0].unit: "-x" is not the name of a service`},
		{"service of runit", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"runit\"\nunit = \"/etc/sv/../x\"", `27 refused group[0].service[0].unit: "/etc/sv/../x" is not the name of a service`},
		{"driver nearly", `driver = "systemd"`, `driver = "openrcc"`, `26 refused group[0].service[0].driver: "openrcc" is not possible`},
		{"agent without provider", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"ocf\"\nunit = \"IPaddr2\"", `27 refused group[0].service[0].unit: "IPaddr2" is not an OCF agent`},
		{"params of another driver", `unit = "dnsmasq.service"`, "unit = \"x\"\nparams = { a = \"b\" }", `28 refused group[0].service[0].params: does not go with driver systemd`},
		{"params that are none", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"ocf\"\nunit = \"heartbeat:Dummy\"\nparams = [\"a\"]", `28 refused group[0].service[0].params: is an array, not a table of 64 parameters at most`},
		{"param that no shell reads", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"ocf\"\nunit = \"heartbeat:Dummy\"\n[group.service.params]\n\"a-b\" = \"x\"", `29 refused group[0].service[0].params.a-b: "a-b" is not the name of a parameter`},
		{"param of two lines", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"ocf\"\nunit = \"heartbeat:Dummy\"\n[group.service.params]\na = \"x\\ny\"", `29 refused group[0].service[0].params.a: text has a line end or a zero byte`},
		{"param that is a list", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"ocf\"\nunit = \"heartbeat:Dummy\"\nparams = { a = [1] }", `28 refused group[0].service[0].params.a: is an array, not text`},
		{"args of another driver", `unit = "dnsmasq.service"`, "unit = \"x\"\nargs = [\"b\"]", `28 refused group[0].service[0].args: does not go with driver systemd`},
		{"reload of an agent", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"ocf\"\nunit = \"heartbeat:Dummy\"\non_take = \"reload\"", `28 refused group[0].service[0].on_take: driver ocf cannot reload`},
		{"promote of a script", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"heartbeat\"\nunit = \"x\"\npromote = true", `28 refused group[0].service[0].promote: does not go with driver heartbeat`},
		{"heartbeat script", "driver = \"systemd\"\nunit = \"dnsmasq.service\"", "driver = \"heartbeat\"\nunit = \"a/b\"", `27 refused group[0].service[0].unit: "a/b" is not a script`},
		{"hasty check", `unit = "dnsmasq.service"`, "unit = \"x\"\ncheck_interval = \"50ms\"", `28 refused group[0].service[0].check_interval: 50ms is out of range`},
		{"service twice", `unit = "dnsmasq.service"`, "unit = \"a\"\n[[group.service]]\nname = \"dnsmasq\"\ndriver = \"sysv\"\nunit = \"b\"", `29 refused group[0].service[1].name: a second service is called "dnsmasq"`},
		{"fence text", `driver = "exec"`, "driver = \"exec\"\noff_text = \"on\"", `32 refused fence.device[0].off_text: "on" means on as well as off`},
		{"fence driver", `driver = "exec"`, `driver = "exce"`, `31 refused fence.device[0].driver: "exce" is not possible`},
		{"fence words", `["/bin/pdu", "off", "2"]`, `[]`, `32 refused fence.device[0].off.fw2: has 0 elements`},
		{"empty group", `addresses = ["192.0.2.1/24@eth0"]`, "[[group]]\nname = \"b\"", `21 refused group[0]: has neither addresses nor services`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := edit(t, tt.old, tt.new)
			_, problems := Parse("t.toml", []byte(src), "fw1")
			complete(t, src, problems)
			got := brief(problems)
			for _, g := range got {
				if g == tt.want {
					return
				}
			}
			t.Errorf("want %s\ngot  %s", tt.want, strings.Join(got, "\n     "))
		})
	}
}

func TestSeveralFaultsAreToldAtOnceInTheOrderOfTheirLines(t *testing.T) {
	src := strings.NewReplacer(
		`cluster = "office"`, `cluster = 1`,
		`boot_wait = "10s"`, `bet = "50ms"`,
		`unit = "dnsmasq.service"`, `unti = "x"`,
		`"192.0.2.1/24@eth0"`, `"192.0.2.300/24@eth0"`,
	).Replace(base)
	_, problems := Parse("t.toml", []byte(src), "fw1")
	complete(t, src, problems)
	want := []string{
		`1 refused cluster: is the number 1, not text in quotes`,
		`11 refused timing.bet: unknown key`,
		`23 refused group[0].addresses[0].ip: "192.0.2.300/24" is not an address with its prefix length`,
		`24 refused group[0].service[0]: lacks unit`,
		`27 refused group[0].service[0].unti: unknown key`,
	}
	if diff := cmp.Diff(want, brief(problems)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if hint := problems[1].Hint; hint != "did you mean beat?" {
		t.Errorf("hint %q", hint)
	}
}

func TestANodeThatIsNotFoundIsToldTheNames(t *testing.T) {
	_, problems := Parse("t.toml", []byte(base), "router")
	want := []string{`5 refused node: no node is called "router"`}
	if diff := cmp.Diff(want, brief(problems)); diff != "" {
		t.Fatalf("-want +got\n%s", diff)
	}
	if !strings.Contains(problems[0].Hint, "fw1 and fw2") {
		t.Errorf("hint %q", problems[0].Hint)
	}
}

func TestANodeWithADomainFindsItselfByItsFirstLabel(t *testing.T) {
	c, problems := Parse("t.toml", []byte(base), "fw2.example.org")
	if len(problems) != 0 || c.Me().Name != "fw2" || c.Peer().Name != "fw1" {
		t.Errorf("me %q, peer %q, problems %v", c.Me().Name, c.Peer().Name, problems)
	}
}

func TestWarningsDoNotRefuse(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"example", Example, `1 warning mode: no fence device: if all links are cut while both nodes live, only the VIP probe is left against two owners`},
		{"one link", edit(t, "[[link]]\ntype = \"unicast\"\ninterface = \"eth2\"\naddress = { fw1 = \"10.0.0.1\", fw2 = \"10.0.0.2\" }\n", ""), `13 warning link[0]: the only link`},
		{"lease", edit(t, `mode = "fence"`, `mode = "lease"`), `2 warning mode: mode lease: an active that is not acknowledged steps down, so a dead standby costs the service`},
		{"heartbeat cable", edit(t, `"192.0.2.1/24@eth0"`, `"192.0.2.1/24@eth2"`), `23 warning group[0].addresses[0]: 192.0.2.1 is on eth2, which seems to be the heartbeat cable of link 2`},
		{"all on the LAN", strings.Replace(edit(t, "[[link]]\ntype = \"serial\"\ndevice = { fw1 = \"/dev/ttyS0\", fw2 = \"/dev/ttyUSB0\" }\n", "[[link]]\ntype = \"multicast\"\ninterface = \"eth0.7\"\ngroup = \"ff02::4d:1\"\n"), `interface = "eth2"`, `interface = "eth0"`, 1), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Parse("t.toml", []byte(tt.src), "fw1")
			complete(t, tt.src, problems)
			if Refused(problems) {
				t.Errorf("refused: %v", problems)
			}
			if tt.want != "" && !strings.Contains(strings.Join(brief(problems), "\n"), tt.want) {
				t.Errorf("want %s\ngot  %s", tt.want, strings.Join(brief(problems), "\n     "))
			}
		})
	}
}

func TestSilenceOverTheLANAloneIsWarnedOf(t *testing.T) {
	src := strings.Replace(Example, "type = \"serial\"\ndevice = \"/dev/ttyS0\"", "type = \"multicast\"\ninterface = \"eth0.7\"\ngroup = \"239.255.77.2\"", 1)
	src = strings.Replace(src, `interface = "eth1"`, `interface = "eth0"`, 1)
	_, problems := Parse("t.toml", []byte(src), "fw1")
	if got := strings.Join(brief(problems), "\n"); Refused(problems) || !strings.Contains(got, "every link runs over an interface of the addresses") {
		t.Errorf("got %s", got)
	}
}

func TestDigestIsOfTheMeaningNotOfTheBytes(t *testing.T) {
	digestOf := func(src, node string) uint32 {
		c, problems := Parse("t.toml", []byte(src), node)
		if Refused(problems) {
			t.Fatal(problems)
		}
		return c.Digest
	}
	want := digestOf(base, "fw1")
	moved := edit(t, "cluster = \"office\"\nmode = \"fence\"\n", "# ours\nmode =   'fence' # why\n\ncluster = \"office\"\n")
	for name, got := range map[string]uint32{"other node": digestOf(base, "fw2"), "other layout": digestOf(moved, "fw1")} {
		if got != want {
			t.Errorf("%s: digest %08x, want %08x", name, got, want)
		}
	}
	for name, src := range map[string]string{
		"address": edit(t, "192.0.2.1/24", "192.0.2.2/24"),
		"order":   edit(t, `{ fw1 = "10.0.0.1", fw2 = "10.0.0.2" }`, `{ fw2 = "10.0.0.1", fw1 = "10.0.0.2" }`),
		"time":    edit(t, `boot_wait = "10s"`, `boot_wait = "11s"`),
	} {
		if digestOf(src, "fw1") == want {
			t.Errorf("%s: the digest did not change", name)
		}
	}
}

func TestLimitsAreRefusedNotExceeded(t *testing.T) {
	repeat := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, tt := range []struct{ name, src, want string }{
		{"links", base + repeat(9, "[[link]]\ntype = \"serial\"\ndevice = \"/dev/ttyS%d\"\n"), "11 links"},
		{"groups", base + repeat(9, "[[group]]\nname = \"g%d\"\naddresses = [\"192.0.2.9/24@eth0\"]\n"), "10 groups"},
		{"services", base + "[[group]]\nname = \"b\"\n" + repeat(65, "[[group.service]]\nname = \"s%d\"\ndriver = \"sysv\"\nunit = \"x\"\n"), "65 services"},
		{"addresses", base + "[[group]]\nname = \"b\"\naddresses = [" + repeat(4097, "\"fd00::%x/64@eth0\",\n") + "]\n", "4097 addresses"},
		{"size", base + strings.Repeat("#", maxFile), "is larger than"},
		{"depth of arrays", base + "x = " + strings.Repeat("[", 100_000), "nested deeper than"},
		{"depth of keys", base + strings.Repeat("x.", 100_000) + "x = 1", "nested deeper than"},
		{"problems", base + repeat(300, "x%d = 1\n"), "more problems are not shown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := Parse("t.toml", []byte(tt.src), "fw1")
			complete(t, tt.src, problems)
			if !Refused(problems) || !strings.Contains(strings.Join(brief(problems), "\n"), tt.want) {
				t.Errorf("want %q, got %v", tt.want, brief(problems))
			}
			if len(problems) > maxProblems+1 {
				t.Errorf("%d problems", len(problems))
			}
		})
	}
}

func TestAFullGroupOfAddressesIsAccepted(t *testing.T) {
	var b strings.Builder
	b.WriteString(base + "[[group]]\nname = \"b\"\naddresses = [\n")
	for i := range MaxAddresses {
		fmt.Fprintf(&b, "  \"fd00::%x/64@eth0\",\n", i+1)
	}
	b.WriteString("]\n")
	c, problems := Parse("t.toml", []byte(b.String()), "fw1")
	if len(problems) != 0 || len(c.Groups[1].VIP.Addresses) != MaxAddresses {
		t.Errorf("%d problems, first %v", len(problems), problems[:min(1, len(problems))])
	}
}

func TestMisplacedKeysAreToldWhereTheyBelong(t *testing.T) {
	_, problems := Parse("t.toml", []byte(edit(t, `profile = "default"`, `takeover = "1s"`)), "fw1")
	if len(problems) != 1 || problems[0].Hint != "it belongs to [timing]" {
		t.Errorf("got %v", problems)
	}
}

func TestServicesOfEveryDriverAreRead(t *testing.T) {
	src := edit(t, "driver = \"systemd\"\nunit = \"dnsmasq.service\"", `driver = "ocf"
unit = "ocf:heartbeat:Stateful"
stop_timeout = "9s"
promote = true
depth = 10
[group.service.params]
state = "/run/x"
port = 80
quiet = true
[[group.service]]
name = "hb"
driver = "heartbeat"
unit = "IPaddr2"
args = ["192.0.2.1/24/eth0"]
[[group.service]]
name = "sv"
driver = "runit"
unit = "/etc/service/x"
[[group.service]]
name = "any"
driver = "auto"
unit = "dnsmasq"
`)
	c, problems := Parse("t.toml", []byte(src), "fw1")
	if Refused(problems) {
		t.Fatal(problems)
	}
	s := c.Groups[0].Services
	if want := map[string]string{"state": "/run/x", "port": "80", "quiet": "true"}; !maps.Equal(s[0].Params, want) || s[0].ParamLines["port"] != 33 || s[0].Line != 26 {
		t.Errorf("params %v on lines %v, driver on %d", s[0].Params, s[0].ParamLines, s[0].Line)
	}
	if s[0].StartTimeout != 0 || s[0].StopTimeout != 9*time.Second || s[0].StatusTimeout != 0 || !s[0].Promote || s[0].Depth != 10 {
		t.Errorf("agent: %+v", s[0])
	}
	if !slices.Equal(s[1].Args, []string{"192.0.2.1/24/eth0"}) || s[1].StartTimeout != 20*time.Second {
		t.Errorf("script: %+v", s[1])
	}
}
