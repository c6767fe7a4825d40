package cli

import (
	"fmt"
	"strings"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

var watchdogCommand = command{
	name: "watchdog", args: "[--json] | --disarm [--reason WORDS]", summary: "show the box's watchdogs, or disarm the agent's",
	text: `Show the watchdog devices of this box, who holds them, and what the agent feeds
its own by: every piece of vital work with its age. No device is opened, since
that would arm it. --disarm ends the watch over this box until the agent is
started again, for work under which it must not reset; it asks for a phrase. A
clean stop of the agent does not disarm: the next one has the hand-over time.`,
	examples: []string{"twinbeat watchdog", "twinbeat watchdog --disarm --reason 'debugging the kernel'"},
	flags:    []string{"json", "disarm", "reason", "socket", "config"},
	run:      (*shell).watchdog,
}

// kennel is the answer of the command.
type kennel struct {
	Devices any              `json:"devices"`
	Agent   *report.Watchdog `json:"agent,omitempty"`
	Reset   *report.Reset    `json:"last_reset,omitempty"`
}

func (sh *shell) watchdog(o *options, _ []string) error {
	if o.disarm {
		return sh.disarm(o)
	}
	seen := agent.Watchdogs()
	k := kennel{Devices: seen}
	c, s, err := sh.snapshot(o)
	if err == nil {
		c.Close()
		k.Agent, k.Reset = s.Watchdog, s.LastReset
	}
	if o.json {
		return sh.printJSON(k)
	}
	var b strings.Builder
	for _, d := range seen {
		b.WriteString(report.Paragraph("device  ", 8, d.String()))
	}
	if len(seen) == 0 {
		b.WriteString("device  none: no driver is loaded\n")
	}
	if err != nil {
		b.WriteString(report.Paragraph("agent   ", 8, err.Error()))
	} else {
		b.WriteString(report.WatchdogText(k.Agent, k.Reset))
	}
	return sh.print(b.String())
}

// disarmPhrase is typed by whoever wants a box that nobody resets.
const disarmPhrase = "leave this box unguarded"

func (sh *shell) disarm(o *options) error {
	c, err := sh.dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintln(sh.stderr, "If this box hangs from now on, nothing resets it.")
	if err := sh.typed(disarmPhrase); err != nil {
		return err
	}
	return sh.order(c, control.Order{Command: control.OrderWatchdogDisarm, Reason: o.reason})
}
