//go:build !lite

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

var notifyCommand = command{
	name: "notify", args: "[--test [NAME]] [--json]", summary: "show who is told of alarms, or send them a test",
	text: `Show the targets of alerts as the agent on this box knows them: when each was
told last, what it answered, how much waits for it.
--test sends a test alert to the target NAME, or to all, and tells what each
answered. It goes past the agent, its filters and its queues, and works without
an agent, too; it reads the configuration and the files with secrets, as root.
The exit code is 1 if a target did not take it. By UDP nobody can know.`,
	examples: []string{"twinbeat notify", "twinbeat notify --test", "twinbeat notify --test mail"},
	flags:    []string{"test", "json", "config", "node", "socket"},
	operands: 1,
	run:      (*shell).notify,
}

func (sh *shell) notify(o *options, names []string) error {
	if o.test {
		return sh.testNotify(o, append(names, "")[0])
	}
	if len(names) > 0 {
		return &usageError{text: "notify: a name goes with --test", hint: "twinbeat notify --test " + names[0]}
	}
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	c.Close()
	switch {
	case o.json:
		return sh.printJSON(s.Alerting)
	case s.Alerting == nil:
		return sh.print("nobody is told of alarms: the configuration has no [[notify]]\n")
	}
	return sh.print(strings.TrimPrefix(report.AlertingText(s.Alerting), "\n"))
}

func (sh *shell) testNotify(o *options, name string) error {
	c, err := configured(o)
	if err != nil {
		return err
	}
	if len(c.Notify) == 0 {
		return &control.Error{Text: "the configuration has no [[notify]]", Advice: "reference.toml shows one of each type"}
	}
	tested, err := agent.TestNotify(context.Background(), c, name)
	if errors.Is(err, agent.ErrNoTarget) {
		var known []string
		for _, n := range c.Notify {
			known = append(known, n.Name)
		}
		return &control.Error{Text: err.Error(), Advice: "there are " + strings.Join(known, ", ")}
	}
	if o.json {
		err = sh.printJSON(tested)
	} else {
		err = sh.print(testText(tested, agent.TrapEngine(c)))
	}
	failed := 0
	for _, t := range tested {
		if t.Error != "" {
			failed++
		}
	}
	if err == nil && failed > 0 {
		return fmt.Errorf("%d of %d targets did not take it", failed, len(tested))
	}
	return err
}

func testText(tested []agent.TestedTarget, engine string) string {
	var b strings.Builder
	for _, t := range tested {
		said := t.Answer
		if t.Error != "" {
			said = "FAILED: " + t.Error
		}
		took := report.Span(float64(t.Took.Microseconds()) / 1000)
		b.WriteString(report.Paragraph(t.Name, 12, fmt.Sprintf("%s %s, after %s: %s", t.Type, t.Where, took, said)))
	}
	if engine != "" {
		b.WriteString(report.Paragraph("", 12, "SNMP 3 traps come from engine "+engine+": the receiver must know the user for it"))
	}
	return b.String()
}

// configured reads the configuration as this node.
func configured(o *options) (config.Config, error) {
	data, err := os.ReadFile(o.config)
	if err != nil {
		return config.Config{}, fmt.Errorf("read configuration: %w", err)
	}
	node := o.node
	if node == "" {
		node = hostName()
	}
	c, problems := config.Parse(o.config, data, node)
	for _, p := range problems {
		if !p.Warning {
			err = errors.Join(err, p)
		}
	}
	return c, err
}
