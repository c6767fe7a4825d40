//go:build !lite

package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNotify(t *testing.T) {
	usual := func(change func(*Notify)) Notify {
		n := Notify{Line: 36, Name: "t", Severity: "warning", Repeat: 15 * time.Minute, Rate: 60, Timeout: 10 * time.Second, Facility: "daemon", Inform: true}
		change(&n)
		return n
	}
	for _, tt := range []struct {
		name, keys string
		want       Notify
	}{
		{"local syslog", `type = "syslog"`, usual(func(n *Notify) { n.Type, n.Address = "syslog", "/dev/log" })},
		{"syslog", "type = \"syslog\"\naddress = \"192.0.2.50\"", usual(func(n *Notify) { n.Type, n.Address, n.Transport = "syslog", "192.0.2.50", "udp" })},
		{"webhook", "type = \"webhook\"\nurl = \"https://a.example/x?y=1\"\ntoken_file = \"/t\"\nseverity = \"info\"\nkinds = [\"role\", \"alarm\"]\ngroups = [\"gateway\"]", usual(func(n *Notify) {
			n.Type, n.URL, n.TokenFile, n.Severity, n.Kinds, n.Groups = "webhook", "https://a.example/x?y=1", "/t", "info", []string{"role", "alarm"}, []string{"gateway"}
		})},
		{"mail", "type = \"mail\"\naddress = \"m.example:25\"\ntls = \"none\"\nfrom = \"a@b.example\"\nto = [\"c+d@e.example\"]\nrepeat = \"0s\"\nrate = 0", usual(func(n *Notify) {
			n.Type, n.Address, n.TLS, n.From, n.To, n.Repeat, n.Rate = "mail", "m.example:25", "none", "a@b.example", []string{"c+d@e.example"}, 0, 0
		})},
		{"snmp 3", "type = \"snmp\"\naddress = \"[2001:db8::1]:162\"\nuser = \"u\"\nauth_file = \"/a\"\npriv_file = \"/p\"\ninform = false", usual(func(n *Notify) {
			n.Type, n.Address, n.User, n.AuthFile, n.PrivFile, n.Inform = "snmp", "[2001:db8::1]:162", "u", "/a", "/p", false
		})},
		{"snmp 2c", "type = \"snmp\"\naddress = \"192.0.2.1\"\ncommunity = \"public\"", usual(func(n *Notify) { n.Type, n.Address, n.Community = "snmp", "192.0.2.1", "public" })},
		{"command", "type = \"command\"\ncommand = [\"/bin/page\", \"me\"]\ntimeout = \"1m\"", usual(func(n *Notify) {
			n.Type, n.Command, n.Timeout = "command", []string{"/bin/page", "me"}, time.Minute
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := Parse("t.toml", []byte(base+"[[notify]]\nname = \"t\"\n"+tt.keys+"\n"), "fw1")
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff([]Notify{tt.want}, c.Notify); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTargetsThatAreRefused(t *testing.T) {
	const mail = "type = \"mail\"\naddress = \"m.example\"\n"
	for _, tt := range []struct{ name, keys, want string }{
		{"no type", "", "34 refused notify[0]: lacks type"},
		{"unknown type", `type = "pager"`, `36 refused notify[0].type: "pager" is not possible`},
		{"another type's key", "type = \"syslog\"\nurl = \"https://a\"", "37 refused notify[0].url: does not go with type syslog"},
		{"a key of nobody", "type = \"syslog\"\nadress = \"a\"", "37 refused notify[0].adress: unknown key"},
		{"no url", `type = "webhook"`, "34 refused notify[0]: lacks url"},
		{"ftp", "type = \"webhook\"\nurl = \"ftp://a/b\"", "37 refused notify[0].url: is not an address of HTTP"},
		{"user in the url", "type = \"webhook\"\nurl = \"https://u:p@a/b\"", "37 refused notify[0].url: is not an address of HTTP"},
		{"a secret in plain", "type = \"webhook\"\nurl = \"http://a/b\"\ntoken_file = \"/t\"", "37 warning notify[0].url: http shows the secret to the whole way"},
		{"group", "type = \"syslog\"\ngroups = [\"gatway\"]", `37 refused notify[0].groups[0]: "gatway" is not known`},
		{"kind", "type = \"syslog\"\nkinds = [\"rolle\"]", `37 refused notify[0].kinds[0]: "rolle" is not known`},
		{"no kind", "type = \"syslog\"\nkinds = []", "37 refused notify[0].kinds: is empty"},
		{"severity", "type = \"syslog\"\nseverity = \"bad\"", `37 refused notify[0].severity: "bad" is not possible`},
		{"transport of a socket", "type = \"syslog\"\ntransport = \"tcp\"", "37 refused notify[0].transport: the address is a local socket"},
		{"port", "type = \"syslog\"\naddress = \"a:99999\"", `37 refused notify[0].address: "a:99999" is not possible`},
		{"header by address", mail + "from = \"a@b.example\"\nto = [\"x@y.example>, <z@y.example\"]", `39 refused notify[0].to[0]: "x@y.example>, <z@y.example" is not a mail address`},
		{"name and address", mail + "from = \"A <a@b.example>\"\nto = [\"c@d.example\"]", `38 refused notify[0].from: "A <a@b.example>" is not a mail address`},
		{"nobody", mail + "from = \"a@b.example\"\nto = []", "39 refused notify[0].to: 0 addresses"},
		{"password in plain", mail + "from = \"a@b.example\"\nto = [\"c@d.example\"]\ntls = \"none\"\nuser = \"u\"\npassword_file = \"/p\"", "40 refused notify[0].tls: none shows the password to the whole way"},
		{"user alone", mail + "from = \"a@b.example\"\nto = [\"c@d.example\"]\nuser = \"u\"", "40 refused notify[0].user: user and password_file go together"},
		{"no TLS", "type = \"syslog\"\naddress = \"a\"\ninsecure = true", "38 refused notify[0].insecure: there is no TLS here"},
		{"two trusts", "type = \"webhook\"\nurl = \"https://a\"\ninsecure = true\nca_file = \"/c\"", "38 refused notify[0].insecure: more than one of tls_fingerprint, ca_file and insecure"},
		{"fingerprint", "type = \"webhook\"\nurl = \"https://a\"\ntls_fingerprint = \"ab\"", `38 refused notify[0].tls_fingerprint: "ab" is not possible`},
		{"no community", "type = \"snmp\"\naddress = \"a\"", "34 refused notify[0].community_file: SNMP 2c has no community"},
		{"community", "type = \"snmp\"\naddress = \"a\"\ncommunity = \"s3cret\"", "38 refused notify[0].community: a secret stands where others read it"},
		{"no password", "type = \"snmp\"\naddress = \"a\"\nuser = \"u\"", "38 refused notify[0].user: SNMP 3 without a password"},
		{"program", "type = \"command\"\ncommand = [\"page\"]", "37 refused notify[0].command[0]: program \"page\" has no full path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := base + "[[notify]]\nname = \"t\"\n" + tt.keys + "\n"
			_, problems := Parse("t.toml", []byte(src), "fw1")
			complete(t, src, problems)
			if got := strings.Join(brief(problems), "\n"); !strings.Contains(got+"\n", tt.want+"\n") {
				t.Errorf("want %s\ngot  %s", tt.want, got)
			}
		})
	}
}

func TestTargetsAreBoundedAndHaveNamesOfTheirOwn(t *testing.T) {
	one := "[[notify]]\nname = \"t\"\ntype = \"syslog\"\n"
	for n, want := range map[int]string{2: `a second target is called "t"`, MaxNotify + 1: "9 targets"} {
		_, problems := Parse("t.toml", []byte(base+strings.Repeat(one, n)), "fw1")
		if got := strings.Join(brief(problems), "\n"); !strings.Contains(got, want) {
			t.Errorf("want %s\ngot  %s", want, got)
		}
	}
}
