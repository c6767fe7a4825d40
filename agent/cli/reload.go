//go:build !lite

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

var reloadCommand = command{
	name: "reload", args: "[--dry-run] [--json] [--reason WORDS]", summary: "take up a changed configuration",
	text: `Let the agent take up its configuration file anew, as SIGHUP does. It reads and
checks the whole file first; a bad one changes nothing. What differs is shown
key by key, without secrets, and what each change asks for:
live: done in the running agent; heartbeats go on, and only what changed is
touched. Addresses, routes, rules, announcements, services, fence devices,
monitors, sensors and targets of alerts.
restart: timing, mode, links and what else the machine is made with. The reload
is refused as a whole; a restart of the agent does it, and gives nothing up.
stop both: names, cluster, groups in another order, all links at once, and an
address that changes its group: nodes that differ in it must not run together.
Reload the standby first, then the owner. Between the two no group moves: a
node takes nothing from a peer whose configuration differs, unless the peer is
proven off.
--dry-run tells all that and does nothing. The exit code is 1 if the file was
refused.`,
	examples: []string{"twinbeat check && twinbeat reload --dry-run", "twinbeat reload --reason 'new DNS address'"},
	flags:    []string{"dry-run", "json", "reason", "socket", "config"},
	run:      (*shell).reload,
}

func (sh *shell) reload(o *options, _ []string) error {
	c, err := sh.dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	order := control.Order{Command: control.OrderReload, Reason: o.reason}
	if o.dryRun {
		order = control.Order{Command: control.OrderReloadPlan}
	}
	line, err := c.Do(context.Background(), order)
	if err != nil {
		return err
	}
	var r report.Reload
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return fmt.Errorf("read answer: %v", err)
	}
	if o.json {
		err = sh.printJSON(r)
	} else {
		err = sh.print(report.ReloadText(r))
	}
	if err == nil && r.Refused != "" {
		return &control.Error{Text: "reload: " + r.Refused, Advice: r.Hint}
	}
	return err
}

// redactValue is a value of the configuration without its secrets.
func redactValue(key, value string) string {
	said, _ := redactStatement(key + " = " + value)
	_, shown, _ := strings.Cut(said, "=")
	return strings.Trim(strings.TrimSpace(shown), "\n")
}
