package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
)

// A Lab is two boxes and what joins them.
type Lab struct {
	Options
	Dir    string
	LAN    *Space // the switch of the LAN; its ports are named fw1, fw2, client
	HA     *Space // the switch between the heartbeat ports; its ports are fw1, fw2
	Client *Space
	Serial *linktest.NullModem
	Nodes  [2]*Node

	disks []string // mounted by SmallDisk
}

// New builds the lab with both boxes switched on and no agent running.
func New(o Options) (l *Lab, err error) {
	l = &Lab{Options: o.defaults()}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if l.Dir, err = os.MkdirTemp("", "twinbeat-lab-"); err != nil {
		return l, fmt.Errorf("make directory: %w", err)
	}
	if l.Serial, err = linktest.NewNullModem(); err != nil {
		return l, err
	}
	l.Serial.SetBaud(l.Baud)
	if l.LAN, l.Client, err = NewLAN(); err != nil {
		return l, err
	}
	if l.HA, err = newSwitch("ha"); err != nil {
		return l, err
	}
	if out, err := exec.Command(l.Binary, "keygen", "--out", l.Dir+"/keys").CombinedOutput(); err != nil {
		return l, fmt.Errorf("make keys: %w: %s", err, out)
	}
	for i := range l.Nodes {
		l.Nodes[i] = newNode(l, i)
		if err = l.Nodes[i].PowerOn(); err != nil {
			return l, err
		}
	}
	return l, nil
}

// Boot writes the configuration and starts both agents.
func (l *Lab) Boot() error {
	for _, n := range l.Nodes {
		if err := n.Configure(l.config()); err != nil {
			return err
		}
	}
	for _, n := range l.Nodes {
		if err := n.Run(); err != nil {
			return err
		}
	}
	return nil
}

// Close ends every process of the lab and removes what it made.
func (l *Lab) Close() error {
	var errs []error
	for _, n := range l.Nodes {
		if n != nil {
			errs = append(errs, n.PowerOff())
		}
	}
	if l.Serial != nil {
		errs = append(errs, l.Serial.Close())
	}
	for _, s := range []*Space{l.Client, l.HA, l.LAN} {
		if s != nil {
			s.Close()
		}
	}
	for _, d := range l.disks {
		errs = append(errs, unix.Unmount(d, unix.MNT_DETACH))
	}
	if l.Dir != "" {
		errs = append(errs, os.RemoveAll(l.Dir))
	}
	return errors.Join(errs...)
}

// CutSerial pulls the null modem.
func (l *Lab) CutSerial() { l.Serial.Cut(linktest.Both) }

// HealSerial plugs it in again.
func (l *Lab) HealSerial() { l.Serial.Restore() }

// CutEthernet pulls the heartbeat Ethernet: both boxes lose the carrier.
func (l *Lab) CutEthernet() error {
	return errors.Join(l.HA.set("fw1", false), l.HA.set("fw2", false))
}

// HealEthernet plugs it in again.
func (l *Lab) HealEthernet() error {
	var errs []error
	for _, n := range l.Nodes {
		if n.Powered() {
			errs = append(errs, l.HA.set(n.Name, true))
		}
	}
	return errors.Join(errs...)
}

// Build compiles the program under test into dir.
func Build(dir string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "twinbeat")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build twinbeat: %w: %s", err, out)
	}
	return name, nil
}

// ModuleRoot finds the folder of go.mod from the working directory upwards.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find module: no go.mod above the working directory")
		}
		dir = up
	}
}

// Until waits until ok returns true, looking every few milliseconds.
func Until(within time.Duration, ok func() bool) bool {
	for end := time.Now().Add(within); ; {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
}
