// Command guest is the first process of a test machine: it mounts what a Linux
// box has, loads modules, runs the harness's /etc/rc, starts /etc/agent, and does what
// the harness says on a virtio serial port. It decides nothing and never ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/control"
	"github.com/twinbeat/twinbeat/agent/report"
	"github.com/twinbeat/twinbeat/tests/vm/talk"
)

const (
	socket     = "/run/twinbeat.sock"
	portWait   = 30 * time.Second // for the ports to appear
	askWait    = 5 * time.Second
	mostAtOnce = 16 // requests
)

func main() {
	if len(os.Args) > 2 {
		say(helper(os.Args[1], os.Args[2:]))
		return
	}
	mounts()
	say(modules())
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	os.Setenv("PATH", "/bin")
	say(links())
	port, err := open(talk.PortTalk)
	say(err)
	logPort, err = open(talk.PortLog)
	say(err)
	rc := exec.Command("/bin/sh", "/etc/rc")
	rc.Stdout, rc.Stderr = logPort, logPort
	say(rc.Run())
	if agent, err := os.ReadFile("/etc/agent"); err == nil {
		_, err = start(talk.Request{Args: strings.Fields(string(agent))})
		say(err)
	}
	if port != nil {
		serve(port)
	}
	select {} // the first process must not end
}

// helper is what a process of its own does, beside the first one.
func helper(name string, args []string) error {
	switch {
	case name == talk.Spin:
		d, err := time.ParseDuration(args[0])
		spin(d)
		return err
	case name == talk.Hang && len(args) == 4:
		return hang(args[0], args[1], args[2], args[3])
	case name == talk.Press:
		return press(args[0])
	}
	return fmt.Errorf("unknown helper %s %v", name, args)
}

// logPort takes the output of what is started.
var logPort *os.File

// say puts an error on the console.
func say(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
}

func mounts() {
	for _, m := range [][3]string{
		{"proc", "/proc", "proc"},
		{"sysfs", "/sys", "sysfs"},
		{"devtmpfs", "/dev", "devtmpfs"},
		{"tmpfs", "/run", "tmpfs"},
		{"tmpfs", "/tmp", "tmpfs"},
	} {
		_ = os.MkdirAll(m[1], 0o755)
		if err := unix.Mount(m[0], m[1], m[2], 0, ""); err != nil {
			say(fmt.Errorf("mount %s: %w", m[1], err))
		}
	}
}

// modules loads what /lib/modules/order names, in that order. A driver whose
// device is not there is no error.
func modules() error {
	order, err := os.ReadFile("/lib/modules/order")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		f, err := os.Open("/lib/modules/" + name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && err != unix.EEXIST && err != unix.ENODEV {
			say(fmt.Errorf("load %s: %w", name, err))
		}
	}
	return nil
}

// links gives busybox its names.
func links() error {
	return exec.Command("/bin/busybox", "--install", "-s", "/bin").Run()
}

// open opens the virtio serial port with a name.
func open(name string) (*os.File, error) {
	for end := time.Now().Add(portWait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		all, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, file := range all {
			b, _ := os.ReadFile(file)
			if strings.TrimSpace(string(b)) == name {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(file)), os.O_RDWR, 0)
			}
		}
	}
	return nil, fmt.Errorf("no virtio serial port %s", name)
}

// serve answers requests, each in its own goroutine.
func serve(port *os.File) {
	var mu sync.Mutex
	answer := func(r talk.Response) {
		line, _ := json.Marshal(r)
		mu.Lock()
		defer mu.Unlock()
		_, err := port.Write(append(line, '\n'))
		say(err)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	_, _ = port.Write([]byte("\n")) // ends what an earlier boot left half said
	answer(talk.Response{Boot: strings.TrimSpace(string(boot))})
	free := make(chan struct{}, mostAtOnce)
	in := bufio.NewReaderSize(port, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil { // nobody is connected on the host's side
			time.Sleep(20 * time.Millisecond)
			continue
		}
		var q talk.Request
		if json.Unmarshal(line, &q) != nil {
			continue
		}
		free <- struct{}{}
		go func() {
			r, err := do(q)
			r.ID = q.ID
			if err != nil {
				r.Err = err.Error()
			}
			answer(r)
			<-free
		}()
	}
}

func do(q talk.Request) (r talk.Response, err error) {
	switch q.Do {
	case talk.Run:
		return run(q)
	case talk.Start:
		return start(q)
	case talk.Signal:
		return r, unix.Kill(q.PID, unix.Signal(q.Number))
	case talk.Read:
		r.Out, err = os.ReadFile(q.Args[0])
	case talk.Write:
		if err = os.MkdirAll(filepath.Dir(q.Args[0]), 0o755); err == nil {
			err = os.WriteFile(q.Args[0], q.Data, 0o600)
		}
	case talk.Status, talk.Events:
		r.Out, err = ask(q.Do)
	case talk.Spin: // processes of their own: their threads must not be ours
		err = beside(talk.Spin, q.Within.String())
	case talk.Hang:
		args := slices.Concat([]string{talk.Hang, strconv.Itoa(q.PID)}, q.Args, []string{strconv.Itoa(q.Number)})
		err = beside(args...)
	case talk.Press:
		go keepPressing(q.Args[0])
	default:
		err = fmt.Errorf("unknown request %q", q.Do)
	}
	return r, err
}

// beside starts a helper.
func beside(args ...string) error {
	cmd := exec.Command("/init", args...)
	cmd.Stdout, cmd.Stderr = logPort, logPort
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

func run(q talk.Request) (r talk.Response, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), q.Within)
	defer cancel()
	cmd := exec.CommandContext(ctx, q.Args[0], q.Args[1:]...)
	cmd.WaitDelay = time.Second
	r.Out, err = cmd.CombinedOutput()
	if cmd.ProcessState != nil && cmd.ProcessState.Exited() {
		r.Code, err = cmd.ProcessState.ExitCode(), nil
	}
	return r, err
}

func start(q talk.Request) (r talk.Response, err error) {
	cmd := exec.Command(q.Args[0], q.Args[1:]...)
	cmd.Stdout, cmd.Stderr = logPort, logPort
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err = cmd.Start(); err != nil {
		return r, err
	}
	r.PID = cmd.Process.Pid
	go func() {
		err := cmd.Wait()
		fmt.Fprintf(logPort, "guest: %s (pid %d) has ended: %v\n", q.Args[0], r.PID, err)
	}()
	return r, nil
}

// ask asks the agent under test.
func ask(what string) ([]byte, error) {
	c, err := control.Dial(socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askWait)
	defer cancel()
	if what == talk.Status {
		s, err := c.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(s)
	}
	all := []report.Event{}
	err = c.Events(ctx, 0, false, func(e report.Event) error {
		all = append(all, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// keepPressing presses again whenever the kernel has ended who did.
func keepPressing(spare string) {
	for ; ; time.Sleep(pressAgain) {
		f, err := os.OpenFile(talk.Pressed, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(".")
			f.Close()
		}
		say(err)
		cmd := exec.Command("/init", talk.Press, spare)
		cmd.Stdout, cmd.Stderr = logPort, logPort
		_ = cmd.Run() // it is killed, or there was no room for it
	}
}

// press keeps all memory but so many MiB in use.
func press(spare string) error {
	keep, err := strconv.Atoi(spare)
	if err != nil {
		return err
	}
	// The kernel ends this process before the agent.
	say(os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0))
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	free, err := talk.Available(text)
	if err != nil {
		return err
	}
	all := make([]byte, max(0, free-keep<<20))
	for page := os.Getpagesize(); ; {
		for i := 0; i < len(all); i += page {
			all[i]++
		}
		time.Sleep(pressPause)
	}
}

// pressPause is between two walks through all that memory.
const pressPause = 50 * time.Millisecond

// pressAgain is how long the memory of who was ended is free.
const pressAgain = time.Second

// spinPriority is above everything that a box runs but the kernel's watchdogs.
const spinPriority = 50

// spin holds the processor.
func spin(d time.Duration) {
	runtime.LockOSThread()
	// By default the kernel leaves a twentieth to others (sched(7)).
	say(os.WriteFile("/proc/sys/kernel/sched_rt_runtime_us", []byte("-1"), 0))
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: spinPriority}
	say(unix.SchedSetAttr(0, &attr, 0))
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}
