//go:build !lite

package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ocfRoot    = "/usr/lib/ocf"
	ocfScratch = "/run/resource-agents" // where the agents of ClusterLabs keep their state; a cluster manager makes it

	metaTimeout = 5 * time.Second // for meta-data, which the API asks to be quick

	// recurring is the interval that a running agent is told, in milliseconds:
	// not zero, or it would take the check for a probe and be lenient.
	recurring = 10_000
)

func init() {
	extras["ocf"] = extra{check: checkOCF, unit: func(s Spec) Unit { return newOCF(s) }, examine: examineOCF}
}

// Exit codes of the OCF Resource Agent API 1.0 and 1.1, section "Return Codes";
// those of degraded services are Pacemaker's.
const (
	ocfSuccess          = 0
	ocfGeneric          = 1
	ocfNotRunning       = 7
	ocfPromoted         = 8
	ocfFailedPromoted   = 9
	ocfDegraded         = 190
	ocfDegradedPromoted = 191
)

// ocfWords say what the other codes mean.
var ocfWords = map[int]string{
	ocfGeneric: "generic error", 2: "invalid parameter", 3: "action not implemented", 4: "insufficient privileges",
	5: "not installed", 6: "not configured", ocfNotRunning: "not running", ocfPromoted: "running promoted",
	ocfFailedPromoted: "failed in the promoted role", ocfDegraded: "degraded", ocfDegradedPromoted: "degraded in the promoted role",
}

// An ocf is a resource agent by the OCF Resource Agent API 1.1.
//
// The exit code of monitor is the state: 0 running, 7 stopped, 1 and 9 failed,
// everything else unknown. With promote the service is what is promoted: 8 is
// running, and 0, which runs unpromoted, is failed; or stopped, if the
// unpromoted one is to stay behind (KeepOnStop), as a DRBD secondary does.
//
// Monitor is a probe (interval 0) until the service was started, or seen to
// run: it then says 7 also where the program or its files are not there.
type ocf struct {
	agent   string
	env     []string
	params  map[string]string
	promote bool
	keep    bool
	depth   int
	started atomic.Bool // or seen to run

	mu    sync.Mutex
	tried bool         // meta-data was asked for
	meta  *ocfMetadata // nil: it gave none that can be read
}

// newOCF makes the unit of a checked Spec.
func newOCF(s Spec) *ocf {
	agent, root, provider := findOCF(s.Unit)
	o := &ocf{agent: agent, params: s.Params, promote: s.Promote, keep: s.KeepOnStop, depth: s.Depth}
	o.env = append(s.env(),
		"OCF_ROOT="+root, "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESOURCE_INSTANCE="+s.Group+"."+s.Name, // no name has a dot
		"OCF_RESOURCE_TYPE="+filepath.Base(agent), "OCF_RESOURCE_PROVIDER="+provider,
		"OCF_CHECK_LEVEL="+strconv.Itoa(s.Depth))
	for _, name := range slices.Sorted(maps.Keys(s.Params)) {
		o.env = append(o.env, "OCF_RESKEY_"+name+"="+s.Params[name])
	}
	return o
}

// findOCF returns an agent's path, the OCF_ROOT above it, and its provider.
// The unit is [ocf:]provider:type, or a path.
func findOCF(unit string) (agent, root, provider string) {
	if !filepath.IsAbs(unit) {
		p, kind, _ := strings.Cut(strings.TrimPrefix(unit, "ocf:"), ":")
		return filepath.Join(ocfRoot, "resource.d", p, kind), ocfRoot, p
	}
	dir := filepath.Dir(unit)
	if up := filepath.Dir(dir); filepath.Base(up) == "resource.d" {
		return unit, filepath.Dir(up), filepath.Base(dir)
	}
	return unit, ocfRoot, filepath.Base(dir)
}

func checkOCF(s Spec) error {
	p, kind, ok := strings.Cut(strings.TrimPrefix(s.Unit, "ocf:"), ":")
	path := filepath.IsAbs(s.Unit) && filepath.Clean(s.Unit) == s.Unit
	named := ok && checkServiceName("ocf", p) == nil && checkServiceName("ocf", kind) == nil && !strings.Contains(kind, ":")
	if !path && !named || strings.ContainsAny(s.Unit, "\x00\n\t ") {
		return fmt.Errorf("check unit: %q is neither PROVIDER:AGENT nor a clean absolute path", s.Unit)
	}
	for name, value := range s.Params {
		if !isParameter(name) || strings.ContainsRune(value, 0) {
			return fmt.Errorf("check params: %q is no name of a parameter, or its value has a zero byte", name)
		}
	}
	return nil
}

// isParameter accepts what a shell can read as a variable's name.
func isParameter(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// run runs one action.
func (o *ocf) run(ctx context.Context, action string) (Result, error) {
	env := slices.Clone(o.env)
	if end, ok := ctx.Deadline(); ok {
		env = append(env, fmt.Sprintf("OCF_RESKEY_CRM_meta_timeout=%d", max(1, time.Until(end).Milliseconds())))
	}
	interval := 0
	if action == "monitor" && o.started.Load() {
		interval = recurring
	}
	env = append(env, fmt.Sprintf("OCF_RESKEY_CRM_meta_interval=%d", interval))
	leaves := action == "start" || action == "promote" || action == "demote"
	return Command{Argv: []string{o.agent, action}, Env: env, Sweep: !leaves}.Run(ctx)
}

// act runs an action that is to end with one of the codes.
func (o *ocf) act(ctx context.Context, action string, codes ...int) error {
	res, err := o.run(ctx, action)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	if !slices.Contains(codes, res.Code) {
		return ocfError(action, res)
	}
	return nil
}

func ocfError(action string, res Result) error {
	if words, ok := ocfWords[res.Code]; ok {
		action += ": " + words
	}
	return exitError(action, res)
}

// Start refuses parameters that do not fit the agent's metadata. It starts,
// unless the service runs unpromoted already, and promotes.
func (o *ocf) Start(ctx context.Context) error {
	if m, err := o.metadata(ctx, true); err == nil {
		if err := m.refuse(o.params, o.promote); err != nil {
			return fmt.Errorf("start: %s: %w", o.agent, err)
		}
	} else if ctx.Err() != nil {
		return fmt.Errorf("start: %w", ctx.Err())
	} // an agent without metadata judges its parameters itself
	_ = os.MkdirAll(ocfScratch, 0o755) // the agent says what it lacks
	o.started.Store(true)
	if !o.promote {
		return o.act(ctx, "start", ocfSuccess)
	}
	res, err := o.run(ctx, "monitor")
	switch {
	case err != nil:
		return fmt.Errorf("monitor: %w", err)
	case res.Code == ocfPromoted || res.Code == ocfDegradedPromoted:
		return nil
	case res.Code != ocfSuccess && res.Code != ocfDegraded:
		if err := o.act(ctx, "start", ocfSuccess); err != nil {
			return err
		}
	}
	return o.act(ctx, "promote", ocfSuccess)
}

// Stop demotes first, where the service is promoted; if the unpromoted one is
// to stay, that is all.
func (o *ocf) Stop(ctx context.Context) error { return o.end(ctx, o.promote && o.keep) }

func (o *ocf) end(ctx context.Context, demoteOnly bool) error {
	o.started.Store(false)
	var demoteErr error
	if o.promote {
		demoteErr = o.act(ctx, "demote", ocfSuccess, ocfNotRunning)
	}
	if demoteOnly {
		return demoteErr
	}
	if err := o.act(ctx, "stop", ocfSuccess); err != nil {
		return errors.Join(demoteErr, err)
	}
	return nil // what is stopped is not promoted
}

// Restart stops the service whole, also where Stop would only demote it.
func (o *ocf) Restart(ctx context.Context) error {
	if !o.promote {
		return stopThenStart(ctx, o)
	}
	stopErr := o.end(ctx, false)
	if err := ctx.Err(); err != nil {
		return errors.Join(stopErr, err)
	}
	if err := o.Start(ctx); err != nil {
		return errors.Join(stopErr, err)
	}
	return nil
}

func (o *ocf) Status(ctx context.Context) (State, error) {
	res, err := o.run(ctx, "monitor")
	if err != nil {
		return Unknown, err
	}
	state, err := o.judge(res)
	if state == Running {
		o.started.Store(true) // by an earlier agent of ours
	}
	return state, err
}

func (o *ocf) judge(res Result) (State, error) {
	switch res.Code {
	case ocfNotRunning:
		return Stopped, nil
	case ocfSuccess, ocfDegraded:
		switch {
		case !o.promote:
			return Running, nil
		case o.keep:
			return Stopped, nil
		}
		return Failed, errors.New("monitor: it runs, but is not promoted")
	case ocfPromoted, ocfDegradedPromoted:
		if !o.promote {
			return Failed, errors.New("monitor: it is promoted, but promote is not configured")
		}
		return Running, nil
	case ocfGeneric, ocfFailedPromoted:
		return Failed, ocfError("monitor", res)
	}
	return Unknown, ocfError("monitor", res)
}

// metadata asks the agent what it is, once; after a failure only if again says so.
func (o *ocf) metadata(ctx context.Context, again bool) (*ocfMetadata, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.meta != nil {
		return o.meta, nil
	}
	if o.tried && !again {
		return nil, errors.New("meta-data could not be read")
	}
	o.tried = true
	m, err := readOCF(ctx, o.agent, o.env)
	if err == nil {
		o.meta = m
	}
	return m, err
}

// readOCF runs meta-data and reads it.
func readOCF(ctx context.Context, agent string, env []string) (*ocfMetadata, error) {
	res, err := Command{Argv: []string{agent, "meta-data"}, Env: env, Sweep: true, Keep: MaxKeep, Timeout: metaTimeout}.Run(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("meta-data: %w", err)
	case res.Code != ocfSuccess:
		return nil, ocfError("meta-data", res)
	case !res.Whole:
		return nil, fmt.Errorf("meta-data: more than %d bytes", MaxKeep)
	}
	m, err := parseOCF(res.Stdout)
	if err != nil {
		return nil, fmt.Errorf("meta-data: %w", err)
	}
	return m, nil
}

// advise returns the agent's own timeout for start, stop or monitor, zero if
// it has none.
func (o *ocf) advise(ctx context.Context, action string) time.Duration {
	m, err := o.metadata(ctx, false)
	if err != nil {
		return 0
	}
	d := m.timeout(action, o.depth)
	switch {
	case o.promote && action == "start":
		d += m.timeout("promote", 0)
	case o.promote && action == "stop":
		d += m.timeout("demote", 0)
	}
	return min(d, MaxAdvised)
}
