package lab

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

// NewLAN makes the LAN's switch and a client that is plugged into it.
func NewLAN() (sw, client *Space, err error) {
	if sw, err = newSwitch("lan"); err != nil {
		return sw, nil, err
	}
	if client, err = newSpace("client"); err != nil {
		return sw, nil, err
	}
	if err = plug(client, "eth0", sw, "client"); err != nil {
		return sw, client, err
	}
	return sw, client, client.address("eth0", fmt.Sprintf("%s/%d", ClientIP, lanPrefix))
}

// newSwitch makes a namespace with a bridge that learns and forwards at once.
func newSwitch(name string) (*Space, error) {
	s, err := newSpace(name)
	if err != nil {
		return nil, err
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := s.nl.LinkAdd(br); err != nil {
		return s, fmt.Errorf("make bridge %s: %w", name, err)
	}
	// Heartbeats are multicast; a bridge that snoops would wait for a querier.
	_ = s.Do(func() error {
		return os.WriteFile("/sys/class/net/br0/bridge/multicast_snooping", []byte("0"), 0)
	})
	return s, s.up("br0")
}

// plug joins a host's device to a port of a switch.
func plug(host *Space, device string, sw *Space, port string) error {
	if err := cable(host, device, sw, port); err != nil {
		return err
	}
	return sw.enslave(port)
}

func (s *Space) enslave(port string) error {
	link, err := s.nl.LinkByName(port)
	if err != nil {
		return err
	}
	br, err := s.nl.LinkByName("br0")
	if err != nil {
		return err
	}
	return s.nl.LinkSetMaster(link, br)
}

// AddTap gives a switch a port that a machine's emulator opens by its name.
func (s *Space) AddTap(port string) error {
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: port}, Mode: netlink.TUNTAP_MODE_TAP}
	err := s.Do(func() error { return s.nl.LinkAdd(tap) }) // by /dev/net/tun, in the namespace of the thread
	if err != nil {
		return fmt.Errorf("make tap %s in %s: %w", port, s.Name, err)
	}
	if err := s.enslave(port); err != nil {
		return err
	}
	return s.up(port)
}

// SetPort plugs the cable of a switch's port in, or pulls it.
func (s *Space) SetPort(port string, plugged bool) error { return s.set(port, plugged) }
