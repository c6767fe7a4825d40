//go:build mqtt && !lite

package config

import (
	"strings"
	"testing"
)

func TestMQTT(t *testing.T) {
	const mqtt = "type = \"mqtt\"\naddress = \"192.0.2.50\"\n"
	for _, tt := range []struct{ name, keys, want string }{
		{"TLS", mqtt + "topic = \"a/b\"\nuser = \"u\"\npassword_file = \"/p\"\nca_file = \"/c\"", ""},
		{"plain", mqtt + "topic = \"Büro/1 a\"\ntransport = \"tcp\"\nretain = true", ""},
		{"no topic", mqtt, "34 refused notify[0]: lacks topic"},
		{"no address", "type = \"mqtt\"\ntopic = \"a\"", "34 refused notify[0]: lacks address"},
		{"empty topic", mqtt + `topic = ""`, "38 refused notify[0].topic: is empty"},
		{"wildcard", mqtt + `topic = "a/+/b"`, `38 refused notify[0].topic: "a/+/b" is no topic to publish to`},
		{"all", mqtt + `topic = "a/#"`, `38 refused notify[0].topic: "a/#" is no topic to publish to`},
		{"the broker's", mqtt + `topic = "$SYS/x"`, `38 refused notify[0].topic: "$SYS/x" is no topic to publish to`},
		{"control", mqtt + `topic = "a\tb"`, `38 refused notify[0].topic: "a\tb" is no topic to publish to`},
		{"long", mqtt + `topic = "` + strings.Repeat("x", maxTopic+1) + `"`, "38 refused notify[0].topic: "},
		{"udp", mqtt + "topic = \"a\"\ntransport = \"udp\"", "39 refused notify[0].transport: there is no MQTT by udp"},
		{"password in plain", mqtt + "topic = \"a\"\ntransport = \"tcp\"\nuser = \"u\"\npassword_file = \"/p\"", "39 warning notify[0].transport: tcp shows the password to the whole way"},
		{"user alone", mqtt + "topic = \"a\"\nuser = \"u\"", "39 refused notify[0].user: user and password_file go together"},
		{"no TLS", mqtt + "topic = \"a\"\ntransport = \"tcp\"\nca_file = \"/c\"", "40 refused notify[0].ca_file: there is no TLS here"},
		{"another's key", mqtt + "topic = \"a\"\nfacility = \"user\"", "39 refused notify[0].facility: does not go with type mqtt"},
		{"topic of a webhook", "type = \"webhook\"\nurl = \"https://a\"\ntopic = \"a\"", "38 refused notify[0].topic: does not go with type webhook"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := base + "[[notify]]\nname = \"t\"\n" + tt.keys + "\n"
			c, problems := Parse("t.toml", []byte(src), "fw1")
			complete(t, src, problems)
			if got := strings.Join(brief(problems), "\n"); tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("want %s\ngot  %s", tt.want, got)
			}
			if n := c.Notify; tt.want == "" && (len(n) != 1 || n[0].Topic == "" || n[0].Transport != map[bool]string{true: "tcp", false: "tls"}[n[0].Retain]) {
				t.Errorf("%+v", n)
			}
		})
	}
}
