package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
)

// A plant is the configuration as fence commands see it: what switches each of
// the two nodes off.
type plant struct {
	names [2]string
	own   int              // index of this box; -1: it is neither
	off   [2]config.Config // as the node's peer sees it: Fence switches the node off
}

// A target is what a fence command acts on.
type target struct {
	node    string // whose power it is; empty: not known
	devices []config.FenceDevice
	plant   *plant // nil: there is no configuration
	named   bool   // the outlets come from the command line, not from the configuration
}

// fenceTargets finds what the flags mean.
func (o *options) fenceTargets() (target, error) {
	outlets, err := outletList(o.outlets)
	if err != nil {
		return target{}, err
	}
	if o.device != nil {
		if o.deviceOf != "" || o.fenceNode != "" {
			return target{}, &usageError{text: "--device and --node are of the configuration; --driver and its flags need none", hint: "give the one or the other"}
		}
		d, err := o.flagDevice(outlets)
		if err != nil {
			return target{}, err
		}
		// The configuration still knows which outlets must not be touched.
		p, _ := o.plant()
		return target{devices: []config.FenceDevice{d}, plant: p, named: true}, nil
	}
	p, err := o.plant()
	if err != nil {
		return target{}, err
	}
	return o.configured(p, outlets)
}

// plant reads the configuration as both nodes see it.
func (o *options) plant() (*plant, error) {
	data, err := os.ReadFile(o.config)
	if errors.Is(err, fs.ErrNotExist) && !o.configSet {
		return nil, &usageError{text: "no device is given, and there is no " + o.config, hint: "name one: --driver apc --address 192.0.2.20 --outlet 1"}
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	names, _ := nodesOf(o, data)
	p := &plant{own: -1}
	if len(names) != 2 {
		_, problems := config.Parse(o.config, data, "")
		return nil, firstProblem(problems)
	}
	host := hostName()
	for i, name := range names {
		var problems []config.Problem
		if p.off[1-i], problems = config.Parse(o.config, data, name); config.Refused(problems) {
			return nil, firstProblem(problems)
		}
		p.names[i] = name
		if label, _, _ := strings.Cut(host, "."); name == host || p.own < 0 && name == label {
			p.own = i
		}
	}
	return p, nil
}

// firstProblem is what a command says that needs a configuration.
func firstProblem(problems []config.Problem) error {
	for _, p := range problems {
		if !p.Warning {
			return &control.Error{Text: fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Key, p.Text), Advice: "twinbeat check tells all"}
		}
	}
	return errors.New("read configuration: it names no two nodes")
}

// configured finds the devices of the configuration.
func (o *options) configured(p *plant, outlets []string) (target, error) {
	i := slices.Index(p.names[:], o.fenceNode)
	switch {
	case i < 0 && o.fenceNode != "":
		return target{}, unknown("node", o.fenceNode, p.names[:])
	case i < 0 && p.own < 0:
		return target{}, &usageError{text: fmt.Sprintf("this box is neither %s nor %s", p.names[0], p.names[1]), hint: "say whose power is meant with --node"}
	case i < 0:
		i = 1 - p.own
	}
	t := target{node: p.names[i], plant: p}
	if p.off[i].Fence == nil {
		return t, &control.Error{Text: "the configuration has no fence device", Advice: "add a [[fence.device]], or name one: --driver apc --address 192.0.2.20 --outlet 1"}
	}
	var known []string
	for _, d := range p.off[i].Fence.Devices {
		known = append(known, d.Name)
		if o.deviceOf == "" || o.deviceOf == d.Name {
			t.devices = append(t.devices, d)
		}
	}
	if len(t.devices) == 0 {
		return t, unknown("device", o.deviceOf, known)
	}
	if len(outlets) == 0 {
		return t, nil
	}
	if len(t.devices) != 1 {
		return t, &usageError{text: "--outlet: of which device?", hint: "--device NAME; known: " + strings.Join(known, ", ")}
	}
	d := &t.devices[0]
	if !config.HasOutlets(d.Driver) && d.Driver != "agent" {
		return t, &usageError{text: fmt.Sprintf("--outlet: %s has no outlets: driver %s", d.Name, d.Driver)}
	}
	for _, s := range outlets {
		t.named = t.named || !slices.Contains(d.Outlets, s)
	}
	if t.named {
		t.node = "" // the configuration knows of no node behind them
	}
	d.Pin.OutletNames = namesOf(*d, outlets)
	d.Outlets, d.Idle = outlets, false
	return t, nil
}

// namesOf keeps the pinned names of the outlets that are left.
func namesOf(d config.FenceDevice, outlets []string) []string {
	if len(d.Pin.OutletNames) == 0 {
		return nil
	}
	out := make([]string, len(outlets))
	for i, s := range outlets {
		if j := slices.Index(d.Outlets, s); j >= 0 {
			out[i] = d.Pin.OutletNames[j]
		}
	}
	return out
}

// feeds returns the node whose outlet, or box, the target's device would
// switch, as far as the configuration tells; empty if it is nobody's.
func (t target) feeds(ctx context.Context) string {
	if t.plant == nil {
		return ""
	}
	for _, d := range t.devices {
		var index map[string]string // asked for once
		for i, name := range t.plant.names {
			if slices.ContainsFunc(t.plant.devices(i), func(theirs config.FenceDevice) bool {
				if !sameHost(d.Address, theirs.Address) {
					return false
				}
				if index == nil {
					index = indices(ctx, d)
				}
				return overlap(d, theirs, index)
			}) {
				return name
			}
		}
	}
	return ""
}

// devices returns what switches a node off.
func (p *plant) devices(node int) []config.FenceDevice {
	if p.off[node].Fence == nil {
		return nil
	}
	return p.off[node].Fence.Devices
}

// overlap says whether two devices at one address switch the same.
func overlap(d, theirs config.FenceDevice, index map[string]string) bool {
	if !config.HasOutlets(d.Driver) || !config.HasOutlets(theirs.Driver) {
		return true // one of them is the whole box
	}
	canonical := func(s string) string {
		if i, ok := index[s]; ok {
			return i
		}
		return s
	}
	return slices.ContainsFunc(d.Outlets, func(a string) bool {
		return slices.ContainsFunc(theirs.Outlets, func(b string) bool { return canonical(a) == canonical(b) })
	})
}

// indices maps the names of a device's outlets to their indices. Without an
// answer the words themselves must do.
func indices(ctx context.Context, d config.FenceDevice) map[string]string {
	out := map[string]string{}
	unit, err := agent.OpenFenceUnit(d)
	if err != nil {
		return out
	}
	defer unit.Close()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	all, _ := unit.List(ctx)
	for _, o := range all {
		if o.Name != "" {
			out[o.Name] = o.Index
		}
	}
	for _, o := range all { // an index means itself, whatever is called so
		out[o.Index] = o.Index
	}
	return out
}

// sameHost compares two addresses but for scheme and port.
func sameHost(a, b string) bool {
	bare := func(s string) string {
		if _, rest, ok := strings.Cut(s, "://"); ok {
			s = rest
		}
		if host, _, err := net.SplitHostPort(s); err == nil {
			s = host
		}
		return strings.Trim(s, "[]/")
	}
	return a != "" && strings.EqualFold(bare(a), bare(b))
}
