//go:build !lite

package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/link/cable"
	"github.com/twinbeat/twinbeat/agent/report"
)

var cableCommand = command{
	name: "cable-test", args: "[DEVICE] [--wait TIME] [--json]", summary: "find out what a serial cable is and how fast it may be",
	text: `Run it on both boxes within --wait of each other, on the ports that the cable
joins: the two tests find each other at 9600 baud, see which modem lines the
cable carries, and measure loss, round trip and bit errors at each line speed up
to 921600 that both ports can do; that takes less than a minute. Both tell the
same. Against a running agent it cannot work: an agent keeps its port, says only
what is signed, and changes no speed; so the port must be free on both boxes. A
loopback plug instead of the cable tests this box's port alone.
DEVICE may be left out if the configuration has one serial link.
Exit codes: 0 some line speed is clean (with a plug: the port answered); 1 no
test answers, or the port is in use; 3 no line speed is clean.`,
	examples: []string{"twinbeat cable-test", "twinbeat cable-test /dev/ttyS1 --wait 5m", "twinbeat cable-test /dev/ttyUSB0 --json"},
	flags:    []string{"wait", "json", "node", "socket", "config"},
	operands: 1,
	run:      (*shell).cableTest,
}

const (
	minWait = 2 * time.Second
	maxWait = time.Hour
)

// cableAnswer is the answer in JSON.
type cableAnswer struct {
	Device string `json:"device"`
	cable.Report
	Proves []string `json:"proves"`
	Cannot []string `json:"cannot_prove"`
}

func (sh *shell) cableTest(o *options, operands []string) error {
	if o.wait < minWait || o.wait > maxWait {
		return &usageError{text: fmt.Sprintf("cable-test: --wait %s is not within %s and %s", o.wait, minWait, maxWait)}
	}
	device, err := sh.cableDevice(o, operands)
	if err != nil {
		return err
	}
	if err := sh.agentHolds(o, device); err != nil {
		return err
	}
	say := func(format string, args ...any) {
		fmt.Fprintln(sh.stderr, report.Clean(fmt.Sprintf(format, args...)))
	}
	times := cable.Usual
	times.Meet = o.wait
	r, err := agent.TestCable(device, times, say)
	if errors.Is(err, cable.ErrNobody) {
		return &control.Error{Text: err.Error(), Advice: nobodyHint(err.Error())}
	}
	if err != nil {
		return err
	}
	a := cableAnswer{Device: device, Report: r}
	a.Proves, a.Cannot = cable.Proves(r.Class)
	if o.json {
		err = sh.printJSON(a)
	} else {
		err = sh.print(a.text())
	}
	if err == nil && r.Recommend == 0 && r.Class != cable.Plug {
		return errDegraded
	}
	return err
}

func nobodyHint(text string) string {
	switch {
	case strings.Contains(text, "twinbeat agent"):
		return "both ports must be free: take the [[link]] out of the configuration on both boxes and restart one agent after the other; or stop both agents"
	case strings.Contains(text, "login prompt"):
		return "end the getty or console on the other box's port; then run cable-test there"
	case strings.Contains(text, "not a byte"):
		return "run twinbeat cable-test on the other box, too; if you did: is it the right port, and does the cable cross RX and TX?"
	}
	return "is it the right port on both boxes, and is nothing else on it?"
}

// cableDevice is the port that is meant.
func (sh *shell) cableDevice(o *options, operands []string) (string, error) {
	if len(operands) > 0 {
		return operands[0], nil
	}
	data, err := os.ReadFile(o.config)
	if err != nil {
		return "", &usageError{text: "cable-test: which port? " + err.Error(), hint: "twinbeat cable-test /dev/ttyS1"}
	}
	node := o.node
	if node == "" {
		node, _ = os.Hostname()
	}
	c, _ := config.Parse(o.config, data, node)
	var devices []string
	for _, l := range c.Links {
		if l.Device != "" {
			devices = append(devices, l.Device)
		}
	}
	if len(devices) != 1 {
		return "", &usageError{
			text: fmt.Sprintf("cable-test: which port? %s has %d serial links for %s", o.config, len(devices), node),
			hint: strings.TrimSpace("twinbeat cable-test DEVICE " + strings.Join(devices, " or ")),
		}
	}
	return devices[0], nil
}

// agentHolds refuses a port that the agent of this box says it uses.
func (sh *shell) agentHolds(o *options, device string) error {
	c, s, err := sh.snapshot(o)
	if err != nil {
		return nil // no agent; who holds the port all the same is found otherwise
	}
	c.Close()
	for _, l := range s.Links {
		if l.Name == "serial "+device {
			held := agent.HeldError{Device: device, Holders: []string{"the twinbeat agent of " + s.Self.Name}}
			return &held
		}
	}
	return nil
}

// text is the answer for a person.
func (a cableAnswer) text() string {
	var b strings.Builder
	para := func(name, text string) { b.WriteString(report.Paragraph(name, 14, text)) }
	para("PORT", a.Device)
	para("CABLE", a.Class)
	for _, d := range a.Details {
		para("", d)
	}
	b.WriteString("\n" + cable.RateHeader + "\n")
	for _, r := range a.Rates {
		b.WriteString(report.Clean(r.String()) + "\n")
	}
	b.WriteString("< is a bound: no bit error was seen, at a confidence of 95 %. B lost: bytes that\nthe cable lost, or a box that reads too slowly.\n\n")
	for _, p := range a.Proves {
		para("proves", p)
	}
	for _, p := range a.Cannot {
		para("cannot prove", p)
	}
	if a.Recommend > 0 {
		para("RECOMMENDED", fmt.Sprintf("baud = %d: %s", a.Recommend, a.Why))
	} else {
		para("RECOMMENDED", "no line speed: "+a.Why)
	}
	return b.String()
}
