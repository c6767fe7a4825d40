//go:build lite

package cli

import (
	"strings"
	"testing"
)

func TestTheLiteBuildSaysWhichCommandsItLeavesOut(t *testing.T) {
	for _, name := range lacking {
		code, out, errs := call(t, "", name, "--help")
		if code != exitUsage || out != "" || !strings.Contains(errs, name+" is not in this build") || find(name) != nil {
			t.Errorf("%s: exit %d, %s%s", name, code, out, errs)
		}
	}
}
