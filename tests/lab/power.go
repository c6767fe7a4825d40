package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/twinbeat/twinbeat/agent/link/linktest"
)

// States of a bridge port, include/uapi/linux/if_bridge.h.
const (
	portDisabled   = 0
	portForwarding = 3
)

// portState lets a switch port pass frames or not. Unlike taking a port down
// it takes effect within microseconds, and the other end keeps its carrier.
func (s *Space) portState(port string, state byte) error {
	link, err := s.nl.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find port %s of %s: %w", port, s.Name, err)
	}
	return s.Do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
		msg.Index = int32(link.Attrs().Index)
		req.AddData(msg)
		info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
		info.AddRtAttr(nl.IFLA_BRPORT_STATE, []byte{state})
		req.AddData(info)
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// Darken is the first half of PowerOff: within a moment nobody hears the box
// any more, and its processes are gone. Its kernel's state goes only with
// PowerOff: to tear that down keeps the one real kernel of this machine busy,
// which the box that takes over would feel, and in life does not.
func (n *Node) Darken() error {
	if !n.Powered() {
		return nil
	}
	n.lab.Serial.Cut(linktest.Both)
	errs := []error{n.lab.HA.portState(n.Name, portDisabled), n.lab.LAN.portState(n.Name, portDisabled)}
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
func (l *Lab) CutEthernetSilently() error { return l.ethernetPorts(portDisabled) }

// HealEthernetSilently undoes it.
func (l *Lab) HealEthernetSilently() error { return l.ethernetPorts(portForwarding) }

func (l *Lab) ethernetPorts(state byte) error {
	var errs []error
	for _, n := range l.Nodes {
		if n.Powered() {
			errs = append(errs, l.HA.portState(n.Name, state))
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
