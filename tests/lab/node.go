package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/agent/report"
)

// A Node is one box of the pair.
type Node struct {
	Name  string
	Index int
	Space *Space // nil while switched off
	MAC   net.HardwareAddr

	lab    *Lab
	dir    string // its disk
	under  string // program that starts the agent, and a space; see OtherClock
	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{} // closed when cmd has ended
	exited error
}

func newNode(l *Lab, i int) *Node {
	name := fmt.Sprintf("fw%d", i+1)
	return &Node{Name: name, Index: i, lab: l, dir: filepath.Join(l.Dir, name)}
}

// Powered says whether the box is switched on.
func (n *Node) Powered() bool { return n.Space != nil }

// Socket is the path of the agent's control socket.
func (n *Node) Socket() string { return n.dir + "/control" }

// ConfigPath is the path of the agent's configuration.
func (n *Node) ConfigPath() string { return n.dir + "/twinbeat.toml" }

// LogPath is the path of what the agent wrote to stderr.
func (n *Node) LogPath() string { return n.dir + "/log" }

// PowerOn gives the box a fresh kernel: a new namespace with its interfaces.
// No agent runs yet.
func (n *Node) PowerOn() error {
	if n.Powered() {
		return nil
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	s, err := newSpace(n.Name)
	if err != nil {
		return err
	}
	n.Space = s
	if err := plug(s, "eth0", n.lab.LAN, n.Name); err != nil {
		return err
	}
	if err := plug(s, "ha0", n.lab.HA, n.Name); err != nil {
		return err
	}
	if err := s.address("eth0", fmt.Sprintf("10.77.0.%d/%d", 11+n.Index, lanPrefix)); err != nil {
		return err
	}
	if err := s.address("ha0", fmt.Sprintf("10.78.0.%d/24", 1+n.Index)); err != nil {
		return err
	}
	link, err := s.nl.LinkByName("eth0")
	if err != nil {
		return err
	}
	n.MAC = link.Attrs().HardwareAddr
	return nil
}

// PowerOff takes the power away: first nothing of the box reaches anybody any
// more, then its processes and its kernel's state are gone.
func (n *Node) PowerOff() error {
	if !n.Powered() {
		return nil
	}
	n.lab.Serial.Cut(linktest.Both)
	cut := errors.Join(n.lab.LAN.port(n.Name, false), n.lab.HA.port(n.Name, false))
	n.signal(syscall.SIGKILL)
	cut = errors.Join(cut, n.unplug())
	killed := n.killAll()
	n.wait()
	n.Space.Close()
	n.Space = nil
	n.lab.Serial.Restore()
	return errors.Join(cut, killed)
}

// unplug removes the switch ports, and with them the box's interfaces.
func (n *Node) unplug() error {
	var errs []error
	for _, sw := range []*Space{n.lab.LAN, n.lab.HA} {
		link, err := sw.nl.LinkByName(n.Name)
		if err == nil {
			err = sw.nl.LinkSetDown(link)
		}
		errs = append(errs, err)
	}
	for _, sw := range []*Space{n.lab.LAN, n.lab.HA} {
		if link, err := sw.nl.LinkByName(n.Name); err == nil {
			errs = append(errs, sw.nl.LinkDel(link))
		}
	}
	return errors.Join(errs...)
}

// CutLAN pulls the box's LAN cable; HealLAN plugs it in.
func (n *Node) CutLAN() error  { return n.lab.LAN.set(n.Name, false) }
func (n *Node) HealLAN() error { return n.lab.LAN.set(n.Name, true) }

// killAll ends what still runs inside the box's namespace, such as services.
func (n *Node) killAll() error {
	var want string
	if err := n.Space.Do(func() error {
		var err error
		want, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		return err
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if ns, err := os.Readlink(p + "/ns/net"); err == nil && ns == want {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return nil
}

// Configure writes the configuration, which is the same on both boxes but for
// the paths, since both share one file system here.
func (n *Node) Configure(text string) error {
	text = strings.NewReplacer("@STATE@", n.lab.Dir+"/state", "@SOCKET@", "/run/twinbeat.sock").Replace(text)
	return os.WriteFile(n.ConfigPath(), []byte(text), 0o600)
}

// Run starts the agent. It sees its own state and run directories in place of
// the shared paths, by a mount namespace of its own.
func (n *Node) Run() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	for _, d := range []string{n.lab.Dir + "/state", n.dir + "/state", n.dir + "/run"} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := n.lab.FreeSerial(n.Index); err != nil {
		return err
	}
	script := fmt.Sprintf("mount --bind %[1]s/state %[2]s/state && mount --bind %[1]s/run /run && exec %[6]s%[3]s run --config %[1]s/twinbeat.toml --node %[4]s --log-level %[5]s",
		n.dir, n.lab.Dir, n.lab.Binary, n.Name, n.lab.LogLevel, n.under)
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setsid: true} // as an init does
	if err := n.Space.Start(cmd); err != nil {
		return fmt.Errorf("start agent of %s: %w", n.Name, err)
	}
	if n.lab.Nice != 0 {
		_ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, n.lab.Nice)
	}
	n.cmd, n.done = cmd, make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		err := cmd.Wait()
		n.mu.Lock()
		n.exited = err
		n.mu.Unlock()
		close(done)
	}(n.cmd, n.done)
	return nil
}

func (n *Node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return
	}
	select {
	case <-n.done:
	default:
		_ = n.cmd.Process.Signal(s)
	}
}

func (n *Node) wait() {
	n.mu.Lock()
	done := n.done
	n.mu.Unlock()
	if done != nil {
		<-done
	}
}

// Pid returns the agent's process id, 0 if none runs.
func (n *Node) Pid() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return 0
	}
	select {
	case <-n.done:
		return 0
	default:
		return n.cmd.Process.Pid
	}
}

// Kill ends the agent without a word; its services and kernel state stay.
func (n *Node) Kill() {
	n.signal(syscall.SIGKILL)
	n.wait()
}

// Keep ends the agent for a restart, as an upgrade does: it gives up nothing.
func (n *Node) Keep() {
	n.signal(syscall.SIGUSR1)
	n.wait()
}

// Freeze stops the agent in its tracks, Thaw lets it go on.
func (n *Node) Freeze() { n.signal(syscall.SIGSTOP) }

// Thaw lets a frozen agent go on.
func (n *Node) Thaw() { n.signal(syscall.SIGCONT) }

// Stop ends the agent in order and waits for it.
func (n *Node) Stop(within time.Duration) error {
	n.mu.Lock()
	done := n.done
	n.mu.Unlock()
	if done == nil {
		return nil
	}
	n.signal(syscall.SIGTERM)
	select {
	case <-done:
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.exited
	case <-time.After(within):
		return fmt.Errorf("stop agent of %s: still running after %s", n.Name, within)
	}
}

// control is where the socket in the agent's /run is seen from here.
func (n *Node) control() string { return n.dir + "/run/twinbeat.sock" }

// askTime bounds one question to an agent.
const askTime = 3 * time.Second

// Status asks the agent for its snapshot.
func (n *Node) Status() (report.Snapshot, error) {
	c, err := control.Dial(n.control())
	if err != nil {
		return report.Snapshot{}, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	return c.Snapshot(ctx)
}

// Events asks the agent for its events after a sequence number.
func (n *Node) Events(after uint64) ([]report.Event, error) {
	c, err := control.Dial(n.control())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	var all []report.Event
	err = c.Events(ctx, after, false, func(e report.Event) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

// Order gives the agent an operator's order and waits for its end.
func (n *Node) Order(o control.Order) (string, error) {
	c, err := control.Dial(n.control())
	if err != nil {
		return "", err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return c.Do(ctx, o)
}

// State returns the agent's state of a group, empty if it does not answer.
func (n *Node) State(group int) string {
	s, err := n.Status()
	if err != nil || group >= len(s.Groups) {
		return ""
	}
	return s.Groups[group].State
}
