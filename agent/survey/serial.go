//go:build !lite

package survey

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxTaken bounds the reasons given for one port.
const maxTaken = 4

// agentName is the process of the agent: what it has open is the pair's already.
const agentName = "twinbeat"

// A Serial is a port with hardware behind it.
type Serial struct {
	Device string   `json:"device"`
	Kind   string   `json:"kind"`               // uart or usb
	Text   string   `json:"text,omitempty"`     // what a USB adapter calls itself
	Most   int      `json:"max_baud,omitempty"` // 0: the driver does not say
	Stable string   `json:"by_id,omitempty"`    // name that survives replugging
	Taken  []string `json:"taken,omitempty"`    // by whom it is used, or will be after a boot
}

// serials lists the ports. The 8250 driver shows four ports or more whether they
// exist or not; type 0 says that no UART answered (PORT_UNKNOWN,
// linux/serial_core.h). Ptys, virtual consoles and gadgets have no type.
func (b Box) serials(running []process) []Serial {
	out := []Serial{}
	consoles := b.consoles()
	for _, name := range b.list(maxSerials*64, "sys/class/tty") {
		s := Serial{Device: "/dev/" + name}
		dir := filepath.Join("sys/class/tty", name)
		switch kind := b.read(dir, "type"); {
		case kind != "" && kind != "0":
			s.Kind = "uart"
			clock, err := strconv.Atoi(b.read(dir, "uartclk"))
			if err == nil {
				s.Most = clock / 16 // a UART samples each bit 16 times
			}
		case strings.HasPrefix(name, "ttyUSB"), strings.HasPrefix(name, "ttyACM"):
			s.Kind, s.Text, s.Stable = "usb", b.product(dir), b.stable(name)
		default:
			continue
		}
		s.Taken = append(consoles[name], b.gettys(name)...)
		for _, p := range running {
			if slices.Contains(p.ttys, s.Device) && p.name != agentName && len(s.Taken) < maxTaken {
				s.Taken = append(s.Taken, fmt.Sprintf("open in %s (pid %d)", p.name, p.pid))
			}
		}
		if out = append(out, s); len(out) == maxSerials {
			break
		}
	}
	return out
}

// usbLevels is how far above a port its USB device lies: port, interface, device.
const usbLevels = 4

// product finds what the USB device above a port calls itself.
func (b Box) product(dir string) string {
	at, err := filepath.EvalSymlinks(b.path(dir, "device"))
	if err != nil {
		return ""
	}
	for range usbLevels {
		if name, err := os.ReadFile(filepath.Join(at, "product")); err == nil {
			maker, _ := os.ReadFile(filepath.Join(at, "manufacturer"))
			return strings.TrimSpace(strings.TrimSpace(string(maker)) + " " + strings.TrimSpace(string(name)))
		}
		at = filepath.Dir(at)
	}
	return ""
}

func (b Box) stable(name string) string {
	const dir = "dev/serial/by-id"
	for _, link := range b.list(maxSerials, dir) {
		if to, err := os.Readlink(b.path(dir, link)); err == nil && filepath.Base(to) == name {
			return filepath.Join("/", dir, link)
		}
	}
	return ""
}

// consoles says of which ports the kernel makes a console: now (/proc/consoles,
// Documentation/filesystems/proc.rst) or by its command line.
func (b Box) consoles() map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(b.read("proc/consoles")) {
		if name, _, _ := strings.Cut(line, " "); name != "" {
			out[name] = []string{"the kernel's console"}
		}
	}
	for word := range strings.FieldsSeq(b.read("proc/cmdline")) {
		value, ok := strings.CutPrefix(word, "console=")
		name, _, _ := strings.Cut(value, ",")
		if ok && out[name] == nil {
			out[name] = []string{"console= on the kernel's command line"}
		}
	}
	return out
}

// wantsFolders are where systemd notes what it starts at boot.
var wantsFolders = []string{"etc/systemd/system/getty.target.wants", "etc/systemd/system/multi-user.target.wants", "run/systemd/generator/getty.target.wants"}

// gettys says who will log people in over a port after the next boot.
func (b Box) gettys(name string) []string {
	var out []string
	for _, dir := range wantsFolders {
		if unit := "serial-getty@" + name + ".service"; slices.Contains(b.list(maxSerials*4, dir), unit) {
			out = append(out, unit+" is enabled")
		}
	}
	for line := range strings.Lines(b.read("etc/inittab")) {
		line, _, _ = strings.Cut(line, "#")
		id, _, _ := strings.Cut(line, ":") // busybox: the id is the port
		if strings.Contains(line, "respawn") && (id == name || slices.Contains(strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ':' || r == '/' }), name)) {
			out = append(out, "a getty of /etc/inittab")
		}
	}
	return slices.Compact(out)
}
