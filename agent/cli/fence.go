package cli

import (
	"errors"
	"slices"
	"strings"
)

// Exit codes of the fence commands, beside those of all.
const (
	exitRefused     = 4 // nothing was sent: it would be wrong, or is not what was pinned
	exitUnproven    = 5 // it was sent, but the power is not known to be as asked
	exitUnreachable = 6 // no device answered; what was sent may act all the same
)

// fenceCodes is the paragraph that says so in every page of help.
const fenceCodes = `
Exit codes: 0 proven, 1 failed, 2 usage, 4 refused (nothing was sent), 5
unproven (it was sent, but the power is not known to be as asked), 6
unreachable (no device answered; what was sent may act all the same).`

// fenceTarget is the paragraph that says what a fence command acts on.
const fenceTarget = `
Without --driver it acts on the devices of the configuration: all that feed the
peer, those that feed --node, or --device alone. With --driver and --address it
needs no configuration. Outlets are a list with commas, their index or their
name; a comma in a name is written \, or the flag is repeated. There is no word
for all outlets. Secrets come from files of mode 0600 or from the environment:
TWINBEAT_FENCE_COMMUNITY, _PASSWORD, _AUTH, _PRIV.
`

// A coded error ends a command with an exit code of its own.
type coded struct {
	error
	code int
}

func (e *coded) Unwrap() error { return e.error }

// exitOf returns the exit code that an error calls for.
func exitOf(err error) int {
	var usage *usageError
	var c *coded
	switch {
	case err == nil:
		return exitWell
	case errors.Is(err, errDegraded):
		return exitDegraded
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

// deviceArgs are the arguments in the synopsis of what takes a device.
const deviceArgs = "[--node NODE] [--device NAME | --driver D --address HOST[:PORT]] [--outlet N|NAME[,M...]]"

// fenceFlags are those that every command takes that asks a device, and own
// the others of one command.
func fenceFlags(own ...string) []string {
	all := append([]string{"config", "fence-node", "device", "outlet", "fence-time", "json", "insecure"}, own...)
	for _, f := range deviceFlags {
		all = append(all, f.flag)
	}
	return all
}

var fenceOffCommand = command{
	name: "fence off", args: deviceArgs, summary: "switch a node off, and prove it",
	text: `Switch off every outlet of a node and prove it: the command to each, a reading
of exactly off twice, nothing pending, the hold-up time, one more reading, and
where there is a meter the load gone. Level after level, as configured.
It refuses this node's own outlets, and says what it did to the history.
` + fenceTarget + fenceCodes,
	examples: []string{
		"twinbeat fence off --reason 'burning'", "twinbeat fence off --node fw2 --device pdu --dry-run",
		"twinbeat fence off --driver apc --address 192.0.2.20 --outlet 1,5",
	},
	flags: fenceFlags("dry-run", "force", "reason", "socket"),
	run:   func(sh *shell, o *options, _ []string) error { return sh.fence(o, "off") },
}

var fenceOnCommand = command{
	name: "fence on", args: deviceArgs, summary: "switch a node on",
	text: `Switch on every outlet of a node and read that each is on. It is refused for the
peer while this node owns a group on the proof that the peer is off, and cannot
hear it: --force does it all the same, once the links are whole.
` + fenceTarget + fenceCodes,
	examples: []string{"twinbeat fence on", "twinbeat fence on --driver apc --address 192.0.2.20 --outlet 'fw2 PSU 1'"},
	flags:    fenceFlags("dry-run", "force", "reason", "socket"),
	run:      func(sh *shell, o *options, _ []string) error { return sh.fence(o, "on") },
}

var fenceRebootCommand = command{
	name: "fence reboot", args: deviceArgs + " [--hold TIME]", summary: "switch a node off, prove it, wait, and on again",
	text: `Off, proof, hold, on. Nothing is switched on unless off was proven. The device's
own reboot command is never used: nobody could see that the node was off.
` + fenceTarget + fenceCodes,
	examples: []string{"twinbeat fence reboot --hold 20s", "twinbeat fence reboot --driver ipmi --address 192.0.2.32 --user twinbeat"},
	flags:    fenceFlags("dry-run", "force", "reason", "socket", "hold"),
	run:      func(sh *shell, o *options, _ []string) error { return sh.fence(o, "reboot") },
}

var fenceStatusCommand = command{
	name: "fence status", args: deviceArgs, summary: "read the power of a node",
	text: `Read every outlet of a node: on, off or unknown, what is pending, and the load.
` + fenceTarget + `
Exit codes: 0 the power is known, 1 failed, 2 usage, 5 it reads neither on nor
off, 6 no device answered.`,
	examples: []string{"twinbeat fence status --json", "twinbeat fence status --driver tasmota --address 192.0.2.40 --outlet 1"},
	flags:    fenceFlags(),
	run:      func(sh *shell, o *options, _ []string) error { return sh.fence(o, "status") },
}

var fenceListCommand = command{
	name: "fence list", args: "[--device NAME | --driver D --address HOST[:PORT]]", summary: "list the outlets of a device",
	text: `List every outlet of a device with its name, power and load.
` + fenceTarget + `
Exit codes: 0 listed, 1 failed, 2 usage, 6 the device did not answer.`,
	examples: []string{"twinbeat fence list --device pdu", "twinbeat fence list --driver apc --address 192.0.2.20 --community public"},
	flags:    fenceFlags(),
	run:      (*shell).fenceList,
}

var fenceIdentifyCommand = command{
	name: "fence identify", args: deviceArgs, summary: "ask a device what it is, and print its pins",
	text: `Ask each device for its make, model, serial number and number of outlets, and
for the name of each outlet, and print them as the keys of the configuration
that pin them: a fence refuses a device that is another one.
` + fenceTarget + `
Exit codes: 0 told, 1 failed, 2 usage, 4 it is not what is pinned, 6 a device
did not answer.`,
	examples: []string{"twinbeat fence identify --device pdu", "twinbeat fence identify --driver snmp --address 192.0.2.20 --outlet 1"},
	flags:    fenceFlags(),
	run:      (*shell).fenceIdentify,
}

var fenceTestCommand = command{
	name: "fence test", args: "--device NAME --outlet N | --driver D --address HOST --outlet N", summary: "try a device on an outlet that nothing hangs on",
	text: `Switch a spare outlet off, prove it, and on again, with the time of each: what
the device says it can, it can. The outlet must be in no node's list, and is
refused if its meter shows a load. It is left as it was found.
` + fenceTarget + fenceCodes,
	examples: []string{"twinbeat fence test --device pdu --outlet 8"},
	flags:    fenceFlags("dry-run", "force", "reason"),
	run:      func(sh *shell, o *options, _ []string) error { return sh.fence(o, "test") },
}

var fenceVerifyCommand = command{
	name: "fence verify", args: "[--reason WORDS]", summary: "prove the wiring: the right outlets kill the right box",
	text: `Ask the agent on this box to switch the peer off, watch its serial lines and its
heartbeats fall, and switch it on again. The peer must be in maintenance. Mode
fence arms only behind a wiring that was verified, unless it is waived in the
configuration; a changed wiring must be verified again.`,
	examples: []string{"twinbeat fence verify --reason 'new PDU'"},
	flags:    []string{"reason", "socket", "config"},
	run:      (*shell).fenceVerify,
}

var fenceHistoryCommand = command{
	name: "fence history", args: "[-n N] [--json]", summary: "show what was done with the power of the nodes",
	text: `Show what was done with the power of the nodes from this box, by the agent or by
an operator, oldest first: who, when, why, and the evidence. With --json each is
one line.`,
	examples: []string{"twinbeat fence history", "twinbeat fence history -n 0 --json | jq 'select(.proven | not)'"},
	flags:    []string{"n", "json", "config"},
	run:      (*shell).fenceHistory,
}

// fenceCommands are the verbs of twinbeat fence.
func fenceCommands() []*command {
	return []*command{
		&fenceOffCommand, &fenceOnCommand, &fenceRebootCommand, &fenceStatusCommand, &fenceListCommand,
		&fenceIdentifyCommand, &fenceTestCommand, &fenceVerifyCommand, &fenceHistoryCommand,
	}
}

// match finds the command that words begin with, of one word or two, and
// returns the words behind it.
func match(words []string) (*command, []string, error) {
	if len(words) > 1 {
		if c := find(words[0] + " " + words[1]); c != nil {
			return c, words[2:], nil
		}
	}
	if c := find(words[0]); c != nil {
		return c, words[1:], nil
	}
	var verbs []string
	for _, name := range names() {
		if verb, ok := strings.CutPrefix(name, words[0]+" "); ok {
			verbs = append(verbs, verb)
		}
	}
	switch {
	case slices.Contains(lacking, words[0]):
		return nil, nil, &usageError{text: words[0] + " is not in this build", hint: "twinbeat version -v tells which one it is; see the README's table of builds"}
	case len(verbs) == 0:
		return nil, nil, unknown("command", words[0], names())
	case len(words) == 1 || strings.HasPrefix(words[1], "-"):
		return nil, nil, &usageError{text: words[0] + ": do what?", hint: "one of: " + strings.Join(verbs, ", ")}
	}
	return nil, nil, unknown(words[0]+" command", words[1], verbs)
}
