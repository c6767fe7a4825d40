package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/fence"
)

// Where things are if nobody says otherwise.
const (
	defaultConfig = "/etc/twinbeat/twinbeat.toml"
	defaultSocket = "/run/twinbeat.sock"
	defaultKeys   = "/etc/twinbeat/keys"
	defaultState  = "/var/lib/twinbeat"
	defaultEvents = 20
)

// A command is one verb of the program.
type command struct {
	name     string
	args     string // in the synopsis, behind the name
	summary  string // one line of the overview
	text     string // the paragraphs of its help
	examples []string
	flags    []string // that it takes, by name in flagTable
	operands int      // how many words it takes beside its flags, at most
	run      func(sh *shell, o *options, operands []string) error
}

// commands is the table of all, in the order of the overview. It is a function
// because the commands' code needs it, too.
func commands() []*command {
	all := append(first(),
		&runCommand, &checkCommand, &keygenCommand,
		&statusCommand, &eventsCommand,
		&handoverCommand, &takeCommand, &maintenanceCommand, &resumeCommand, &confirmDeadCommand,
		&watchdogCommand,
	)
	return append(append(append(all, fenceCommands()...), &versionCommand), extra()...)
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

func names() []string {
	var out []string
	for _, c := range commands() {
		out = append(out, c.name)
	}
	return append(out, "help")
}

// options holds what flags set, whichever command takes them.
type options struct {
	config    string
	configSet bool // --config was given, not defaulted
	socket    string
	node      string
	logLevel  string

	supervised  bool
	supportFile string
	json        bool
	follow      bool
	n           int
	group       string
	reason      string
	span        string
	force       bool
	peerIsOff   string
	out         string
	id          int
	add         bool
	activate    int
	remove      int
	verbose     bool
	seeds       uint64
	seed        uint64
	mode        string
	trace       bool
	only        string
	results     string
	record      string
	replay      string
	minimise    bool
	outlets     []string       // of fence commands
	device      map[string]any // by the keys of [[fence.device]]; nil: the configuration's
	insecure    bool
	deviceOf    string // name of a device in the configuration
	fenceNode   string // whose power it is
	fenceTime   time.Duration
	hold        time.Duration
	dryRun      bool
	csv         string // of forecast
	column      int
	limitHigh   *float64 // nil: none
	limitLow    *float64
	disarm      bool
	watch       bool
	every       time.Duration
	back        bool // of drill
	at          string
	in          time.Duration
	limit       time.Duration
	stay        time.Duration
	tcp         int
	wait        time.Duration // of cable-test

	answers  map[string][]string // of init, by flag
	keysText string              // of init: the key file before it is written
	yes      bool
	detect   bool
	test     bool // of notify
}

// flagTable binds every flag of the program. A flag means the same in all
// commands that take it.
var flagTable = map[string]func(*flag.FlagSet, *options){
	"config": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.config, "config", defaultConfig, "configuration `FILE`")
	},
	"socket": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.socket, "socket", "", "control socket `PATH` of the agent (default: control_socket of the configuration)")
	},
	"node": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.node, "node", "", "`NAME` of the node this is (default: the host name)")
	},
	"log-level": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.logLevel, "log-level", "info", "least `LEVEL` that is logged: debug, info, warn or error")
	},
	"supervised": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.supervised, "supervised", false, "an init starts it again at once: end only 5s after a failure")
	},
	"json": func(fs *flag.FlagSet, o *options) { fs.BoolVar(&o.json, "json", false, "answer in JSON") },
	"watch": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.watch, "watch", false, "go on showing it, until q is typed or it is interrupted")
	},
	"every": func(fs *flag.FlagSet, o *options) {
		fs.DurationVar(&o.every, "every", time.Second, "ask the agent each `TIME`")
	},
	"return": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.back, "return", false, "move the group back afterwards, whatever was seen")
	},
	"at": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.at, "at", "", "begin at this `TIME`: 03:30, or \"2026-12-31 03:30\"")
	},
	"in": func(fs *flag.FlagSet, o *options) { fs.DurationVar(&o.in, "in", 0, "begin after this `TIME`, as 10m") },
	"limit": func(fs *flag.FlagSet, o *options) {
		fs.DurationVar(&o.limit, "limit", time.Second, "longest `TIME` without anybody serving that is well")
	},
	"stay": func(fs *flag.FlagSet, o *options) {
		fs.DurationVar(&o.stay, "stay", 10*time.Second, "watch the new owner for this `TIME`")
	},
	"wait": func(fs *flag.FlagSet, o *options) {
		fs.DurationVar(&o.wait, "wait", time.Minute, "wait for the other box for this `TIME`")
	},
	"tcp": func(fs *flag.FlagSet, o *options) {
		fs.IntVar(&o.tcp, "tcp", 0, "ask the service on this `PORT` of the group's first address, too")
	},
	"follow": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.follow, "follow", false, "go on with the events to come")
	},
	"n": func(fs *flag.FlagSet, o *options) {
		fs.IntVar(&o.n, "n", defaultEvents, "show the newest `N` events, 0 for all that are kept")
	},
	"group": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.group, "group", "", "only this `GROUP`")
	},
	"reason": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.reason, "reason", "", "why, in a few `WORDS`, for the journal")
	},
	"for": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.span, "for", "", "end by itself after this `TIME`, as 90m, 2h or 3d")
	},
	"force": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.force, "force", false, "do it even where it is refused for the sake of the service or the file")
	},
	"yes-the-peer-is-off": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.peerIsOff, "yes-the-peer-is-off", "", "do not ask; `PEERNAME` must be the peer's name")
	},
	"out": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.out, "out", "", "key `FILE`, - for stdout (default: key_file of the configuration)")
	},
	"id": func(fs *flag.FlagSet, o *options) {
		fs.IntVar(&o.id, "id", 0, "`ID` of the new key, 1 to 255 (default: the lowest that is free)")
	},
	"add": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.add, "add", false, "add a key to the file; the active one stays active")
	},
	"activate": func(fs *flag.FlagSet, o *options) {
		fs.IntVar(&o.activate, "activate", 0, "sign with the key of this `ID` from now on")
	},
	"remove": func(fs *flag.FlagSet, o *options) {
		fs.IntVar(&o.remove, "remove", 0, "forget the key of this `ID`")
	},
	"seeds": func(fs *flag.FlagSet, o *options) {
		fs.Uint64Var(&o.seeds, "seeds", 100, "how many seeds are played, `N`")
	},
	"seed": func(fs *flag.FlagSet, o *options) { fs.Uint64Var(&o.seed, "seed", 1, "the first seed, `S`") },
	"mode": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.mode, "mode", "", "only this `MODE`: fence, silence or lease (default: all)")
	},
	"trace": func(fs *flag.FlagSet, o *options) { fs.BoolVar(&o.trace, "trace", false, "print all that happens") },
	"only": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.only, "only", "", "only runs of this `KIND`: cuts cuts all links at once")
	},
	"results": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.results, "results", "", "play in slices, each a line of `FILE`; those that are there are not played again")
	},
	"record": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.record, "record", "", "write a table of all slices to `FILE`")
	},
	"replay": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.replay, "replay", "", "play the schedule in `FILE`")
	},
	"minimise": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.minimise, "minimise", false, "cut a schedule that fails down to the faults that matter")
	},
	"csv": func(fs *flag.FlagSet, o *options) { fs.StringVar(&o.csv, "csv", "", "the measurements, `FILE`") },
	"column": func(fs *flag.FlagSet, o *options) {
		fs.IntVar(&o.column, "column", 2, "where the values are: `N`, the timestamps' being 1")
	},
	"limit-high": func(fs *flag.FlagSet, o *options) {
		fs.Func("limit-high", "the value `X` that must not be reached from below", number(&o.limitHigh))
	},
	"limit-low": func(fs *flag.FlagSet, o *options) {
		fs.Func("limit-low", "the value `Y` that must not be reached from above", number(&o.limitLow))
	},
	"disarm": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.disarm, "disarm", false, "end the watch over this box until the agent is started again")
	},
	"test": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.test, "test", false, "send a test alert, and tell the answer")
	},
	"outlet": func(fs *flag.FlagSet, o *options) {
		fs.Func("outlet", "outlets of the node, `N|NAME[,M...]`; may be repeated", func(text string) error {
			o.outlets = append(o.outlets, text)
			return nil
		})
	},
	"device": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.deviceOf, "device", "", "only the device of this `NAME` in the configuration")
	},
	"fence-node": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.fenceNode, "node", "", "`NODE` whose power it is (default: the peer of this box)")
	},
	"fence-time": func(fs *flag.FlagSet, o *options) {
		fs.DurationVar(&o.fenceTime, "fence-time", 0, "longest `TIME` of the whole operation (default: fence_time of the configuration, else 60s)")
	},
	"hold": func(fs *flag.FlagSet, o *options) {
		fs.DurationVar(&o.hold, "hold", fence.MinHold, "keep it off for this `TIME`; at least 10s")
	},
	"insecure": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.insecure, "insecure", false, "HTTPS: accept any certificate")
	},
	"dry-run": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.dryRun, "dry-run", false, "ask, say what would be done, and do nothing")
	},
	"o": func(fs *flag.FlagSet, o *options) {
		fs.StringVar(&o.supportFile, "o", "", "write to this `FILE`, which must not exist (default: by host name and time, here)")
	},
	"v": func(fs *flag.FlagSet, o *options) {
		fs.BoolVar(&o.verbose, "v", false, "tell what it was built from, too")
	},
}

// number reads a finite number.
func number(to **float64) func(string) error {
	return func(text string) error {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("not a number")
		}
		*to = &v
		return nil
	}
}

// errHelp says that a command's help was asked for.
var errHelp = errors.New("help")

func (c *command) flagSet(o *options) *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	for _, name := range c.flags {
		flagTable[name](fs, o)
	}
	return fs
}

// parse reads flags and operands in any order; behind "--" all are operands.
func (c *command) parse(args []string) (*options, []string, error) {
	o := &options{}
	fs := c.flagSet(o)
	var after []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, after = args[:i], args[i+1:]
	}
	var operands []string
	for { // each turn uses up a word
		if err := fs.Parse(args); err != nil {
			return nil, nil, c.flagError(err)
		}
		if args = fs.Args(); len(args) == 0 {
			break
		}
		operands, args = append(operands, args[0]), args[1:]
	}
	operands = append(operands, after...)
	if len(operands) > c.operands {
		return nil, nil, &usageError{text: fmt.Sprintf("%s: %q is one word too many", c.name, operands[c.operands])}
	}
	fs.Visit(func(f *flag.Flag) { o.configSet = o.configSet || f.Name == "config" })
	return o, operands, nil
}

func (c *command) flagError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return errHelp
	}
	text := err.Error()
	if name, found := strings.CutPrefix(text, "flag provided but not defined: -"); found {
		hint := ""
		if near := nearest(name, c.flags); near != "" {
			hint = fmt.Sprintf("did you mean %s?", dashed(near))
		}
		return &usageError{text: fmt.Sprintf("%s: unknown flag %s", c.name, dashed(name)), hint: hint}
	}
	return &usageError{text: c.name + ": " + text, hint: "twinbeat help " + c.name}
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func (c *command) synopsis() string {
	return strings.TrimSpace("twinbeat " + c.name + " " + c.args)
}

// help is the page of one command.
func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\n%s\n", c.synopsis(), strings.TrimSpace(c.text))
	if len(c.flags) > 0 {
		b.WriteString("\nflags:\n")
	}
	c.eachFlag(func(f *flag.Flag, placeholder, usage string) {
		b.WriteString(report.Paragraph("  "+strings.TrimSpace(dashed(f.Name)+" "+placeholder), 24, usage))
	})
	if len(c.examples) > 0 {
		b.WriteString("\nexamples:\n")
	}
	for _, e := range c.examples {
		b.WriteString("  " + e + "\n")
	}
	return b.String()
}

// eachFlag calls do for every flag of a command, in order, with its default in
// the usage.
func (c *command) eachFlag(do func(f *flag.Flag, placeholder, usage string)) {
	c.flagSet(&options{}).VisitAll(func(f *flag.Flag) {
		placeholder, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "false" {
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		do(f, placeholder, usage)
	})
}

// overview is the page that lists the commands.
func overview() string {
	var b strings.Builder
	b.WriteString("twinbeat keeps one of two boxes in service.\n\nusage: twinbeat COMMAND [FLAGS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-16s%s\n", c.name, c.summary)
	}
	b.WriteString("\ntwinbeat help COMMAND tells more, with examples.\n")
	b.WriteString("exit codes: 0 well, 1 failed, 2 usage, 3 degraded\nof fence:   4 refused, 5 unproven, 6 unreachable\n")
	return b.String()
}
