package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Space is one network namespace: a host of the lab.
type Space struct {
	Name string
	ns   netns.NsHandle
	nl   *netlink.Handle
}

// newSpace makes a namespace with its loopback up.
func newSpace(name string) (*Space, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("read own namespace: %w", err)
	}
	defer home.Close()
	ns, err := netns.New() // this thread is in it from here on
	if err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	defer netns.Set(home)
	s := &Space{Name: name, ns: ns}
	if s.nl, err = netlink.NewHandleAt(ns); err != nil {
		ns.Close()
		return nil, fmt.Errorf("open netlink in %s: %w", name, err)
	}
	for key, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1",
		"ipv6/conf/default/accept_dad": "0", "ipv6/conf/all/accept_dad": "0",
	} {
		// IPv6 may be absent from the kernel; the lab then has none.
		_ = os.WriteFile("/proc/sys/net/"+key, []byte(value), 0)
	}
	return s, s.up("lo")
}

// Close lets go of the namespace; the kernel ends it with its last user.
func (s *Space) Close() {
	s.nl.Close()
	s.ns.Close()
}

// Do runs fn on a thread inside the namespace.
func (s *Space) Do(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		return fmt.Errorf("read own namespace: %w", err)
	}
	defer home.Close()
	if err := netns.Set(s.ns); err != nil {
		return fmt.Errorf("enter %s: %w", s.Name, err)
	}
	defer netns.Set(home)
	return fn()
}

// Start starts a program inside the namespace. It dies with the lab.
func (s *Space) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if err := s.Do(cmd.Start); err != nil {
		return err
	}
	ordinary(cmd.Process.Pid)
	return nil
}

// Run runs a program inside the namespace and returns what it printed.
func (s *Space) Run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out []byte
	err := s.Do(func() error {
		var err error
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		err = fmt.Errorf("run %s in %s: %w: %s", name, s.Name, err, out)
	}
	return string(out), err
}

func (s *Space) up(device string) error { return s.set(device, true) }

// set brings a device up or down.
func (s *Space) set(device string, up bool) error {
	link, err := s.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s in %s: %w", device, s.Name, err)
	}
	if up {
		return s.nl.LinkSetUp(link)
	}
	return s.nl.LinkSetDown(link)
}

// address adds an address to a device, as "10.0.0.1/24".
func (s *Space) address(device, address string) error {
	link, err := s.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s in %s: %w", device, s.Name, err)
	}
	a, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	a.Flags |= syscall.IFA_F_NODAD
	return s.nl.AddrAdd(link, a)
}

// cable joins two spaces by a pair of virtual Ethernet devices and brings
// both up.
func cable(a *Space, deviceA string, b *Space, deviceB string) error {
	// Made inside a under its own name, the other end is moved to b: no name
	// can clash with another cable's.
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: deviceA}, PeerName: deviceB,
		PeerNamespace: netlink.NsFd(int(b.ns)),
	}
	if err := a.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("cable %s/%s to %s/%s: %w", a.Name, deviceA, b.Name, deviceB, err)
	}
	if err := a.up(deviceA); err != nil {
		return err
	}
	return b.up(deviceB)
}

// bridgeState is IFLA_BRPORT_STATE, and its values of linux/if_bridge.h.
const (
	brportState    = 1
	portDisabled   = 0
	portForwarding = 3
)

// port lets a switch port forward or not, at once: taking a device down makes
// the kernel wait for its readers first.
func (s *Space) port(name string, on bool) error {
	link, err := s.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find port %s of %s: %w", name, s.Name, err)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		return nil // cut already, and the kernel refuses to disable it again
	}
	state := byte(portDisabled)
	if on {
		state = portForwarding
	}
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
	msg.Index = int32(link.Attrs().Index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	info.AddRtAttr(brportState, []byte{state})
	req.AddData(info)
	return s.Do(func() error {
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		if !on && errors.Is(err, unix.ENETDOWN) {
			return nil // a port that is down forwards nothing
		}
		return err
	})
}
