package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twinbeat/twinbeat/fence"
	"github.com/twinbeat/twinbeat/fence/fencetest"
)

// contract is a program that keeps the contract: outlets are files, what it is
// given is written down, and the file "say" takes over what status says.
const contract = `#!/bin/sh
dir=$(dirname "$0")
[ $# -gt 0 ] && echo "arguments: $*" >>"$dir/given"
while read -r l; do
  echo "$l" >>"$dir/given"
  case $l in
  action=*) action=${l#action=} ;;
  plug=*) plug=${l#plug=} ;;
  esac
done
echo "--" >>"$dir/given"
case $action in
metadata) cat "$dir/metadata" ;;
status)
  [ -e "$dir/say" ] && exec sh "$dir/say"
  if [ "$(cat "$dir/outlet-$plug")" = off ]; then echo "Status: OFF"; exit 2; fi
  echo "Status: ON" ;;
off|on)
  [ -e "$dir/do" ] && exec sh "$dir/do"
  echo "$action" >"$dir/outlet-$plug"; echo "Success: Powered" ;;
list-status) echo "1,Firewall 1, PSU 1,ON"; echo "2,Firewall 2,OFF"; echo "3,Odd,UNKNOWN"; echo "N/A" ;;
*) echo "bad action $action" >&2; exit 1 ;;
esac
`

const contractMetadata = `<?xml version="1.0" ?>
<resource-agent name="fence_contract" shortdesc="a &lt;parameter name=&quot;no&quot;&gt;" >
<parameters>
	<parameter name="action" unique="0" required="1"><content type="string" default="reboot" /></parameter>
	<parameter name="ip" unique="0" required="1" obsoletes="ipaddr"></parameter>
	<parameter name="ipaddr" unique="0" required="1" deprecated="1"></parameter>
	<parameter name="ipport" unique="0" required="0"></parameter>
	<parameter name="username" unique="0" required="1" obsoletes="login"></parameter>
	<parameter name="password" unique="0" required="0" obsoletes="passwd"></parameter>
	<parameter name="plug" unique="0" required="1" obsoletes="port"></parameter>
	<parameter name="snmp_version" unique="0" required="0"></parameter>
</parameters>
<actions>
	<action name="on" automatic="0"/>
	<action name="off" />
	<action name="status" />
	<action name="list" />
	<action name="list-status" />
	<action name="metadata" />
</actions>
</resource-agent>
`

// agentDir is a folder with the program and what it remembers.
type agentDir struct {
	t   *testing.T
	dir string
}

func newAgentDir(t *testing.T) agentDir {
	d := agentDir{t, t.TempDir()}
	d.write("fence_contract", contract)
	d.write("metadata", contractMetadata)
	d.write("outlet-1", "on\n")
	d.write("outlet-2", "on\n")
	return d
}

func (d agentDir) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o700); err != nil {
		d.t.Fatal(err)
	}
}

func (d agentDir) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(d.dir, name))
	return strings.TrimSpace(string(b))
}

func (d agentDir) config() AgentConfig {
	return AgentConfig{
		Name: "pdu", Program: d.dir + "/fence_contract", Address: "192.0.2.7:1161", User: "apc", Password: "se cret",
		Options: map[string]string{"snmp-version": "1"}, Timeout: 10 * time.Second,
	}
}

func (d agentDir) outlet(selector string, edit func(*AgentConfig)) fence.Switch {
	d.t.Helper()
	c := d.config()
	if edit != nil {
		edit(&c)
	}
	u, err := NewAgent(c)
	if err != nil {
		d.t.Fatal(err)
	}
	s, err := u.Outlet(selector)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func TestAnAgentIsSpokenToOnStandardInputAlone(t *testing.T) {
	d := newAgentDir(t)
	s := d.outlet("1", nil)
	if err := s.SwitchOff(t.Context()); err != nil || d.read("outlet-1") != "off" || d.read("outlet-2") != "on" {
		t.Fatalf("off: %v, outlets %q %q", err, d.read("outlet-1"), d.read("outlet-2"))
	}
	if r, err := s.Read(t.Context()); err != nil || r.Power != fence.PowerOff {
		t.Errorf("read %+v, %v", r, err)
	}
	if err := s.SwitchOn(t.Context()); err != nil || d.read("outlet-1") != "on" {
		t.Errorf("on: %v", err)
	}
	if r, err := s.Read(t.Context()); err != nil || r.Power != fence.PowerOn {
		t.Errorf("read %+v, %v", r, err)
	}
	rest := "\nplug=1\nip=192.0.2.7\nipport=1161\npassword=se cret\nsnmp_version=1\nusername=apc\n--\naction="
	want := "action=metadata\n--\naction=off" + rest + "status" + rest + "on" + rest + "status" + strings.TrimSuffix(rest, "\naction=")
	if got := d.read("given"); got != want {
		t.Errorf("given\n%s\nwant\n%s", got, want)
	}
}

func TestOffOfAnAgentIsProvenByItsStatusAlone(t *testing.T) {
	d := newAgentDir(t)
	device, err := fence.New(d.outlet("2", nil), fence.Timing{})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := device.Off(t.Context())
	if err != nil || !proof.Proven || d.read("outlet-2") != "off" || !strings.Contains(proof.Evidence, "of fence_contract") {
		t.Errorf("proof %+v, %v", proof, err)
	}
	// Success of off, and status goes on to say on.
	d.write("outlet-2", "on\n")
	d.write("do", `echo "Success: Powered OFF"`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if proof, err := device.Off(ctx); proof.Proven || !errors.Is(err, fence.ErrUnproven) {
		t.Errorf("proof %+v, %v", proof, err)
	}
}

func TestCodeAndTextOfAStatusMustAgree(t *testing.T) {
	cases := []struct {
		say  string
		want fence.Power
	}{
		{`echo "Status: OFF"; exit 2`, fence.PowerOff},
		{`echo "Status: ON"; exit 0`, fence.PowerOn},
		{`echo "warning" >&2; echo; echo " Status: OFF "; exit 2`, fence.PowerOff},
		{`exit 2`, fence.PowerUnknown}, // bad arguments, or an interpreter without its program
		{`exit 0`, fence.PowerUnknown},
		{`exec sh /no/such/program`, fence.PowerUnknown},
		{`exec python3 /no/such/program`, fence.PowerUnknown},
		{`echo "Status: OFF"; exit 0`, fence.PowerUnknown},
		{`echo "Status: OFF"; exit 1`, fence.PowerUnknown},
		{`echo "Status: ON"; exit 2`, fence.PowerUnknown},
		{`echo "Status: off"; exit 2`, fence.PowerUnknown},
		{`echo "Status: OFFLINE"; exit 2`, fence.PowerUnknown},
		{`echo "Status: OFF"; echo "Status: ON"; exit 2`, fence.PowerUnknown},
		{`echo "Status: OFF"; echo "Status: OFF"; exit 2`, fence.PowerUnknown},
		{`echo "Status: OFF" >&2; exit 2`, fence.PowerUnknown},
		{`echo "Success: Already OFF"; exit 2`, fence.PowerUnknown},
		{`head -c 20000 /dev/zero | tr '\0' x; echo; echo "Status: OFF"; exit 2`, fence.PowerUnknown}, // the end alone
		{`kill -9 $$`, fence.PowerUnknown},
		{`sleep 60`, fence.PowerUnknown},
	}
	for _, c := range cases {
		d := newAgentDir(t)
		d.write("say", c.say)
		s := d.outlet("1", func(c *AgentConfig) { c.Timeout = 2 * time.Second })
		r, err := s.Read(t.Context())
		if r.Power != c.want || (err != nil) != (c.want == fence.PowerUnknown) {
			t.Errorf("%s: %+v, %v; want %v", c.say, r, err, c.want)
		}
	}
}

func TestOptionsAreHeldAgainstTheMetadata(t *testing.T) {
	long := "\n" + strings.Repeat("<longdesc>text</longdesc>\n", 600) // more than is kept of other output
	cases := []struct {
		name, metadata string
		edit           func(*AgentConfig)
		want           string
	}{
		{"good", contractMetadata, nil, ""},
		{"long", strings.Replace(contractMetadata, "<parameters>", long+"<parameters>", 1), nil, ""},
		{"by the old name", contractMetadata, func(c *AgentConfig) { c.User, c.Options = "", map[string]string{"login": "apc"} }, "no option \"login\""},
		{"unknown", contractMetadata, func(c *AgentConfig) { c.Options = map[string]string{"ipadr": "x"} }, "there is no option \"ipadr\"; there are: action, ip, ipport"},
		{"needed", contractMetadata, func(c *AgentConfig) { c.User = "" }, "option \"username\" is needed"},
		{"none for a password", strings.ReplaceAll(contractMetadata, "password", "pin"), nil, "no option \"password\""},
		{"no status", strings.Replace(contractMetadata, `<action name="status" />`, "", 1), nil, "no action \"status\", so off could not be proven"},
		{"empty", "", nil, "it names no actions"},
		{"no end", `<action name="off`, nil, "it names no actions"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newAgentDir(t)
			d.write("metadata", c.metadata)
			_, err := d.outlet("1", c.edit).Read(t.Context())
			if c.want == "" && err != nil || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestAnOutletIsGivenAlone(t *testing.T) {
	d := newAgentDir(t)
	u, err := NewAgent(d.config())
	if err != nil {
		t.Fatal(err)
	}
	for _, selector := range []string{"1,2", ",", "1\nplug=2", "1\r"} {
		if s, err := u.Outlet(selector); err == nil {
			t.Errorf("outlet %q is %s", selector, s.Name())
		}
	}
	if err := d.outlet("", nil).SwitchOff(t.Context()); err == nil || !strings.Contains(err.Error(), "needs an outlet") {
		t.Errorf("no outlet: %v", err)
	}
	d.write("metadata", strings.ReplaceAll(contractMetadata, `"plug"`, `"other"`))
	if err := d.outlet("1", nil).SwitchOff(t.Context()); err == nil || strings.Contains(d.read("given"), "action=off") {
		t.Errorf("an outlet that the program does not take: %v", err)
	}
}

func TestSecretsAreBlottedOutOfWhatAnAgentSays(t *testing.T) {
	d := newAgentDir(t)
	d.write("do", `echo "cannot log in with se cret and hush-hush" >&2; exit 1`)
	d.write("metadata", strings.ReplaceAll(contractMetadata, "snmp_version", "community"))
	s := d.outlet("1", func(c *AgentConfig) { c.Options = map[string]string{"community": "hush-hush"} })
	err := s.SwitchOff(t.Context())
	if want := "off: exit code 1: cannot log in with *** and ***"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	d.write("do", `echo "se cret" >&2; sleep 60`)
	s = d.outlet("1", func(c *AgentConfig) {
		c.Timeout, c.Options = 500*time.Millisecond, map[string]string{"community": "hush-hush"}
	})
	if err := s.SwitchOff(t.Context()); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "se cret") {
		t.Errorf("error %v", err)
	}
}

func TestAListIsReadAndGivesOutletsTheirNames(t *testing.T) {
	d := newAgentDir(t)
	u, err := NewAgent(d.config())
	if err != nil {
		t.Fatal(err)
	}
	all, err := u.List(t.Context())
	want := []fence.Outlet{
		{Index: "1", Name: "Firewall 1, PSU 1", Reading: fence.Reading{Power: fence.PowerOn, Raw: "ON"}},
		{Index: "2", Name: "Firewall 2", Reading: fence.Reading{Power: fence.PowerOff, Raw: "OFF"}},
		{Index: "3", Name: "Odd", Reading: fence.Reading{Raw: "UNKNOWN"}},
	}
	if err != nil || fmt.Sprint(all) != fmt.Sprint(want) {
		t.Errorf("list %+v, %v", all, err)
	}
	id, err := d.outlet("2", nil).(fence.Identifier).Identify(t.Context())
	if want := (fence.Identity{Family: "fence_contract", Outlets: 3, Outlet: "2", Name: "Firewall 2"}); err != nil || id != want {
		t.Errorf("identity %+v, %v", id, err)
	}
}

func TestNewAgentRefusesWhatCouldNotWork(t *testing.T) {
	bad := map[string]func(*AgentConfig){
		"has no name":              func(c *AgentConfig) { c.Name = "" },
		"is no full path":          func(c *AgentConfig) { c.Program = "fence_apc" },
		"negative":                 func(c *AgentConfig) { c.Timeout = -1 },
		"reserves a disk":          func(c *AgentConfig) { c.Program = "/usr/sbin/fence_scsi" },
		"asks a person":            func(c *AgentConfig) { c.Program = "/usr/sbin/fence_ack_manual" },
		"it is the outlet":         func(c *AgentConfig) { c.Options = map[string]string{"port": "1"} },
		"only off and on are used": func(c *AgentConfig) { c.Options = map[string]string{"method": "cycle"} },
		"an outlet is given alone": func(c *AgentConfig) { c.Options = map[string]string{"plug-separator": ";"} },
		"not one line of name":     func(c *AgentConfig) { c.Options = map[string]string{"a": "b\naction=on"} },
		"is not one line of":       func(c *AgentConfig) { c.Options = map[string]string{"a=b": "c"} },
		"password is not one line": func(c *AgentConfig) { c.Password = "a\nb" },
	}
	for want, edit := range bad {
		c := AgentConfig{Name: "pdu", Program: "/usr/sbin/fence_apc"}
		if _, err := NewAgent(c); err != nil {
			t.Fatal(err)
		}
		edit(&c)
		if _, err := NewAgent(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func TestValuesReachTheCommonLibraryAsTheyAre(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's own, which has the library's modules
	_, err := os.Stat(python)
	if _, gone := os.Stat("/usr/share/fence/fencing.py"); err != nil || gone != nil {
		t.Skip("fence-agents is not installed")
	}
	const parse = `import sys; sys.path.append("/usr/share/fence"); import fencing
print(repr(fencing._parse_input_stdin(["passwd"])["--password"]))`
	for value, want := range map[string]string{
		"plain": "'plain'", " both ": "' both '", `"quoted"`: `'"quoted"'`, `"`: `'"'`, "a=b": "'a=b'", "#x": "'#x'", `\n$x`: `'\\n$x'`,
	} {
		cmd := exec.Command(python, "-c", parse)
		cmd.Stdin = strings.NewReader(line("password", value))
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q arrives as %s, want %s (%v)", value, got, want, err)
		}
	}
}

// agent returns a program of Debian's fence-agents.
func agent(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s (package fence-agents) is not installed", name)
	}
	return path
}

func TestTheRealFenceDummyIsDriven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(file, []byte("on"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := NewAgent(AgentConfig{Name: "dummy", Program: agent(t, "fence_dummy"), Options: map[string]string{"status-file": file}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := u.Outlet("")
	if err != nil {
		t.Fatal(err)
	}
	device, err := fence.New(s, fence.Timing{})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := device.Off(t.Context())
	if err != nil || !proof.Proven {
		t.Fatalf("proof %+v, %v", proof, err)
	}
	if b, _ := os.ReadFile(file); strings.TrimSpace(string(b)) != "off" {
		t.Errorf("the file says %q", b)
	}
	if err := device.On(t.Context()); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(file); strings.TrimSpace(string(b)) != "on" {
		t.Errorf("the file says %q", b)
	}
}

func TestTheRealFenceIpmilanIsDrivenAgainstASimulator(t *testing.T) {
	sim := fencetest.StartIPMISim(t, nil)
	u, err := NewAgent(AgentConfig{
		Name: "bmc", Program: agent(t, "fence_ipmilan"), Address: sim.Address(), User: "admin", Password: "secret",
		Options: map[string]string{"lanplus": "1", "cipher": "3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := u.Outlet("")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Read(t.Context()); err != nil || r.Power != fence.PowerOn {
		t.Fatalf("read %+v, %v", r, err)
	}
	if err := s.SwitchOff(t.Context()); err != nil || sim.HasPower() {
		t.Fatalf("off: %v, power %v", err, sim.HasPower())
	}
	if r, err := s.Read(t.Context()); err != nil || r.Power != fence.PowerOff {
		t.Errorf("read %+v, %v", r, err)
	}
	if err := s.SwitchOn(t.Context()); err != nil || !sim.HasPower() {
		t.Errorf("on: %v, power %v", err, sim.HasPower())
	}
	id, err := u.Identify(t.Context())
	if err != nil || id != (fence.Identity{Family: "fence_ipmilan"}) {
		t.Errorf("identity %+v, %v", id, err)
	}
}

func TestMetadataOfDebiansAgentsIsUnderstood(t *testing.T) {
	for name, plug := range map[string]string{
		"fence_apc_snmp": "plug", "fence_raritan_px3": "plug", "fence_drac5": "plug", "fence_redfish": "plug", "fence_wti": "plug",
		"fence_pve": "plug", "fence_kdump": "no status", "fence_ovh": "no status",
	} {
		out, err := exec.Command(agent(t, name), "-o", "metadata").Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m, err := readMetadata(string(out))
		if err != nil || len(m.parameters) < 3 {
			t.Errorf("%s: %v, %d parameters", name, err, len(m.parameters))
		}
		err = m.check(map[string]string{"ip": "x", "username": "x"})
		if proves := err == nil || strings.Contains(err.Error(), "is needed"); proves != (plug == "plug") || proves && m.plug != plug {
			t.Errorf("%s: outlets are %q, %v", name, m.plug, err)
		}
	}
}
