package lab

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
)

// Darken is the first half of PowerOff: within a moment nobody hears the box
// any more, and its processes are gone. Its kernel's state goes only with
// PowerOff: to tear that down keeps the one real kernel of this machine busy,
// which the box that takes over would feel, and in life does not.
func (n *Node) Darken() error {
	if !n.Powered() {
		return nil
	}
	n.lab.Serial.Cut(linktest.Both)
	errs := []error{n.lab.HA.port(n.Name, false), n.lab.LAN.port(n.Name, false)}
	pids, err := n.pids()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return errors.Join(append(errs, err)...)
}

// SignalAll sends a signal to every process inside the box.
func (n *Node) SignalAll(s syscall.Signal) error {
	pids, err := n.pids()
	for _, pid := range pids {
		_ = syscall.Kill(pid, s)
	}
	return err
}

// pids returns the processes inside the box's namespace.
func (n *Node) pids() ([]int, error) {
	if !n.Powered() {
		return nil, nil
	}
	var want string
	if err := n.Space.Do(func() (err error) {
		want, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		return nil, err
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, p := range procs {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if ns, err := os.Readlink(p + "/ns/net"); err == nil && ns == want {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// CutEthernetSilently cuts the heartbeat Ethernet inside the switch: both
// boxes keep their carrier and hear nothing.
func (l *Lab) CutEthernetSilently() error { return l.ethernetPorts(false) }

// HealEthernetSilently undoes it.
func (l *Lab) HealEthernetSilently() error { return l.ethernetPorts(true) }

func (l *Lab) ethernetPorts(on bool) error {
	var errs []error
	for _, n := range l.Nodes {
		if n.Powered() {
			errs = append(errs, l.HA.port(n.Name, on))
		}
	}
	return errors.Join(errs...)
}

// Holds says whether the box's kernel has an address on its LAN device.
func (n *Node) Holds(addr netip.Addr) bool {
	if !n.Powered() {
		return false
	}
	link, err := n.Space.nl.LinkByName("eth0")
	if err != nil {
		return false
	}
	held, err := n.Space.nl.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return false
	}
	for _, a := range held {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok && ip == addr {
			return true
		}
	}
	return false
}

// Sent returns how many bytes, Ethernet headers included, and how many frames
// the box has sent by one of its interfaces.
func (n *Node) Sent(device string) (bytes, frames uint64, err error) {
	link, err := n.Space.nl.LinkByName(device)
	if err != nil {
		return 0, 0, err
	}
	s := link.Attrs().Statistics
	return s.TxBytes, s.TxPackets, nil
}

// Threads says what each thread of the box's processes does now, for a look
// at one that hangs: its state, its CPU time and where in the kernel it is.
func (n *Node) Threads() []byte {
	pids, err := n.pids()
	if err != nil {
		return nil
	}
	var out []byte
	for _, pid := range pids {
		tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
		for _, t := range tasks {
			out = append(out, (n.Name + " " + t + "\n")...)
			for _, file := range []string{"stat", "schedstat", "syscall", "stack"} {
				b, _ := os.ReadFile(t + "/" + file)
				out = append(out, b...)
			}
		}
	}
	return out
}
