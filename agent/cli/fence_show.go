package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/fence"
)

// text is the answer for people.
func (a *fenceAnswer) text() string {
	var b strings.Builder
	line := func(head, rest string) { b.WriteString(report.Paragraph(head, 12, rest)) }
	newest := map[string]reading{}
	var order []string
	for _, r := range a.Readings {
		if r.Did != "read" {
			continue
		}
		if _, seen := newest[r.Outlet]; !seen {
			order = append(order, r.Outlet)
		}
		newest[r.Outlet] = r
	}
	switch {
	case a.Action == "status":
		line("power", a.Power)
	case a.WouldSend != nil:
		for _, one := range a.WouldSend {
			line("would send", one)
		}
	case a.Proven:
		line("proven", a.Evidence)
	}
	for _, outlet := range order {
		line("outlet", outlet+" "+newest[outlet].text())
	}
	for _, i := range a.Identity {
		line("device", i.String())
	}
	if a.OffMS > 0 {
		line("times", fmt.Sprintf("off and proof %d ms, on and read %d ms", a.OffMS, a.OnMS))
	}
	if a.Proven && a.Action != "status" {
		line("took", fmt.Sprintf("%d ms", a.TookMS))
	}
	return b.String()
}

// An identity is what a device says it is.
type identity struct {
	Device   string `json:"device"`
	Family   string `json:"family,omitempty"`
	ObjectID string `json:"object_id,omitempty"`
	Model    string `json:"model,omitempty"`
	Serial   string `json:"serial,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Outlets  int    `json:"outlet_count,omitempty"`
	Outlet   string `json:"outlet,omitempty"`
	Name     string `json:"outlet_name,omitempty"`
	Error    string `json:"error,omitempty"`
}

func identityOf(device string, i fence.Identity, err error) identity {
	return identity{
		Device: device, Family: i.Family, ObjectID: i.ObjectID, Model: i.Model, Serial: i.Serial, Firmware: i.Firmware,
		Outlets: i.Outlets, Outlet: i.Outlet, Name: i.Name, Error: textOf(err),
	}
}

func (i identity) String() string {
	is := fence.Identity{
		Family: i.Family, ObjectID: i.ObjectID, Model: i.Model, Serial: i.Serial, Firmware: i.Firmware,
		Outlets: i.Outlets, Outlet: i.Outlet, Name: i.Name,
	}
	return i.Device + ": " + cmp.Or(i.Error, is.String())
}

// identities asks the devices who they are. What they do not tell in askTime
// is told as missing; nothing rests on it.
func (f *fencing) identities(ctx context.Context) []identity {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out := []identity{}
	for _, sw := range f.trace.feeds {
		who, ok := sw.(fence.Identifier)
		if !ok {
			out = append(out, identity{Device: sw.Name(), Error: "its driver cannot say what it is"})
			continue
		}
		is, err := who.Identify(ctx)
		out = append(out, identityOf(sw.Name(), is, err))
	}
	return out
}

// unit opens the one device that a question is for.
func (o *options) unit() (agent.FenceUnit, target, error) {
	t, err := o.fenceTargets()
	if err != nil {
		return agent.FenceUnit{}, t, err
	}
	if len(t.devices) != 1 {
		var known []string
		for _, d := range t.devices {
			known = append(known, d.Name)
		}
		return agent.FenceUnit{}, t, &usageError{text: "of which device?", hint: "--device NAME; known: " + strings.Join(known, ", ")}
	}
	unit, err := agent.OpenFenceUnit(t.devices[0])
	return unit, t, err
}

// A listed is one outlet of fence list.
type listed struct {
	Index   string  `json:"index"`
	Name    string  `json:"name,omitempty"`
	Node    string  `json:"node,omitempty"` // that the configuration feeds by it
	Power   string  `json:"power"`
	Pending string  `json:"pending,omitempty"`
	Load    float64 `json:"load,omitempty"`
	Unit    string  `json:"load_unit,omitempty"`
	Scope   string  `json:"load_scope,omitempty"`
}

func (sh *shell) fenceList(o *options, _ []string) error {
	unit, t, err := o.unit()
	if err != nil {
		return err
	}
	defer unit.Close()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(o.fenceTime, defaultFenceTime))
	defer cancel()
	outlets, err := unit.List(ctx)
	if err != nil {
		return asked(err)
	}
	all := []listed{}
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s%-26s%-10s%-9s%-10s%s\n", "outlet", "name", "power", "pending", "node", "load")
	for _, one := range outlets {
		l := listed{
			Index: one.Index, Name: one.Name, Node: t.nodeOf(unit.Config.Name, one), Power: one.Power.String(), Pending: one.Pending.String(),
			Load: one.Load.Value, Unit: one.Load.Unit, Scope: one.Load.Scope,
		}
		all = append(all, l)
		load := ""
		if one.Load.Metered() {
			load = one.Load.String()
		}
		row := fmt.Sprintf("%-8s%-26s%-10s%-9s%-10s%s", l.Index, l.Name, l.Power, l.Pending, l.Node, load)
		b.WriteString(strings.TrimRight(report.Clean(row), " ") + "\n")
	}
	if o.json {
		return sh.printJSON(struct {
			Device  string   `json:"device"`
			Outlets []listed `json:"outlets"`
		}{unit.Config.Name, all})
	}
	return sh.print(b.String())
}

// nodeOf names the node that the configuration feeds by an outlet.
func (t target) nodeOf(device string, o fence.Outlet) string {
	if t.plant == nil {
		return ""
	}
	for i, name := range t.plant.names {
		for _, d := range t.plant.devices(i) {
			if d.Name == device && (slices.Contains(d.Outlets, o.Index) || o.Name != "" && slices.Contains(d.Outlets, o.Name)) {
				return name
			}
		}
	}
	return ""
}

func (sh *shell) fenceIdentify(o *options, _ []string) error {
	t, err := o.fenceTargets()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(o.fenceTime, defaultFenceTime))
	defer cancel()
	all := []identity{}
	var b strings.Builder
	var errs []error
	for _, d := range t.devices {
		told, err := identify(ctx, d)
		errs = append(errs, err)
		all = append(all, told...)
		b.WriteString(pins(d, told))
	}
	err = errors.Join(errs...)
	if o.json {
		err = errors.Join(err, sh.printJSON(struct {
			Node     string     `json:"node,omitempty"`
			Identity []identity `json:"identity"`
			Exit     int        `json:"exit_code"`
		}{t.node, all, exitOf(err)}))
	} else {
		err = errors.Join(err, sh.print(b.String()))
	}
	return err
}

// identify asks a device who it is, about each of its outlets.
func identify(ctx context.Context, d config.FenceDevice) ([]identity, error) {
	unit, err := agent.OpenFenceUnit(d)
	if err != nil {
		return nil, err
	}
	defer unit.Close()
	feeds, err := unit.Feeds()
	if err != nil {
		return nil, err
	}
	if len(feeds) == 0 {
		is, err := unit.Identify(ctx)
		return []identity{identityOf(d.Name, is, err)}, asked(err)
	}
	var out []identity
	for _, f := range feeds {
		var is fence.Identity
		who, ok := f.Switch.(fence.Identifier)
		err := errors.New("its driver cannot say what it is")
		if ok {
			is, err = who.Identify(ctx)
		}
		out = append(out, identityOf(f.Switch.Name(), is, err))
		if err != nil {
			return out, asked(err)
		}
		if err := f.Pin.Check(is); err != nil {
			return out, &coded{fmt.Errorf("identify %s: %w", f.Switch.Name(), err), exitRefused}
		}
	}
	return out, nil
}

// asked gives the error of a question its exit code.
func asked(err error) error {
	if err == nil {
		return nil
	}
	code := exitUnreachable
	if errors.Is(err, fence.ErrNoOutlet) || errors.Is(err, fence.ErrNotSwitchable) {
		code = exitRefused
	}
	return &coded{err, code}
}

// pins prints what was told as the keys of [[fence.device]] that pin it.
func pins(d config.FenceDevice, told []identity) string {
	var b strings.Builder
	for _, i := range told {
		b.WriteString(report.Paragraph("device", 12, i.String()))
	}
	if len(told) == 0 || told[0].Error != "" {
		return b.String()
	}
	first := told[0]
	fmt.Fprintf(&b, "\n# pins of %s, for its [[fence.device]]\n", d.Name)
	for _, k := range []struct{ key, value string }{{"object_id", first.ObjectID}, {"model", first.Model}, {"serial", first.Serial}} {
		if k.value != "" {
			fmt.Fprintf(&b, "%s = %q\n", k.key, report.Clean(k.value))
		}
	}
	if first.Outlets > 0 {
		fmt.Fprintf(&b, "outlet_count = %d\n", first.Outlets)
	}
	var names []string
	for _, i := range told {
		if i.Name != "" {
			names = append(names, fmt.Sprintf("%q", i.Name))
		}
	}
	if len(names) == len(told) {
		fmt.Fprintf(&b, "# outlet_names of this node: [%s]\n", strings.Join(names, ", "))
	}
	return b.String()
}

func (sh *shell) fenceHistory(o *options, _ []string) error {
	if o.n < 0 {
		return &usageError{text: fmt.Sprintf("fence history: -n %d is negative", o.n), hint: "0 shows all that is kept"}
	}
	p, err := o.plant()
	if err != nil {
		return err
	}
	h, err := fence.OpenHistory(agent.FenceHistoryDir(p.off[0].StateDir))
	if err != nil {
		return err
	}
	records, damaged := h.Records()
	if o.n > 0 {
		records = records[max(0, len(records)-o.n):]
	}
	for _, r := range records {
		if o.json {
			err = sh.printJSON(r)
		} else {
			err = sh.print(recordText(r))
		}
		if err != nil {
			return err
		}
	}
	return damaged
}

// recordText is one record for people.
func recordText(r fence.Record) string {
	verdict := "UNPROVEN"
	if r.Proven {
		verdict = "proven"
	}
	head := fmt.Sprintf("%s %s %s %s", r.At.Local().Format(time.DateTime), r.Action, cmp.Or(r.Node, r.Target), verdict)
	return report.Clean(head) + "\n" + report.Paragraph("  by", 10, r.By) + report.Paragraph("  why", 10, r.Why) +
		report.Paragraph("  target", 10, r.Target) + report.Paragraph("  proof", 10, fmt.Sprintf("%s; %d ms", r.Evidence, r.TookMS))
}

func (sh *shell) fenceVerify(o *options, _ []string) error {
	c, s, err := sh.snapshot(o)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintln(sh.stderr, report.Clean(fmt.Sprintf("%s will lose its power, and get it back; this takes up to a minute", s.Peer.Name)))
	return sh.order(c, control.Order{Command: control.OrderFenceVerify, Reason: o.reason})
}
