package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

var statusCommand = command{
	name: "status", args: "[--watch [--every TIME]] [--json]", summary: "show both nodes, the links and the groups",
	text: `Show what the agent on this box knows of the pair: the guarantee in force,
both nodes, every link and every group, each fact with its age.
The exit code is 3 if one more fault could cost the service, or already did;
the lines that begin with DEGRADED say why.
--watch goes on until q or ctrl-C (exit code 0) and draws what changed; any
other key draws all again. It needs no more than a VT100 of 80 columns and 24
lines, as a serial console has. Where TERM is dumb, or the answer does not go to
a terminal, it prints one block each time instead.`,
	examples: []string{"twinbeat status", "twinbeat status --watch --every 5s", "twinbeat status --json | jq .degraded", "twinbeat status >/dev/null || echo look at it"},
	flags:    []string{"watch", "every", "json", "socket", "config"},
	run:      (*shell).status,
}

var eventsCommand = command{
	name: "events", args: "[-n N] [--follow] [--group GROUP] [--json]", summary: "show what happened: seen, decided, done",
	text: `Show the newest events that the agent holds in memory, oldest first: what was
seen, what was decided and what was done. With --json each is one line.
An event of kind "lost" says how many went by unseen.`,
	examples: []string{"twinbeat events", "twinbeat events --follow --group gateway", "twinbeat events -n 0 --json | jq 'select(.kind == \"role\")'"},
	flags:    []string{"n", "follow", "group", "json", "socket", "config"},
	run:      (*shell).events,
}

// dial connects to the agent: --socket, else what the configuration says, else
// the default. A configuration that cannot be read or used does not stop an
// operator from asking: the agent may run with an older one.
func (sh *shell) dial(o *options) (*control.Client, error) {
	path, err := sh.socketPath(o)
	if err != nil {
		return nil, err
	}
	return control.Dial(path)
}

func (sh *shell) socketPath(o *options) (string, error) {
	path := o.socket
	if path == "" {
		data, err := os.ReadFile(o.config)
		if err != nil && o.configSet {
			return "", fmt.Errorf("read configuration: %w", err)
		}
		if err == nil {
			// The node does not matter: the socket is the same on both.
			c, _ := config.Parse(o.config, data, "")
			path = c.ControlSocket
		}
	}
	if path == "" {
		path = defaultSocket
	}
	return path, nil
}

// snapshot asks for one snapshot over a connection that goes on.
func (sh *shell) snapshot(o *options) (*control.Client, report.Snapshot, error) {
	c, err := sh.dial(o)
	if err != nil {
		return nil, report.Snapshot{}, err
	}
	s, err := c.Snapshot(context.Background())
	if err != nil {
		c.Close()
		return nil, report.Snapshot{}, err
	}
	return c, s, nil
}

// statusAnswer is the answer in JSON.
func statusAnswer(s report.Snapshot) any {
	return struct {
		report.Snapshot
		Degraded []string `json:"degraded"`
	}{s, append([]string{}, report.Reasons(s)...)}
}

func (sh *shell) status(o *options, _ []string) error {
	if o.watch {
		return sh.watchStatus(o)
	}
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.json {
		err = sh.printJSON(statusAnswer(s))
	} else {
		err = sh.print(report.Render(s, sh.columns()))
	}
	if err != nil {
		return err
	}
	if report.Degraded(s) {
		return errDegraded
	}
	return nil
}

func (sh *shell) printJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return sh.print(string(line) + "\n")
}

// widest is where lines become hard to read, however wide the terminal is.
const widest = 120

// columns is the width of the terminal, that of a serial console if stdout is
// none or does not know.
func (sh *shell) columns() int {
	f, ok := sh.stdout.(*os.File)
	if !ok {
		return report.Columns
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return report.Columns
	}
	return min(int(size.Col), widest)
}

func (sh *shell) events(o *options, _ []string) error {
	if o.n < 0 {
		return &usageError{text: fmt.Sprintf("events: -n %d is negative", o.n), hint: "0 shows all that the agent holds"}
	}
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.group != "" {
		if _, err := chooseGroup(s, o.group); err != nil {
			return err
		}
	}
	wanted := func(e report.Event) bool {
		return o.group == "" || e.Group == o.group || e.Kind == "lost"
	}
	var held []report.Event
	var last uint64
	err = c.Events(context.Background(), 0, false, func(e report.Event) error {
		last = max(last, e.Seq)
		if wanted(e) {
			held = append(held, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if o.n > 0 {
		held = held[max(0, len(held)-o.n):]
	}
	for _, e := range held {
		if err := sh.event(o, e); err != nil {
			return err
		}
	}
	if !o.follow {
		return nil
	}
	return c.Events(context.Background(), last, true, func(e report.Event) error {
		if !wanted(e) {
			return nil
		}
		return sh.event(o, e)
	})
}

func (sh *shell) event(o *options, e report.Event) error {
	if o.json {
		return sh.printJSON(e)
	}
	return sh.print(report.RenderEvent(e))
}

// chooseGroup finds the group an operator means. No name means the only group.
func chooseGroup(s report.Snapshot, name string) (string, error) {
	var known []string
	for _, g := range s.Groups {
		known = append(known, g.Name)
	}
	switch {
	case name != "" && slices.Contains(known, name):
		return name, nil
	case name != "":
		return "", unknown("group", name, known)
	case len(known) == 1:
		return known[0], nil
	case len(known) == 0:
		return "", &control.Error{Text: "the agent serves no group"}
	}
	hint := "say which:"
	for _, g := range s.Groups {
		owner := "owned by nobody"
		if g.Owner != "" {
			owner = "owned by " + g.Owner
		}
		hint += fmt.Sprintf("\n  %s (%s)", g.Name, owner)
	}
	return "", &usageError{text: fmt.Sprintf("there are %d groups", len(known)), hint: hint}
}
