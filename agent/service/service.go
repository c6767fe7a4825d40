// Package service decides how a group's services are started, stopped and
// checked, in order and within deadlines, and reports what it saw. It refuses
// to guess: a state it could not read is Unknown, never Running or Stopped,
// and it never decides which node should run a service.
//
// Start reading at Group; Unit is one service, Command is one program run.
//
// A daemon that a start command leaves behind stays in the agent's cgroup. An
// init system that kills whole cgroups on restart (systemd's default) must be
// told not to (KillMode=process), or restarting the agent stops the services.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Defaults of a Spec's durations; reference.toml states them too.
const (
	DefaultStartTimeout  = 20 * time.Second
	DefaultStopTimeout   = 20 * time.Second
	DefaultStatusTimeout = 5 * time.Second
	DefaultRestartWindow = 10 * time.Minute
	MinCheckInterval     = 100 * time.Millisecond // a faster check is a fork bomb on a small router
	MaxRestarts          = 100                    // restarts in one window; more is refused by New
)

// ErrNoStatus says that a unit cannot tell its state: the command driver
// without a status command, or an init script without a status action. Such a
// unit is started and stopped by the word of its commands and never checked.
var ErrNoStatus = errors.New("no status command")

// Drivers are the words that a Spec's Driver may be.
const Drivers = "auto systemd sysv openrc procd runit ocf heartbeat command"

// An extra is a driver that not every build has. Its file enters it into extras.
type extra struct {
	check   func(Spec) error
	unit    func(Spec) Unit
	examine func(context.Context, Spec) []Finding
}

var extras = map[string]extra{}

// A Spec describes one service of a group. Durations of zero mean the default
// of this package (with driver ocf: of the agent's metadata), except
// CheckInterval, where zero means no recurring check.
type Spec struct {
	Name   string // for logs, status and TWINBEAT_SERVICE
	Group  string // for TWINBEAT_GROUP; NewGroup fills it
	Driver string // one of Drivers
	Unit   string // what the driver calls the service: a unit, a script, a folder, an agent

	Start, Stop, Status []string // command: argument vectors, no shell

	Args    []string          // heartbeat: arguments of the script, before the verb
	Params  map[string]string // ocf: parameters of the agent
	Promote bool              // ocf: the owner's is promoted; with KeepOnStop the other stays, unpromoted
	Depth   int               // ocf: depth of monitor, OCF_CHECK_LEVEL

	// OnTake says what taking the group does to the service:
	// start (start it unless it runs), restart (for a daemon that must bind
	// the virtual address anew), reload (start it, or reload if it runs), or
	// none (neither start nor stop it; only check it). Empty means start.
	OnTake string

	StartTimeout, StopTimeout, StatusTimeout time.Duration

	CheckInterval time.Duration
	Restarts      int           // restarts in place within RestartWindow before the fault is final
	RestartWindow time.Duration // sliding

	OnStartFailure string // handover or stay; empty means handover
	OnStopFailure  string // fence or proceed; empty means fence
	KeepOnStop     bool   // leave it running when the group goes: it runs on both nodes
}

// A State is what a service was seen to be doing.
type State uint8

// The states. The zero State claims nothing.
const (
	Unknown State = iota // could not be read, or the answer contradicts itself
	Running
	Stopped
	Failed // it does not serve, but a part of it may be there: crashed, frozen, half started; never as good as Stopped
)

// String returns the state in lower case, as status prints it.
func (s State) String() string {
	switch s {
	case Running:
		return "running"
	case Stopped:
		return "stopped"
	case Failed:
		return "failed"
	default:
		return "unknown"
	}
}

// A Unit is one service as its driver sees it. Each call runs at most a few
// commands, ends soon after ctx does, and leaves no command of its own behind
// except the daemons a successful start command made.
type Unit interface {
	// Start asks for the service and returns when its command did.
	Start(ctx context.Context) error
	// Stop asks for the service to end; whether it did is for Status to say.
	Stop(ctx context.Context) error
	// Restart stops and starts the service.
	Restart(ctx context.Context) error
	// Status reads the state. An error comes with Unknown and Failed, and only
	// with them: it is their reason.
	Status(ctx context.Context) (State, error)
}

// A reloader is a Unit that can take a new address or configuration without
// ending its process.
type reloader interface {
	Reload(ctx context.Context) error
}

// New returns the unit that a Spec describes, or says what is wrong with the
// Spec. It looks at no file: whether the unit is installed shows at its use.
func New(s Spec) (Unit, error) {
	s, err := s.complete()
	if err != nil {
		return nil, fmt.Errorf("service %q: %w", s.Name, err)
	}
	return s.unit(), nil
}

func (s Spec) unit() Unit {
	switch s.Driver {
	case "systemd":
		return &systemd{unit: s.Unit, env: s.env()}
	case "sysv":
		return &sysv{script: inInitDir(s.Unit), env: s.env()}
	case "procd":
		return &procd{script: inInitDir(s.Unit), env: s.env()}
	case "command":
		return &triple{start: s.Start, stop: s.Stop, status: s.Status, env: s.env()}
	default:
		return extras[s.Driver].unit(s)
	}
}

// leftAlone says whether the service stays as it is when the group goes.
func (s Spec) leftAlone() bool { return s.OnTake == "none" || s.KeepOnStop && !s.Promote }

func (s Spec) env() []string {
	return []string{"TWINBEAT_GROUP=" + s.Group, "TWINBEAT_SERVICE=" + s.Name}
}

// complete fills in defaults and checks the rest.
func (s Spec) complete() (Spec, error) {
	setDefault(&s.OnTake, "start")
	setDefault(&s.OnStartFailure, "handover")
	setDefault(&s.OnStopFailure, "fence")
	if s.Driver != "ocf" { // whose agent may know better
		setDefault(&s.StartTimeout, DefaultStartTimeout)
		setDefault(&s.StopTimeout, DefaultStopTimeout)
		setDefault(&s.StatusTimeout, DefaultStatusTimeout)
	}
	setDefault(&s.RestartWindow, DefaultRestartWindow)
	if s.Name == "" || strings.ContainsAny(s.Name+s.Group, "\x00\n") {
		return s, errors.New("check name: empty, or holds a newline")
	}
	words := []struct {
		key, value string
		allowed    string
	}{
		{"on_take", s.OnTake, "start restart reload none"},
		{"on_start_failure", s.OnStartFailure, "handover stay"},
		{"on_stop_failure", s.OnStopFailure, "fence proceed"},
	}
	for _, w := range words {
		if !isOneOf(w.value, w.allowed) {
			return s, fmt.Errorf("check %s: %q is none of: %s", w.key, w.value, w.allowed)
		}
	}
	if s.CheckInterval != 0 && s.CheckInterval < MinCheckInterval {
		return s, fmt.Errorf("check check_interval: %v is shorter than %v", s.CheckInterval, MinCheckInterval)
	}
	if s.Restarts < 0 || s.Restarts > MaxRestarts {
		return s, fmt.Errorf("check restarts: %d is not within 0..%d", s.Restarts, MaxRestarts)
	}
	return s, s.checkDriver()
}

func (s Spec) checkDriver() error {
	if s.OnTake == "reload" && isOneOf(s.Driver, "command heartbeat ocf") {
		return fmt.Errorf("check on_take: the %s driver has no reload; use restart or start", s.Driver)
	}
	if s.Promote && s.Driver != "ocf" {
		return errors.New("check promote: only an OCF agent can be promoted")
	}
	switch s.Driver {
	case "systemd":
		return checkUnitName(s.Unit)
	case "sysv":
		return checkScriptName(s.Driver, s.Unit)
	case "procd":
		return checkServiceName(s.Driver, s.Unit)
	case "command":
		return s.checkCommands()
	}
	if !isOneOf(s.Driver, Drivers) {
		return fmt.Errorf("check driver: %q is none of: %s", s.Driver, Drivers)
	}
	e, ok := extras[s.Driver]
	if !ok {
		return fmt.Errorf("check driver: %q is not in this build: use the full one, or driver command", s.Driver)
	}
	return e.check(s)
}

func (s Spec) checkCommands() error {
	if s.OnTake == "none" {
		return nil // nothing is started or stopped; a status alone is enough
	}
	if len(s.Start) == 0 {
		return errors.New("check start: the command driver needs a start command")
	}
	if len(s.Stop) == 0 && !s.KeepOnStop {
		return errors.New("check stop: the command driver needs a stop command")
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func isOneOf(word, allowed string) bool {
	for _, a := range strings.Fields(allowed) {
		if word == a {
			return true
		}
	}
	return false
}

// absent adds to an error, if it is for want of the program, which init
// system is not here.
func absent(err error, system string) error {
	if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "executable file not found") {
		return fmt.Errorf("%w (%s is not installed here: use driver auto, sysv or command)", err, system)
	}
	return err
}

// checkServiceName takes the plain name of a service: no path, no option.
func checkServiceName(driver, name string) error {
	if name == "" || name[0] == '-' || name[0] == '.' || strings.ContainsAny(name, "/\\\"\x00\n\t ") {
		return fmt.Errorf("check unit: %q is no name of a service for driver %s", name, driver)
	}
	return nil
}
