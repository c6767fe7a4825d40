package config

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Limits of the fence section.
const (
	maxFenceDevices = 8  // power feeds of one node, with those of all levels
	maxFenceLevels  = 4  // ways to switch a node off, one after the other
	maxOutlets      = 8  // of one node on one device
	maxOutletName   = 64 // bytes; SNMP devices give 20 to 32
	maxOptions      = 64 // of a program of fence-agents
)

// Fence is how the peer is switched off.
type Fence struct {
	Devices  []FenceDevice
	Retry    time.Duration
	Budget   int    // fences within an hour, the tries of one counted once; 0: no limit
	Verified string // required or waived: whether mode fence asks for a proven wiring
}

// Levels returns how many levels of devices there are.
func (f *Fence) Levels() int {
	most := 0
	if f != nil {
		for _, d := range f.Devices {
			most = max(most, d.Level)
		}
	}
	return most
}

// ByLevel returns the devices that switch the peer, in the order in which they
// are tried.
func (f *Fence) ByLevel() []FenceDevice {
	if f == nil {
		return nil
	}
	out := slices.DeleteFunc(slices.Clone(f.Devices), func(d FenceDevice) bool { return d.Idle })
	sort.SliceStable(out, func(i, k int) bool { return out[i].Level < out[k].Level })
	return out
}

// A FenceDevice switches the peer of this node off. Where a key is by node,
// this is the peer's value.
type FenceDevice struct {
	Line       int // in the file, of its driver
	Name       string
	Driver     string
	Level      int      // 1 is tried first
	Address    string   // host or host:port
	Outlets    []string // the peer's: index, or name in the device
	OwnOutlets []string // this node's: what the peer switches off
	Idle       bool     // the device does not feed the peer at all
	Timeout    time.Duration
	Holdup     time.Duration // wait after OFF for the power supply to run dry
	Repower    string        // never or auto
	Pin        FencePin

	SNMPVersion    string // 1, 2c or 3; empty: the device is asked
	Community      string // public or private; any other stands in the file
	CommunityFile  string
	User           string
	AuthProtocol   string // empty: the driver's default
	AuthFile       string
	PrivProtocol   string
	PrivFile       string
	PasswordFile   string
	CipherSuite    int // 0: the driver's default
	TLSFingerprint string
	CAFile         string
	Insecure       bool
	HostKey        string
	IdentityFile   string
	Legacy         bool   // racadm, ssh: the ciphers of old devices, too
	Command        string // ssh: what the node is told

	Agent        string            // program of fence-agents
	AgentOptions map[string]string // by its own names
	Off          []string          // exec: programs
	On           []string
	Status       []string
	OffText      string // what Status prints when the peer is off
	OnText       string
	OffURL       string // http: {outlet} stands for the outlet; below Address, or whole
	OnURL        string
	StatusURL    string
	Method       string
	OffBody      string
	OnBody       string
	Headers      []string
	OffMatch     string
	OnMatch      string
}

// A FencePin is what a device must say of itself; an empty field is not checked.
type FencePin struct {
	ObjectID    string
	Model       string
	Serial      string
	Outlets     int
	OutletNames []string // of Outlets, in their order; empty: none is checked
}

// A fenceRule says which keys go with a driver, beside fenceCommon.
type fenceRule struct {
	needs  string // separated by blanks
	takes  string
	outlet bool // the driver switches outlets, which must be named
	http   bool // its address may have http:// or https:// before it
	oneBox bool // its address is that of the one box that it switches
	weak   bool // it proves nothing
}

const (
	fenceCommon = "name driver level timeout holdup repower"
	snmpKeys    = "snmp_version community community_file user auth_protocol auth_file priv_protocol priv_file object_id model serial outlet_count outlet_names"
	sshNeeds    = "address user host_key"
	sshTakes    = "password_file identity_file legacy"
	tlsKeys     = "tls_fingerprint ca_file insecure"
)

// A rule for each driver.
var (
	snmpRule      = fenceRule{needs: "address outlets", takes: snmpKeys, outlet: true}
	httpPlugRule  = fenceRule{needs: "address outlets", takes: "user password_file model serial outlet_count outlet_names " + tlsKeys, outlet: true, http: true}
	fenceByDriver = map[string]fenceRule{
		"snmp": snmpRule, "apc": snmpRule, "raritan": snmpRule, "eaton": snmpRule, "sentry": snmpRule,
		"cyberpower": snmpRule, "tripplite": snmpRule, "ibm": snmpRule,
		"digitalloggers": httpPlugRule, "tasmota": httpPlugRule, "shelly": httpPlugRule,
		"http":    {needs: "outlets off_url status_url off_match on_match", takes: "address on_url method off_body on_body headers user password_file " + tlsKeys, outlet: true, http: true},
		"ipmi":    {needs: "address user", takes: "password_file cipher_suite model serial", oneBox: true},
		"redfish": {needs: "address user", takes: "password_file model serial " + tlsKeys, oneBox: true, http: true},
		"racadm":  {needs: sshNeeds, takes: sshTakes + " model serial", oneBox: true},
		"ssh":     {needs: sshNeeds, takes: sshTakes + " command", oneBox: true, weak: true},
		"agent":   {needs: "agent", takes: "address outlets user password_file agent_options"},
		"exec":    {needs: "off status", takes: "on off_text on_text"},
	}
)

// fence reads how the peer is switched off.
func (p *parser) fence(t table, nodes bool) *Fence {
	f := &Fence{Retry: t.duration("retry"), Budget: t.int31("budget"), Verified: t.text("verified")}
	tables := t.tables("device")
	if t.has("device") && len(tables) == 0 {
		t.report("device", "no device", "add a [[fence.device]], or leave [fence] out")
	}
	if len(tables) > maxFenceDevices {
		t.report("device", fmt.Sprintf("%d devices", len(tables)), fmt.Sprintf("%d at most", maxFenceDevices))
		return f
	}
	first := map[string]string{}
	before := p.errors
	all := feeds{parser: p, of: map[string]feed{}}
	for _, d := range tables {
		device := p.fenceDevice(d, nodes, &all)
		f.Devices = append(f.Devices, device)
		d.second("device", device.Name, first)
	}
	if nodes && p.errors == before {
		all.judge(t, f)
	}
	return f
}

// ParseDevice checks a device that a command line names, under the rules of
// the file: values by the names of [[fence.device]], each as TOML would give
// it, those by node for both "peer" and "self". A problem's Key is the name.
func ParseDevice(values map[string]any) (FenceDevice, []Problem) {
	p := &parser{lines: indexLines(""), alone: true}
	p.config.Nodes = [2]Node{{1, "self"}, {2, "peer"}}
	t := table{parser: p, rule: "fence.device", values: values}.checked()
	d := p.fenceDevice(t, true, &feeds{parser: p, of: map[string]feed{}})
	return d, p.problems
}

// HasOutlets says whether a driver switches outlets, which must be named.
func HasOutlets(driver string) bool { return fenceByDriver[driver].outlet }

func (p *parser) fenceDevice(t table, nodes bool, f *feeds) FenceDevice {
	d := FenceDevice{
		Line: p.lines.line(join(t.path, "driver")),
		Name: t.name(), Driver: t.text("driver"), Level: t.int31("level"),
		Timeout: t.duration("timeout"), Holdup: t.duration("holdup"), Repower: t.text("repower"),
		SNMPVersion: t.text("snmp_version"), Community: t.text("community"), CommunityFile: t.absolute("community_file"), User: t.text("user"),
		AuthProtocol: t.text("auth_protocol"), AuthFile: t.absolute("auth_file"),
		PrivProtocol: t.text("priv_protocol"), PrivFile: t.absolute("priv_file"),
		CipherSuite: t.int31("cipher_suite"), CAFile: t.absolute("ca_file"), Insecure: t.boolean("insecure"), IdentityFile: t.absolute("identity_file"),
		Legacy: t.boolean("legacy"), Command: t.text("command"),
		Agent: t.absolute("agent"), AgentOptions: t.options("agent_options"),
		OffText: t.text("off_text"), OnText: t.text("on_text"),
		OffURL: t.url("off_url"), OnURL: t.url("on_url"), StatusURL: t.url("status_url"),
		Method: t.text("method"), OffBody: t.text("off_body"), OnBody: t.text("on_body"), Headers: t.texts("headers"), OffMatch: t.text("off_match"), OnMatch: t.text("on_match"),
	}
	if !t.has("timeout") {
		d.Timeout = defaultRequest
		switch d.Driver {
		case "exec":
			d.Timeout = defaultProgram
		case "agent":
			d.Timeout = defaultAgent
		}
	}
	rule, known := fenceByDriver[d.Driver]
	if !known {
		return d
	}
	t.keysOf("driver", d.Driver, fenceCommon, rule.needs, rule.takes)
	if nodes {
		t.fenceByNode(&d, rule, f)
	}
	if strings.Contains(rule.takes, "snmp_version") {
		t.snmpContradictions(d)
	}
	t.contradictions(d)
	return d
}

// Defaults of timeout. A program may ask a slow device several times; those of
// fence-agents wait up to 20 s for an outlet, and small boxes take seconds to
// load what interprets them.
const (
	defaultRequest = 5 * time.Second
	defaultProgram = 10 * time.Second
	defaultAgent   = 40 * time.Second
)

// keysOf reports keys that a section lacks, or does not know, for what it is: a
// driver, a type. What all of them take is common; names are separated by blanks.
func (t table) keysOf(what, value, common, needs, takes string) {
	own := strings.Fields(needs + " " + takes)
	for _, name := range children(t.rule) {
		if t.has(name) && !slices.Contains(own, name) && !slices.Contains(strings.Fields(common), name) {
			t.report(name, "does not go with "+what+" "+value, "this "+what+" takes "+strings.Join(own, ", "))
		}
	}
	for name := range strings.FieldsSeq(needs) {
		if name != "outlets" || !t.alone { // a command line may ask for the device as a whole
			t.needs(name)
		}
	}
}

// fenceByNode reads what may differ between the nodes.
func (t table) fenceByNode(d *FenceDevice, rule fenceRule, f *feeds) {
	self, peer := t.config.Self, 1-t.config.Self // the tables are by the node to be switched off
	d.Off, d.On, d.Status = t.listPerNode("off")[peer], t.listPerNode("on")[peer], t.listPerNode("status")[peer]
	address := isFenceAddress
	if rule.http {
		address = isFenceURL
	}
	addresses := t.perNode("address", address)
	outlets, names := t.namesPerNode("outlets"), t.namesPerNode("outlet_names")
	d.Address, d.Outlets, d.OwnOutlets = addresses[peer], outlets[peer], outlets[self]
	d.Idle = t.has("outlets") && len(d.Outlets) == 0
	plain := func(string) (string, bool) { return "", true }
	file := func(s string) (string, bool) { return "a full path: start it with /", strings.HasPrefix(s, "/") }
	d.PasswordFile = t.perNode("password_file", file)[peer]
	d.TLSFingerprint = t.perNode("tls_fingerprint", isFingerprint)[peer]
	d.HostKey = t.perNode("host_key", isHostKey)[peer]
	d.Pin = FencePin{
		ObjectID: t.text("object_id"), Model: t.perNode("model", plain)[peer], Serial: t.perNode("serial", plain)[peer],
		Outlets: t.int31("outlet_count"), OutletNames: names[peer],
	}
	for i, n := range t.config.Nodes {
		if len(names[i]) > 0 && len(names[i]) != len(outlets[i]) {
			t.report(join("outlet_names", n.Name), fmt.Sprintf("has %d names for %d outlets", len(names[i]), len(outlets[i])), "one name for each of outlets, in the same order")
		}
	}
	if d.Pin.ObjectID != "" && !isObjectID(d.Pin.ObjectID) {
		t.report("object_id", fmt.Sprintf("%q is not an object identifier", d.Pin.ObjectID), "numbers and dots, such as 1.3.6.1.4.1.318.1.3.4.5")
	}
	for i := range addresses {
		addresses[i] += d.OffURL // where the host may stand, too
	}
	f.add(t, *d, rule, addresses, outlets)
}

// contradictions reports keys of one device that cannot stand together.
func (t table) contradictions(d FenceDevice) {
	if d.OffText != "" && strings.TrimSpace(d.OffText) == strings.TrimSpace(d.OnText) {
		t.report("off_text", fmt.Sprintf("%q means on as well as off", d.OffText), "a lie here makes two owners: give each its own text")
	}
	if d.OffMatch != "" && strings.TrimSpace(d.OffMatch) == strings.TrimSpace(d.OnMatch) {
		t.report("off_match", fmt.Sprintf("%q means on as well as off", d.OffMatch), "a lie here makes two owners: give each its own text")
	}
	if strings.HasPrefix(d.OffURL, "/") && !t.has("address") {
		t.report("off_url", "says no host", "add address, or write the URL whole: http://192.0.2.20"+d.OffURL)
	}
	if d.Insecure && (t.has("tls_fingerprint") || t.has("ca_file")) {
		t.report("insecure", "any certificate is accepted, although one is named", "leave insecure out")
	}
	if d.CipherSuite != 0 && d.CipherSuite != 3 && d.CipherSuite != 17 {
		t.report("cipher_suite", fmt.Sprintf("%d is not possible", d.CipherSuite), "17 (SHA-256) or 3 (SHA-1); the others do not both encrypt and ask for the password")
	}
	if t.has("tls_fingerprint") && t.has("ca_file") {
		t.report("ca_file", "stands beside tls_fingerprint", "the fingerprint says all: leave ca_file out")
	}
}

// snmpContradictions reports keys of one SNMP version that stand beside another.
func (t table) snmpContradictions(d FenceDevice) {
	if d.SNMPVersion == "3" && d.User == "" {
		t.report("snmp_version", "version 3 has no user", "add "+t.key("user").example("user"))
	}
	for _, name := range []string{"user", "auth_protocol", "auth_file", "priv_protocol", "priv_file"} {
		if t.has(name) && (d.SNMPVersion == "1" || d.SNMPVersion == "2c") {
			t.report(name, "does not go with SNMP version "+d.SNMPVersion, "only version 3 has users; the others have a community_file")
		}
	}
	for _, name := range []string{"community", "community_file"} {
		if t.has(name) && (d.SNMPVersion == "3" || t.has("user")) {
			t.report(name, "does not go with SNMP version 3", "version 3 has a user; leave "+name+" out")
		}
	}
	if d.Community != "" && d.Community != "public" && d.Community != "private" {
		t.report("community", "a secret stands where others read it", "put it into a file of mode 0600, and the file's name into community_file")
	}
	if d.Community != "" && d.CommunityFile != "" {
		t.report("community", "stands beside community_file", "leave one of them out")
	}
}
