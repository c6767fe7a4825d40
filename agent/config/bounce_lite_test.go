//go:build lite || no_virtual

package config

import (
	"strings"
	"testing"
)

func TestTheLiteBuildRefusesBounces(t *testing.T) {
	_, problems := Parse("t.toml", []byte(base+"[bounce]\n"), "fw1")
	if got := strings.Join(brief(problems), "\n"); !strings.Contains(got, "refused bounce: carrier bounces are not in this build (lite, or tag no_virtual)") {
		t.Errorf("got %s", got)
	}
}
