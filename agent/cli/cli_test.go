package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/fence/snmp/snmptest"
)

var update = flag.Bool("update", false, "write golden output anew; commit only what you understand")

// soon is far above what anything here takes, for a machine that is busy.
const soon = 20 * time.Second

func TestMain(m *testing.M) {
	// The race detector otherwise holds each of the many children for a second.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	testscript.Main(m, map[string]func(){
		"twinbeat": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		// exitcode runs twinbeat and tells its exit code, which testscript does not.
		"exitcode": func() { fmt.Println("exit", Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		// twinbeat-puppet is twinbeat with an agent that only waits for its end.
		"twinbeat-puppet": func() {
			run = puppet
			os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agent": startAgent, "strip": startStrip, "relay": relay, "taken": stripOrders,
		},
		Condition: hasDriver,
		Setup: func(env *testscript.Env) error {
			host, err := os.Hostname()
			env.Setenv("HOST", host)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Values[stripsKey{}] = map[string]*snmptest.PDU{}
			env.Setenv("SOCK", filepath.Join(env.WorkDir, "s"))
			return err
		},
	})
}

// startAgent serves canned answers on $SOCK, with the real server: agent PRESET.
// Orders are written to the file orders.
func startAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || presets[args[0]] == nil {
		ts.Fatalf("usage: agent PRESET")
	}
	d := newDesk(presets[args[0]]())
	d.orders = ts.MkAbs("orders")
	ts.Check(os.WriteFile(d.orders, nil, 0o600))
	stop, err := d.serve(ts.Getenv("SOCK"))
	ts.Check(err)
	ts.Defer(stop)
}

// A desk answers like an agent whose pair does not change.
type desk struct {
	*control.Board
	mu     sync.Mutex
	orders string // file
}

func newDesk(s report.Snapshot) *desk {
	d := &desk{Board: control.NewBoard(nil)}
	d.Publish(s)
	return d
}

// Snapshot says that all is known from now, so that nothing is stale.
func (d *desk) Snapshot() report.Snapshot {
	s := d.Board.Snapshot()
	s.At = time.Now()
	return s
}

func (d *desk) Do(_ context.Context, o control.Order) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !strings.Contains(o.By, "uid ") {
		return "", fmt.Errorf("nobody gave the order: %q", o.By)
	}
	f, err := os.OpenFile(d.orders, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fmt.Fprintf(f, "%s group=%q reason=%q for=%s force=%v\n", o.Command, o.Group, o.Reason, o.For, o.Force)
	if o.Command == control.OrderMaintenanceOn && !o.Force && !d.Board.Snapshot().Peer.Alive {
		return "", &control.Error{Text: "fw2 is not alive: gateway would be served by nobody", Advice: "--force does it all the same"}
	}
	if strings.HasPrefix(o.Command, control.OrderReload) { // as the script has it
		answer, err := os.ReadFile(filepath.Join(filepath.Dir(d.orders), "answer"))
		return string(answer), err
	}
	return "accepted: " + o.Command + "\x1b[2J", nil
}

func (d *desk) serve(path string) (stop func(), err error) {
	s, err := control.Listen(control.Config{Path: path})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ctx, d)
	}()
	return func() { cancel(); <-done }, nil
}

func ms(v float64) *float64 { return &v }

func well() report.Snapshot {
	node := func(name string, id uint8) report.NodeView {
		return report.NodeView{Name: name, ID: id, Alive: true, TwoWay: true, HeardAgoMS: ms(12), AckAgoMS: ms(30), Version: "0.1.0", DigestOK: true, Digest: "9a3f00c1", LeaseMS: 300}
	}
	return report.Snapshot{
		Version: "0.1.0", Cluster: "office",
		Guarantee: report.Guarantee{Mode: "silence", Reason: "no fence device is configured", Lease: "kernel gate (nft), 300 ms"},
		Self:      node("fw1", 1), Peer: node("fw2", 2),
		Links:  []report.LinkView{{Name: "serial /dev/ttyS1", Type: "serial", Open: true, State: "up", HeardAgoMS: ms(12), RoundTripMS: ms(9.2)}},
		Groups: []report.Group{group("gateway", "fw1")},
	}
}

func group(name, owner string) report.Group {
	return report.Group{
		Name: name, State: "ACTIVE", PeerState: "ARMED", Owner: owner, Preferred: "fw1", Term: 7, SinceMS: 60_000, Evidence: "silence",
		GateOpen: true, LeaseLeftMS: 287, Addresses: []string{"192.0.2.1/24@eth0"}, AddressesUp: 1, CanTakeOver: true, Failback: "never",
	}
}

// presets are the pairs that scripts may ask for.
var presets = map[string]func() report.Snapshot{
	"well": well,
	"two": func() report.Snapshot {
		s := well()
		s.Groups = append(s.Groups, group("dmz", "fw2"))
		return s
	},
	"alone": func() report.Snapshot {
		s := well()
		s.Peer.Alive, s.Peer.TwoWay, s.Peer.HeardAgoMS = false, false, ms(95_000)
		return s
	},
	"fenced": func() report.Snapshot {
		s := well()
		s.Peer.Alive, s.Peer.TwoWay, s.Peer.HeardAgoMS = false, false, ms(95_000)
		s.Groups[0].Evidence = "fence"
		return s
	},
	"service": func() report.Snapshot {
		s := well()
		s.Self.Maintenance = &report.Maintenance{Reason: "new disk", By: "root (uid 0)", Since: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC), LeftSec: 5400}
		return s
	},
	"watched": func() report.Snapshot {
		s := well()
		s.Watchdog = &report.Watchdog{
			State: "fed", FedMS: ms(40), Feeds: 9, Tokens: []report.TokenView{{Name: "lease", AgeMS: ms(12), LimitMS: 10_000}},
			Devices: []report.WatchdogDev{{Path: "/dev/watchdog", Identity: "fake", TimeoutMS: 5000, NoWayOut: "yes"}},
		}
		s.LastReset = &report.Reset{Cause: report.CauseWatchdog, Text: "nobody fed it"}
		return s
	},
	"telling": func() report.Snapshot {
		s := well()
		s.Alerting = &report.Alerting{Targets: []report.AlertTarget{{
			Name: "mail", Type: "mail", Where: "smtp.example.org", Delivered: 7, Waiting: 2, Held: 3, Dropped: 5, Tries: 4,
			ToldAgoMS: ms(4000), Answer: "the server took the mail", FailedAgoMS: ms(1000), Error: "connection refused",
		}}}
		return s
	},
	"none": func() report.Snapshot {
		s := well()
		s.Groups = nil
		return s
	},
}

// call runs Main in this process.
func call(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func serveDesk(t *testing.T, d *desk) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	stop, err := d.serve(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return path
}

func TestStatusReadsAsTheGoldenFileSays(t *testing.T) {
	path := serveDesk(t, newDesk(presets["alone"]()))
	code, out, errs := call(t, "", "status", "--socket", path)
	if code != exitDegraded || errs != "" {
		t.Fatalf("exit %d, %s", code, errs)
	}
	_, out, _ = strings.Cut(out, "\n") // the first line has the time
	const golden = "testdata/status.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line) > report.Columns+1 {
			t.Errorf("too wide: %s", line)
		}
	}
}

func TestStatusInJSONIsOneCompleteObject(t *testing.T) {
	path := serveDesk(t, newDesk(presets["alone"]()))
	code, out, _ := call(t, "", "status", "--json", "--socket", path)
	var got struct {
		report.Snapshot
		Degraded []string `json:"degraded"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitDegraded || len(got.Degraded) != 1 || got.Cluster != "office" || len(got.Links) != 1 || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d: %s", code, out)
	}
	_, out, _ = call(t, "", "status", "--json", "--socket", serveDesk(t, newDesk(well())))
	if !strings.Contains(out, `"degraded":[]`) {
		t.Errorf("no reasons must be an empty list: %s", out)
	}
}

func TestEventsFollowWhatIsToCome(t *testing.T) {
	d := newDesk(presets["two"]())
	path := filepath.Join(t.TempDir(), "s")
	stop, err := d.serve(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for i := range 30 {
		d.Add(report.Event{Kind: "role", Group: []string{"gateway", "dmz"}[i%2], Seen: fmt.Sprintf("early %d", i)})
	}
	r, w := io.Pipe()
	var errs bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- Main([]string{"events", "--follow", "-n", "2", "--json", "--group", "dmz", "--socket", path}, strings.NewReader(""), w, &errs)
		w.Close()
	}()
	var got []string
	in := bufio.NewScanner(r)
	for in.Scan() { // ends with the agent
		var e report.Event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Seen)
		switch len(got) {
		case 2:
			d.Add(report.Event{Kind: "role", Group: "gateway", Seen: "not mine"})
			d.Add(report.Event{Kind: "role", Group: "dmz", Seen: "late"})
		case 3:
			go stop()
		}
	}
	if want := []string{"early 27", "early 29", "late"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if c := <-code; c != exitFailed || !strings.Contains(errs.String(), "it closed the connection") {
		t.Errorf("exit %d, %s", c, errs.String())
	}
}

func TestEveryCommandHasHelpThatFitsTheConsole(t *testing.T) {
	pages := map[string]string{"overview": overview()}
	for _, c := range commands() {
		pages[c.name] = c.help()
		if len(c.examples) == 0 || c.text == "" || c.summary == "" {
			t.Errorf("%s: help is incomplete", c.name)
		}
		if code, out, _ := call(t, "", c.name, "--help"); code != exitWell || out != c.help() {
			t.Errorf("%s --help: exit %d", c.name, code)
		}
		if code, out, _ := call(t, "", "help", c.name); code != exitWell || out != c.help() {
			t.Errorf("help %s: exit %d", c.name, code)
		}
		if !strings.Contains(pages["overview"], "\n  "+c.name+" ") {
			t.Errorf("%s is not in the overview", c.name)
		}
	}
	for name, page := range pages {
		for line := range strings.Lines(page) {
			if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > report.Columns && !strings.HasPrefix(line, "usage:") {
				t.Errorf("%s: too wide: %s", name, line)
			}
		}
	}
}

// The examples in the help must be command lines that the parser takes.
func TestExamplesInTheHelpAreUnderstood(t *testing.T) {
	for _, c := range commands() {
		for _, e := range c.examples {
			words, own := strings.CutPrefix(e, "twinbeat "+c.name)
			if !own {
				continue
			}
			words, _, _ = strings.Cut(words, "|")
			words, _, _ = strings.Cut(words, ">")
			words, _, _ = strings.Cut(words, "&&")
			if _, _, err := c.parse(fields(words)); err != nil {
				t.Errorf("%s: %v", e, err)
			}
		}
	}
}

// fields splits words as a shell does that knows only single quotes.
func fields(s string) []string {
	var out []string
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

func TestAnAnswerThatDoesNotArriveIsAFailure(t *testing.T) {
	path := serveDesk(t, newDesk(well()))
	var errs bytes.Buffer
	if code := Main([]string{"status", "--socket", path}, nil, brokenWriter{}, &errs); code != exitFailed {
		t.Errorf("exit %d, %s", code, errs.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestVersionTellsNoPathOfTheBuildMachine(t *testing.T) {
	code, out, _ := call(t, "", "version", "-v")
	if code != exitWell || !strings.HasPrefix(out, "twinbeat ") || !strings.Contains(out, "\ngo ") {
		t.Fatalf("exit %d: %s", code, out)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{dir, os.Getenv("HOME") + "/", os.TempDir() + "/"} {
		if strings.Contains(out, secret) {
			t.Errorf("%q in:\n%s", secret, out)
		}
	}
}

func TestSlipsOfTheFingersAreRecognised(t *testing.T) {
	for word, want := range map[string]string{
		"statsu": "status", "evnts": "events", "hand": "handover", "MAINTENANCE": "maintenance", "confirmdead": "confirm-dead",
		"reboot": "", "x": "", strings.Repeat("a", 1000): "",
	} {
		if got := nearest(word, names()); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}

// puppet stands for the agent: it tells what it was given, and ends when told.
// PUPPET says how it behaves.
func puppet(ctx context.Context, o agent.Options) error {
	fmt.Printf("run config=%s node=%s version=%s\n", o.ConfigPath, o.Node, o.Version)
	o.Log.Debug("quiet")
	o.Log.Info("started")
	switch os.Getenv("PUPPET") {
	case "fail":
		return &control.Error{Text: "open link: no such device", Advice: "plug it in"}
	case "flood":
		for i := range 5000 { // 5 MB: no pipe holds that
			o.Log.Info("flood", "n", i, "pad", strings.Repeat("x", 1000))
		}
	}
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("stopping")
	if os.Getenv("PUPPET") == "stuck" {
		time.Sleep(soon)
	}
	return nil
}

// A child is a running twinbeat-puppet.
type child struct {
	*exec.Cmd
	out *bufio.Scanner
}

func startPuppet(t *testing.T, mode string, stderr *os.File) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "twinbeat-puppet", "run", "--config", "/x.toml", "--node", "fw1")
	cmd.Env = append(os.Environ(), "PUPPET="+mode)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &child{cmd, bufio.NewScanner(out)}
}

func (c *child) waitFor(t *testing.T, line string) {
	t.Helper()
	for c.out.Scan() { // bounded by the context of the command
		if c.out.Text() == line {
			return
		}
	}
	t.Fatalf("the child ends without %q", line)
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ends drains the child and returns how it ended.
func (c *child) ends(t *testing.T) syscall.WaitStatus {
	t.Helper()
	for c.out.Scan() { // bounded by the context of the command
	}
	_ = c.Wait() // the state says it all
	return c.ProcessState.Sys().(syscall.WaitStatus)
}

func TestRunEndsGracefullyWhenTold(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		c := startPuppet(t, "", nil)
		c.waitFor(t, "run config=/x.toml node=fw1 version="+programVersion())
		c.waitFor(t, "ready")
		c.signal(t, s)
		c.waitFor(t, "stopping")
		if st := c.ends(t); st.ExitStatus() != exitWell {
			t.Errorf("%v: %v", s, st)
		}
	}
}

func TestSecondSignalEndsRunAtOnce(t *testing.T) {
	c := startPuppet(t, "stuck", nil)
	c.waitFor(t, "ready")
	c.signal(t, syscall.SIGTERM)
	c.waitFor(t, "stopping")
	// The handler is taken away in a goroutine of its own: repeat, bounded.
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		for range 100 {
			_ = c.Process.Signal(syscall.SIGTERM)
			select {
			case <-gone:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	if st := c.ends(t); !st.Signaled() || st.Signal() != syscall.SIGTERM {
		t.Errorf("ended with status %d, signal %v", st.ExitStatus(), st.Signal())
	}
}

func TestALostTerminalDoesNotEndTheAgent(t *testing.T) {
	c := startPuppet(t, "", nil)
	c.waitFor(t, "ready")
	c.signal(t, syscall.SIGHUP)
	c.signal(t, syscall.SIGPIPE)
	c.signal(t, syscall.SIGTERM)
	c.waitFor(t, "stopping")
	if st := c.ends(t); st.ExitStatus() != exitWell {
		t.Errorf("%v", st)
	}
}

func TestADeadOrHungLoggerDoesNotStopTheAgent(t *testing.T) {
	for _, dead := range []bool{true, false} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if dead {
			r.Close()
		}
		c := startPuppet(t, "flood", w)
		w.Close()
		c.waitFor(t, "ready")
		c.signal(t, syscall.SIGTERM)
		if st := c.ends(t); st.ExitStatus() != exitWell {
			t.Errorf("dead %v: exit %d, signal %v", dead, st.ExitStatus(), st.Signal())
		}
	}
}

func TestSinkCountsWhatItDrops(t *testing.T) {
	var mu sync.Mutex
	mu.Lock() // the reader hangs
	var out bytes.Buffer
	s := newSink(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	}))
	const lines = 3 * sinkLines
	for i := range lines {
		fmt.Fprintf(s, "line %d\n", i)
	}
	mu.Unlock()
	deadline := time.Now().Add(soon)
	for len(s.lines) > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	fmt.Fprintln(s, "last")
	s.Close()
	mu.Lock()
	defer mu.Unlock()
	text := out.String()
	written := strings.Count(text, "line ") // "lines lost" has no blank behind "line"
	var lost int
	for line := range strings.Lines(text) {
		var n int
		if i := strings.Index(line, "lines="); i >= 0 {
			if _, err := fmt.Sscanf(line[i:], "lines=%d", &n); err != nil {
				t.Fatal(err)
			}
		}
		lost += n
	}
	if lost == 0 || written+lost != lines || !strings.HasSuffix(text, "last\n") {
		t.Errorf("%d written, %d lost, of %d; ends %q", written, lost, lines, text[len(text)-20:])
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
