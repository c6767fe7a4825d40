package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/fence"
)

// errNoFence says that there is nothing to switch with.
var errNoFence = errors.New("no fence device is configured")

// Fence switches the peer off and says whether it is proven.
func (h *hands) Fence(ctx context.Context) loop.FenceDone {
	device := h.fence()
	if device == nil {
		return loop.FenceDone{Evidence: errNoFence.Error()}
	}
	p, err := device.Off(ctx)
	d := loop.FenceDone{
		Proven: p.Proven && err == nil, Grade: p.Grade.String(), Level: p.Level,
		Evidence: p.Evidence, Detail: p.Detail, Took: p.Took,
	}
	if err != nil && d.Evidence == "" {
		d.Evidence = err.Error()
	}
	return d
}

// FenceOn switches the peer on again.
func (h *hands) FenceOn(ctx context.Context) error {
	device := h.fence()
	if device == nil {
		return errNoFence
	}
	return device.On(ctx)
}

// FenceCheck reads the power of the peer's outlets and who the devices are.
func (h *hands) FenceCheck(ctx context.Context) loop.FenceCheck {
	device := h.fence()
	if device == nil {
		return loop.FenceCheck{Power: fence.PowerUnknown.String(), Err: errNoFence.Error()}
	}
	power, err := device.Status(ctx)
	found, checkErr := device.Check(ctx)
	c := sortFindings(found)
	c.Power = power.String()
	if c.Err == "" && errors.Join(err, checkErr) != nil {
		c.Err = strings.ReplaceAll(errors.Join(err, checkErr).Error(), "\n", "; ")
	}
	return c
}

// sortFindings puts what a check found under the alarm it belongs to.
func sortFindings(found []fence.Finding) loop.FenceCheck {
	var c loop.FenceCheck
	add := func(to *string, f fence.Finding) {
		if *to != "" {
			*to += "; "
		}
		*to += f.String()
	}
	for _, f := range found {
		switch f.Kind {
		case fence.FindingIdentity, fence.FindingChanged, fence.FindingNoOutlet:
			add(&c.Identity, f)
		case fence.FindingLoad:
			add(&c.Wiring, f)
		default:
			add(&c.Err, f)
		}
	}
	return c
}

// fenceWiring is the fingerprint of what feeds the peer, as configured: the
// devices, where they are reached, the outlets, and who they must be. Timeouts,
// users and passwords change nothing of the wiring.
func fenceWiring(c config.Config) string {
	if c.Fence == nil {
		return ""
	}
	type feed struct {
		Driver, Address string
		Level           int
		Outlets         []string
		Pin             config.FencePin
		Programs        [][]string
		URLs            []string
		Agent           string
		Options         map[string]string
	}
	var all []feed
	for _, d := range c.Fence.Devices {
		if d.Idle {
			continue
		}
		all = append(all, feed{
			d.Driver, d.Address, d.Level, d.Outlets, d.Pin,
			[][]string{d.Off, d.On, d.Status},
			[]string{d.OffURL, d.OnURL, d.StatusURL},
			d.Agent, d.AgentOptions,
		})
	}
	text, err := json.Marshal(all)
	if err != nil { // nothing in it can fail
		panic("agent: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// repowers says whether a fenced peer gets its power back: only if every device
// that feeds it may give it.
func repowers(c config.Config) bool {
	if c.Fence == nil {
		return false
	}
	feeds := 0
	for _, d := range c.Fence.Devices {
		if d.Idle {
			continue
		}
		feeds++
		if d.Repower != "auto" {
			return false
		}
	}
	return feeds > 0
}

// Fenced adds a line to the history of fences.
func (m *memory) Fenced(r report.Fence) error {
	h, err := fence.OpenHistory(FenceHistoryDir(m.a.cfg.StateDir))
	if err != nil {
		return err
	}
	var grade fence.Grade
	word, _, _ := strings.Cut(r.Grade, " (") // what follows is doubt, which the evidence tells
	if err := grade.UnmarshalText([]byte(word)); err != nil {
		grade = fence.GradeNone
	}
	return h.Append(fence.Record{
		At: r.At, By: r.By, Why: r.Why, Target: r.Target, Node: r.Node, Action: r.Action, Proven: r.Proven,
		Grade: grade, Level: r.Level, Evidence: r.Evidence, Detail: r.Detail, TookMS: r.TookMS,
	})
}

// fenceOptions is what the fence adds to the loop's options.
func fenceOptions(c config.Config, o *loop.Options, name string) {
	o.FenceName, o.FenceTime = name, c.Timing.FenceTime
	if c.Fence == nil {
		return
	}
	o.FenceWiring, o.Repower = fenceWiring(c), repowers(c)
	o.FenceBudget, o.NeedVerified = c.Fence.Budget, c.Fence.Verified != "waived"
}
