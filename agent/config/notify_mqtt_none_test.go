//go:build !mqtt && !lite

package config

import (
	"strings"
	"testing"
)

func TestABuildWithoutTheTagRefusesMQTT(t *testing.T) {
	src := base + "[[notify]]\nname = \"t\"\ntype = \"mqtt\"\naddress = \"192.0.2.50\"\ntopic = \"a/b\"\n"
	_, problems := Parse("t.toml", []byte(src), "fw1")
	complete(t, src, problems)
	if got := strings.Join(brief(problems), "\n"); got != "36 refused notify[0].type: mqtt is not in this build, which was made without tag mqtt" {
		t.Errorf("got %s", got)
	}
	if len(problems) != 1 || !strings.Contains(problems[0].Hint, "make build TAGS=mqtt") {
		t.Errorf("%+v", problems)
	}
}
