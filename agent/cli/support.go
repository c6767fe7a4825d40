//go:build !lite

package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent"
	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
)

var supportCommand = command{
	name: "support", args: "[-o FILE] [--config FILE] [--socket PATH]", summary: "pack what somebody who helps needs to see, without secrets",
	text: `Write one tar of mode 0600: the configuration without secrets, what check says,
both nodes as the agent sees them, events, what was done with the power, and
the kernel's state: addresses, routes, nftables, counters of the serial ports,
the end of its log. It works without an agent, too, and says so inside.

Of the configuration only values that are known to be no secret are shown, of
programs no arguments, of URLs neither path nor password, and no comment. What
key and password files hold is taken out of all else. Look at it all the same
before you give it away: tar xOf FILE | less. No file is longer than 1 MiB.`,
	examples: []string{"twinbeat support", "twinbeat support -o /tmp/fw1.tar"},
	flags:    []string{"o", "config", "socket"},
	run:      (*shell).support,
}

// Limits of a support file.
const (
	supportMost = 1 << 20          // bytes of one file in it, of its end
	supportStep = 10 * time.Second // for one program
	secretMost  = 64 << 10         // bytes of one file with secrets
	mostFiles   = 64               // with secrets
)

// supportPrograms look at the kernel.
var supportPrograms = []struct {
	file string
	argv []string
}{
	{"kernel/nft.txt", []string{"nft", "list", "ruleset"}},
	{"kernel/addresses.txt", []string{"ip", "-s", "address", "show"}},
	{"kernel/routes.txt", []string{"ip", "route", "show", "table", "all"}},
	{"kernel/routes6.txt", []string{"ip", "-6", "route", "show", "table", "all"}},
	{"kernel/rules.txt", []string{"ip", "rule", "show"}},
	{"kernel/neighbours.txt", []string{"ip", "neighbour", "show"}},
}

// supportFiles are the kernel's own.
var supportFiles = []string{
	"/proc/version", "/proc/cmdline", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/modules", "/proc/interrupts",
	"/proc/net/dev", "/proc/net/snmp", "/proc/net/igmp", "/proc/net/softnet_stat", "/proc/tty/driver/serial", "/proc/tty/drivers",
	"/proc/pressure/cpu", "/etc/os-release",
}

// A bundle is a support file under construction.
type bundle struct {
	tar   tarWriter
	at    time.Time
	root  string
	scrub scrubber
	notes []string // what could not be had
}

func (sh *shell) support(o *options, _ []string) error {
	now := time.Now()
	name := fmt.Sprintf("twinbeat-%s-%s", plainName(hostName()), now.UTC().Format("20060102-150405"))
	file := cmp.Or(o.supportFile, name+".tar")
	var packed bytes.Buffer
	b := &bundle{tar: tarWriter{&packed, now}, at: now, root: name}
	if err := errors.Join(sh.gather(o, b), b.tar.end()); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &control.Error{Text: fmt.Sprintf("%s exists", file), Advice: "-o names another file"}
	}
	if err != nil {
		return fmt.Errorf("make support file: %w", err)
	}
	_, err = f.Write(packed.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write support file: %w", err)
	}
	for _, n := range b.notes {
		fmt.Fprintln(sh.stderr, "not in it: "+report.Clean(n))
	}
	return sh.print(file + "\n")
}

// plainName is a host name that may stand in a path of a tar file.
func plainName(s string) string {
	const most = 30
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, s[:min(len(s), most)])
}

// gather fills the bundle. Only what cannot be written is an error.
func (sh *shell) gather(o *options, b *bundle) error {
	data, err := readTail(o.config)
	clean, secrets := redact(string(data))
	for _, path := range secretFiles(string(data)) {
		held, _ := readTail(path)
		secrets = append(secrets, string(held[:min(len(held), secretMost)]))
	}
	for _, name := range []string{"COMMUNITY", "PASSWORD", "AUTH", "PRIV"} {
		secrets = append(secrets, os.Getenv("TWINBEAT_FENCE_"+name))
	}
	b.scrub = newScrubber(secrets)
	var errs []error
	put := func(name, text string, err error) { errs = append(errs, b.put(name, text, err)) }
	put("twinbeat.toml", clean, err)
	if err == nil {
		put("check.txt", examine(o, data).text(), nil)
	}
	put("version.txt", "twinbeat "+programVersion()+"\n", nil)
	sh.gatherAgent(o, put)
	sh.gatherSensors(o, put)
	state := stateDir(string(data))
	for _, dir := range []string{state, agent.FenceHistoryDir(state)} {
		logs, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		for _, path := range logs {
			text, err := readTail(path)
			put("journal/"+filepath.Base(path), string(text), err)
		}
	}
	for _, p := range supportPrograms {
		text, err := agent.Look(context.Background(), supportStep, p.argv...)
		put(p.file, text, err)
	}
	for _, path := range supportFiles {
		text, err := readTail(path)
		put("kernel/"+strings.ReplaceAll(strings.Trim(path, "/"), "/", "-"), string(text), err)
	}
	text, err := kernelLog()
	put("kernel/log.txt", text, err)
	put("README.txt", b.about(), nil)
	return errors.Join(errs...)
}

// gatherAgent asks the agent, or says that it could not.
func (sh *shell) gatherAgent(o *options, put func(name, text string, err error)) {
	c, s, err := sh.snapshot(o)
	if err != nil {
		put("status.txt", "the agent does not answer: "+err.Error()+"\n", err)
		return
	}
	defer c.Close()
	line, err := json.Marshal(s)
	put("status.json", string(line)+"\n", err)
	put("status.txt", report.Render(s, report.Columns), nil)
	var b strings.Builder
	err = c.Events(context.Background(), 0, false, func(e report.Event) error {
		b.WriteString(report.RenderEvent(e))
		return nil
	})
	put("events.txt", b.String(), err)
}

// gatherSensors asks the agent, or reads them itself.
func (sh *shell) gatherSensors(o *options, put func(name, text string, err error)) {
	r, _, err := sh.readSensors(o)
	if err != nil {
		put("sensors.json", "", err)
		return
	}
	line, err := json.Marshal(r)
	put("sensors.json", string(line)+"\n", err)
}

// put adds a file, without secrets and without more than its end.
func (b *bundle) put(name, text string, err error) error {
	if err != nil {
		b.notes = append(b.notes, b.scrub.clean(name+": "+err.Error()))
	}
	if text == "" {
		return nil
	}
	text = b.scrub.clean(text)
	text = text[max(0, len(text)-supportMost):]
	return b.tar.put(b.root+"/"+name, text)
}

func (b *bundle) about() string {
	text := fmt.Sprintf("made by twinbeat support, %s, on %s at %s\n\n"+
		"Secrets are left out. events.txt and journal/ hold what this node saw of both; of\n"+
		"the peer's own journal only the peer knows: run the same command there.\n", programVersion(), hostName(), b.at.Format(report.TimeLayout))
	for _, n := range b.notes {
		text += "not in it: " + report.Clean(n) + "\n"
	}
	return text
}

var stateForm = regexp.MustCompile(`(?m)^\s*state_dir\s*=\s*["']([^"'\n]+)`)

// stateDir is where the journal lies, as a configuration says, right or wrong.
func stateDir(text string) string {
	if m := stateForm.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return defaultState
}

var fileForm = regexp.MustCompile(`["'](/[^"'\n]+)["']`)

// secretFiles are the files with secrets that a configuration names, right or
// wrong.
func secretFiles(text string) []string {
	files := []string{defaultKeys}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, "=")
		if !strings.HasSuffix(strings.TrimSpace(key), "_file") {
			continue
		}
		for _, m := range fileForm.FindAllStringSubmatch(value, mostFiles) {
			files = append(files, m[1])
		}
	}
	return files[:min(len(files), mostFiles)]
}

// readTail reads the end of a file.
func readTail(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not hold us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > supportMost {
		if _, err := f.Seek(-supportMost, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, supportMost))
}

// kernelLogMost bounds what is read of the kernel's log, in bytes.
const kernelLogMost = 128 << 10

// kernelLog returns the end of the kernel's log (syslog(2), SYSLOG_ACTION_READ_ALL).
func kernelLog() (string, error) {
	buf := make([]byte, kernelLogMost)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return "", fmt.Errorf("read kernel log: %w", err)
	}
	return string(buf[:n]), nil
}
