package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// second is base with a further group.
const secondGroup = base + `
[[group]]
name = "dmz"
addresses = ["198.51.100.1/24@eth1"]
`

// judged tells what a reload from one file to another would be, a line each.
func judged(t *testing.T, before, after string) []string {
	t.Helper()
	var both [2]Config
	for i, text := range []string{before, after} {
		c, problems := Parse("x.toml", []byte(text), "fw1")
		if Refused(problems) {
			t.Fatalf("%v", problems)
		}
		both[i] = c
	}
	changes, err := Diff([]byte(before), []byte(after))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, j := range Judge(changes, both[0], both[1]) {
		if j.Why == "" {
			t.Errorf("%s: no reason", j.Key)
		}
		out = append(out, fmt.Sprintf("%s: %s -> %s: %v", j.Key, j.Old, j.New, j.Effect))
	}
	return out
}

func TestEveryChangeIsJudged(t *testing.T) {
	const address = `addresses = ["192.0.2.1/24@eth0"]`
	const service = "unit = \"dnsmasq.service\"\n"
	for name, c := range map[string]struct {
		before, old, new string // before: base if empty
		want             []string
	}{
		"nothing but layout": {old: "\n[[node]]", new: "\n# two boxes\n\n[[node]]"},
		"an address comes": {old: address, new: `addresses = ["192.0.2.1/24@eth0", "192.0.2.9/24@eth0"]`, want: []string{
			`group[gateway].addresses:  -> "192.0.2.9/24@eth0": live`,
		}},
		"an address changes its length": {old: address, new: `addresses = ["192.0.2.1/25@eth0"]`, want: []string{
			`group[gateway].addresses: "192.0.2.1/24@eth0" -> : live`,
			`group[gateway].addresses:  -> "192.0.2.1/25@eth0": live`,
		}},
		"a route": {old: address, new: address + "\nroutes = [{ to = \"default\", via = \"192.0.2.254\", dev = \"eth0\" }]", want: []string{
			`group[gateway].routes:  -> { dev = "eth0", to = "default", via = "192.0.2.254" }: live`,
		}},
		"announcements": {old: address, new: address + "\nannounce.count = 7", want: []string{
			`group[gateway].announce.count:  -> 7: live`,
		}},
		"a service changes": {old: service, new: "unit = \"named.service\"\ncheck_interval = \"9s\"\n", want: []string{
			`group[gateway].service[dnsmasq].check_interval:  -> "9s": live`,
			`group[gateway].service[dnsmasq].unit: "dnsmasq.service" -> "named.service": live`,
		}},
		"a service comes": {old: service, new: service + "[[group.service]]\nname = \"web\"\ndriver = \"systemd\"\nunit = \"web.service\"\n", want: []string{
			`group[gateway].service[web].driver:  -> "systemd": live`,
			`group[gateway].service[web].name:  -> "web": live`,
			`group[gateway].service[web].unit:  -> "web.service": live`,
		}},
		"the last service goes": {old: "[[group.service]]\nname = \"dnsmasq\"\ndriver = \"systemd\"\n" + service, want: []string{
			`group[gateway].service[dnsmasq].driver: "systemd" -> : live`,
			`group[gateway].service[dnsmasq].name: "dnsmasq" -> : live`,
			`group[gateway].service[dnsmasq].unit: "dnsmasq.service" -> : live`,
			`group[gateway].service: 1 -> 0: restart`,
			`group[gateway].service.on_stop_failure: true -> false: restart`,
		}},
		"a fence device": {old: "driver = \"exec\"\n", new: "driver = \"exec\"\nholdup = \"7s\"\n", want: []string{
			`fence.device[pdu].holdup:  -> "7s": live`,
		}},
		"a fence that takes longer": {old: "[[fence.device]]\n", new: "[[fence.device]]\nname = \"bmc\"\nlevel = 2\ndriver = \"exec\"\n" +
			"off = { fw1 = [\"/bin/bmc\", \"off\"], fw2 = [\"/bin/bmc\"] }\nstatus = { fw1 = [\"/bin/bmc\"], fw2 = [\"/bin/bmc\"] }\n[[fence.device]]\n", want: []string{
			`fence.device[bmc].driver:  -> "exec": live`,
			`fence.device[bmc].level:  -> 2: live`,
			`fence.device[bmc].name:  -> "bmc": live`,
			`fence.device[bmc].off:  -> { fw1 = ["/bin/bmc", "off"], fw2 = ["/bin/bmc"] }: live`,
			`fence.device[bmc].status:  -> { fw1 = ["/bin/bmc"], fw2 = ["/bin/bmc"] }: live`,
			`timing: fence_time 10s, race 11.3s -> fence_time 20s, race 21.3s: restart`,
		}},
		"a monitor comes": {old: "[timing]", new: "[[monitor]]\nname = \"m\"\ntype = \"process\"\nprocess = \"x\"\n[timing]", want: []string{
			`monitor[m].name:  -> "m": live`, `monitor[m].process:  -> "x": live`, `monitor[m].type:  -> "process": live`,
		}},
		"sensors":     {old: "[timing]", new: "[sensors]\n[timing]", want: []string{`sensors:  -> [sensors]: live`}},
		"health":      {old: "[timing]", new: "[health]\nhold = \"9s\"\n[timing]", want: []string{`health.hold:  -> "9s": restart`}},
		"timing":      {old: "boot_wait = \"10s\"", new: "boot_wait = \"11s\"", want: []string{`timing.boot_wait: "10s" -> "11s": restart`}},
		"mode":        {old: `mode = "fence"`, new: `mode = "silence"`, want: []string{`mode: "fence" -> "silence": restart`}},
		"failback":    {old: address, new: address + "\nfailback = \"auto\"", want: []string{`group[gateway].failback:  -> "auto": restart`}},
		"one link":    {old: `"/dev/ttyS0"`, new: `"/dev/ttyS1"`, want: []string{`link[0].device: { fw1 = "/dev/ttyS0", fw2 = "/dev/ttyUSB0" } -> { fw1 = "/dev/ttyS1", fw2 = "/dev/ttyUSB0" }: restart`}},
		"the cluster": {old: `"office"`, new: `"attic"`, want: []string{`cluster: "office" -> "attic": stop both`}},
		"a node": {old: "[[node]]\nname = \"fw2\"", new: "[[node]]\nname = \"fw3\"", want: []string{
			`node[fw2].name: "fw2" -> : stop both`, `node[fw3].name:  -> "fw3": stop both`,
		}},
		"a watchdog": {old: "[timing]", new: "[watchdog]\n[timing]", want: []string{`watchdog:  -> [watchdog]: restart`}},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.before
			if before == "" {
				before = base
			}
			after := strings.Replace(before, c.old, c.new, 1)
			if name == "a node" { // each node's name stands elsewhere, too
				after = strings.ReplaceAll(after, "fw2", "fw3")
			}
			got := judged(t, before, after)
			if name == "a node" {
				got = got[len(got)-2:]
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestGroupsKeepTheirPlaces(t *testing.T) {
	swapped := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(secondGroup, `"gateway"`, `"x"`), `"dmz"`, `"gateway"`), `"x"`, `"dmz"`)
	moved := strings.Replace(strings.Replace(secondGroup, `["192.0.2.1/24@eth0"]`, `["192.0.2.2/24@eth0"]`, 1),
		`["198.51.100.1/24@eth1"]`, `["198.51.100.1/24@eth1", "192.0.2.1/24@eth0"]`, 1)
	for name, c := range map[string]struct {
		before, after string
		worst         Effect
	}{
		"another group at the end":      {base, secondGroup, Restart},
		"the last group goes":           {secondGroup, base, Restart},
		"another order":                 {secondGroup, swapped, Both},
		"another name":                  {base, strings.Replace(base, `"gateway"`, `"router"`, 1), Both},
		"an address changes its group":  {secondGroup, moved, Both},
		"an address of the other group": {secondGroup, strings.Replace(secondGroup, "198.51.100.1/", "198.51.100.2/", 1), Live},
	} {
		got := judged(t, c.before, c.after)
		worst := ""
		for _, e := range []Effect{Live, Restart, Both} {
			for _, line := range got {
				if strings.HasSuffix(line, ": "+e.String()) {
					worst = e.String()
				}
			}
		}
		if worst != c.worst.String() {
			t.Errorf("%s: %s, want %s:\n%s", name, worst, c.worst, strings.Join(got, "\n"))
		}
	}
}

func TestNodesThatCouldNotHearEachOtherMustNotRunTogether(t *testing.T) {
	one := strings.Replace(base, "[[link]]\ntype = \"serial\"\ndevice = { fw1 = \"/dev/ttyS0\", fw2 = \"/dev/ttyUSB0\" }\n", "", 1)
	got := judged(t, one, strings.Replace(one, "interface = \"eth2\"", "interface = \"eth2\"\nport = 6941", 1))
	if len(got) != 1 || !strings.HasSuffix(got[0], ": stop both") {
		t.Errorf("the only link changed: %v", got)
	}
	// A link before another takes its place away.
	got = judged(t, base, strings.Replace(base, "[[link]]\ntype = \"serial\"", "[[link]]\ntype = \"multicast\"\ninterface = \"eth3\"\ngroup = \"239.1.1.1\"\n[[link]]\ntype = \"serial\"", 1))
	if !strings.Contains(strings.Join(got, "\n"), "stop both") {
		t.Errorf("every link moved: %v", got)
	}
}

// A key that nobody has thought of asks for a restart.
func TestAnUnknownKeyAsksForARestart(t *testing.T) {
	for _, k := range keys {
		if e, why := effectOf(k.path); e == 0 || why == "" {
			t.Errorf("%s: %v %q", k.path, e, why)
		}
	}
	if e, _ := effectOf("sensor.chip"); e != Restart {
		t.Errorf("got %v", e)
	}
	for _, row := range effects {
		if rules[row.rule] == nil {
			t.Errorf("%s is no key", row.rule)
		}
	}
}
