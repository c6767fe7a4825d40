package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pdu is a device that switches both nodes; withFence puts it into base.
const pdu = `[[fence.device]]
name = "pdu"
driver = "apc"
address = "192.0.2.20"
outlets = { fw1 = ["1", "fw1 PSU 2"], fw2 = ["3"] }
snmp_version = "1"
serial = "ZA1"
`

const bmc = `[[fence.device]]
name = "bmc"
driver = "ipmi"
address = { fw1 = "192.0.2.31", fw2 = "192.0.2.32:6230" }
user = "twinbeat"
`

const plug = `[[fence.device]]
name = "plug"
driver = "http"
outlets = { fw1 = ["1"], fw2 = ["1"] }
user = "a"
off_url = "/off"
status_url = "/get"
off_match = "/on=false"
on_match = "/on=true"
`

// withFence replaces the fence of base; its first line is 29.
func withFence(devices string) string {
	return base[:strings.Index(base, "[[fence.device]]")] + devices
}

func TestEveryFaultOfAFenceDeviceHasItsLineAndHint(t *testing.T) {
	for _, tt := range []struct{ name, devices, old, new, want string }{
		{"key of another driver", pdu, `serial = "ZA1"`, `cipher_suite = 3`, `35 refused fence.device[0].cipher_suite: does not go with driver apc`},
		{"program for a PDU", pdu, `serial = "ZA1"`, `status = { fw1 = ["/a"], fw2 = ["/b"] }`, `35 refused fence.device[0].status: does not go with driver apc`},
		{"outlets of a BMC", bmc, `user = "twinbeat"`, "user = \"a\"\noutlets = { fw1 = [\"1\"], fw2 = [\"2\"] }", `34 refused fence.device[0].outlets: does not go with driver ipmi`},
		{"no address", pdu, `address = "192.0.2.20"`, ``, `29 refused fence.device[0]: lacks address`},
		{"no outlets", pdu, `outlets = { fw1 = ["1", "fw1 PSU 2"], fw2 = ["3"] }`, ``, `29 refused fence.device[0]: lacks outlets`},
		{"no host key", bmc, `driver = "ipmi"`, `driver = "racadm"`, `29 refused fence.device[0]: lacks host_key`},
		{"outlets of one node", pdu, `, fw2 = ["3"]`, ``, `33 refused fence.device[0].outlets: lacks node fw2`},
		{"a number for an outlet", pdu, `fw2 = ["3"]`, `fw2 = [3]`, `33 refused fence.device[0].outlets.fw2[0]: is the number 3, not text`},
		{"an outlet without quotes around the list", pdu, `fw2 = ["3"]`, `fw2 = "3"`, `33 refused fence.device[0].outlets.fw2: is text, not an array of text`},
		{"empty outlet", pdu, `fw2 = ["3"]`, `fw2 = [" "]`, `33 refused fence.device[0].outlets.fw2[0]: is empty`},
		{"outlet of both", pdu, `fw2 = ["3"]`, `fw2 = ["1"]`, `33 refused fence.device[0].outlets.fw2[0]: outlet "1" feeds both nodes`},
		{"outlet of both by another device", pdu + strings.Replace(pdu, `"pdu"`, `"again"`, 1), "x", "x", ``},
		{"outlet twice", pdu, `"fw1 PSU 2"`, `"1"`, `33 refused fence.device[0].outlets.fw1[1]: outlet "1" is here a second time`},
		{"too many outlets", pdu, `fw2 = ["3"]`, `fw2 = ["3","4","5","6","7","8","9","10","11"]`, `33 refused fence.device[0].outlets.fw2: has 9 elements`},
		{"nobody feeds a node", pdu, `fw2 = ["3"]`, `fw2 = []`, `29 refused fence.device: nothing switches fw2 off`},
		{"names and outlets", pdu, `serial = "ZA1"`, `outlet_names = { fw1 = ["a"], fw2 = ["b"] }`, `35 refused fence.device[0].outlet_names.fw1: has 1 names for 2 outlets`},
		{"address", pdu, `"192.0.2.20"`, `"192.0.2.20:http"`, `32 refused fence.device[0].address: "192.0.2.20:http" is not possible`},
		{"URL for SNMP", pdu, `"192.0.2.20"`, `"https://192.0.2.20"`, `32 refused fence.device[0].address: "https://192.0.2.20" is not possible`},
		{"one BMC for both", bmc, `{ fw1 = "192.0.2.31", fw2 = "192.0.2.32:6230" }`, `"192.0.2.31"`, `32 refused fence.device[0].address: both nodes have 192.0.2.31`},
		{"cipher suite", bmc, `user = "twinbeat"`, "user = \"a\"\ncipher_suite = 8", `34 refused fence.device[0].cipher_suite: 8 is not possible`},
		{"cipher suite without a password", bmc, `user = "twinbeat"`, "user = \"a\"\ncipher_suite = 0", `34 refused fence.device[0].cipher_suite: 0 is out of range`},
		{"user of SNMP 1", pdu, `serial = "ZA1"`, `user = "a"`, `35 refused fence.device[0].user: does not go with SNMP version 1`},
		{"SNMP 3 without a user", pdu, `snmp_version = "1"`, `snmp_version = "3"`, `34 refused fence.device[0].snmp_version: version 3 has no user`},
		{"community of SNMP 3", pdu, `snmp_version = "1"`, "user = \"a\"\ncommunity_file = \"/x\"", `35 refused fence.device[0].community_file: does not go with SNMP version 3`},
		{"SNMP 2", pdu, `snmp_version = "1"`, `snmp_version = "2"`, `34 refused fence.device[0].snmp_version: "2" is not possible`},
		{"relative secret", pdu, `serial = "ZA1"`, `community_file = "secret"`, `35 refused fence.device[0].community_file: "secret" is not a full path`},
		{"a secret in the file", pdu, `serial = "ZA1"`, `community = "s3cret"`, `35 refused fence.device[0].community: a secret stands where others read it`},
		{"two communities", pdu, `serial = "ZA1"`, "community = \"private\"\ncommunity_file = \"/x\"", `35 refused fence.device[0].community: stands beside community_file`},
		{"a password in the file", bmc, `user = "twinbeat"`, "user = \"a\"\npassword = \"b\"", `34 refused fence.device[0].password: unknown key`},
		{"object id", pdu, `serial = "ZA1"`, `object_id = "apc"`, `35 refused fence.device[0].object_id: "apc" is not an object identifier`},
		{"level", pdu, `serial = "ZA1"`, `level = 5`, `35 refused fence.device[0].level: 5 is out of range`},
		{"no level 1", pdu, `serial = "ZA1"`, `level = 2`, `29 refused fence.device: no device has level 1, although one has level 2`},
		{"hold-up of a level", pdu + bmc, `user = "twinbeat"`, "user = \"a\"\nlevel = 2\nholdup = \"10s\"", `42 refused fence.device[1].holdup: share of level 2 in fence_time 20s, 10s is shorter than holdup of bmc 10s + two readings 550ms + reserve 15ms = 10.565s`},
		{"ssh alone", strings.NewReplacer(`"ipmi"`, `"ssh"`, `user = "twinbeat"`, "user = \"a\"\nhost_key = \"ssh-ed25519 AAAAx\"").Replace(bmc), "x", "x", `29 refused fence.device[0]: ssh is the only way, and proves nothing: no takeover could rest on it`},
		{"ssh beside a PDU", pdu + strings.NewReplacer(`"ipmi"`, `"ssh"`, `user = "twinbeat"`, "user = \"a\"\nhost_key = \"ssh-ed25519 AAAAx\"").Replace(bmc), "x", "x", `36 refused fence.device[1].level: ssh proves nothing, so the whole level could not`},
		{"host key", strings.NewReplacer(`"ipmi"`, `"racadm"`).Replace(bmc), `user = "twinbeat"`, "user = \"a\"\nhost_key = \"SHA256:abc\"", `34 refused fence.device[0].host_key: "SHA256:abc" is not possible`},
		{"fingerprint", strings.NewReplacer(`"ipmi"`, `"redfish"`).Replace(bmc), `user = "twinbeat"`, "user = \"a\"\ntls_fingerprint = \"abcd\"", `34 refused fence.device[0].tls_fingerprint: "abcd" is not possible`},
		{"insecure although a certificate is named", strings.NewReplacer(`"ipmi"`, `"redfish"`).Replace(bmc), `user = "twinbeat"`, "user = \"a\"\ninsecure = true\nca_file = \"/x\"", `34 refused fence.device[0].insecure: any certificate is accepted, although one is named`},
		{"option of an agent", "[[fence.device]]\nname = \"a\"\ndriver = \"agent\"\nagent = \"/usr/sbin/fence_x\"\nagent_options = { password = \"p\" }\n", "x", "x", `33 refused fence.device[0].agent_options.password: is not for agent_options`},
		{"number for an option", "[[fence.device]]\nname = \"a\"\ndriver = \"agent\"\nagent = \"/usr/sbin/fence_x\"\nagent_options = { retry = 3 }\n", "x", "x", `33 refused fence.device[0].agent_options.retry: is the number 3, not text in quotes`},
		{"generic HTTP without a host", plug, "x", "x", `34 refused fence.device[0].off_url: says no host`},
		{"one URL for both nodes", strings.ReplaceAll(plug, `"/`, `"http://192.0.2.40/`), "x", "x", `32 refused fence.device[0].outlets.fw2[0]: outlet "1" feeds both nodes`},
		{"the same answer for both", plug, `"/on=true"`, `"/on=false"`, `36 refused fence.device[0].off_match: "/on=false" means on as well as off`},
		{"not a URL", plug, `"/off"`, `"ftp://x/off"`, `34 refused fence.device[0].off_url: "ftp://x/off" is not a URL`},
		{"budget", "[fence]\nbudget = -1\n" + pdu, "x", "x", `30 refused fence.budget: -1 is out of range`},
		{"repower", pdu, `serial = "ZA1"`, `repower = "always"`, `35 refused fence.device[0].repower: "always" is not possible`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.old != "x" && strings.Count(tt.devices, tt.old) != 1 {
				t.Fatalf("%q is there %d times", tt.old, strings.Count(tt.devices, tt.old))
			}
			src := withFence(strings.Replace(tt.devices, tt.old, tt.new, 1))
			_, problems := Parse("t.toml", []byte(src), "fw1")
			complete(t, src, problems)
			got := strings.Join(brief(problems), "\n")
			if !strings.Contains("\n"+got+"\n", "\n"+tt.want+"\n") && (tt.want != "" || Refused(problems)) {
				t.Errorf("want %s\ngot  %s", tt.want, got)
			}
		})
	}
}

func TestEachNodeSeesWhatSwitchesItsPeerOff(t *testing.T) {
	src := withFence(pdu + strings.Replace(bmc, `user =`, "level = 2\nuser =", 1))
	for node, want := range map[string][]string{"fw1": {"3", "192.0.2.32:6230"}, "fw2": {"1,fw1 PSU 2", "192.0.2.31"}} {
		c, problems := Parse("t.toml", []byte(src), node)
		if len(problems) != 0 {
			t.Fatal(problems)
		}
		pdu, bmc := c.Fence.Devices[0], c.Fence.Devices[1]
		if diff := cmp.Diff(want, []string{strings.Join(pdu.Outlets, ","), bmc.Address}); diff != "" {
			t.Errorf("%s: -want +got\n%s", node, diff)
		}
		if pdu.Address != "192.0.2.20" || pdu.Pin.Serial != "ZA1" || pdu.Timeout != 5*time.Second || bmc.Level != 2 || c.Timing.FenceTime != 20*time.Second || c.Timing.Race != 21300*time.Millisecond {
			t.Errorf("%s: %+v, %+v, fence time %v, race %v", node, pdu, bmc, c.Timing.FenceTime, c.Timing.Race)
		}
	}
}

func TestADeviceThatDoesNotFeedThePeerIsIdle(t *testing.T) {
	second := strings.NewReplacer(`"pdu"`, `"pdu-b"`, `192.0.2.20`, `192.0.2.21`, `fw2 = ["3"]`, `fw2 = []`).Replace(pdu)
	for node, want := range map[string]bool{"fw1": true, "fw2": false} {
		c, problems := Parse("t.toml", []byte(withFence(pdu+second)), node)
		if len(problems) != 0 {
			t.Fatal(problems)
		}
		if c.Fence.Devices[0].Idle || c.Fence.Devices[1].Idle != want {
			t.Errorf("%s: idle %v and %v", node, c.Fence.Devices[0].Idle, c.Fence.Devices[1].Idle)
		}
	}
}

func TestWhatAFenceBelievesIsWarnedOf(t *testing.T) {
	redfish := strings.Replace(bmc, `"ipmi"`, `"redfish"`, 1)
	for _, tt := range []struct{ name, devices, want string }{
		{"no pin", strings.Replace(pdu, "serial = \"ZA1\"\n", "", 1), `29 warning fence.device[0]: is not pinned`},
		{"insecure", pdu + redfish + "insecure = true\n", `41 warning fence.device[1].insecure: whoever is between this node and the device`},
		{"BMC alone", "[fence]\n" + bmc, `29 warning fence: every device shares the power of the box`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := withFence(tt.devices)
			_, problems := Parse("t.toml", []byte(src), "fw1")
			complete(t, src, problems)
			if got := strings.Join(brief(problems), "\n"); Refused(problems) || !strings.Contains(got, tt.want) {
				t.Errorf("want %s\ngot  %s", tt.want, got)
			}
		})
	}
}

func TestEveryDriverHasItsRuleAndEveryRuleItsKeys(t *testing.T) {
	known := children("fence.device")
	used := map[string]bool{}
	for _, driver := range fenceDrivers {
		rule, ok := fenceByDriver[driver]
		if !ok {
			t.Errorf("driver %s has no rule", driver)
		}
		for name := range strings.FieldsSeq(fenceCommon + " " + rule.needs + " " + rule.takes) {
			used[name] = true
		}
	}
	if len(fenceByDriver) != len(fenceDrivers) {
		t.Errorf("%d rules for %d drivers", len(fenceByDriver), len(fenceDrivers))
	}
	for _, name := range known {
		if !used[name] {
			t.Errorf("no driver takes %s", name)
		}
		delete(used, name)
	}
	for name := range used {
		t.Errorf("a rule names %s, which is no key", name)
	}
}

// The levels of package fence: each but the last may take half of what is left.
func TestTheSharesOfTheLevelsFitIntoTheWhole(t *testing.T) {
	for levels := 1; levels <= maxFenceLevels; levels++ {
		whole := defaultFenceTime(&Fence{Devices: []FenceDevice{{Level: levels}}})
		left := whole
		for level := 1; level <= levels; level++ {
			share := left
			if level < levels {
				share /= 2
			}
			left -= share
			if got := whole / levelShare(level, levels); got != share || share < levelTime {
				t.Errorf("level %d of %d has %v of %v, we say %v", level, levels, share, whole, got)
			}
		}
	}
}

func TestAProgramOfFenceAgentsHasTheTimeThatItTakes(t *testing.T) {
	agent := "[[fence.device]]\nname = \"a\"\ndriver = \"agent\"\nagent = \"/usr/sbin/fence_x\"\naddress = \"192.0.2.9\"\noutlets = { fw1 = [\"1\"], fw2 = [\"2\"] }\n"
	for src, want := range map[string]time.Duration{agent: 40 * time.Second, pdu + agent + "level = 2\n": 80 * time.Second} {
		c, problems := Parse("t.toml", []byte(withFence(src)), "fw1")
		if Refused(problems) || c.Timing.FenceTime != want {
			t.Errorf("fence time %v, want %v; %v", c.Timing.FenceTime, want, problems)
		}
	}
}

func TestADeviceOfACommandLineKeepsTheSameRules(t *testing.T) {
	both := func(v any) map[string]any { return map[string]any{"peer": v, "self": v} }
	d, problems := ParseDevice(map[string]any{
		"name": "pdu", "driver": "apc", "address": "192.0.2.20:1161", "outlets": both([]any{"3", "7"}), "snmp_version": "2c", "timeout": "2s",
	})
	if len(problems) != 0 || d.Address != "192.0.2.20:1161" || len(d.Outlets) != 2 || d.SNMPVersion != "2c" || d.Timeout != 2*time.Second {
		t.Errorf("%+v, %v", d, problems)
	}
	_, problems = ParseDevice(map[string]any{"name": "bmc", "driver": "ipmi", "address": "192.0.2.20", "user": "a", "snmp_version": "1"})
	if len(problems) != 1 || problems[0].Key != "snmp_version" || problems[0].Text != "does not go with driver ipmi" {
		t.Errorf("%v", problems)
	}
	_, problems = ParseDevice(map[string]any{"name": "bmc", "driver": "ipmi", "user": "a"})
	if len(problems) != 1 || problems[0].Text != "lacks address" {
		t.Errorf("%v", problems)
	}
}

func TestAddressesOfDevicesMayHaveAPort(t *testing.T) {
	for s, want := range map[string]bool{
		"192.0.2.20": true, "192.0.2.20:161": true, "pdu.example.org": true, "pdu:1161": true, "2001:db8::20": true, "[2001:db8::20]:161": true, "[2001:db8::20]": true, "fe80::1%eth0": true,
		"": false, "192.0.2.20:": false, "192.0.2.20:0": false, "192.0.2.20:65536": false, "[192.0.2.20]:161": false, "[2001:db8::20:161": false, "a b": false, "2001:db8::g": false, "-x": false,
		"user@host": false, "host/path": false,
	} {
		if _, got := isFenceAddress(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
		if _, got := isFenceURL("https://" + s); got != want {
			t.Errorf("https://%q: %v", s, got)
		}
	}
	if _, ok := isFenceURL("ftp://192.0.2.20"); ok {
		t.Error("ftp is taken")
	}
}
