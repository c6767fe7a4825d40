package vm

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twinbeat/twinbeat/tests/lab"
)

// A box is what a machine is made of.
type box struct {
	arch     arch
	kernel   kernel
	initrd   string   // path of what every machine has: see Prepare
	own      tree     // what this one has besides
	devices  []string // further arguments of QEMU
	append   string   // further words of the kernel's command line
	watchdog string   // i6300esb, itco, ib700 or none
	readOnly bool     // its disk
	memory   int      // MiB; 192 if 0
}

// A Machine is one emulated box: a process of QEMU while it has power.
type Machine struct {
	Name string
	MAC  net.HardwareAddr // of its port on the LAN
	box  box
	dir  string
	home *lab.Space // where QEMU finds the machine's tap

	mu   sync.Mutex
	cmd  *exec.Cmd
	gone chan struct{} // closed when QEMU has ended
	mon  *monitor
	talk *talker
}

// The words that make an emulated kernel boot fast, and reboot at once after a
// panic unless box.append says otherwise.
const fastBoot = "console=ttyS0 quiet loglevel=1 panic=-1 nokaslr audit=0 apparmor=0 selinux=0 " +
	"cryptomgr.notests random.trust_cpu=on rcupdate.rcu_expedited=1 "

func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }

// watchdogs are the arguments by name. iTCO resets only if its chip may.
var watchdogs = map[string][]string{
	"none":     nil,
	"softdog":  nil, // the kernel's own; load it by the module
	"i6300esb": {"-device", "i6300esb"},
	"itco":     {"-global", "ICH9-LPC.noreboot=off"},
	"ib700":    {"-device", "ib700"},
}

// arguments are QEMU's command line.
func (m *Machine) arguments() ([]string, error) {
	a, board, memory := m.box.arch, m.box.arch.board, m.box.memory
	if m.box.watchdog == "ib700" {
		board = "pc" // it sits on ISA
	}
	if memory == 0 {
		memory = 192
	}
	dog, ok := watchdogs[m.box.watchdog]
	if !ok {
		return nil, fmt.Errorf("machine %s: unknown watchdog %q", m.Name, m.box.watchdog)
	}
	port := func(name string) []string {
		return []string{"-device", "virtserialport,chardev=" + name + ",name=" + name}
	}
	disk := "file=" + m.path("disk") + ",format=raw,if=none,id=disk"
	if m.box.readOnly {
		disk += ",readonly=on"
	}
	args := []string{
		"-nodefaults", "-display", "none", "-no-user-config", "-S",
		"-machine", board, "-accel", "tcg", "-cpu", a.cpu, "-smp", "1", "-m", fmt.Sprint(memory),
		"-kernel", m.box.kernel.vmlinux(), "-initrd", m.path("initrd"), "-append", fastBoot + a.boot + " " + m.box.append,
		"-qmp", "unix:" + m.path("qmp") + ",server=on,wait=off",
		"-action", "watchdog=reset",
		"-chardev", "file,append=on,id=console,path=" + m.path("console.log"),
	}
	args = append(args, a.serialPort("console")...)
	args = append(args, m.box.devices...)
	args = append(args, dog...)
	args = append(args,
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=talk,server=on,wait=off,path="+m.path("talk"),
		"-chardev", "file,append=on,id=log,path="+m.path("agent.log"))
	args = append(args, port("talk")...)
	args = append(args, port("log")...)
	return append(args, "-drive", disk, "-device", "virtio-blk-pci,drive=disk"), nil
}

// Powered says whether the machine has power.
func (m *Machine) Powered() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alive()
}

func (m *Machine) alive() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.gone:
		return false
	default:
		return true
	}
}

// PowerOn starts the machine and does not wait until it has booted.
func (m *Machine) PowerOn() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.alive() {
		return nil
	}
	base, err := os.ReadFile(m.box.initrd)
	if err == nil {
		err = os.WriteFile(m.path("initrd"), append(base, m.box.own.cpio()...), 0o600)
	}
	if err != nil {
		return err
	}
	args, err := m.arguments()
	if err != nil {
		return err
	}
	says, err := os.Create(m.path("qemu.log"))
	if err != nil {
		return err
	}
	defer says.Close()
	m.cmd, m.gone = exec.Command(m.box.arch.qemu, args...), make(chan struct{})
	m.cmd.Stdout, m.cmd.Stderr = says, says
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the tests does not cut its power
	if err := m.home.Start(m.cmd); err != nil {
		m.cmd = nil
		return err
	}
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_ = cmd.Wait() // it ends by a signal
		close(gone)
	}(m.cmd, m.gone)
	if err := m.connect(); err != nil {
		b, _ := os.ReadFile(m.path("qemu.log"))
		return errors.Join(fmt.Errorf("power on %s: %w: %s", m.Name, err, b), m.end())
	}
	return nil
}

func (m *Machine) connect() (err error) {
	if m.mon, err = openMonitor(m.path("qmp")); err != nil {
		return err
	}
	if m.talk, err = openTalker(m.path("talk")); err != nil {
		return err
	}
	return m.mon.do("cont", nil)
}

// PowerOff takes the power away within some milliseconds.
func (m *Machine) PowerOff() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end()
}

// endWait bounds how long a killed QEMU may take to end.
const endWait = 20 * time.Second

func (m *Machine) end() error {
	if m.cmd == nil {
		return nil
	}
	_ = m.cmd.Process.Kill()
	select {
	case <-m.gone:
	case <-time.After(endWait):
		return fmt.Errorf("power off %s: QEMU does not end", m.Name)
	}
	if m.mon != nil {
		m.mon.close()
	}
	if m.talk != nil {
		m.talk.close()
	}
	m.cmd, m.mon, m.talk = nil, nil, nil
	for _, name := range []string{"qmp", "talk"} {
		_ = os.Remove(m.path(name))
	}
	return nil
}

// monitor gives QEMU a command.
func (m *Machine) monitor(command string, args any) error {
	m.mu.Lock()
	mon := m.mon
	m.mu.Unlock()
	if mon == nil {
		return fmt.Errorf("%s of %s: it has no power", command, m.Name)
	}
	return mon.do(command, args)
}

// Freeze stops the machine with its clocks, as no real fault can do it so well;
// Thaw lets it go on as if no time had passed.
func (m *Machine) Freeze() error { return m.monitor("stop", nil) }

// Thaw ends Freeze.
func (m *Machine) Thaw() error { return m.monitor("cont", nil) }

// Reset presses the button.
func (m *Machine) Reset() error { return m.monitor("system_reset", nil) }

// HangDisk lets what is written to the disk wait, but for a byte a second.
func (m *Machine) HangDisk(on bool) error {
	rate := 0 // none: as fast as it can
	if on {
		rate = 1
	}
	return m.throttle(map[string]any{"bps_wr": rate})
}

// SlowDisk lets the disk do so many pieces of work a second at most.
func (m *Machine) SlowDisk(each int) error { return m.throttle(map[string]any{"iops": each}) }

func (m *Machine) throttle(some map[string]any) error {
	args := map[string]any{"device": "disk", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
	maps.Copy(args, some)
	return m.monitor("block_set_io_throttle", args)
}

// Times are when QEMU's events with a name happened since the machine has power.
func (m *Machine) Times(event string) []time.Time {
	m.mu.Lock()
	mon := m.mon
	m.mu.Unlock()
	if mon == nil {
		return nil
	}
	return mon.Times(event)
}

// Log is what the agent wrote to stderr, in all boots.
func (m *Machine) Log() string {
	b, _ := os.ReadFile(m.path("agent.log"))
	return string(b)
}

// Console is what the kernel said, in all boots.
func (m *Machine) Console() string {
	b, _ := os.ReadFile(m.path("console.log"))
	return strings.ToValidUTF8(string(b), "?")
}
