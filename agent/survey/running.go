//go:build !lite

package survey

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/twinbeat/twinbeat/agent/service"
)

// A Service is one that runs here, and that an init system knows.
type Service struct {
	Unit    string `json:"unit"` // as its driver calls it
	Driver  string `json:"driver"`
	Process string `json:"process"`
}

// usual are services that routers have: DNS, DHCP, router advertisements, web.
// Each is known by its process, which may be called otherwise than its unit.
var usual = []struct {
	process string
	units   []string
}{
	{"dnsmasq", []string{"dnsmasq"}},
	{"unbound", []string{"unbound"}},
	{"named", []string{"named", "bind9"}},
	{"dhcpd", []string{"isc-dhcp-server", "dhcpd"}},
	{"kea-dhcp4", []string{"kea-dhcp4-server", "kea-dhcp4"}},
	{"kea-dhcp6", []string{"kea-dhcp6-server", "kea-dhcp6"}},
	{"odhcpd", []string{"odhcpd"}},
	{"radvd", []string{"radvd"}},
	{"lighttpd", []string{"lighttpd"}},
}

// A process is one that runs.
type process struct {
	pid  int
	name string   // as the kernel has it: 15 bytes
	ttys []string // that it has open, by their names in /dev
}

func (b Box) processes() []process {
	var out []process
	for _, entry := range b.list(maxProcesses, "proc") {
		pid, err := strconv.Atoi(entry)
		if err != nil {
			continue
		}
		p := process{pid: pid, name: b.read("proc", entry, "comm")}
		for _, fd := range b.list(maxDescriptor, "proc", entry, "fd") {
			to, err := os.Readlink(b.path("proc", entry, "fd", fd))
			if err == nil && strings.HasPrefix(to, "/dev/tty") && !slices.Contains(p.ttys, to) {
				p.ttys = append(p.ttys, to)
			}
		}
		out = append(out, p)
	}
	return out
}

func (b Box) services(running []process) []Service {
	out := []Service{}
	for _, u := range usual {
		if !slices.ContainsFunc(running, func(p process) bool { return p.name == u.process }) {
			continue
		}
		for _, unit := range u.units {
			if driver, err := b.Driver(unit); err == nil {
				out = append(out, Service{Unit: Unit(driver, unit), Driver: driver, Process: u.process})
				break
			}
		}
	}
	return out
}

// Driver names the driver of a service, as auto does, or says why there is none.
func (b Box) Driver(unit string) (string, error) { return service.DetectBelow(b.Root, unit) }

// Unit is a service's name as the driver writes it.
func Unit(driver, name string) string {
	if driver == "systemd" && !strings.Contains(name, ".") {
		return name + ".service"
	}
	return name
}
