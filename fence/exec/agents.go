package exec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent/service"
	"github.com/twinbeat/twinbeat/fence"
)

// Defaults and limits of fence agents.
const (
	// DefaultAgentTimeout of one run: agents wait up to 20 s for an outlet, and
	// are interpreters that a small box takes seconds to load.
	DefaultAgentTimeout = 40 * time.Second
	maxAgentOutlets     = 512      // lines of a list that are taken
	keepMetadata        = 64 << 10 // bytes of metadata; those of Debian's agents are 12 KB at most
)

// An AgentConfig describes a device by a program of the fence-agents project,
// or any other that keeps its contract: options as name=value on standard
// input, status in the exit code.
type AgentConfig struct {
	Name    string // for logs
	Program string // full path

	// Address (host or host:port), User and Password are given under the names
	// that the program has for them; empty ones are left out.
	Address, User, Password string
	Options                 map[string]string // further ones, by the program's own names

	Timeout time.Duration // of each run; 0: DefaultAgentTimeout
}

// notPower are programs whose "off" leaves the node running: they cut it off
// from disks or ports, ask it, or ask a person.
var notPower = map[string]string{
	"fence_ack_manual": "asks a person", "fence_brocade": "cuts a storage port", "fence_cisco_mds": "cuts a storage port",
	"fence_compute": "moves guests", "fence_evacuate": "moves guests", "fence_heuristics_ping": "pings",
	"fence_ifmib": "cuts a network port", "fence_kdump": "waits for a crash dump", "fence_mpath": "reserves a disk",
	"fence_sanbox2": "cuts a storage port", "fence_sbd": "writes to a shared disk", "fence_scsi": "reserves a disk",
}

// reserved are options that are ours to give, or that would change what off
// means.
var reserved = map[string]string{
	"action": "the program is told what to do, one thing at a time",
	"plug":   "it is the outlet", "port": "it is the outlet", "plug_separator": "an outlet is given alone",
	"method": "only off and on are used", "delay": "delays are twinbeat's own",
}

// agents is a fence.Unit by a program.
type agents struct {
	config AgentConfig
	busy   chan struct{} // held by the one run under way
	meta   *metadata     // read once; guarded by busy
}

var (
	_ fence.Unit       = (*agents)(nil)
	_ fence.Switch     = plug{}
	_ fence.Identifier = plug{}
)

// NewAgent returns the unit, or says what is wrong with the AgentConfig. It runs
// nothing: options are held against the program's own metadata before its
// first use.
func NewAgent(c AgentConfig) (fence.Unit, error) {
	if c.Timeout == 0 {
		c.Timeout = DefaultAgentTimeout
	}
	c.Options = maps.Clone(c.Options)
	var err error
	switch {
	case c.Name == "":
		err = errors.New("it has no name")
	case !filepath.IsAbs(c.Program):
		err = fmt.Errorf("program %q is no full path", c.Program)
	case notPower[filepath.Base(c.Program)] != "":
		err = fmt.Errorf("%s %s, and switches no power", filepath.Base(c.Program), notPower[filepath.Base(c.Program)])
	case c.Timeout < 0:
		err = fmt.Errorf("timeout %v is negative", c.Timeout)
	}
	for name, value := range c.Options {
		if why := reserved[strings.ReplaceAll(name, "-", "_")]; why != "" {
			err = fmt.Errorf("option %q: %s", name, why)
		}
		if name == "" || strings.ContainsAny(name, "= \t\r\n\x00\"#") || !singleLine(value) {
			err = fmt.Errorf("option %q is not one line of name=value", name)
		}
	}
	if !singleLine(c.Address) || !singleLine(c.User) || !singleLine(c.Password) {
		err = errors.New("address, user or password is not one line")
	}
	if err != nil {
		return nil, fmt.Errorf("make fence device %q: %w", c.Name, err)
	}
	return &agents{config: c, busy: make(chan struct{}, 1)}, nil
}

func singleLine(s string) bool { return !strings.ContainsAny(s, "\r\n\x00") }

// Outlet returns the switch of one outlet; the selector is what the program
// calls plug. It is empty for a program that drives one box.
func (a *agents) Outlet(selector string) (fence.Switch, error) {
	if strings.Contains(selector, ",") || !singleLine(selector) {
		// Some programs take "1,2" for two outlets, some switch the first twice.
		return nil, fmt.Errorf("outlet %q of %s: each outlet is given alone, without a comma", selector, a.config.Name)
	}
	return plug{a, selector}, nil
}

// List gives the action list-status, or list where there is no other; the
// powers are unknown then.
func (a *agents) List(ctx context.Context) ([]fence.Outlet, error) {
	if err := a.begin(ctx); err != nil {
		return nil, err
	}
	defer a.end()
	return a.list(ctx)
}

// Identify gives the program's name and the number of outlets, if it lists
// them. A program tells nothing else of the device.
func (a *agents) Identify(ctx context.Context) (fence.Identity, error) {
	return plug{unit: a}.Identify(ctx)
}

func (a *agents) program() string { return filepath.Base(a.config.Program) }

// begin waits for its turn, and reads the metadata if that is not done yet.
func (a *agents) begin(ctx context.Context) error {
	select {
	case a.busy <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for another run of %s: %w", a.program(), ctx.Err())
	}
	if a.meta != nil {
		return nil
	}
	err := a.learn(ctx)
	if err != nil {
		a.end()
		return fmt.Errorf("metadata of %s: %w", a.program(), err)
	}
	return nil
}

func (a *agents) end() { <-a.busy }

// learn reads the metadata and holds the options against it: a program only
// warns of an option that it does not know, and goes on without it.
func (a *agents) learn(ctx context.Context) error {
	res, err := a.command("action=metadata\n", keepMetadata).Run(ctx)
	if err == nil && (res.Code != 0 || !res.Whole) {
		err = fmt.Errorf("exit code %d: %s", res.Code, res.Output())
	}
	if err != nil {
		return err
	}
	m, err := readMetadata(res.Stdout)
	if err != nil {
		return err
	}
	if err := m.check(a.options(m)); err != nil {
		return err
	}
	a.meta = &m
	return nil
}

// options are all but action and outlet, by the program's names.
func (a *agents) options(m metadata) map[string]string {
	all := map[string]string{}
	for name, value := range a.config.Options {
		if _, ok := m.parameters[name]; !ok {
			name = strings.ReplaceAll(name, "-", "_") // as on the program's command line
		}
		all[name] = value
	}
	give := func(value string, names ...string) {
		if value == "" {
			return
		}
		for _, n := range names {
			if _, ok := m.parameters[n]; ok {
				all[n] = value
				return
			}
		}
		all[names[0]] = value // check says that there is none
	}
	host, port, err := net.SplitHostPort(a.config.Address)
	if err != nil {
		host, port = a.config.Address, ""
	}
	give(host, "ip", "ipaddr")
	give(port, "ipport")
	give(a.config.User, "username", "login")
	give(a.config.Password, "password", "passwd")
	return all
}

// run gives one action on one outlet. The caller holds busy.
func (a *agents) run(ctx context.Context, action, outlet string) (service.Result, error) {
	if !a.meta.actions[action] {
		return service.Result{}, fmt.Errorf("%s has no action %q", a.program(), action)
	}
	in := []string{line("action", action)}
	switch {
	case outlet != "" && a.meta.plug == "":
		return service.Result{}, fmt.Errorf("%s takes no outlet, and is given %q", a.program(), outlet)
	case outlet != "":
		in = append(in, line(a.meta.plug, outlet))
	case a.meta.needsPlug && action != "list" && action != "list-status":
		return service.Result{}, fmt.Errorf("%s needs an outlet", a.program())
	}
	options := a.options(*a.meta)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		in = append(in, line(name, options[name]))
	}
	res, err := a.command(strings.Join(in, ""), 0).Run(ctx)
	res.Stdout, res.Stderr = a.hide(res.Stdout), a.hide(res.Stderr)
	if err != nil {
		err = fmt.Errorf("%s: %w", action, &hidden{a.hide(err.Error()), err})
	}
	return res, err
}

// line is one option on standard input. The library that most programs share
// cuts white space off, and one pair of quotes; a value that this would change
// goes between quotes.
func line(name, value string) string {
	if value != strings.TrimSpace(value) || strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
		value = `"` + value + `"`
	}
	return name + "=" + value + "\n"
}

func (a *agents) command(stdin string, keep int) service.Command {
	return service.Command{Argv: []string{a.config.Program}, Stdin: stdin, Keep: keep, Timeout: a.config.Timeout, Sweep: true}
}

// secretWords are parts of the names of options that nobody should read.
var secretWords = []string{"pass", "community", "secret", "token", "key", "priv", "auth"}

// hide blots secrets out of what a program says: some repeat their options when
// they fail.
func (a *agents) hide(text string) string {
	blot := func(secret string) {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	blot(a.config.Password)
	for name, value := range a.config.Options {
		if slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) }) && len(value) > 3 {
			blot(value)
		}
	}
	return text
}

// hidden is an error with its text blotted.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.err }

func (a *agents) list(ctx context.Context) ([]fence.Outlet, error) {
	action := "list"
	if a.meta.actions["list-status"] {
		action = "list-status"
	}
	res, err := a.run(ctx, action, "")
	switch {
	case err != nil:
		return nil, err
	case res.Code != 0 || !res.Whole:
		return nil, fmt.Errorf("%s: exit code %d: %s", action, res.Code, res.Output())
	}
	return readList(res.Stdout, action == "list-status"), nil
}

// readList reads lines of index,name or index,name,POWER. Lines of another
// form ("N/A", notices) are of programs that cannot list.
func readList(text string, powers bool) []fence.Outlet {
	var all []fence.Outlet
	for l := range strings.Lines(text) {
		index, name, ok := strings.Cut(strings.TrimSpace(l), ",")
		if !ok || index == "" || len(all) == maxAgentOutlets {
			continue
		}
		o := fence.Outlet{Index: index, Name: name}
		if powers {
			at := strings.LastIndexByte(name, ',')
			if at < 0 {
				continue
			}
			o.Name, o.Raw = name[:at], name[at+1:]
			o.Power = agentPowers[o.Raw]
		}
		all = append(all, o)
	}
	return all
}

// agentPowers are the words of a program; any other is unknown.
var agentPowers = map[string]fence.Power{"ON": fence.PowerOn, "OFF": fence.PowerOff}

// A plug is the fence.Switch of one outlet.
type plug struct {
	unit   *agents
	outlet string
}

// Name returns the unit's name and the outlet.
func (p plug) Name() string {
	if p.outlet == "" {
		return p.unit.config.Name
	}
	return p.unit.config.Name + ":" + p.outlet
}

// Word names the program.
func (p plug) Word() string { return "of " + p.unit.program() }

// SwitchOff gives the action off. That the program succeeds proves nothing: on
// several devices it has said so with the outlet on.
func (p plug) SwitchOff(ctx context.Context) error { return p.do(ctx, "off") }

// SwitchOn gives the action on.
func (p plug) SwitchOn(ctx context.Context) error { return p.do(ctx, "on") }

func (p plug) do(ctx context.Context, action string) error {
	if err := p.unit.begin(ctx); err != nil {
		return err
	}
	defer p.unit.end()
	res, err := p.unit.run(ctx, action, p.outlet)
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("%s: exit code %d: %s", action, res.Code, res.Output())
	}
	return err
}

// Read gives the action status.
func (p plug) Read(ctx context.Context) (fence.Reading, error) {
	if err := p.unit.begin(ctx); err != nil {
		return fence.Reading{}, err
	}
	defer p.unit.end()
	res, err := p.unit.run(ctx, "status", p.outlet)
	if err != nil {
		return fence.Reading{}, err
	}
	return agentStatus(res)
}

// agentStatus wants exit code and text to agree: code 0 with "Status: ON", code
// 2 with "Status: OFF". The code alone is not enough, as 2 is also what an
// interpreter gives that does not find its program, and the programs' own
// library for bad arguments.
func agentStatus(res service.Result) (fence.Reading, error) {
	said, lines := "", 0
	for l := range strings.Lines(res.Stdout) {
		if strings.Contains(l, "Status:") { // wherever it stands: two of them are none
			said, _ = strings.CutPrefix(strings.TrimSpace(l), "Status: ")
			lines++
		}
	}
	r := fence.Reading{Power: agentPowers[said], Raw: fmt.Sprintf("status exit code %d: Status: %s", res.Code, said)}
	want := map[fence.Power]int{fence.PowerOn: 0, fence.PowerOff: 2}
	if code, ok := want[r.Power]; lines == 1 && res.Whole && ok && code == res.Code {
		return r, nil
	}
	text := res.Output()
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return fence.Reading{}, fmt.Errorf("status: exit code %d with %q is neither 0 with \"Status: ON\" nor 2 with \"Status: OFF\"", res.Code, text)
}

// Identify gives the name of the outlet, too, if the program lists it.
func (p plug) Identify(ctx context.Context) (fence.Identity, error) {
	a := p.unit
	if err := a.begin(ctx); err != nil {
		return fence.Identity{}, err
	}
	defer a.end()
	id := fence.Identity{Family: a.program(), Outlet: p.outlet}
	if !a.meta.actions["list"] || a.meta.plug == "" {
		return id, nil
	}
	all, err := a.list(ctx)
	if err != nil {
		return fence.Identity{}, err
	}
	id.Outlets = len(all)
	for _, o := range all {
		if p.outlet != "" && (o.Index == p.outlet || o.Name == p.outlet) {
			id.Name = o.Name
		}
	}
	return id, nil
}
