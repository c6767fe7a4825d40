//go:build !lite

package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// notifyKinds are the kinds of events that may be told.
var notifyKinds = []string{"role", "link", "alarm", "operator", "fence", "service", "address", "agent", "health", "sensor", "notify"}

// notifyFacilities are the names of RFC 5424's facilities that programs may use,
// by their numbers there.
var notifyFacilities = []string{"user", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

var notifyKeys = []key{
	{path: "notify", kind: sections, doc: "Who is told of events and alarms, up to 8 targets. Each node tells them by itself. `twinbeat notify --test` sends each an alert. Not in lite.", more: notifyExamples},
	{path: "notify.name", kind: text, required: true, show: `"log"`, doc: "Name in status and events."},
	{path: "notify.type", kind: text, required: true, oneOf: []string{"syslog", "webhook", "mail", "snmp", "mqtt", "command"}, show: `"syslog"`, doc: "How it is told. mqtt is only in a build with tag mqtt (make build TAGS=mqtt)."},
	{path: "notify.severity", kind: text, def: `"warning"`, oneOf: []string{"critical", "error", "warning", "notice", "info"}, doc: "Only what is at least as bad. critical: the service was or is in danger. error: something is broken. warning: an alarm, a planned move. notice: orders, starts. info: all."},
	{path: "notify.groups", kind: texts, show: `["gateway"]`, hidden: true, doc: "Only what is about these groups, or about the whole node."},
	{path: "notify.kinds", kind: texts, show: `["role", "alarm", "fence"]`, hidden: true, doc: "Only these kinds of events: role, link, alarm, operator, fence, service, address, agent, health, sensor, notify."},
	{path: "notify.repeat", kind: duration, def: `"15m"`, orZero: true, min: second, max: 24 * hour, doc: "Within it each state of one alarm, link or group is told once, unless it is critical; what comes again is counted, and the newest told at its end. \"0s\": always."},
	{path: "notify.rate", kind: number, def: "60", max: 10000, doc: "Alerts an hour; more wait, up to 100, then the oldest are dropped and counted. 0: no limit."},
	{path: "notify.timeout", kind: duration, def: `"10s"`, min: 100 * ms, max: minute, doc: "Of one try. One that failed is repeated after 2s, 4s and so on up to 5min, for ever."},
	{path: "notify.address", kind: text, show: `"192.0.2.50"`, doc: "Host, with :port if it is not the usual one. syslog: or the path of a local socket; default /dev/log."},
	{path: "notify.transport", kind: text, oneOf: []string{"udp", "tcp", "tls"}, show: `"tcp"`, doc: "syslog: udp (port 514, nobody says whether it arrived), tcp (port 514, RFC 6587 with octet counts) or tls (port 6514, RFC 5425); default udp. mqtt: tls (port 8883) or tcp (port 1883); default tls."},
	{path: "notify.facility", kind: text, def: `"daemon"`, oneOf: notifyFacilities, hidden: true, doc: "syslog: facility."},
	{path: "notify.url", kind: text, hidden: true, show: `"https://alerts.example.org/hook"`, doc: "webhook: gets a POST with one JSON object; any answer but 2xx is a failure, a redirect, too."},
	{path: "notify.token_file", kind: text, hidden: true, show: `"/etc/twinbeat/hook.token"`, doc: "webhook: file with what is sent as Authorization: Bearer. Files with secrets have mode 0600."},
	{path: "notify.tls", kind: text, oneOf: []string{"starttls", "tls", "none"}, hidden: true, show: `"tls"`, doc: "mail: starttls (port 587), tls from the first byte (port 465) or none (port 25). Default: starttls, and no mail without it."},
	{path: "notify.from", kind: text, hidden: true, show: `"twinbeat@example.org"`, doc: "mail: sender."},
	{path: "notify.to", kind: texts, hidden: true, show: `["admin@example.org"]`, doc: "mail: who gets it, up to 8."},
	{path: "notify.user", kind: text, hidden: true, show: `"twinbeat"`, doc: "User of mail, MQTT, SNMP 3 or the webhook (HTTP Basic or Digest, as it asks)."},
	{path: "notify.password_file", kind: text, hidden: true, show: `"/etc/twinbeat/mail.password"`, doc: "File with the password of user."},
	{path: "notify.tls_fingerprint", kind: text, hidden: true, show: `"6f1e..."`, doc: "TLS: SHA-256 of the certificate, for a self-signed one."},
	{path: "notify.ca_file", kind: text, hidden: true, show: `"/etc/twinbeat/ca.pem"`, doc: "TLS: certificates of those who may have signed the server's, instead of the system's."},
	{path: "notify.insecure", kind: boolean, def: "false", hidden: true, doc: "TLS: accept any certificate; whoever is in between learns the password."},
	{path: "notify.snmp_version", kind: text, oneOf: []string{"2c", "3"}, hidden: true, show: `"3"`, doc: "snmp: default 3 with a user, else 2c. Its objects are in TWINBEAT-MIB."},
	{path: "notify.community", kind: text, hidden: true, show: `"public"`, doc: "snmp 2c: only public or private, which are no secrets."},
	{path: "notify.community_file", kind: text, hidden: true, show: `"/etc/twinbeat/trap.community"`, doc: "snmp 2c: file with the community."},
	{path: "notify.auth_protocol", kind: text, oneOf: []string{"md5", "sha", "sha224", "sha256", "sha384", "sha512"}, hidden: true, show: `"sha256"`, doc: "snmp 3: default sha."},
	{path: "notify.auth_file", kind: text, hidden: true, show: `"/etc/twinbeat/trap.auth"`, doc: "snmp 3: file with the authentication password."},
	{path: "notify.priv_protocol", kind: text, oneOf: []string{"des", "aes", "aes192", "aes256"}, hidden: true, show: `"aes"`, doc: "snmp 3: default aes."},
	{path: "notify.priv_file", kind: text, hidden: true, show: `"/etc/twinbeat/trap.priv"`, doc: "snmp 3: file with the encryption password; without it traps are signed but not encrypted."},
	{path: "notify.inform", kind: boolean, def: "true", hidden: true, doc: "snmp: the receiver acknowledges, so that what is lost is sent again. false: a trap, of which nobody knows whether it arrived; with version 3 its engine is this node's, which `twinbeat notify --test` prints."},
	{path: "notify.topic", kind: text, hidden: true, show: `"twinbeat/office"`, doc: "mqtt: where alerts are published, each as one JSON object, the webhook's, by MQTT 3.1.1 with quality of service 1. The client identifier is twinbeat and 14 letters and digits that change."},
	{path: "notify.retain", kind: boolean, def: "false", hidden: true, doc: "mqtt: the broker keeps the newest alert of the topic for who subscribes later."},
	{path: "notify.command", kind: list, hidden: true, show: `["/usr/local/sbin/page", "oncall"]`, doc: "command: program and arguments. It gets the alert by variables TWINBEAT_ALERT_TEXT, _SEVERITY, _KIND and so on, and as JSON on its standard input. Exit code 0: told; 65: never try this one again."},
}

// notifyExamples are the targets that reference.toml shows beside the first.
const notifyExamples = `[[notify]]
name = "mail"
type = "mail"
severity = "error"
address = "smtp.example.org"
from = "twinbeat@example.org"
to = ["admin@example.org"]
user = "twinbeat"
password_file = "/etc/twinbeat/mail.password"

[[notify]]
name = "hook"
type = "webhook"
url = "https://alerts.example.org/hook"
token_file = "/etc/twinbeat/hook.token"

[[notify]]
name = "nms"
type = "snmp"
address = "192.0.2.51"
user = "twinbeat"
auth_file = "/etc/twinbeat/trap.auth"
priv_file = "/etc/twinbeat/trap.priv"

[[notify]]
name = "page"
type = "command"
command = ["/usr/local/sbin/page", "oncall"]`

// A notifyRule says which keys go with a type, beside notifyCommon.
type notifyRule struct{ needs, takes string }

const notifyCommon = "name type severity groups kinds repeat rate timeout"

var notifyByType = map[string]notifyRule{
	"syslog":  {"", "address transport facility " + tlsKeys},
	"webhook": {"url", "token_file user password_file " + tlsKeys},
	"mail":    {"address from to", "tls user password_file " + tlsKeys},
	"snmp":    {"address", "snmp_version community community_file user auth_protocol auth_file priv_protocol priv_file inform"},
	"mqtt":    {"address topic", "transport retain user password_file " + tlsKeys},
	"command": {"command", ""},
}

// notify reads the sections [[notify]].
func (p *parser) notify(t table) {
	tables := t.tables("notify")
	if len(tables) > MaxNotify {
		t.report("notify", fmt.Sprintf("%d targets", len(tables)), fmt.Sprintf("%d at most", MaxNotify))
		return
	}
	first := map[string]string{}
	for _, n := range tables {
		target := p.target(n)
		n.second("target", target.Name, first)
		p.config.Notify = append(p.config.Notify, *target)
	}
}

func (p *parser) target(t table) *Notify {
	n := &Notify{
		Line: p.lines.line(join(t.path, "type")),
		Name: t.name(), Type: t.text("type"), Severity: t.text("severity"),
		Groups: t.texts("groups"), Kinds: t.texts("kinds"),
		Repeat: t.duration("repeat"), Rate: t.int31("rate"), Timeout: t.duration("timeout"),
		Address: t.text("address"), Transport: t.text("transport"), Facility: t.text("facility"),
		URL: t.text("url"), TokenFile: t.absolute("token_file"), TLS: t.text("tls"), From: t.text("from"), To: t.texts("to"),
		Topic: t.text("topic"), Retain: t.boolean("retain"), Command: t.list("command"), User: t.text("user"), PasswordFile: t.absolute("password_file"),
		TLSFingerprint: t.text("tls_fingerprint"), CAFile: t.absolute("ca_file"), Insecure: t.boolean("insecure"),
		SNMPVersion: t.text("snmp_version"), Community: t.text("community"), CommunityFile: t.absolute("community_file"),
		AuthProtocol: t.text("auth_protocol"), AuthFile: t.absolute("auth_file"),
		PrivProtocol: t.text("priv_protocol"), PrivFile: t.absolute("priv_file"), Inform: t.boolean("inform"),
	}
	rule, known := notifyByType[n.Type]
	if !known {
		return n
	}
	t.keysOf("type", n.Type, notifyCommon, rule.needs, rule.takes)
	t.notifyFilter(n)
	t.notifyAddress(n)
	t.notifyMail(n)
	t.notifyMQTT(n)
	t.notifySecrets(n)
	return n
}

// notifyFilter reports groups and kinds that there are not.
func (t table) notifyFilter(n *Notify) {
	var groups []string
	for _, g := range t.config.Groups {
		groups = append(groups, g.Name)
	}
	for _, f := range []struct {
		name        string
		have, known []string
	}{{"groups", n.Groups, groups}, {"kinds", n.Kinds, notifyKinds}} {
		if t.has(f.name) && len(f.have) == 0 {
			t.report(f.name, "is empty", "leave it out: then all are told")
		}
		for i, name := range f.have {
			if slices.Contains(f.known, name) {
				continue
			}
			hint := "one of: " + strings.Join(f.known, ", ")
			if guess, ok := closest(name, f.known); ok {
				hint = "did you mean " + guess + "? " + hint
			}
			t.report(element(f.name, i), fmt.Sprintf("%q is not known", name), hint)
		}
	}
}

// notifyAddress checks where the target is.
func (t table) notifyAddress(n *Notify) {
	if n.Type == "syslog" && n.Address == "" {
		n.Address = "/dev/log"
	}
	local := n.Type == "syslog" && strings.HasPrefix(n.Address, "/")
	switch hint, ok := isFenceAddress(n.Address); {
	case local && (t.has("transport") || len(n.Address) > maxSocketPath):
		t.report("transport", "the address is a local socket", "leave transport out, or write a host and perhaps its port")
	case n.Address != "" && !local && !ok:
		t.report("address", fmt.Sprintf("%q is not possible", n.Address), hint)
	}
	if n.Type == "syslog" && n.Transport == "" && !local {
		n.Transport = "udp"
	}
	if n.URL == "" {
		return
	}
	u, err := url.Parse(n.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		t.report("url", "is not an address of HTTP", "https://host/path, without a user, who has a key of his own")
	} else if u.Scheme == "http" && (n.TokenFile != "" || n.PasswordFile != "") {
		t.warn(join(t.path, "url"), "http shows the secret to the whole way", "https, or a target without a secret")
	}
}

// maxRecipients bounds the readers of one mail.
const maxRecipients = 8

// notifyMail checks sender and recipients: plain addresses, which can add no
// line to a header.
func (t table) notifyMail(n *Notify) {
	if n.Type != "mail" {
		return
	}
	plain := func(name, s string) {
		user, host, ok := strings.Cut(s, "@")
		if !ok || user == "" || len(user) > 64 || !onlyOf(user, alphanumeric+"!#$%&'*+-/=?^_`{|}~.") || !isHostName(host) { // RFC 5321 section 4.1.2
			t.report(name, fmt.Sprintf("%q is not a mail address", s), "user@example.org, without a name")
		}
	}
	if n.From != "" {
		plain("from", n.From)
	}
	if t.has("to") && (len(n.To) == 0 || len(n.To) > maxRecipients) {
		t.report("to", fmt.Sprintf("%d addresses", len(n.To)), fmt.Sprintf("from 1 to %d", maxRecipients))
		return
	}
	for i, s := range n.To {
		plain(element("to", i), s)
	}
	if n.TLS == "none" && t.has("user") {
		t.report("tls", "none shows the password to the whole way", "starttls or tls")
	}
}

// notifySecrets checks what goes with a secret, or must not be one.
func (t table) notifySecrets(n *Notify) {
	tls := n.Type == "webhook" || n.Type == "mail" && n.TLS != "none" || n.Transport == "tls"
	for name := range strings.FieldsSeq(tlsKeys) {
		if t.has(name) && !tls && slices.Contains([]string{"syslog", "mail", "mqtt"}, n.Type) {
			t.report(name, "there is no TLS here", "leave it out, or choose TLS")
		}
	}
	if hint, ok := isFingerprint(n.TLSFingerprint); n.TLSFingerprint != "" && !ok {
		t.report("tls_fingerprint", fmt.Sprintf("%q is not possible", n.TLSFingerprint), hint)
	}
	if n.Insecure && (n.TLSFingerprint != "" || n.CAFile != "") || n.TLSFingerprint != "" && n.CAFile != "" {
		t.report("insecure", "more than one of tls_fingerprint, ca_file and insecure", "one of them says all")
	}
	if n.User != "" && n.PasswordFile == "" && n.Type != "snmp" || n.User == "" && n.PasswordFile != "" {
		t.report("user", "user and password_file go together", "add the other, or leave both out")
	}
	if n.TokenFile != "" && n.User != "" {
		t.report("token_file", "stands beside user", "leave one of them out")
	}
	if n.Type != "snmp" {
		return
	}
	t.snmpContradictions(FenceDevice{SNMPVersion: n.SNMPVersion, User: n.User, Community: n.Community, CommunityFile: n.CommunityFile})
	switch {
	case n.User != "" && n.AuthFile == "":
		t.report("user", "SNMP 3 without a password", "add auth_file, a file of mode 0600")
	case n.User == "" && n.Community == "" && n.CommunityFile == "":
		t.report("community_file", "SNMP 2c has no community", "add community_file, a file of mode 0600, or a user for version 3")
	case n.PrivProtocol != "" && n.PrivFile == "":
		t.report("priv_protocol", "there is no priv_file", "add one, or leave priv_protocol out")
	}
}
