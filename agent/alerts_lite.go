//go:build lite

package agent

import (
	"context"
	"sync"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/report"
)

// alerts are not in this build; the configuration is refused if it has targets.
type alerts struct{}

func (a *agent) openAlerts()                        {}
func (alerts) run(context.Context, *sync.WaitGroup) {}
func (alerts) view() *report.Alerting               { return nil }

// ExamineNotify has nothing to look at in this build.
func ExamineNotify(config.Config) []config.Problem { return nil }
