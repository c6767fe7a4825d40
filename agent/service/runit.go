//go:build !lite

package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func init() {
	extras["runit"] = extra{
		check:   func(s Spec) error { return checkRunitName(s.Unit) },
		unit:    func(s Spec) Unit { return &runit{unit: s.Unit, env: s.env()} },
		examine: func(_ context.Context, s Spec) []Finding { return examineRunit(s.Unit) },
	}
}

// A runit is a service that runsv supervises, through sv: a name in sv's own
// folder of services, or the full path of a service's folder.
//
// The first words of sv status tell the state: run is running and down is
// stopped, unless "want" says that runsv is about to change it, which is
// waited for, as finish is; a paused one is failed. Its log's state, behind
// the semicolon, is none of the service's. Without runsv, or without the
// folder, nothing is known: a process may have outlived its runsv.
//
// A folder without a file called down is started by runsv at boot, on both
// nodes.
type runit struct {
	unit string
	env  []string
}

func checkRunitName(name string) error {
	if filepath.IsAbs(name) && filepath.Clean(name) == name && !strings.ContainsAny(name, "\x00\n\t ") {
		return nil
	}
	return checkServiceName("runit", name)
}

// Stop kills, within the stop's own deadline, what does not end by itself.
func (r *runit) Stop(ctx context.Context) error    { return r.act(ctx, "force-stop") }
func (r *runit) Start(ctx context.Context) error   { return r.act(ctx, "start") }
func (r *runit) Restart(ctx context.Context) error { return r.act(ctx, "force-restart") }
func (r *runit) Reload(ctx context.Context) error  { return r.act(ctx, "reload") }

func (r *runit) act(ctx context.Context, verb string) error {
	wait := strconv.Itoa(patience(ctx, time.Now()))
	res, err := Command{Argv: []string{"sv", "-w", wait, verb, r.unit}, Env: r.env, Sweep: true}.Run(ctx)
	if err != nil {
		return absent(fmt.Errorf("%s: %w", verb, err), "runit")
	}
	// "kill:" says that a stop took SIGKILL; whether it helped, Status will say.
	if res.Code != 0 && !(verb == "force-stop" && strings.HasPrefix(res.Stdout, "kill: ")) {
		return exitError(verb, res)
	}
	return nil
}

// patience is how many seconds sv may wait before it kills: half of what is
// left, so that the kill and a look at its outcome are within the deadline.
func patience(ctx context.Context, now time.Time) int {
	const svDefault, most = 7, 600
	end, ok := ctx.Deadline()
	if !ok {
		return svDefault
	}
	return int(min(max(end.Sub(now)/2/time.Second, 1), most))
}

func (r *runit) Status(ctx context.Context) (State, error) { return settled(ctx, r.look) }

func (r *runit) look(ctx context.Context) (State, error) {
	res, err := Command{Argv: []string{"sv", "status", r.unit}, Env: r.env, Sweep: true}.Run(ctx)
	if err != nil {
		return Unknown, absent(err, "runit")
	}
	return r.judge(res)
}

// judge reads a line such as
//
//	run: demo: (pid 123) 5s, want down, got TERM; run: log: (pid 7) 60s
func (r *runit) judge(res Result) (State, error) {
	line, _, _ := strings.Cut(strings.TrimSpace(res.Stdout), "\n")
	own, _, _ := strings.Cut(line, "; ")
	word, rest, ok := strings.Cut(own, ": "+r.unit+": ")
	if res.Code != 0 || !ok {
		return Unknown, exitError("sv status "+r.unit, res)
	}
	notes := strings.Split(rest, ", ")[1:]
	has := func(note string) bool { return slices.Contains(notes, note) }
	moving := &onItsWay{"sv status: " + own}
	switch {
	case word == "run" && has("paused"):
		return Failed, fmt.Errorf("sv status: %s", own)
	case word == "run" && (has("want down") || has("got TERM")), word == "down" && has("want up"), word == "finish":
		return Unknown, moving
	case word == "run":
		return Running, nil
	case word == "down":
		return Stopped, nil
	}
	return Unknown, fmt.Errorf("sv status: unknown state: %s", own)
}

// examineRunit warns of a service that runsv starts at boot.
func examineRunit(unit string) []Finding {
	dir := unit
	if !filepath.IsAbs(unit) {
		var ok bool
		if dir, ok = runitFolder("/", unit); !ok {
			return elsewhere("unit", fmt.Sprintf("no folder of services has %s", unit))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "run")); err != nil {
		return elsewhere("unit", dir+" has no program run")
	}
	if _, err := os.Stat(filepath.Join(dir, "down")); err != nil {
		return []Finding{{Key: "unit", Text: "runit starts it at boot, on both nodes", Hint: "touch " + filepath.Join(dir, "down"), Warning: true}}
	}
	return nil
}
