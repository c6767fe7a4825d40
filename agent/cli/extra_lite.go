//go:build lite

package cli

import "github.com/twinbeat/twinbeat/agent/control"

// lacking are the commands that this build lacks.
var lacking = []string{"cable-test", "completion", "drill", "forecast", "init", "notify", "reload", "sensors", "simulate", "support"}

// extra are the commands that a small build leaves out: none of them here.
func extra() []*command { return nil }

// redactor is for reload, which a small build leaves out.
var redactor func(key, value string) string

func (sh *shell) watchStatus(*options) error {
	return &control.Error{Text: "status --watch is not in this build (lite)", Advice: "twinbeat status shows the same once; twinbeat events --follow goes on"}
}

func first() []*command { return nil }
