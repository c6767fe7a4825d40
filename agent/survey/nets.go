//go:build !lite

package survey

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// An Interface is what the kernel tells of one by netlink.
type Interface struct {
	Name      string
	MAC       string // empty: not Ethernet
	Up        bool
	Addresses []netip.Prefix
}

// A Net is an interface with an Ethernet address.
type Net struct {
	Name      string         `json:"name"`
	MAC       string         `json:"mac"`
	Up        bool           `json:"up"`
	Carrier   bool           `json:"carrier"`
	Mbit      int            `json:"mbit,omitempty"`   // 0: not known
	Master    string         `json:"master,omitempty"` // bridge or bond that it is a port of
	Virtual   bool           `json:"virtual,omitempty"`
	Default   bool           `json:"default_route,omitempty"`
	IPv6      bool           `json:"ipv6"`
	Addresses []netip.Prefix `json:"addresses"`
}

// IPv4 says whether it has an address of that family.
func (n Net) IPv4() bool {
	for _, a := range n.Addresses {
		if a.Addr().Is4() {
			return true
		}
	}
	return false
}

// kernelInterfaces asks the kernel.
func kernelInterfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Interface
	for _, i := range all {
		n := Interface{Name: i.Name, Up: i.Flags&net.FlagUp != 0}
		if i.Flags&net.FlagLoopback == 0 && len(i.HardwareAddr) == 6 {
			n.MAC = i.HardwareAddr.String()
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				n.Addresses = append(n.Addresses, p)
			}
		}
		out = append(out, n)
	}
	return out, nil
}

func (b Box) nets() ([]Net, error) {
	ask := b.Interfaces
	if ask == nil {
		ask = kernelInterfaces
	}
	all, err := ask()
	if err != nil {
		return nil, err
	}
	out := []Net{}
	uplinks := b.uplinks()
	for _, i := range all[:min(len(all), maxNets)] {
		if i.MAC == "" {
			continue
		}
		dir := filepath.Join("sys/class/net", i.Name)
		n := Net{Name: i.Name, MAC: i.MAC, Up: i.Up, Addresses: append([]netip.Prefix{}, i.Addresses...), Default: uplinks[i.Name]}
		n.Carrier = b.read(dir, "carrier") == "1" // cannot be read while the interface is down
		if speed, err := strconv.Atoi(b.read(dir, "speed")); err == nil && speed > 0 {
			n.Mbit = speed
		}
		if to, err := os.Readlink(b.path(dir, "master")); err == nil {
			n.Master = filepath.Base(to)
		}
		_, err := os.Lstat(b.path(dir, "device"))
		n.Virtual = err != nil
		n.IPv6 = b.read("proc/sys/net/ipv6/conf", i.Name, "disable_ipv6") == "0"
		out = append(out, n)
	}
	return out, nil
}

// uplinks are the interfaces of IPv4 default routes: /proc/net/route holds
// device, destination, gateway, flags, three counters and the mask.
func (b Box) uplinks() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(b.read("proc/net/route")) {
		words := strings.Fields(line)
		if len(words) >= 8 && words[1] == "00000000" && words[7] == "00000000" {
			out[words[0]] = true
		}
	}
	return out
}
