package config

// fenceDrivers are the kinds of power switch, in the order of their trust.
var fenceDrivers = []string{
	"apc", "raritan", "eaton", "sentry", "cyberpower", "tripplite", "ibm", "snmp",
	"digitalloggers", "tasmota", "shelly", "http", "ipmi", "redfish", "racadm", "agent", "exec", "ssh",
}

var fenceKeys = []key{
	{path: "fence", kind: section, doc: "How a node is switched off. All devices of a level (two power supplies) must prove it off; the next level is tried when one cannot."},
	{path: "fence.retry", kind: duration, def: `"5s"`, min: 100 * ms, max: hour, doc: "Pause after a failed fence, doubled up to 16 times this; it never gives up."},
	{path: "fence.budget", kind: number, def: "3", max: 1000, doc: "Fences within an hour, the tries of one counted once; beyond it the node fences no more by itself, and raises an alarm: two boxes that shoot each other by turns help nobody. 0: no limit."},
	{path: "fence.verified", kind: text, def: `"required"`, oneOf: []string{"required", "waived"}, doc: "Mode fence takes over only behind a wiring that `twinbeat fence verify` has proven: the right outlets kill the right box. waived: it is believed."},
	{path: "fence.device", kind: sections, required: true, doc: "One device.", more: fenceExamples},
	{path: "fence.device.name", kind: text, required: true, show: `"pdu"`, doc: "Name in events and alarms."},
	{path: "fence.device.driver", kind: text, required: true, oneOf: fenceDrivers, show: `"apc"`, doc: "apc to ibm: a switched PDU of that maker by SNMP; snmp finds out which. digitalloggers, tasmota, shelly: by HTTP; http: any other. ipmi, redfish, racadm: the box's own BMC, which is dead when the box has no power. agent: a program of fence-agents. exec: programs of yours. ssh: the box is asked to switch itself off; this proves nothing."},
	{path: "fence.device.level", kind: number, def: "1", min: 1, max: maxFenceLevels, doc: "1 is tried first; all devices of one level act together, and all must prove the node off."},
	{path: "fence.device.address", kind: textByNode, show: `"192.0.2.20"`, doc: "Host name or IP address, with :port if it is not the usual one. By the node that is switched off where each has its own (a BMC always has)."},
	{path: "fence.device.outlets", kind: namesByNode, show: `{ fw1 = ["1"], fw2 = ["2"] }`, doc: "Outlets by the node that is switched off: their index, or their name in the device. [] if the device does not feed that node."},
	{path: "fence.device.timeout", kind: duration, min: 10 * ms, max: 10 * minute, show: `"5s"`, doc: "Of one request, or of one program. Default: 5s, exec 10s, agent 40s."},
	{path: "fence.device.holdup", kind: duration, def: `"1s"`, max: minute, doc: "Wait after off, until the node's power supply has run dry."},
	{path: "fence.device.repower", kind: text, def: `"never"`, oneOf: []string{"never", "auto"}, doc: "Whether a fenced node gets its power back by itself, once this node serves. never: when an operator says so."},

	{path: "fence.device.object_id", kind: text, show: `"1.3.6.1.4.1.318.1.3.4.5"`, doc: "Pin, checked at the start, every 30 s and before each fence; `twinbeat fence identify` prints them. SNMP: the device's sysObjectID."},
	{path: "fence.device.model", kind: textByNode, show: `"AP7921"`, doc: "Pin: the model that the device tells."},
	{path: "fence.device.serial", kind: textByNode, show: `"ZA0844012345"`, doc: "Pin: the serial number that the device tells."},
	{path: "fence.device.outlet_count", kind: number, min: 1, max: 1000, show: "8", doc: "Pin: how many outlets the device says it can switch."},
	{path: "fence.device.outlet_names", kind: namesByNode, show: `{ fw1 = ["fw1 PSU"], fw2 = ["fw2 PSU"] }`, doc: "Pin: the name in the device of each of outlets, in the same order. A cable moved by somebody who keeps the labels true is found so."},

	{path: "fence.device.snmp_version", kind: text, oneOf: []string{"1", "2c", "3"}, show: `"3"`, doc: "SNMP: default 3 with a user; else the device is asked, first with 1."},
	{path: "fence.device.community", kind: text, hidden: true, show: `"private"`, doc: "SNMP 1 and 2c: only public or private, which are no secrets."},
	{path: "fence.device.community_file", kind: text, hidden: true, show: `"/etc/twinbeat/pdu.community"`, doc: "SNMP 1 and 2c: file with the community that may write. Files with secrets have mode 0600. Without the file: TWINBEAT_FENCE_COMMUNITY of the environment."},
	{path: "fence.device.user", kind: text, show: `"twinbeat"`, doc: "User of SNMP 3, HTTP, the BMC, the agent or ssh."},
	{path: "fence.device.auth_protocol", kind: text, oneOf: []string{"md5", "sha", "sha224", "sha256", "sha384", "sha512"}, show: `"sha256"`, doc: "SNMP 3: default sha."},
	{path: "fence.device.auth_file", kind: text, show: `"/etc/twinbeat/pdu.auth"`, doc: "SNMP 3: file with the authentication password; without it TWINBEAT_FENCE_AUTH."},
	{path: "fence.device.priv_protocol", kind: text, oneOf: []string{"des", "aes", "aes192", "aes256"}, show: `"aes"`, doc: "SNMP 3: default aes."},
	{path: "fence.device.priv_file", kind: text, show: `"/etc/twinbeat/pdu.priv"`, doc: "SNMP 3: file with the encryption password; without it TWINBEAT_FENCE_PRIV. With neither, frames are signed but not encrypted."},
	{path: "fence.device.password_file", kind: textByNode, hidden: true, show: `"/etc/twinbeat/bmc.password"`, doc: "File with the password of user; without it TWINBEAT_FENCE_PASSWORD."},
	{path: "fence.device.cipher_suite", kind: number, hidden: true, min: 1, max: 17, show: "17", doc: "ipmi: RMCP+ cipher suite. Default: 17, then 3."},
	{path: "fence.device.tls_fingerprint", kind: textByNode, hidden: true, show: `"sha256:6f1e..."`, doc: "HTTPS: SHA-256 of the certificate, for the self-signed one that most devices have."},
	{path: "fence.device.ca_file", kind: text, hidden: true, show: `"/etc/twinbeat/ca.pem"`, doc: "HTTPS: certificates of those who may have signed the device's own, instead of the system's."},
	{path: "fence.device.insecure", kind: boolean, def: "false", hidden: true, doc: "HTTPS: accept any certificate; whoever is in between learns the password."},
	{path: "fence.device.host_key", kind: textByNode, hidden: true, show: `{ fw1 = "ssh-ed25519 AAAAC3Nz...", fw2 = "ssh-ed25519 AAAAC3Nz..." }`, doc: "ssh, racadm: the host's public key, as a line of known_hosts or ssh-keyscan has it, or its fingerprint: SHA256:..."},
	{path: "fence.device.identity_file", kind: text, hidden: true, show: `"/etc/twinbeat/fence.key"`, doc: "ssh, racadm: private key of user."},
	{path: "fence.device.legacy", kind: boolean, def: "false", hidden: true, doc: "ssh, racadm: the ciphers that devices of before 2010 need, and nobody else should use."},
	{path: "fence.device.command", kind: text, hidden: true, show: `"poweroff -f"`, doc: "ssh: what the node is told to do; it must cut its own power."},

	{path: "fence.device.agent", kind: text, hidden: true, show: `"/usr/sbin/fence_apc_snmp"`, doc: "agent: the program, full path."},
	{path: "fence.device.agent_options", kind: textTable, hidden: true, show: `{ snmp_version = "1", login_timeout = "10" }`, doc: "agent: further options of the program, by its own names."},
	{path: "fence.device.off", kind: listByNode, hidden: true, show: `{ fw1 = ["/usr/local/sbin/pdu", "off", "3"], fw2 = ["/usr/local/sbin/pdu", "off", "4"] }`, doc: "exec: program that switches a node off, by the node that is switched off."},
	{path: "fence.device.on", kind: listByNode, hidden: true, show: `{ fw1 = ["/usr/local/sbin/pdu", "on", "3"], fw2 = ["/usr/local/sbin/pdu", "on", "4"] }`, doc: "exec: program that switches it on again."},
	{path: "fence.device.status", kind: listByNode, hidden: true, show: `{ fw1 = ["/usr/local/sbin/pdu", "status", "3"], fw2 = ["/usr/local/sbin/pdu", "status", "4"] }`, doc: "exec: program that prints whether it is on or off. It is the proof: no answer, no takeover."},
	{path: "fence.device.off_text", kind: text, def: `"off"`, hidden: true, doc: "exec: what status prints for off; nothing else counts as off."},
	{path: "fence.device.on_text", kind: text, def: `"on"`, hidden: true, doc: "exec: what status prints for on."},
	{path: "fence.device.off_url", kind: text, hidden: true, show: `"/relay/{outlet}?turn=off"`, doc: "http: what switches an outlet off; below address, or whole with http:// or https://. {outlet} stands for the outlet; without it in all three URLs there is one outlet, \"1\"."},
	{path: "fence.device.on_url", kind: text, hidden: true, show: `"/relay/{outlet}?turn=on"`, doc: "http: what switches it on."},
	{path: "fence.device.status_url", kind: text, hidden: true, show: `"/relay/{outlet}"`, doc: "http: what tells its state."},
	{path: "fence.device.method", kind: text, hidden: true, oneOf: []string{"GET", "POST", "PUT"}, show: `"POST"`, doc: "http: of off_url and on_url. Default: GET."},
	{path: "fence.device.off_body", kind: text, hidden: true, show: `"on=false"`, doc: "http: body of off_url."},
	{path: "fence.device.on_body", kind: text, hidden: true, show: `"on=true"`, doc: "http: body of on_url."},
	{path: "fence.device.headers", kind: texts, hidden: true, show: `["Content-Type: application/x-www-form-urlencoded"]`, doc: "http: header lines of all three."},
	{path: "fence.device.off_match", kind: text, hidden: true, show: `"/ison=false"`, doc: "http: what status_url answers for off: the whole text, or a JSON pointer (RFC 6901), = and the value there."},
	{path: "fence.device.on_match", kind: text, hidden: true, show: `"/ison=true"`, doc: "http: what it answers for on. Anything else means nothing."},
}

// fenceExamples are the devices that reference.toml shows beside the first.
const fenceExamples = `# The second level: the box's own BMC, if the PDU does not answer.
[[fence.device]]
name = "bmc"
driver = "ipmi"
level = 2
address = { fw1 = "192.0.2.31", fw2 = "192.0.2.32" }
user = "twinbeat"
password_file = "/etc/twinbeat/bmc.password"`
