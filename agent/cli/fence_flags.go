package cli

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/agent/config"
)

// A deviceFlag is a key of [[fence.device]] on the command line.
type deviceFlag struct {
	flag  string
	key   string
	usage string
	read  func(text string, old any) (any, error) // nil: the text itself
}

// deviceFlags describe a device without a configuration. The parser of the
// configuration judges them.
var deviceFlags = []deviceFlag{
	{"driver", "driver", "kind of the device, `D`: apc, raritan, eaton, sentry, cyberpower, tripplite, ibm, snmp, digitalloggers, tasmota, shelly, http, ipmi, redfish, racadm, agent, exec, ssh", nil},
	{"address", "address", "where it answers, `HOST[:PORT]`", nil},
	{"timeout", "timeout", "`TIME` of one request or program (default 5s; exec 10s, agent 40s)", nil},
	{"holdup", "holdup", "wait for this `TIME` after off, until power supplies have run dry (default 1s)", nil},
	{"object-id", "object_id", "refuse a device whose sysObjectID is not this `OID`", nil},
	{"model", "model", "refuse a device that is not this `MODEL`", nil},
	{"serial", "serial", "refuse a device that has not this serial number, `SN`", nil},
	{"snmp-version", "snmp_version", "`1|2c|3` (default 3 with --user, else what the device answers to)", nil},
	{"community", "community", "SNMP community `C`: only public or private, any other is a secret", nil},
	{"community-file", "community_file", "`FILE` with the community", nil},
	{"user", "user", "`USER` of SNMP 3, HTTP, the BMC, the agent or ssh", nil},
	{"auth-protocol", "auth_protocol", "SNMP 3: `P` is md5, sha, sha224, sha256, sha384 or sha512 (default sha)", nil},
	{"auth-file", "auth_file", "SNMP 3: `FILE` with the authentication password", nil},
	{"priv-protocol", "priv_protocol", "SNMP 3: `P` is des, aes, aes192 or aes256 (default aes)", nil},
	{"priv-file", "priv_file", "SNMP 3: `FILE` with the encryption password", nil},
	{"password-file", "password_file", "`FILE` with the password of user", nil},
	{"cipher-suite", "cipher_suite", "ipmi: `17|3` (default 17, then 3)", readNumber},
	{"tls-fingerprint", "tls_fingerprint", "HTTPS: `SHA256` of the device's certificate", nil},
	{"ca-file", "ca_file", "HTTPS: `FILE` with certificates that may have signed the device's", nil},
	{"host-key", "host_key", "ssh, racadm: the host's `KEY`, as ssh-keyscan prints it", nil},
	{"identity-file", "identity_file", "ssh, racadm: `FILE` with the private key of user", nil},
	{"legacy", "legacy", "ssh, racadm: `true` allows the ciphers of old devices, too", readBool},
	{"command", "command", "ssh: `TEXT` that the node is told", nil},
	{"agent", "agent", "agent: the `PROGRAM` of fence-agents, full path", nil},
	{"agent-option", "agent_options", "agent: a further option `NAME=VALUE`; may be repeated", readOption},
	{"off-command", "off", "exec: `PROGRAM` with its arguments, split at blanks", readWords},
	{"on-command", "on", "exec: `PROGRAM` that switches on", readWords},
	{"status-command", "status", "exec: `PROGRAM` that prints on or off", readWords},
	{"off-url", "off_url", "http: `URL` that switches off; {outlet} stands for the outlet", nil},
	{"on-url", "on_url", "http: `URL` that switches on", nil},
	{"status-url", "status_url", "http: `URL` that tells the state", nil},
	{"method", "method", "http: `GET|POST|PUT` for off and on", nil},
	{"off-body", "off_body", "http: `TEXT` that is sent to --off-url", nil},
	{"on-body", "on_body", "http: `TEXT` that is sent to --on-url", nil},
	{"header", "headers", "http: `LINE` of the header; may be repeated", readLine},
	{"off-match", "off_match", "http: `TEXT` that --status-url answers for off, or /POINTER=VALUE", nil},
	{"on-match", "on_match", "http: `TEXT` that it answers for on", nil},
}

// maxRepeats bounds how often a flag may be repeated.
const maxRepeats = 64

func readNumber(text string, _ any) (any, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}

func readBool(text string, _ any) (any, error) { return strconv.ParseBool(text) }

func readWords(text string, _ any) (any, error) {
	var words []any
	for w := range strings.FieldsSeq(text) {
		words = append(words, w)
	}
	return forBoth(words), nil
}

func readOption(text string, old any) (any, error) {
	all, _ := old.(map[string]any)
	if all == nil {
		all = map[string]any{}
	}
	name, value, found := strings.Cut(text, "=")
	if !found || len(all) >= maxRepeats {
		return nil, fmt.Errorf("%q is not NAME=VALUE, or there are more than %d", text, maxRepeats)
	}
	all[name] = value
	return all, nil
}

func readLine(text string, old any) (any, error) {
	all, _ := old.([]any)
	if len(all) >= maxRepeats {
		return nil, fmt.Errorf("there are more than %d", maxRepeats)
	}
	return append(all, text), nil
}

// forBoth is a value by node on a command line, where there are no nodes.
func forBoth(v any) map[string]any { return map[string]any{"peer": v, "self": v} }

func init() {
	for _, f := range deviceFlags {
		flagTable[f.flag] = func(fs *flag.FlagSet, o *options) {
			fs.Func(f.flag, f.usage, func(text string) (err error) {
				if o.device == nil {
					o.device = map[string]any{}
				}
				var v any = text
				if f.read != nil {
					v, err = f.read(text, o.device[f.key])
				}
				o.device[f.key] = v
				return err
			})
		}
	}
}

// flagOf names the flag of a key.
func flagOf(key string) string {
	if i := slices.IndexFunc(deviceFlags, func(f deviceFlag) bool { return f.key == key }); i >= 0 {
		return "--" + deviceFlags[i].flag
	}
	if key == "outlets" {
		return "--outlet"
	}
	return key
}

// outletList makes a list of the outlets given: one flag is a list with
// commas, where \, is a comma in a name; of several each is one outlet.
func outletList(given []string) ([]string, error) {
	out := given
	if len(given) == 1 {
		out = splitOutlets(given[0])
	}
	for i, s := range out {
		numbers := strings.Split(s, ",")
		isNumber := func(s string) bool { _, err := strconv.Atoi(strings.TrimSpace(s)); return err == nil }
		switch {
		case strings.TrimSpace(s) == "":
			return nil, &usageError{text: "--outlet: an outlet is empty", hint: "its index or its name, several with commas: --outlet 1,2"}
		case slices.Contains(out[:i], s):
			return nil, &usageError{text: fmt.Sprintf("--outlet: %q is there twice", s), hint: "name each power supply's own outlet"}
		case len(numbers) > 1 && !slices.ContainsFunc(numbers, func(s string) bool { return !isNumber(s) }):
			return nil, &usageError{text: fmt.Sprintf("--outlet: is %q a list, or a name?", s), hint: "give one list, or repeat the flag for each outlet"}
		}
	}
	return out, nil
}

func splitOutlets(s string) []string {
	var out []string
	var one strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ',':
			i++
			one.WriteByte(',')
		case s[i] == ',':
			out = append(out, one.String())
			one.Reset()
		default:
			one.WriteByte(s[i])
		}
	}
	return append(out, one.String())
}

// flagDevice makes a device of the flags.
func (o *options) flagDevice(outlets []string) (config.FenceDevice, error) {
	values := map[string]any{"name": "device"}
	for k, v := range o.device {
		if text, ok := v.(string); ok && (strings.HasSuffix(k, "_file") || k == "agent") {
			v, _ = filepath.Abs(text) // fails only where there is no current folder; then the parser refuses it
		}
		values[k] = v
	}
	if o.insecure {
		values["insecure"] = true
	}
	if len(outlets) > 0 {
		list := make([]any, len(outlets))
		for i, s := range outlets {
			list[i] = s
		}
		values["outlets"] = forBoth(list)
	}
	if values["driver"] == nil {
		return config.FenceDevice{}, &usageError{text: "--driver is missing", hint: "which kind of device is it? --driver snmp finds out, of those that speak SNMP"}
	}
	d, problems := config.ParseDevice(values)
	if len(problems) > 0 {
		return d, flagProblem(problems[0])
	}
	if d.Address != "" {
		d.Name = d.Address
	} else {
		d.Name = d.Driver
	}
	return d, nil
}

// flagProblem words a problem of the configuration for a command line.
func flagProblem(p config.Problem) error {
	text := p.Text
	if key, lacks := strings.CutPrefix(text, "lacks "); lacks {
		return &usageError{text: flagOf(key) + " is missing"}
	}
	key, _, _ := strings.Cut(p.Key, ".")
	if i := strings.IndexByte(key, '['); i >= 0 {
		key = key[:i]
	}
	hint := p.Hint
	if keys, of := strings.CutPrefix(hint, "this driver takes "); of {
		names := strings.Split(keys, ", ")
		for i := range names {
			names[i] = flagOf(names[i])
		}
		hint = "this driver takes " + strings.Join(names, ", ")
	}
	for _, f := range deviceFlags {
		if strings.Contains(f.key, "_") {
			hint = strings.ReplaceAll(hint, f.key, "--"+f.flag)
		}
	}
	return &usageError{text: flagOf(key) + ": " + text, hint: hint}
}
