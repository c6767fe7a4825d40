//go:build !lite

package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/config"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/agent/survey"
)

// A fakeBox is a root folder in a few words; an interface is its name, up or
// down, carrier or none, and addresses.
type fakeBox struct {
	host  string
	files map[string]string
	nets  []string
}

// fakeBoxes are the boxes that transcripts may be played on.
var fakeBoxes = map[string]fakeBox{
	"apu": {
		"fw1", map[string]string{
			"sys/class/tty/ttyS0/type": "4", "sys/class/tty/ttyS0/uartclk": "1843200", "sys/class/tty/ttyS1/type": "4", "sys/class/tty/ttyS1/uartclk": "1843200",
			"sys/class/tty/ttyS2/type": "0", "proc/consoles": "ttyS0 -W- (EC p a) 4:64",
			"run/systemd/system/x": "", "lib/systemd/system/dnsmasq.service": "", "proc/300/comm": "dnsmasq",
			"dev/watchdog0": "", "sys/class/watchdog/watchdog0/identity": "SP5100 TCO timer", "sys/class/watchdog/watchdog0/timeout": "60",
			"proc/1/comm": "systemd", "proc/1/fd/40": "-> /dev/watchdog0",
			"proc/net/route": "eth1\t00000000\tFE0200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
		}, []string{"eth0 up carrier 192.0.2.11/24 fe80::1/64", "eth1 up carrier 198.51.100.2/24", "eth2 up carrier 10.255.0.1/30"},
	},
	"bare": {"router", nil, []string{"lan up carrier 192.0.2.12/24", "ha0 down none"}},
}

// build makes it, and init look at it.
func (f fakeBox) build(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, link := strings.CutPrefix(text, "-> "); link {
			must(t, os.Symlink(to, file))
			return
		}
		must(t, os.WriteFile(file, []byte(text), 0o644))
	}
	for name, text := range f.files {
		put(name, text)
	}
	var nets []survey.Interface
	for i, line := range f.nets {
		words := strings.Fields(line)
		n := survey.Interface{Name: words[0], MAC: "02:00:00:00:00:0" + string(rune('0'+i)), Up: words[1] == "up"}
		for _, w := range words[3:] {
			n.Addresses = append(n.Addresses, netip.MustParsePrefix(w))
		}
		nets = append(nets, n)
		put("sys/class/net/"+n.Name+"/device", "")
		put("proc/sys/net/ipv6/conf/"+n.Name+"/disable_ipv6", "0")
		if words[2] == "carrier" {
			put("sys/class/net/"+n.Name+"/carrier", "1")
			put("sys/class/net/"+n.Name+"/speed", "1000")
		}
	}
	oldBox, oldHost := thisBox, hostName
	t.Cleanup(func() { thisBox, hostName = oldBox, oldHost })
	thisBox = survey.Box{Root: root, Interfaces: func() ([]survey.Interface, error) { return nets, nil }}
	hostName = func() string { return f.host }
}

// A typist is at a terminal that echoes: what is typed stands behind the prompt.
type typist struct {
	bytes.Buffer
	typed []string // lines to come
}

type keyboard struct{ *typist }

// Read gives one line.
func (k keyboard) Read(p []byte) (int, error) {
	if len(k.typed) == 0 {
		return 0, io.EOF
	}
	line := k.typed[0] + "\n"
	k.typed = k.typed[1:]
	k.WriteString(line)
	return copy(p, line), nil
}

// changing are the parts of a console that differ from run to run.
var changing = regexp.MustCompile(`toml\.[0-9]{8}T[0-9]{6}Z`)

// TestInitReadsAsTheTranscriptsSay plays testdata/init: a line that begins with
// "box" names the box, one with "$" has the arguments, "<" the lines that are
// typed, "file" the text of a file that is there. What follows "----" is the
// console, and how it ended.
func TestInitReadsAsTheTranscriptsSay(t *testing.T) {
	files, err := filepath.Glob("testdata/init/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		file, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playInit(t, file) })
	}
}

func playInit(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script, want, _ := strings.Cut(string(text), "----\n")
	t.Chdir(t.TempDir())
	var c typist
	var args []string
	for line := range strings.Lines(script) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "box":
			fakeBoxes[rest].build(t)
		case "$":
			args = regexp.MustCompile(`'[^']*'|\S+`).FindAllString(rest, -1)
		case "<":
			c.typed = append(c.typed, rest)
		case "file":
			name, text, _ := strings.Cut(strings.ReplaceAll(rest, `\n`, "\n"), " ")
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, a := range args {
		args[i] = strings.Trim(a, "'")
	}
	code := Main(args, keyboard{&c}, &c, &c)
	got := changing.ReplaceAllString(c.String(), "toml.TIME") + ending(t, code)
	if *update {
		if err := os.WriteFile(file, []byte(script+"----\n"+got), 0o644); err != nil {
			t.Fatal(err)
		}
		want = got
	}
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	judgeConsole(t, got)
}

// ending says how a run ended and what lies in the folder now.
func ending(t *testing.T, code int) string {
	text := []string{"exit " + string(rune('0'+code))}
	_ = filepath.WalkDir(".", func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		text = append(text, info.Mode().Perm().String()+" "+changing.ReplaceAllString(name, "toml.TIME"))
		return err
	})
	if len(text) == 1 {
		text = append(text, "nothing there")
	}
	return "====\n" + strings.Join(text, "\n") + "\n"
}

// judgeConsole sees that nothing is too wide but what must not be cut: commands
// to copy, lines of the configuration, problems with their file.
func judgeConsole(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		whole := strings.HasPrefix(line, "  scp ") || strings.HasPrefix(line, "  mkdir ") || strings.HasPrefix(line, "twinbeat: ") || strings.Contains(line, " = ") || strings.Contains(line, ".toml:") || strings.HasPrefix(line, "  hint:") || strings.HasPrefix(line, "hint:")
		if utf8.RuneCountInString(line) > report.Columns && !whole {
			t.Errorf("too wide: %s", line)
		}
	}
}

// TestEveryConfigurationThatInitWritesRuns reads what the transcripts wrote as
// both nodes do.
func TestEveryConfigurationThatInitWritesRuns(t *testing.T) {
	for name, args := range map[string][]string{
		"plain":    {"--vip", "192.0.2.1"},
		"families": {"--vip", "192.0.2.1,2001:db8::1/64", "--vip", "198.51.100.1@eth1"},
		"by node":  {"--vip", "192.0.2.1", "--serial", "fw1=/dev/ttyS1 fw2=/dev/ttyUSB0", "--heartbeat", "eth2 fw2=eth0 fw1=eth1"},
		"slow":     {"--vip", "192.0.2.1", "--baud", "9600"},
		"services": {"--vip", "192.0.2.1", "--service", "dnsmasq", "--service", "sysv:lighttpd"},
		"watchdog": {"--vip", "192.0.2.1", "--watchdog", "yes"},
		"pdu":      {"--vip", "192.0.2.1", "--fence", "raritan", "--fence-address", "192.0.2.20", "--fence-outlets", "fw1=1 fw2=2,3"},
		"plug":     {"--vip", "192.0.2.1", "--fence", "shelly", "--fence-address", "fw1=192.0.2.20 fw2=192.0.2.21", "--fence-outlets", "fw1=0 fw2=0"},
		"user":     {"--vip", "192.0.2.1", "--fence", "tasmota", "--fence-address", "192.0.2.20", "--fence-outlets", "fw1=1 fw2=2", "--fence-user", "admin"},
		"bmc":      {"--vip", "192.0.2.1", "--fence", "redfish", "--fence-address", "fw1=192.0.2.20 fw2=192.0.2.21", "--mode", "silence"},
		"lease":    {"--vip", "192.0.2.1", "--mode", "lease"},
		"dots":     {"--vip", "192.0.2.1", "--nodes", "a.example b.example", "--serial", "a.example=/dev/ttyS1 b.example=/dev/ttyS0"},
	} {
		t.Run(name, func(t *testing.T) {
			fakeBoxes["apu"].build(t)
			t.Chdir(t.TempDir())
			code, out, errs := call(t, "", slices.Concat([]string{"init", "--yes", "--output", "new"}, args)...)
			if code != exitWell {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			data, err := os.ReadFile("new/twinbeat.toml")
			if err != nil {
				t.Fatal(err)
			}
			nodes := []string{"fw1", "fw2"}
			if name == "dots" {
				nodes = []string{"a.example", "b.example"}
			}
			for _, node := range nodes {
				if _, problems := config.Parse("new/twinbeat.toml", data, node); config.Refused(problems) {
					t.Errorf("as %s: %v\n%s", node, problems, data)
				}
			}
			if _, err := agent.LoadKeys("new/keys"); err != nil {
				t.Error(err)
			}
			judgeConsole(t, string(data))
		})
	}
}

func TestAnswersThatCannotBeEndAsUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--yes"}, "--vip is missing"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--nodes", "fw1"}, "1 names; a pair has two"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--nodes", "fw1 fw1"}, "fw1"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--serial", "ttyS1"}, "ttyS1"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--serial", "fw3=/dev/ttyS1"}, "no node is called fw3"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--serial", "fw1=/dev/ttyS1"}, "one node's is missing"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--baud", "fast"}, "not a number of bits"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--baud", "1"}, "--baud 1"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--serial", "none", "--baud", "9600"}, "--baud does not go with"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--serial", "none", "--heartbeat", "none"}, "the boxes do not hear each other"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--heartbeat", "eth2 eth2"}, "same path"},
		{[]string{"--yes", "--vip", "192.0.2.11"}, "this box's own address"},
		{[]string{"--yes", "--vip", "203.0.113.1"}, "how long is its prefix?"},
		{[]string{"--yes", "--vip", "192.0.2.1/33"}, "192.0.2.1/33"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--lan", "an-interface-too-long"}, "an-interface-too-long"},
		{[]string{"--yes", "--vip", "192.0.2.1\""}, "a character that none"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--service", "nothing-here"}, "no init system"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--service", "telepathy:dnsmasq"}, "telepathy"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--service", "../x"}, "no name of a service"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--watchdog", "maybe"}, "yes or no"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--fence", "exec"}, "no driver that init can set up"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--fence", "apc"}, "--fence-address is missing"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--fence-address", "192.0.2.20"}, "--fence-address does not go with"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--fence", "apc", "--fence-address", "192.0.2.20", "--fence-outlets", "fw1=1"}, "the outlets of fw2 are missing"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--fence", "apc", "--fence-address", "192.0.2.20", "--fence-outlets", "fw1=1 fw2=1"}, "--fence-outlets"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--fence", "ipmi", "--fence-address", "fw1=192.0.2.20 fw2=192.0.2.21", "--fence-user", "none"}, "a BMC wants a user"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--mode", "fence"}, "mode fence has no [fence] section"},
		{[]string{"--yes", "--vip", "192.0.2.1", "--mode", "hope"}, "hope"},
		{[]string{"--json"}, "--json goes with --detect"},
	} {
		fakeBoxes["apu"].build(t)
		t.Chdir(t.TempDir())
		code, out, errs := call(t, "", slices.Concat([]string{"init", "--output", "new"}, c.args)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, c.want) || !strings.Contains(errs, "hint: ") {
			t.Errorf("%q: exit %d, %s%s", c.args, code, out, errs)
		}
		if _, err := os.Stat("new"); err == nil {
			t.Errorf("%q: something was written", c.args)
		}
	}
}

// TestAnAddressThatTheRunningPairHasIsNoneOfTheBox replaces the configuration of
// a box that owns the group just now.
func TestAnAddressThatTheRunningPairHasIsNoneOfTheBox(t *testing.T) {
	box := fakeBoxes["apu"]
	box.nets = []string{"eth0 up carrier 192.0.2.11/24 192.0.2.1/24", "eth2 up carrier"}
	box.build(t)
	t.Chdir(t.TempDir())
	args := []string{"init", "--yes", "--output", ".", "--vip", "192.0.2.1/24"}
	if code, _, errs := call(t, "", args...); code != exitUsage || !strings.Contains(errs, "this box's own address") {
		t.Errorf("exit %d, %s", code, errs)
	}
	must(t, os.WriteFile("twinbeat.toml", []byte(config.Example), 0o600))
	if code, _, errs := call(t, "", append(args, "--force")...); code != exitWell {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func TestDetectTellsAProgramTheSame(t *testing.T) {
	fakeBoxes["apu"].build(t)
	code, out, errs := call(t, "", "init", "--detect", "--json")
	var f survey.Facts
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != exitWell || errs != "" {
		t.Fatalf("exit %d, %v, %s", code, err, errs)
	}
	if f.Init != "systemd" || len(f.Serials) != 2 || len(f.Nets) != 3 || len(f.Watchdogs) != 1 || len(f.Services) != 1 {
		t.Errorf("%s", out)
	}
}

// TestWhatCannotBeWrittenLeavesNothing breaks each step of placing.
func TestWhatCannotBeWrittenLeavesNothing(t *testing.T) {
	const well = "cluster = \"a\"\n"
	files := func(dir string) string {
		entries, _ := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct {
		name  string
		force bool
		text  string
		spoil func(t *testing.T, dir string, p *pairFiles)
		left  string
	}{
		{"a configuration that is refused", false, well, func(*testing.T, string, *pairFiles) {}, ""},
		{"a configuration came meanwhile", false, config.Example, func(t *testing.T, dir string, p *pairFiles) { must(t, os.WriteFile(p.config, []byte("x"), 0o600)) }, "twinbeat.toml"},
		{"a key file came meanwhile", false, config.Example, func(t *testing.T, dir string, p *pairFiles) { must(t, os.WriteFile(p.keys, []byte("x"), 0o600)) }, "keys"},
		{"the old one cannot be kept", true, config.Example, func(t *testing.T, dir string, p *pairFiles) { must(t, os.WriteFile(p.backup, []byte("x"), 0o600)) }, "twinbeat.toml twinbeat.toml.TIME"},
		{"the place is a folder", true, config.Example, func(t *testing.T, dir string, p *pairFiles) {
			must(t, os.Remove(p.config))
			must(t, os.Mkdir(p.config, 0o700))
		}, "twinbeat.toml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.force {
				must(t, os.WriteFile(dir+"/twinbeat.toml", []byte("old"), 0o600))
			}
			p, err := newPairFiles(dir, c.force)
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir, p)
			if err := p.place(c.text, "fw1"); err == nil {
				t.Error("it was written")
			}
			if left := changing.ReplaceAllString(files(dir), "toml.TIME"); left != c.left {
				t.Errorf("left: %q, want %q", left, c.left)
			}
		})
	}
	if _, err := newPairFiles(filepath.Join(t.TempDir(), "no", "such"), false); err == nil {
		t.Error("a folder in a folder that is not there would be made")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestControlCLeavesEverythingAsItWas interrupts the real program at a question.
func TestControlCLeavesEverythingAsItWas(t *testing.T) {
	exe, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	asked := make(chan struct{})
	errs := waiter{want: "Host names", seen: asked}
	cmd := exec.Cmd{Path: exe, Args: []string{"twinbeat", "init", "--output", filepath.Join(dir, "new")}, Stdin: r, Stderr: &errs}
	must(t, cmd.Start())
	_, err = w.WriteString("office\n")
	must(t, err)
	select {
	case <-asked:
	case <-time.After(soon):
		t.Errorf("it never asked: %s", errs.text.String())
	}
	must(t, cmd.Process.Signal(syscall.SIGINT))
	err = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended by %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A waiter closes seen when a text has come by.
type waiter struct {
	text bytes.Buffer // not embedded: its ReadFrom would go round Write
	want string
	seen chan struct{}
	done bool
}

func (w *waiter) Write(p []byte) (int, error) {
	w.text.Write(p)
	if !w.done && strings.Contains(w.text.String(), w.want) {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}
