//go:build lite

package config

import (
	"strings"
	"testing"
)

func TestTheLiteBuildRefusesTargetsOfAlerts(t *testing.T) {
	_, problems := Parse("t.toml", []byte(base+"[[notify]]\nname = \"t\"\n"), "fw1")
	if got := strings.Join(brief(problems), "\n"); !strings.Contains(got, "refused notify: alerts are not in this build (lite)") {
		t.Errorf("got %s", got)
	}
}
