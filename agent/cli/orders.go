package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

var handoverCommand = command{
	name: "handover", args: "[GROUP] [--reason WORDS] [--force]", summary: "give a group to the peer, in order",
	text: `Give a group that this node owns to the peer: services stop in reverse order,
the gate closes, and the peer takes over without a wait. It is refused if the
peer could not take it; one that is worse off, by its health or because the
services failed there, takes it with --force. GROUP may be left out if there is
only one.`,
	examples: []string{"twinbeat handover --reason 'new kernel'", "twinbeat handover gateway"},
	flags:    []string{"reason", "force", "socket", "config"},
	operands: 1,
	run: func(sh *shell, o *options, operands []string) error {
		return sh.orderGroup(o, control.OrderHandover, operands)
	},
}

var takeCommand = command{
	name: "take", args: "[GROUP] [--reason WORDS] [--force]", summary: "ask the peer for a group, in order",
	text: `Ask the peer to release a group to this node. If the peer does not
release it, it stays where it is. --force is for a node that is worse off than
its peer, and takes nothing from anybody. GROUP may be left out if there is only
one.`,
	examples: []string{"twinbeat take gateway --reason 'back home'"},
	flags:    []string{"reason", "force", "socket", "config"},
	operands: 1,
	run: func(sh *shell, o *options, operands []string) error {
		return sh.orderGroup(o, control.OrderTake, operands)
	},
}

var resumeCommand = command{
	name: "resume", args: "[GROUP] [--reason WORDS]", summary: "come back from maintenance, failed or unfit",
	text: `Tell the agent that the cause is repaired: it ends maintenance on this node, and
clears failed and unfit of GROUP, or of every group if none is named.`,
	examples: []string{"twinbeat resume", "twinbeat resume gateway --reason 'dnsmasq fixed'"},
	flags:    []string{"reason", "socket", "config"},
	operands: 1,
	run:      (*shell).resume,
}

var maintenanceCommand = command{
	name: "maintenance", args: "on|off|status --reason WORDS [--for TIME] [--force]", summary: "take this node out of service, and back",
	text: `maintenance on hands every group to the peer and keeps this node from taking any
until maintenance off, over restarts, or for as long as --for says. It is
refused if the peer could not take a group; --force leaves that group unserved.
maintenance status tells it for both nodes; its exit code is 3 if this node is
in maintenance.`,
	examples: []string{"twinbeat maintenance on --reason 'new disk' --for 2h", "twinbeat maintenance status", "twinbeat maintenance off"},
	flags:    []string{"reason", "for", "force", "socket", "config"},
	operands: 1,
	run:      (*shell).maintenance,
}

var confirmDeadCommand = command{
	name: "confirm-dead", args: "[--yes-the-peer-is-off PEERNAME]", summary: "vouch that the peer is powered off",
	text: `Tell the agent that you saw the peer powered off, so that this node may take its
groups where no fence device can prove it. If the peer runs after all, BOTH
nodes own the addresses: go and look first. It asks for a phrase; a script gives
the peer's name with --yes-the-peer-is-off instead. It is refused while the peer
is heard.`,
	examples: []string{"twinbeat confirm-dead", "twinbeat confirm-dead --yes-the-peer-is-off fw2 --reason 'power supply burnt'"},
	flags:    []string{"yes-the-peer-is-off", "reason", "socket", "config"},
	run:      (*shell).confirmDead,
}

// order gives an order and prints what became of it.
func (sh *shell) order(c *control.Client, o control.Order) error {
	result, err := c.Do(context.Background(), o)
	if err != nil {
		return err
	}
	return sh.print(report.Clean(result) + "\n")
}

func (sh *shell) orderGroup(o *options, command string, operands []string) error {
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	defer c.Close()
	name := ""
	if len(operands) > 0 {
		name = operands[0]
	}
	group, err := chooseGroup(s, name)
	if err != nil {
		return err
	}
	return sh.order(c, control.Order{Command: command, Group: group, Reason: o.reason, Force: o.force})
}

func (sh *shell) resume(o *options, operands []string) error {
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	defer c.Close()
	order := control.Order{Command: control.OrderResume, Reason: o.reason}
	if len(operands) > 0 {
		if order.Group, err = chooseGroup(s, operands[0]); err != nil {
			return err
		}
	}
	return sh.order(c, order)
}

func (sh *shell) maintenance(o *options, operands []string) error {
	if len(operands) == 0 {
		return &usageError{text: "maintenance: on, off or status?"}
	}
	verb := operands[0]
	span, err := parseSpan(o.span)
	if err != nil {
		return err
	}
	if verb != "on" && (o.span != "" || o.force) {
		return &usageError{text: "maintenance: --for and --force go with on"}
	}
	if verb == "on" && o.reason == "" {
		return &usageError{text: "maintenance on: say why with --reason", hint: "the next person will ask"}
	}
	order := control.Order{Reason: o.reason, For: span, Force: o.force}
	switch verb {
	case "on":
		order.Command = control.OrderMaintenanceOn
	case "off":
		order.Command = control.OrderMaintenanceOff
	case "status":
		return sh.maintenanceStatus(o)
	default:
		return unknown("word for maintenance", verb, []string{"on", "off", "status"})
	}
	c, err := sh.dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	return sh.order(c, order)
}

func (sh *shell) maintenanceStatus(o *options) error {
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	defer c.Close()
	text := ""
	for _, n := range []report.NodeView{s.Self, s.Peer} {
		state := "in service"
		if n.Maintenance != nil {
			state = report.MaintenanceText(*n.Maintenance)
		}
		text += report.Paragraph(n.Name, 12, state)
	}
	if !s.Peer.Alive {
		text += fmt.Sprintf("what is said of %s is old: it is not alive\n", report.Clean(s.Peer.Name))
	}
	if err := sh.print(text); err != nil {
		return err
	}
	if s.Self.Maintenance != nil {
		return errDegraded
	}
	return nil
}

// parseSpan reads a time as Go writes it, and days.
func parseSpan(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	span, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		n = min(n, 1000) // far beyond the limit, without overflow
		span = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || span < time.Second || span > control.MaxFor {
		return 0, &usageError{
			text: fmt.Sprintf("--for %q is not a time between 1s and %dd", text, int(control.MaxFor.Hours()/24)),
			hint: "write it as 90m, 2h or 3d",
		}
	}
	return span, nil
}

// maxPhrase is how much of the answer to a question is read.
const maxPhrase = 200

func (sh *shell) confirmDead(o *options, _ []string) error {
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	defer c.Close()
	peer := s.Peer.Name
	if s.Peer.Alive {
		heard := "now"
		if s.Peer.HeardAgoMS != nil {
			heard = report.Span(*s.Peer.HeardAgoMS) + " ago"
		}
		return &control.Error{
			Text:   fmt.Sprintf("%s is not dead: it was heard %s", peer, heard),
			Advice: "to move its groups here: twinbeat take",
		}
	}
	if o.peerIsOff != "" && o.peerIsOff != peer {
		return &usageError{text: fmt.Sprintf("confirm-dead: the peer is %s, not %s", peer, o.peerIsOff), hint: "are you on the right box? this is " + s.Self.Name}
	}
	if o.peerIsOff == "" {
		if err := sh.askForPhrase(s); err != nil {
			return err
		}
	}
	return sh.order(c, control.Order{Command: control.OrderConfirmDead, Reason: o.reason})
}

// askForPhrase lets the operator type what no habit types.
func (sh *shell) askForPhrase(s report.Snapshot) error {
	phrase := s.Peer.Name + " is off"
	heard := "It was not heard since the agent started."
	if s.Peer.HeardAgoMS != nil {
		heard = fmt.Sprintf("It was last heard %s ago.", report.Span(*s.Peer.HeardAgoMS))
	}
	fmt.Fprint(sh.stderr, report.Clean(fmt.Sprintf(`You are about to vouch that %s is powered off. %s`, s.Peer.Name, heard)), "\n",
		"If it runs after all, both nodes own the addresses at once.\n",
		"Go and look: no light, no fan, or the mains cable in your hand.\n")
	return sh.typed(phrase)
}

// typed reads the phrase from whoever is to type it.
func (sh *shell) typed(phrase string) error {
	fmt.Fprint(sh.stderr, report.Clean(fmt.Sprintf("Type %q to go on: ", phrase)))
	typed, err := bufio.NewReader(io.LimitReader(sh.stdin, maxPhrase)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read phrase: %w", err)
	}
	if strings.TrimSpace(typed) != phrase {
		return &control.Error{Text: "not confirmed: nothing was done", Advice: "the phrase is: " + phrase}
	}
	return nil
}
