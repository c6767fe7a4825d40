//go:build !lite

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/report"
)

// A console is a pty with twinbeat on it, as an operator has it.
type console struct {
	*testing.T
	master, slave *os.File
	cmd           *exec.Cmd
	mu            sync.Mutex
	sent          strings.Builder // all that came out of it
	before        unix.Termios
}

func newConsole(t *testing.T, term string, args ...string) *console {
	t.Helper()
	n, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("this machine has no ptys: %v", err)
	}
	c := &console{T: t, master: os.NewFile(uintptr(n), "ptmx")}
	if err := unix.IoctlSetPointerInt(n, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(n, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if c.slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	c.before = c.settings()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // testscript.Main runs by the name of the program
	if err := os.Symlink(self, filepath.Join(dir, "twinbeat")); err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.Command(filepath.Join(dir, "twinbeat"), args...)
	c.cmd.Env = append(os.Environ(), "TERM="+term)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = c.slave, c.slave, c.slave
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go func() {
		var b [4096]byte
		for {
			n, err := c.master.Read(b[:])
			if err != nil {
				return
			}
			c.mu.Lock()
			c.sent.Write(b[:n])
			c.mu.Unlock()
		}
	}()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		c.slave.Close()
		c.master.Close()
	})
	return c
}

func (c *console) settings() unix.Termios {
	c.Helper()
	got, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil {
		c.Fatal(err)
	}
	return *got
}

// shows waits for a text in what comes out from now on, and returns that.
func (c *console) shows(text string) string {
	c.Helper()
	return c.showsFrom(text, 0)
}

func (c *console) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.Len()
}

func (c *console) showsFrom(text string, from int) string {
	c.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		c.mu.Lock()
		all := c.sent.String()[from:]
		c.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Fatalf("%q does not come; it shows %q", text, c.sent.String()[from:])
	return ""
}

func (c *console) types(keys string) {
	c.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.Fatal(err)
	}
}

// ends waits for the end, with exit code 0 and the terminal as it was.
func (c *console) ends() {
	c.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			c.Errorf("it ends with %v", err)
		}
	case <-time.After(soon):
		c.Fatal("it does not end")
	}
	if got := c.settings(); got != c.before {
		c.Errorf("the terminal is left as %+v, it was %+v", got, c.before)
	}
}

// watched starts an agent that can be ended and started again.
func watched(t *testing.T) (sock string, start func(report.Snapshot) (stop func())) {
	t.Helper()
	sock = filepath.Join(t.TempDir(), "s")
	return sock, func(s report.Snapshot) func() {
		d := newDesk(s)
		d.Add(report.Event{At: time.Now(), Kind: "agent", Done: "started " + s.Version})
		stop, err := d.serve(sock)
		if err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		end := func() { once.Do(stop) }
		t.Cleanup(end)
		return end
	}
}

func TestWatchOnASerialConsole(t *testing.T) {
	sock, start := watched(t)
	stop := start(well())
	c := newConsole(t, "vt100", "status", "--watch", "--every", "200ms", "--socket", sock)
	c.shows("agent started 0.1.0")
	first := c.shows("\x1b[1;1Hpair office, seen from fw1")
	if !strings.HasPrefix(first, "\x1b[H\x1b[J") || strings.Contains(first, "?1049") {
		t.Errorf("a VT100 is sent %q", first)
	}
	if s := c.settings(); s.Lflag&(unix.ECHO|unix.ICANON) != 0 || s.Lflag&unix.ISIG == 0 {
		t.Errorf("the terminal is %+v", s)
	}
	from := c.len()
	time.Sleep(1500 * time.Millisecond) // the clock goes on, and nothing else
	c.mu.Lock()
	calm := c.sent.String()[from:]
	c.mu.Unlock()
	if strings.Contains(calm, "\x1b[J") || strings.Contains(calm, "LINK") || !strings.Contains(calm, "\x1b[1;1Hpair office") {
		t.Errorf("a pair that does not change sends %q", calm)
	}
	stop()
	c.shows("AGENT NOT ANSWERING since ")
	s := well()
	s.Version = "0.2.0"
	start(s)
	c.shows("agent started 0.2.0")
	from = c.len()
	if err := unix.IoctlSetWinsize(int(c.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 70}); err != nil {
		t.Fatal(err)
	}
	small := c.showsFrom("GROUP", from)
	if !strings.Contains(small, "\x1b[H\x1b[J") || strings.Contains(small, "\x1b[11;1H") {
		t.Errorf("ten lines are sent %q", small)
	}
	from = c.len()
	c.types("\x0c")
	c.showsFrom("GROUP", from)
	c.types("q")
	c.ends()
}

func TestWatchEndsByCtrlCAndBySignals(t *testing.T) {
	sock, start := watched(t)
	start(well())
	for name, end := range map[string]func(c *console){
		"ctrl-C":  func(c *console) { c.types("\x03") },
		"SIGTERM": func(c *console) { _ = c.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsole(t, "xterm-256color", "status", "--watch", "--socket", sock)
			c.shows("GROUP")
			end(c)
			c.ends()
			if all := c.shows("\x1b[?1049l"); !strings.HasPrefix(all, "\x1b[?1049h") {
				t.Errorf("an xterm is sent %q", all)
			}
		})
	}
}

func TestWatchWithoutATerminalPrintsBlocks(t *testing.T) {
	sock, start := watched(t)
	stop := start(well())
	c := newConsole(t, "dumb", "status", "--watch", "--every", "200ms", "--socket", sock)
	c.shows("\r\n\r\npair office, seen from fw1")
	stop()
	if all := c.shows("AGENT NOT ANSWERING"); strings.Contains(all, "\x1b") {
		t.Errorf("a dumb terminal is sent %q", all)
	}
	c.types("\x03")
	c.ends()

	start(well())
	var out, errs strings.Builder
	cmd := exec.Command("timeout", "-s", "INT", "1", c.cmd.Path, "status", "--watch", "--json", "--every", "200ms", "--socket", sock)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 124 { // timeout's own
		t.Errorf("it ended by itself: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 2 || !strings.HasPrefix(lines[0], `{"at":`) || errs.Len() > 0 {
		t.Errorf("it prints %s %s", out.String(), errs.String())
	}
	if code := Main([]string{"status", "--watch", "--every", "1ms"}, strings.NewReader(""), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "hint: ") {
		t.Error(fmt.Sprint(code), errs.String())
	}
}
