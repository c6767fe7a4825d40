package vm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
	"github.com/twinbeat/twinbeat/tests/lab"
)

// Options say which pair of machines is built.
type Options struct {
	Mode     string  // silence if empty
	Baud     int     // 115200 if 0
	Watchdog string  // i6300esb if empty; see watchdogs
	PDU      bool    // with mode fence
	Boot     string  // whose agent starts at boot: both if empty, or a name
	Slow     float64 // all intervals so many times longer; 1 if 0

	Arch     [2]string // amd64 if empty; see archs
	Append   [2]string // further words of the kernel's command line
	Early    [2]string // lines of shell before the agent starts
	ReadOnly [2]bool   // the disk
	Guarded  bool      // the agents feed the watchdog
}

// A Pair is two machines and what joins them.
type Pair struct {
	Options
	Timing   Timing
	Dir      string
	Switch   *lab.Space // of the LAN; its ports are fw1 and fw2
	Client   *lab.Space
	Serial   *linktest.NullModem
	Ether    *Ether
	PDU      *PDU
	Machines [2]*Machine
	Probe    *lab.Prober
	Who      *lab.Observer
}

var names = [2]string{"fw1", "fw2"}

// New builds a pair, whose machines have no power.
func New(o Options, t Timing) (p *Pair, err error) {
	if o.Mode == "" {
		o.Mode = "silence"
	}
	if o.Baud == 0 {
		o.Baud = 115200
	}
	if o.Watchdog == "" {
		o.Watchdog = "i6300esb"
	}
	if o.Slow > 0 {
		t.Scale = min(t.Scale*o.Slow, scaleMost)
	}
	for _, a := range o.Arch {
		if err := archs[a].missing(); err != nil {
			return nil, err
		}
	}
	p = &Pair{Options: o, Timing: t}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.Dir, err = os.MkdirTemp("", "pair-"); err != nil {
		return p, err
	}
	if p.Switch, p.Client, err = lab.NewLAN(); err != nil {
		return p, err
	}
	if p.Serial, err = linktest.NewNullModem(); err != nil {
		return p, err
	}
	p.Serial.SetBaud(o.Baud)
	if p.Ether, err = NewEther(p.Dir); err != nil {
		return p, err
	}
	if o.PDU {
		if p.PDU, err = newPDU(p); err != nil {
			return p, err
		}
	}
	if out, err := exec.Command(os.Getenv(binaryEnv), "keygen", "--out", p.Dir+"/keys").CombinedOutput(); err != nil {
		return p, fmt.Errorf("make keys: %w: %s", err, out)
	}
	for i := range p.Machines {
		if p.Machines[i], err = p.build(i); err != nil {
			return p, err
		}
	}
	if p.Probe, err = lab.ProbeFrom(p.Client, lab.VIP(0), askEvery); err != nil {
		return p, err
	}
	p.Who, err = lab.ObserveFrom(p.Client, lab.VIP(0), askEvery)
	return p, err
}

// askEvery is how often the client and the observer ask; an emulated machine
// answers a question in a millisecond, of its one processor.
const askEvery = 50 * time.Millisecond

// diskSize is that of a machine's disk: the agent's journal, and room to fill.
const diskSize = "8M"

// build makes a machine without power.
func (p *Pair) build(i int) (*Machine, error) {
	m := &Machine{
		Name: names[i], MAC: net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, byte(1 + i)},
		dir: filepath.Join(p.Dir, names[i]), home: p.Switch,
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return m, err
	}
	if err := p.Switch.AddTap(m.Name); err != nil {
		return m, err
	}
	if err := commandIn(m.dir, time.Minute, "mke2fs", "-q", "-t", "ext4", m.path("disk"), diskSize); err != nil {
		return m, err
	}
	own, err := p.files(i)
	if err != nil {
		return m, err
	}
	tty, err := filepath.EvalSymlinks(p.Serial.Device(i))
	if err != nil {
		return m, err
	}
	a := archs[p.Arch[i]]
	devices := append([]string{"-chardev", "serial,id=nm,path=" + tty}, a.serialPort("nm")...) // ttyS1
	devices = append(devices,
		"-netdev", "tap,id=lan,script=no,downscript=no,ifname="+m.Name,
		"-device", "virtio-net-pci,netdev=lan,mac="+m.MAC.String()) // eth0
	devices = append(devices, p.Ether.arguments(i)...)
	devices = append(devices, "-device", fmt.Sprintf("virtio-net-pci,netdev=ha,mac=52:54:00:78:00:0%d", 1+i)) // ha0
	m.box = box{
		arch: a, kernel: kernel{dir: os.Getenv(kernelEnv + a.tail)}, initrd: os.Getenv(initrdEnv + a.tail), own: own, devices: devices,
		append: p.Append[i], watchdog: p.Watchdog, readOnly: p.ReadOnly[i],
	}
	return m, nil
}

// PowerOn gives both machines power and waits until they are up.
func (p *Pair) PowerOn() error {
	var all sync.WaitGroup
	var errs [2]error
	for i, m := range p.Machines {
		all.Go(func() {
			if errs[i] = m.PowerOn(); errs[i] == nil {
				errs[i] = m.Booted(1, p.Timing.scaled(bootTime))
			}
		})
	}
	all.Wait()
	return errors.Join(errs[:]...)
}

// Close takes the pair apart.
func (p *Pair) Close() error {
	var errs []error
	if p.PDU != nil {
		p.PDU.close() // first: it would power a machine on again
	}
	if p.Probe != nil {
		p.Probe.Stop()
	}
	if p.Who != nil {
		p.Who.Stop()
	}
	for _, m := range p.Machines {
		if m != nil {
			errs = append(errs, m.PowerOff())
		}
	}
	if p.Ether != nil {
		errs = append(errs, p.Ether.Close())
	}
	if p.Serial != nil {
		errs = append(errs, p.Serial.Close())
	}
	for _, s := range []*lab.Space{p.Client, p.Switch} {
		if s != nil {
			s.Close()
		}
	}
	if p.Dir != "" {
		errs = append(errs, os.RemoveAll(p.Dir))
	}
	return errors.Join(errs...)
}

// CutEthernet pulls the heartbeat Ethernet; HealEthernet plugs it in.
func (p *Pair) CutEthernet() { p.carrier(false) }

// HealEthernet plugs the heartbeat Ethernet in again.
func (p *Pair) HealEthernet() { p.carrier(true) }

// carrier is the whole cable: the frames, and what each side's port sees. A
// machine without power has no port.
func (p *Pair) carrier(on bool) {
	p.Ether.Cut(!on, !on)
	for _, m := range p.Machines {
		_ = m.monitor("set_link", map[string]any{"name": "ha", "up": on})
	}
}
