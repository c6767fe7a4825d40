//go:build !lite

package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/health"
	"github.com/twinbeat/twinbeat/agent/journal"
	"github.com/twinbeat/twinbeat/agent/loop"
	"github.com/twinbeat/twinbeat/agent/monitor"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/sensors"
	"github.com/twinbeat/twinbeat/sensors/rounds"
)

// A bystander is an agent whose loop writes down what it is told.
type bystander struct {
	*agent
	mu    sync.Mutex
	story []string
	end   func()
}

func newBystander(t *testing.T, c config.Config) *bystander {
	b := &bystander{agent: &agent{cfg: c, log: slog.New(slog.DiscardHandler), board: control.NewBoard(nil)}}
	b.running.cfg = c
	b.inner, b.end = context.WithCancel(context.Background())
	hear := func(format string, args ...any) bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.story = append(b.story, fmt.Sprintf(format, args...))
		return true
	}
	b.hands = &hands{
		vote: func(v health.Vote) bool { return hear("%s -%d", v.Source, v.Loss) },
		tell: func(f loop.Fact) bool {
			if a, ok := f.(loop.AlarmChanged); ok {
				return hear("%s %v", a.Name, a.On)
			}
			return true
		},
	}
	b.hands.insist = func(f loop.Fact) { b.hands.tell(f) }
	if err := b.newMonitors(); err != nil {
		t.Fatal(err)
	}
	return b
}

// stop ends what runs and waits for it.
func (b *bystander) stop() {
	b.end()
	b.group.Wait()
}

// told is what the loop was told since the last call.
func (b *bystander) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := strings.Join(b.story, ", ")
	b.story = nil
	return out
}

// reload takes up another configuration, as far as it is about parts.
func (b *bystander) reload(t *testing.T, c config.Config) *plan {
	t.Helper()
	p := &plan{cfg: c}
	p.report.Problems = nil
	for _, q := range b.openTargets(p) {
		p.report.Problems = append(p.report.Problems, report.Problem(q))
	}
	if err := b.newMonitorsOf(p); err != nil {
		t.Fatal(err)
	}
	b.reparts(p)
	b.running.cfg = c
	return p
}

// file is a monitor that is down while there is no file of that name.
func file(name, path string, weight int) config.Monitor {
	return config.Monitor{Name: name, Type: "file", Path: path, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 3, Weight: weight}
}

const downA, upA = "monitor a -30, monitor/a true, monitor/a/unknown false", "monitor a -0, monitor/a false, monitor/a/unknown false"

func TestReloadTouchesOnlyTheMonitorsThatChange(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "none")
	a, b, moved := file("a", gone, 30), file("b", "/", 20), file("a", gone, 30)
	moved.Line = 99
	fall := func(n int) config.Monitor { c := file("a", gone, 40); c.Fall = n; return c }
	synctest.Test(t, func(t *testing.T) {
		y := newBystander(t, config.Config{Monitors: []config.Monitor{a, b}})
		defer y.stop()
		y.watchMonitors(y.inner)
		time.Sleep(10 * time.Second)
		if got := y.told(); !strings.Contains(got, downA) {
			t.Fatalf("at first: %s", got)
		}
		before := slices.Clone(y.allWatched())
		c := file("c", gone, 10)
		y.reload(t, config.Config{Monitors: []config.Monitor{b, c, moved}})
		now := y.allWatched()
		if now[0] != before[1] || now[2] != before[0] || now[2].View().State != monitor.Down {
			t.Error("a monitor that stays was made anew")
		}
		if got := y.monitorViews()[1]; got.Name != "c" || got.State != "starting" || y.told() != "" {
			t.Errorf("the new one: %+v", got)
		}
		time.Sleep(10 * time.Second)
		if got, want := y.told(), strings.ReplaceAll(strings.Replace(downA, "30", "10", 1), "r a", "r c"); got != strings.ReplaceAll(want, "/a", "/c") {
			t.Errorf("after its falls: %s", got)
		}
		// One that changed: no word before it knows, and then its own.
		y.reload(t, config.Config{Monitors: []config.Monitor{b, c, fall(5)}})
		time.Sleep(3 * startPauseOfMonitors)
		if got := y.told(); got != "" {
			t.Errorf("before the fifth look: %s", got)
		}
		time.Sleep(10 * time.Second)
		if got := y.told(); got != strings.Replace(downA, "30", "40", 1) {
			t.Errorf("after it: %s", got)
		}
		time.Sleep(2 * time.Minute)
		if got := y.told(); got != "" {
			t.Errorf("later: %s", got)
		}
		y.reload(t, config.Config{Monitors: []config.Monitor{b}})
		want := upA + ", " + strings.ReplaceAll(strings.ReplaceAll(upA, "/a", "/c"), "r a", "r c")
		sorted := func(s string) string { p := strings.Split(s, ", "); slices.Sort(p); return strings.Join(p, ", ") }
		if got := y.told(); sorted(got) != sorted(want) {
			t.Errorf("two went: %s, want %s", got, want)
		}
		time.Sleep(10 * time.Second)
		if got := y.told(); got != "" {
			t.Errorf("they went, and said: %s", got)
		}
	})
}

// startPauseOfMonitors is how far apart the first looks of a monitor are.
const startPauseOfMonitors = 200 * time.Millisecond

// What was said of a monitor stands when its settings change, until the new one
// has looked as often as it must: a reload makes no node better or worse.
func TestAMonitorThatChangesStandsByWhatWasSaid(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	none, unknown := filepath.Join(dir, "none"), filepath.Join(there, "below") // ENOTDIR
	of := func(path string, weight, looks int) config.Monitor {
		c := file("a", path, weight)
		c.Rise, c.Fall = looks, looks
		return c
	}
	strict := of(unknown, 30, 1)
	strict.Missing = "fail"
	for name, c := range map[string]struct {
		was, is           config.Monitor
		state, soon, last string // before it has looked often enough; what it says then
		loss              int    // before
	}{
		"down stays down":                 {of(none, 30, 1), of(none, 40, 5), "down", "", "monitor a -40, monitor/a true, monitor/a/unknown false", 30},
		"down goes up by its own looks":   {of(none, 30, 1), of(there, 40, 5), "down", "", upA, 30},
		"down that cannot be looked at":   {of(none, 30, 1), of(unknown, 40, 5), "down", "", "", 30},
		"up goes down by its own looks":   {of(there, 30, 1), of(none, 40, 5), "up", "", "monitor a -40, monitor/a true, monitor/a/unknown false", 0},
		"unknown that counts goes down":   {strict, of(none, 40, 5), "unknown", "", "monitor a -40, monitor/a true, monitor/a/unknown false", 30},
		"unknown that counted may not":    {strict, of(unknown, 40, 5), "unknown", "", "monitor a -0, monitor/a false, monitor/a/unknown true", 30},
		"one look is enough where one is": {of(none, 30, 1), of(there, 30, 1), "up", upA, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newBystander(t, config.Config{Monitors: []config.Monitor{c.was}})
				defer y.stop()
				y.watchMonitors(y.inner)
				time.Sleep(2 * time.Second)
				y.told()
				y.reload(t, config.Config{Monitors: []config.Monitor{c.is}})
				time.Sleep(3500 * time.Millisecond)
				if v := y.monitorViews()[0]; v.State != c.state || v.Loss != c.loss || y.told() != c.soon {
					t.Errorf("before it has looked often enough: %+v", v)
				}
				time.Sleep(3 * time.Minute)
				if got := y.told(); got != c.last {
					t.Errorf("it says %q, want %q", got, c.last)
				}
			})
		})
	}
}

// Two edits, one after the other, hand on what was said before both.
func TestWhatWasSaidIsHandedOnTwice(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "none")
	slow := func(fall int) config.Monitor { c := file("a", gone, 30); c.Fall = fall; return c }
	synctest.Test(t, func(t *testing.T) {
		y := newBystander(t, config.Config{Monitors: []config.Monitor{slow(1)}})
		defer y.stop()
		y.watchMonitors(y.inner)
		time.Sleep(2 * time.Second)
		y.told()
		for n := range 50 {
			y.reload(t, config.Config{Monitors: []config.Monitor{slow(10 + n%2)}})
		}
		if v := y.monitorViews()[0]; v.State != "down" || v.Loss != 30 || y.told() != "" {
			t.Errorf("%+v", v)
		}
	})
}

// sense has the bystander read the source of the test.
func sense(y *bystander, s *sensed) {
	own := s.sensing
	own.vote, own.insist, own.tell = y.hands.vote, y.insistVote, y.hands.insist
	y.senses = own
	y.group.Go(func() { own.run(y.inner) })
}

func TestReloadOfSensorsKeepsTheirVotes(t *testing.T) {
	defer func(was []func(config.Sensors, string, *shelf) rounds.Finder) { sensorFinders = was }(sensorFinders)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		was := config.Sensors{Interval: time.Second, Deadline: time.Second, Act: "move", Root: "/"}
		y := newBystander(t, config.Config{StateDir: dir, Sensors: &was})
		y.journal = &journal.Journal{}
		s := newSensed(t, filepath.Join(dir, learnedFile))
		s.values["cpu"] = 101
		sensorFinders = []func(config.Sensors, string, *shelf) rounds.Finder{
			func(config.Sensors, string, *shelf) rounds.Finder {
				return func() []sensors.Source { return []sensors.Source{s} }
			},
		}
		sense(y, s)
		time.Sleep(10 * time.Second)
		const hot = "sensors/temperature -90"
		if got := y.told(); !strings.Contains(got, hot) || !strings.Contains(got, "sensor cpu true") {
			t.Fatalf("at first: %s", got)
		}
		for name, change := range map[string]func(*config.Sensors){
			"interval": func(c *config.Sensors) { c.Interval = 3 * time.Second },
			"sources":  func(c *config.Sensors) { c.Root = "/elsewhere" },
			"rules":    func(c *config.Sensors) { c.Rules = []config.SensorRule{{Match: "other", Ignore: true}} },
		} {
			is := was
			change(&is)
			y.reload(t, config.Config{StateDir: dir, Sensors: &is})
			time.Sleep(2 * time.Minute)
			// An alarm that stands is told anew now and then.
			if got := y.told(); got == "" || strings.Trim(strings.ReplaceAll(strings.ReplaceAll(got, "sensor cpu true", ""), hot, ""), ", ") != "" {
				t.Errorf("%s: %s", name, got)
			}
			if y.sensing() != senses(s.sensing) || s.cfg.Interval != is.Interval {
				t.Errorf("%s: somebody else reads, or every %v", name, s.cfg.Interval)
			}
		}
		time.Sleep(time.Second / 2) // between two rounds
		y.told()
		y.reload(t, config.Config{StateDir: dir})
		synctest.Wait()
		if got := y.told(); got != "sensors/temperature -0, sensor cpu false" {
			t.Errorf("taken out: %s", got)
		}
		if text, err := y.showSensors(); err != errNoSensors {
			t.Errorf("none is read, and it shows %s, %v", text, err)
		}
		learned, err := os.ReadFile(filepath.Join(dir, learnedFile))
		if err != nil || len(learned) == 0 {
			t.Errorf("what was learned: %v", err)
		}
		y.reload(t, config.Config{StateDir: dir, Sensors: &was})
		time.Sleep(10 * time.Second)
		if got := y.told(); !strings.Contains(got, hot) {
			t.Errorf("back again: %s", got)
		}
		y.stop()
	})
}

// A meter counts errors of which none may be.
type meter struct {
	id    string
	total atomic.Int64
}

func (m *meter) Name() string { return m.id }

func (m *meter) Read(to []sensors.Reading, at time.Time, _ time.Duration) []sensors.Reading {
	r := sensors.New(m.id+"/errors", m.id, sensors.Count, float64(m.total.Load()), at)
	r.Fatal = true
	return append(to, r)
}

// What was counted while nobody looked moves nothing, and what is asked no more
// has no vote.
func TestSensorsThatWereOutBeginAnew(t *testing.T) {
	defer func(was []func(config.Sensors, string, *shelf) rounds.Finder) { sensorFinders = was }(sensorFinders)
	meters := map[string]*meter{"ups/a": {id: "ups/a"}, "ups/b": {id: "ups/b"}}
	sensorFinders = []func(config.Sensors, string, *shelf) rounds.Finder{
		func(c config.Sensors, _ string, s *shelf) rounds.Finder {
			var all []sensors.Source
			for _, u := range c.UPS {
				all = append(all, s.get("ups/"+u.Name+"/", u.UPS, nil, func() any { return meters["ups/"+u.Name] }).(sensors.Source))
			}
			return func() []sensors.Source { return all }
		},
	}
	dir := t.TempDir()
	of := func(ups ...config.UPS) config.Config {
		return config.Config{StateDir: dir, Sensors: &config.Sensors{Interval: time.Second, Deadline: time.Second, Act: "move", UPS: ups}}
	}
	without := config.Config{StateDir: dir}
	a, b := config.UPS{Name: "a", UPS: "one"}, config.UPS{Name: "b", UPS: "two"}
	synctest.Test(t, func(t *testing.T) {
		y := newBystander(t, without)
		defer y.stop()
		y.journal = &journal.Journal{}
		y.reload(t, of(a, b))
		time.Sleep(10500 * time.Millisecond)
		y.reload(t, without)
		meters["ups/a"].total.Store(1000)
		time.Sleep(72 * time.Hour)
		y.reload(t, of(a, b))
		time.Sleep(10 * time.Second)
		if got := y.told(); got != "" {
			t.Errorf("errors of the days between: %s", got)
		}
		meters["ups/b"].total.Store(1)
		time.Sleep(2300 * time.Millisecond)
		if got := y.told(); !strings.Contains(got, "sensors/count -90") {
			t.Errorf("one error more: %q", got)
		}
		y.reload(t, of(a))
		synctest.Wait()
		if got := y.told(); got != "sensor ups/b/errors false, sensors/count -0" {
			t.Errorf("its device is asked no more: %q", got)
		}
	})
}

func TestReloadOfAlertsKeepsTheTargetsThatStay(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "token")
	text := "[[notify]]\nname = \"x\"\n[[notify]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://192.0.2.1\"\ntoken_file = \"" + secret + "\"\n"
	of := func(targets ...config.Notify) config.Config {
		c := withTargets(targets...)
		c.StateDir, c.ControlSocket = dir, filepath.Join(dir, "socket")
		return c
	}
	log := config.Notify{Name: "x", Type: "command", Command: []string{"/bin/false"}}
	hook := config.Notify{Name: "hook", Type: "command", Command: []string{"/bin/false"}}
	y := newBystander(t, of())
	defer y.stop()
	y.reload(t, of(log, hook))
	if v := y.alertsView(); v == nil || len(v.Targets) != 2 {
		t.Fatalf("from none to two: %+v", v)
	}
	y.board.Add(report.Event{At: time.Now(), Kind: "fence", Decided: "proven off", Seen: "relay"})
	waits := func(n int) bool {
		return slices.ContainsFunc(y.alertsView().Targets, func(a report.AlertTarget) bool { return a.Name == "x" && a.Waiting == n })
	}
	for range 500 {
		if waits(1) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stays := y.alerts.targets[0]
	dry := &plan{cfg: of(log)}
	y.openTargets(dry)
	y.foretell(dry)
	p := y.reload(t, of(log))
	if len(p.report.Notes) != 1 || !strings.Contains(p.report.Notes[0], "target hook goes: 1 alerts") || len(dry.report.Notes) != 1 || !strings.Contains(dry.report.Notes[0], "would be dropped") {
		t.Errorf("notes %q, of a dry run %q", p.report.Notes, dry.report.Notes)
	}
	if !waits(1) || y.alerts.targets[0] != stays {
		t.Errorf("the one that stays: %+v", y.alertsView().Targets)
	}
	// A secret that cannot be read, for a target that is new: its line and key.
	bad := config.Notify{Name: "hook", Type: "webhook", URL: "http://192.0.2.1", TokenFile: secret}
	refused := &plan{cfg: of(log, bad), text: []byte(text)}
	q := y.openTargets(refused)
	if len(q) != 1 || q[0].Warning || q[0].Line != 7 || q[0].Key != "notify[1].token_file" || q[0].Hint == "" || !strings.Contains(q[0].Text, "hook") {
		t.Errorf("%+v", q)
	}
	y.reload(t, of())
	if y.alertsView() != nil {
		t.Error("nobody is to be told, and status shows somebody")
	}
}

// Secrets are read anew; a target that cannot be used any more goes on as it was.
func TestReloadReadsSecretsAnew(t *testing.T) {
	if buildName != "full" {
		t.Skip("this build has not every type of target")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "token")
	hook := config.Notify{Name: "hook", Type: "webhook", URL: "http://192.0.2.1", TokenFile: secret}
	c := withTargets(hook)
	c.StateDir, c.ControlSocket = dir, filepath.Join(dir, "socket")
	y := newBystander(t, c)
	y.openAlertsOf(t)
	defer y.stop()
	broken := y.alerts.targets[0]
	if broken.err == nil {
		t.Fatal("there is no such file, and nobody noticed")
	}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(secret, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("one", 0o600)
	y.told()
	y.reload(t, c)
	mended := y.alerts.targets[0]
	if mended == broken || mended.err != nil || y.told() != "notify-hook false" {
		t.Errorf("mended: %+v", mended)
	}
	y.reload(t, c)
	if y.alerts.targets[0] != mended {
		t.Error("the same secret, and another target")
	}
	write("one", 0o644)
	if p := y.reload(t, c); y.alerts.targets[0] != mended || len(p.report.Problems) != 1 || !p.report.Problems[0].Warning {
		t.Errorf("not readable any more: %+v", p.report.Problems)
	}
	write("two", 0o600)
	p := y.reload(t, c)
	if got := y.alerts.targets[0]; got == mended || got.secrets.token != "two" || len(p.report.Notes) != 1 {
		t.Error("another secret, and the same target")
	}
}

// openAlertsOf is openAlerts without a loop.
func (b *bystander) openAlertsOf(t *testing.T) {
	t.Helper()
	p := &plan{cfg: b.cfg}
	b.openTargets(p)
	b.alerts = b.newAlerts(b.cfg, p.targets)
	b.alerts.run(b.inner, &b.group)
}

// The first target that comes by a reload is owed nothing by a run before.
func TestTheFirstTargetIsNotToldOfThePast(t *testing.T) {
	dir := t.TempDir()
	c := withTargets(config.Notify{Name: "x", Type: "command", Command: []string{"/bin/false"}, Severity: "info", Timeout: time.Second})
	c.StateDir, c.ControlSocket = dir, filepath.Join(dir, "socket")
	happen := func(b *control.Board) {
		b.Add(report.Event{At: time.Now(), Kind: "fence", Decided: "proven off", Seen: "relay"})
	}
	waits := func(y *bystander, n int) bool {
		for range 300 {
			if v := y.alertsView(); v != nil && v.Targets[0].Waiting == n {
				return true
			}
			time.Sleep(10 * time.Millisecond)
		}
		return false
	}
	before := newBystander(t, c)
	before.openAlertsOf(t)
	happen(before.board)
	if !waits(before, 1) {
		t.Fatal("nothing waits in the run before, and this test shows nothing")
	}
	before.stop()
	without := c
	without.Notify = nil
	y := newBystander(t, without)
	defer y.stop()
	happen(y.board)
	y.reload(t, c)
	if !waits(y, 0) {
		t.Errorf("it is told of what was before: %+v", y.alertsView())
	}
	happen(y.board)
	if !waits(y, 1) {
		t.Errorf("it is not told of what happens: %+v", y.alertsView())
	}
}

// Nobody reads the answer to a signal.
func TestWhatASignalLeadsToIsLogged(t *testing.T) {
	var log strings.Builder
	a := &agent{log: slog.New(slog.NewTextHandler(&log, nil))}
	a.logReload(&report.Reload{Notes: []string{"one went"}, Problems: []report.Problem{{Line: 7, Key: "notify[0].token_file", Text: "is gone", Hint: "a hint", Warning: true}}})
	for _, want := range []string{"one went", "line=7", "notify[0].token_file", "is gone", "a hint"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no word of %q in %s", want, log.String())
		}
	}
}

// Monitors that are replaced while they look leave nothing behind.
func TestMonitorsThatAreReplacedWhileTheyLookEnd(t *testing.T) {
	slow := config.Monitor{Name: "a", Type: "command", Command: []string{"/bin/sleep", "60"}, Interval: time.Second, Timeout: time.Minute, Rise: 1, Fall: 1, Weight: 30}
	y := newBystander(t, config.Config{Monitors: []config.Monitor{slow}})
	y.watchMonitors(y.inner)
	time.Sleep(200 * time.Millisecond) // the first one looks
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for n := range 20 {
		time.Sleep(20 * time.Millisecond)
		slow.Weight = n + 1
		y.reload(t, config.Config{Monitors: []config.Monitor{slow}})
	}
	left := 0
	for range 500 {
		if left = runtime.NumGoroutine() - goroutines; left <= 2 && openFiles(t) <= files+2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if now := openFiles(t); left > 2 || now > files+2 {
		t.Errorf("20 reloads left %d goroutines and %d files", left, now-files)
	}
	y.stop()
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
